/* SPDX-License-Identifier: MIT */
/*
 * The metadata in memory: inodes, directory entries, extents, and the allocator that follows from
 * them. It changes in one way only: items (the bytes of a journal record) are applied, by recovery
 * and by live changes alike.
 *
 * Every item passes through three steps: meta_check() (is it true to what is here?),
 * meta_reserve_item() (get the memory), meta_apply() (can't fail). Recovery refuses what check
 * refuses; for a live change a refused check is our own fault.
 */
#ifndef GM_STORE_META_H
#define GM_STORE_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "alloc/alloc.h"
#include "alloc/units.h"
#include "guestmemfs/format.h"
#include "store/quota.h"
#include "store/table.h"
#include "util/problem.h"

/* The lasting attributes of an inode, in natural types; see struct gm_inode for the meaning of
 * each. */
struct inode_attr {
	uint64_t ino;
	uint64_t size;
	uint64_t parent;
	uint64_t next_cookie;
	uint64_t stale_from;
	uint64_t flags;
	int64_t atime;
	int64_t mtime;
	int64_t ctime;
	int64_t btime;
	uint32_t atime_nsec;
	uint32_t mtime_nsec;
	uint32_t ctime_nsec;
	uint32_t btime_nsec;
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	uint32_t links;
	uint64_t rdev; /* device nodes: INODE_RDEV() */
};

#define INODE_RDEV(major, minor) ((uint64_t)(major) << 32 | (uint32_t)(minor))
#define INODE_RDEV_MAJOR(rdev)   ((uint32_t)((rdev) >> 32))
#define INODE_RDEV_MINOR(rdev)   ((uint32_t)(rdev))

struct file_extent {
	uint64_t file_block;
	uint64_t block;
	uint32_t count;
	uint32_t region;
};

struct dirent {
	uint64_t parent;
	uint64_t ino;
	uint64_t cookie;
	uint8_t type; /* st_mode >> 12 */
	uint8_t name_len;
	char name[]; /* not NUL-terminated */
};

struct inode {
	struct inode_attr attr; /* read it; it changes through items only */
	union {
		/* Regular files: by ascending file_block, merged where they adjoin. Of one with
		 * content they are its pieces: file_block and block count units, the latter of the
		 * content store's file; region is 0. */
		struct {
			struct file_extent *extents;
			uint32_t extent_count;
			uint32_t extent_capacity;
		};
		struct { /* directories: by ascending cookie; src/store/dir.h has the access */
			uintptr_t *slots;
			uint32_t slot_count; /* used part of slots, holes included */
			uint32_t slot_capacity;
		};
		char *target; /* symlinks: attr.size bytes and a NUL; NULL before its item came */
	};
	uint32_t entry_count; /* directories: entries without the holes */

	/* Not on media, kept by the namespace and the worker. */
	uint32_t opens : 31;          /* open files and directory streams */
	uint32_t opened_unmarked : 1; /* content: some of them were opened before there was any */
	uint32_t open_place;          /* where that is kept, while opens is not 0 */
	union {
		uint32_t seen;  /* scratch of meta_verify(), which ends before quotas are counted */
		uint32_t quota; /* files, directories: the nearest one above, in meta.quotas; 0:
				   none */
	};
};

struct meta {
	struct alloc *alloc;  /* owned */
	struct table inodes;  /* struct inode by ino; owned */
	struct table dirents; /* struct dirent by (parent, name); owned */
	struct table xattrs;  /* struct xattr by ino, each inode's first one; owned: xattrs.h */
	struct quotas quotas; /* owned */
	uint64_t name_seed;   /* of their hash, drawn at random, so that no user can know it */
	uint64_t inode_count;
	uint64_t dirent_bytes; /* of their on-media form */
	uint64_t dirent_count;
	uint64_t extent_count;
	uint64_t piece_count;
	uint64_t pieces_freed; /* how often some were, since the start: a look at what is empty is
				  due */
	uint64_t contents;     /* the content store's inode; 0: there is none yet */
	struct units
		units; /* of the content store's file: follows from extents and pieces; owned */
	uint64_t xattr_count;
	uint64_t xattr_bytes; /* of their on-media form */
	uint64_t target_count;
	uint64_t target_bytes; /* of their on-media form */
	uint64_t next_ino;
	uint64_t mount_number;
	bool frozen; /* no change is taken */
	uint8_t boot_id[16];
	uint8_t token[16];
};

/*
 * An empty image: no inode, not even the root. alloc, which has its regions, becomes meta's, also
 * on failure, after which meta_deinit() is as due as ever. 0 or the error of getrandom(2).
 */
