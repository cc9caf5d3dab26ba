// SPDX-License-Identifier: MIT
/*
 * Regions that are not as the pool was made for them are refused with a sentence, and a mapping
 * that can't be had is an error wherever it is asked for: nothing stays mapped, and what was begun
 * can be done again.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pool/pool.h"
#include "pool/repair.h"
#include "region/ledger.h"
#include "util/cleanup.h"
#include "util/sigbus.h"

#define REGIONS 2U
#define SIZE    (12ULL << 20)
#define GROWN   (SIZE + 8 * GM_BLOCK_SIZE)

/* ---- mappings that fail ---- */

static unsigned calls, failing; /* the call of region_map() that fails; 0: none */
static int mapped;

void *__real_region_map(
	const struct region *r, uint64_t offset, uint64_t length, bool writable, int *err);
void __real_region_unmap(const struct region *r, void *p, uint64_t length);
void *__wrap_region_map(
	const struct region *r, uint64_t offset, uint64_t length, bool writable, int *err);
void __wrap_region_unmap(const struct region *r, void *p, uint64_t length);
int __wrap_ledger_forget(const struct region *region, struct problem *why);

/* A file is mapped as the file that it is, whatever pages a test gives it. */
static struct region of_file(const struct region *r)
{
	struct region file = *r;

	file.align = GM_BLOCK_SIZE;
	return file;
}

void *__wrap_region_map(
	const struct region *r, uint64_t offset, uint64_t length, bool writable, int *err)
{
	const struct region file = of_file(r);

	if (++calls == failing) {
		*err = ENOMEM;
		return NULL;
	}
	void *p = __real_region_map(&file, offset, length, writable, err);
	mapped += p ? 1 : 0;
	return p;
}

void __wrap_region_unmap(const struct region *r, void *p, uint64_t length)
{
	const struct region file = of_file(r);

	mapped -= p ? 1 : 0;
	__real_region_unmap(&file, p, length);
}

/* The run directory is no affair of this test. */
int __wrap_ledger_forget(const struct region *region, struct problem *why)
{
	(void)region, (void)why;
	return 0;
}

/* ---- a pool ---- */

static int fds[REGIONS];
static const struct pool_format plain = {.max_files = 16, .force_option = "--force"};

static void open_regions(struct pool *pool, uint32_t count)
{
	struct problem why = PROBLEM_INIT;

	for (uint32_t n = 0; n < count; n++)
		cr_assert_eq(pool_adopt(pool, GM_REGION_FILE, dup(fds[n]), n ? "1" : "0", &why), 0,
			"%s", why.text);
}

static void resize(uint64_t size)
{
	for (uint32_t n = 0; n < REGIONS; n++)
		cr_assert_eq(ftruncate(fds[n], (off_t)size), 0);
}

static void format(void)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	struct problem why = PROBLEM_INIT;

	resize(0);
	resize(SIZE);
	open_regions(&pool, REGIONS);
	cr_assert_eq(pool_format(&pool, &plain, &why), 0, "%s", why.text);
}

static void set_up(void)
{
	for (uint32_t n = 0; n < REGIONS; n++) {
		fds[n] = memfd_create("region", MFD_CLOEXEC);
		cr_assert_geq(fds[n], 0);
	}
	cr_assert_eq(sigbus_init(), 0);
	format();
}

static void tear_down(void)
{
	for (uint32_t n = 0; n < REGIONS; n++)
		(void)close(fds[n]);
}

TestSuite(pool_refused, .init = set_up, .fini = tear_down);

/* ---- regions that are others than at the format ---- */

static void make_pmem(struct region *r)
{
	r->kind = GM_REGION_PMEM;
}

static void move(struct region *r)
{
	r->physical_start = 5 * GM_GROUP_SIZE;
}

static void give_large_pages(struct region *r)
{
	r->align = GM_GROUP_SIZE;
}

