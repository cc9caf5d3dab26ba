// SPDX-License-Identifier: MIT
/*
 * Pools over real files: what a format makes is found again, what is there is never overwritten
 * unasked, and regions that are not the pool's are told apart.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/pool.h"
#include "util/cleanup.h"

#define MIB         (1024ULL * 1024)
#define SIZE        (64 * MIB) /* of a region */
#define FILES       1000
#define REGIONS_MAX 3U

static char dir[64]; /* of one test: each runs in a process of its own */

static void make_dir(void)
{
	(void)snprintf(dir, sizeof(dir), "/dev/shm/gm-test-pool-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
}

static void remove_dir(void)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	cr_expect_eq(system(command), 0);
}

TestSuite(pool, .init = make_dir, .fini = remove_dir);

/* Good until it was called 16 times more. */
static const char *path_of(const char *name)
{
	static char paths[16][128];
	static unsigned next;
	char *path = paths[next++ % 16];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

/* names: "a", "a b", ...; options as in a specification, for each of them. */
static int open_pool(struct pool *ret, const char *names, const char *options, unsigned flags,
	struct problem *why)
{
	struct region_spec specs[REGIONS_MAX];
	_cleanup_free_ char *copy = strdup(names);
	char *rest = copy;
	const char *name = NULL;
	uint32_t count = 0;

	while ((name = strsep(&rest, " "))) {
		char text[256];

		cr_assert_lt(count, REGIONS_MAX);
		(void)snprintf(text, sizeof(text), "file:%s%s", path_of(name), options);
		cr_assert_eq(region_spec_parse(&specs[count++], text, why), 0, "%s", why->text);
	}
	int r = pool_open(ret, specs, count, flags, why);
	while (count > 0)
		region_spec_deinit(&specs[--count]);
	return r;
}

static const struct pool_format plain = {
	.max_files = FILES,
	.label = "test",
	.root_uid = 7,
	.root_gid = 8,
	.force_option = "--force",
};

/* A pool of fresh regions; returns its uuid in a buffer of the caller's. */
static void make_pool(const char *names, uint8_t uuid[16])
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	struct problem why = PROBLEM_INIT;

	cr_assert_eq(
		open_pool(&pool, names, ",size=64M", REGION_OPEN_CREATE, &why), 0, "%s", why.text);
	cr_assert_eq(pool_lock(&pool, false, 0, &why), 0, "%s", why.text);
	cr_assert_eq(pool_format(&pool, &plain, &why), 0, "%s", why.text);
	memcpy(uuid, pool.super.uuid, 16);
}

static int load_pool(const char *names, struct problem *why)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;

	cr_assert_eq(open_pool(&pool, names, "", 0, why), 0, "%s", why->text);
	int r = pool_load(&pool, true, why);
	cr_expect_eq(pool.loaded, r == 0);
	cr_expect_eq(pool.media.base != NULL, r == 0);
	return r;
}

static void assert_load_refused(const char *names, int err, const char *sentence)
{
	struct problem why = PROBLEM_INIT;

	cr_expect_eq(load_pool(names, &why), -err, "%s: %s", names, why.text);
	cr_expect_not_null(strstr(why.text, sentence), "%s: %s", names, why.text);
}

static int format_pool(const char *names, const struct pool_format *options, struct problem *why)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;

	cr_assert_eq(open_pool(&pool, names, "", 0, why), 0, "%s", why->text);
	return pool_format(&pool, options, why);
}

/* One byte of a region; returns what was there. */
static uint8_t poke(const char *name, uint64_t offset, uint8_t value)
{
	_cleanup_fd_ int fd = open(path_of(name), O_RDWR | O_CLOEXEC);
	uint8_t old = 0;

	cr_assert_eq(pread(fd, &old, 1, (off_t)offset), 1);
	cr_assert_eq(pwrite(fd, &value, 1, (off_t)offset), 1);
	return old;
}

static void make_file(const char *name, uint64_t size)
{
	_cleanup_fd_ int fd = open(path_of(name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)size), 0);
}

