// SPDX-License-Identifier: MIT
/*
 * Random operations on the namespace and, side by side, on a plain model of a tree and of
 * the memory below it: results, the whole tree, space and contents are the same, also after
 * the store was closed and recovered. The contents are simulated in cells: what a client
 * wrote is there as long as the file is that long, everything else reads zero, and nobody
 * ever sees another file's cells.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/sysmacros.h>

#include "chance.h"
#include "namespace_model.h"
#include "util/cleanup.h"

enum {
	ROUNDS = 40,
	STEPS = 500,
};

/* ---- the simulated memory ---- */

static uint32_t memory[MEMORY_BLOCKS][CELLS_PER_BLOCK];
static uint32_t last_tag;

static void fill_memory(void)
{
	for (size_t b = 0; b < ARRAY_SIZE(memory); b++)
		for (size_t c = 0; c < CELLS_PER_BLOCK; c++)
			memory[b][c] = 0xdead; /* somebody else's */
}

static void zero_cells(uint64_t block, uint64_t first, uint64_t count)
{
	for (uint64_t c = first; c < first + count; c++)
		memory[block][c] = 0;
}

static void scrub(uint64_t block, uint32_t count)
{
	struct alloc_extent e = {.block = block, .count = count};

	for (uint64_t b = block; b < block + count; b++)
		zero_cells(b, 0, CELLS_PER_BLOCK);
	cr_assert_eq(ns_blocks_clean(&pool.ns, &e, 1), 0);
}

/*
 * What the worker has done before it grants: dirty blocks and the stale tail
 * are zeroed, nothing else.
 */
static void prepare_grant(const struct inode *i)
{
	uint64_t from = i->attr.stale_from;

	for (uint64_t fb = 0; fb < FILE_BLOCKS; fb++) {
		struct alloc_extent one = {.count = 1};
		bool clean;

		if (!find_block(i, fb, &one.block))
			continue;
		alloc_clean_run(store_meta(pool.store)->alloc, &one, &clean);
		if (!clean)
			scrub(one.block, 1);
	}
	if (from) {
		uint64_t cell = from % GM_BLOCK_SIZE / CELL;

		zero_cells(block_at(i, from / GM_BLOCK_SIZE), cell, CELLS_PER_BLOCK - cell);
		cr_assert_eq(ns_stale_done(&pool.ns, i->attr.ino, from), 0);
	}
	cr_assert(meta_is_clean(store_meta(pool.store), i));
}

/* A client attaches: it sees what it should see, and writes a bit. */
static void attach(struct node *n)
{
	const struct inode *i = pool_inode(&pool, n->ino);

	prepare_grant(i);
	cr_assert_eq(ns_hold(&pool.ns, n->ino), 0);
	n->held = true;
	for (uint64_t c = 0; c < model_blocks(n) * CELLS_PER_BLOCK; c++) {
		if (!n->owned[c / CELLS_PER_BLOCK])
			continue;
		uint32_t *cell = &memory[block_at(i, c / CELLS_PER_BLOCK)][c % CELLS_PER_BLOCK];

		cr_assert_eq(*cell, n->cells[c], "inode %lu cell %lu", (unsigned long)n->ino,
			(unsigned long)c);
		if (c * CELL < n->size && chance_below(2))
			*cell = n->cells[c] = ++last_tag;
	}
}

/* ---- random operations ---- */

/*
 * The same for both: what is only in the worker's memory goes, and so do the
 * orphans that nothing else kept.
 */
static void reopen(bool new_boot)
{
	pool_reopen(&pool, new_boot);
	for (int n = 0; n < NODES; n++) {
		nodes[n].opens = 0;
		nodes[n].held = nodes[n].held && !new_boot;
		model_bury(n);
	}
}

static const char *random_name(void)
{
	static const char *const names[] = {"a", "b", "c", "dd", "e", "f"};

	return names[chance_below(ARRAY_SIZE(names))];
}

/*
 * A node of some kind, rarely one that does not exist any more. Often the same one again for a
 * while, so that one inode goes through much in a row.
 */
static int random_node(bool want_dir)
{
	static int favourite[2];
	int n = favourite[want_dir];

	if (chance_below(3) && nodes[n].used && nodes[n].is_dir == want_dir)
		return n;
	for (unsigned tries = 0; tries < 50; tries++) {
		n = (int)chance_below(NODES);
		if (nodes[n].used && nodes[n].is_dir == want_dir)
			break;
		if (nodes[n].ino && chance_below(400) == 0)
			return n;
	}
	if (!nodes[n].used)
		return 0;
	if (chance_below(10) == 0)
		favourite[want_dir] = n;
	return n;
}

