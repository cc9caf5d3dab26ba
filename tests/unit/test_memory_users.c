// SPDX-License-Identifier: MIT
/*
 * As test_memory_namespace.c, for what has more than one step: the last user of a removed file,
 * memory handed over, the content store that grows, a change too large for the journal; for what
 * only reads; and for tables that are full.
 */
#include <errno.h>
#include <stdio.h>

#include "scarce_pool.h"
#include "util/cleanup.h"

#define LISTED 20U

static void setup(void)
{
	scarce_pool_setup(0);
}

TestSuite(memory_users, .init = setup, .fini = scarce_pool_teardown);

/* ---- the last user goes ---- */

static uint64_t removed; /* a file without a name */

static void open_and_remove(void)
{
	removed = ino_of("file");
	cr_assert_eq(ns_open(&pool.ns, removed, 0), 0);
	cr_assert_eq(pool_unlink(&pool, GM_ROOT_INO, "file"), 0);
}

/* The kernel says it once. What it could not remove then, any later one does. */
static int release(void)
{
	return ns_release(&pool.ns, removed, 0);
}

static void hold_and_remove(void)
{
	removed = ino_of("gone");
	cr_assert_eq(pool_unlink(&pool, GM_ROOT_INO, "gone"), 0);
}

static int unhold(void)
{
	return ns_unhold(&pool.ns, removed);
}

static void release_frozen(void)
{
	open_and_remove();
	cr_assert_eq(store_freeze(pool.store), 0);
	cr_assert_eq(ns_release(&pool.ns, removed, 0), -EBUSY);
}

static int thaw(void)
{
	return ns_thaw(&pool.ns);
}

/* ---- memory that is handed over ---- */

static int add_spare(void)
{
	const struct ns_spare spare = {.ino = removed, .uid = pool.rq.uid};

	return ns_spare_add(&pool.ns, &spare);
}

static void offer_spare(void)
{
	hold_and_remove();
	cr_assert_eq(add_spare(), 0);
}

static int take_spare(void)
{
	return pool_resize(&pool, ino_of("none"), (pool_stats(&pool).free + 2) * BLOCK);
}

/* ---- the content store ---- */

static int grow_store(void)
{
	const struct ns_range range = {.offset = 0, .length = 3 * BLOCK};

	return ns_change_space(&pool.ns, &pool.rq, ino_of("nothing"), NS_ALLOCATE, &range);
}

static uint64_t wanted; /* blocks: two more than are free */

static void empty_store(void)
{
	cr_assert_eq(grow_store(), 0);
	cr_assert_eq(pool_unlink(&pool, GM_ROOT_INO, "nothing"), 0);
	wanted = pool_stats(&pool).free + 2;
}

static int trim_store(void)
{
	return ns_trim_contents(&pool.ns, &pool.rq, true);
}

/* Of what nobody has it takes what it needs, also from the content store. */
static int grow_by_what_is_empty(void)
{
	return pool_resize(&pool, ino_of("none"), wanted * BLOCK);
}

/* ---- a record that does not fit the journal: it is a checkpoint ---- */

static int add_much(void)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SETATTR, 0);
	struct inode_attr attr = pool_inode(&pool, ino_of("file"))->attr;

	/* The same inode over and over: the state stays small, the record does not. */
	attr.mode ^= 07;
	while (!t.failed && t.size < pool.super.plan.journal_size)
		txn_put_inode(&t, &attr);
	return store_commit(pool.store, &t);
}

static const struct operation operations[] = {
	{"the last close", release, 1, open_and_remove, false},
	{"the last holder", unhold, 1, hold_and_remove, false},
	{"thaw, and what was closed meanwhile", thaw, 1, release_frozen, true},
	{"offer a spare", add_spare, 1, hold_and_remove, false},
	{"take a spare", take_spare, 3, offer_spare, false},
	{"grow the content store", grow_store, 6, NULL, true},
	{"trim the content store", trim_store, 1, empty_store, false},
	{"grow by what the content store has", grow_by_what_is_empty, 2, empty_store, true},
	{"a record that is a checkpoint", add_much, 3, NULL, false},
};

Test(memory_users, what_fails_can_be_had_again)
{
	for (size_t k = 0; k < ARRAY_SIZE(operations); k++)
		(void)try_all(&operations[k]);
}

