// SPDX-License-Identifier: MIT
/*
 * Who holds a file: the helper is asked, its answers are passed on, and a revocation makes tickets
 * void.
 */
#include "grants_fixture.h"
#include "util/cleanup.h"

TestSuite(grants, .init = grants_setup, .fini = grants_teardown);

Test(grants, holders_are_asked_for_and_come)
{
	struct link_holder h = {.pid = put_le32(4711)};
	struct link_holders_end end = {.retired = put_le32(3)};

	clean_everything();
	connect_helper();
	cr_assert_eq(grants_retired(grants), 0);
	cr_assert(grants_ask_holders(grants));
	cr_assert(grants_ask_holders(grants)); /* the same question */
	cr_assert_eq(next(), LINK_HOLDERS);
	cr_assert_eq(next(), 0);
	say(&h, sizeof(h), LINK_HOLDER, 0);
	say(&end, sizeof(end), LINK_HOLDERS_END, 0);
	cr_assert(pump());
	cr_assert_eq(grants_retired(grants), 3);
	cr_assert_eq(holders.count, 1);
	cr_assert_eq(holders.pid, 4711);
	cr_assert_eq(holders.ends, 1);
	/* A helper that ends before it has told all: nobody waits for ever. */
	cr_assert(grants_ask_holders(grants));
	helper = close_fd(helper);
	cr_assert_not(pump());
	cr_assert_eq(holders.ends, 2);
}

Test(grants, a_revocation_makes_tickets_void_and_its_answer_is_passed_on)
{
	struct link_holder h = {.pid = put_le32(4711)};
	struct link_revoked done = {.state = put_le32(LINK_REVOKED_HELD)};
	struct gm_ticket t;
	uint64_t ino, id = 0;

	cr_expect_eq(grants_revoke(grants, 2, true, &root, &id), -EAGAIN, "there is no helper");
	clean_everything();
	ino = make_clean_file("a", 1);
	connect_helper();
	cr_assert_eq(tickets_issue(tickets, ino, 0, GM_ACCESS_READ, &t), 0);
	cr_assert_eq(grants_revoke(grants, ino, true, &somebody, &id), 0);
	cr_assert_eq(next(), LINK_REVOKE);
	cr_expect_eq(get_le64(got.header.id), id);
	cr_expect_eq(get_le64(got.revoke.ino), ino);
	cr_expect_eq(get_le32(got.revoke.flags), LINK_REVOKE_KILL);
	cr_expect_eq(get_le32(got.revoke.uid), 1000);
	say_redeem(7, &t);
	cr_assert(pump());
	cr_assert_eq(next(), LINK_REFUSE);
	cr_expect_eq(get_le32(got.refuse.reason), GM_REASON_TICKET);
	say(&h, sizeof(h), LINK_HOLDER, id);
	say(&done, sizeof(done), LINK_REVOKED, id);
	cr_assert(pump());
	cr_expect(revoked.holders == 1 && revoked.ends == 1 && revoked.id == id);
	cr_expect_eq(revoked.state, GM_REVOKED_HELD);
	cr_expect_eq(holders.count, 0, "it is not HOLDERS' answer");
	say(&done, sizeof(done), LINK_REVOKED, id);
	cr_expect_not(pump(), "nobody asks any more");
}

Test(grants, who_only_asks_who_holds_it_changes_nothing)
{
	struct gm_ticket t;
	uint64_t ino, id = 0;

	clean_everything();
	ino = make_clean_file("a", 1);
	connect_helper();
	cr_assert_eq(tickets_issue(tickets, ino, 0, GM_ACCESS_READ, &t), 0);
	cr_assert_eq(grants_revoke(grants, ino, false, &root, &id), 0);
	cr_assert_eq(next(), LINK_REVOKE);
	cr_expect_eq(get_le32(got.revoke.flags), 0);
	cr_expect_eq(tickets_count(tickets), 1);
	helper = close_fd(helper);
	cr_expect_not(pump());
	cr_expect(revoked.ends == 1 && revoked.id == 0 && revoked.state == -EAGAIN);
}

Test(grants, a_holder_whose_names_do_not_end_is_refused)
{
	struct link_holder h = {.pid = put_le32(4711)};

	clean_everything();
	connect_helper();
	cr_assert(grants_ask_holders(grants));
	memset(h.cgroup, 'x', sizeof(h.cgroup));
	say(&h, sizeof(h), LINK_HOLDER, 0);
	cr_expect_not(pump());
}