/* Symlinks and nodes; the model has made n already, or says why not. */
static int make_other(int n, uint64_t dir, const char *name, uint32_t type, uint32_t mode)
{
	static const char *const targets[] = {"x", "../a", "a/b/c/d"};
	const char *target = targets[chance_below(ARRAY_SIZE(targets))];
	struct ns_name where = {.parent = dir, .name = name, .length = strlen(name)};
	dev_t rdev = makedev(chance_below(1 << 12), chance_below(1 << 20));
	struct stat st;
	int r;

	if (type == S_IFLNK) {
		r = ns_symlink(&pool.ns, &pool.rq, &where, target, &st);
		if (n >= 0) {
			strcpy(nodes[n].target, target);
			nodes[n].size = strlen(target);
			nodes[n].mode = 0777;
		}
	} else {
		r = ns_mknod(&pool.ns, &pool.rq, &where, type | mode, rdev, &st);
		if (n >= 0 && (type == S_IFCHR || type == S_IFBLK))
			nodes[n].rdev = rdev;
	}
	if (n >= 0 && r == 0)
		nodes[n].ino = st.st_ino;
	return r;
}

static void make_something_else(void)
{
	static const uint32_t types[] = {S_IFLNK, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK};
	uint32_t type = types[chance_below(ARRAY_SIZE(types))];
	uint32_t mode = chance_below(010000);
	const char *name = random_name();
	int dir = random_node(true);
	uint64_t ino = nodes[dir].ino;
	int n = model_make(dir, name, type, mode);

	cr_assert_eq(make_other(n, ino, name, type, mode), n < 0 ? n : 0);
	if (n >= 0)
		compare_node(n);
}

static void do_link(void)
{
	int n = random_node(chance_below(8) == 0), dir = random_node(true);
	const char *name = random_name();
	struct ns_name where = {.parent = nodes[dir].ino, .name = name, .length = strlen(name)};
	uint64_t ino = nodes[n].ino;
	int expected = model_link(n, dir, name);
	struct stat st;

	cr_assert_eq(ns_link(&pool.ns, &pool.rq, ino, &where, &st), expected);
	if (expected == 0)
		compare_node(n);
}

static void make_something(void)
{
	bool is_dir = chance_below(3) == 0;
	uint32_t mode = chance_below(010000);
	const char *name = random_name();
	int dir = random_node(true);
	uint64_t ino = nodes[dir].ino;
	int n = model_make(dir, name, is_dir ? S_IFDIR : S_IFREG, mode);
	struct stat st;
	int r;

	r = is_dir ? ns_mkdir(&pool.ns, &pool.rq, ino, name, strlen(name), mode, &st)
		   : ns_create(&pool.ns, &pool.rq, ino, name, strlen(name), mode, &st);
	cr_assert_eq(r, n < 0 ? n : 0);
	if (n < 0)
		return;
	nodes[n].ino = st.st_ino;
	compare_node(n);
}

static void do_remove(void)
{
	bool is_dir = chance_below(2);
	const char *name = random_name();
	int dir = random_node(true);
	int expected = model_remove(dir, name, is_dir);
	uint64_t ino = nodes[dir].ino;

	cr_assert_eq(is_dir ? ns_rmdir(&pool.ns, &pool.rq, ino, name, strlen(name))
			    : ns_unlink(&pool.ns, &pool.rq, ino, name, strlen(name)),
		expected);
}

