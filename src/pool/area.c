// SPDX-License-Identifier: MIT
#include "pool/area.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "pool/internal.h"

#define PAGE_BYTES  4096U
#define PROBE_BYTES (64U << 10)

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

const char *pool_say_how(bool poisoned)
{
	return poisoned ? "is bad" : "is not there any more";
}

int pool_say_bad(
	const struct region *r, uint64_t offset, const struct sigbus *what, struct problem *why)
{
	return problem(why, EIO, "region %s can't be read at offset 0x%" PRIx64 ": the memory %s",
		r->name, offset & ~(uint64_t)(PAGE_BYTES - 1), pool_say_how(what->poisoned));
}

int pool_guard(const struct region *r, uint64_t offset, const void *mapped,
	void (*work)(void *data), void *data, struct problem *why)
{
	struct sigbus what;

	if (sigbus_guard(work, data, &what) == 0)
		return 0;
	return pool_say_bad(r, offset + (what.address - (uintptr_t)mapped), &what, why);
}

int pool_guard_writing(const struct region *r, const struct media *area, void (*work)(void *data),
	void *data, struct problem *why)
{
	struct sigbus what;

	if (sigbus_guard(work, data, &what) == 0)
		return 0;
	uint64_t at = what.address - (uintptr_t)area->base;
	if (at < area->size)
		return problem(why, EIO,
			"region %s can't be written at offset 0x%" PRIx64
			": the memory %s; do the same again once it can be",
			r->name, at & ~(uint64_t)(PAGE_BYTES - 1), pool_say_how(what.poisoned));
	return problem(why, EIO,
		"a stamp can't be written: the memory %s; do the same again once it can be",
		pool_say_how(what.poisoned));
}

int pool_read(const struct region *r, uint64_t offset, const void *mapped, void *to, size_t length,
	struct problem *why)
{
	struct sigbus what;

	if (sigbus_copy(to, mapped, length, &what) == 0)
		return 0;
	return pool_say_bad(r, offset + (what.address - (uintptr_t)mapped), &what, why);
}

int pool_probe(const struct region *r, const struct media *area, struct problem *why)
{
	uint8_t bytes[PROBE_BYTES];
	int e = 0;

	/* The kernel knows, and says so at little cost; where it does not say so, or not where. */
	if (madvise(area->base, area->size, MADV_POPULATE_READ) == 0)
		return 0;
	for (uint64_t at = 0; at < area->size && e == 0; at += sizeof(bytes))
		e = pool_read(r, at, area->base + at, bytes,
			area->size - at < sizeof(bytes) ? area->size - at : sizeof(bytes), why);
	return e;
}

/* ---- a copy of what can be read ---- */

static void note_bad(struct pool_copy *c, uint64_t offset, const struct sigbus *what)
{
	struct pool_bad *last = c->bad_count ? &c->bad[c->bad_count - 1] : NULL;

	c->bad_bytes += PAGE_BYTES;
	if (last && last->offset + last->length == offset && last->poisoned == what->poisoned)
		last->length += PAGE_BYTES;
	else if (c->bad_count < POOL_BAD_MAX)
		c->bad[c->bad_count++] = (struct pool_bad){
			.offset = offset, .length = PAGE_BYTES, .poisoned = what->poisoned};
}

static void copy_pages(struct pool_copy *c, const uint8_t *from, uint64_t offset, uint64_t length)
{
	for (uint64_t at = offset; at < offset + length; at += PAGE_BYTES) {
		struct sigbus what;

		if (sigbus_copy(c->bytes + at, from + at, PAGE_BYTES, &what) == 0)
			continue;
		memset(c->bytes + at, 0, PAGE_BYTES);
		note_bad(c, at, &what);
	}
}

/* Whole pages. */
static void copy_part(struct pool_copy *c, const uint8_t *from, uint64_t offset, uint64_t length)
{
	if (sigbus_copy(c->bytes + offset, from + offset, length, NULL) < 0)
		copy_pages(c, from, offset, length);
}

int pool_copy_area(struct pool_copy *ret, const struct media *area, uint64_t step, uint64_t length,
	struct problem *why)
{
	struct pool_copy c = {.size = area->size};
	uint64_t dense = step ? GM_BLOCK_SIZE : area->size;

	c.bytes = mmap(NULL, c.size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (c.bytes == MAP_FAILED)
		return problem_errno(why, errno, "looking at the metadata");
	for (uint64_t at = 0; at < dense; at += GM_BLOCK_SIZE)
		copy_part(&c, area->base, at, GM_BLOCK_SIZE);
	for (uint64_t at = dense; at < area->size; at += step)
		copy_part(&c, area->base, at, length);
	*ret = c;
	return 0;
}

void pool_copy_deinit(struct pool_copy *c)
{
	if (c->bytes)
		(void)munmap(c->bytes, c->size);
	*c = POOL_COPY_NULL;
}
