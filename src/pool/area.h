/* SPDX-License-Identifier: MIT */
/*
 * Metadata whose memory may be bad, or may not be there any more: read under a guard, so that one
 * bad page is a sentence, or zeros in a copy, and not the end of the process. sigbus_init() has
 * been called.
 */
#ifndef GM_POOL_AREA_H
#define GM_POOL_AREA_H

#include "pool/pool.h"
#include "util/sigbus.h"

/* "is bad", "is not there any more". */
const char *pool_say_how(bool poisoned);

/* The sentence for a place of a region that can't be reached. Returns -EIO. */
int pool_say_bad(
	const struct region *r, uint64_t offset, const struct sigbus *what, struct problem *why);

/*
 * work(data), which reads what is mapped of the region at `offset`. -EIO with a sentence: some of
 * it can't be read. What the work has allocated stays then, in a process that is about to say this
 * and end.
 */
int pool_guard(const struct region *r, uint64_t offset, const void *mapped,
	void (*work)(void *data), void *data, struct problem *why);

/* The same for what writes, to the area and to stamps. */
int pool_guard_writing(const struct region *r, const struct media *area, void (*work)(void *data),
	void *data, struct problem *why);

/* memcpy() of what is mapped of the region at `offset`; -EIO with a sentence. */
int pool_read(const struct region *r, uint64_t offset, const void *mapped, void *to, size_t length,
	struct problem *why);

/* Can all of the area that is mapped be read, as far as the kernel knows? -EIO with a sentence.
 * What is found bad only when it is read is for a guard. */
int pool_probe(const struct region *r, const struct media *area, struct problem *why);

/* Pages that can't be read, one after the other. */
struct pool_bad {
	uint64_t offset;
	uint64_t length;
	bool poisoned;
};

#define POOL_BAD_MAX 64U

struct pool_copy {
	uint8_t *bytes; /* owned; zero where it could not be read */
	uint64_t size;
	struct pool_bad bad[POOL_BAD_MAX]; /* by ascending offset */
	unsigned bad_count;
	uint64_t bad_bytes; /* also of those that there was no room for */
};

#define POOL_COPY_NULL ((struct pool_copy){.bytes = NULL})

/*
 * A copy of the area, page by page where pages can't be read. step > 0: only the first block, and
 * of every `step` bytes behind it the first `length`; the rest is zero and takes no memory. -ENOMEM
 * with a sentence.
 */
int pool_copy_area(struct pool_copy *ret, const struct media *area, uint64_t step, uint64_t length,
	struct problem *why);
void pool_copy_deinit(struct pool_copy *c);

#endif
