/* SPDX-License-Identifier: MIT */
/*
 * Requests of the kernel, in memory that outlives the worker. A request is read straight into a
 * free slot; the slot is in use exactly while the request's length, its first field, is not zero.
 * The kernel's own copy sets it, so that nothing lies between reading a request and noting that it
 * was read; it is set to zero when the reply has been written, or the kernel wants none.
 *
 * One thread. What a predecessor has left is checked before any of it is used.
 */
#ifndef GM_FUSE_SLOTS_H
#define GM_FUSE_SLOTS_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fuse_in_header;

#define SLOTS_MAX        1024U
#define SLOT_REQUEST_MAX ((1U << 20) + 4096U)       /* a write of 1 MiB with its header */
#define SLOT_BYTES       (SLOT_REQUEST_MAX + 4096U) /* zeros behind the longest request */
#define SLOT_DEATHS_MAX  3U

struct slot_state {
	uint16_t deaths;     /* of workers that were just serving it, and have not got further than
				`step` */
	uint16_t step;       /* the farthest that one of them has died in */
	uint8_t interrupted; /* its caller wants it no more: an INTERRUPT has come */
	uint8_t unwanted;    /* the kernel did not take its answer: the caller has gone */
	uint16_t refused;    /* with this errno, whether that has been said or not; 0: it is not */
};
static_assert(sizeof(struct slot_state) == 8, "runtime table");

struct slots_shared {  /* part of the runtime table */
	uint64_t used; /* slots from this one on were never in use */
	struct slots_serving {
		uint64_t unique; /* of the request that is being served; 0: none */
		uint64_t step;   /* of one that takes several, from 0 on */
	} serving;
	struct slot_state states[SLOTS_MAX];
};
static_assert(sizeof(struct slots_shared) == 24 + 8 * SLOTS_MAX, "runtime table");

struct slots {
	struct slots_shared *shared; /* these two are not owned */
	uint8_t *memory;             /* SLOTS_MAX times SLOT_BYTES, page aligned */
	uint32_t free[SLOTS_MAX];    /* the last one is the next to be taken */
	uint32_t free_count;
	uint32_t taken[SLOTS_MAX];
	uint32_t taken_count;
	bool populated[SLOTS_MAX]; /* its memory is there: reading into it never waits */
};

/*
 * Takes over what is there: slots with requests that can be one are taken, all others free. A death
 * is counted for the one that was being served; the first one, if that had got further than ever.
 */
void slots_init(struct slots *s, struct slots_shared *shared, uint8_t *memory);

/* A slot to read the next request into: the same until slots_take(). SLOTS_MAX: there is none. */
uint32_t slots_next(struct slots *s);

/* A request has come into slots_next()'s. */
void slots_take(struct slots *s, uint32_t n);

/* It will be answered later: what its slot has beyond the request is given back. */
void slots_put_aside(struct slots *s, uint32_t n);

/* The request is answered. */
void slots_free(struct slots *s, uint32_t n);

/* Which taken slot has this request; SLOTS_MAX: none. */
uint32_t slots_find(const struct slots *s, uint64_t unique);

/* The slot's request. */
struct fuse_in_header *slots_request(const struct slots *s, uint32_t n);

/* The taken slots by ascending numbers of their requests, with this one before all others. */
uint32_t slots_list(const struct slots *s, uint64_t first, uint32_t ret[SLOTS_MAX]);

#endif
