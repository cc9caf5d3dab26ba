// SPDX-License-Identifier: MIT
/* What one user has does not count against another; root and the helper's own user stand apart. */
#include <criterion/criterion.h>

#include "helper/server.h"

#define OWN 500U

static struct server server;

static void setup(void)
{
	server = (struct server){.trust = {.own_uid = OWN}};
	users_init(&server.users);
}

static void teardown(void)
{
	users_free_all(&server);
}

TestSuite(helper_users, .init = setup, .fini = teardown);

Test(helper_users, a_bucket_gives_a_burst_and_then_its_rate)
{
	struct bucket b = {.filled = 0};
	unsigned n = 0;

	for (; bucket_take(&b, 1000, 10, 30); n++)
		;
	cr_expect_eq(n, 30);
	cr_expect_not(bucket_take(&b, 1099, 10, 30));
	cr_expect(bucket_take(&b, 1100, 10, 30));
	cr_expect_not(bucket_take(&b, 1100, 10, 30));
	cr_expect_not(bucket_is_full(&b, 4099, 10, 30));
	cr_expect(bucket_is_full(&b, 4100, 10, 30));
	for (n = 0; bucket_take(&b, UINT64_MAX, 10, 30); n++)
		;
	cr_expect_eq(n, 30, "never more than the burst");
}

static unsigned send_all(struct user *u, uint64_t now)
{
	unsigned n = 0;

	while (n < 1000000 && user_may_send(&server, u, now))
		n++;
	return n;
}

Test(helper_users, messages_of_one_do_not_count_against_another)
{
	struct user *a = user_get(&server, 1000), *b = user_get(&server, 1001);

	cr_expect_eq(send_all(a, 5000), MESSAGES_UID_BURST);
	cr_expect_eq(send_all(b, 5000), MESSAGES_UID_BURST);
	cr_expect_eq(send_all(a, 6000), MESSAGES_UID_RATE);
}

Test(helper_users, messages_of_all_others_have_a_bound_and_root_has_none)
{
	unsigned n = 0;

	for (uid_t uid = 1000; uid < 1100; uid++)
		n += send_all(user_get(&server, uid), 5000);
	cr_expect_eq(n, MESSAGES_OTHERS_BURST);
	cr_expect_eq(send_all(user_get(&server, 0), 5000), 1000000);
	cr_expect_eq(send_all(user_get(&server, OWN), 5000), 1000000);
}

static unsigned hold_all(struct user *u)
{
	unsigned n = 0;

	for (; user_may_hold(&server, u); n++)
		user_add_grant(&server, u);
	return n;
}

Test(helper_users, grants_are_limited_by_user_and_in_all)
{
	unsigned n = 0;

	for (uid_t uid = 1000; uid < 1100; uid++) {
		unsigned of_one = hold_all(user_get(&server, uid));
		cr_expect_leq(of_one, GRANTS_UID_MAX);
		n += of_one;
	}
	cr_expect_eq(n, GRANTS_OTHERS_MAX);
	cr_expect_eq(hold_all(user_get(&server, 0)), GRANTS_MAX - GRANTS_OTHERS_MAX);
	user_remove_grant(&server, user_get(&server, 1000));
	cr_expect(user_may_hold(&server, user_get(&server, 1000)), "there is room again");
	cr_expect_eq(hold_all(user_get(&server, 1000)), 1);
}

Test(helper_users, who_goes_and_comes_back_has_no_more_than_before)
{
	struct user *u = user_get(&server, 1000);

	(void)send_all(u, 5000);
	user_put(&server, u);
	(void)users_check_time(&server, 6000);
	u = user_get(&server, 1000);
	cr_expect_eq(send_all(u, 6000), MESSAGES_UID_RATE);
	user_put(&server, u);
	/* Once it makes no difference any more he is forgotten. */
	cr_expect_neq(users_check_time(&server, 7000), SERVER_NEVER);
	cr_expect_eq(users_check_time(&server, 20000), SERVER_NEVER);
	cr_expect(LIST_EMPTY(&server.users.all));
}
