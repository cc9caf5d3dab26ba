// SPDX-License-Identifier: MIT
/*
 * Space of files: what fallocate takes and frees, where holes are, what must be zeroed before a
 * punch, and what of that is refused. Pages of 1 GiB: test_large_pages.c.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "pool_fixture.h"
#include "util/cleanup.h"

#define ROOT GM_ROOT_INO
#define MIB  (1ULL << 20)
#define B    GM_BLOCK_SIZE

static struct pool pool;

static void setup(void)
{
	pool_init(&pool, 16, 1000, true);
}

static void teardown(void)
{
	pool_deinit(&pool);
}

TestSuite(namespace_space, .init = setup, .fini = teardown);

static int change(uint64_t ino, enum ns_space what, uint64_t offset, uint64_t length)
{
	struct ns_range range = {offset, length};

	pool_tick(&pool);
	return ns_change_space(&pool.ns, &pool.rq, ino, what, &range);
}

/* A file of some size, and of a letter for each of its blocks: x it has memory, - a hole. */
static uint64_t make(uint64_t size, const char *blocks)
{
	static unsigned number;
	char name[16];
	uint64_t ino;

	(void)snprintf(name, sizeof(name), "f%u", number++);
	ino = pool_create(&pool, ROOT, name);
	cr_assert_eq(pool_resize(&pool, ino, size), 0);
	for (uint64_t n = 0; blocks[n]; n++)
		cr_assert_eq(
			change(ino, blocks[n] == 'x' ? NS_ALLOCATE_KEEP : NS_PUNCH, n * B, B), 0);
	pool_clean(&pool, ino);
	return ino;
}

static void expect_blocks(uint64_t ino, uint64_t size, const char *blocks, const char *what)
{
	const struct inode *i = pool_inode(&pool, ino);
	char got[32] = "";
	struct stat st;

	memset(got, '-', strlen(blocks));
	for (uint32_t n = 0; n < i->extent_count; n++)
		for (uint32_t k = 0; k < i->extents[n].count; k++)
			got[i->extents[n].file_block + k] = 'x';
	cr_expect_str_eq(got, blocks, "%s: %s", what, got);
	cr_expect_eq(i->attr.size, size, "%s: %lu bytes", what, (unsigned long)i->attr.size);
	cr_assert_eq(ns_getattr(&pool.ns, ino, &st), 0);
	cr_expect_eq((uint64_t)st.st_blocks, inode_blocks(i) * (B / 512));
}

static void remove_all(void)
{
	struct ns_entry e;

	while (ns_next_entry(&pool.ns, ROOT, 2, &e) == 1) {
		char name[GM_NAME_MAX + 1];

		memcpy(name, e.name, e.length);
		cr_assert_eq(ns_unlink(&pool.ns, &pool.rq, ROOT, name, e.length), 0);
	}
	cr_assert_eq(pool_stats(&pool).used, 0);
}