int meta_init(struct meta *m, struct alloc *alloc);
void meta_deinit(struct meta *m);

/* ---- reading ---- */

struct inode *meta_inode(const struct meta *m, uint64_t ino); /* NULL if there is none */
struct dirent *meta_lookup(const struct meta *m, uint64_t parent, const char *name, size_t length);

/* The entry of dir with the smallest cookie greater than after; NULL past the last. */
struct dirent *meta_next_entry(const struct inode *dir, uint64_t after);

/* Each inode once, in no order: start with *cursor = 0; NULL at the end. Nothing may change
 * meanwhile. */
struct inode *meta_each_inode(const struct meta *m, size_t *cursor);

/* Blocks that the inode owns: of anything but a file with memory, none. */
uint64_t inode_blocks(const struct inode *i);

/* The same in units, and those of a file with content: what counts on a quota. */
uint64_t inode_units(const struct inode *i);

/* NULL: nothing has been written to any file yet. */
struct inode *meta_contents(const struct meta *m);

static inline bool inode_is_dir(const struct inode *i)
{
	return S_ISDIR(i->attr.mode);
}

static inline bool inode_is_file(const struct inode *i)
{
	return S_ISREG(i->attr.mode);
}

/* A file with content: it has pieces of the content store, and no memory of its own. */
static inline bool inode_has_content(const struct inode *i)
{
	return S_ISREG(i->attr.mode) && (i->attr.flags & GM_INODE_IO);
}

/* Only these have extents, and only their memory is ever granted. */
static inline bool inode_has_memory(const struct inode *i)
{
	return S_ISREG(i->attr.mode) && !(i->attr.flags & GM_INODE_IO);
}

/* The content store: a file without a name that nobody sees. */
static inline bool inode_is_contents(const struct inode *i)
{
	return i->attr.flags & GM_INODE_CONTENTS;
}

static inline bool inode_is_symlink(const struct inode *i)
{
	return S_ISLNK(i->attr.mode);
}

/*
 * True if somebody may still map its memory: nothing of it may be freed, scrubbed, shrunk or moved.
 * Set by a record before the first grant goes out, so one that is on its way counts.
 */
static inline bool inode_is_held(const struct inode *i)
{
	return i->attr.flags & GM_INODE_HELD;
}

/* True if that is all that keeps it: it has no name, and nobody has it open. */
static inline bool inode_is_held_orphan(const struct inode *i)
{
	return i->attr.links == 0 && i->opens == 0 && inode_is_held(i) && !inode_is_contents(i);
}

/* True if every block of it is clean and nothing is left to be zeroed: it may be granted. */
bool meta_is_clean(const struct meta *m, const struct inode *i);

/*
 * Do all objects fit each other: link counts, parents, one tree, extents within the sizes? For the
 * end of recovery; a sequence of items that each passed meta_check() can still break this. Nor may
 * what counts up for ever be anywhere near its end. 0, or -EUCLEAN with a sentence.
 */
int meta_verify(struct meta *m, struct problem *why);

/* ---- changing: one item, as it stands in a record (header, payload, padding) ---- */

/* room: bytes from item on. 0, or -EUCLEAN with a sentence: not a valid item, or it contradicts
 * what is here. */
int meta_check(const struct meta *m, const struct gm_item *item, size_t room, struct problem *why);

/*
 * Memory for the items of one change: objects that apply will use up, in the order in which the
 * items were reserved. An extent or entry can only be reserved for an inode that is there already.
 */
struct meta_reserve {
	struct spare *first;
	struct spare **last;
	uint32_t inodes;
	uint32_t dirents;
	uint32_t extents;
	uint32_t xattrs;
};

void meta_reserve_init(struct meta_reserve *r);
void meta_reserve_deinit(struct meta_reserve *r); /* frees what was not used */

/* The item's header and type are valid (codec_item_payload()). 0, -ENOMEM, or -EUCLEAN if its inode
 * is not there. */
int meta_reserve_item(struct meta *m, struct meta_reserve *r, const struct gm_item *item);

/* The item passed meta_check() and was reserved. */
void meta_apply(struct meta *m, struct meta_reserve *r, const struct gm_item *item);

/* The three steps for one item that stands by itself, as recovery goes through them. 0; -EUCLEAN or
 * -ENOMEM with a sentence, then nothing has changed. */
int meta_take_item(struct meta *m, const struct gm_item *item, size_t room, struct problem *why);

/* With what it has of slots, extents or target. For meta.c and meta_apply.c. */
void inode_free(struct inode *i);

/* The size of the checkpoint image that meta would make, in bytes. */
uint64_t meta_image_bytes(const struct meta *m);

#endif