Test(pool, finds_again_what_was_formatted)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	struct problem why = PROBLEM_INIT;
	struct store *store = NULL;
	uint8_t uuid[16];

	make_pool("a", uuid);
	cr_assert_eq(open_pool(&pool, "a", "", REGION_OPEN_READ_ONLY, &why), 0, "%s", why.text);
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

	make_pool("a", a);
	make_pool("b", b);
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
	cr_assert_eq(format_pool("a", &plain, &why), 0, "%s", why.text);
	cr_assert_eq(stat(path_of("a"), &st), 0);
	cr_expect_geq((uint64_t)st.st_blocks * 512, SIZE);
	cr_expect_eq(load_pool("a", &why), 0, "%s", why.text);
}

Test(pool, only_blocks_of_a_fresh_region_start_clean)
{
	static const struct {
		const char *name;
		bool clean;
	} cases[] = {{"fresh", true}, {"old", false}};
	struct problem why = PROBLEM_INIT;
	uint8_t uuid[16];

	make_pool("fresh", uuid);
	make_file("old", SIZE);
	cr_assert_eq(format_pool("old", &plain, &why), 0, "%s", why.text);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(pool_close) struct pool pool = POOL_NULL;
		struct store *store = NULL;
		struct alloc_stats counts;

		cr_assert_eq(open_pool(&pool, cases[i].name, "", 0, &why), 0);
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

	make_pool("a", uuid);
	cr_expect_eq(format_pool("a", &plain, &why), -EEXIST);
	cr_expect_not_null(strstr(why.text, pool_format_uuid(text, uuid)), "%s", why.text);
	cr_expect_not_null(strstr(why.text, "label test"), "%s", why.text);
	cr_expect_not_null(strstr(why.text, "--force"), "%s", why.text);
	cr_expect_not_null(strstr(why.text, path_of("a")), "%s", why.text);
	cr_expect_eq(load_pool("a", &why), 0, "the refusal changed something: %s", why.text);
}

Test(pool, formats_over_a_pool_if_told_to)
{
	struct problem why = PROBLEM_INIT;
	struct pool_format force = plain;
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	uint8_t uuid[16];

	force.force = true;
	make_pool("a", uuid);
	cr_assert_eq(format_pool("a", &force, &why), 0, "%s", why.text);
	cr_assert_eq(open_pool(&pool, "a", "", 0, &why), 0);
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

		(void)poke("a", cases[i].offset, 0x5a);
		cr_assert_eq(open_pool(&pool, "a", "", REGION_OPEN_READ_ONLY, &why), 0);
		cr_expect_eq(
			pool_is_blank(&pool, FILES, &why), cases[i].blank, "%zu: %s", i, why.text);
		cr_expect_not_null(strstr(why.text, cases[i].sentence), "%zu: %s", i, why.text);
		(void)poke("a", cases[i].offset, 0);
	}
}

Test(pool, damaged_is_not_blank)
{
	struct problem why = PROBLEM_INIT;
	uint8_t uuid[16];

	make_pool("a", uuid);
	(void)poke("a", GM_SUPER_A_OFFSET + 220, 0xee);
	(void)poke("a", GM_SUPER_B_OFFSET + 220, 0xee);
	cr_expect_eq(format_pool("a", &plain, &why), -EEXIST);
	cr_expect_not_null(strstr(why.text, "can't be used as it is"), "%s", why.text);
	assert_load_refused("a", EUCLEAN, path_of("a"));
}

Test(pool, a_second_region_of_another_pool_is_not_blank)
{
	struct problem why = PROBLEM_INIT;
	char text[POOL_UUID_TEXT];
	uint8_t uuid[16];

	make_pool("a b", uuid);
	make_file("c", SIZE);
	cr_expect_eq(format_pool("c b", &plain, &why), -EEXIST);
	cr_expect_not_null(strstr(why.text, "belongs to a guestmemfs pool"), "%s", why.text);
	cr_expect_not_null(strstr(why.text, pool_format_uuid(text, uuid)), "%s", why.text);
	cr_expect_eq(load_pool("a b", &why), 0, "the refusal changed something: %s", why.text);
}

