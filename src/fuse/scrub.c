// SPDX-License-Identifier: MIT
#include "fuse/scrub.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "util/le.h"
#include "util/log.h"

void scrub_init(struct scrub *s, struct namespace *ns, struct outbox *outbox, uint64_t rate)
{
	memset(s, 0, sizeof(*s));
	s->rate = rate;
	s->ns = ns;
	s->outbox = outbox;
	s->next_id = 1;
}

static struct scrub_order *find_order(struct scrub *s, uint64_t id)
{
	for (unsigned i = 0; i < SCRUB_ORDERS_MAX; i++)
		if (s->orders[i].id == id)
			return &s->orders[i];
	return NULL;
}

bool scrub_has_room(const struct scrub *s)
{
	for (unsigned i = 0; i < SCRUB_ORDERS_MAX; i++)
		if (s->orders[i].id == 0)
			return true;
	return false;
}

bool scrub_is_idle(const struct scrub *s)
{
	for (unsigned i = 0; i < SCRUB_ORDERS_MAX; i++)
		if (s->orders[i].id)
			return false;
	return true;
}

static void send_scrub(struct outbox *outbox, const struct scrub_order *o)
{
	struct link_scrub m = {
		.header = link_header_make(sizeof(m), LINK_SCRUB, o->id),
		.block = put_le64(o->blocks.block),
		.count = put_le32(o->blocks.count),
		.region = put_le32(o->blocks.region),
	};

	outbox_put(outbox, &m, sizeof(m));
}

static void send_zero(struct outbox *outbox, const struct scrub_order *o)
{
	uint64_t in_block = o->from % GM_BLOCK_SIZE;
	struct link_zero m = {
		.header = link_header_make(sizeof(m), LINK_ZERO, o->id),
		.offset = put_le64(o->blocks.block * GM_BLOCK_SIZE + in_block),
		.length = put_le32(o->length),
		.region = put_le32(o->blocks.region),
	};

	outbox_put(outbox, &m, sizeof(m));
}

static void send_order(struct outbox *outbox, const struct scrub_order *o)
{
	if (o->ino)
		send_zero(outbox, o);
	else
		send_scrub(outbox, o);
}

static uint64_t give_order(struct scrub *s, const struct scrub_order *order)
{
	struct scrub_order *o = find_order(s, 0);

	assert(o); /* the caller has seen that one is free */
	*o = *order;
	o->id = s->next_id++;
	send_order(s->outbox, o);
	return o->id;
}

void scrub_resend(const struct scrub *s)
{
	for (unsigned i = 0; i < SCRUB_ORDERS_MAX; i++)
		if (s->orders[i].id)
			send_order(s->outbox, &s->orders[i]);
}

static bool overlap(const struct alloc_extent *a, const struct alloc_extent *b)
{
	return a->region == b->region && a->block < b->block + b->count &&
	       b->block < a->block + a->count;
}

bool scrub_order_touches(const struct scrub_order *o, const struct inode *inode)
{
	for (uint32_t i = 0; i < inode->extent_count; i++) {
		const struct file_extent *f = &inode->extents[i];
		struct alloc_extent e = {f->block, f->region, f->count};

		if (overlap(&o->blocks, &e))
			return true;
	}
	return false;
}

bool scrub_touches(const struct scrub *s, const struct inode *inode)
{
	for (unsigned i = 0; i < SCRUB_ORDERS_MAX; i++)
		if (s->orders[i].id && scrub_order_touches(&s->orders[i], inode))
			return true;
	return false;
}

/* How many blocks from e->block on are alike: under an order, or not, as *ordered says. */
static uint32_t ordered_run(const struct scrub *s, const struct alloc_extent *e, bool *ordered)
{
	uint64_t run = e->count;

	for (unsigned i = 0; i < SCRUB_ORDERS_MAX; i++) {
		const struct alloc_extent *b = &s->orders[i].blocks;

		if (s->orders[i].id == 0 || !overlap(b, e))
			continue;
		if (b->block <= e->block) {
			uint64_t left = b->block + b->count - e->block;

			*ordered = true;
			return left < e->count ? (uint32_t)left : e->count;
		}
		if (b->block - e->block < run)
			run = b->block - e->block;
	}
	*ordered = false;
	return (uint32_t)run;
}

