// SPDX-License-Identifier: MIT
/*
 * A pool that is worn by years of guests coming and going still has whole groups, and large guests
 * still get few extents.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "alloc/alloc.h"
#include "chance.h"

#define GROUP  512U
#define GROUPS 256U
#define FILES  400U
#define STEPS  20000U

struct file {
	uint64_t blocks;
	struct alloc_extent *extents;
	size_t count;
};

struct wear {
	struct alloc *alloc;
	struct file files[FILES];
	uint64_t used;
	size_t large, large_extents; /* files of 1 GiB and more that were made, and their extents */
};

static void remove_file(struct wear *w, struct file *f)
{
	for (size_t i = 0; i < f->count; i++)
		alloc_release(w->alloc, &f->extents[i]);
	w->used -= f->blocks;
	free(f->extents);
	*f = (struct file){0};
}

/* Half of them small and odd, the others whole GiB, or GiB and a bit. */
static uint64_t random_size(void)
{
	switch (chance_below(4)) {
	case 0:
		return 1 + chance_below(16);
	case 1:
		return 1 + chance_below(GROUP);
	case 2:
		return (1 + chance_below(8)) * GROUP;
	default:
		return (1 + chance_below(4)) * GROUP + chance_below(GROUP);
	}
}

static void create_file(struct wear *w, struct file *f)
{
	f->blocks = random_size();
	if (alloc_plan(w->alloc, f->blocks, ALLOC_UNIT_AUTO, &f->extents, &f->count) < 0) {
		f->blocks = 0;
		return;
	}
	for (size_t i = 0; i < f->count; i++)
		alloc_claim(w->alloc, &f->extents[i]);
	w->used += f->blocks;
	if (f->blocks >= GROUP) {
		w->large++;
		w->large_extents += f->count;
	}
}

/* The pool is about three quarters full all the time. */
static void wear_out(struct wear *w)
{
	for (unsigned i = 0; i < STEPS; i++) {
		struct file *f = &w->files[chance_below(FILES)];

		if (f->blocks)
			remove_file(w, f);
		else if (w->used < GROUPS * GROUP * 3 / 4)
			create_file(w, f);
	}
}

Test(alloc_wear, a_worn_pool_keeps_whole_groups)
{
	struct alloc_region r = {
		.blocks = GROUPS * GROUP, .first_data = 40, .data_blocks = GROUPS * GROUP - 41};
	struct wear w = {.alloc = alloc_new()};
	struct alloc_stats s;

	chance_start();
	cr_assert_eq(alloc_add_region(w.alloc, &r), 0);
	wear_out(&w);
	alloc_get_stats(w.alloc, &s);
	cr_assert_gt(w.large, 1000);
	cr_assert_lt(w.large_extents, 3 * w.large);
	cr_assert_gt(s.free_groups * GROUP * 4, s.free * 3,
		"only %u groups are whole of %u free blocks", (unsigned)s.free_groups,
		(unsigned)s.free);

	for (struct file *f = w.files; f < w.files + FILES; f++)
		remove_file(&w, f);
	alloc_get_stats(w.alloc, &s);
	cr_assert_eq(s.free, r.data_blocks);
	cr_assert_eq(s.free_groups, GROUPS - 2);
	w.alloc = alloc_free(w.alloc);
}