static const struct {
	void (*change)(struct region *r);
	int error;
	const char *sentence;
} others[] = {
	{make_pmem, EINVAL, "is given as pmem, but was formatted as file"},
	{move, EUCLEAN, "begins at 0x140000000, but began at 0 when the pool was formatted"},
	{give_large_pages, EINVAL, "has pages of 1G, but the pool in it was made for 2M"},
};

static int repair(struct pool *pool, struct problem *why)
{
	_cleanup_(salvage_report_deinit) struct salvage_report report = {.count = 0};
	struct pool_repair *p = NULL;
	int r = pool_repair_new(&p, pool, 0, &report, why);

	if (r == 0)
		r = pool_repair_write(p, why);
	pool_repair_free(p);
	return r;
}

static int load(struct pool *pool, struct problem *why)
{
	return pool_load(pool, true, why);
}

Test(pool_refused, a_region_of_another_kind_place_or_page_size)
{
	static int (*const uses[])(struct pool * pool, struct problem * why) = {
		load, pool_grow, repair};

	for (size_t n = 0; n < ARRAY_SIZE(others); n++)
		for (uint32_t i = 0; i < REGIONS; i++)
			for (size_t k = 0; k < ARRAY_SIZE(uses); k++) {
				_cleanup_(pool_close) struct pool pool = POOL_NULL;
				struct problem why = PROBLEM_INIT;

				open_regions(&pool, REGIONS);
				others[n].change(&pool.regions[i]);
				cr_expect_eq(uses[k](&pool, &why), -others[n].error, "%zu %u %zu",
					n, i, k);
				cr_expect_not_null(
					strstr(why.text, others[n].sentence), "%s", why.text);
			}
}

Test(pool_refused, more_regions_than_a_pool_has)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	_cleanup_(fsck_report_deinit) struct fsck_report report = {.count = 0};
	struct problem why = PROBLEM_INIT;
	int fd = memfd_create("region", MFD_CLOEXEC);

	cr_assert_eq(ftruncate(fd, (off_t)SIZE), 0);
	open_regions(&pool, REGIONS);
	cr_assert_eq(pool_adopt(&pool, GM_REGION_FILE, fd, "2", &why), 0, "%s", why.text);
	cr_expect_eq(pool_check(&pool, &report, &why), -EINVAL);
	cr_expect_not_null(
		strstr(why.text, "the pool has 2 region(s), and 3 are named"), "%s", why.text);
}

Test(pool_refused, more_regions_than_any_pool_has)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	struct problem why = PROBLEM_INIT;
	int fd = -1;

	for (uint32_t n = 0; n <= GM_REGIONS_MAX; n++) {
		fd = memfd_create("region", MFD_CLOEXEC);
		cr_assert_eq(ftruncate(fd, (off_t)GM_BLOCK_SIZE), 0);
		cr_expect_eq(pool_adopt(&pool, GM_REGION_FILE, fd, "x", &why),
			n < GM_REGIONS_MAX ? 0 : -EINVAL, "%u: %s", n, why.text);
	}
	cr_expect_not_null(strstr(why.text, "at most 32 regions"), "%s", why.text);
	cr_expect_eq(fcntl(fd, F_GETFD), -1, "a refused descriptor was left open");
}

Test(pool_refused, what_may_not_be_written_is_not_loaded_to_be_written)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	struct problem why = PROBLEM_INIT;
	char path[64];

	for (uint32_t n = 0; n < REGIONS; n++) {
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[n]);
		cr_assert_eq(pool_adopt(&pool, GM_REGION_FILE, open(path, O_RDONLY | O_CLOEXEC),
				     "read-only", &why),
			0, "%s", why.text);
	}
	cr_expect_eq(pool_load(&pool, true, &why), -EACCES);
	cr_expect_not_null(strstr(why.text, "of metadata in region read-only"), "%s", why.text);
	cr_expect_eq(pool_load(&pool, false, &why), 0, "%s", why.text);
}

