// SPDX-License-Identifier: MIT
/*
 * Pools over real files: what a format makes is found again, what is there is never overwritten
 * unasked, and regions that are not the pool's are told apart.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_pool.h"
#include "util/cleanup.h"

TestSuite(pool, .init = file_pool_make_dir, .fini = file_pool_remove_dir);

static int format_pool(const char *names, const struct pool_format *options, struct problem *why)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;

	cr_assert_eq(file_pool_open(&pool, names, "", 0, why), 0, "%s", why->text);
	return pool_format(&pool, options, why);
}

static void make_file(const char *name, uint64_t size)
{
	_cleanup_fd_ int fd = open(file_pool_path(name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)size), 0);
}

Test(pool, finds_again_what_was_formatted)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	struct problem why = PROBLEM_INIT;
	struct store *store = NULL;
	uint8_t uuid[16];

	file_pool_make("a", uuid);
	cr_assert_eq(
		file_pool_open(&pool, "a", "", REGION_OPEN_READ_ONLY, &why), 0, "%s", why.text);
	cr_assert_eq(pool_load(&pool, false, &why), 0, "%s", why.text);
	cr_expect_eq(memcmp(pool.super.uuid, uuid, 16), 0);
	cr_expect_str_eq(pool.super.label, "test");
	cr_expect_eq(pool.super.plan.max_files, FILES);
	cr_expect_eq(pool.media.size, pool.super.plan.meta_blocks * GM_BLOCK_SIZE);
	cr_assert_eq(store_open(&store, &pool.media, &pool.super, &why), 0, "%s", why.text);
	const struct inode *root = meta_inode(store_meta(store), GM_ROOT_INO);
	cr_assert_not_null(root);
	cr_expect_eq(root->attr.uid, 7);
	cr_expect_eq(root->attr.gid, 8);
	(void)store_close(store);
}

Test(pool, the_uuid_is_random_and_of_version_4)
{
	uint8_t a[16];
	uint8_t b[16];
	char text[POOL_UUID_TEXT];

	file_pool_make("a", a);
	file_pool_make("b", b);
	cr_expect_neq(memcmp(a, b, 16), 0);
	pool_format_uuid(text, a);
	cr_expect_eq(strlen(text), 36);
	cr_expect_eq(text[14], '4');
	cr_expect_not_null(strchr("89ab", text[19]));
}

Test(pool, writes_uuids_as_everybody_does)
{
	static const uint8_t uuid[16] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x00, 0x11,
		0x22, 0x33, 0x44, 0x55, 0x66, 0x77};
	char text[POOL_UUID_TEXT];

	cr_expect_str_eq(pool_format_uuid(text, uuid), "01234567-89ab-cdef-0011-223344556677");
}

Test(pool, formats_a_blank_file_and_gives_it_its_memory)
{
	struct problem why = PROBLEM_INIT;
	struct stat st;

	make_file("a", SIZE);
	cr_assert_eq(format_pool("a", &file_pool_plain, &why), 0, "%s", why.text);
	cr_assert_eq(stat(file_pool_path("a"), &st), 0);
	cr_expect_geq((uint64_t)st.st_blocks * 512, SIZE);
	cr_expect_eq(file_pool_load("a", &why), 0, "%s", why.text);
}

Test(pool, only_blocks_of_a_fresh_region_start_clean)
{
	static const struct {
		const char *name;
		bool clean;
	} cases[] = {{"fresh", true}, {"old", false}};
	struct problem why = PROBLEM_INIT;
	uint8_t uuid[16];

	file_pool_make("fresh", uuid);
	make_file("old", SIZE);
	cr_assert_eq(format_pool("old", &file_pool_plain, &why), 0, "%s", why.text);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(pool_close) struct pool pool = POOL_NULL;
		struct store *store = NULL;
		struct alloc_stats counts;

		cr_assert_eq(file_pool_open(&pool, cases[i].name, "", 0, &why), 0);
		cr_assert_eq(pool_load(&pool, true, &why), 0, "%s", why.text);
		cr_assert_eq(store_open(&store, &pool.media, &pool.super, &why), 0, "%s", why.text);
		alloc_get_stats(store_meta(store)->alloc, &counts);
		cr_expect_eq(counts.free_dirty == 0, cases[i].clean, "%s", cases[i].name);
		(void)store_close(store);
	}
}

Test(pool, refuses_to_format_over_a_pool_and_says_which)
{
	struct problem why = PROBLEM_INIT;
	char text[POOL_UUID_TEXT];
	uint8_t uuid[16];

	file_pool_make("a", uuid);
	cr_expect_eq(format_pool("a", &file_pool_plain, &why), -EEXIST);
	cr_expect_not_null(strstr(why.text, pool_format_uuid(text, uuid)), "%s", why.text);
	cr_expect_not_null(strstr(why.text, "label test"), "%s", why.text);
	cr_expect_not_null(strstr(why.text, "--force"), "%s", why.text);
	cr_expect_not_null(strstr(why.text, file_pool_path("a")), "%s", why.text);
	cr_expect_eq(file_pool_load("a", &why), 0, "the refusal changed something: %s", why.text);
}

Test(pool, formats_over_a_pool_if_told_to)
{
	struct problem why = PROBLEM_INIT;
	struct pool_format force = file_pool_plain;
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	uint8_t uuid[16];

	force.force = true;
	file_pool_make("a", uuid);
	cr_assert_eq(format_pool("a", &force, &why), 0, "%s", why.text);
	cr_assert_eq(file_pool_open(&pool, "a", "", 0, &why), 0);
	cr_assert_eq(pool_load(&pool, true, &why), 0, "%s", why.text);
	cr_expect_neq(memcmp(pool.super.uuid, uuid, 16), 0);
}

/* Any byte of what a format would write, and of the stamps' blocks, keeps a format out; a byte
 * elsewhere does not. */
