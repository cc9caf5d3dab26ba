/* SPDX-License-Identifier: MIT */
/*
 * What a kind of region has to bring along. Everything here is called by region.c and spec.c alone,
 * which have done what all kinds share.
 */
#ifndef GM_REGION_OPS_H
#define GM_REGION_OPS_H

#include "region/region.h"

struct region_ops {
	enum gm_region_kind kind;
	const char *name; /* what stands before the colon of a specification */
	bool needs_trust; /* see region_needs_trust() */

	const char *options; /* of a specification: "size", "align", "" */

	/*
	 * Says what stands behind the colon wrongly; the sentence begins with that. NULL: anything
	 * goes but nothing.
	 */
	int (*check)(const struct region_spec *spec, struct problem *why);

	/* See region_peek_size(). NULL: it can't. */
	uint64_t (*peek_size)(const struct region_spec *spec);

	/*
	 * Opens spec->path as the flags say and returns the descriptor, or a negative errno with a
	 * sentence. Need not look at what it opened more closely than is needed to open it safely:
	 * describe() follows. *name is the region's, for the caller to free; it is set on success,
	 * and names the same region also where spec->path was "auto".
	 */
	int (*open)(const struct region_spec *spec, unsigned flags, bool *created, char **name,
		struct problem *why);

	/* Removes what an open() that created has made. NULL: it never creates. */
	void (*discard)(const char *name);

	/*
	 * Fills size, align, reach (0: all), physical_start, node, reserved_ram and write_back from
	 * r->fd and r->name; refuses what is not a region.
	 */
	int (*describe)(struct region *r, struct problem *why);

	/* NULL: every page has its memory. */
	int (*allocate)(struct region *r, struct problem *why);

	/* See region_reach(). NULL: all is reached always. */
	int (*reach)(struct region *r, uint64_t bytes, struct problem *why);

	/*
	 * Called with r->fd just locked: is it still the region's, or has the lock's last owner
	 * made another? Then opens that one in its place and returns 1; 0 if it is. NULL: it is.
	 */
	int (*renew)(struct region *r, struct problem *why);
};

extern const struct region_ops region_file_ops;
extern const struct region_ops region_pmem_ops;
extern const struct region_ops region_soft_ops;

/* NULL if this build has no such kind. */
const struct region_ops *region_ops_of(enum gm_region_kind kind);

/* Any soft region, any pmem region or raw namespace? For region_find_default(). Negative errno. */
int region_soft_is_there(struct problem *why);
int region_pmem_is_there(struct problem *why);

#endif
