/* SPDX-License-Identifier: MIT */
/*
 * The tree of names: POSIX semantics over the store and the allocator. It knows no FUSE, no clock
 * and no process.
 *
 * Every change is one transaction and one store_commit(): when a function returns 0 it is on the
 * media, when it returns a negative errno nothing has changed. Permissions are the kernel's
 * business (default_permissions).
 *
 * Errors that any function may give beside its own: -ENOENT there is no such directory (any more),
 * -ESTALE there is no such inode (any more); for changes also -ENOSPC the metadata area or the
 * number of files is exhausted, -EDQUOT a quota is (or the change moves more under
 * it than it has left), -EXDEV a file would have names under different quotas, -ENOMEM. Functions
 * that take a name: -ENOENT empty, -ENAMETOOLONG more than GM_NAME_MAX bytes, -EINVAL '/' or NUL in
 * it, -ENOTDIR the parent is a file.
 */
#ifndef GM_FUSE_NAMESPACE_H
#define GM_FUSE_NAMESPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <time.h>

#include "fuse/content_memory.h"
#include "fuse/open_table.h"
#include "store/store.h"

/* A removed inode whose blocks may be another file's although they are held. */
struct ns_spare {
	uint64_t ino;
	uint32_t uid; /* of that file, and of this one */
	bool any;     /* whoever they are */
};

/* What the last change has made of one of them. */
struct ns_heritage {
	uint64_t from; /* it is gone */
	uint64_t ino;  /* whose its blocks are; 0: nothing was handed over */
	uint64_t file_block;
};

struct namespace
{
	struct store *store; /* not owned */
	uint64_t orphans;    /* inodes without links that somebody still uses */
	bool reap_failed;    /* one of them has no user any more, but could not be removed */
	/* The one that the last change left to its holders alone (inode_is_held_orphan()); 0: none.
	 * Whoever takes it up sets it to 0. */
	uint64_t left;
	struct ns_heritage heritage; /* likewise */
	struct ns_spare *spares;     /* owned; ns_spares_forget() frees it */
	size_t spare_count, spare_room;
	struct content_memory *memory; /* not owned; NULL: what has content can't be reached, EIO */
	struct open_table *opens;      /* likewise; NULL: how often what is open dies with us */
	uint64_t freed_seen;           /* meta.pieces_freed at the last ns_trim_contents() */
	bool grown_in_vain; /* the content store, since then, for what was refused or waits */
	uint32_t owner;     /* of the instance: he sets quotas, as root does; root at first */
};

/* Who asks, when, and under which number: goes into times, owners and the journal. */
struct ns_request {
	struct timespec now; /* CLOCK_REALTIME */
	uint64_t unique;     /* of the FUSE request; 0 if none asks */
	uint32_t uid;
	uint32_t gid;
	uint32_t umask; /* of who creates something: a default list takes its place */
};

/* store must have its mount begun (store_begin_mount()) and must outlive ns. */
void ns_init(struct namespace *ns, struct store *store);

/* ---- reading ---- */

/* "." and ".." are found too. -ENOENT. */
int ns_lookup(const struct namespace *ns, uint64_t parent, const char *name, size_t length,
	struct stat *ret);
int ns_getattr(const struct namespace *ns, uint64_t ino, struct stat *ret);

struct ns_entry {
	uint64_t ino;
	uint64_t cookie;  /* the place to go on after: give it as `after` for the next entry */
	const char *name; /* not NUL-terminated; valid until the next change */
	size_t length;
	uint32_t type; /* of S_IFMT */
};

/*
 * The entry that follows the place `after`, 0 for the first one. "." is at 1, ".." at 2, the others
 * follow; a place stays good whatever is added or removed. 1 found, 0 no more; -ENOENT the
 * directory is removed; -ENOTDIR.
 */
int ns_next_entry(const struct namespace *ns, uint64_t dir, uint64_t after, struct ns_entry *ret);

/* The place behind the last entry that the directory ever had: entries from now on come there or
 * later. */
int ns_dir_end(const struct namespace *ns, uint64_t dir, uint64_t *ret);

/* Blocks of GM_BLOCK_SIZE; files: max_files. */
void ns_statfs(const struct namespace *ns, struct statvfs *ret);

/* The same below a quota: no more than it allows. */
void ns_statfs_at(const struct namespace *ns, uint64_t ino, struct statvfs *ret);

/* ---- names ---- */

struct ns_name {
	uint64_t parent;
	const char *name;
	size_t length;
};

/* mode: permission bits. -EEXIST. */
int ns_create(struct namespace *ns, const struct ns_request *rq, uint64_t parent, const char *name,
	size_t length, uint32_t mode, struct stat *ret);
