/* SPDX-License-Identifier: MIT */
/*
 * A formatted pool in ordinary memory for the tests of the store: made, changed, copied, damaged
 * and opened again.
 */
#ifndef GM_TESTS_STORE_FIXTURE_H
#define GM_TESTS_STORE_FIXTURE_H

#include "store/store.h"

struct fixture {
	struct media media;
	struct store_super super;
	struct store *store;
	uint64_t region_bytes;
};

#define FIXTURE_MIB 256U

extern const uint8_t fixture_boot[16];

/* Formats FIXTURE_MIB MiB for max_files files and opens them; begins a mount under fixture_boot. */
void fixture_init(struct fixture *f, uint64_t max_files);
void fixture_deinit(struct fixture *f);

/* Closes and opens again what is on the media, without beginning a mount. The error of
 * store_open(). */
int fixture_reopen(struct fixture *f, struct problem *why);

/* A second fixture over a copy of the media, not opened (store is NULL). */
void fixture_copy(struct fixture *to, const struct fixture *from);

/* Reads the superblock and opens what is on the media: 0, or the first error. */
int fixture_open(struct fixture *f, struct problem *why);

/* A digest of the whole state: equal digests, equal trees, extents and block maps. */
uint64_t fixture_digest(struct fixture *f);

/* Changes, each one transaction. They return what store_commit() says. */
int fixture_make(
	struct fixture *f, uint64_t parent, const char *name, uint32_t mode, uint64_t *ino);
int fixture_grow(struct fixture *f, uint64_t ino, uint64_t blocks); /* by so many blocks */
int fixture_shrink(struct fixture *f, uint64_t ino);                /* to nothing */
int fixture_unlink(struct fixture *f, uint64_t parent, const char *name, bool keep_inode);
int fixture_flags(struct fixture *f, uint64_t ino, uint64_t flags);
int fixture_scrub(struct fixture *f, uint64_t ino); /* its blocks are clean */

/* A mixed workload of one change; n chooses it. What store_commit() says. */
int fixture_step(struct fixture *f, unsigned n);

#endif
