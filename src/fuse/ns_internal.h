/* SPDX-License-Identifier: MIT */
/*
 * What the files of the namespace share among themselves: namespace.c (reading, helpers),
 * ns_names.c (create, remove), ns_links.c (links, symlinks, nodes), ns_rename.c, ns_setattr.c,
 * ns_fill.c (blocks that a file gets), ns_spares.c (those that another one leaves it), ns_space.c
 * (fallocate, seek), ns_users.c (open, held, zeroed), ns_xattr.c, ns_acl.c, ns_policy.c and
 * ns_quota.c.
 */
#ifndef GM_FUSE_NS_INTERNAL_H
#define GM_FUSE_NS_INTERNAL_H

#include "fuse/namespace.h"

static inline struct meta *ns_meta(const struct namespace *ns)
{
	return store_meta(ns->store);
}

/* True if somebody still needs the inode when it has no name any more. */
static inline bool ns_in_use(const struct inode *i)
{
	return i->opens > 0 || inode_is_held(i);
}

/* Its last name or open has gone. */
static inline void ns_note_left(struct namespace *ns, const struct inode *i)
{
	if (inode_is_held_orphan(i))
		ns->left = i->attr.ino;
}

/* Of a file: no pool comes near it, and sums of sizes stay far from overflow. */
#define NS_SIZE_LIMIT (1ULL << 62)

static inline uint64_t ns_blocks_for(uint64_t size)
{
	return (size + GM_BLOCK_SIZE - 1) >> GM_BLOCK_SHIFT;
}

/* Blocks for the gaps in a range of a file. */
struct ns_fill {
	uint64_t first, end;          /* the range, in blocks of the file */
	struct alloc_extent *extents; /* owned; NULL: it has no gap */
	size_t count;
	/* NULL, or a spare inode: the range is one gap, and its blocks come before the extents */
	const struct inode *from;
};

#define NS_FILL_NULL ((struct ns_fill){.extents = NULL})

/* Chooses them. -ENOSPC; -ENOMEM. */
int ns_plan_fill(const struct namespace *ns, const struct inode *i, uint64_t first, uint64_t end,
	struct ns_fill *ret);

/*
 * Likewise for what a file grows by, in a record that changes it to attr; if there are too few free
 * blocks, with those of a spare inode, which make the file a held one. The record then has
 * ns_spare_take() before attr.
 */
int ns_plan_growth(const struct namespace *ns, const struct inode *i, struct inode_attr *attr,
	uint64_t first, uint64_t end, struct ns_fill *ret);
void ns_fill_deinit(struct ns_fill *f);

/* The items; the inode's extents must be what they were for the plan. */
void ns_add_fill(struct txn *t, const struct inode *i, const struct ns_fill *f);

/* Moves *at to the next place in the file without an extent or piece, and says how long that is, as
 * far as end; 0: there is none. */
uint64_t ns_next_gap(const struct inode *i, uint64_t *at, uint64_t end);

/* ---- files with content (ns_content.h) ---- */

/* Makes the content store, if there is none yet, and lets it grow by as many units at the least: a
 * record each. */
int ns_make_contents(struct namespace *ns, const struct ns_request *rq);
int ns_grow_contents(struct namespace *ns, const struct ns_request *rq, uint64_t units);

/* For a file of memory that finds too few blocks: gives back all that the content store has empty.
 * 0; -ENOSPC there is none; what else keeps it from that. */
int ns_reclaim_contents(struct namespace *ns, const struct ns_request *rq);

int ns_resize_content(const struct namespace *ns, struct txn *t, const struct inode *i,
	struct inode_attr *attr, uint64_t size);
int ns_allocate_content(struct namespace *ns, const struct ns_request *rq, const struct inode *i,
	const struct ns_range *range, bool keep);
int ns_punch_content(struct namespace *ns, const struct ns_request *rq, const struct inode *i,
	const struct ns_range *range);
/* The first byte from offset on that is data, or lies in a hole; behind all others: none. */
uint64_t ns_find_content(const struct inode *i, uint64_t offset, bool data);

/* -ESTALE if there is none. */
int ns_find(const struct namespace *ns, uint64_t ino, struct inode **ret);

/* A directory in which names may be looked up and made: -ENOENT it is gone or removed, -ENOTDIR. */
int ns_find_dir(const struct namespace *ns, uint64_t ino, struct inode **ret);

/* -ENOENT, -ENAMETOOLONG, -EINVAL. "." and ".." pass. */
int ns_check_name(const char *name, size_t length);

static inline bool ns_is_dot(const char *name, size_t length)
{
	return length == 1 && name[0] == '.';
}

static inline bool ns_is_dotdot(const char *name, size_t length)
{
	return length == 2 && name[0] == '.' && name[1] == '.';
}

static inline void ns_set_ctime(struct inode_attr *a, const struct timespec *now)
{
	a->ctime = now->tv_sec;
	a->ctime_nsec = (uint32_t)now->tv_nsec;
}