/* How many blocks from e->block on, of e->count, can be touched at all: a write to a poisoned one
 * is as deadly as a read. *poisoned: none of them can. */
static uint32_t sound_run(const struct alloc *alloc, const struct alloc_extent *e, bool *poisoned)
{
	uint32_t n = 0;

	*poisoned = alloc_any_poisoned(alloc, &(struct alloc_extent){e->block, e->region, 1});
	while (n < e->count && alloc_any_poisoned(alloc, &(struct alloc_extent){e->block + n,
								 e->region, 1}) == *poisoned)
		n++;
	return n;
}

/* Cuts e down to its first blocks, one order's worth at most, that are dirty, sound and under no
 * order. False: there are none. */
static bool cut_to_dirty(const struct scrub *s, struct alloc_extent *e)
{
	const struct alloc *alloc = store_meta(s->ns->store)->alloc;

	while (e->count > 0) {
		struct alloc_extent run = *e;
		bool clean, ordered, poisoned = false;

		run.count = alloc_clean_run(alloc, &run, &clean);
		run.count = ordered_run(s, &run, &ordered);
		if (!clean && !ordered) {
			if (run.count > LINK_SCRUB_MAX)
				run.count = LINK_SCRUB_MAX;
			run.count = sound_run(alloc, &run, &poisoned);
		}
		if (!clean && !ordered && !poisoned) {
			*e = run;
			return true;
		}
		e->block += run.count;
		e->count -= run.count;
	}
	return false;
}