Test(pool, blank_means_every_byte)
{
	static const struct {
		uint64_t offset;
		bool blank;
		const char *sentence;
	} cases[] = {
		{0, false, ""},
		{GM_STAMP_OFFSET + 5, false, "not guestmemfs's"},
		{GM_BLOCK_SIZE - 1, false, "not guestmemfs's"},
		{GM_BLOCK_SIZE, false, "not guestmemfs's"},
		{SIZE - 1, false, "not guestmemfs's"},
		{SIZE - GM_BLOCK_SIZE, false, "not guestmemfs's"},
		{SIZE - GM_BLOCK_SIZE - 1, true, ""},
	};

	make_file("a", SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(pool_close) struct pool pool = POOL_NULL;
		struct problem why = PROBLEM_INIT;

		(void)file_pool_poke("a", cases[i].offset, 0x5a);
		cr_assert_eq(file_pool_open(&pool, "a", "", REGION_OPEN_READ_ONLY, &why), 0);
		cr_expect_eq(
			pool_is_blank(&pool, FILES, &why), cases[i].blank, "%zu: %s", i, why.text);
		cr_expect_not_null(strstr(why.text, cases[i].sentence), "%zu: %s", i, why.text);
		(void)file_pool_poke("a", cases[i].offset, 0);
	}
}

Test(pool, damaged_is_not_blank)
{
	struct problem why = PROBLEM_INIT;
	uint8_t uuid[16];

	file_pool_make("a", uuid);
	(void)file_pool_poke("a", GM_SUPER_A_OFFSET + 220, 0xee);
	(void)file_pool_poke("a", GM_SUPER_B_OFFSET + 220, 0xee);
	cr_expect_eq(format_pool("a", &file_pool_plain, &why), -EEXIST);
	cr_expect_not_null(strstr(why.text, "can't be used as it is"), "%s", why.text);
	file_pool_expect_refused("a", EUCLEAN, file_pool_path("a"));
}

Test(pool, a_second_region_of_another_pool_is_not_blank)
{
	struct problem why = PROBLEM_INIT;
	char text[POOL_UUID_TEXT];
	uint8_t uuid[16];

	file_pool_make("a b", uuid);
	make_file("c", SIZE);
	cr_expect_eq(format_pool("c b", &file_pool_plain, &why), -EEXIST);
	cr_expect_not_null(strstr(why.text, "belongs to a guestmemfs pool"), "%s", why.text);
	cr_expect_not_null(strstr(why.text, pool_format_uuid(text, uuid)), "%s", why.text);
	cr_expect_eq(file_pool_load("a b", &why), 0, "the refusal changed something: %s", why.text);
}

Test(pool, leaves_no_old_superblock_in_a_further_region)
{
	struct problem why = PROBLEM_INIT;
	struct pool_format force = file_pool_plain;
	uint8_t uuid[16];

	force.force = true;
	file_pool_make("b", uuid);
	make_file("a", SIZE);
	cr_assert_eq(format_pool("a b", &force, &why), 0, "%s", why.text);
	cr_expect_eq(file_pool_load("a b", &why), 0, "%s", why.text);
	cr_expect_neq(file_pool_load("b", &why), 0, "the old pool is still to be found");
}

