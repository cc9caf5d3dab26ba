// SPDX-License-Identifier: MIT
#include "store/quota.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/codec.h"
#include "store/meta.h"
#include "store/txn.h"
#include "store/xattrs.h"
#include "util/cleanup.h"

#define UNKNOWN UINT32_MAX /* while everything is counted anew */

/* A change that is only tried: directories that get other parents, and one that gets a quota. */
struct trial {
	uint64_t moved[2];
	uint64_t parent[2];
	unsigned moves;
	uint64_t limited;
};

void quotas_deinit(struct quotas *q)
{
	free(q->list);
	*q = (struct quotas){.list = NULL};
}

int quotas_reserve(struct meta *m, uint32_t more)
{
	struct quotas *q = &m->quotas;
	uint32_t need = q->count + more + 1;
	struct quota *bigger;

	if (need <= q->capacity)
		return 0;
	need += need / 2;
	bigger = reallocarray(q->list, need, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	memset(bigger + q->capacity, 0, (need - q->capacity) * sizeof(*bigger));
	q->list = bigger;
	q->capacity = need;
	return 0;
}

/* ---- counting ---- */

static void count_on(struct quotas *q, uint32_t n, int64_t units)
{
	for (; n; n = q->list[n].up)
		q->list[n].used += (uint64_t)units;
}

void quotas_count(struct meta *m, const struct inode *i, int64_t units)
{
	count_on(&m->quotas, i->quota, units);
}

static bool is_limited(const struct quotas *q, const struct inode *i)
{
	return i->quota && q->list[i->quota].ino == i->attr.ino;
}

void quotas_place(struct meta *m, struct inode *i, const struct inode *dir)
{
	struct quotas *q = &m->quotas;

	if (q->count == 0)
		return;
	if (inode_is_dir(i) && is_limited(q, i)) {
		q->stale |= q->list[i->quota].up != dir->quota;
	} else if (inode_is_dir(i)) {
		/* All that is below moves with it. */
		q->stale |= i->quota != dir->quota && i->entry_count > 0;
		i->quota = dir->quota;
	} else if (S_ISREG(i->attr.mode) && i->quota != dir->quota) {
		int64_t units = (int64_t)inode_units(i);

		count_on(q, i->quota, -units);
		i->quota = dir->quota;
		count_on(q, i->quota, units);
	}
}

/* ---- counting anew ---- */

static uint64_t limit_of(const struct meta *m, uint64_t ino, const struct trial *t)
{
	const struct xattr *x = XATTRS_GET(m, ino, XATTR_QUOTA);

	if (x)
		return xattr_quota_bytes(xattr_value(x), x->value_len);
	return ino == t->limited ? INT64_MAX : 0;
}

static uint32_t free_place(const struct quotas *q)
{
	uint32_t n = 1;

	while (q->list[n].ino)
		n++;
	return n;
}

/* A removed file that is still in use counts where it did; where that is gone, further up. */
static void place_orphan(const struct meta *m, struct inode *i, const struct trial *t)
{
	const struct quotas *q = &m->quotas;

	while (i->quota &&
		!(meta_inode(m, q->list[i->quota].ino) && limit_of(m, q->list[i->quota].ino, t)))
		i->quota = q->list[i->quota].up;
}

static void place_orphans(struct meta *m, const struct trial *t)
{
	struct inode *i;

	for (size_t c = 0; (i = meta_each_inode(m, &c));)
		if (S_ISREG(i->attr.mode) && i->attr.links == 0)
			place_orphan(m, i, t);
}

/* Quotas that are gone make room for those that have come. A directory that has one bears its
 * number, all others none yet. */
static void find_quotas(struct meta *m, const struct trial *t)
{
	struct quotas *q = &m->quotas;
	struct inode *i;

	for (uint32_t n = 1; n < q->capacity; n++)
		if (q->list[n].ino &&
			(!meta_inode(m, q->list[n].ino) || !limit_of(m, q->list[n].ino, t))) {
			q->list[n].ino = 0;
			q->count--;
		}
	for (size_t c = 0; (i = meta_each_inode(m, &c));) {
		uint64_t limit = inode_is_dir(i) ? limit_of(m, i->attr.ino, t) : 0;

		if (!inode_is_dir(i))
			continue;
		if (limit && !is_limited(q, i)) {
			i->quota = free_place(q);
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

static struct inode *parent_of(const struct meta *m, const struct inode *dir, const struct trial *t)
{
	uint64_t parent = dir->attr.parent;

	for (unsigned n = 0; n < t->moves; n++)
		if (t->moved[n] == dir->attr.ino)
			parent = t->parent[n];
	return dir->attr.ino == GM_ROOT_INO ? NULL : meta_inode(m, parent);
}

/* The number of the nearest quota: up to where it is known, and down the same way. */
static uint32_t place_directory(const struct meta *m, struct inode *dir, const struct trial *t)
{
	struct inode *up = dir;
	uint32_t quota;

	while (up && up->quota == UNKNOWN)
		up = parent_of(m, up, t);
	quota = up ? up->quota : 0;
	for (; dir && dir->quota == UNKNOWN; dir = parent_of(m, dir, t))
		dir->quota = quota;
	return quota;
}

static void place_directories(struct meta *m, const struct trial *t)
{
	struct quotas *q = &m->quotas;
	struct inode *i;

	for (size_t c = 0; (i = meta_each_inode(m, &c));)
		if (inode_is_dir(i))
			(void)place_directory(m, i, t);
	for (uint32_t n = 1; n < q->capacity; n++) {
		struct inode *up =
			q->list[n].ino ? parent_of(m, meta_inode(m, q->list[n].ino), t) : NULL;

		q->list[n].up = up ? up->quota : 0;
	}
}

/* False: a file has names under different quotas; it counts on the one that was seen first. */
static bool place_files(struct meta *m)
{
	const struct dirent *d;
	struct inode *i;
	bool good = true;

	for (size_t c = 0; (i = meta_each_inode(m, &c));)
		if (S_ISREG(i->attr.mode) && i->attr.links > 0)
			i->quota = UNKNOWN;
	for (size_t c = 0; (d = table_each(&m->dirents, &c));) {
		uint32_t quota = meta_inode(m, d->parent)->quota;

		i = meta_inode(m, d->ino);
		if (!S_ISREG(i->attr.mode))
			continue;
		good &= i->quota == UNKNOWN || i->quota == quota;
		if (i->quota == UNKNOWN)
			i->quota = quota;
	}
	return good;
}

static bool count_all(struct meta *m, const struct trial *t)
{
	struct inode *i;
	bool good;

	place_orphans(m, t);
	find_quotas(m, t);
	place_directories(m, t);
	good = place_files(m);
	for (size_t c = 0; (i = meta_each_inode(m, &c));)
		if (S_ISREG(i->attr.mode))
			count_on(&m->quotas, i->quota, (int64_t)inode_units(i));
	m->quotas.stale = false;
	return good;
}

void quotas_refresh(struct meta *m)
{
	if (m->quotas.stale)
		(void)count_all(m, &(struct trial){.moves = 0});
}

int quotas_init(struct meta *m)
{
	const struct xattr *x;
	uint32_t count = 0;
	struct inode *i;
	int r;

	for (size_t c = 0; (i = meta_each_inode(m, &c));)
		i->quota = 0;
	for (size_t c = 0; (x = table_each(&m->xattrs, &c));)
		count += XATTRS_GET(m, x->ino, XATTR_QUOTA) != NULL;
	r = count ? quotas_reserve(m, count) : 0;
	m->quotas.stale = count > 0;
	if (r == 0)
		quotas_refresh(m);
	return r;
}

/* ---- may it be? ---- */

static bool is_over(const struct quota *q, uint64_t used)
{
	return used > q->limit / GM_UNIT_SIZE;
}

static int try_subtree(struct meta *m, const struct trial *t)
{
	struct quotas *q = &m->quotas;
	int r = quotas_reserve(m, t->limited ? 1 : 0);
	_cleanup_free_ uint64_t *before = r ? NULL : calloc(q->capacity, sizeof(*before));

	if (!before)
		return -ENOMEM;
	for (uint32_t n = 1; n < q->capacity; n++)
		before[n] = q->list[n].used;
	if (!count_all(m, t))
		r = -EXDEV;
	for (uint32_t n = 1; n < q->capacity && r == 0; n++)
		if (q->list[n].ino && q->list[n].used > before[n] &&
			is_over(&q->list[n], q->list[n].used))
			r = -EDQUOT;
	(void)count_all(m, &(struct trial){.moves = 0});
	return r;
}

static void add_delta(struct quotas *q, uint32_t n, int64_t units)
{
	q->touched |= n != 0;
	for (; n; n = q->list[n].up)
		q->list[n].delta += units;
}

/* The inode's links as the change leaves them. */
static uint32_t links_after(const struct meta *m, const struct txn *t, uint64_t ino)
{
	uint32_t links = meta_inode(m, ino)->attr.links;

	for (const struct gm_item *k = NULL; (k = txn_next_item(t, k));) {
		const struct gm_inode *i = (const void *)(k + 1);

		if (get_le16(k->type) == GM_ITEM_INODE && get_le64(i->ino) == ino)
			links = get_le32(i->links);
	}
	return links;
}

/* Something that is there gets a name. */
static int note_entry(
	struct meta *m, const struct txn *t, const struct gm_dirent *d, struct trial *trial)
{
	const struct inode *dir = meta_inode(m, get_le64(d->parent));
	const struct inode *i = meta_inode(m, get_le64(d->ino));

	if (!i || !dir)
		return 0;
	if (inode_is_dir(i) && i->attr.parent != dir->attr.ino) {
		const struct inode *old = meta_inode(m, i->attr.parent);

		if ((old && old->quota == dir->quota) || trial->moves == 2)
			return 0;
		trial->moved[trial->moves] = i->attr.ino;
		trial->parent[trial->moves++] = dir->attr.ino;
	} else if (S_ISREG(i->attr.mode) && i->quota != dir->quota) {
		if (links_after(m, t, i->attr.ino) > 1)
			return -EXDEV;
		add_delta(&m->quotas, i->quota, -(int64_t)inode_units(i));
		add_delta(&m->quotas, dir->quota, (int64_t)inode_units(i));
	}
	return 0;
}

static void note_units(struct meta *m, gm_le64 ino, int64_t units)
{
	const struct inode *i = meta_inode(m, get_le64(ino));

	if (i)
		add_delta(&m->quotas, i->quota, units);
}

static void note_extent(struct meta *m, const struct gm_extent *e, int64_t sign)
{
	note_units(m, e->ino, sign * get_le32(e->count) * GM_UNITS_PER_BLOCK);
}

static void note_piece(struct meta *m, const struct gm_piece *p, int64_t sign)
{
	note_units(m, p->ino, sign * get_le32(p->count));
}

static void note_attribute(const struct meta *m, const struct gm_xattr *x, struct trial *trial)
{
	uint64_t ino = get_le64(x->ino);

	if (get_le16(x->name_len) == sizeof(XATTR_QUOTA) - 1 &&
		memcmp(x + 1, XATTR_QUOTA, sizeof(XATTR_QUOTA) - 1) == 0 && meta_inode(m, ino) &&
		!XATTRS_GET(m, ino, XATTR_QUOTA))
		trial->limited = ino;
}

static int note_items(struct meta *m, const struct txn *t, struct trial *trial)
{
	int r = 0;

	for (const struct gm_item *k = NULL; r == 0 && (k = txn_next_item(t, k));) {
		const void *payload = k + 1;

		switch (get_le16(k->type)) {
		case GM_ITEM_DIRENT:
			r = note_entry(m, t, payload, trial);
			break;
		case GM_ITEM_EXTENT:
			note_extent(m, payload, 1);
			break;
		case GM_ITEM_EXTENT_REMOVED:
			note_extent(m, payload, -1);
			break;
		case GM_ITEM_PIECE:
			note_piece(m, payload, 1);
			break;
		case GM_ITEM_PIECE_REMOVED:
			note_piece(m, payload, -1);
			break;
		case GM_ITEM_XATTR:
			note_attribute(m, payload, trial);
			break;
		}
	}
	return r;
}

/* Most changes touch no quota, and are not to pay for the number of those that there are. */
static int check_deltas(struct quotas *q)
{
	int r = 0;

	for (uint32_t n = 1; q->touched && n < q->capacity; n++) {
		struct quota *k = &q->list[n];

		if (k->delta > 0 && is_over(k, k->used + (uint64_t)k->delta))
			r = -EDQUOT;
		k->delta = 0;
	}
	q->touched = false;
	return r;
}

int quotas_check(struct meta *m, const struct txn *t)
{
	struct quotas *q = &m->quotas;
	struct trial trial = {.moves = 0};
	int r, over;

	if (q->count == 0 && t->type != GM_RECORD_XATTR)
		return 0;
	r = note_items(m, t, &trial);
	over = check_deltas(q);
	if (r == 0)
		r = over;
	return r == 0 && (trial.moves || trial.limited) ? try_subtree(m, &trial) : r;
}

/* ---- reading ---- */

static uint64_t left_of(const struct quota *k)
{
	uint64_t units = k->limit / GM_UNIT_SIZE;

	return units > k->used ? units - k->used : 0;
}

bool quotas_room(const struct meta *m, const struct inode *i, struct quota_room *ret)
{
	const struct quotas *q = &m->quotas;

	*ret = (struct quota_room){.limit = UINT64_MAX, .left = UINT64_MAX};
	for (uint32_t n = i->quota; n; n = q->list[n].up) {
		const struct quota *k = &q->list[n];

		if (k->limit < ret->limit)
			ret->limit = k->limit;
		if (left_of(k) < ret->left)
			ret->left = left_of(k);
	}
	return i->quota != 0;
}

/* The one that leaves it the least; of several such the nearest, since what counts on that counts
 * on all above. 0: it has none. */
static uint32_t tightest(const struct quotas *q, const struct inode *i)
{
	uint32_t best = i->quota;

	for (uint32_t n = best; n; n = q->list[n].up)
		if (left_of(&q->list[n]) < left_of(&q->list[best]))
			best = n;
	return best;
}

bool quotas_compete(const struct meta *m, const struct inode *i, const struct inode *other)
{
	uint32_t wanted = tightest(&m->quotas, i), n = other->quota;

	while (n && n != wanted)
		n = m->quotas.list[n].up;
	return n != 0;
}
