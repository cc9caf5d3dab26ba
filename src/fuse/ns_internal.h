/* SPDX-License-Identifier: MIT */
/*
 * What the files of the namespace share among themselves: namespace.c (reading, helpers),
 * ns_names.c (create, remove), ns_rename.c, ns_setattr.c, ns_users.c (open, held, zeroed).
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
 * Items for an inode whose last name goes: it goes too, unless somebody uses it. True if it stays
 * as an orphan: the caller counts it once the transaction is committed.
 */
bool ns_drop_last_name(struct txn *t, const struct inode *i, const struct timespec *now);

#endif
