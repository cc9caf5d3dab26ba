// SPDX-License-Identifier: MIT
/*
 * Random operations on the namespace and, side by side, on a plain model of a tree and of
 * the memory below it: results, the whole tree, space and contents are the same, also after
 * the store was closed and recovered. The contents are simulated in cells: what a client
 * wrote is there as long as the file is that long, everything else reads zero, and nobody
 * ever sees another file's cells.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "pool_fixture.h"
#include "util/cleanup.h"

enum {
	NODES = 200,
	ENTRIES = 400,
	DATA_BLOCKS = 40,
	FILE_BLOCKS = 16,
	CELLS_PER_BLOCK = 16,
	ROUNDS = 40,
	STEPS = 500,
};

#define CELL (GM_BLOCK_SIZE / CELLS_PER_BLOCK)

/* ---- the model: slots that are in use or not, and searches over all of them ---- */

struct node {
	bool used;
	bool is_dir;
	bool held;
	uint32_t type; /* of S_IFMT */
	dev_t rdev;
	char target[8];
	uint64_t ino;
	uint32_t mode, uid, gid;
	uint64_t size;
	struct timespec atime, mtime, ctime;
	unsigned opens;
	bool owned[FILE_BLOCKS]; /* blocks; others are holes, or past the end */
	uint32_t cells[FILE_BLOCKS * CELLS_PER_BLOCK];
};

struct entry {
	int node;     /* 0: there is none, for nothing names the root */
	int parent;   /* node */
	char name[4]; /* in parent */
};

static struct node nodes[NODES]; /* 0 is the root */
static struct entry entries[ENTRIES];
static uint32_t memory[4096][CELLS_PER_BLOCK];
static struct pool pool;
static uint32_t last_tag;
static uint64_t random_state;

static uint64_t random_below(uint64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 11) % n;
}

static struct entry *find_entry(int parent, const char *name)
{
	for (int e = 0; e < ENTRIES; e++)
		if (entries[e].node && entries[e].parent == parent &&
			strcmp(entries[e].name, name) == 0)
			return &entries[e];
	return NULL;
}

static int find(int parent, const char *name)
{
	const struct entry *e = find_entry(parent, name);

	return e ? e->node : -1;
}

static unsigned count_children(int parent, bool dirs_only)
{
	unsigned count = 0;

	for (int e = 0; e < ENTRIES; e++)
		count += entries[e].node && entries[e].parent == parent &&
			 (nodes[entries[e].node].is_dir || !dirs_only);
	return count;
}

static unsigned count_names(int n)
{
	unsigned count = 0;

	for (int e = 0; e < ENTRIES; e++)
		count += entries[e].node && entries[e].node == n;
	return count;
}

/* Of a directory, which has one name. */
static int parent_of(int n)
{
	for (int e = 0; e < ENTRIES; e++)
		if (entries[e].node && entries[e].node == n)
			return entries[e].parent;
	return n ? -1 : 0;
}

static unsigned links_of(int n)
{
	if (!nodes[n].is_dir)
		return count_names(n);
	return n == 0 || count_names(n) ? 2 + count_children(n, true) : 0;
}

static uint64_t blocks_of(const struct node *n)
{
	if (n->type != S_IFREG)
		return 0;
	return n->size / GM_BLOCK_SIZE + (n->size % GM_BLOCK_SIZE > 0);
}

static uint64_t owned_by(const struct node *n)
{
	uint64_t sum = 0;

	for (unsigned b = 0; b < FILE_BLOCKS; b++)
		sum += n->owned[b];
	return sum;
}

static uint64_t blocks_in_use(void)
{
	uint64_t sum = 0;

	for (int n = 0; n < NODES; n++)
		if (nodes[n].used)
			sum += owned_by(&nodes[n]);
	return sum;
}

/* The blocks [first, end) get memory, as far as they have none. */
static int model_fill(struct node *n, uint64_t first, uint64_t end)
{
	uint64_t need = 0;

	for (uint64_t b = first; b < end; b++)
		need += !n->owned[b];
	if (need > DATA_BLOCKS - blocks_in_use())
		return -ENOSPC;
	for (uint64_t b = first; b < end; b++)
		n->owned[b] = true;
	return 0;
}

