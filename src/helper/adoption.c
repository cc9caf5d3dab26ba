// SPDX-License-Identifier: MIT
#include "helper/adoption.h"

#include <errno.h>
#include <inttypes.h>

/* Whose blocks a device is over. */
struct census {
	uint64_t no_data; /* blocks outside the data blocks */
	uint64_t free;    /* data blocks that nobody holds */
	uint64_t held;
	struct record_inode *inode; /* who holds the first of them */
	struct record_inode *other; /* another one who holds some; NULL: none */
};

static void count_range(
	struct census *c, const struct record *record, unsigned region, const struct soft_range *r)
{
	for (uint64_t block = r->block; block < r->block + r->count; block++) {
		struct record_inode *owner;
		if (!record_is_data(record, region, block)) {
			c->no_data++;
			continue;
		}
		owner = record_owner(record, region, block);
		if (!owner) {
			c->free++;
			continue;
		}
		c->held++;
		if (!c->inode)
			c->inode = owner;
		else if (owner != c->inode)
			c->other = owner;
	}
}

static struct census count_blocks(
	const struct record *record, unsigned region, const struct soft_device *d)
{
	struct census c = {.held = 0};

	for (size_t i = 0; i < d->range_count; i++)
		count_range(&c, record, region, &d->ranges[i]);
	return c;
}

static enum adoption judge_bound(const struct soft_device *d, const struct census *c,
	struct record_inode **inode, struct problem *why)
{
	if (c->held > 0 && c->free == 0 && !c->other) {
		*inode = c->inode;
		return ADOPTION_INODE;
	}
	if (c->other)
		(void)problem(why, EUCLEAN,
			"it has blocks of inode %" PRIu64 " and of inode %" PRIu64, c->inode->ino,
			c->other->ino);
	else if (c->held > 0)
		(void)problem(why, EUCLEAN,
			"%" PRIu64 " of its blocks are held for inode %" PRIu64 ", %" PRIu64
			" are nobody's",
			c->held, c->inode->ino, c->free);
	else
		return d->window ? ADOPTION_WINDOW : ADOPTION_ORPHAN;
	return ADOPTION_FOREIGN;
}

enum adoption adoption_judge(const struct record *record, unsigned region,
	const struct soft_device *d, struct record_inode **inode, struct problem *why)
{
	if (d->retired || (d->seed && d->range_count == 0))
		return ADOPTION_SYSTEM;
	if (d->kmem || !d->ours) {
		(void)problem(why, EBUSY, "%s",
			d->kmem   ? "kmem has made it the kernel's System RAM"
			: d->seed ? "it is the region's first device and has not been emptied"
				  : "somebody else has made it, or changed or unbound it since");
		return ADOPTION_FOREIGN;
	}
	const struct census c = count_blocks(record, region, d);
	if (c.no_data > 0 && (c.held > 0 || c.free > 0)) {
		(void)problem(why, EUCLEAN, "it reaches from the metadata into the data");
		return ADOPTION_FOREIGN;
	}
	if (c.no_data > 0)
		return ADOPTION_SYSTEM;
	if (d->bound)
		return judge_bound(d, &c, inode, why);
	(void)problem(why, EUCLEAN, "somebody has unbound it");
	return ADOPTION_FOREIGN;
}