int ns_mkdir(struct namespace *ns, const struct ns_request *rq, uint64_t parent, const char *name,
	size_t length, uint32_t mode, struct stat *ret);

/*
 * A FIFO, a socket, a device node or a file, as the type in mode says (0: a file). rdev is for
 * devices; of others it is ignored. -EEXIST; -EINVAL another type, or a device number of more than
 * 12 and 20 bits.
 */
int ns_mknod(struct namespace *ns, const struct ns_request *rq, const struct ns_name *where,
	uint32_t mode, dev_t rdev, struct stat *ret);

/* target: NUL-terminated. -EEXIST; -ENOENT an empty one; -ENAMETOOLONG more than GM_TARGET_MAX
 * bytes. */
int ns_symlink(struct namespace *ns, const struct ns_request *rq, const struct ns_name *where,
	const char *target, struct stat *ret);

/* The NUL-terminated text, valid until the next change. -EINVAL no symlink. */
int ns_readlink(const struct namespace *ns, uint64_t ino, const char **ret);

/* As many names as anything but a directory may have; ext4 has the same limit. */
#define NS_LINKS_MAX 65000U

/*
 * One name more for what is there. -EPERM a directory; -ENOENT it has lost its last name; -EEXIST;
 * -EMLINK it has NS_LINKS_MAX.
 */
int ns_link(struct namespace *ns, const struct ns_request *rq, uint64_t ino,
	const struct ns_name *where, struct stat *ret);

/* A file that is open or held stays, without a name, until its last user is gone. -EISDIR. */
int ns_unlink(struct namespace *ns, const struct ns_request *rq, uint64_t parent, const char *name,
	size_t length);
/* -ENOTDIR, -ENOTEMPTY; -EINVAL ".". */
int ns_rmdir(struct namespace *ns, const struct ns_request *rq, uint64_t parent, const char *name,
	size_t length);

/*
 * flags: 0, RENAME_NOREPLACE or RENAME_EXCHANGE of renameat2(2); others -EINVAL. -EEXIST,
 * -ENOTEMPTY, -EISDIR, -ENOTDIR as there; -EINVAL a directory into itself; -EBUSY "." or "..".
 */
int ns_rename(struct namespace *ns, const struct ns_request *rq, const struct ns_name *from,
	const struct ns_name *to, unsigned flags);

/* ---- attributes ---- */

enum ns_set {
	NS_SET_MODE = 1 << 0,
	NS_SET_UID = 1 << 1,
	NS_SET_GID = 1 << 2,
	NS_SET_SIZE = 1 << 3,
	NS_SET_ATIME = 1 << 4,
	NS_SET_MTIME = 1 << 5,
	NS_SET_CTIME = 1 << 6, /* to the present, as any other change does; alone: that alone */
};

struct ns_change {
	unsigned set;  /* enum ns_set */
	uint32_t mode; /* permission bits; the rest is ignored */
	uint32_t uid;
	uint32_t gid;
	uint64_t size;
	struct timespec atime; /* tv_nsec may be UTIME_NOW */
	struct timespec mtime;
};

/*
 * All of it or nothing. Growing takes the blocks at once, those of a spare inode (below) if there
 * are not enough others. A size is a change of the contents, also one that the file has already.
 * -EFBIG size beyond any pool; -ENOSPC not enough free blocks; -EBUSY shrinking a held file;
 * -EISDIR the size of a directory; -EINVAL a time that is none, the size of what is neither file
 * nor directory, or a size that is not whole GiBs where memory is given out by those; -EOPNOTSUPP
 * the permissions of a symlink, which are 0777.
 */
int ns_setattr(struct namespace *ns, const struct ns_request *rq, uint64_t ino,
	const struct ns_change *change, struct stat *ret);

/* ---- extended attributes ---- */

#define NS_XATTR_BYTES_MAX (128U << 10) /* of one inode, as they lie on the media */

struct ns_xattr {
	const char *name; /* with its namespace */
	const void *value;
	size_t value_len;
	int flags; /* XATTR_CREATE, XATTR_REPLACE or 0 */
};

/*
 * "user." on files and directories, "trusted." and "security." on everything, the two access
 * control lists, and of "user.guestmemfs." what has a meaning: pagesize and quota. -EOPNOTSUPP
 * another name; -ERANGE a name too long; -E2BIG a value too long; -EINVAL a value that is none for
 * its name; -EEXIST and -ENODATA by the flags; -EPERM "user." on what is neither file nor
 * directory, or a quota by somebody else than root and the instance's owner; -EACCES a default
 * list, -ENOTDIR a quota on what is no directory; -ENOSPC the inode's names or bytes, or all
 * attributes together, have reached their limit.
 */