static bool is_below(int n, int above)
{
	for (; n > 0; n = parent_of(n))
		if (n == above)
			return true;
	return n == above;
}

static void bury(int n)
{
	if (n > 0 && !count_names(n) && !nodes[n].opens && !nodes[n].held)
		nodes[n].used = false;
}

static void lose_name(struct entry *e)
{
	int n = e->node;

	e->node = 0;
	nodes[n].ctime = pool.rq.now;
	bury(n);
}

static void gain_name(int n, int dir, const char *name)
{
	struct entry *e = entries;

	while (e < entries + ENTRIES && e->node)
		e++;
	cr_assert_lt(e, entries + ENTRIES);
	*e = (struct entry){.node = n, .parent = dir};
	strcpy(e->name, name);
	nodes[n].ctime = pool.rq.now;
}

static int dir_error(int n)
{
	if (!nodes[n].used)
		return -ENOENT;
	if (!nodes[n].is_dir)
		return -ENOTDIR;
	return n != 0 && !count_names(n) ? -ENOENT : 0;
}

static void touch_dir(int n)
{
	nodes[n].mtime = nodes[n].ctime = pool.rq.now;
}

static int model_make(int dir, const char *name, uint32_t type, uint32_t mode)
{
	bool is_dir = type == S_IFDIR;
	struct node *n = NULL;
	int r = dir_error(dir);

	if (r < 0)
		return r;
	if (find(dir, name) >= 0)
		return -EEXIST;
	for (int k = 1; k < NODES && !n; k++)
		if (!nodes[k].used)
			n = &nodes[k];
	cr_assert_not_null(n);
	*n = (struct node){.used = true, .is_dir = is_dir, .type = type, .mode = mode};
	n->uid = pool.rq.uid;
	n->gid = pool.rq.gid;
	if (nodes[dir].mode & S_ISGID) {
		n->gid = nodes[dir].gid;
		n->mode |= is_dir ? S_ISGID : 0;
	}
	n->atime = n->mtime = pool.rq.now;
	gain_name((int)(n - nodes), dir, name);
	touch_dir(dir);
	return (int)(n - nodes);
}

static int model_link(int n, int dir, const char *name)
{
	int r = dir_error(dir);

	if (r < 0)
		return r;
	if (find(dir, name) >= 0)
		return -EEXIST;
	if (!nodes[n].used)
		return -ESTALE;
	if (nodes[n].is_dir)
		return -EPERM;
	if (!count_names(n))
		return -ENOENT;
	gain_name(n, dir, name);
	touch_dir(dir);
	return 0;
}

static int model_remove(int dir, const char *name, bool is_dir)
{
	int r = dir_error(dir), n;

	if (r < 0)
		return r;
	n = find(dir, name);
	if (n < 0)
		return -ENOENT;
	if (nodes[n].is_dir != is_dir)
		return is_dir ? -ENOTDIR : -EISDIR;
	if (is_dir && count_children(n, false) > 0)
		return -ENOTEMPTY;
	lose_name(find_entry(dir, name));
	touch_dir(dir);
	return 0;
}

static int model_rename_error(int a, int to, int b, unsigned flags, int from)
{
	bool exchange = flags == RENAME_EXCHANGE;

	if (a < 0 || (exchange && b < 0))
		return -ENOENT;
	if (b >= 0 && flags == RENAME_NOREPLACE)
		return -EEXIST;
	if (is_below(to, a))
		return -EINVAL;
	if (b >= 0 && is_below(from, b))
		return exchange ? -EINVAL : -ENOTEMPTY;
	if (b < 0 || exchange || a == b)
		return 0;
	if (nodes[a].is_dir != nodes[b].is_dir)
		return nodes[a].is_dir ? -ENOTDIR : -EISDIR;
	return nodes[b].is_dir && count_children(b, false) > 0 ? -ENOTEMPTY : 0;
}

