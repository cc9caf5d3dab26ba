// SPDX-License-Identifier: MIT
/* Answers that a worker was just giving when it died, and that say that nothing was done. */
#include "connection_fixture.h"
#include "util/cleanup.h"

TestSuite(connection_answers, .init = connection_setup, .fini = connection_teardown);

static const struct fuse_mkdir_in mkdir_in = {.mode = 0750};
static const struct fuse_setattr_in grow_in = {.valid = FATTR_SIZE, .size = 100 * GM_BLOCK_SIZE};
static const struct fuse_open_in open_in = {.flags = O_RDWR};
static const struct fuse_create_in create_in = {.flags = O_CREAT | O_RDWR, .mode = 0640};
static const struct request make_file = {
	.what = "mkdir", .opcode = FUSE_MKDIR, .node = ROOT, FIXED(mkdir_in), REST("file")};
static const struct request grow = {
	.what = "grow", .opcode = FUSE_SETATTR, .node = 2, FIXED(grow_in)};
static const struct request open_file = {
	.what = "open", .opcode = FUSE_OPEN, .node = 2, FIXED(open_in)};
static const struct request create_new = {
	.what = "create", .opcode = FUSE_CREATE, .node = ROOT, FIXED(create_in), REST("new")};
static const struct request unlink_file = {
	.what = "unlink", .opcode = FUSE_UNLINK, .node = ROOT, REST("file")};
static const struct request unlink_new = {
	.what = "unlink", .opcode = FUSE_UNLINK, .node = ROOT, REST("new")};

static int stat_inode(uint64_t ino)
{
	static const struct fuse_getattr_in in = {.fh = 0};

	return ask(&(struct request){.opcode = FUSE_GETATTR, .node = ino, FIXED(in)});
}

/* ---- refusals ---- */

/* Between two workers: what stood in the request's way. */
static void remove_file(void)
{
	struct problem why = PROBLEM_INIT;

	cr_assert_eq(store_open(&pool.store, &pool.media, &pool.super, &why), 0, "%s", why.text);
	ns_init(&pool.ns, pool.store);
	cr_assert_eq(ns_unlink(&pool.ns, &pool.rq, ROOT, "file", 4), 0);
	pool.store = store_close(pool.store);
}

/* A worker refuses it, and dies there. */
static void refuse_with_death(const struct request *rq, enum death at)
{
	struct answer a;

	kill_worker();
	start_worker(at);
	send_to_worker(rq);
	cr_assert_eq(wait_worker(), 9);
	if (at != AFTER_REPLY)
		return;
	receive_answer(&a);
	cr_assert_eq(a.header.error, -EEXIST);
}

Test(connection_answers, what_was_refused_stays_refused)
{
	static const enum death points[] = {BEFORE_REPLY, AFTER_REPLY};
	struct answer a;

	for (size_t n = 0; n < ARRAY_SIZE(points); n++) {
		refuse_with_death(&make_file, points[n]);
		remove_file();
		start_worker(NEVER);
		receive_answer(&a);
		cr_expect_eq(a.header.error, -EEXIST, "what its caller was told");
		cr_expect_eq(ask(&make_file), 0, "it was not done, and now can be");
		connection_teardown();
		connection_setup();
	}
}

Test(connection_answers, no_refusal_lives_longer_than_its_request)
{
	cr_expect_eq(ask(&grow), -ENOSPC);
	for (unsigned n = 0; n < 5; n++)
		cr_expect_eq(stat_inode(2), 0);
	kill_worker();
	start_worker(NEVER);
	cr_expect_eq(stat_inode(2), 0);
}

Test(connection_answers, an_errno_that_the_kernel_would_not_take_is_none)
{
	struct answer a;

	for (uint32_t error = 512; error <= UINT16_MAX; error += UINT16_MAX - 512) {
		refuse_with_death(&make_file, BEFORE_REPLY);
		remove_file();
		for (uint32_t n = 0; n < SLOTS_MAX; n++)
			table.header->slots.states[n].refused = (uint16_t)error;
		start_worker(NEVER);
		receive_answer(&a);
		cr_expect_eq(a.header.error, 0, "it runs again");
		connection_teardown();
		connection_setup();
	}
}

static bool is_taken(uint64_t unique)
{
	for (uint32_t n = 0; n < table.header->slots.used; n++) {
		const struct fuse_in_header *h =
			(const void *)(table.slots + (size_t)n * SLOT_BYTES);

		if (h->len != 0 && h->unique == unique)
			return true;
	}
	return false;
}

Test(connection_answers, a_refusal_that_the_kernel_has_had_is_done_with)
{
	static const struct request create_file = {.what = "create",
		.opcode = FUSE_CREATE,
		.node = ROOT,
		FIXED(create_in),
		REST("file")};

	refuse_with_death(&create_file, AFTER_REPLY);
	unwanted = number;
	start_worker(NEVER);
	cr_expect_eq(stat_inode(2), 0);
	cr_expect_not(is_taken(unwanted), "its slot is free");
}

/* ---- opens whose caller has gone ---- */

/* The kernel does not take the answer; a worker dies before or after it has counted that. */
static void open_unwanted(const struct request *rq, enum death at)
{
	kill_worker();
	unwanted = number + 2;
	start_worker(at);
	send_to_worker(rq);
	if (at == NEVER)
		return;
	cr_assert_eq(wait_worker(), 9, "%s, death %d", rq->what, at);
	number -= 2; /* so that the next one may die of another */
	start_worker(NEVER);
	number += 2;
}

Test(connection_answers, an_open_that_nobody_wants_any_more_is_not_counted)
{
	static const enum death points[] = {NEVER, BEFORE_DROP, AFTER_DROP};

	for (size_t n = 0; n < ARRAY_SIZE(points); n++) {
		open_unwanted(&open_file, points[n]);
		cr_expect_eq(ask(&unlink_file), 0);
		cr_expect_eq(stat_inode(2), -ESTALE, "death %d: nobody has it open", points[n]);
		open_unwanted(&create_new, points[n]);
		cr_expect_eq(stat_inode(NEXT_INO), 0);
		cr_expect_eq(ask(&unlink_new), 0);
		cr_expect_eq(
			stat_inode(NEXT_INO), -ESTALE, "death %d: nobody has it open", points[n]);
		connection_teardown();
		connection_setup();
	}
}

Test(connection_answers, others_who_have_it_open_are_counted_still)
{
	cr_assert_eq(ask(&open_file), 0);
	open_unwanted(&open_file, BEFORE_DROP);
	cr_expect_eq(ask(&unlink_file), 0);
	cr_expect_eq(stat_inode(2), 0);
}

Test(connection_answers, nobody_wants_is_believed_of_opens_alone_and_harms_nobody)
{
	struct answer a;

	refuse_with_death(&make_file, BEFORE_REPLY);
	for (uint32_t n = 0; n < SLOTS_MAX; n++)
		table.header->slots.states[n] = (struct slot_state){.unwanted = 0xff};
	start_worker(NEVER);
	receive_answer(&a);
	cr_expect_eq(a.header.error, -EEXIST);
	kill_worker();
	start_worker(BEFORE_REPLY);
	send_to_worker(&open_file);
	cr_assert_eq(wait_worker(), 9);
	for (uint32_t n = 0; n < SLOTS_MAX; n++)
		table.header->slots.states[n].unwanted = 1;
	start_worker(NEVER);
	receive_answer(&a);
	cr_expect_eq(a.header.error, 0);
	cr_expect_eq(stat_inode(2), 0);
}
