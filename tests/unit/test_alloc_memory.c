// SPDX-License-Identifier: MIT
/*
 * When memory runs out at any point, a call says -ENOMEM and the pool is as before. The linker
 * brings the allocator's calls of malloc here (--wrap), where one after the other fails.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/alloc.h"

#define GROUP 512U

static unsigned long left_to_give = ~0UL; /* calls until the one that fails */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_malloc(size_t size)
{
	return left_to_give-- ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t n, size_t size)
{
	return left_to_give-- ? __real_calloc(n, size) : NULL;
}

void *__wrap_realloc(void *p, size_t size)
{
	return left_to_give-- ? __real_realloc(p, size) : NULL;
}

Test(alloc_memory, new_fails)
{
	struct alloc *a;

	left_to_give = 0;
	a = alloc_new();
	left_to_give = ~0UL;
	cr_assert_null(a);
}

static bool same_stats(const struct alloc *a, const struct alloc_stats *was)
{
	struct alloc_stats is;

	alloc_get_stats(a, &is);
	return memcmp(&is, was, sizeof(is)) == 0;
}

/* Lets the call number n of a second region fail. False if there were fewer calls than that. */
static bool add_region_failing(unsigned long n)
{
	static const struct alloc_region r = {.blocks = 100 * GROUP, .data_blocks = 100 * GROUP};
	struct alloc *a = alloc_new();
	struct alloc_stats was;
	int err;

	cr_assert_eq(alloc_add_region(a, &r), 0);
	alloc_get_stats(a, &was);
	left_to_give = n;
	err = alloc_add_region(a, &r);
	left_to_give = ~0UL;
	if (err) {
		cr_assert_eq(err, -ENOMEM);
		cr_assert_eq(alloc_region_count(a), 1);
		cr_assert(same_stats(a, &was));
		cr_assert_eq(alloc_add_region(a, &r), 0, "not usable any more");
	}
	cr_assert_eq(alloc_region_count(a), 2);
	a = alloc_free(a);
	return err;
}

Test(alloc_memory, add_region_fails_whole)
{
	unsigned long n = 0;

	while (add_region_failing(n))
		n++;
	cr_assert_gt(n, 5, "only %lu calls could fail", n);
}

/*
 * Every other group whole, the others riddled, so that a plan takes from all
 * parts and its lists grow.
 */
static struct alloc *scattered_pool(void)
{
	static const struct alloc_region r = {.blocks = 8 * GROUP, .data_blocks = 8 * GROUP};
	struct alloc *a = alloc_new();

	cr_assert_eq(alloc_add_region(a, &r), 0);
	for (uint64_t block = GROUP; block < r.blocks;
		block += block % GROUP == 498 ? GROUP + 14 : 6) {
		struct alloc_extent e = {.block = block, .count = 3};

		alloc_claim(a, &e);
	}
	return a;
}

Test(alloc_memory, plan_fails_without_a_trace)
{
	struct alloc *a = scattered_pool();
	struct alloc_extent *e = NULL;
	struct alloc_stats was;
	int err = -ENOMEM;
	unsigned long n;
	size_t count = 0;

	alloc_get_stats(a, &was);
	for (n = 0;; n++) {
		left_to_give = n;
		err = alloc_plan(a, was.free, ALLOC_UNIT_AUTO, &e, &count);
		left_to_give = ~0UL;
		cr_assert(same_stats(a, &was));
		if (!err)
			break;
		cr_assert_eq(err, -ENOMEM);
		cr_assert_null(e);
		cr_assert_eq(count, 0);
	}
	cr_assert_gt(n, 5, "only %lu calls could fail", n);
	for (size_t i = 0; i < count; i++)
		alloc_claim(a, &e[i]);
	alloc_get_stats(a, &was);
	cr_assert_eq(was.free, 0);
	free(e);
	a = alloc_free(a);
}