static int model_rename(int from, const char *x, int to, const char *y, unsigned flags)
{
	struct entry *old, *new;
	int r = dir_error(from), a, b;

	if (r == 0)
		r = dir_error(to);
	if (r < 0)
		return r;
	a = find(from, x);
	b = find(to, y);
	r = model_rename_error(a, to, b, flags, from);
	if (r < 0 || a == b)
		return r;
	old = find_entry(from, x);
	new = find_entry(to, y);
	if (b >= 0 && flags == RENAME_EXCHANGE) {
		old->node = b;
		new->node = a;
		nodes[b].ctime = pool.rq.now;
	} else {
		old->node = 0;
		if (b >= 0)
			lose_name(new);
		gain_name(a, to, y);
	}
	nodes[a].ctime = pool.rq.now;
	touch_dir(from);
	touch_dir(to);
	return 0;
}

static int model_resize(struct node *n, uint64_t size)
{
	struct node wanted = {.type = S_IFREG, .size = size};

	if (n->is_dir)
		return -EISDIR;
	if (n->type != S_IFREG)
		return -EINVAL;
	if (size < n->size && n->held)
		return -EBUSY;
	if (size > n->size && model_fill(n, blocks_of(n), blocks_of(&wanted)) < 0)
		return -ENOSPC;
	for (uint64_t b = blocks_of(&wanted); b < FILE_BLOCKS && size <= n->size && !n->held; b++)
		n->owned[b] = false;
	for (uint64_t c = size / CELL; c < ARRAY_SIZE(n->cells); c++)
		n->cells[c] = 0;
	n->size = size;
	n->mtime = pool.rq.now;
	return 0;
}

static int model_setattr(int node, const struct ns_change *c)
{
	struct node *n = &nodes[node];
	int r = 0;

	if (!n->used)
		return -ESTALE;
	if (c->set == 0)
		return 0;
	if (n->type == S_IFLNK && (c->set & NS_SET_MODE))
		return -EOPNOTSUPP;
	if (c->set & NS_SET_SIZE)
		r = model_resize(n, c->size);
	if (r < 0)
		return r;
	if (c->set & NS_SET_MODE)
		n->mode = c->mode;
	if (c->set & NS_SET_UID)
		n->uid = c->uid;
	if (c->set & NS_SET_GID)
		n->gid = c->gid;
	if (c->set & NS_SET_ATIME)
		n->atime = c->atime.tv_nsec == UTIME_NOW ? pool.rq.now : c->atime;
	if (c->set & NS_SET_MTIME)
		n->mtime = c->mtime.tv_nsec == UTIME_NOW ? pool.rq.now : c->mtime;
	n->ctime = pool.rq.now;
	return 0;
}

static int model_space(struct node *n, enum ns_space what, uint64_t from, uint64_t to)
{
	uint64_t first = from / GM_BLOCK_SIZE, end = (to + GM_BLOCK_SIZE - 1) / GM_BLOCK_SIZE;
	bool grows = what == NS_ALLOCATE && to > n->size;

	if (!n->used || n->is_dir)
		return n->used ? -EISDIR : -ESTALE;
	if (n->type != S_IFREG)
		return -ENODEV;
	if (from == to)
		return -EINVAL;
	if (what == NS_PUNCH && n->held)
		return -EBUSY;
	if (grows && first > blocks_of(n))
		first = blocks_of(n);
	if (what != NS_PUNCH && model_fill(n, first, end) < 0)
		return -ENOSPC;
	if (grows)
		n->size = to;
	n->mtime = n->ctime = pool.rq.now;
	if (what != NS_PUNCH)
		return 0;
	if (to >= n->size) /* the last block goes with the end of the file */
		to = end * GM_BLOCK_SIZE;
	for (uint64_t c = from / CELL; c < to / CELL; c++)
		n->cells[c] = 0;
	for (uint64_t b = (from + GM_BLOCK_SIZE - 1) / GM_BLOCK_SIZE; b < to / GM_BLOCK_SIZE; b++)
		n->owned[b] = false;
	return 0;
}

