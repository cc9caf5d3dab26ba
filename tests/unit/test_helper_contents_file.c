// SPDX-License-Identifier: MIT
/* Where a region is not cut into devices the worker has it already, and is given nothing. */
#include <criterion/criterion.h>
#include <errno.h>

#include "helper_rig.h"
#include "util/le.h"

static struct rig rig;

static void set_up(void)
{
	rig_init(&rig);
	rig_start(&rig);
	rig_bring_up(&rig);
}

static void tear_down(void)
{
	cr_expect_eq(rig_stop(&rig), 0);
	rig_deinit(&rig);
}

TestSuite(helper_contents_file, .init = set_up, .fini = tear_down);

Test(helper_contents_file, the_worker_is_given_nothing)
{
	static const struct rig_extent extents[] = {{0, 10, 1}};
	struct link_contents m = {
		.ino = put_le64(20), .epoch = put_le64(1), .extent_count = put_le64(1)};
	struct link_contents_given answer;

	rig_send(&rig, &m, sizeof(m), LINK_CONTENTS, 7);
	rig_send_extents(&rig, 7, 20, extents, 1);
	rig_expect(&rig, &answer, sizeof(answer), LINK_CONTENTS_GIVEN);
	cr_expect_eq(get_le64(answer.header.id), 7);
	cr_expect_eq((int)get_le32(answer.error), EOPNOTSUPP);
	cr_expect_eq(
		get_le16(rig_check(&rig, 20).header.opcode), LINK_FREE, "it is not held for it");
}
