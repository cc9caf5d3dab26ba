/* SPDX-License-Identifier: MIT */
/*
 * Grants over a real store, with the test as the helper: what it says and hears on its end of the
 * link, the files that it is about, and what the grants have called back. There is one of each for
 * the process, as every test has a process of its own.
 */
#ifndef GM_TESTS_GRANTS_FIXTURE_H
#define GM_TESTS_GRANTS_FIXTURE_H

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fuse/grants.h"
#include "fuse/namespace.h"
#include "fuse/tickets.h"
#include "proto/link.h"
#include "store_fixture.h"
#include "util/le.h"

#define BLOCK GM_BLOCK_SIZE

extern struct fixture fixture;
extern struct namespace ns;
extern struct tickets *tickets;
extern struct grants *grants;
extern int helper; /* the test's end of the link */

/* Before and after each test. There is no link yet, and all blocks are dirty. */
void grants_setup(void);
void grants_teardown(void);

/* ---- what was called back ---- */

extern struct checked { /* the last call of checked() */
	unsigned count;
	uint64_t ino;
	bool busy;
} checked;

extern struct holders { /* calls of holder() */
	unsigned count;
	unsigned ends;
	uint32_t pid;
} holders;

extern struct exported { /* the last call of exported() */
	unsigned count;
	uint64_t ino;
	int error;
	char node[64];
} exported;

extern struct unexported { /* the last call of unexported() */
	unsigned count;
	uint64_t ino;
	int error;
} unexported;

extern struct revoked { /* calls of revoked() */
	unsigned holders, ends;
	uint64_t id;
	int state;
} revoked;

extern struct zeroed { /* the last call of zeroed() */
	unsigned count;
	uint64_t id;
	int error;
} zeroed;

extern struct came { /* calls of contents_part() and contents_given(); descriptors are closed */
	unsigned parts;
	struct grants_part last;
	unsigned given;
	int error;
	unsigned cleaned;           /* calls of cleaned() */
	struct alloc_extent failed; /* the last one's blocks; count 0: none */
} came;

/* For tests that make grants of their own. */
void on_checked(void *data, uint64_t ino, bool busy);
void on_holder(void *data, const struct link_holder *h);

/* ---- the helper ---- */

/* Lets the worker's side do what there is to do; false when the link has ended. */
bool pump(void);

extern union link_from_worker got; /* what the helper received last */

/* The opcode of the next message, which is in `got`; 0 if there is none. */
unsigned next(void);

/* Answers all orders to scrub that are there; how many blocks they were about. Another message
 * ends it, in `got`. */
uint64_t scrub_until_other(unsigned *opcode);

/* Fills the header and sends. */
void say(void *message, size_t size, unsigned opcode, uint64_t id);
void say_with(void *message, size_t size, unsigned opcode, uint64_t id, int fd); /* -1: none */
void say_plain(unsigned opcode);
void say_done(uint64_t id, int error);
void say_free(uint64_t ino, uint64_t epoch);
void say_redeem(uint64_t id, const struct gm_ticket *t);

/* A new link, of which nothing was read; connect_helper() goes on until it is ready. */
void new_link(void);
void connect_helper(void);

/* Redeems a new ticket for the file. */
void redeem(uint64_t id, uint64_t ino, uint32_t access);

/* The same of a clean file: its grant is read away, and its number returned and in free_epoch. */
uint64_t grant_now(uint64_t id, uint64_t ino);
extern uint64_t free_epoch;

/* ---- files ---- */

extern const struct ns_request nobody;
extern const struct asker root, somebody; /* who ask */

uint64_t make_file(const char *name);
uint64_t make_dirty_file(const char *name, uint64_t blocks);
uint64_t make_clean_file(const char *name, uint64_t blocks);
void resize(uint64_t ino, uint64_t size);

const struct inode *inode_of(uint64_t ino);
bool is_held(uint64_t ino);
struct alloc_stats stats(void);

/* All free blocks are clean: nothing goes on in the background. */
void clean_everything(void);

/* A file's blocks from first to end, as if they had been taken from such as were not scrubbed yet.
 */
void mark_dirty(uint64_t ino, uint64_t first, uint64_t end);

#endif
