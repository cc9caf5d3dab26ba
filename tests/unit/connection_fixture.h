/* SPDX-License-Identifier: MIT */
/*
 * Workers that die over a connection, one after the other: processes of their own, over the same
 * pool and the same runtime table, with the test as the kernel.
 */
#ifndef GM_TESTS_CONNECTION_FIXTURE_H
#define GM_TESTS_CONNECTION_FIXTURE_H

#include "fuse/runtime_table.h"
#include "ops_fixture.h"

/* Where a worker dies in the next request. */
enum death {
	NEVER,
	BEFORE_COMMIT, /* of what the request asks for */
	AFTER_COMMIT,  /* what is not in the record, as bytes of files, may be missing */
	BEFORE_REPLY,
	AFTER_REPLY,
	BEFORE_COMMIT_TWICE,
	BEFORE_DROP, /* of the open whose answer the kernel has not taken */
	AFTER_DROP,
};

/* Before and after each test. The pool: file (inode 2, of 3 blocks), other (3), dir (4), content
 * (5, with content: 4096 bytes); 16 blocks are there. A worker serves, of which user 1000 is the
 * owner. */
void connection_setup(void);
void connection_teardown(void);

#define CONTENT  5U
#define NEXT_INO 7U /* what is made next; 6 is the content store */

extern struct runtime_table table; /* as the test sees it */
extern pid_t worker_pid;
extern uint64_t number;   /* of the last request */
extern uint64_t unwanted; /* the kernel takes no answer to this one; for workers that are started */

void start_worker(enum death at);
int wait_worker(void); /* its exit code, or minus the signal */
void kill_worker(void);

struct request {
	const char *what;
	uint32_t opcode;
	uint64_t node;
	const void *fixed;
	size_t fixed_size;
	const char *rest;
	size_t rest_size;
};

void send_to_worker(const struct request *rq);

struct answer {
	struct fuse_out_header header;
	uint64_t node; /* of an entry */
	uint8_t rest[4096];
};

/* The one to the last request. */
void receive_answer(struct answer *ret);

int ask(const struct request *rq); /* both; the error */

/* Of all that a request changes, but for the times. There is no worker then. */
uint64_t sum_of_pool(void);

#define FIXED(f) .fixed = &(f), .fixed_size = sizeof(f)
#define REST(r)  .rest = (r), .rest_size = sizeof(r)

#endif
