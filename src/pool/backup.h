/* SPDX-License-Identifier: MIT */
/*
 * A copy of a pool's metadata in a file of its own: the metadata area and every stamp, with what
 * shows whose they are and that they are whole. It goes back by the way that it came, through a
 * mapping, as devices and huge pages have no other. The pool's regions are open writable and locked
 * exclusively; sigbus_init() has been called.
 */
#ifndef GM_POOL_BACKUP_H
#define GM_POOL_BACKUP_H

#include "pool/pool.h"

struct backup_head { /* 16 KiB at the start of the file, the metadata area behind it */
	uint8_t magic[8];
	gm_le32 version;
	gm_le32 region_count;
	uint8_t uuid[16];
	gm_le64 created; /* seconds since 1970 */
	gm_le64 area_bytes;
	gm_le64 area_checksum; /* XXH3-64 */
	uint8_t reserved[8];
	gm_le64 region_blocks[GM_REGIONS_MAX];
	struct gm_stamp stamps[GM_REGIONS_MAX][2]; /* as they were, whole or not */
	uint8_t reserved2[7864];
	gm_le64 checksum; /* XXH3-64 of all bytes before it */
};
static_assert(sizeof(struct backup_head) == 16384, "of the file");

/* "guestmemfs-UUID-DATE.metadata": where a copy goes if nothing is said. Returns buffer. */
#define BACKUP_NAME 96
const char *backup_name(char buffer[BACKUP_NAME], const uint8_t uuid[16], int64_t now);

/*
 * Writes the area as it is now, with zeros for what can't be read, and the stamps into a new file,
 * to the last byte and to the disk. Errors with a sentence, and no file is left behind; -EEXIST
 * there is one already.
 */
int backup_write(struct pool *pool, const uint8_t uuid[16], uint64_t area_bytes, const char *path,
	int64_t now, struct problem *why);

struct backup {
	struct backup_head head;
	uint8_t *area; /* owned */
};

#define BACKUP_NULL ((struct backup){.area = NULL})

/* Errors with a sentence: -EINVAL it is no such file; -EUCLEAN it is not whole. */
int backup_read(struct backup *ret, const char *path, struct problem *why);
void backup_deinit(struct backup *b);

/*
 * Is it this pool's? Something on the regions has to say so, and nothing may say otherwise: each
 * stamp that is whole, and the superblock if it can be read. A region that is larger than it was
 * counts as it was from here on. -EINVAL or -EUCLEAN with a sentence.
 */
int backup_check(const struct backup *b, struct pool *pool, struct problem *why);

/*
 * Writes it back. The superblocks go first and come last, so that a crash leaves what every mount
 * refuses and the same call mends, as long as a stamp is whole, on the regions or in the copy (else
 * backup_check() does not know the pool again). -EIO with a sentence: memory that can't be written.
 */
int backup_restore(const struct backup *b, struct pool *pool, struct problem *why);

#endif
