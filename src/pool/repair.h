/* SPDX-License-Identifier: MIT */
/*
 * Repairing a pool offline: looking, keeping a copy, writing. The pool's regions are open writable
 * and locked exclusively; it need not be loaded, and can't be in most cases. sigbus_init() has been
 * called: what can't be read counts as lost, page by page.
 */
#ifndef GM_POOL_REPAIR_H
#define GM_POOL_REPAIR_H

#include "pool/backup.h"
#include "store/salvage.h"

struct pool_repair;

/*
 * Finds out what can be kept; nothing is changed. max_files: as at the format, 0 if it was not said
 * again. Errors with a sentence: those of salvage_find_super() and salvage_new(); those of
 * pool_load() for regions that are not the pool's or not of their size, also a stamp that is
 * another pool's; -EUCLEAN a region after the first with neither stamp.
 */
int pool_repair_new(struct pool_repair **ret, struct pool *pool, uint64_t max_files,
	struct salvage_report *report, struct problem *why);
struct pool_repair *pool_repair_free(struct pool_repair *p); /* NULL is fine; returns NULL */

/* How much of the metadata area can't be read; it counts as zero, and the report has it as lost. */
uint64_t pool_repair_bad_bytes(const struct pool_repair *p);

/* False: there is nothing to do. */
bool pool_repair_is_needed(const struct pool_repair *p);

/* Where the copy goes if nothing is said. */
const char *pool_repair_name(const struct pool_repair *p, char buffer[BACKUP_NAME]);

/* backup_write() of the pool as it is. */
int pool_repair_backup(const struct pool_repair *p, const char *path, struct problem *why);

/* Writes what was found. After an error it may be done again from the beginning; -EIO with a
 * sentence: memory that can't be written. */
int pool_repair_write(struct pool_repair *p, struct problem *why);

#endif