/* Where SEEK_DATA or SEEK_HOLE would find something. */
static int64_t model_seek(const struct node *n, uint64_t from, bool data)
{
	if (!n->used || n->type != S_IFREG)
		return n->used ? -EINVAL : -ESTALE;
	if (from >= n->size)
		return -ENXIO;
	while (from < n->size && n->owned[from / GM_BLOCK_SIZE] != data)
		from += GM_BLOCK_SIZE - from % GM_BLOCK_SIZE;
	if (from >= n->size)
		return data ? -ENXIO : (int64_t)n->size;
	return (int64_t)from;
}

/* ---- the simulated memory ---- */

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

static bool find_block(const struct inode *i, uint64_t file_block, uint64_t *ret)
{
	for (uint32_t n = 0; n < i->extent_count; n++)
		if (file_block - i->extents[n].file_block < i->extents[n].count) {
			*ret = i->extents[n].block + (file_block - i->extents[n].file_block);
			return true;
		}
	return false;
}

static uint64_t block_at(const struct inode *i, uint64_t file_block)
{
	uint64_t block = 0;

	cr_assert(find_block(i, file_block, &block), "a hole");
	return block;
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
	for (uint64_t c = 0; c < blocks_of(n) * CELLS_PER_BLOCK; c++) {
		if (!n->owned[c / CELLS_PER_BLOCK])
			continue;
		uint32_t *cell = &memory[block_at(i, c / CELLS_PER_BLOCK)][c % CELLS_PER_BLOCK];

		cr_assert_eq(*cell, n->cells[c], "inode %lu cell %lu", (unsigned long)n->ino,
			(unsigned long)c);
		if (c * CELL < n->size && random_below(2))
			*cell = n->cells[c] = ++last_tag;
	}
}

/* ---- comparing ---- */

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static void compare_node(int k)
{
	const struct node *n = &nodes[k];
	unsigned long ino = n->ino;
	const struct inode *i;
	struct stat st;

	cr_assert_eq(ns_getattr(&pool.ns, n->ino, &st), 0, "inode %lu", ino);
	i = pool_inode(&pool, n->ino);
	cr_assert_eq(st.st_mode, n->mode | n->type, "inode %lu", ino);
	cr_assert_eq(st.st_rdev, n->rdev, "inode %lu", ino);
	if (n->type == S_IFLNK) {
		const char *target;

		cr_assert_eq(ns_readlink(&pool.ns, n->ino, &target), 0);
		cr_assert_str_eq(target, n->target);
	}
	cr_assert(st.st_uid == n->uid && st.st_gid == n->gid, "inode %lu", ino);
	cr_assert_eq(st.st_nlink, links_of(k), "inode %lu", ino);
	cr_assert_eq((uint64_t)st.st_size, n->size, "inode %lu", ino);
	cr_assert_eq((uint64_t)st.st_blocks, owned_by(n) * 4096, "inode %lu", ino);
	cr_assert(same_time(st.st_atim, n->atime), "inode %lu", ino);
	cr_assert(same_time(st.st_mtim, n->mtime), "inode %lu", ino);
	cr_assert(same_time(st.st_ctim, n->ctime), "inode %lu", ino);
	cr_assert_eq(!!(i->attr.flags & GM_INODE_HELD), n->held, "inode %lu", ino);
	cr_assert_eq(i->opens, n->opens, "inode %lu", ino);
}

static void compare_listing(int dir)
{
	unsigned found = 0;
	uint64_t after = 2;
	struct ns_entry e;
	struct stat st;
	int r;

	while ((r = ns_next_entry(&pool.ns, nodes[dir].ino, after, &e)) == 1) {
		char name[GM_NAME_MAX + 1] = "";
		int n;

		memcpy(name, e.name, e.length);
		n = find(dir, name);
		cr_assert(n >= 0 && nodes[n].ino == e.ino, "\"%s\"", name);
		cr_assert_eq(e.type, nodes[n].type);
		cr_assert_gt(e.cookie, after);
		after = e.cookie;
		found++;
	}
	cr_assert_eq(r, 0);
	cr_assert_eq(found, count_children(dir, false));
	cr_assert_eq(ns_lookup(&pool.ns, nodes[dir].ino, "..", 2, &st), 0);
	cr_assert_eq(st.st_ino, nodes[parent_of(dir)].ino);
}