Test(pool, leaves_no_old_superblock_in_a_further_region)
{
	struct problem why = PROBLEM_INIT;
	struct pool_format force = plain;
	uint8_t uuid[16];

	force.force = true;
	make_pool("b", uuid);
	make_file("a", SIZE);
	cr_assert_eq(format_pool("a b", &force, &why), 0, "%s", why.text);
	cr_expect_eq(load_pool("a b", &why), 0, "%s", why.text);
	cr_expect_neq(load_pool("b", &why), 0, "the old pool is still to be found");
}

Test(pool, tells_regions_that_are_not_its_own)
{
	uint8_t uuid[16];
	uint8_t other[16];
	struct problem why = PROBLEM_INIT;

	make_pool("a b", uuid);
	make_pool("c d", other);
	cr_expect_eq(load_pool("a b", &why), 0, "%s", why.text);
	assert_load_refused("a", EINVAL, "has 2 region(s) and 1 are named");
	assert_load_refused("a b c", EINVAL, "has 2 region(s) and 3 are named");
	assert_load_refused("a d", EUCLEAN, path_of("d"));
	make_file("blank", SIZE);
	assert_load_refused("blank", ENOENT, path_of("blank"));
	cr_expect_neq(load_pool("b a", &why), 0);
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

	make_pool("a b", uuid);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char now[16];

		(void)snprintf(now, sizeof(now), "%llu", (unsigned long long)(cases[i].size / MIB));
		cr_assert_eq(truncate(path_of(cases[i].name), (off_t)cases[i].size), 0);
		cr_expect_eq(load_pool("a b", &why), -EUCLEAN);
		cr_expect_not_null(strstr(why.text, now), "%s", why.text);
		cr_expect_not_null(strstr(why.text, "64"), "%s", why.text);
		cr_expect_not_null(strstr(why.text, path_of(cases[i].name)), "%s", why.text);
		cr_assert_eq(truncate(path_of(cases[i].name), (off_t)SIZE), 0);
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

	make_pool("a b", uuid);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t offset = cases[i].offset + GM_STAMP_OFFSET + 9;
		uint8_t old = poke(cases[i].name, offset, 0xa5);

		if (old == 0xa5)
			(void)poke(cases[i].name, offset, 0x5a);
		assert_load_refused("a b", EUCLEAN, path_of(cases[i].name));
		(void)poke(cases[i].name, offset, old);
	}
	cr_expect_eq(load_pool("a b", &why), 0, "%s", why.text);
}

Test(pool, refuses_one_file_twice_and_no_file_at_all)
{
	struct pool pool = POOL_NULL;
	struct problem why = PROBLEM_INIT;

	make_file("a", SIZE);
	cr_expect_eq(open_pool(&pool, "a a", "", 0, &why), -EINVAL);
	cr_expect_not_null(strstr(why.text, "are the same memory"), "%s", why.text);
	cr_expect_eq(pool.count, 0);
	cr_expect_eq(pool_open(&pool, NULL, 0, 0, &why), -EINVAL);
}

Test(pool, removes_what_it_made_if_a_later_region_fails)
{
	struct pool pool = POOL_NULL;
	struct problem why = PROBLEM_INIT;

	make_file("odd", 3 * MIB);
	cr_expect_lt(open_pool(&pool, "new odd", ",size=64M", REGION_OPEN_CREATE, &why), 0);
	cr_expect_eq(access(path_of("new"), F_OK), -1);
	cr_expect_eq(access(path_of("odd"), F_OK), 0, "a file that was there was removed");
}

