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
static uint64_t told_files;

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

static uint64_t slot_offset(const char *name, unsigned slot)
{
	size_t size;
	_cleanup_free_ uint8_t *bytes = read_all(name, &size);

	return get_le64(((const struct gm_super *)(const void *)bytes)->slot_offset[slot]);
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
	r = pool_repair_new(&p, &pool, told_files, &report, why);
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

/* ---- checkpoints that a guest has made ---- */

static uint64_t metadata_bytes(const uint8_t *region)
{
	return get_le64(((const struct gm_super *)(const void *)region)->meta_blocks) *
	       GM_BLOCK_SIZE;
}

/* The pool's own newest one, wherever one could be looked for in what guests have. How long the
 * metadata area is. */
static uint64_t forge_checkpoints(void)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	uint64_t slot;
	size_t size;

	make_pool("z");
	bytes = read_all("z", &size);
	slot = slot_offset("z", 0);
	for (uint64_t at = metadata_bytes(bytes); at < size - GM_BLOCK_SIZE; at += 64 << 10)
		write_at("z", at, bytes + slot, 64 << 10);
	return metadata_bytes(bytes);
}

static void lose_supers(const char *name)
{
	static const struct gm_super none;

	write_at(name, GM_SUPER_A_OFFSET, &none, sizeof(none));
	write_at(name, GM_SUPER_B_OFFSET, &none, sizeof(none));
}

static void expect_repaired(const char *name, uint64_t meta)
{
	struct problem why = PROBLEM_INIT;
	size_t size, now;
	bool needed = false;
	_cleanup_free_ uint8_t *before = read_all(name, &size);

	cr_assert_eq(repair(name, &needed, &why), 0, "%s", why.text);
	cr_expect(needed && is_clean(name));
	_cleanup_free_ uint8_t *after = read_all(name, &now);
	cr_expect_eq(metadata_bytes(after), meta);
	cr_expect_eq(memcmp(before + meta, after + meta, size - meta - GM_BLOCK_SIZE), 0,
		"something was written into guests' memory");
}

Test(repair_pool, what_guests_have_forged_is_not_looked_at)
{
	static const uint8_t none[4096];
	uint64_t meta;
	char copy[128];

	meta = forge_checkpoints();
	lose_supers("z");
	expect_repaired("z", meta);

	/* Without stamps it is asked for, and what is told is where it is looked for. */
	path_of(copy, "copy");
	cr_assert_eq(unlink(copy), 0);
	lose_supers("z");
	lose_stamp("z", GM_STAMP_FIRST);
	lose_stamp("z", GM_STAMP_LAST);
	expect_refused("z", "say --max-files as at the format");
	told_files = 20 * FILES;
	expect_refused("z", "where there is none; say --max-files");
	told_files = FILES;
	expect_repaired("z", meta);

	/* With no checkpoint of its own left, none of theirs will do. */
	for (unsigned slot = 0; slot < 2; slot++)
		write_at("z", slot_offset("z", slot), none, sizeof(none));
	lose_supers("z");
	told_files = 0;
	expect_refused("z", "nor is there any checkpoint of a pool at");
}

/* ---- regions that have grown ---- */

static int grow(const char *names, struct problem *why)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;

	cr_assert_eq(open_regions(&pool, names, 0, why), 0, "%s", why->text);
	return pool_grow(&pool, why);
}

static void enlarge(const char *name)
{
	char path[128];

	path_of(path, name);
	cr_assert_eq(truncate(path, (off_t)(SIZE + 4 * GM_BLOCK_SIZE)), 0);
}

static void expect_grown_after_repair(void)
{
	struct problem why = PROBLEM_INIT;
	bool needed = false;

	cr_expect_lt(grow("ab", &why), 0);
	cr_assert_eq(repair("ab", &needed, &why), 0, "%s", why.text);
	cr_expect(needed);
	cr_expect_eq(grow("ab", &why), 0, "%s", why.text);
	cr_expect(is_clean("ab"));
}

/* Before the superblocks, or not begun. */
Test(repair_pool, a_region_that_has_grown_is_repaired_as_the_pool_has_it)
{
	enlarge("a");
	enlarge("b");
	lose_supers("a");
	expect_grown_after_repair();
}

Test(repair_pool, a_growth_that_was_cut_short_behind_the_superblocks)
{
	size_t size;
	_cleanup_free_ uint8_t *before = read_all("b", &size);
	struct problem why = PROBLEM_INIT;

	enlarge("b");
	cr_assert_eq(grow("ab", &why), 0, "%s", why.text);
	write_at("b", GM_STAMP_OFFSET, before + GM_STAMP_OFFSET, sizeof(struct gm_stamp));
	write_at("a", GM_SLOT_WORD_A_OFFSET, "damage!", 8);
	write_at("a", GM_SLOT_WORD_B_OFFSET, "damage!", 8);
	expect_grown_after_repair();
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

Test(repair_pool, what_can_not_be_read_is_a_sentence_with_its_place)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	struct problem why = PROBLEM_INIT;
	uint64_t slot = slot_offset("a", 1);
	char place[64];

	(void)snprintf(
		place, sizeof(place), "at offset 0x%" PRIx64 ": the memory is not there", slot);
	open_cut(&pool, REGION_OPEN_READ_ONLY, slot);
	cr_expect_eq(pool_check_memory(&pool, &why), -EIO);
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
	uint64_t slot = slot_offset("a", 1);
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
