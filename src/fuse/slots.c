// SPDX-License-Identifier: MIT
/*
 * A worker that is killed while the kernel copies a request into memory that is not there yet would
 * have that request fail: the kernel does not wait for pages on behalf of a dying process. So a
 * slot's memory is there, all of it, before it is read into. Two free slots keep theirs; of others
 * it is given back.
 */
#include "fuse/slots.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fuse/request_check.h"

#define POPULATED_FREE 2U /* so many free slots keep their memory */

struct fuse_in_header *slots_request(const struct slots *s, uint32_t n)
{
	return (struct fuse_in_header *)(void *)(s->memory + (size_t)n * SLOT_BYTES);
}

static void store_length(struct fuse_in_header *h, uint32_t length)
{
	__atomic_store_n(&h->len, length, __ATOMIC_RELEASE);
}

/* Who is always killed at the same place does not get beyond it. */
static void count_death(struct slot_state *state, uint64_t step)
{
	if (step > UINT16_MAX)
		step = UINT16_MAX;
	if (step > state->step) {
		state->step = (uint16_t)step;
		state->deaths = 0;
	}
	if (state->deaths < UINT16_MAX)
		state->deaths++;
}

void slots_init(struct slots *s, struct slots_shared *shared, uint8_t *memory)
{
	const struct slots_serving serving = shared->serving;

	*s = (struct slots){.shared = shared, .memory = memory};
	shared->serving = (struct slots_serving){.unique = 0};
	if (shared->used > SLOTS_MAX)
		shared->used = SLOTS_MAX;
	for (uint32_t n = (uint32_t)shared->used; n-- > 0;) {
		struct fuse_in_header *h = slots_request(s, n);

		if (h->len != 0 && request_is_sound(h, SLOT_REQUEST_MAX) &&
			slots_find(s, h->unique) == SLOTS_MAX) {
			s->taken[s->taken_count++] = n;
			if (h->unique == serving.unique)
				count_death(&shared->states[n], serving.step);
			continue;
		}
		store_length(h, 0);
		(void)madvise(h, SLOT_BYTES, MADV_REMOVE);
		s->free[s->free_count++] = n;
	}
}

/* The slot is free: its bytes are nobody's. */
static bool touch(volatile uint8_t *at)
{
	for (size_t n = 0; n < SLOT_BYTES; n += 4096)
		at[n] = 0;
	return true;
}

static void populate(struct slots *s, uint32_t n)
{
	if (s->populated[n])
		return;
	if (madvise(slots_request(s, n), SLOT_BYTES, MADV_POPULATE_WRITE) == 0)
		s->populated[n] = true;
	else if (errno == EINVAL)
		s->populated[n] = touch((uint8_t *)slots_request(s, n)); /* Linux before 5.14 */
	/* Else there is no memory for it, and a kill at the wrong moment may cost a large request.
	 */
}

uint32_t slots_next(struct slots *s)
{
	uint32_t n;

	if (s->free_count == 0) {
		if (s->shared->used == SLOTS_MAX)
			return SLOTS_MAX;
		s->free[s->free_count++] = (uint32_t)s->shared->used++;
	}
	n = s->free[s->free_count - 1];
	populate(s, n);
	s->shared->states[n] = (struct slot_state){.deaths = 0};
	return n;
}

void slots_take(struct slots *s, uint32_t n)
{
	assert(s->free_count > 0 && s->free[s->free_count - 1] == n);
	s->free_count--;
	s->taken[s->taken_count++] = n;
}

static void give_back(struct slots *s, uint32_t n, size_t from)
{
	if (madvise((uint8_t *)slots_request(s, n) + from, SLOT_BYTES - from, MADV_REMOVE) == 0)
		s->populated[n] = false;
}

/* Whoever makes many requests wait does not hold a MiB by each. */
void slots_put_aside(struct slots *s, uint32_t n)
{
	give_back(s, n, (slots_request(s, n)->len + 4095UL) / 4096 * 4096);
}

/* The last but POPULATED_FREE ones to be taken keep nothing. */
static void trim(struct slots *s)
{
	uint32_t n;

	if (s->free_count <= POPULATED_FREE)
		return;
	n = s->free[s->free_count - 1 - POPULATED_FREE];
	if (s->populated[n])
		give_back(s, n, 0);
}

void slots_free(struct slots *s, uint32_t n)
{
	uint32_t at = 0;

	store_length(slots_request(s, n), 0);
	if (!s->populated[n]) /* it has waited, or a predecessor has read it */
		give_back(s, n, 0);
	while (at < s->taken_count && s->taken[at] != n)
		at++;
	assert(at < s->taken_count);
	s->taken[at] = s->taken[--s->taken_count];
	s->free[s->free_count++] = n;
	trim(s);
}

/* The latest one is almost always the one. */
uint32_t slots_find(const struct slots *s, uint64_t unique)
{
	for (uint32_t at = s->taken_count; at-- > 0;)
		if (slots_request(s, s->taken[at])->unique == unique)
			return s->taken[at];
	return SLOTS_MAX;
}

struct order {
	uint64_t unique; /* 0 for the one that comes first */
	uint32_t slot;
};

static int by_unique(const void *a, const void *b)
{
	const struct order *l = a, *r = b;

	return (l->unique > r->unique) - (l->unique < r->unique);
}

uint32_t slots_list(const struct slots *s, uint64_t first, uint32_t ret[SLOTS_MAX])
{
	struct order list[SLOTS_MAX];

	for (uint32_t at = 0; at < s->taken_count; at++) {
		uint64_t unique = slots_request(s, s->taken[at])->unique;

		list[at] = (struct order){unique == first ? 0 : unique, s->taken[at]};
	}
	/* cppcheck-suppress uninitvar ; as many as are sorted were filled in */
	qsort(list, s->taken_count, sizeof(list[0]), by_unique);
	for (uint32_t at = 0; at < s->taken_count; at++)
		ret[at] = list[at].slot;
	return s->taken_count;
}
