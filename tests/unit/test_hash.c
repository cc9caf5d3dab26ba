// SPDX-License-Identifier: MIT
/* Who does not know a process's seed can't choose names that collide there. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "store/hash.h"
#include "store_fixture.h"

#define NAMES 64U
#define SLOTS 4096U

/* The next name after *n whose entry stands in the first slot of a table under this seed. */
static size_t next_in_slot_0(uint64_t seed, unsigned *n, char name[16])
{
	size_t length;

	do
		length = (size_t)snprintf(name, 16, "%u", ++*n);
	while (hash_name(seed, GM_ROOT_INO, name, length) % SLOTS != 0);
	return length;
}

Test(hash, names_that_collide_under_one_seed_do_not_under_another)
{
	unsigned n = 0, collide = 0;

	for (unsigned k = 0; k < NAMES; k++) {
		char name[16];
		size_t length = next_in_slot_0(1, &n, name);

		collide += hash_name(2, GM_ROOT_INO, name, length) % SLOTS == 0;
	}
	cr_assert_lt(collide, 4, "%u of %u names", collide, NAMES);
}

Test(hash, the_same_name_in_two_directories_hashes_differently)
{
	cr_assert_neq(hash_name(5, 1, "vm0", 3), hash_name(5, 2, "vm0", 3));
}

Test(hash, every_opening_draws_its_own_seed)
{
	struct problem why = PROBLEM_INIT;
	struct fixture f;
	uint64_t seed;

	fixture_init(&f, 16);
	seed = store_meta(f.store)->name_seed;
	cr_assert_neq(seed, 0);
	cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
	cr_assert_neq(store_meta(f.store)->name_seed, seed);
	fixture_deinit(&f);
}
