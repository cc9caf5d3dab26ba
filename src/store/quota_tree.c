// SPDX-License-Identifier: MIT
#include "store/quota_tree.h"

#include <errno.h>
#include <stdlib.h>

#include "store/dir.h"
#include "store/meta.h"
#include "store/xattrs.h"
#include "util/cleanup.h"

#define UNKNOWN     UINT32_MAX /* while everything is counted anew */
#define PENDING_MIN 64U

void quota_count_on(struct quotas *q, uint32_t n, int64_t units)
{
	for (; n; n = q->list[n].up)
		q->list[n].used += (uint64_t)units;
}

bool quota_is_of(const struct quotas *q, const struct inode *dir)
{
	return dir->quota && q->list[dir->quota].ino == dir->attr.ino;
}

uint32_t quota_free_place(const struct quotas *q)
{
	uint32_t n = 1;

	while (q->list[n].ino)
		n++;
	return n;
}

/* ---- a subtree ---- */

struct walk {
	struct inode **pending; /* directories to look into */
	size_t count;
	size_t capacity;
	uint32_t from;
	uint32_t to;
	uint64_t units; /* of all files */
	uint64_t names; /* that were met of files with several */
	uint64_t links; /* names that those files have */
};

static int add_directory(struct walk *w, struct inode *dir)
{
	if (w->count == w->capacity) {
		size_t more = w->capacity ? w->capacity * 2 : PENDING_MIN;
		struct inode **bigger = reallocarray(w->pending, more, sizeof(struct inode *));

		if (!bigger)
			return -ENOMEM;
		w->pending = bigger;
		w->capacity = more;
	}
	dir->quota = w->to;
	w->pending[w->count++] = dir;
	return 0;
}

static void take_file(struct walk *w, struct inode *i)
{
	w->names += i->attr.links > 1;
	if (i->quota != w->from)
		return; /* another name of it has been met */
	i->quota = w->to;
	w->units += inode_units(i);
	if (i->attr.links > 1)
		w->links += i->attr.links;
}

/* A directory with a quota of its own stands for all that is below. */
static int take_directory(struct quotas *q, struct walk *w, struct inode *dir)
{
	if (!quota_is_of(q, dir))
		return add_directory(w, dir);
	q->list[dir->quota].up = w->to;
	w->units += q->list[dir->quota].used;
	return 0;
}

static int take_entries(struct meta *m, struct walk *w, const struct inode *dir)
{
	const struct dirent *d;
	int r = 0;

	for (uint32_t at = 0; r == 0 && (d = dir_each(dir, &at));)
		if (d->type == S_IFREG >> 12)
			take_file(w, meta_inode(m, d->ino));
		else if (d->type == S_IFDIR >> 12)
			r = take_directory(&m->quotas, w, meta_inode(m, d->ino));
	return r;
}

int quota_shift(struct meta *m, struct inode *dir, uint32_t from, uint32_t to)
{
	struct walk w = {.from = from, .to = to};
	int r = take_directory(&m->quotas, &w, dir);

	while (r == 0 && w.count)
		r = take_entries(m, &w, w.pending[--w.count]);
	free(w.pending);
	if (r < 0)
		return r;
	quota_count_on(&m->quotas, from, -(int64_t)w.units);
	quota_count_on(&m->quotas, to, (int64_t)w.units);
	return w.names == w.links ? 0 : -EXDEV;
}

/* ---- limits that have changed ---- */

static uint64_t limit_of(const struct meta *m, uint64_t ino)
{
	const struct xattr *x = XATTRS_GET(m, ino, XATTR_QUOTA);

	if (x)
		return xattr_quota_bytes(xattr_value(x), x->value_len);
	return 0;
}

static void end_quota(struct meta *m, uint32_t gone)
{
	struct quotas *q = &m->quotas;
	uint32_t up = q->list[gone].up;
	struct inode *i;

	for (size_t c = 0; (i = meta_each_inode(m, &c));)
		if (i->quota == gone)
			i->quota = up;
	for (uint32_t n = 1; n < q->capacity; n++)
		if (q->list[n].up == gone)
			q->list[n].up = up;
	q->list[gone].ino = 0;
	q->count--;
}

