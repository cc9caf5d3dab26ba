// SPDX-License-Identifier: MIT
/*
 * Opening, checking, formatting and growing a pool when memory runs out at any call for it: refused
 * with ENOMEM and a sentence, not a byte is changed, and it is possible afterwards.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "scarce_fixture.h"
#include "store_fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "pool/pool.h"
#include "store/fsck.h"
#include "util/cleanup.h"

#define MIB (1024ULL * 1024)

static void end_of_suite(void)
{
	(void)scarce_end();
}

TestSuite(memory_recovery, .fini = end_of_suite);

/* ---- what is on the media ---- */

/* A checkpoint and a journal with every kind of change. */
static void make_media(struct fixture *f)
{
	fixture_init(f, 64);
	for (unsigned n = 0; n < 40; n++) {
		cr_assert_eq(fixture_step(f, n), 0);
		if (n == 20)
			cr_assert_eq(store_checkpoint(f->store), 0);
	}
}

static int begin_mount(struct fixture *f)
{
	static const uint8_t other_boot[16] = {9};
	struct problem why = PROBLEM_INIT;
	int r = store_begin_mount(f->store, other_boot, &why);

	cr_assert((r == 0) == (why.text[0] == '\0'), "%d: %s", r, why.text);
	return r;
}

Test(memory_recovery, opening_fails_whole)
{
	struct problem why = PROBLEM_INIT;
	struct fixture f, copy;
	uint64_t digest;

	make_media(&f);
	digest = scarce_digest(f.store);
	fixture_copy(&copy, &f);
	for (unsigned how = 0; how < SCARCE_MODES; how++) {
		unsigned long n = 0;
		int r;

		do {
			why = PROBLEM_INIT;
			scarce_begin(n++, (enum scarce)how);
			r = fixture_open(&copy, &why);
			if (!scarce_end())
				break;
			cr_assert_eq(r, -ENOMEM, "call %lu: %d, %s", n, r, why.text);
			cr_assert_neq(why.text[0], '\0', "call %lu: without a sentence", n);
			cr_assert_null(copy.store);
		} while (true);
		cr_assert_eq(r, 0, "%s", why.text);
		cr_assert_gt(n, 30, "only %lu calls could fail", n);
		cr_assert_eq(scarce_digest(copy.store), digest);
		cr_assert_eq(memcmp(copy.media.base, f.media.base, f.media.size), 0);
		copy.store = store_close(copy.store);
	}
	fixture_deinit(&copy);
	fixture_deinit(&f);
}

Test(memory_recovery, beginning_a_mount_fails_whole)
{
	struct problem why = PROBLEM_INIT;
	struct fixture f, copy;
	uint64_t after;
	unsigned long n = 0;
	bool failed;

	make_media(&f);
	fixture_copy(&copy, &f);
	cr_assert_eq(fixture_open(&copy, &why), 0);
	cr_assert_eq(begin_mount(&copy), 0);
	after = scarce_digest(copy.store);
	do {
		fixture_deinit(&copy);
		fixture_copy(&copy, &f);
		cr_assert_eq(fixture_open(&copy, &why), 0);
		scarce_begin(n++, SCARCE_ONCE);
		int r = begin_mount(&copy);
		failed = scarce_end();
		if (failed) {
			cr_assert_eq(r, -ENOMEM);
			cr_assert_eq(memcmp(copy.media.base, f.media.base, f.media.size), 0);
			r = begin_mount(&copy);
		}
		cr_assert_eq(r, 0);
		cr_assert_eq(scarce_digest(copy.store), after);
	} while (failed);
	cr_assert_gt(n, 1);
	fixture_deinit(&copy);
	fixture_deinit(&f);
}

/* ---- fsck ---- */

static int check(const struct fixture *f, struct fsck_report *report)
{
	const uint64_t bytes = f->region_bytes;
	const struct gm_stamp *const none[2] = {NULL};
	const struct fsck_input in = {.area = f->media.base,
		.area_bytes = f->media.size,
		.region_count = 1,
		.region_bytes = &bytes,
		.stamps = none};

	return fsck_run(report, &in);
}

