// SPDX-License-Identifier: MIT
/* Who may wait: everybody, and nobody so much that others can't. */
#include <criterion/criterion.h>

#include "fuse/parked.h"

static struct parked_list list;

static void setup(void)
{
	parked_list_init(&list);
}

static void teardown(void)
{
	for (struct parked *p; (p = TAILQ_FIRST(&list.entries));)
		parked_remove(&list, p);
}

TestSuite(parked, .init = setup, .fini = teardown);

static struct parked *park(uid_t uid)
{
	struct parked p = {.rq.uid = uid, .waits_for_memory = true};

	return parked_add(&list, &p);
}

/* How many more of this user may wait. */
static unsigned fill(uid_t uid)
{
	unsigned count = 0;

	while (park(uid))
		count++;
	return count;
}

Test(parked, one_user_leaves_room_for_the_next_ones)
{
	cr_expect_eq(fill(1000), PARKED_MAX / 2);
	cr_expect_eq(fill(1001), PARKED_MAX / 4);
	cr_expect_eq(fill(1000), 0);
	for (uid_t uid = 2000; uid < 2005; uid++)
		cr_expect_gt(fill(uid), 0, "user %u", uid);
}

Test(parked, users_at_once_have_equal_shares)
{
	unsigned count[3] = {0};

	for (unsigned n = 0; n < PARKED_MAX; n++)
		count[n % 3] += park(1000 + n % 3) != NULL;
	for (unsigned n = 0; n < 3; n++)
		cr_expect_eq(count[n], PARKED_MAX / 4, "user %u: %u", n, count[n]);
}

Test(parked, root_has_what_others_leave_and_not_more_than_there_is)
{
	cr_expect_eq(fill(1000), PARKED_MAX / 2);
	cr_expect_eq(fill(0), PARKED_MAX / 2);
	cr_expect_eq(list.count, PARKED_MAX);
	cr_expect_null(park(1001));
	parked_remove(&list, TAILQ_FIRST(&list.entries));
	cr_expect_not_null(park(1001));
}

Test(parked, who_has_waited_at_an_earlier_worker_goes_on_waiting)
{
	struct parked p = {.rq.uid = 1000, .waits_for_memory = true, .has_place = true};
	unsigned count = 0;

	(void)fill(1000);
	while (parked_add(&list, &p))
		count++;
	cr_expect_eq(count, PARKED_MAX / 2);
}

Test(parked, what_has_ended_makes_room_for_its_user)
{
	struct parked *first = park(1000);

	(void)fill(1000);
	cr_expect_null(park(1000));
	parked_remove(&list, first);
	cr_expect_not_null(park(1000));
}
