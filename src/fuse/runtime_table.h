/* SPDX-License-Identifier: MIT */
/*
 * The runtime table: what a worker leaves its successor on the same connection to the kernel. A
 * memfd that the supervisor makes for each connection and holds, and of which it knows nothing but
 * the size; every worker that serves the connection maps it.
 *
 * It begins as zeros. A worker trusts it no more than it must: whoever wrote it may have been taken
 * over. A worker of another version, for which the layout is another, does not use it.
 */
#ifndef GM_FUSE_RUNTIME_TABLE_H
#define GM_FUSE_RUNTIME_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "fuse/open_table.h"
#include "fuse/slots.h"
#include "fuse/tickets.h"
#include "util/problem.h"

#define RUNTIME_TABLE_VERSION  2U
#define RUNTIME_TABLE_OPENS    (1U << 20)
#define RUNTIME_TABLE_INIT_MAX 512U

struct runtime_header {
	uint64_t magic;
	uint32_t version;
	uint32_t reserved;
	uint64_t first_mount; /* the pool's number of the first mount of this connection; 0: none */
	/* The kernel's first request and our answer: a reply that was sent holds for ever. */
	uint32_t init_request_size;
	uint32_t init_reply_size; /* stored last; 0: it is not answered yet */
	uint8_t init_request[RUNTIME_TABLE_INIT_MAX];
	uint8_t init_reply[RUNTIME_TABLE_INIT_MAX];
	uint64_t opens_used;
	struct slots_shared slots;
};
static_assert(sizeof(struct runtime_header) == 32 + 1024 + 8 + sizeof(struct slots_shared),
	"runtime table");

#define RUNTIME_HEADER_BYTES 16384U /* behind it tickets, entries, slots */
static_assert(sizeof(struct runtime_header) <= RUNTIME_HEADER_BYTES, "runtime table");

struct runtime_table {
	struct runtime_header *header; /* mapped; NULL: none */
	struct tickets_shared *tickets;
	struct open_entry *opens; /* RUNTIME_TABLE_OPENS */
	uint8_t *slots;
};

#define RUNTIME_TABLE_NULL ((struct runtime_table){.header = NULL})

/* For the supervisor: an empty one. The descriptor, or a negative errno with a sentence. */
int runtime_table_make(struct problem *why);

/* For a worker. fd stays the caller's, and may be closed. */
int runtime_table_map(struct runtime_table *ret, int fd, struct problem *why);
void runtime_table_unmap(struct runtime_table *t);

/* True if it is of this version, or new; it is made one of this version then. */
bool runtime_table_begin(struct runtime_table *t);

/* True if the kernel's first request has been answered, and what was kept of that can be used. */
bool runtime_table_has_init(const struct runtime_table *t);

#endif
