/* SPDX-License-Identifier: MIT */
/*
 * The metadata of a pool on its media: journal first, checkpoints, recovery. docs/format.md is the
 * format.
 *
 * Opening reads and recovers without a single store; store_begin_mount() is the first one. A change
 * that store_commit() has accepted is on the media before it returns.
 */
#ifndef GM_STORE_STORE_H
#define GM_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "store/media.h"
#include "store/meta.h"
#include "store/txn.h"
#include "util/problem.h"

struct store;

/* ---- making one ---- */

struct store_region {
	enum gm_region_kind kind;
	uint64_t blocks; /* the whole region */
	uint64_t physical_start;
	uint32_t node;
	bool reserved_ram; /* GM_REGION_RESERVED_RAM */
	bool zeroed;       /* its memory is known to be zero: blocks start clean */
	bool large_pages;  /* it can be mapped by whole GiBs only; store_plan() looks at it */
};

struct store_plan { /* what a format would make: sizes in bytes, places from the start of region 0
		     */
	uint64_t max_files;
	uint64_t meta_blocks;
	bool whole_groups; /* GM_FEATURE_INCOMPAT_GROUPS */
	uint64_t journal_offset;
	uint64_t journal_size;
	uint64_t slot_offset[2];
	uint64_t slot_size;
};

#define STORE_MAX_FILES_DEFAULT 65536U

/* All extended attributes together may take one in so many bytes of a checkpoint slot. */
#define STORE_XATTR_SHARE 4U

/* And so may all pieces of files with content. */
#define STORE_PIECE_SHARE 4U

/*
 * -EINVAL with a sentence: a region too small for its metadata and one data block (says how much is
 * needed), max_files out of range, too many regions, no whole GiB where blocks are given out by
 * those.
 */
int store_plan(struct store_plan *ret, const struct store_region *regions, uint32_t count,
	uint64_t max_files, struct problem *why);

struct store_format {
	const struct store_plan *plan;
	const struct store_region *regions;
	uint32_t region_count;
	const char *label; /* at most 63 bytes; may be NULL */
	uint32_t root_uid;
	uint32_t root_gid;
	uint8_t uuid[16];
	int64_t now; /* seconds since 1970 */
};

/*
 * Writes an empty filesystem with root directory mode 0755. The old superblocks go first and the
 * new ones come last, so that a crash leaves something that is refused, never a mixture. m covers
 * at least the metadata area. The stamps of the last blocks and of further regions are the caller's
 * to write: store_make_stamp().
 */
int store_format(struct media *m, const struct store_format *f, struct problem *why);

/* The stamp for GM_STAMP_OFFSET of a region's first or last block. token: the succession token,
 * all zero where none is asked for. plan: the pool's. */
void store_make_stamp(struct gm_stamp *ret, const uint8_t uuid[16], uint32_t region,
	enum gm_stamp_position position, uint64_t blocks, const struct store_plan *plan,
	const uint8_t token[16]);

/*
 * -EUCLEAN with a sentence if it is not the stamp that it should be; its token is not looked at,
 * nor is its checksum where all else is right: a crash may have torn the storing of a new token.
 * plan: what it may tell of the metadata area; NULL: whatever it likes.
 */
int store_check_stamp(const struct gm_stamp *stamp, const uint8_t uuid[16], uint32_t region,
	enum gm_stamp_position position, uint64_t blocks, const struct store_plan *plan,
	struct problem *why);

/* It is a stamp and its checksum holds, whosever it is. */
bool store_stamp_is_whole(const struct gm_stamp *stamp);

/* It is whole and has this token. */
bool store_stamp_bears(const struct gm_stamp *stamp, const uint8_t token[16]);

/* True if the whole metadata area [0, length) is zero. */
bool store_is_blank(const void *area, uint64_t length);

/* ---- opening one ---- */

struct store_super { /* a superblock, decoded and checked */
	uint8_t uuid[16];
	char label[65];
	uint64_t sequence;
	uint64_t created;
	uint32_t region_count;
	struct store_plan plan;
	struct store_region regions[GM_REGIONS_MAX];
	uint64_t first_data[GM_REGIONS_MAX];
	uint64_t data_blocks[GM_REGIONS_MAX];
	uint64_t feature_compat;
	bool copy_bad[2]; /* copy A, B did not decode: to be written anew at mount */
};

/*
 * Reads the superblocks in the first block of region 0 (GM_BLOCK_SIZE bytes at block), so that the
 * caller knows how much to map. region_bytes is the size that region 0 has now, 0: not to be looked
 * at. Errors with a sentence: -ENOENT all zero, never formatted; -EUCLEAN both damaged (names both
 * reasons), region shrunk or of another size; -EPROTONOSUPPORT newer format or unknown incompat or
 * ro_compat feature; -EMEDIUMTYPE something else's data.
 */
int store_read_super(
	struct store_super *ret, const void *block, uint64_t region_bytes, struct problem *why);

/* The same of two copies (struct gm_super) that were taken from there. */
int store_read_copies(struct store_super *ret, const void *const copies[2], uint64_t region_bytes,
	struct problem *why);

/*
 * Recovers what the media hold. No store is made; m may be mapped read-only. m stays the caller's
 * and must outlive the store. Errors with a sentence that names the place: -EUCLEAN corruption;
 * -ENOMEM.
 */
int store_open(
	struct store **ret, struct media *m, const struct store_super *super, struct problem *why);