Test(namespace_space, changes_what_the_range_says)
{
	static const struct {
		const char *what;
		uint64_t size;
		const char *before;
		enum ns_space change;
		uint64_t offset, length, then;
		const char *after;
	} cases[] = {
		{"an empty file", 0, "", NS_ALLOCATE, 0, 5 * MIB, 5 * MIB, "xxx"},
		{"the size stays", 0, "", NS_ALLOCATE_KEEP, 0, 5 * MIB, 0, "xxx"},
		{"no hole before it", 0, "", NS_ALLOCATE, 6 * MIB, MIB, 7 * MIB, "xxxx"},
		{"far behind the end", 0, "", NS_ALLOCATE_KEEP, 6 * MIB, MIB, 0, "---x"},
		{"one byte", 0, "", NS_ALLOCATE, 0, 1, 1, "x"},
		{"over two blocks", 0, "", NS_ALLOCATE, B - 1, 2, B + 1, "xx"},
		{"there already", 8 * MIB, "xxxx", NS_ALLOCATE, MIB, 3 * MIB, 8 * MIB, "xxxx"},
		{"longer in its last block", 3 * MIB, "xx", NS_ALLOCATE, 0, 4 * MIB, 4 * MIB, "xx"},
		{"a hole", 8 * MIB, "x--x", NS_ALLOCATE, 2 * MIB, 1, 8 * MIB, "xx-x"},
		{"holes", 12 * MIB, "x-x--x", NS_ALLOCATE_KEEP, 0, 12 * MIB, 12 * MIB, "xxxxxx"},
		{"only the new part", 8 * MIB, "x-xx", NS_ALLOCATE, 6 * MIB, 4 * MIB, 10 * MIB,
			"x-xxx"},
		{"a hole and past the end", 6 * MIB, "x--", NS_ALLOCATE, 4 * MIB, 6 * MIB, 10 * MIB,
			"x-xxx"},
		{"up to what was kept", 2 * MIB, "x--x", NS_ALLOCATE, 9 * MIB, MIB, 10 * MIB,
			"xxxxx"},
		{"a block", 8 * MIB, "xxxx", NS_PUNCH, 2 * MIB, 2 * MIB, 8 * MIB, "x-xx"},
		{"all of it", 8 * MIB, "xxxx", NS_PUNCH, 0, 8 * MIB, 8 * MIB, "----"},
		{"no whole block", 8 * MIB, "xxxx", NS_PUNCH, MIB, 2 * MIB, 8 * MIB, "xxxx"},
		{"the whole ones", 8 * MIB, "xxxx", NS_PUNCH, MIB, 6 * MIB, 8 * MIB, "x--x"},
		{"a hole again", 8 * MIB, "x--x", NS_PUNCH, 2 * MIB, 4 * MIB, 8 * MIB, "x--x"},
		{"to the end within a block", 7 * MIB, "xxxx", NS_PUNCH, 4 * MIB, 3 * MIB, 7 * MIB,
			"xx--"},
		{"not quite to the end", 7 * MIB, "xxxx", NS_PUNCH, 4 * MIB, 3 * MIB - 1, 7 * MIB,
			"xx-x"},
		{"past the end", 4 * MIB, "xxxxx", NS_PUNCH, 2 * MIB, 1ULL << 50, 4 * MIB, "x----"},
		{"all there can be", 4 * MIB, "xxxxx", NS_PUNCH, 2 * MIB, INT64_MAX, 4 * MIB,
			"x----"},
		{"where nothing can be", 4 * MIB, "xx--x", NS_PUNCH, INT64_MAX, 1, 4 * MIB,
			"xx--x"},
		{"behind the end alone", 4 * MIB, "xx-xx", NS_PUNCH, 8 * MIB, 1, 4 * MIB, "xx-x-"},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		uint64_t ino = make(cases[n].size, cases[n].before);

		cr_expect_eq(change(ino, cases[n].change, cases[n].offset, cases[n].length), 0,
			"%s", cases[n].what);
		expect_blocks(ino, cases[n].then, cases[n].after, cases[n].what);
		pool_reopen(&pool, false);
		expect_blocks(ino, cases[n].then, cases[n].after, cases[n].what);
		remove_all();
	}
}

Test(namespace_space, a_new_size_fills_what_it_adds_and_trims_what_was_kept)
{
	static const struct {
		const char *what;
		uint64_t size;
		const char *before;
		uint64_t then;
		const char *after;
	} cases[] = {
		{"over what was kept", 2 * MIB, "x-x-x", 10 * MIB, "xxxxx"},
		{"as far as that", 2 * MIB, "x--x", 4 * MIB, "xx-x"},
		{"a hole stays one", 6 * MIB, "x-x", 8 * MIB, "x-xx"},
		{"the same size", 4 * MIB, "xxxx", 4 * MIB, "xx"},
		{"a smaller one", 8 * MIB, "x-xxx", 5 * MIB, "x-x"},
		{"none", 8 * MIB, "---xxx", 0, ""},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		uint64_t ino = make(cases[n].size, cases[n].before);

		cr_expect_eq(pool_resize(&pool, ino, cases[n].then), 0, "%s", cases[n].what);
		expect_blocks(ino, cases[n].then, cases[n].after, cases[n].what);
		remove_all();
	}
}

Test(namespace_space, refuses_what_can_not_be_and_changes_nothing)
{
	uint64_t f = make(8 * MIB, "x-xx"), d = pool_mkdir(&pool, ROOT, "d");
	const struct {
		const char *what;
		uint64_t ino;
		enum ns_space change;
		uint64_t offset, length;
		int error;
	} cases[] = {
		{"nothing", f, NS_ALLOCATE, 0, 0, -EINVAL},
		{"nothing to punch", f, NS_PUNCH, 0, 0, -EINVAL},
		{"past any pool", f, NS_ALLOCATE, 1, 1ULL << 62, -EFBIG},
		{"from past any pool", f, NS_ALLOCATE_KEEP, INT64_MAX, 1, -EFBIG},
		{"more than there is", f, NS_ALLOCATE, 0, 1ULL << 40, -ENOSPC},
		{"more than there is, past the end", f, NS_ALLOCATE_KEEP, 1ULL << 40, 32 * B,
			-ENOSPC},
		{"a directory", d, NS_ALLOCATE, 0, B, -EISDIR},
		{"a directory to punch", d, NS_PUNCH, 0, B, -EISDIR},
		{"nobody", 4711, NS_ALLOCATE, 0, B, -ESTALE},
	};
	struct inode_attr before = pool_inode(&pool, f)->attr;

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		cr_expect_eq(
			change(cases[n].ino, cases[n].change, cases[n].offset, cases[n].length),
			cases[n].error, "%s", cases[n].what);
		expect_blocks(f, 8 * MIB, "x-xx", cases[n].what);
	}
	cr_expect_eq(memcmp(&before, &pool_inode(&pool, f)->attr, sizeof(before)), 0);
}

