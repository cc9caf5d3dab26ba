/* SPDX-License-Identifier: MIT */
/*
 * A pool with one of each kind of file, and operations on it that are tried with every call for
 * memory failing: each must be done, or refused with ENOMEM while not a byte of the media changes,
 * and be possible afterwards. There is one for the process.
 */
#ifndef GM_TESTS_SCARCE_POOL_H
#define GM_TESTS_SCARCE_POOL_H

#include "pool_fixture.h"
#include "scarce_fixture.h"

#define BLOCK GM_BLOCK_SIZE
#define UNIT  GM_UNIT_SIZE

extern struct pool pool;
extern struct content_memory *memory;
extern uint8_t bytes[8 * UNIT]; /* what is written */

/*
 * In the root: dir (with a default list), empty and limited (a quota) directories; none, file (6
 * blocks, an attribute), held and gone (held) files; bytes and nothing, files with content;
 * s1, s3, ... of one block, so that what is free lies scattered; and so many empty ones more.
 */
void scarce_pool_setup(unsigned fillers);
void scarce_pool_teardown(void);

uint64_t ino_of(const char *name);
int set_xattr(uint64_t ino, const char *name, const char *value); /* as root */
int set_list(const char *file, const char *name);                 /* an access list */
int write_content(const char *name, uint64_t offset, uint64_t length);

struct operation {
	const char *name;
	int (*run)(void);
	unsigned fewest; /* calls for memory that could fail: fewer, and it shows nothing */
	void (*prepare)(void);
	bool partly; /* what comes before it, in records of its own, may be done when it fails */
};

/* How many calls can fail; at least `fewest`. */
unsigned long try_all(const struct operation *o);

#endif