static void compare_all(void)
{
	static bool owned[ARRAY_SIZE(memory)];
	uint64_t used = 0, orphans = 0;

	memset(owned, 0, sizeof(owned));
	for (int n = 0; n < NODES; n++) {
		const struct inode *i;

		if (!nodes[n].used)
			continue;
		used++;
		orphans += links_of(n) == 0;
		compare_node(n);
		if (dir_error(n) == 0)
			compare_listing(n);
		i = pool_inode(&pool, nodes[n].ino);
		for (uint64_t b = 0, at = 0; b < FILE_BLOCKS && !nodes[n].is_dir; b++) {
			cr_assert_eq(find_block(i, b, &at), nodes[n].owned[b],
				"inode %lu block %lu", (unsigned long)nodes[n].ino,
				(unsigned long)b);
			if (!nodes[n].owned[b])
				continue;
			cr_assert(!owned[at], "two owners");
			owned[at] = true;
		}
	}
	cr_assert_eq(store_meta(pool.store)->inode_count, used);
	cr_assert_eq(pool.ns.orphans, orphans);
	cr_assert_eq(pool_stats(&pool).used, blocks_in_use());
	cr_assert_eq(pool_stats(&pool).free, DATA_BLOCKS - blocks_in_use());
}

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
		bury(n);
	}
}

/* ---- random operations ---- */

static const char *random_name(void)
{
	static const char *const names[] = {"a", "b", "c", "dd", "e", "f"};

	return names[random_below(ARRAY_SIZE(names))];
}

/*
 * A node of some kind, rarely one that does not exist any more. Often the same one again for a
 * while, so that one inode goes through much in a row.
 */
static int random_node(bool want_dir)
{
	static int favourite[2];
	int n = favourite[want_dir];

	if (random_below(3) && nodes[n].used && nodes[n].is_dir == want_dir)
		return n;
	for (unsigned tries = 0; tries < 50; tries++) {
		n = (int)random_below(NODES);
		if (nodes[n].used && nodes[n].is_dir == want_dir)
			break;
		if (nodes[n].ino && random_below(400) == 0)
			return n;
	}
	if (!nodes[n].used)
		return 0;
	if (random_below(10) == 0)
		favourite[want_dir] = n;
	return n;
}

/* Symlinks and nodes; the model has made n already, or says why not. */
static int make_other(int n, uint64_t dir, const char *name, uint32_t type, uint32_t mode)
{
	static const char *const targets[] = {"x", "../a", "a/b/c/d"};
	const char *target = targets[random_below(ARRAY_SIZE(targets))];
	struct ns_name where = {.parent = dir, .name = name, .length = strlen(name)};
	dev_t rdev = makedev((unsigned)random_below(1 << 12), (unsigned)random_below(1 << 20));
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
	uint32_t type = types[random_below(ARRAY_SIZE(types))];
	uint32_t mode = (uint32_t)random_below(010000);
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
	int n = random_node(random_below(8) == 0), dir = random_node(true);
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
	bool is_dir = random_below(3) == 0;
	uint32_t mode = (uint32_t)random_below(010000);
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
	bool is_dir = random_below(2);
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
	unsigned flag = flags[random_below(ARRAY_SIZE(flags))];
	int from = random_node(true), to = random_below(3) ? random_node(true) : from;
	struct ns_name x = {.parent = nodes[from].ino, .name = random_name()};
	struct ns_name y = {.parent = nodes[to].ino, .name = random_name()};
	int expected = model_rename(from, x.name, to, y.name, flag);

	x.length = strlen(x.name);
	y.length = strlen(y.name);
	cr_assert_eq(ns_rename(&pool.ns, &pool.rq, &x, &y, flag), expected);
}

