// SPDX-License-Identifier: MIT
/*
 * Repairs over real files: stamps, regions that are not the pool's, the copy, and that nothing but
 * metadata is written.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/repair.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/sigbus.h"

#define MIB   (1024ULL * 1024)
#define SIZE  (32 * MIB)
#define FILES 1000U

static char dir[64]; /* of one test: each runs in a process of its own */

static void path_of(char path[128], const char *name)
{
	(void)snprintf(path, 128, "%s/%s", dir, name);
}

static int open_regions(struct pool *ret, const char *names, unsigned flags, struct problem *why)
{
	struct region_spec specs[2] = {REGION_SPEC_NULL, REGION_SPEC_NULL};
	uint32_t count = (uint32_t)strlen(names);
	int r;

	for (uint32_t n = 0; n < count; n++) {
		char text[256];

		(void)snprintf(text, sizeof(text), "file:%s/%c%s", dir, names[n],
			flags & REGION_OPEN_CREATE ? ",size=32M" : "");
		cr_assert_eq(region_spec_parse(&specs[n], text, why), 0, "%s", why->text);
	}
	r = pool_open(ret, specs, count, flags, why);
	for (uint32_t n = 0; n < count; n++)
		region_spec_deinit(&specs[n]);
	return r;
}

static void make_pool(const char *names)
{
	static const struct pool_format format = {.max_files = FILES, .force_option = "--force"};
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	struct problem why = PROBLEM_INIT;

	cr_assert_eq(open_regions(&pool, names, REGION_OPEN_CREATE, &why), 0, "%s", why.text);
	cr_assert_eq(pool_lock(&pool, false, 0, &why), 0, "%s", why.text);
	cr_assert_eq(pool_format(&pool, &format, &why), 0, "%s", why.text);
}

static void make_both(void)
{
	(void)snprintf(dir, sizeof(dir), "/dev/shm/gm-test-repair-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	make_pool("ab");
	make_pool("xy");
	cr_assert_eq(sigbus_init(), 0);
}

static void remove_dir(void)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	cr_expect_eq(system(command), 0);
}

TestSuite(repair_pool, .init = make_both, .fini = remove_dir);

static void write_at(const char *name, uint64_t offset, const void *bytes, size_t length)
{
	char path[128];

	path_of(path, name);
	_cleanup_fd_ int fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert_eq(pwrite(fd, bytes, length, (off_t)offset), (ssize_t)length);
}

static uint8_t *read_all(const char *name, size_t *length)
{
	uint8_t *bytes;
	struct stat st;
	char path[128];

	path_of(path, name);
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_eq(fstat(fd, &st), 0);
	*length = (size_t)st.st_size;
	bytes = malloc(*length);
	cr_assert(bytes && read(fd, bytes, *length) == (ssize_t)*length);
	return bytes;
}

static void lose_stamp(const char *name, enum gm_stamp_position position)
{
	static const struct gm_stamp none;

	write_at(name, (position == GM_STAMP_LAST ? SIZE - GM_BLOCK_SIZE : 0) + GM_STAMP_OFFSET,
		&none, sizeof(none));
}

/* Looks, and repairs where that is needed; with a copy as "copy". What pool_repair_new() says. */
static int repair(const char *names, bool *needed, struct problem *why)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	_cleanup_(salvage_report_deinit) struct salvage_report report = {.count = 0};
	struct pool_repair *p = NULL;
	char path[128];
	int r;

	cr_assert_eq(open_regions(&pool, names, 0, why), 0, "%s", why->text);
	cr_assert_eq(pool_lock(&pool, false, 0, why), 0, "%s", why->text);
	r = pool_repair_new(&p, &pool, 0, &report, why);
	if (r < 0)
		return r;
	*needed = pool_repair_is_needed(p);
	path_of(path, "copy");
	if (*needed) {
		cr_assert_eq(pool_repair_backup(p, path, why), 0, "%s", why->text);
		cr_assert_eq(pool_repair_write(p, why), 0, "%s", why->text);
	}
	pool_repair_free(p);
	return 0;
}

static bool is_clean(const char *names)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	_cleanup_(fsck_report_deinit) struct fsck_report report = {.count = 0};
	struct problem why = PROBLEM_INIT;

	cr_assert_eq(open_regions(&pool, names, REGION_OPEN_READ_ONLY, &why), 0, "%s", why.text);
	cr_assert_eq(pool_check(&pool, &report, &why), 0, "%s", why.text);
	return report.errors == 0;
}

