// SPDX-License-Identifier: MIT
/*
 * A copy of the metadata that is put back (pool/backup.h) by somebody who dies: after each of his
 * stores, and with any one of those that no fence has ordered missing, or half of it. No mount
 * takes what he leaves, unless it is all there; and the same call mends it.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool/backup.h"
#include "pool/internal.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/sigbus.h"

#define SIZE  (16ULL * 1024 * 1024)
#define FILES 1000U

static char dir[64]; /* of one test: each runs in a process of its own */

/* ---- media on which a process dies ---- */

static struct {
	bool on;
	unsigned count; /* of stores so far, of all media */
	unsigned last;  /* the fence behind it is the end */
	unsigned missing;
	bool half; /* of the missing one its first half is there */
} dies;

static void dying_copy(struct media *m, uint64_t offset, const void *from, uint64_t length)
{
	if (dies.count++ == dies.missing)
		length = dies.half ? length / 16 * 8 : 0;
	if (length > 0)
		memcpy(m->base + offset, from, length);
}

static void dying_publish(struct media *m, uint64_t offset, uint64_t value)
{
	if (dies.count++ != dies.missing)
		memcpy(m->base + offset, &value, sizeof(value));
}

static void dying_flush(struct media *m, uint64_t offset, uint64_t length)
{
	(void)m, (void)offset, (void)length;
}

static void dying_fence(struct media *m)
{
	(void)m;
	if (dies.count > dies.last)
		_exit(9);
}

static const struct media_ops dying_ops = {
	.copy = dying_copy, .flush = dying_flush, .fence = dying_fence, .publish = dying_publish};

struct media __real_pool_media(const struct region *r, void *base, uint64_t size);
struct media __wrap_pool_media(const struct region *r, void *base, uint64_t size);

struct media __wrap_pool_media(const struct region *r, void *base, uint64_t size)
{
	struct media m = __real_pool_media(r, base, size);

	if (dies.on)
		m.ops = &dying_ops;
	return m;
}

/* ---- a pool of two regions, a and b ---- */

static void path_of(char path[128], const char *name)
{
	(void)snprintf(path, 128, "%s/%s", dir, name);
}

static void open_pool(struct pool *ret, unsigned flags)
{
	struct region_spec specs[2] = {REGION_SPEC_NULL, REGION_SPEC_NULL};
	struct problem why = PROBLEM_INIT;

	for (uint32_t n = 0; n < 2; n++) {
		char text[256];

		(void)snprintf(text, sizeof(text), "file:%s/%c%s", dir, "ab"[n],
			flags & REGION_OPEN_CREATE ? ",size=16M" : "");
		cr_assert_eq(region_spec_parse(&specs[n], text, &why), 0, "%s", why.text);
	}
	cr_assert_eq(pool_open(ret, specs, 2, flags, &why), 0, "%s", why.text);
	for (uint32_t n = 0; n < 2; n++)
		region_spec_deinit(&specs[n]);
	if (!(flags & REGION_OPEN_READ_ONLY))
		cr_assert_eq(pool_lock(ret, false, 0, &why), 0, "%s", why.text);
}

/* What a restore may write to, of both regions: all of a, as its end has a stamp, and b's ends. */
struct state {
	uint8_t a[SIZE], b[2 * GM_BLOCK_SIZE];
};

static void transfer_part(const char *name, uint64_t offset, uint8_t *bytes, size_t size, bool back)
{
	char path[128];

	path_of(path, name);
	_cleanup_fd_ int fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert_eq(back ? pwrite(fd, bytes, size, (off_t)offset)
			  : pread(fd, bytes, size, (off_t)offset),
		(ssize_t)size);
}

/* Back: to the regions. */
static void transfer(struct state *s, bool back)
{
	transfer_part("a", 0, s->a, SIZE, back);
	transfer_part("b", 0, s->b, GM_BLOCK_SIZE, back);
	transfer_part("b", SIZE - GM_BLOCK_SIZE, s->b + GM_BLOCK_SIZE, GM_BLOCK_SIZE, back);
}

static struct state *take_state(void)
{
	struct state *s = malloc(sizeof(*s));

	cr_assert(s);
	transfer(s, false);
	return s;
}

static void make_pool(void)
{
	static const struct pool_format format = {.max_files = FILES, .force_option = "--force"};
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	struct problem why = PROBLEM_INIT;

	(void)snprintf(dir, sizeof(dir), "/dev/shm/gm-test-restore-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(sigbus_init(), 0);
	open_pool(&pool, REGION_OPEN_CREATE);
	cr_assert_eq(pool_format(&pool, &format, &why), 0, "%s", why.text);
}

static void remove_dir(void)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	cr_expect_eq(system(command), 0);
}

TestSuite(repair_restore, .init = make_pool, .fini = remove_dir);

static void write_copy(const struct state *s)
{
	const struct gm_super *super = (const void *)s->a;
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	struct problem why = PROBLEM_INIT;
	char path[128];

	path_of(path, "copy");
	open_pool(&pool, 0);
	cr_assert_eq(backup_write(&pool, super->uuid, get_le64(super->meta_blocks) * GM_BLOCK_SIZE,
			     path, 0, &why),
		0, "%s", why.text);
}