static void do_rename(void)
{
	static const unsigned flags[] = {0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
	unsigned flag = flags[chance_below(ARRAY_SIZE(flags))];
	int from = random_node(true), to = chance_below(3) ? random_node(true) : from;
	struct ns_name x = {.parent = nodes[from].ino, .name = random_name()};
	struct ns_name y = {.parent = nodes[to].ino, .name = random_name()};
	int expected = model_rename(from, x.name, to, y.name, flag);

	x.length = strlen(x.name);
	y.length = strlen(y.name);
	cr_assert_eq(ns_rename(&pool.ns, &pool.rq, &x, &y, flag), expected);
}

static void do_setattr(void)
{
	int n = random_node(chance_below(5) == 0);
	struct ns_change c = {
		/* Few at a time. NOLINTNEXTLINE(misc-redundant-expression): two throws */
		.set = chance_below(128) & chance_below(128),
		.mode = chance_below(010000),
		.uid = chance_below(9),
		.gid = chance_below(9),
		.size = chance_below(FILE_BLOCKS * CELLS_PER_BLOCK + 1) * CELL,
		.atime = {.tv_sec = -3, .tv_nsec = chance_below(2) ? UTIME_NOW : 999999999},
		.mtime = {.tv_sec = 1LL << 40, .tv_nsec = chance_below(2) ? UTIME_NOW : 0},
	};
	struct stat st;
	int expected;

	if (chance_below(6) == 0)
		c.size = 0;
	expected = model_setattr(n, &c);
	cr_assert_eq(ns_setattr(&pool.ns, &pool.rq, nodes[n].ino, &c, &st), expected);
}

static void do_size(void)
{
	int n = random_node(false);
	struct ns_change c = {
		.set = NS_SET_SIZE, .size = chance_below(FILE_BLOCKS * CELLS_PER_BLOCK + 1) * CELL};
	int expected = model_setattr(n, &c);
	struct stat st;

	cr_assert_eq(ns_setattr(&pool.ns, &pool.rq, nodes[n].ino, &c, &st), expected);
}

/* What the helper does on the worker's order before a punch. */
static void zero_edges(uint64_t ino, const struct ns_range *range)
{
	struct ns_range edges[2];
	int count = ns_punch_edges(&pool.ns, ino, range, edges);

	for (int n = 0; n < count; n++) {
		uint64_t in_block = edges[n].offset % GM_BLOCK_SIZE;

		cr_assert_leq(in_block + edges[n].length, GM_BLOCK_SIZE);
		zero_cells(block_at(pool_inode(&pool, ino), edges[n].offset / GM_BLOCK_SIZE),
			in_block / CELL, edges[n].length / CELL);
	}
}

static void do_space(void)
{
	static const enum ns_space kinds[] = {NS_PUNCH, NS_PUNCH, NS_ALLOCATE, NS_ALLOCATE_KEEP};
	enum ns_space what = kinds[chance_below(ARRAY_SIZE(kinds))];
	int n = random_node(chance_below(20) == 0);
	uint32_t from = chance_below(FILE_BLOCKS * CELLS_PER_BLOCK);
	uint32_t count = chance_below(FILE_BLOCKS * CELLS_PER_BLOCK - from + 1);
	struct ns_range range;
	int expected;

	if (chance_below(3) == 0) { /* whole blocks */
		from -= from % CELLS_PER_BLOCK;
		count -= count % CELLS_PER_BLOCK;
	}
	range = (struct ns_range){from * CELL, count * CELL};
	if (what == NS_PUNCH)
		zero_edges(nodes[n].ino, &range);
	expected = model_space(&nodes[n], what, range.offset, range.offset + range.length);
	cr_assert_eq(ns_change_space(&pool.ns, &pool.rq, nodes[n].ino, what, &range), expected);
}

static void do_seek(void)
{
	int n = random_node(chance_below(20) == 0);
	uint64_t from = chance_below(FILE_BLOCKS * CELLS_PER_BLOCK) * CELL, found = 0;
	bool data = chance_below(2);
	int64_t expected = model_seek(&nodes[n], from, data);
	int r = ns_seek(&pool.ns, nodes[n].ino, from, data ? SEEK_DATA : SEEK_HOLE, &found);

	cr_assert_eq(r, expected < 0 ? expected : 0);
	cr_assert(r < 0 || (int64_t)found == expected);
}

static void do_open(void)
{
	int n = random_node(chance_below(4) == 0);

	cr_assert_eq(ns_open(&pool.ns, nodes[n].ino, 0), nodes[n].used ? 0 : -ESTALE);
	nodes[n].opens += nodes[n].used;
}

static void do_release(void)
{
	int n = random_node(chance_below(4) == 0);

	cr_assert_eq(ns_release(&pool.ns, nodes[n].ino, 0), 0);
	if (!nodes[n].used || nodes[n].opens == 0)
		return;
	nodes[n].opens--;
	model_bury(n);
}

static void do_attach(void)
{
	int n = random_node(false);

	int refused = nodes[n].is_dir ? -EISDIR : -EINVAL;

	if (nodes[n].used && nodes[n].type == S_IFREG)
		attach(&nodes[n]);
	else
		cr_assert_eq(ns_hold(&pool.ns, nodes[n].ino), nodes[n].used ? refused : -ESTALE);
}

static void do_unhold(void)
{
	int n = random_node(false);

	cr_assert_eq(ns_unhold(&pool.ns, nodes[n].ino), 0);
	if (!nodes[n].used || !nodes[n].held)
		return;
	nodes[n].held = false;
	model_bury(n);
}

static void do_background_scrub(void)
{
	struct alloc_extent e;
	uint64_t cursor = 0;

	if (alloc_next_dirty(store_meta(pool.store)->alloc, &cursor, 1 + chance_below(8), &e))
		scrub(e.block, e.count);
}

static bool is_crowded(void)
{
	int used = 0;

	for (int n = 0; n < NODES; n++)
		used += nodes[n].used;
	return used > NODES * 3 / 4;
}

/* Makes something where there is room in the model; else it is time to remove. */
static void do_make(void)
{
	if (is_crowded())
		do_remove();
	else if (chance_below(4) == 0)
		make_something_else();
	else
		make_something();
}

static void step(void)
{
	static void (*const operations[])(void) = {do_make, do_make, do_make, do_remove, do_remove,
		do_link, do_rename, do_rename, do_setattr, do_size, do_size, do_size, do_size,
		do_space, do_space, do_space, do_seek, do_open, do_release, do_release, do_attach,
		do_attach, do_unhold, do_unhold, do_unhold, do_background_scrub};

	pool_tick(&pool);
	pool.rq.uid = chance_below(3);
	operations[chance_below(ARRAY_SIZE(operations))]();
}

Test(namespace_model, does_what_a_plain_model_does)
{
	chance_start();
	pool_init(&pool, DATA_BLOCKS, 1000, false);
	model_start();
	fill_memory();
	compare_all();
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned n = 0; n < STEPS; n++) {
			step();
			if (n % 25 == 0)
				compare_all();
		}
		compare_all();
		reopen(round % 4 == 3);
		compare_all();
	}
	pool_deinit(&pool);
}