Test(repair_pool, a_clean_pool_needs_nothing)
{
	struct problem why = PROBLEM_INIT;
	bool needed = true;

	cr_assert_eq(repair("ab", &needed, &why), 0, "%s", why.text);
	cr_expect(!needed);
}

Test(repair_pool, stamps_that_are_lost_are_made_anew)
{
	struct problem why = PROBLEM_INIT;
	size_t size_a, size_b, size;
	bool needed = false;
	_cleanup_free_ uint8_t *a = read_all("a", &size_a), *b = read_all("b", &size_b);

	lose_stamp("a", GM_STAMP_FIRST);
	lose_stamp("a", GM_STAMP_LAST);
	lose_stamp("b", GM_STAMP_LAST);
	cr_expect(!is_clean("ab"));
	cr_assert_eq(repair("ab", &needed, &why), 0, "%s", why.text);
	cr_expect(needed && is_clean("ab"));
	_cleanup_free_ uint8_t *now_a = read_all("a", &size), *now_b = read_all("b", &size);
	cr_expect_eq(memcmp(a, now_a, size_a), 0);
	cr_expect_eq(memcmp(b, now_b, size_b), 0);
}

static void expect_refused(const char *names, const char *text)
{
	struct problem why = PROBLEM_INIT;
	size_t size_a, size_b, size;
	bool needed = false;
	char first[2] = {names[0]}, second[2] = {names[1] ? names[1] : names[0]};
	_cleanup_free_ uint8_t *a = read_all(first, &size_a), *b = read_all(second, &size_b);

	cr_expect_lt(repair(names, &needed, &why), 0);
	cr_expect_not_null(strstr(why.text, text), "%s", why.text);
	_cleanup_free_ uint8_t *now_a = read_all(first, &size), *now_b = read_all(second, &size);
	cr_expect_eq(memcmp(a, now_a, size_a), 0);
	cr_expect_eq(memcmp(b, now_b, size_b), 0);
}

Test(repair_pool, a_region_that_nothing_shows_to_be_the_pools_is_refused)
{
	lose_stamp("b", GM_STAMP_FIRST);
	lose_stamp("b", GM_STAMP_LAST);
	expect_refused("ab", "both stamps of region");
}

Test(repair_pool, another_pools_region_is_refused)
{
	expect_refused("ay", "belongs to another pool");
	lose_stamp("y", GM_STAMP_FIRST);
	expect_refused("ay", "belongs to another pool");
	expect_refused("a", "name every one");
	expect_refused("ba", "there is no");
}

Test(repair_pool, a_region_of_another_size_is_refused)
{
	char path[128];

	path_of(path, "b");
	cr_assert_eq(truncate(path, (off_t)(SIZE - GM_BLOCK_SIZE)), 0);
	expect_refused("ab", "give it its size back");
}

/* Superblocks and stamps of two regions at once; the data blocks keep every byte. */
Test(repair_pool, two_regions_keep_every_byte_of_memory)
{
	_cleanup_free_ uint8_t *guests = malloc(SIZE), *zeros = calloc(1, 4096);
	struct problem why = PROBLEM_INIT;
	size_t size, meta;
	bool needed = false;

	cr_assert(guests && zeros);
	_cleanup_free_ uint8_t *before = read_all("a", &size);
	meta = get_le64(((const struct gm_super *)(const void *)before)->meta_blocks) *
	       GM_BLOCK_SIZE;
	memset(guests, 0x5a, SIZE);
	write_at("a", meta, guests, SIZE - GM_BLOCK_SIZE - meta);
	write_at("b", GM_BLOCK_SIZE, guests, SIZE - 2 * GM_BLOCK_SIZE);
	write_at("a", GM_SUPER_A_OFFSET + 100, zeros, 32);
	write_at("a", GM_SUPER_B_OFFSET + 300, "damage", 6);
	lose_stamp("b", GM_STAMP_FIRST);
	cr_assert_eq(repair("ab", &needed, &why), 0, "%s", why.text);
	cr_expect(needed && is_clean("ab"));
	_cleanup_free_ uint8_t *a = read_all("a", &size), *b = read_all("b", &size),
			       *copy = read_all("copy", &size);
	cr_expect_eq(size, sizeof(struct backup_head) + meta);
	cr_expect_eq(memcmp(a + meta, guests, SIZE - GM_BLOCK_SIZE - meta), 0);
	cr_expect_eq(memcmp(b + GM_BLOCK_SIZE, guests, SIZE - 2 * GM_BLOCK_SIZE), 0);
	cr_expect_eq(
		memcmp(copy + sizeof(struct backup_head) + GM_SUPER_B_OFFSET + 300, "damage", 6),
		0);
}