/* The first extent that ends behind the file block `at`; extent_count if there is none. */
static uint32_t extent_at(const struct inode *inode, uint64_t at)
{
	uint32_t low = 0, high = inode->extent_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct file_extent *f = &inode->extents[middle];

		if (f->file_block + f->count > at)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* The block that the offset lies in; false if the file has none there. */
static bool block_at(const struct inode *inode, uint64_t offset, struct alloc_extent *ret)
{
	uint64_t at = offset / GM_BLOCK_SIZE;
	uint32_t i = extent_at(inode, at);

	if (i == inode->extent_count || inode->extents[i].file_block > at)
		return false;
	ret->region = inode->extents[i].region;
	ret->block = inode->extents[i].block + (at - inode->extents[i].file_block);
	ret->count = 1;
	return true;
}

static bool order_stale(struct scrub *s, const struct inode *inode)
{
	uint64_t from = inode->attr.stale_from;
	struct scrub_order o = {.ino = inode->attr.ino, .from = from, .stale = true};
	bool ordered;

	if (from == 0)
		return false;
	if (!block_at(inode, from, &o.blocks)) {
		(void)ns_stale_done(s->ns, inode->attr.ino, from);
		return false;
	}
	(void)ordered_run(s, &o.blocks, &ordered);
	if (ordered || alloc_any_poisoned(store_meta(s->ns->store)->alloc, &o.blocks))
		return false;
	o.length = (uint32_t)(GM_BLOCK_SIZE - from % GM_BLOCK_SIZE);
	(void)give_order(s, &o);
	return true;
}

int64_t scrub_order_bytes(struct scrub *s, const struct inode *inode, const struct ns_range *bytes)
{
	struct scrub_order o = {
		.ino = inode->attr.ino,
		.from = bytes->offset,
		.length = (uint32_t)bytes->length,
	};

	/* Without a block there is no data; but an order for another's would cost what is there. */
	if (!ns_has_data(s->ns, inode, bytes->offset / GM_BLOCK_SIZE) ||
		!block_at(inode, bytes->offset, &o.blocks))
		return 0;
	if (alloc_any_poisoned(store_meta(s->ns->store)->alloc, &o.blocks))
		return -EIO;
	return (int64_t)give_order(s, &o);
}

bool scrub_order_file(struct scrub *s, const struct inode *inode, uint64_t *at)
{
	for (uint32_t i = extent_at(inode, *at); i < inode->extent_count; i++) {
		const struct file_extent *f = &inode->extents[i];
		uint64_t skip = *at > f->file_block ? *at - f->file_block : 0;
		struct alloc_extent e = {f->block + skip, f->region, f->count - (uint32_t)skip};

		if (cut_to_dirty(s, &e)) {
			*at = f->file_block + (e.block - f->block) + e.count;
			(void)give_order(s, &(struct scrub_order){.blocks = e});
			return true;
		}
		*at = f->file_block + f->count;
	}
	return order_stale(s, inode);
}

/* The background's orders are small where it is slow, so that it is so all the time and not by fits
 * and starts. */
static uint32_t background_blocks(const struct scrub *s)
{
	uint64_t blocks = s->rate / 1000 * SCRUB_SLICE_MS / GM_BLOCK_SIZE;

	if (s->rate == 0 || blocks > LINK_SCRUB_MAX)
		return LINK_SCRUB_MAX;
	return blocks ? (uint32_t)blocks : 1;
}

static void give_background_order(struct scrub *s, const struct alloc_extent *e, uint64_t now)
{
	if (s->rate)
		s->next_order = now + e->count * GM_BLOCK_SIZE * 1000 / s->rate;
	(void)give_order(s, &(struct scrub_order){.blocks = *e});
}

bool scrub_next_order(const struct scrub *s, uint64_t now, uint64_t *ret)
{
	struct alloc_stats stats;

	alloc_get_stats(store_meta(s->ns->store)->alloc, &stats);
	*ret = s->next_order;
	return s->next_order > now && stats.free_dirty > 0;
}

bool scrub_order_free(struct scrub *s, uint64_t now)
{
	const struct alloc *alloc = store_meta(s->ns->store)->alloc;
	struct alloc_stats stats;
	struct alloc_extent e;

	alloc_get_stats(alloc, &stats);
	if (stats.free_dirty == 0 || now < s->rest_until || now < s->next_order)
		return false;
	if (!alloc_next_dirty(alloc, &s->cursor, background_blocks(s), &e)) {
		s->cursor = 0; /* it began in the middle */
		if (!alloc_next_dirty(alloc, &s->cursor, background_blocks(s), &e))
			return false;
	}
	give_background_order(s, &e, now);
	return true;
}

static int journal_done(struct scrub *s, const struct scrub_order *o)
{
	const struct inode *inode;
	struct alloc_extent block;

	if (!o->ino)
		return ns_blocks_clean(s->ns, &o->blocks, 1);
	if (!o->stale)
		return 0;
	/* The file may have another block there by now, which was not zeroed. */
	inode = meta_inode(store_meta(s->ns->store), o->ino);
	if (!inode || inode->attr.stale_from != o->from || !block_at(inode, o->from, &block) ||
		!overlap(&block, &o->blocks))
		return 0;
	return ns_stale_done(s->ns, o->ino, o->from);
}

static void count_done(struct scrub *s, uint64_t blocks, uint64_t now)
{
	uint64_t elapsed = now - s->window_start;

	s->done += blocks;
	if (elapsed >= SCRUB_WINDOW_MS) {
		/* What was begun long ago says nothing about the speed of now. */
		s->measured = elapsed < 2 * SCRUB_WINDOW_MS
				      ? s->window_blocks * GM_BLOCK_SIZE * 1000 / elapsed
				      : 0;
		s->measured_until = now + 2 * SCRUB_WINDOW_MS;
		s->window_start = now;
		s->window_blocks = 0;
	}
	s->window_blocks += blocks;
}

uint64_t scrub_speed(const struct scrub *s, uint64_t now)
{
	return now < s->measured_until ? s->measured : 0;
}

int scrub_done(struct scrub *s, uint64_t id, uint32_t error, uint64_t now, struct scrub_order *ret)
{
	struct scrub_order *o = id ? find_order(s, id) : NULL;
	int r = error <= 4095 ? -(int)error : -EIO; /* 4095: the kernel's last errno */

	if (!o)
		return -EPROTO;
	*ret = *o;
	*o = (struct scrub_order){.id = 0};
	if (r == 0)
		r = journal_done(s, ret);
	if (r == 0)
		count_done(s, ret->ino ? 0 : ret->blocks.count, now);
	if (r < 0) {
		log_error("zeroing %u blocks of region %u from block %llu on failed: %s",
			ret->blocks.count, ret->blocks.region,
			(unsigned long long)ret->blocks.block, strerror(-r));
		s->rest_until = now + SCRUB_REST_MS;
	}
	return r;
}
