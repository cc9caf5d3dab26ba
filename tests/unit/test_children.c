// SPDX-License-Identifier: MIT
/* A process is given up when it dies too often in a short time, and not before. */
#include <criterion/criterion.h>

#include "fuse/children.h"

#define START 1000000ULL

Test(children, five_deaths_within_ten_seconds_are_too_many)
{
	struct child c = CHILD_NULL("worker");

	for (uint64_t i = 0; i < CHILD_DEATHS_MAX - 1; i++)
		cr_assert_not(child_has_died_too_often(&c, START + i));
	cr_assert(child_has_died_too_often(&c, START + CHILD_DEATHS_MS));
}

Test(children, as_many_in_a_longer_time_are_not)
{
	struct child c = CHILD_NULL("worker");
	uint64_t apart = CHILD_DEATHS_MS / (CHILD_DEATHS_MAX - 1) + 1;

	for (uint64_t i = 0; i < 100; i++)
		cr_assert_not(child_has_died_too_often(&c, START + i * apart), "death %d", (int)i);
	/* A burst after a long life is one all the same. */
	for (uint64_t i = 0; i < CHILD_DEATHS_MAX - 1; i++)
		cr_assert_not(child_has_died_too_often(&c, 2 * START + i));
	cr_assert(child_has_died_too_often(&c, 2 * START + CHILD_DEATHS_MAX));
}
