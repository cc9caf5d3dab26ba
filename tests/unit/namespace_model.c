// SPDX-License-Identifier: MIT
#include "namespace_model.h"

#include <errno.h>
#include <stdio.h>

#include "util/cleanup.h"

struct entry {
	int node;     /* 0: there is none, for nothing names the root */
	int parent;   /* node */
	char name[4]; /* in parent */
};

struct pool pool;
struct node nodes[NODES];
static struct entry entries[ENTRIES];

static struct entry *find_entry(int parent, const char *name)
{
	for (int e = 0; e < ENTRIES; e++)
		if (entries[e].node && entries[e].parent == parent &&
			strcmp(entries[e].name, name) == 0)
			return &entries[e];
	return NULL;
}

int model_find(int parent, const char *name)
{
	const struct entry *e = find_entry(parent, name);

	return e ? e->node : -1;
}

unsigned model_count_children(int parent, bool dirs_only)
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

int model_parent(int n)
{
	for (int e = 0; e < ENTRIES; e++)
		if (entries[e].node && entries[e].node == n)
			return entries[e].parent;
	return n ? -1 : 0;
}

unsigned model_links(int n)
{
	if (!nodes[n].is_dir)
		return count_names(n);
	return n == 0 || count_names(n) ? 2 + model_count_children(n, true) : 0;
}

uint64_t model_blocks(const struct node *n)
{
	if (n->type != S_IFREG)
		return 0;
	return n->size / GM_BLOCK_SIZE + (n->size % GM_BLOCK_SIZE > 0);
}

uint64_t model_owned(const struct node *n)
{
	uint64_t sum = 0;

	for (unsigned b = 0; b < FILE_BLOCKS; b++)
		sum += n->owned[b];
	return sum;
}

uint64_t model_blocks_in_use(void)
{
	uint64_t sum = 0;

	for (int n = 0; n < NODES; n++)
		if (nodes[n].used)
			sum += model_owned(&nodes[n]);
	return sum;
}

/* The blocks [first, end) get memory, as far as they have none. */
static int model_fill(struct node *n, uint64_t first, uint64_t end)
{
	uint64_t need = 0;

	for (uint64_t b = first; b < end; b++)
		need += !n->owned[b];
	if (need > DATA_BLOCKS - model_blocks_in_use())
		return -ENOSPC;
	for (uint64_t b = first; b < end; b++)
		n->owned[b] = true;
	return 0;
}

static bool is_below(int n, int above)
{
	for (; n > 0; n = model_parent(n))
		if (n == above)
			return true;
	return n == above;
}

void model_bury(int n)
{
	/* No caller's n is past the end, as cppcheck takes the one after a loop to be. */
	/* cppcheck-suppress arrayIndexOutOfBoundsCond */
	if (n > 0 && !count_names(n) && !nodes[n].opens && !nodes[n].held)
		/* cppcheck-suppress arrayIndexOutOfBoundsCond */
		nodes[n].used = false;
}

static void lose_name(struct entry *e)
{
	int n = e->node;

	e->node = 0;
	nodes[n].ctime = pool.rq.now;
	model_bury(n);
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

int model_dir_error(int n)
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

int model_make(int dir, const char *name, uint32_t type, uint32_t mode)
{
	bool is_dir = type == S_IFDIR;
	struct node *n = NULL;
	int r = model_dir_error(dir);

	if (r < 0)
		return r;
	if (model_find(dir, name) >= 0)
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

int model_link(int n, int dir, const char *name)
{
	int r = model_dir_error(dir);

	if (r < 0)
		return r;
	if (model_find(dir, name) >= 0)
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

int model_remove(int dir, const char *name, bool is_dir)
{
	int r = model_dir_error(dir), n;

	if (r < 0)
		return r;
	n = model_find(dir, name);
	if (n < 0)
		return -ENOENT;
	if (nodes[n].is_dir != is_dir)
		return is_dir ? -ENOTDIR : -EISDIR;
	if (is_dir && model_count_children(n, false) > 0)
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
	return nodes[b].is_dir && model_count_children(b, false) > 0 ? -ENOTEMPTY : 0;
}

int model_rename(int from, const char *x, int to, const char *y, unsigned flags)
{
	struct entry *old, *new;
	int r = model_dir_error(from), a, b;

	if (r == 0)
		r = model_dir_error(to);
	if (r < 0)
		return r;
	a = model_find(from, x);
	b = model_find(to, y);
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
	if (size > n->size && model_fill(n, model_blocks(n), model_blocks(&wanted)) < 0)
		return -ENOSPC;
	for (uint64_t b = model_blocks(&wanted); b < FILE_BLOCKS && size <= n->size && !n->held;
		b++)
		n->owned[b] = false;
	for (uint64_t c = size / CELL; c < ARRAY_SIZE(n->cells); c++)
		n->cells[c] = 0;
	n->size = size;
	n->mtime = pool.rq.now;
	return 0;
}

int model_setattr(int node, const struct ns_change *c)
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

int model_space(struct node *n, enum ns_space what, uint64_t from, uint64_t to)
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
	if (grows && first > model_blocks(n))
		first = model_blocks(n);
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

int64_t model_seek(const struct node *n, uint64_t from, bool data)
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

void model_start(void)
{
	struct stat st;

	memset(nodes, 0, sizeof(nodes));
	memset(entries, 0, sizeof(entries));
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