/* What can't be shown is counted all the same: nothing damaged ever passes for whole. */
Test(memory_recovery, a_check_fails_or_is_right)
{
	struct fixture f;

	make_media(&f);
	for (unsigned broken = 0; broken < 2; broken++) {
		struct fsck_report report;
		unsigned long n = 0;
		uint64_t errors;
		bool failed;

		if (broken)
			f.media.base[f.super.plan.journal_offset + 64] ^= 1;
		cr_assert_eq(check(&f, &report), 0);
		errors = report.errors;
		cr_assert_eq(errors > 0, broken);
		fsck_report_deinit(&report);
		do {
			scarce_begin(n++, SCARCE_ONCE);
			int r = check(&f, &report);
			failed = scarce_end();
			cr_assert(r == 0 || (failed && r == -ENOMEM), "call %lu: %d", n, r);
			cr_assert(r < 0 || report.errors == errors, "call %lu", n);
			fsck_report_deinit(&report);
		} while (failed);
		cr_assert_gt(n, 30, "only %lu calls could fail", n);
	}
	fixture_deinit(&f);
}

/* ---- pools over files ---- */

static char path[96], spec_text[160];

static void make_directory(void)
{
	(void)snprintf(path, sizeof(path), "/dev/shm/gm-test-memory-XXXXXX");
	cr_assert_not_null(mkdtemp(path));
	(void)snprintf(path + strlen(path), sizeof(path) - strlen(path), "/region");
}

static void remove_directory(void)
{
	(void)scarce_end();
	(void)unlink(path);
	*strrchr(path, '/') = '\0';
	cr_expect_eq(rmdir(path), 0, "something was left behind");
}

TestSuite(memory_pool, .init = make_directory, .fini = remove_directory);

/* What a start does with a region: "format" it, or load it and take its growth into use. */
static int open_pool(
	unsigned flags, int (*use)(struct pool *, struct problem *), struct problem *why)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	struct region_spec spec;
	int r = region_spec_parse(&spec, spec_text, why);

	if (r < 0)
		return r;
	r = pool_open(&pool, &spec, 1, flags, why);
	region_spec_deinit(&spec);
	if (r == 0)
		r = pool_lock(&pool, false, 0, why);
	if (r == 0)
		r = use(&pool, why);
	if (r < 0)
		pool_discard_created(&pool);
	return r;
}

static int format_it(struct pool *pool, struct problem *why)
{
	const struct pool_format options = {.max_files = 64, .force_option = "--force"};

	return pool_format(pool, &options, why);
}

static int check_it(struct pool *pool, struct problem *why)
{
	struct fsck_report report;
	int r = pool_check(pool, &report, why);

	if (r == 0) {
		cr_assert_eq(report.errors, 0);
		fsck_report_deinit(&report);
	}
	return r;
}

static int load_it(struct pool *pool, struct problem *why)
{
	struct store *store = NULL;
	int r = pool_load(pool, true, why);

	if (r == 0)
		r = store_open(&store, &pool->media, &pool->super, why);
	store_close(store);
	return r;
}

/* Until no call is left that could fail; then it must be done. How many there were. */
static unsigned long try_pool(unsigned flags, int (*use)(struct pool *, struct problem *))
{
	unsigned long n = 0;

	while (true) {
		struct problem why = PROBLEM_INIT;

		scarce_begin(n, SCARCE_ONCE);
		int r = open_pool(flags, use, &why);
		if (!scarce_end()) {
			cr_assert_eq(r, 0, "%s", why.text);
			return n;
		}
		cr_assert_eq(r, -ENOMEM, "call %lu: %d, %s", n, r, why.text);
		cr_assert_neq(why.text[0], '\0', "call %lu: without a sentence", n);
		if (flags & REGION_OPEN_CREATE)
			cr_assert_neq(access(path, F_OK), 0, "call %lu leaves a region", n);
		n++;
	}
}

Test(memory_pool, format_load_check_and_grow_fail_whole)
{
	(void)snprintf(spec_text, sizeof(spec_text), "file:%s,size=64M", path);
	cr_expect_gt(try_pool(REGION_OPEN_CREATE, format_it), 3);
	(void)snprintf(spec_text, sizeof(spec_text), "file:%s", path);
	cr_expect_gt(try_pool(0, load_it), 8);
	cr_expect_gt(try_pool(0, check_it), 8);
	cr_expect_gt(try_pool(REGION_OPEN_READ_ONLY, check_it), 8);
	cr_assert_eq(truncate(path, (off_t)(80 * MIB)), 0);
	cr_expect_gt(try_pool(0, pool_grow), 8);
}
