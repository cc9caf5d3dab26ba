// SPDX-License-Identifier: MIT
/* Writing back: which way is taken, and that it stays within the lines of what it is given. That
 * the bytes reach the memory behind the caches can't be seen from here. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store/media.h"
#include "util/cleanup.h"
#include "util/write_back.h"

static const char *name_of(const struct write_back_features *f)
{
	const struct write_back_way *way = write_back_way_of(f);

	return way ? way->name : "none";
}

#ifdef __x86_64__
Test(write_back, the_cheapest_way_is_taken)
{
	static const struct {
		struct write_back_features has;
		const char *way;
	} cases[] = {
		{{.clflush = false}, "none"},
		{{.clflush = true}, "clflush"},
		{{.clflush = true, .clflushopt = true}, "clflushopt"},
		{{.clflush = true, .clflushopt = true, .clwb = true}, "clwb"},
		{{.clflush = true, .clwb = true}, "clwb"},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++)
		cr_expect_str_eq(name_of(&cases[n].has), cases[n].way);
}

Test(write_back, every_processor_of_this_kind_has_a_way)
{
	cr_assert(write_back_detect().clflush);
	cr_assert_not_null(write_back_choose());
}
#endif

/* The ways that this processor has, each alone. */
static size_t own_ways(const struct write_back_way *ways[3])
{
	const struct write_back_features is = write_back_detect();
	const struct write_back_features each[3] = {
		{.clflush = is.clflush}, {.clflushopt = is.clflushopt}, {.clwb = is.clwb}};
	size_t count = 0;

	for (size_t n = 0; n < 3; n++) {
		ways[count] = write_back_way_of(&each[n]);
		count += ways[count] != NULL;
	}
	return count;
}

/* A line outside would be on a page that nobody may touch. */
Test(write_back, stays_within_the_lines_and_changes_nothing)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const struct write_back_way *ways[3];
	size_t count = own_ways(ways);
	uint8_t *map =
		mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(map, MAP_FAILED);
	memset(map + page, 0x5a, page);
	cr_assert_eq(mprotect(map, page, PROT_NONE), 0);
	cr_assert_eq(mprotect(map + 2 * page, page, PROT_NONE), 0);
	for (size_t n = 0; n < count; n++)
		for (size_t size = 0; size <= 200; size++) {
			ways[n]->run(map + page, size);
			ways[n]->run(map + 2 * page - size, size);
		}
	for (size_t n = 0; n < page; n++)
		cr_assert_eq(map[page + n], 0x5a);
	cr_assert_eq(munmap(map, 3 * page), 0);
}

/* ---- the media's stores ---- */

static struct {
	const void *at;
	size_t size;
	unsigned calls;
} seen;

static void see(const void *p, size_t size)
{
	seen.at = p;
	seen.size = size;
	seen.calls++;
}

Test(write_back, every_store_to_persistent_memory_is_written_back)
{
	uint64_t memory[16] = {0}, word = 7;
	struct media m = {.ops = &media_memory_ops,
		.base = (uint8_t *)memory,
		.size = sizeof(memory),
		.write_back = see};

	media_copy(&m, 24, &word, sizeof(word));
	cr_expect_eq(seen.calls, 1);
	cr_expect_eq(seen.at, &memory[3]);
	cr_expect_eq(seen.size, sizeof(word));
	media_publish(&m, 64, 9);
	cr_expect_eq(seen.calls, 2);
	cr_expect_eq(seen.at, &memory[8]);
	cr_expect_eq(seen.size, sizeof(uint64_t));
	media_fence(&m);
	m.write_back = NULL;
	media_publish(&m, 72, 9);
	cr_expect_eq(seen.calls, 2, "ordinary memory needs none");
	cr_expect_eq(memory[3], 7);
}