Test(namespace_space, a_held_file_gets_blocks_but_loses_none)
{
	uint64_t f = make(6 * MIB, "x-x");
	struct ns_range range = {0, B}, edges[2];

	cr_assert_eq(ns_hold(&pool.ns, f), 0);
	cr_expect_eq(ns_punch_edges(&pool.ns, f, &range, edges), -EBUSY);
	cr_expect_eq(change(f, NS_PUNCH, 0, B), -EBUSY);
	cr_expect_eq(change(f, NS_ALLOCATE, 0, 6 * MIB), 0);
	cr_expect_eq(change(f, NS_ALLOCATE_KEEP, 8 * MIB, B), 0);
	expect_blocks(f, 6 * MIB, "xxx-x", "held");
	cr_expect_eq(pool_resize(&pool, f, 6 * MIB), 0, "the size that it has");
	expect_blocks(f, 6 * MIB, "xxx-x", "held, and nothing is freed");
	cr_assert_eq(ns_set_exported(&pool.ns, f, true), 0);
	cr_expect_eq(change(f, NS_ALLOCATE, 0, 6 * MIB), 0, "it has all of that");
	cr_expect_eq(change(f, NS_ALLOCATE_KEEP, 6 * MIB, B), -EBUSY);
	cr_expect_eq(change(f, NS_ALLOCATE, 0, 7 * MIB), -EBUSY);
	expect_blocks(f, 6 * MIB, "xxx-x", "exported");
}

Test(namespace_space, a_frozen_pool_is_not_touched)
{
	uint64_t f = make(6 * MIB, "x-x");
	struct ns_range range = {1, B}, edges[2];

	cr_assert_eq(store_freeze(pool.store), 0);
	cr_expect_eq(
		ns_punch_edges(&pool.ns, f, &range, edges), -EBUSY, "before anything is zeroed");
	cr_expect_eq(change(f, NS_PUNCH, 0, B), -EBUSY);
	cr_expect_eq(change(f, NS_ALLOCATE, 0, 6 * MIB), -EBUSY);
	expect_blocks(f, 6 * MIB, "x-x", "frozen");
}

Test(namespace_space, tells_what_must_be_zeroed_at_the_ends_of_a_punch)
{
	static const struct {
		const char *what;
		uint64_t size;
		const char *blocks;
		uint64_t offset, length;
		int count;
		struct ns_range edges[2];
	} cases[] = {
		{"whole blocks", 8 * MIB, "xxxx", 2 * MIB, 4 * MIB, 0, {{0, 0}}},
		{"both ends", 8 * MIB, "xxxx", MIB, 6 * MIB, 2, {{MIB, MIB}, {6 * MIB, MIB}}},
		{"the first", 8 * MIB, "xxxx", MIB, 5 * MIB, 1, {{MIB, MIB}}},
		{"the last", 8 * MIB, "xxxx", 2 * MIB, 5 * MIB, 1, {{6 * MIB, MIB}}},
		{"within one block", 8 * MIB, "xxxx", MIB, 7, 1, {{MIB, 7}}},
		{"from a block's start", 8 * MIB, "xxxx", 2 * MIB, 7, 1, {{2 * MIB, 7}}},
		{"two neighbours", 8 * MIB, "xxxx", B - 1, 2, 2, {{B - 1, 1}, {B, 1}}},
		{"in holes", 8 * MIB, "-xx-", MIB, 6 * MIB, 0, {{0, 0}}},
		{"to the end of the file", 7 * MIB, "xxxx", MIB, 6 * MIB, 1, {{MIB, MIB}}},
		{"to shortly before it", 7 * MIB, "xxxx", 0, 7 * MIB - 1, 1, {{6 * MIB, MIB - 1}}},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		struct ns_range edges[2], range = {cases[n].offset, cases[n].length};
		uint64_t ino = make(cases[n].size, cases[n].blocks);
		int count = ns_punch_edges(&pool.ns, ino, &range, edges);

		cr_expect_eq(count, cases[n].count, "%s: %d", cases[n].what, count);
		for (int k = 0; k < count && k < cases[n].count; k++)
			cr_expect(edges[k].offset == cases[n].edges[k].offset &&
					  edges[k].length == cases[n].edges[k].length,
				"%s: %lu+%lu", cases[n].what, (unsigned long)edges[k].offset,
				(unsigned long)edges[k].length);
		remove_all();
	}
}