/* Nobody closes it again. The next close of another file finds it. */
Test(memory_users, what_could_not_be_removed_goes_with_the_next_close)
{
	uint64_t other = ino_of("none");

	open_and_remove();
	cr_assert_eq(ns_open(&pool.ns, other, 0), 0);
	scarce_begin(0, SCARCE_SINCE);
	cr_expect_eq(release(), -ENOMEM);
	cr_assert(scarce_end());
	cr_assert_not_null(pool_inode(&pool, removed));
	cr_assert_eq(ns_release(&pool.ns, other, 0), 0);
	cr_expect_null(pool_inode(&pool, removed));
	cr_expect_eq(pool.ns.orphans, 0);
}

/* A change is done whether or not the checkpoint that is due after it can be written. */
Test(memory_users, a_checkpoint_that_fails_is_written_after_the_next_change)
{
	struct ns_change c = {.set = NS_SET_MODE};
	uint64_t ino = ino_of("file");
	struct store_stats first, stats;
	bool failed = false;
	struct stat st;

	pool_reopen(&pool, false); /* what orders a checkpoint has no memory yet */
	store_get_stats(pool.store, &first);
	while (!failed) {
		c.mode ^= 0777;
		scarce_begin(1, SCARCE_ONCE); /* what it takes beyond its record */
		cr_assert_eq(ns_setattr(&pool.ns, &pool.rq, ino, &c, &st), 0);
		failed = scarce_end();
		store_get_stats(pool.store, &stats);
		cr_assert_eq(stats.generation, first.generation, "it had memory");
	}
	cr_expect_gt(stats.journal_used, stats.journal_size / 2);
	scarce_check_media(&pool.media, pool.region.blocks * BLOCK, scarce_digest(pool.store),
		"the journal past its half");
	cr_assert_eq(ns_setattr(&pool.ns, &pool.rq, ino, &c, &st), 0);
	store_get_stats(pool.store, &stats);
	cr_expect_eq(stats.generation, first.generation + 1);
}

/* ---- what reads ---- */

static int list_names(void)
{
	char *names;
	size_t size;
	int r = ns_listxattr(&pool.ns, ino_of("file"), true, &names, &size);

	if (r == 0)
		free(names);
	return r;
}

static int list_orphans(void)
{
	uint64_t *inos;
	size_t count;
	int r = ns_list_held_orphans(&pool.ns, 0, &inos, &count);

	if (r == 0)
		free(inos);
	return r;
}

static int read_content(void)
{
	const struct ns_range all = {.offset = 0, .length = 9 * UNIT};
	struct iovec *parts;
	size_t count;
	int r = ns_read(&pool.ns, ino_of("bytes"), &all, &parts, &count);

	if (r == 0)
		free(parts);
	return r;
}

Test(memory_users, what_only_reads_fails_alone)
{
	static const struct operation reads[] = {
		{"listxattr", list_names, 1, NULL, false},
		{"list the held orphans", list_orphans, 1, hold_and_remove, false},
		{"read", read_content, 1, NULL, false},
	};

	for (size_t k = 0; k < ARRAY_SIZE(reads); k++)
		(void)try_all(&reads[k]);
}

/* ---- tables that are full ---- */

static int create(void)
{
	struct stat st;

	return ns_create(&pool.ns, &pool.rq, GM_ROOT_INO, "new", 3, 0640, &st);
}

static int add_attribute(void)
{
	return set_xattr(ino_of("none"), "user.new", "a value");
}

/* Whatever is in them, growing a table may fail too: with one file more each time, each is full
 * once. */
Test(memory_tables, full_tables_grow_or_stay)
{
	static const struct operation create_one = {"create", create, 3, NULL, false};
	static const struct operation add_one = {"setxattr", add_attribute, 2, NULL, false};
	unsigned long most = 0;

	for (unsigned fillers = 0; fillers < LISTED; fillers++) {
		unsigned long n;

		scarce_pool_setup(fillers);
		n = try_all(&create_one);
		most = n > most ? n : most;
		(void)try_all(&add_one);
		scarce_pool_teardown();
	}
	cr_expect_geq(most, 4, "no table was full");
}