Test(pool, tells_regions_that_are_not_its_own)
{
	uint8_t uuid[16];
	uint8_t other[16];
	struct problem why = PROBLEM_INIT;

	file_pool_make("a b", uuid);
	file_pool_make("c d", other);
	cr_expect_eq(file_pool_load("a b", &why), 0, "%s", why.text);
	file_pool_expect_refused("a", EINVAL, "has 2 region(s) and 1 are named");
	file_pool_expect_refused("a b c", EINVAL, "has 2 region(s) and 3 are named");
	file_pool_expect_refused("a d", EUCLEAN, file_pool_path("d"));
	make_file("blank", SIZE);
	file_pool_expect_refused("blank", ENOENT, file_pool_path("blank"));
	cr_expect_neq(file_pool_load("b a", &why), 0);
}

Test(pool, refuses_a_region_of_another_size_than_at_format)
{
	struct problem why = PROBLEM_INIT;
	uint8_t uuid[16];
	static const struct {
		const char *name;
		uint64_t size;
	} cases[] = {
		{"a", SIZE - 2 * MIB},
		{"a", SIZE + 2 * MIB},
		{"b", SIZE - 2 * MIB},
		{"b", SIZE + 2 * MIB},
	};

	file_pool_make("a b", uuid);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char now[16];

		(void)snprintf(now, sizeof(now), "%llu", (unsigned long long)(cases[i].size / MIB));
		cr_assert_eq(truncate(file_pool_path(cases[i].name), (off_t)cases[i].size), 0);
		cr_expect_eq(file_pool_load("a b", &why), -EUCLEAN);
		cr_expect_not_null(strstr(why.text, now), "%s", why.text);
		cr_expect_not_null(strstr(why.text, "64"), "%s", why.text);
		cr_expect_not_null(strstr(why.text, file_pool_path(cases[i].name)), "%s", why.text);
		cr_assert_eq(truncate(file_pool_path(cases[i].name), (off_t)SIZE), 0);
	}
}

Test(pool, refuses_a_damaged_stamp_wherever_it_stands)
{
	static const struct {
		const char *name;
		uint64_t offset;
	} cases[] = {
		{"a", 0},
		{"a", SIZE - GM_BLOCK_SIZE},
		{"b", 0},
		{"b", SIZE - GM_BLOCK_SIZE},
	};
	struct problem why = PROBLEM_INIT;
	uint8_t uuid[16];

	file_pool_make("a b", uuid);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t offset = cases[i].offset + GM_STAMP_OFFSET + 9;
		uint8_t old = file_pool_poke(cases[i].name, offset, 0xa5);

		if (old == 0xa5)
			(void)file_pool_poke(cases[i].name, offset, 0x5a);
		file_pool_expect_refused("a b", EUCLEAN, file_pool_path(cases[i].name));
		(void)file_pool_poke(cases[i].name, offset, old);
	}
	cr_expect_eq(file_pool_load("a b", &why), 0, "%s", why.text);
}

Test(pool, refuses_one_file_twice_and_no_file_at_all)
{
	struct pool pool = POOL_NULL;
	struct problem why = PROBLEM_INIT;

	make_file("a", SIZE);
	cr_expect_eq(file_pool_open(&pool, "a a", "", 0, &why), -EINVAL);
	cr_expect_not_null(strstr(why.text, "are the same memory"), "%s", why.text);
	cr_expect_eq(pool.count, 0);
	cr_expect_eq(pool_open(&pool, NULL, 0, 0, &why), -EINVAL);
}

Test(pool, removes_what_it_made_if_a_later_region_fails)
{
	struct pool pool = POOL_NULL;
	struct problem why = PROBLEM_INIT;

	make_file("odd", 3 * MIB);
	cr_expect_lt(file_pool_open(&pool, "new odd", ",size=64M", REGION_OPEN_CREATE, &why), 0);
	cr_expect_eq(access(file_pool_path("new"), F_OK), -1);
	cr_expect_eq(access(file_pool_path("odd"), F_OK), 0, "a file that was there was removed");
}

Test(pool, refuses_a_region_that_is_too_small_and_changes_nothing)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	struct problem why = PROBLEM_INIT;
	struct stat st;

	make_file("a", 2 * MIB);
	cr_expect_eq(format_pool("a", &file_pool_plain, &why), -EINVAL, "%s", why.text);
	cr_expect_gt(strlen(why.text), 20);
	cr_assert_eq(stat(file_pool_path("a"), &st), 0);
	cr_expect_lt((uint64_t)st.st_blocks * 512, 2 * MIB, "the refusal allocated it");

	cr_assert_eq(file_pool_open(&pool, "new", ",size=2M", REGION_OPEN_CREATE, &why), 0);
	cr_expect_lt(pool_format(&pool, &file_pool_plain, &why), 0);
	pool_discard_created(&pool);
	cr_expect_eq(access(file_pool_path("new"), F_OK), -1);
}

