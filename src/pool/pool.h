/* SPDX-License-Identifier: MIT */
/*
 * A pool: the regions of one filesystem together, with the metadata area of the first one mapped.
 * The one place that knows both regions and the store; used by guestmemfs-fuse and by the offline
 * commands. First the regions: pool_open(), or pool_adopt() for each inherited descriptor. Then
 * pool_lock(), unless the descriptors are locked already. Then pool_format() or pool_load(), after
 * which store_open() takes pool.media and pool.super.
 */
#ifndef GM_POOL_POOL_H
#define GM_POOL_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "region/region.h"
#include "store/fsck.h"
#include "store/media.h"
#include "store/store.h"
#include "util/problem.h"

struct pool {
	struct region regions[GM_REGIONS_MAX]; /* owned; the first `count` are there */
	bool created[GM_REGIONS_MAX];          /* made by pool_open(), so known to be zero */
	uint32_t count;
	bool loaded;                   /* media and super are valid */
	struct media media;            /* the metadata area, mapped; base is owned */
	void *kept[GM_REGIONS_MAX][2]; /* first and last block, see pool_keep_stamps(); owned */
	struct store_super super;      /* as it was when loaded */
};

#define POOL_NULL ((struct pool){.count = 0})

/*
 * Opens count regions in the order of the pool; flags are those of region_open(). On failure none
 * is open, and those that were made just now are gone again. Besides the sentences of
 * region_open(): one file named twice, too many regions
 * (-EINVAL).
 */
int pool_open(struct pool *ret, const struct region_spec *specs, uint32_t count, unsigned flags,
	struct problem *why);

/*
 * Adds a region by a descriptor that another process opened (taken over, also on failure); start
 * with POOL_NULL. kind and name as in region_adopt().
 */
int pool_adopt(
	struct pool *pool, enum gm_region_kind kind, int fd, const char *name, struct problem *why);

/* Locks every region; the time-out is for all of them together. -EWOULDBLOCK with a sentence. */
int pool_lock(struct pool *pool, bool shared, unsigned timeout_ms, struct problem *why);

/*
 * Lets the descriptors of the regions reach the metadata area of the pool that is there, for a
 * process that will load it from them and may not change devices. Does nothing where there is none
 * that can be read: pool_load() says why. The regions must be locked. Errors of region_reach().
 */
int pool_prepare(struct pool *pool, struct problem *why);

/*
 * Takes what regions have grown by into use; the pool is loaded writable then, also if nothing has
 * grown. Offline, the regions locked exclusively. Errors with a sentence, nothing is changed: those
 * of pool_load() but for a larger size, those of store_open() and store_grow(). A crash half way is
 * made good by doing it again.
 */
int pool_grow(struct pool *pool, struct problem *why);

/*
 * Reads the superblock, maps the metadata area and shows that these are the pool's regions: number,
 * kind, size, order, stamps. Changes nothing. Errors with a sentence: those of store_read_super();
 * -EUCLEAN a region of another size or place than at format (both), a wrong or damaged stamp;
 * -EINVAL too few or too many regions, of another kind; -EIO memory that can't be read, of the
 * first block and the stamps: what reads the rest does it under sigbus_guard().
 */
int pool_load(struct pool *pool, bool writable, struct problem *why);

/*
 * The same, to write, for a process that goes on where one before it has ended, while the regions
 * were locked all the time: whose they are is known from that one. A stamp that has gone bad since
 * is left to the next mount.
 */
int pool_load_again(struct pool *pool, struct problem *why);

struct pool_format {
	uint64_t max_files; /* 0: STORE_MAX_FILES_DEFAULT */
	const char *label;  /* NULL: none */
	uint32_t root_uid;
	uint32_t root_gid;
	bool force;               /* whatever is there is given up */
	const char *force_option; /* how the operator asks for it ("--force"), for the sentence */
};

/*
 * Makes an empty filesystem and loads it writable. The regions must be locked exclusively. Every
 * page gets its memory (region_allocate()). Errors with a sentence, and nothing is changed: -EEXIST
 * not blank and no force (says what is there); -EINVAL as store_plan() says, or a bad label;
 * -ENOSPC.
 */
int pool_format(struct pool *pool, const struct pool_format *options, struct problem *why);

/*
 * 1 if the whole metadata area that a format would write is zero, as are the places of the stamps;
 * 0 if not, with what is there in what->text ("a guestmemfs pool, uuid ..."). Damaged is not blank.
 * Negative errno with a sentence. max_files as in struct pool_format.
 */
int pool_is_blank(struct pool *pool, uint64_t max_files, struct problem *what);

/*
 * Checks a pool as fsck_run() does, as far as it can be read. Nothing is changed; the regions may
 * be open read-only. 0 when the check could be made, whatever it found; -EIO with a sentence if
 * memory of it can't be read. The pool need not be loaded.
 */
int pool_check(struct pool *pool, struct fsck_report *ret, struct problem *why);

/* Can all of the metadata area be read, as far as the kernel knows? -EIO with a sentence; others
 * that keep from looking. The pool need not be loaded. */
int pool_check_memory(struct pool *pool, struct problem *why);

/*
 * Do all stamps bear this succession token (struct store_origin)? And: write it into all of them,
 * after the mount record has it. A crash between the two leaves stamps that are written anew at the
 * next mount under the same boot id. The pool must be loaded (writable to write).
 */
int pool_stamps_agree(
	const struct pool *pool, const uint8_t token[16], bool *agree, struct problem *why);
int pool_write_stamps(const struct pool *pool, const uint8_t token[16], struct problem *why);

/*
 * Keeps the blocks of the stamps mapped, the first and the last one of each region, for a process
 * that is about to give up mapping anything. From then on the functions above use no descriptor.
 */
int pool_keep_stamps(struct pool *pool, struct problem *why);

/* Removes the regions that pool_open() made, for a start that failed after it. They stay open until
 * pool_close(). */
void pool_discard_created(struct pool *pool);

/* The sentence for a SIGBUS (util/sigbus.h) in what is mapped of the pool, with the place in its
 * region. Returns -EIO. */
struct sigbus;
int pool_say_fault(const struct pool *pool, const struct sigbus *what, struct problem *why);

/* True if it is in the metadata area that is mapped, and *offset and *length say where: the page.
 */
bool pool_find_fault(
	const struct pool *pool, const struct sigbus *what, uint64_t *offset, uint64_t *length);

/* Unmaps and closes everything that is there. */
void pool_close(struct pool *pool);

/* "01234567-89ab-cdef-0123-456789abcdef". Returns buffer. */
#define POOL_UUID_TEXT 37
const char *pool_format_uuid(char buffer[POOL_UUID_TEXT], const uint8_t uuid[16]);

#endif
