/* SPDX-License-Identifier: MIT */
/*
 * The FUSE operations as the kernel sees them: requests in the kernel's own form go through libfuse
 * to the operations, and the replies are caught. The test stands in for the helper, too: what the
 * operations ask of grants.c and tickets.c is noted here. There is one of each for the process, as
 * every test has a process of its own.
 */
#ifndef GM_TESTS_OPS_FIXTURE_H
#define GM_TESTS_OPS_FIXTURE_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>

#include "fuse/grants.h"
#include "fuse/ops.h"
#include "fuse/tickets.h"
#include "pool_fixture.h"

#define ROOT GM_ROOT_INO
#define MIB  (1ULL << 20)

extern struct pool pool;
extern struct ops ops;

/* Before and after each test: a pool of 16 blocks that are clean, and a session that has begun. */
void ops_setup(void);
void ops_teardown(void);

/* ---- the kernel ---- */

extern uint64_t last_unique; /* the last request's number */

extern struct reply {
	unsigned count; /* since the last request */
	int error;
	uint64_t unique;
	size_t size; /* of data */
	_Alignas(8) uint8_t data[70000];
} reply;

extern unsigned notified; /* what the kernel was told unasked */

/* Sends a request of fixed and variable part, answered or not. */
void send_request(uint32_t opcode, uint64_t ino, const void *fixed, size_t fixed_size,
	const void *rest, size_t rest_size);

/* The same; exactly one answer comes at once. Returns its error. */
int call(uint32_t opcode, uint64_t ino, const void *fixed, size_t fixed_size, const void *rest,
	size_t rest_size);
int call_name(uint32_t opcode, uint64_t ino, const char *name);

/* The one reply that has come since the last request. */
void expect_reply(int error);

/* ---- the helper ---- */

extern uint64_t checked[64]; /* what grants_check() was called for */
extern unsigned check_flags[64];
extern size_t checked_count;

extern struct revoked { /* grants_revoke(), and what it says if that is an error */
	unsigned count;
	uint64_t ino;
	bool kill;
	uid_t uid;
	int error;
} revoked;

extern struct zeroed { /* grants_zero() */
	unsigned count, cancelled;
	uint64_t ino;
	struct ns_range ranges[GRANTS_RANGES_MAX];
	unsigned range_count;
} zeroed;

/* A file that somebody may hold. */
uint64_t make_held(const char *name, uint64_t size);

/* When what waits is given up. */
uint64_t deadline(void);

#endif