Test(pool, refuses_labels_that_do_not_fit)
{
	static const char *const labels[] = {
		"0123456789012345678901234567890123456789012345678901234567890123",
		"line\nbreak",
		"\x1b[31mred",
	};
	struct problem why = PROBLEM_INIT;
	struct pool_format options = file_pool_plain;

	make_file("a", SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(labels); i++) {
		options.label = labels[i];
		cr_expect_eq(format_pool("a", &options, &why), -EINVAL);
		cr_expect_not_null(strstr(why.text, "label"), "%s", why.text);
	}
	options.label = labels[0] + 1;
	cr_expect_eq(format_pool("a", &options, &why), 0, "63 bytes: %s", why.text);
}

Test(pool, a_lock_of_one_region_keeps_the_pool_locked)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	_cleanup_(pool_close) struct pool other = POOL_NULL;
	struct problem why = PROBLEM_INIT;

	make_file("a", SIZE);
	make_file("b", SIZE);
	cr_assert_eq(file_pool_open(&pool, "b", "", 0, &why), 0);
	cr_assert_eq(file_pool_open(&other, "a b", "", 0, &why), 0);
	cr_assert_eq(pool_lock(&pool, false, 0, &why), 0);
	cr_expect_eq(pool_lock(&other, true, 60, &why), -EWOULDBLOCK);
	cr_expect_not_null(strstr(why.text, file_pool_path("b")), "%s", why.text);
}

Test(pool, adopted_descriptors_make_a_pool)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	struct problem why = PROBLEM_INIT;
	uint8_t uuid[16];

	file_pool_make("a b", uuid);
	for (const char *name = "a"; name; name = *name == 'a' ? "b" : NULL)
		cr_assert_eq(pool_adopt(&pool, GM_REGION_FILE,
				     open(file_pool_path(name), O_RDWR | O_CLOEXEC), name, &why),
			0, "%s", why.text);
	cr_assert_eq(pool_load(&pool, true, &why), 0, "%s", why.text);
	cr_expect_eq(memcmp(pool.super.uuid, uuid, 16), 0);
	int again = open(file_pool_path("a"), O_RDWR | O_CLOEXEC);
	cr_expect_eq(pool_adopt(&pool, GM_REGION_FILE, again, "a", &why), -EINVAL);
	cr_expect_eq(fcntl(again, F_GETFD), -1, "a refused descriptor was left open");
}

/* The number of errors that a check finds, and that code is among them (if not NULL). */
static uint64_t check_pool(const char *names, const char *code)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	_cleanup_(fsck_report_deinit) struct fsck_report report = {.count = 0};
	struct problem why = PROBLEM_INIT;
	bool found = code == NULL;

	cr_assert_eq(
		file_pool_open(&pool, names, "", REGION_OPEN_READ_ONLY, &why), 0, "%s", why.text);
	cr_assert_eq(pool_check(&pool, &report, &why), 0, "%s", why.text);
	for (size_t i = 0; i < report.count; i++)
		found |= code && strcmp(report.findings[i].code, code) == 0;
	cr_expect(found, "no finding '%s'", code);
	return report.errors;
}

Test(pool, checks_whatever_can_be_read)
{
	uint8_t uuid[16];

	file_pool_make("a b", uuid);
	cr_expect_eq(check_pool("a b", NULL), 0);
	cr_expect_gt(check_pool("a", "region-missing"), 0);
	(void)file_pool_poke("b", SIZE - GM_BLOCK_SIZE + GM_STAMP_OFFSET, 'x');
	cr_expect_gt(check_pool("a b", "stamp"), 0);
	(void)file_pool_poke("a", GM_SUPER_A_OFFSET + 220, 0xee);
	(void)check_pool("a b", "superblock-copy");
	(void)file_pool_poke("a", GM_SUPER_B_OFFSET + 220, 0xee);
	cr_expect_gt(check_pool("a b", "superblock"), 0);
	make_file("blank", SIZE);
	cr_expect_gt(check_pool("blank", "superblock"), 0);
	make_file("tiny", 2 * MIB);
	cr_expect_gt(check_pool("tiny", "superblock"), 0);
}