static int restore(struct problem *why)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	_cleanup_(backup_deinit) struct backup copy = BACKUP_NULL;
	char path[128];
	int r;

	path_of(path, "copy");
	cr_assert_eq(backup_read(&copy, path, why), 0, "%s", why->text);
	open_pool(&pool, 0);
	r = backup_check(&copy, &pool, why);
	return r < 0 ? r : backup_restore(&copy, &pool, why);
}

/* False: it came to its end. */
static bool restore_with_death(unsigned n, unsigned missing, bool half)
{
	pid_t pid = fork();
	int status;

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		struct problem why = PROBLEM_INIT;

		dies.on = true;
		dies.last = n;
		dies.missing = missing;
		dies.half = half;
		_exit(restore(&why) == 0 ? 0 : 1);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && (WEXITSTATUS(status) == 9 || WEXITSTATUS(status) == 0),
		"death at %u: status %d", n, status);
	return WEXITSTATUS(status) == 9;
}

/* All that has a meaning while there is a superblock: of the two and the stamps one is enough. */
static bool is_same(const struct state *a, const struct state *b)
{
	static const uint64_t parts[][2] = {
		{GM_SUPER_A_OFFSET + sizeof(struct gm_super), GM_STAMP_OFFSET},
		{GM_STAMP_OFFSET + sizeof(struct gm_stamp), GM_SUPER_B_OFFSET},
		{GM_SUPER_B_OFFSET + sizeof(struct gm_super), SIZE - GM_BLOCK_SIZE},
	};

	for (size_t n = 0; n < ARRAY_SIZE(parts); n++)
		if (memcmp(a->a + parts[n][0], b->a + parts[n][0], parts[n][1] - parts[n][0]) != 0)
			return false;
	return true;
}

/* As a mount would have it. */
static bool is_taken(void)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	_cleanup_(fsck_report_deinit) struct fsck_report report = {.count = 0};
	struct problem why = PROBLEM_INIT;

	open_pool(&pool, REGION_OPEN_READ_ONLY);
	return pool_check(&pool, &report, &why) == 0 && report.errors == 0;
}

/* ---- the tests ---- */

/* One death, and the restore after it. False: nobody has died. */
static bool try_death(
	const struct state *whole, struct state *damaged, unsigned n, unsigned missing, bool half)
{
	static struct state found;
	struct state *now = &found;
	struct problem why = PROBLEM_INIT;
	bool died;

	transfer(damaged, true);
	died = restore_with_death(n, missing, half);
	transfer(now, false);
	if (is_taken())
		cr_expect(is_same(now, whole), "death at %u%s: a mount takes what is neither", n,
			half ? ", half" : "");
	cr_expect_eq(
		restore(&why), 0, "death at %u%s, then: %s", n, half ? ", half" : "", why.text);
	transfer(now, false);
	cr_expect_eq(memcmp(now, whole, sizeof(*now)), 0, "death at %u", n);
	cr_expect(is_taken());
	return died;
}

static void try_deaths(void (*damage)(struct state *))
{
	struct state *whole = take_state(), *damaged = take_state();
	unsigned n = 0;
	bool died;

	write_copy(whole);
	damage(damaged);
	do {
		died = try_death(whole, damaged, n, UINT32_MAX, false);
		(void)try_death(whole, damaged, n, n, false);
		(void)try_death(whole, damaged, n, n, true);
		n++;
	} while (died);
	cr_expect_gt(n, 7, "%u stores", n);
	free(whole);
	free(damaged);
}

/* Everywhere but in the superblocks and stamps: the pool is known, and refused. */
static void lose_all_but_supers(struct state *s)
{
	uint64_t area = get_le64(((const struct gm_super *)(const void *)s->a)->meta_blocks) *
			GM_BLOCK_SIZE;

	memset(s->a + GM_SUPER_B_OFFSET + sizeof(struct gm_super), 0x5a,
		area - GM_SUPER_B_OFFSET - sizeof(struct gm_super));
}

static void lose_supers(struct state *s)
{
	lose_all_but_supers(s);
	memset(s->a + GM_SUPER_A_OFFSET, 0, sizeof(struct gm_super));
	memset(s->a + GM_SUPER_B_OFFSET, 0, sizeof(struct gm_super));
}

/* What shows whose the regions are is in the superblocks alone. */
static void lose_stamps(struct state *s)
{
	lose_all_but_supers(s);
	memset(s->a + GM_STAMP_OFFSET, 0, sizeof(struct gm_stamp));
	memset(s->a + SIZE - GM_BLOCK_SIZE + GM_STAMP_OFFSET, 0, sizeof(struct gm_stamp));
	memset(s->b + GM_STAMP_OFFSET, 0, sizeof(struct gm_stamp));
	memset(s->b + GM_BLOCK_SIZE + GM_STAMP_OFFSET, 0, sizeof(struct gm_stamp));
}

Test(repair_restore, dies_over_a_damaged_area)
{
	try_deaths(lose_all_but_supers);
}

Test(repair_restore, dies_where_both_superblocks_were_lost)
{
	try_deaths(lose_supers);
}

Test(repair_restore, dies_where_all_stamps_were_lost)
{
	try_deaths(lose_stamps);
}