/* ---- memory that can't be read ---- */

/* Region a, opened while it is whole and cut off at `offset` then: what lies behind it is a SIGBUS.
 */
static void open_cut(struct pool *ret, unsigned flags, uint64_t offset)
{
	struct problem why = PROBLEM_INIT;
	char path[128];

	path_of(path, "a");
	cr_assert_eq(open_regions(ret, "ab", flags, &why), 0, "%s", why.text);
	cr_assert_eq(truncate(path, (off_t)offset), 0);
}

static int truncate_to(uint64_t size)
{
	char path[128];

	path_of(path, "a");
	return truncate(path, (off_t)size);
}

static uint64_t slot_offset(unsigned slot)
{
	size_t size;
	_cleanup_free_ uint8_t *bytes = read_all("a", &size);

	return get_le64(((const struct gm_super *)(const void *)bytes)->slot_offset[slot]);
}

Test(repair_pool, what_can_not_be_read_is_a_sentence_with_its_place)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	struct fsck_report report = {.count = 0};
	struct problem why = PROBLEM_INIT;
	uint64_t slot = slot_offset(1);
	char place[64];

	(void)snprintf(
		place, sizeof(place), "at offset 0x%" PRIx64 ": the memory is not there", slot);
	open_cut(&pool, REGION_OPEN_READ_ONLY, slot);
	cr_expect_eq(pool_check(&pool, &report, &why), -EIO);
	cr_expect_not_null(strstr(why.text, place), "%s", why.text);
	pool_close(&pool);
}

Test(repair_pool, the_first_block_and_the_stamps_too)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	struct fsck_report report = {.count = 0};
	struct problem why = PROBLEM_INIT;

	open_cut(&pool, 0, SIZE - GM_BLOCK_SIZE);
	cr_expect_eq(pool_load(&pool, false, &why), -EIO);
	cr_expect_not_null(
		strstr(why.text, "at offset 0x1e03000: the memory is not"), "%s", why.text);
	cr_expect_eq(pool_check(&pool, &report, &why), -EIO);
	pool_close(&pool);
	cr_assert_eq(truncate_to(SIZE), 0);
	open_cut(&pool, 0, 0);
	cr_expect_eq(pool_load(&pool, false, &why), -EIO);
	cr_expect_not_null(strstr(why.text, "at offset 0x0: the memory is not"), "%s", why.text);
	cr_expect_eq(pool_check(&pool, &report, &why), -EIO);
	cr_expect_eq(pool_is_blank(&pool, FILES, &why), -EIO);
	cr_expect_eq(pool_grow(&pool, &why), -EIO);
}

static bool says(const struct salvage_report *report, const char *text)
{
	for (size_t n = 0; n < report->count; n++)
		if (report->notes[n].lost && strstr(report->notes[n].text, text))
			return true;
	return false;
}

/* What is read when the memory is gone, and written when it is there again, as zeros. */
Test(repair_pool, pages_that_can_not_be_read_count_as_lost)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	_cleanup_(salvage_report_deinit) struct salvage_report report = {.count = 0};
	struct problem why = PROBLEM_INIT;
	struct pool_repair *p = NULL;
	uint64_t slot = slot_offset(1);
	char path[128];

	open_cut(&pool, 0, slot);
	cr_assert_eq(pool_repair_new(&p, &pool, 0, &report, &why), 0, "%s", why.text);
	cr_expect(pool_repair_is_needed(p));
	cr_expect_gt(pool_repair_bad_bytes(p), 0);
	cr_expect(says(&report, "can't be read: the memory is not there any more"));
	path_of(path, "copy");
	cr_assert_eq(pool_repair_backup(p, path, &why), 0, "%s", why.text);
	cr_expect_eq(pool_repair_write(p, &why), -EIO);
	cr_expect_not_null(strstr(why.text, "can't be written"), "%s", why.text);
	cr_assert_eq(truncate_to(SIZE), 0);
	cr_expect_eq(pool_repair_write(p, &why), 0, "%s", why.text);
	pool_repair_free(p);
	cr_expect(is_clean("ab"));
}
