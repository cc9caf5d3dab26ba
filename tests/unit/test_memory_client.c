// SPDX-License-Identifier: MIT
/*
 * libguestmemfs when memory runs out at any call for it: an attach says ENOMEM and keeps no
 * descriptor, and the next one is served.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fake_helper.h"
#include "guestmemfs/guestmemfs.h"
#include "scarce.h"

#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static void prepare_long(struct fake *f)
{
	fake_grant_long(f);
	fake_seal_table(f, f->table, 40, SEALS);
}

/* False: so many calls were not made. */
static bool fails_at(void (*prepare)(struct fake *), unsigned long n, enum scarce how)
{
	size_t before = count_open_fds();
	struct gm_attachment *a = NULL;
	struct fake f;

	prepare(&f);
	fake_start(&f);
	scarce_begin(n, how);
	int r = gm_redeem(f.path, &fake_ticket, &a);
	bool failed = scarce_end();
	fake_join(&f);
	cr_assert_eq(r, failed ? -ENOMEM : 0, "call %lu: %d, %s", n, r, gm_last_problem());
	if (failed)
		cr_assert_str_not_empty(gm_last_problem());
	gm_detach(a);
	fake_deinit(&f);
	cr_assert_eq(count_open_fds(), before, "call %lu: a descriptor is kept", n);
	return failed;
}

Test(memory_client, an_attach_fails_whole)
{
	static void (*const grants[])(struct fake *) = {fake_grant_short, prepare_long};

	for (unsigned k = 0; k < 2; k++)
		for (unsigned how = 0; how < SCARCE_MODES; how++) {
			unsigned long n = 0;

			while (fails_at(grants[k], n, (enum scarce)how))
				n++;
			cr_expect_geq(n, 2, "only %lu calls could fail", n);
		}
}
