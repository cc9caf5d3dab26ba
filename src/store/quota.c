// SPDX-License-Identifier: MIT
#include "store/quota.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/codec.h"
#include "store/meta.h"
#include "store/quota_tree.h"
#include "store/txn.h"
#include "store/xattrs.h"
#include "util/cleanup.h"

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

void quotas_count(struct meta *m, const struct inode *i, int64_t units)
{
	quota_count_on(&m->quotas, i->quota, units);
}

void quotas_place(struct meta *m, struct inode *i, const struct inode *dir)
{
	struct quotas *q = &m->quotas;

	if (q->count == 0)
		return;
	if (inode_is_dir(i) && quota_is_of(q, i)) {
		q->stale |= q->list[i->quota].up != dir->quota;
	} else if (inode_is_dir(i)) {
		/* All that is below moves with it. */
		q->stale |= i->quota != dir->quota && i->entry_count > 0;
		i->quota = dir->quota;
	} else if (S_ISREG(i->attr.mode) && i->quota != dir->quota) {
		int64_t units = (int64_t)inode_units(i);

		quota_count_on(q, i->quota, -units);
		i->quota = dir->quota;
		quota_count_on(q, i->quota, units);
	}
}

void quotas_note_limit(struct meta *m, uint64_t ino)
{
	struct quotas *q = &m->quotas;
	const struct inode *dir = meta_inode(m, ino);

	if (q->count && dir && inode_is_dir(dir) && quota_is_of(q, dir))
		q->changed = true;
	else
		q->stale = true;
}

void quotas_refresh(struct meta *m)
{
	m->quotas.shift_count = 0;
	if (m->quotas.stale)
		quotas_count_all(m);
	else if (m->quotas.changed)
		quotas_read_limits(m);
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

static void give_up(struct meta *m)
{
	m->quotas.stale = true;
	quotas_refresh(m);
}

void quotas_undo(struct meta *m)
{
	struct quotas *q = &m->quotas;
	bool good = true;

	while (q->shift_count > 0 && good) {
		struct quota_shift *s = &q->shifts[--q->shift_count];

		if (s->begins) {
			q->list[s->to].ino = 0;
			q->count--;
		}
		good = quota_shift(m, s->dir, s->to, s->from) != -ENOMEM;
	}
	if (!good)
		give_up(m);
}

static void begin_quota(struct quotas *q, struct quota_shift *s)
{
	s->to = quota_free_place(q);
	q->list[s->to] = (struct quota){.ino = s->dir->attr.ino, .limit = INT64_MAX, .up = s->from};
	q->count++;
}

/* All shifts are made in any case, so that there is one way back. -ENOMEM: counted anew. */
static int make_shifts(struct meta *m)
{
	struct quotas *q = &m->quotas;
	int r = 0;

	for (unsigned n = 0; n < q->shift_count; n++) {
		struct quota_shift *s = &q->shifts[n];
		int k;

		if (s->begins)
			begin_quota(q, s);
		k = quota_shift(m, s->dir, s->from, s->to);
		if (k == -ENOMEM) {
			give_up(m);
			return k;
		}
		r = k < 0 ? k : r;
	}
	return r;
}

static int try_shifts(struct meta *m)
{
	struct quotas *q = &m->quotas;
	int r = quotas_reserve(m, 1);
	_cleanup_free_ uint64_t *before = r ? NULL : calloc(q->capacity, sizeof(*before));

	if (!before) {
		q->shift_count = 0;
		return -ENOMEM;
	}
	for (uint32_t n = 1; n < q->capacity; n++)
		before[n] = q->list[n].used;
	r = make_shifts(m);
	for (uint32_t n = 1; n < q->capacity && r == 0; n++)
		if (q->list[n].ino && q->list[n].used > before[n] &&
			is_over(&q->list[n], q->list[n].used))
			r = -EDQUOT;
	if (r < 0)
		quotas_undo(m);
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

/* A change is one call's: at most two directories that trade places. */
static void note_shift(struct quotas *q, const struct quota_shift *s)
{
	assert(q->shift_count < ARRAY_SIZE(q->shifts));
	q->shifts[q->shift_count++] = *s;
}

/* Something that is there gets a name. */
static int note_entry(struct meta *m, const struct txn *t, const struct gm_dirent *d)
{
	const struct inode *dir = meta_inode(m, get_le64(d->parent));
	struct inode *i = meta_inode(m, get_le64(d->ino));

	if (!i || !dir)
		return 0;
	if (inode_is_dir(i) && i->attr.parent != dir->attr.ino) {
		const struct inode *old = meta_inode(m, i->attr.parent);

		if (!old || old->quota != dir->quota)
			note_shift(&m->quotas,
				&(struct quota_shift){
					.dir = i, .from = old ? old->quota : 0, .to = dir->quota});
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

static void note_attribute(struct meta *m, const struct gm_xattr *x)
{
	struct inode *dir = meta_inode(m, get_le64(x->ino));

	if (get_le16(x->name_len) == sizeof(XATTR_QUOTA) - 1 &&
		memcmp(x + 1, XATTR_QUOTA, sizeof(XATTR_QUOTA) - 1) == 0 && dir &&
		!quota_is_of(&m->quotas, dir))
		note_shift(&m->quotas,
			&(struct quota_shift){.dir = dir, .from = dir->quota, .begins = true});
}

static int note_items(struct meta *m, const struct txn *t)
{
	int r = 0;

	for (const struct gm_item *k = NULL; r == 0 && (k = txn_next_item(t, k));) {
		const void *payload = k + 1;

		switch (get_le16(k->type)) {
		case GM_ITEM_DIRENT:
			r = note_entry(m, t, payload);
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
			note_attribute(m, payload);
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
	int r, over;

	q->shift_count = 0;
	if (q->count == 0 && t->type != GM_RECORD_XATTR)
		return 0;
	r = note_items(m, t);
	over = check_deltas(q);
	if (r == 0)
		r = over;
	if (r < 0)
		q->shift_count = 0;
	return q->shift_count ? try_shifts(m) : r;
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