Test(pool, refuses_a_region_that_is_too_small_and_changes_nothing)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	struct problem why = PROBLEM_INIT;
	struct stat st;

	make_file("a", 2 * MIB);
	cr_expect_eq(format_pool("a", &plain, &why), -EINVAL, "%s", why.text);
	cr_expect_gt(strlen(why.text), 20);
	cr_assert_eq(stat(path_of("a"), &st), 0);
	cr_expect_lt((uint64_t)st.st_blocks * 512, 2 * MIB, "the refusal allocated it");

	cr_assert_eq(open_pool(&pool, "new", ",size=2M", REGION_OPEN_CREATE, &why), 0);
	cr_expect_lt(pool_format(&pool, &plain, &why), 0);
	pool_discard_created(&pool);
	cr_expect_eq(access(path_of("new"), F_OK), -1);
}

Test(pool, refuses_labels_that_do_not_fit)
{
	static const char *const labels[] = {
		"0123456789012345678901234567890123456789012345678901234567890123",
		"line\nbreak",
		"\x1b[31mred",
	};
	struct problem why = PROBLEM_INIT;
	struct pool_format options = plain;

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
	cr_assert_eq(open_pool(&pool, "b", "", 0, &why), 0);
	cr_assert_eq(open_pool(&other, "a b", "", 0, &why), 0);
	cr_assert_eq(pool_lock(&pool, false, 0, &why), 0);
	cr_expect_eq(pool_lock(&other, true, 60, &why), -EWOULDBLOCK);
	cr_expect_not_null(strstr(why.text, path_of("b")), "%s", why.text);
}

Test(pool, adopted_descriptors_make_a_pool)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	struct problem why = PROBLEM_INIT;
	uint8_t uuid[16];

	make_pool("a b", uuid);
	for (const char *name = "a"; name; name = *name == 'a' ? "b" : NULL)
		cr_assert_eq(pool_adopt(&pool, GM_REGION_FILE,
				     open(path_of(name), O_RDWR | O_CLOEXEC), name, &why),
			0, "%s", why.text);
	cr_assert_eq(pool_load(&pool, true, &why), 0, "%s", why.text);
	cr_expect_eq(memcmp(pool.super.uuid, uuid, 16), 0);
	int again = open(path_of("a"), O_RDWR | O_CLOEXEC);
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

	cr_assert_eq(open_pool(&pool, names, "", REGION_OPEN_READ_ONLY, &why), 0, "%s", why.text);
	cr_assert_eq(pool_check(&pool, &report, &why), 0, "%s", why.text);
	for (size_t i = 0; i < report.count; i++)
		found |= code && strcmp(report.findings[i].code, code) == 0;
	cr_expect(found, "no finding '%s'", code);
	return report.errors;
}

Test(pool, checks_whatever_can_be_read)
{
	uint8_t uuid[16];

	make_pool("a b", uuid);
	cr_expect_eq(check_pool("a b", NULL), 0);
	cr_expect_gt(check_pool("a", "region-missing"), 0);
	(void)poke("b", SIZE - GM_BLOCK_SIZE + GM_STAMP_OFFSET, 'x');
	cr_expect_gt(check_pool("a b", "stamp"), 0);
	(void)poke("a", GM_SUPER_A_OFFSET + 220, 0xee);
	(void)check_pool("a b", "superblock-copy");
	(void)poke("a", GM_SUPER_B_OFFSET + 220, 0xee);
	cr_expect_gt(check_pool("a b", "superblock"), 0);
	make_file("blank", SIZE);
	cr_expect_gt(check_pool("blank", "superblock"), 0);
	make_file("tiny", 2 * MIB);
	cr_expect_gt(check_pool("tiny", "superblock"), 0);
}

/* ---- growing ---- */

static void resize_file(const char *name, uint64_t size)
{
	cr_assert_eq(truncate(path_of(name), (off_t)size), 0);
}

static int grow_pool(const char *names, struct problem *why)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;

	cr_assert_eq(open_pool(&pool, names, "", 0, why), 0, "%s", why->text);
	cr_assert_eq(pool_lock(&pool, false, 0, why), 0, "%s", why->text);
	return pool_grow(&pool, why);
}

