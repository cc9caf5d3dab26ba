/* SPDX-License-Identifier: MIT */
/*
 * What counts on which quota, where more than one file is concerned: a subtree that comes under
 * another quota, a quota that ends, and everything at the end of recovery.
 */
#ifndef GM_STORE_QUOTA_TREE_H
#define GM_STORE_QUOTA_TREE_H

#include <stdbool.h>
#include <stdint.h>

struct inode;
struct meta;
struct quotas;

/* So many units more (or less) count on quota n and all above it. */
void quota_count_on(struct quotas *q, uint32_t n, int64_t units);

/* True if the directory is one that has a quota of its own. */
bool quota_is_of(const struct quotas *q, const struct inode *dir);

/* There must be one. */
uint32_t quota_free_place(const struct quotas *q);

/*
 * dir and what is below, which count on `from` (0: none), count on `to`; what has a quota of its
 * own goes along in one step. Done backwards it leaves everything as it was. -EXDEV: done, but some
 * file has a name elsewhere as well; -ENOMEM: half done.
 */
int quota_shift(struct meta *m, struct inode *dir, uint32_t from, uint32_t to);

/* Limits as the attributes say; what counted on a quota that has ended counts on the next one
 * above. Looks at all inodes once for each that has ended. */
void quotas_read_limits(struct meta *m);

/* Forgets what was counted, and counts everything as the tree and the attributes are now. */
void quotas_count_all(struct meta *m);

#endif
