// SPDX-License-Identifier: MIT
/*
 * A ticket is good once, for a few seconds, for one inode and access mode;
 * nothing else is good at all.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "fuse/tickets.h"

#define START    1000000ULL
#define LIFETIME (GM_TICKET_SECONDS * 1000ULL)

#define OWN 500U
#define HIM 1000U

static struct tickets *tickets;

static void setup(void)
{
	tickets = tickets_new(OWN, NULL);
	cr_assert_not_null(tickets);
}

static void teardown(void)
{
	tickets = tickets_free(tickets);
}

TestSuite(tickets, .init = setup, .fini = teardown);

static struct gm_ticket issue(uint64_t now, uint64_t ino)
{
	struct gm_ticket t;

	cr_assert_eq(tickets_issue_at(tickets, now, ino, 0, GM_ACCESS_READ, &t), 0);
	return t;
}

static int redeem(uint64_t now, const struct gm_ticket *t)
{
	uint64_t ino = 0;
	uint32_t access = 0;

	return tickets_redeem_at(tickets, now, t, &ino, &access);
}

Test(tickets, brings_back_inode_and_access)
{
	struct gm_ticket t;
	uint64_t ino = 0;
	uint32_t access = 0;

	cr_assert_eq(tickets_issue(tickets, 42, 0, GM_ACCESS_READ | GM_ACCESS_WRITE, &t), 0);
	cr_assert_eq(tickets_redeem(tickets, &t, &ino, &access), 0);
	cr_assert_eq(ino, 42);
	cr_assert_eq(access, GM_ACCESS_READ | GM_ACCESS_WRITE);
	cr_assert_eq(tickets_count(tickets), 0);
}

Test(tickets, is_good_once)
{
	struct gm_ticket t = issue(START, 7);

	cr_assert_eq(redeem(START, &t), 0);
	cr_assert_eq(redeem(START, &t), -EKEYREJECTED);
}

Test(tickets, is_good_until_its_last_millisecond)
{
	struct gm_ticket early = issue(START, 7);
	struct gm_ticket late = issue(START, 7);

	cr_assert_eq(redeem(START + LIFETIME - 1, &early), 0);
	cr_assert_eq(redeem(START + LIFETIME, &late), -EKEYREJECTED);
}

Test(tickets, refuses_what_was_never_issued)
{
	struct gm_ticket zero = {.bytes = {0}};
	struct gm_ticket t = issue(START, 7);

	cr_assert_eq(redeem(START, &zero), -EKEYREJECTED);
	/* Every single bit of a ticket counts. */
	for (size_t bit = 0; bit < sizeof(t.bytes) * 8; bit++) {
		struct gm_ticket wrong = t;

		wrong.bytes[bit / 8] = (uint8_t)(wrong.bytes[bit / 8] ^ (1U << bit % 8));
		cr_assert_eq(redeem(START, &wrong), -EKEYREJECTED, "bit %zu", bit);
	}
	cr_assert_eq(redeem(START, &t), 0, "a wrong guess must not use the ticket up");
}

Test(tickets, on_failure_sets_nothing)
{
	struct gm_ticket t = issue(START, 7);
	uint64_t ino = 99;
	uint32_t access = 98;

	t.bytes[0] ^= 1;
	cr_assert_eq(tickets_redeem_at(tickets, START, &t, &ino, &access), -EKEYREJECTED);
	cr_assert_eq(ino, 99);
	cr_assert_eq(access, 98);
}

Test(tickets, one_inode_cant_use_up_everybodys)
{
	struct gm_ticket t;

	for (unsigned i = 0; i < TICKETS_PER_INODE_MAX; i++)
		(void)issue(START, 7);
	memset(&t, 0xaa, sizeof(t));
	cr_assert_eq(tickets_issue_at(tickets, START, 7, 0, GM_ACCESS_READ, &t), -EAGAIN);
	cr_assert_eq(t.bytes[0], 0xaa);
	(void)issue(START, 8);
	/* When the old ones have expired there is room again. */
	(void)issue(START + LIFETIME, 7);
	cr_assert_eq(tickets_count(tickets), 1);
}

Test(tickets, has_a_limit_in_all_and_recovers_from_it)
{
	struct gm_ticket t, first = issue(START, 1);

	for (unsigned i = 1; i < TICKETS_MAX; i++)
		(void)issue(START + 1, 1 + i / TICKETS_PER_INODE_MAX * 2);
	cr_assert_eq(tickets_count(tickets), TICKETS_MAX);
	cr_assert_eq(tickets_issue_at(tickets, START + 1, 5000, 0, GM_ACCESS_READ, &t), -EAGAIN);
	cr_assert_eq(redeem(START + 1, &first), 0);
	t = issue(START + 1, 5000);
	cr_assert_eq(redeem(START + 1, &t), 0);
}

static int issue_to(uid_t uid, uint64_t ino)
{
	struct gm_ticket t;

	return tickets_issue_at(tickets, START, ino, uid, GM_ACCESS_READ, &t);
}