static void do_setattr(void)
{
	int n = random_node(random_below(5) == 0);
	struct ns_change c = {
		.set = (unsigned)random_below(128) & (unsigned)random_below(128),
		.mode = (uint32_t)random_below(010000),
		.uid = (uint32_t)random_below(9),
		.gid = (uint32_t)random_below(9),
		.size = random_below(FILE_BLOCKS * CELLS_PER_BLOCK + 1) * CELL,
		.atime = {.tv_sec = -3, .tv_nsec = random_below(2) ? UTIME_NOW : 999999999},
		.mtime = {.tv_sec = 1LL << 40, .tv_nsec = random_below(2) ? UTIME_NOW : 0},
	};
	struct stat st;
	int expected;

	if (random_below(6) == 0)
		c.size = 0;
	expected = model_setattr(n, &c);
	cr_assert_eq(ns_setattr(&pool.ns, &pool.rq, nodes[n].ino, &c, &st), expected);
}

static void do_size(void)
{
	int n = random_node(false);
	struct ns_change c = {
		.set = NS_SET_SIZE, .size = random_below(FILE_BLOCKS * CELLS_PER_BLOCK + 1) * CELL};
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
	enum ns_space what = kinds[random_below(ARRAY_SIZE(kinds))];
	int n = random_node(random_below(20) == 0);
	uint64_t from = random_below(FILE_BLOCKS * CELLS_PER_BLOCK);
	uint64_t count = random_below(FILE_BLOCKS * CELLS_PER_BLOCK - from + 1);
	struct ns_range range;
	int expected;

	if (random_below(3) == 0) { /* whole blocks */
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
	int n = random_node(random_below(20) == 0);
	uint64_t from = random_below(FILE_BLOCKS * CELLS_PER_BLOCK) * CELL, found = 0;
	bool data = random_below(2);
	int64_t expected = model_seek(&nodes[n], from, data);
	int r = ns_seek(&pool.ns, nodes[n].ino, from, data ? SEEK_DATA : SEEK_HOLE, &found);

	cr_assert_eq(r, expected < 0 ? expected : 0);
	cr_assert(r < 0 || (int64_t)found == expected);
}

static void do_open(void)
{
	int n = random_node(random_below(4) == 0);

	cr_assert_eq(ns_open(&pool.ns, nodes[n].ino), nodes[n].used ? 0 : -ESTALE);
	nodes[n].opens += nodes[n].used;
}

static void do_release(void)
{
	int n = random_node(random_below(4) == 0);

	cr_assert_eq(ns_release(&pool.ns, nodes[n].ino), 0);
	if (!nodes[n].used || nodes[n].opens == 0)
		return;
	nodes[n].opens--;
	bury(n);
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
	bury(n);
}

static void do_background_scrub(void)
{
	struct alloc_extent e;
	uint64_t cursor = 0;

	if (alloc_next_dirty(
		    store_meta(pool.store)->alloc, &cursor, 1 + (uint32_t)random_below(8), &e))
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
	else if (random_below(4) == 0)
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
	pool.rq.uid = (uint32_t)random_below(3);
	operations[random_below(ARRAY_SIZE(operations))]();
}

static void start_model(void)
{
	struct stat st;

	memset(nodes, 0, sizeof(nodes));
	memset(entries, 0, sizeof(entries));
	for (size_t b = 0; b < ARRAY_SIZE(memory); b++)
		for (size_t c = 0; c < CELLS_PER_BLOCK; c++)
			memory[b][c] = 0xdead; /* somebody else's */
	cr_assert_eq(ns_getattr(&pool.ns, GM_ROOT_INO, &st), 0);
	nodes[0] = (struct node){
		.used = true,
		.is_dir = true,
		.type = S_IFDIR,
		.ino = GM_ROOT_INO,
		.mode = st.st_mode & 07777,
		.uid = st.st_uid,
		.gid = st.st_gid,
		.atime = st.st_atim,
		.mtime = st.st_mtim,
		.ctime = st.st_ctim,
	};
}

Test(namespace_model, does_what_a_plain_model_does)
{
	const char *given = getenv("GM_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);

	fprintf(stderr, "GM_SEED=%llu\n", (unsigned long long)seed);
	random_state = seed * 0x9e3779b97f4a7c15ULL | 1;
	pool_init(&pool, DATA_BLOCKS, 1000, false);
	start_model();
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
