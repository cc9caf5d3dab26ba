// SPDX-License-Identifier: MIT
/* What can't be mapped is refused with the right errno, and changes nothing. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fake_helper.h"
#include "map_fixture.h"
#include "util/cleanup.h"

static const struct {
	const char *name;
	int error;
	uint64_t offset, length;
	int prot, flags;
	uintptr_t addr;
} refusals[] = {
	{"no length", EINVAL, 0, 0, PROT_READ, 0, 0},
	{"odd offset", EINVAL, 512, B, PROT_READ, 0, 0},
	{"odd address", EINVAL, 0, B, PROT_READ, MAP_FIXED, (1ULL << 40) + 512},
	{"odd free address", EINVAL, 0, B, PROT_READ, MAP_FIXED_NOREPLACE, (1ULL << 40) + 512},
	{"private", EINVAL, 0, B, PROT_READ, MAP_PRIVATE, 0},
	{"anonymous", EINVAL, 0, B, PROT_READ, MAP_ANONYMOUS, 0},
	{"odd protection", EINVAL, 0, B, PROT_READ | PROT_GROWSDOWN, 0, 0},
	{"write", EACCES, 0, B, PROT_READ | PROT_WRITE, 0, 0},
	{"one page too many", ENXIO, 0, 7 * B + PAGE, PROT_READ, 0, 0},
	{"past the end", ENXIO, 7 * B, PAGE, PROT_READ, 0, 0},
	{"far past the end", ENXIO, 1ULL << 62, PAGE, PROT_READ, 0, 0},
	{"wraps", ENXIO, -B, 2 * B, PROT_READ, 0, 0},
	{"wraps by length", ENXIO, B, SIZE_MAX, PROT_READ, 0, 0},
	{"hole in the middle", ENXIO, 0, 7 * B, PROT_READ, 0, 0},
	{"begins in the hole", ENXIO, 3 * B, B, PROT_READ, 0, 0},
	{"ends in the hole", ENXIO, 2 * B, B + PAGE, PROT_READ, 0, 0},
	{"hole at the end", ENXIO, 5 * B, 2 * B, PROT_READ, 0, 0},
	{"unreachable address", ENOMEM, 0, B, PROT_READ, MAP_FIXED, 1ULL << 60},
};

static const struct place with_holes[] = {
	{0, 0},
	{0, 1},
	{0, 2},
	{HOLE, 0},
	{0, 4},
	{1, 0},
	{HOLE, 0},
};

Test(client_map_refused, what_cannot_be_mapped_changes_nothing)
{
	struct file file;

	map_attach(&file, with_holes, ARRAY_SIZE(with_holes), ARRAY_SIZE(with_holes) * B, RO, 8);
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		char *before = map_read_all(0), *after;
		void *p = gm_map(file.a, (void *)refusals[i].addr, refusals[i].offset,
			refusals[i].length, refusals[i].prot, refusals[i].flags);
		int error = errno;
		after = map_read_all(1);
		cr_expect_str_eq(before, after, "%s changed mappings", refusals[i].name);
		cr_expect_eq(p, MAP_FAILED, "%s was mapped", refusals[i].name);
		cr_expect_eq(error, refusals[i].error, "%s gave %d: %s", refusals[i].name, error,
			gm_last_problem());
		cr_expect_neq(gm_last_problem()[0], '\0', "%s has no sentence", refusals[i].name);
	}
	cr_assert_neq(
		gm_map(file.a, NULL, 4 * B, 2 * B, PROT_READ, 0), MAP_FAILED, "beside the holes");
	map_detach(&file);
}

Test(client_map_refused, refused_fixed_range_keeps_what_is_there)
{
	struct file file;
	char *p = map_reserve(8 * B);

	map_attach(&file, with_holes, ARRAY_SIZE(with_holes), ARRAY_SIZE(with_holes) * B, RO, 8);
	memset(p, 'x', 8 * B);
	cr_assert_eq(gm_map(file.a, p, 0, 7 * B, PROT_READ, MAP_FIXED), MAP_FAILED);
	cr_assert_eq(gm_map(file.a, p, 7 * B, B, PROT_READ, MAP_FIXED), MAP_FAILED);
	cr_assert_eq(gm_map(file.a, p, 0, B, PROT_WRITE, MAP_FIXED), MAP_FAILED);
	for (size_t i = 0; i < 8 * B; i++)
		if (p[i] != 'x')
			cr_assert_fail("byte %zu was changed", i);
	map_detach(&file);
}

Test(client_map_refused, an_empty_file_has_nothing_to_map)
{
	struct file file;

	map_attach(&file, NULL, 0, 0, RO, 1);
	cr_assert_eq(gm_map(file.a, NULL, 0, PAGE, PROT_READ, 0), MAP_FAILED);
	cr_assert_eq(errno, ENXIO);
	map_detach(&file);
}

/* ---- more pieces than a process may have mappings ---- */

static size_t max_map_count(void)
{
	FILE *f = fopen("/proc/sys/vm/max_map_count", "re");
	size_t n = 0;

	cr_assert(f && fscanf(f, "%zu", &n) == 1);
	fclose(f);
	return n;
}

/* A file whose every second block lies on the other device: as many pieces as blocks. */
static void attach_shredded(struct file *file, size_t blocks)
{
	_cleanup_free_ struct place *places = calloc(blocks, sizeof(*places));

	cr_assert_not_null(places);
	for (size_t i = 0; i < blocks; i++)
		places[i] = (struct place){i % 2, (uint32_t)i};
	map_attach(file, places, blocks, blocks * B, RW, blocks);
}

Test(client_map_refused, too_many_pieces_leave_nothing_behind, .timeout = 60)
{
	size_t blocks = max_map_count() + 100;
	struct file file;

	if (blocks > 200000)
		cr_skip("vm.max_map_count is so high that this would take minutes");
	attach_shredded(&file, blocks);
	/* Reserved neighbours, with which the kernel joins our own reservation. */
	char *p = mmap(NULL, (blocks + 4) * B, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	cr_assert_neq(p, MAP_FAILED);
	char *base = (char *)(((uintptr_t)p + 2 * B - 1) & ~(B - 1));

	cr_assert_eq(gm_map(file.a, base, 0, gm_size(file.a), PROT_READ, MAP_FIXED), MAP_FAILED);
	cr_assert_eq(errno, ENOMEM);
	cr_assert_not_null(strstr(gm_last_problem(), "vm.max_map_count"));
	struct vmas v = map_count_vmas(p, (blocks + 4) * B);
	cr_assert_eq(v.covered, (blocks + 4) * B);
	cr_assert_eq(v.closed, v.covered);

	munmap(base, gm_size(file.a));
	struct vmas before = map_count_vmas(NULL, SIZE_MAX);
	cr_assert_eq(gm_map(file.a, base, 0, gm_size(file.a), PROT_READ, MAP_FIXED_NOREPLACE),
		MAP_FAILED);
	cr_assert_eq(errno, ENOMEM);
	struct vmas after = map_count_vmas(NULL, SIZE_MAX);
	cr_assert_eq(before.count, after.count);
	cr_assert_eq(map_count_vmas(base, gm_size(file.a)).covered, 0);
	cr_assert_neq(
		gm_map(file.a, NULL, 0, 1000 * B, PROT_READ, 0), MAP_FAILED, "a part still fits");
	map_detach(&file);
}