int ns_setxattr(
	struct namespace *ns, const struct ns_request *rq, uint64_t ino, const struct ns_xattr *x);

/*
 * "user.guestmemfs.io" is no attribute but a mark (GM_INODE_IO), on files and directories: "1" sets
 * it. Besides the errors above: -EBUSY the file is held; -ENOTEMPTY it is to change from memory to
 * content, or back (ns_removexattr()), and has some, or a size.
 */

/* -ENODATA there is none; a list that is not there is removed all the same. */
int ns_removexattr(
	struct namespace *ns, const struct ns_request *rq, uint64_t ino, const char *name);

/* *ret is valid until the next change. -ENODATA. */
int ns_getxattr(const struct namespace *ns, uint64_t ino, const char *name, const void **ret,
	size_t *length);

/* Each with its NUL, malloc'ed. privileged: "trusted." names as well. Neither quotas nor the mark
 * are listed. */
int ns_listxattr(
	const struct namespace *ns, uint64_t ino, bool privileged, char **ret, size_t *size);

/* The permission bits of a device node over the file, where an access list means nothing: nobody
 * gets there what the list denies him. */
uint32_t ns_node_mode(const struct meta *m, const struct inode *i);

/* ---- space: fallocate(2) and lseek(2) ---- */

struct ns_range { /* bytes of a file */
	uint64_t offset;
	uint64_t length;
};

enum ns_space {
	NS_ALLOCATE,      /* and the file is made as long as the range reaches */
	NS_ALLOCATE_KEEP, /* its size stays, also where that leaves blocks past its end */
	NS_PUNCH,
};

/*
 * NS_ALLOCATE, NS_ALLOCATE_KEEP: every block that the range touches gets memory; where the file
 * becomes longer, so does every block from its old end on. -ENOSPC; -EBUSY it is exported and would
 * get more.
 *
 * NS_PUNCH: the whole blocks of the range are freed; where memory is given out by whole GiBs, the
 * whole GiBs, and other whole blocks become dirty, to be zeroed before anybody sees them. A range
 * that reaches the end of the file takes its last block whole. ns_punch_edges() must have been
 * asked before, and what it says must be zero. -EBUSY the file is held.
 *
 * -EINVAL length is 0, or the file would not end with a GiB where memory is given out by those;
 * -EFBIG past any pool, where there is nothing to punch; -ENODEV no regular file.
 */
int ns_change_space(struct namespace *ns, const struct ns_request *rq, uint64_t ino,
	enum ns_space what, const struct ns_range *range);

/* How many bytes of the range are to be done at once, so that others are not kept waiting: all, but
 * for content that is allocated NS_STEP at the most. */
#define NS_STEP (64ULL << 20)

uint64_t ns_space_step(
	const struct namespace *ns, uint64_t ino, enum ns_space what, const struct ns_range *range);

/*
 * The parts of blocks at the ends of a range to be punched that may hold data: the caller sees to
 * it that they are zeroed, and that nobody gets a grant meanwhile. How many, or the errors of
 * NS_PUNCH beside -EBUSY also while the pool is frozen.
 */
int ns_punch_edges(const struct namespace *ns, uint64_t ino, const struct ns_range *range,
	struct ns_range ret[2]);

/* True if the file owns this block and it is clean: it may hold the file's data. A dirty one is
 * zeroed whole before anybody sees it. */
bool ns_has_data(const struct namespace *ns, const struct inode *i, uint64_t file_block);

/* SEEK_DATA or SEEK_HOLE. A block that the file owns is data, whatever is in it. -ENXIO as
 * lseek(2); -EINVAL. */
int ns_seek(const struct namespace *ns, uint64_t ino, uint64_t offset, int whence, uint64_t *ret);

/* ---- content ---- */

/*
 * Where bytes of a file with content lie, as far as it reaches: parts for writev(2), malloc'ed;
 * holes are zeros. Good until the next change. -EOPNOTSUPP it has no content; -EISDIR; -EINPROGRESS
 * its memory is not there yet: again when content_memory_on_arrival() says so; -EIO it can't be
 * reached.
 */
int ns_read(const struct namespace *ns, uint64_t ino, const struct ns_range *range,
	struct iovec **ret, size_t *count);

/*
 * Stores range->length bytes, all of them or none. Besides the errors of ns_read(): -EBUSY the pool
 * is frozen; -EFBIG; -ENOSPC, -EDQUOT, before anything has changed. For a file with content
 * ns_setattr() and ns_change_space() are -EINPROGRESS and -EIO for the same reasons.
 */