void quotas_read_limits(struct meta *m)
{
	struct quotas *q = &m->quotas;

	for (uint32_t n = 1; n < q->capacity; n++) {
		uint64_t limit;

		if (!q->list[n].ino)
			continue;
		limit = meta_inode(m, q->list[n].ino) ? limit_of(m, q->list[n].ino) : 0;
		if (limit)
			q->list[n].limit = limit;
		else
			end_quota(m, n);
	}
	q->changed = false;
}

/* ---- everything anew ---- */

/* A removed file that is still in use counts where it did; where that is gone, further up. */
static void place_orphan(const struct meta *m, struct inode *i)
{
	const struct quotas *q = &m->quotas;

	while (i->quota &&
		!(meta_inode(m, q->list[i->quota].ino) && limit_of(m, q->list[i->quota].ino)))
		i->quota = q->list[i->quota].up;
}

static void place_orphans(struct meta *m)
{
	struct inode *i;

	for (size_t c = 0; (i = meta_each_inode(m, &c));)
		if (S_ISREG(i->attr.mode) && i->attr.links == 0)
			place_orphan(m, i);
}

/* Quotas that are gone make room for those that have come. A directory that has one bears its
 * number, all others none yet. */
static void find_quotas(struct meta *m)
{
	struct quotas *q = &m->quotas;
	struct inode *i;

	for (uint32_t n = 1; n < q->capacity; n++)
		if (q->list[n].ino &&
			(!meta_inode(m, q->list[n].ino) || !limit_of(m, q->list[n].ino))) {
			q->list[n].ino = 0;
			q->count--;
		}
	for (size_t c = 0; (i = meta_each_inode(m, &c));) {
		uint64_t limit = inode_is_dir(i) ? limit_of(m, i->attr.ino) : 0;

		if (!inode_is_dir(i))
			continue;
		if (limit && !quota_is_of(q, i)) {
			i->quota = quota_free_place(q);
			q->list[i->quota].ino = i->attr.ino;
			q->count++;
		} else if (!limit) {
			i->quota = UNKNOWN;
			continue;
		}
		q->list[i->quota].limit = limit;
		q->list[i->quota].used = 0;
	}
}

static struct inode *parent_of(const struct meta *m, const struct inode *dir)
{
	return dir->attr.ino == GM_ROOT_INO ? NULL : meta_inode(m, dir->attr.parent);
}

/* The number of the nearest quota: up to where it is known, and down the same way. There is no ring
 * (meta_verify()). */
static uint32_t place_directory(const struct meta *m, struct inode *dir)
{
	struct inode *up = dir;
	uint32_t quota;

	while (up && up->quota == UNKNOWN)
		up = parent_of(m, up);
	quota = up ? up->quota : 0;
	for (; dir && dir->quota == UNKNOWN; dir = parent_of(m, dir))
		dir->quota = quota;
	return quota;
}

static void place_directories(struct meta *m)
{
	struct quotas *q = &m->quotas;
	struct inode *i;

	for (size_t c = 0; (i = meta_each_inode(m, &c));)
		if (inode_is_dir(i))
			(void)place_directory(m, i);
	for (uint32_t n = 1; n < q->capacity; n++) {
		struct inode *up =
			q->list[n].ino ? parent_of(m, meta_inode(m, q->list[n].ino)) : NULL;

		q->list[n].up = up ? up->quota : 0;
	}
}

static void place_files(struct meta *m)
{
	const struct dirent *d;
	struct inode *i;

	for (size_t c = 0; (d = table_each(&m->dirents, &c));) {
		i = meta_inode(m, d->ino);
		if (S_ISREG(i->attr.mode))
			i->quota = meta_inode(m, d->parent)->quota;
	}
}

void quotas_count_all(struct meta *m)
{
	struct inode *i;

	place_orphans(m);
	find_quotas(m);
	place_directories(m);
	place_files(m);
	for (size_t c = 0; (i = meta_each_inode(m, &c));)
		if (S_ISREG(i->attr.mode))
			quota_count_on(&m->quotas, i->quota, (int64_t)inode_units(i));
	m->quotas.stale = false;
	m->quotas.changed = false;
}