Test(tickets, a_user_with_many_files_cant_use_up_everybodys)
{
	for (unsigned i = 0; i < TICKETS_PER_USER_MAX; i++)
		cr_assert_eq(issue_to(HIM, 1 + i), 0);
	cr_assert_eq(issue_to(HIM, 5000), -EAGAIN);
	cr_assert_eq(issue_to(HIM + 1, 1), 0);
	/* Whom the mount is: a launcher asks for many. */
	for (unsigned i = 0; i < TICKETS_PER_USER_MAX + 1; i++)
		cr_assert_eq(issue_to(i % 2 ? OWN : 0, 6000 + i), 0);
}

Test(tickets, all_users_together_leave_some_to_root)
{
	unsigned n = 0;

	while (issue_to(HIM + n % 100, 1 + n) == 0)
		n++;
	cr_assert_eq(n, TICKETS_OTHERS_MAX);
	for (; n < TICKETS_MAX; n++)
		cr_assert_eq(issue_to(n % 2 ? OWN : 0, 1 + n), 0);
	cr_assert_eq(issue_to(0, 1 + n), -EAGAIN);
}

Test(tickets, revoked_ones_are_void_and_only_those)
{
	struct gm_ticket a = issue(START, 7), b = issue(START, 8), c = issue(START + 1, 7);
	struct gm_ticket used = issue(START, 7);

	cr_assert_eq(redeem(START, &used), 0);
	cr_assert_eq(tickets_revoke(tickets, 7), 2);
	cr_assert_eq(redeem(START + 1, &a), -EKEYREJECTED);
	cr_assert_eq(redeem(START + 1, &c), -EKEYREJECTED);
	cr_assert_eq(tickets_revoke(tickets, 7), 0);
	cr_assert_eq(tickets_revoke(tickets, 0), 0, "free places are nobody's");
	cr_assert_eq(redeem(START + 1, &b), 0);
	cr_assert_eq(tickets_count(tickets), 0);
	a = issue(START + 2, 7);
	cr_assert_eq(redeem(START + 2, &a), 0, "a new one is good");
}

Test(tickets, redeeming_in_any_order_keeps_the_order_of_expiry)
{
	struct gm_ticket t[5];

	for (unsigned i = 0; i < 5; i++)
		t[i] = issue(START + i * 100, 7);
	cr_assert_eq(redeem(START + 500, &t[2]), 0); /* middle */
	cr_assert_eq(redeem(START + 500, &t[0]), 0); /* oldest */
	cr_assert_eq(redeem(START + 500, &t[4]), 0); /* newest */
	cr_assert_eq(tickets_count(tickets), 2);
	cr_assert_eq(redeem(START + 100 + LIFETIME, &t[1]), -EKEYREJECTED);
	cr_assert_eq(tickets_count(tickets), 1);
	cr_assert_eq(redeem(START + 299 + LIFETIME, &t[3]), 0);
	cr_assert_eq(tickets_count(tickets), 0);
}

/* ---- a worker's successor ---- */

static struct tickets_shared shared;

/* Nothing but what is shared is left of the one before. */
static struct tickets *successor(struct tickets *t)
{
	(void)tickets_free(t);
	t = tickets_new(OWN, &shared);
	cr_assert_not_null(t);
	return t;
}

Test(tickets, are_known_to_the_next_worker_until_they_are_used)
{
	struct tickets *t = tickets_new(OWN, &shared);
	struct gm_ticket kept, used;
	uint32_t access = 0;
	uint64_t ino = 0;

	cr_assert_eq(tickets_issue(t, 42, HIM, GM_ACCESS_READ, &kept), 0);
	cr_assert_eq(tickets_issue(t, 43, HIM, GM_ACCESS_READ, &used), 0);
	t = successor(t);
	cr_expect_eq(tickets_count(t), 2);
	cr_expect_eq(tickets_redeem(t, &used, &ino, &access), 0);
	t = successor(t);
	cr_expect_eq(tickets_redeem(t, &used, &ino, &access), -EKEYREJECTED);
	cr_expect_eq(tickets_redeem(t, &kept, &ino, &access), 0);
	cr_expect(ino == 42 && access == GM_ACCESS_READ);
	t = successor(t);
	cr_expect_eq(tickets_count(t), 0);
	(void)tickets_free(t);
}

Test(tickets, that_can_not_be_any_are_not_taken_over)
{
	struct tickets *t = tickets_new(OWN, &shared);
	struct ticket_place *p = NULL;
	struct gm_ticket ticket;
	uint32_t access;
	uint64_t ino;

	cr_assert_eq(tickets_issue(t, 42, HIM, GM_ACCESS_READ, &ticket), 0);
	for (uint32_t n = 0; n < TICKETS_PLACES; n++)
		if (shared.places[n].ino != 0)
			p = &shared.places[n];
	cr_assert_not_null(p);
	const struct ticket_place good = *p;
	struct ticket_place bad[4] = {good, good, good, good};
	bad[0].expires += 3600000;
	bad[1].expires = 1;
	bad[2].access = GM_ACCESS_WRITE;
	bad[3].ticket.bytes[0] ^= 1; /* its place would be another */
	for (size_t n = 0; n < 4; n++) {
		*p = bad[n];
		t = successor(t);
		cr_expect_eq(tickets_count(t), 0, "%zu", n);
		cr_expect_eq(p->ino, 0, "%zu", n);
	}
	*p = good;
	t = successor(t);
	cr_expect_eq(tickets_redeem(t, &ticket, &ino, &access), 0);
	(void)tickets_free(t);
}