/* The data blocks of each region, and that the allocator has them. */
static void assert_grown(const char *names, const uint64_t *data_blocks)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	struct problem why = PROBLEM_INIT;
	struct alloc_stats stats;
	struct store *store = NULL;
	uint64_t all = 0;

	cr_assert_eq(open_pool(&pool, names, "", 0, &why), 0, "%s", why.text);
	cr_assert_eq(pool_load(&pool, true, &why), 0, "%s", why.text);
	for (uint32_t i = 0; i < pool.count; i++) {
		cr_expect_eq(pool.super.data_blocks[i], data_blocks[i], "region %u", i);
		all += data_blocks[i];
	}
	cr_assert_eq(store_open(&store, &pool.media, &pool.super, &why), 0, "%s", why.text);
	alloc_get_stats(store_meta(store)->alloc, &stats);
	cr_expect_eq(stats.data, all);
	store_close(store);
}

Test(pool, takes_what_regions_have_grown_by_into_use)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	struct problem why = PROBLEM_INIT;
	uint64_t data[2];
	uint8_t uuid[16];

	make_pool("a b", uuid);
	cr_assert_eq(open_pool(&pool, "a b", "", 0, &why), 0, "%s", why.text);
	cr_assert_eq(pool_load(&pool, true, &why), 0, "%s", why.text);
	data[0] = pool.super.data_blocks[0] + 16;
	data[1] = pool.super.data_blocks[1] + 48;
	pool_close(&pool);

	resize_file("a", SIZE + 16 * GM_BLOCK_SIZE);
	resize_file("b", SIZE + 48 * GM_BLOCK_SIZE);
	assert_load_refused("a b", EUCLEAN, "into use with --grow");
	cr_assert_eq(grow_pool("a b", &why), 0, "%s", why.text);
	assert_grown("a b", data);
	/* Once more does nothing. */
	cr_assert_eq(grow_pool("a b", &why), 0, "%s", why.text);
	assert_grown("a b", data);
	/* The place of the stamp that was the last one is data now. */
	cr_expect_eq(poke("a", SIZE - GM_BLOCK_SIZE + GM_STAMP_OFFSET, 0), 0);
}

Test(pool, growing_refuses_the_shrunk_the_swapped_and_the_damaged)
{
	struct problem why = PROBLEM_INIT;
	uint8_t uuid[16];

	make_pool("a b", uuid);
	resize_file("a", SIZE + 16 * GM_BLOCK_SIZE);
	resize_file("b", SIZE - 2 * GM_BLOCK_SIZE);
	cr_expect_eq(grow_pool("a b", &why), -EUCLEAN);
	cr_expect_not_null(strstr(why.text, "has shrunk"), "%s", why.text);
	cr_expect_eq(grow_pool("a", &why), -EINVAL);
	cr_expect_not_null(strstr(why.text, "are named"), "%s", why.text);

	resize_file("b", SIZE); /* its last stamp is gone now */
	cr_expect_eq(grow_pool("a b", &why), -EUCLEAN, "%s", why.text);
	cr_expect_not_null(strstr(why.text, path_of("b")), "%s", why.text);
	resize_file("a", SIZE);
	assert_load_refused("a b", EUCLEAN, path_of("b"));
}

/* After the superblock and before the first stamps: these have the old size still. */
Test(pool, growing_that_was_cut_short_is_ended_by_doing_it_again)
{
	struct problem why = PROBLEM_INIT;
	struct gm_stamp stamp;
	uint8_t uuid[16];

	make_pool("a", uuid);
	_cleanup_fd_ int fd = open(path_of("a"), O_RDWR | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(pread(fd, &stamp, sizeof(stamp), GM_STAMP_OFFSET), (ssize_t)sizeof(stamp));
	resize_file("a", SIZE + 16 * GM_BLOCK_SIZE);
	cr_assert_eq(grow_pool("a", &why), 0, "%s", why.text);
	cr_assert_eq(pwrite(fd, &stamp, sizeof(stamp), GM_STAMP_OFFSET), (ssize_t)sizeof(stamp));
	assert_load_refused("a", EUCLEAN, path_of("a"));
	cr_assert_eq(grow_pool("a", &why), 0, "%s", why.text);
	cr_expect_eq(load_pool("a", &why), 0, "%s", why.text);
}