int ns_write(struct namespace *ns, const struct ns_request *rq, uint64_t ino,
	const struct ns_range *range, const void *data);

/* True if blocks of the content store may have become superfluous since the last
 * ns_trim_contents(): pieces were freed, or it grew for what then was not committed. */
bool ns_has_freed_content(const struct namespace *ns);

/* Gives back empty blocks of the content store: all of them, or those beyond as many as are in use
 * and beyond 64 MiB. Nothing while somebody may map it. */
int ns_trim_contents(struct namespace *ns, const struct ns_request *rq, bool all);

/* A block with content that could not be reached. */
struct ns_fault {
	struct alloc_extent block;
	bool poisoned; /* its memory is bad; else it is gone */
	int error;     /* 0; or why that could not be journalled: it is poisoned all the same */
};

/*
 * The next block that an access has shown, or the kernel has told, to be out of reach; false: none
 * (any more). One that is poisoned is journalled as such: what is in it gives -EIO from then on,
 * and nothing new is put there.
 */
bool ns_next_fault(struct namespace *ns, struct ns_fault *ret);

/* True for a file with content; false for everything else, also if it is gone. */
bool ns_has_content(const struct namespace *ns, uint64_t ino);

/* True for a file with content that nobody has open from a time when it had none. */
bool ns_may_be_cached(const struct namespace *ns, uint64_t ino);

/* ---- users of an inode ---- */

/*
 * Counts an open file or directory stream, for this request (0: none): not twice, if it was the
 * last to do so. -ENFILE.
 */
int ns_open(struct namespace *ns, uint64_t ino, uint64_t unique);

/*
 * One less. The last one of an unlinked inode that nobody holds removes it; when that can't be
 * committed, the next call for whatever inode does it, or ns_thaw(), or the next mount. An inode
 * that is gone, or was never opened here, is no error.
 */
int ns_release(struct namespace *ns, uint64_t ino, uint64_t unique);

/* Journals that the file is held, unless that is so already. Comes before the first fd leaves.
 * -EISDIR; -EINVAL it is neither file nor directory. */
int ns_hold(struct namespace *ns, uint64_t ino);

/*
 * Nobody reaches its memory any more: journals that, and removes the inode in the same record if it
 * has no name and is not open. No error if it is not held, or gone. -EBUSY while it is exported and
 * not about to be removed: who opens its node is not seen by us.
 */
int ns_unhold(struct namespace *ns, uint64_t ino);

/* ---- zeroing ---- */

/*
 * The inode has a device node with its owner and mode, or has it no more (a GRANT record). An
 * exported one is held, and can't grow.
 */
int ns_set_exported(struct namespace *ns, uint64_t ino, bool exported);

/* store_thaw(), and removes the orphans whose last user went while the pool was frozen. */
int ns_thaw(struct namespace *ns);

/* Journals that these blocks are zeroed. They may be free or owned. */
int ns_blocks_clean(struct namespace *ns, const struct alloc_extent *extents, size_t count);

/*
 * Journals that the rest of the block from file offset `from` on is zeroed. Nothing happens if the
 * file's stale_from is another by now: then it shrank meanwhile, and what must be zeroed is
 * something else.
 */
int ns_stale_done(struct namespace *ns, uint64_t ino, uint64_t from);

/* ---- spares ---- */

/*
 * The blocks of this inode, which only GM_INODE_HELD keeps alive, may be those of a file that finds
 * no others: ns_setattr() hands them over, all of them in one record, and the file is held from
 * then on. -ESTALE there is no such inode; -ENOMEM.
 */
int ns_spare_add(struct namespace *ns, const struct ns_spare *spare);
/*
 * Of an inode that got memory handed over and is removed before its first grant
 * (GM_INODE_INHERITED) only so many blocks from first on are what it was handed: the others are
 * freed. -ESTALE it is no such inode, or they are not all there.
 */
int ns_spare_keep(struct namespace *ns, uint64_t ino, uint64_t first, uint64_t blocks);
/* Not any more; no error if it was none. */
void ns_spare_remove(struct namespace *ns, uint64_t ino);
void ns_spares_forget(struct namespace *ns);
/* How many blocks they have. */
uint64_t ns_spare_blocks(const struct namespace *ns);

/* ---- orphans ---- */

/*
 * The unlinked inodes that only GM_INODE_HELD keeps alive; of these, unless `beside` is 0, those
 * without which that inode would have more room below its quotas. malloc'ed, the caller frees; NULL
 * if there are none. -ENOMEM.
 */
int ns_list_held_orphans(
	const struct namespace *ns, uint64_t beside, uint64_t **ret, size_t *count);

#endif