/* ---- mappings ---- */

static int do_format(struct pool *pool, struct problem *why)
{
	static const struct pool_format again = {
		.max_files = 16, .force = true, .force_option = "--force"};

	return pool_format(pool, &again, why);
}

/* What can't be looked at now is no damage. */
static int do_check(struct pool *pool, struct problem *why)
{
	_cleanup_(fsck_report_deinit) struct fsck_report report = {.count = 0};
	int r = pool_check(pool, &report, why);

	cr_expect(r < 0 || report.errors == 0, "mapping %u fails: %" PRIu64 " errors", failing,
		report.errors);
	return r;
}

static int do_keep_stamps(struct pool *pool, struct problem *why)
{
	static const uint8_t token[16] = {1};
	bool agree;
	int r = pool_load(pool, true, why);

	if (r == 0)
		r = pool_keep_stamps(pool, why);
	if (r == 0)
		r = pool_stamps_agree(pool, token, &agree, why);
	if (r == 0)
		r = pool_write_stamps(pool, token, why);
	return r;
}

static int do_repair(struct pool *pool, struct problem *why)
{
	static const struct gm_stamp none;

	for (uint32_t n = 0; n < REGIONS; n++)
		cr_assert_eq(pwrite(fds[n], &none, sizeof(none),
				     (off_t)(SIZE - GM_BLOCK_SIZE + GM_STAMP_OFFSET)),
			(ssize_t)sizeof(none));
	return repair(pool, why);
}

static const struct {
	const char *name;
	int (*run)(struct pool *pool, struct problem *why);
	uint64_t size;  /* of the regions by then */
	unsigned least; /* errors */
	bool on_new;    /* each time */
} works[] = {
	{"load", load, SIZE, 6, false},
	{"keep stamps", do_keep_stamps, SIZE, 4, false},
	{"check", do_check, SIZE, 6, false},
	{"format", do_format, SIZE, 6, false},
	{"grow", pool_grow, GROWN, 10, true},
	{"repair", do_repair, SIZE, 6, true},
};

/* One of its mappings fails, *made: how many it has asked for. */
static int run_failing(size_t work, unsigned at, unsigned *made, struct problem *why)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;

	if (works[work].on_new)
		format();
	resize(works[work].size);
	open_regions(&pool, REGIONS);
	calls = 0;
	failing = at;
	int r = works[work].run(&pool, why);
	*made = calls;
	failing = 0;
	pool_close(&pool);
	cr_expect_eq(mapped, 0, "%s: mapping %u fails, and %d stay", works[work].name, at, mapped);
	return r;
}

/* Once more, with nothing in its way. */
static void expect_ends_well(size_t work)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	struct problem why = PROBLEM_INIT;

	open_regions(&pool, REGIONS);
	cr_expect_eq(works[work].run(&pool, &why), 0, "%s: %s", works[work].name, why.text);
	pool_close(&pool);
	open_regions(&pool, REGIONS);
	cr_expect_eq(pool_load(&pool, true, &why), 0, "%s: %s", works[work].name, why.text);
}

/* Looking for what may be there goes on without one, if it can. */
Test(pool_refused, every_mapping_that_fails_is_an_error_and_can_be_tried_again)
{
	for (size_t n = 0; n < ARRAY_SIZE(works); n++) {
		unsigned at = 0, errors = 0, made;

		do {
			struct problem why = PROBLEM_INIT;
			int r = run_failing(n, ++at, &made, &why);

			if (r < 0) {
				errors++;
				cr_expect_eq(r, -ENOMEM, "%s, mapping %u: %s", works[n].name, at,
					why.text);
				cr_expect_not_null(strstr(why.text, "mapping"),
					"%s, mapping %u: %s", works[n].name, at, why.text);
			}
			expect_ends_well(n);
		} while (made >= at);
		cr_expect_geq(errors, works[n].least, "%s: %u errors", works[n].name, errors);
	}
}