Test(namespace_space, what_is_dirty_is_zeroed_whole_and_needs_no_zeroing_before)
{
	struct ns_range edges[2], range = {MIB, 2 * MIB};
	uint64_t f = make(8 * MIB, "xxxx");
	const struct inode *i = pool_inode(&pool, f);
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SCRUB, 0);

	txn_set_blocks(&t, &(struct alloc_extent){i->extents[0].block, 0, 1}, GM_BLOCKS_DIRTY);
	cr_assert_eq(store_commit(pool.store, &t), 0);
	cr_expect_eq(ns_punch_edges(&pool.ns, f, &range, edges), 1);
	cr_expect_eq(edges[0].offset, 2 * MIB);
}

Test(namespace_space, a_rest_that_was_to_be_zeroed_goes_with_its_block)
{
	uint64_t f = make(8 * MIB, "xxxx");

	cr_assert_eq(pool_resize(&pool, f, 5 * MIB), 0);
	cr_assert_eq(pool_resize(&pool, f, 8 * MIB), 0);
	cr_assert_eq(pool_inode(&pool, f)->attr.stale_from, 5 * MIB);
	cr_expect_eq(change(f, NS_PUNCH, 0, 4 * MIB), 0);
	cr_expect_eq(pool_inode(&pool, f)->attr.stale_from, 5 * MIB, "another block");
	cr_expect_eq(change(f, NS_PUNCH, 4 * MIB, 2 * MIB), 0);
	cr_expect_eq(pool_inode(&pool, f)->attr.stale_from, 0);
	cr_expect_eq(change(f, NS_ALLOCATE, 4 * MIB, 1), 0);
	cr_expect_eq(pool_inode(&pool, f)->attr.stale_from, 0);
}

Test(namespace_space, finds_data_and_holes)
{
	static const struct {
		uint64_t from, data, hole; /* ~0: ENXIO */
	} cases[] = {
		{0, 2 * MIB, 0},
		{2 * MIB - 1, 2 * MIB, 2 * MIB - 1},
		{2 * MIB, 2 * MIB, 6 * MIB},
		{5 * MIB, 5 * MIB, 6 * MIB},
		{6 * MIB, 10 * MIB, 6 * MIB},
		{9 * MIB, 10 * MIB, 9 * MIB},
		{10 * MIB, 10 * MIB, 11 * MIB},
		{11 * MIB - 1, 11 * MIB - 1, 11 * MIB},
		{11 * MIB, ~0ULL, ~0ULL},
		{12 * MIB, ~0ULL, ~0ULL},
		{(uint64_t)-1, ~0ULL, ~0ULL},
	};
	uint64_t f = make(11 * MIB, "-xx--xxx"), empty = make(0, ""), hole = make(4 * MIB, "--x"),
		 at;

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		int r = ns_seek(&pool.ns, f, cases[n].from, SEEK_DATA, &at);

		cr_expect_eq(r < 0 ? ~0ULL : at, cases[n].data, "data %zu", n);
		cr_expect(r == 0 || r == -ENXIO);
		r = ns_seek(&pool.ns, f, cases[n].from, SEEK_HOLE, &at);
		cr_expect_eq(r < 0 ? ~0ULL : at, cases[n].hole, "hole %zu", n);
		cr_expect(r == 0 || r == -ENXIO);
	}
	cr_expect_eq(ns_seek(&pool.ns, empty, 0, SEEK_HOLE, &at), -ENXIO);
	cr_expect_eq(
		ns_seek(&pool.ns, hole, 0, SEEK_DATA, &at), -ENXIO, "what is kept is past the end");
	cr_expect_eq(ns_seek(&pool.ns, hole, 0, SEEK_HOLE, &at), 0);
	cr_expect_eq(at, 0);
	cr_expect_eq(ns_seek(&pool.ns, f, 0, SEEK_SET, &at), -EINVAL);
	cr_expect_eq(ns_seek(&pool.ns, ROOT, 0, SEEK_DATA, &at), -EINVAL);
	cr_expect_eq(ns_seek(&pool.ns, 4711, 0, SEEK_DATA, &at), -ESTALE);
}