struct store *store_close(struct store *s); /* writes nothing; NULL is fine; returns NULL */

/*
 * Where this boot came from: intact metadata do not prove intact guests on reserved RAM. The kernel
 * that ran before must have handed the memory on, and shows it by a token on this kernel's command
 * line. 0; -ESTALE with a sentence that says whether this boot came by kexec at all. Nothing is
 * asked under the boot id of the last mount, of a pool that was never mounted, or of one without
 * reserved RAM (GM_REGION_RESERVED_RAM).
 */
struct store_origin {
	uint8_t boot_id[16];
	bool has_token; /* the command line bears one, as "guestmemfs.succession=" and 32 hex digits
			 */
	uint8_t token[16];
	bool stamps_agree; /* every stamp of every region carries the token of the metadata */
	bool by_kexec;     /* /proc/sys/kernel/bootloader_type is 208 */
	bool after_panic;  /* this is a crash kernel; for store_continue_mount(), not looked at */
};

int store_check_origin(const struct store *s, const struct store_origin *o, struct problem *why);

/*
 * Is what counts up for ever so far from its end that a mount may begin? store_begin_mount() asks
 * that itself. -EUCLEAN with a sentence.
 */
int store_check_numbers(const struct store *s, struct problem *why);

/*
 * Begins a mount under this kernel's boot id: heals a bad superblock copy, then commits one MOUNT
 * record that sets boot id and mount number, removes inodes without links that nobody holds or has
 * open (their `opens`, which the caller may set before), and, if the boot id is another than
 * before, forgets held marks and releases the quarantine. Call once, before anything is granted.
 * The first mount under a boot id gives a pool on reserved RAM a fresh succession token
 * (store_meta()->token), which the caller then writes into the stamps; another boot id also thaws.
 */
int store_begin_mount(struct store *s, const uint8_t boot_id[16], struct problem *why);

/*
 * The same in the kernel that a panic has left to. No device was stopped there, so what the crashed
 * boot held may still be written to, and its memory is what is to be looked at: that boot goes on.
 * Held marks, orphans and quarantine stay, and store_keeps_held() is true: nothing that is held may
 * be shown free in this boot. boot_id is used if the pool was never mounted.
 */
int store_continue_mount(struct store *s, const uint8_t boot_id[16], struct problem *why);
bool store_keeps_held(const struct store *s);

/* ---- using it ---- */

struct meta *store_meta(struct store *s);
const struct store_super *store_get_super(const struct store *s);

/*
 * Commits a transaction: on the media and in meta before it returns. May write a checkpoint (the
 * journal is half full, or the record is too large for it). On error nothing has changed: -ENOSPC
 * the metadata area is full or max_files is reached (logged); -EDQUOT, -EXDEV as quotas_check()
 * says; -ENOMEM; -EIO memory of the metadata area can't be reached (logged): sigbus_init() has been
 * called, else that is the process's end. A transaction that contradicts meta aborts the process:
 * nothing of it has reached the media.
 */
int store_commit(struct store *s, struct txn *t);

/* Would so many more pieces have room? 0; -ENOSPC as store_commit() says (logged). */
int store_check_pieces(struct store *s, uint64_t count);

/* Writes a checkpoint now. -ENOMEM; -EIO as store_commit(); -ENOSPC can't happen after successful
 * commits. */
int store_checkpoint(struct store *s);

/*
 * Writes a checkpoint that says that the pool is frozen; from then on store_commit() and
 * store_checkpoint() are -EBUSY, also after a restart under the same boot id. Thawing writes one
 * that does not. Doing it twice does nothing. -ENOMEM; -EIO as store_commit().
 */
int store_freeze(struct store *s);
int store_thaw(struct store *s);
bool store_is_frozen(const struct store *s);

/*
 * The kernel tells of a memory error in this part of the metadata area, which nobody has touched
 * yet (util/sigbus.h). Nothing is stored there from now on; if it is in what is in force, a
 * checkpoint is written elsewhere, so that the next mount does not need it. Logged.
 */
void store_note_fault(struct store *s, uint64_t offset, uint64_t length);

/*
 * Offline: regions 0 to region_count - 1 have grown to the sizes in `blocks`, and the superblock
 * says so from now on. The caller writes the stamps of the new size around it: the new last ones
 * before, the first ones after. The store must then be closed and opened anew. -EINVAL with a
 * sentence: a region shrank, or the metadata area was made for so small a pool that the new block
 * maps do not fit; -EBUSY frozen.
 */
int store_grow(struct store *s, const uint64_t *blocks, struct problem *why);

/*
 * The last change that a FUSE request asked for, also in an earlier mount: unique 0 means none. Who
 * finds a request unanswered knows by it whether it was carried out.
 */
struct store_result {
	uint64_t mount_number;
	uint64_t unique;
};

struct store_result store_last_result(const struct store *s);

struct store_stats {
	uint64_t generation;
	uint64_t sequence;     /* of the last record */
	uint64_t journal_used; /* bytes */
	uint64_t journal_size;
	uint64_t image_bytes; /* of a checkpoint of the present state */
	uint64_t slot_size;
	uint64_t replayed; /* records that opening replayed */
	const char *fault; /* what memory of the metadata can't be used, and what comes of it; NULL:
			      none is known. Until the next call that changes anything */
};

void store_get_stats(const struct store *s, struct store_stats *ret);

#endif