static inline void ns_set_mtime(struct inode_attr *a, const struct timespec *time)
{
	a->mtime = time->tv_sec;
	a->mtime_nsec = (uint32_t)time->tv_nsec;
}

static inline void ns_set_atime(struct inode_attr *a, const struct timespec *time)
{
	a->atime = time->tv_sec;
	a->atime_nsec = (uint32_t)time->tv_nsec;
}

/* The contents have changed: of a directory by a name that came or went, of a file by its size. */
static inline void ns_set_changed(struct inode_attr *a, const struct timespec *now)
{
	ns_set_mtime(a, now);
	ns_set_ctime(a, now);
}

/* Can a file take its blocks at this place, as far as pages of 1 GiB go? */
bool ns_spare_fits_pages(const struct inode *i, uint64_t file_block);

/* The spare inode with the most blocks that a file of this user can take at file_block, where it
 * needs so many; NULL: none. */
const struct inode *ns_spare_find(
	const struct namespace *ns, uint32_t uid, uint64_t file_block, uint64_t blocks);

/* Items that remove it, and that give what it had to the file (returns the file block behind it).
 * Then, once that is committed: what it means. */
void ns_spare_take(struct txn *t, const struct inode *from);
uint64_t ns_spare_give(struct txn *t, const struct inode *from, uint64_t ino, uint64_t file_block);
void ns_spare_given(struct namespace *ns, uint64_t from, uint64_t ino, uint64_t file_block);

/* Items that free all blocks of the inode and remove it. It has no name and, if a directory, no
 * entries by then. */
void ns_drop_inode(struct txn *t, const struct inode *i);

/*
 * Items for an inode that loses a name: with the last one it goes too, unless somebody uses it.
 * True if it stays as an orphan: the caller counts it once the transaction is committed.
 */
bool ns_drop_name(struct txn *t, const struct inode *i, const struct timespec *now);

/* A directory, and a name in it that is none of "." and ".." and is free. *dir. */
int ns_find_free(const struct namespace *ns, const struct ns_name *where, struct inode **dir);

/* What a new inode is, beside its owner and times. */
struct ns_kind {
	enum gm_record_type record;
	uint32_t mode;      /* with the type */
	uint64_t rdev;      /* devices: INODE_RDEV() */
	const char *target; /* symlinks */
	size_t target_length;
};

int ns_make(struct namespace *ns, const struct ns_request *rq, const struct ns_name *where,
	const struct ns_kind *kind, struct stat *ret);

/* ---- attributes (ns_xattr.c, ns_acl.c, ns_policy.c, ns_quota.c): items for a change ---- */

/* -ENOSPC the inode has too many. */
int ns_put_xattr(const struct namespace *ns, struct txn *t, uint64_t ino, const char *name,
	const void *value, size_t value_len);

/* Nothing if there is none. */
void ns_take_xattr(const struct namespace *ns, struct txn *t, uint64_t ino, const char *name);

/* Sets attr's permission bits too; attr is put by the caller. -EINVAL it is no list. */
int ns_put_access_acl(const struct namespace *ns, struct txn *t, struct inode_attr *attr,
	const void *acl, size_t size);

/* The inode's access list, if it has one, follows its new permission bits. */
int ns_follow_mode(const struct namespace *ns, struct txn *t, const struct inode_attr *attr);

/*
 * Puts a new inode, with all that it inherits from its directory. Of the permission bits that were
 * asked for, the default list or else the umask leaves what it allows.
 */
int ns_inherit(const struct namespace *ns, struct txn *t, const struct inode *dir,
	struct inode_attr *attr, uint32_t umask);

/* -EINVAL no page size, or none that this file or pool can have. */
int ns_put_page_size(const struct namespace *ns, struct txn *t, const struct inode *i,
	const void *value, size_t value_len);
void ns_inherit_page_size(const struct namespace *ns, struct txn *t, const struct inode *dir,
	const struct inode_attr *attr);

/* user.guestmemfs.io (ns_mark.c): set == false removes it. */
int ns_set_mark(struct namespace *ns, const struct ns_request *rq, struct inode *i,
	const struct ns_xattr *x, bool set);

/* What a file's memory is made of: the unit to ask the allocator for, the blocks of which it comes
 * and goes at the least, and whether it can be so large. */
enum alloc_unit ns_unit_of(const struct namespace *ns, const struct inode *i);
uint64_t ns_granule_of(const struct namespace *ns, const struct inode *i);
bool ns_size_fits(const struct namespace *ns, const struct inode *i, uint64_t size);

/* -EPERM, -EINVAL no number of bytes, -EXDEV a file below has a name outside. */
int ns_put_quota(const struct namespace *ns, const struct ns_request *rq, struct txn *t,
	const struct inode *dir, const void *value, size_t value_len);
bool ns_may_set_quota(const struct namespace *ns, const struct ns_request *rq);

#endif
