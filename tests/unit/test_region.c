// SPDX-License-Identifier: MIT
/* Regions over real files: what a file must be, and that each refusal says why and changes nothing.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "region/region.h"
#include "util/cleanup.h"

#define MIB (1024ULL * 1024)

static char dir[64]; /* of one test: each runs in a process of its own */

static void make_dir(void)
{
	(void)snprintf(dir, sizeof(dir), "/dev/shm/gm-test-region-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
}

static void remove_dir(void)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	cr_expect_eq(system(command), 0);
}

TestSuite(region, .init = make_dir, .fini = remove_dir);

static const char *path_of(const char *name)
{
	static char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void make_file(const char *name, uint64_t size)
{
	int fd = open(path_of(name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)size), 0);
	(void)close(fd);
}

/* Opens file:DIR/NAME; options is "" or ",size=...". */
static int open_region(struct region *ret, const char *name, const char *options, unsigned flags,
	bool *created, struct problem *why)
{
	_cleanup_(region_spec_deinit) struct region_spec spec = REGION_SPEC_NULL;
	char text[256];

	(void)snprintf(text, sizeof(text), "file:%s%s", path_of(name), options);
	cr_assert_eq(region_spec_parse(&spec, text, why), 0, "%s", why->text);
	return region_open(ret, &spec, flags, created, why);
}

static void assert_refused(
	const char *name, const char *options, unsigned flags, int err, const char *sentence)
{
	struct region r = REGION_NULL;
	struct problem why = PROBLEM_INIT;
	bool created = false;

	cr_assert_eq(open_region(&r, name, options, flags, &created, &why), -err, "%s: %s", name,
		why.text);
	cr_assert_not_null(strstr(why.text, sentence), "%s: %s", name, why.text);
	cr_assert_not_null(
		strstr(why.text, name), "%s: the sentence names no place: %s", name, why.text);
	cr_assert_eq(r.fd, -1);
	cr_assert_not(created);
}

Test(region, makes_a_file_in_full_for_its_owner_alone)
{
	_cleanup_(region_close) struct region r = REGION_NULL;
	struct problem why = PROBLEM_INIT;
	bool created = false;
	struct stat st;

	(void)umask(0);
	cr_assert_eq(open_region(&r, "pool", ",size=6M", REGION_OPEN_CREATE, &created, &why), 0,
		"%s", why.text);
	cr_expect(created);
	cr_expect_eq(r.size, 6 * MIB);
	cr_expect_eq(r.kind, GM_REGION_FILE);
	cr_expect_eq(r.align, (uint64_t)sysconf(_SC_PAGESIZE));
	cr_expect_eq(r.physical_start, 0);
	cr_expect_eq(r.node, GM_NODE_NONE);
	cr_expect_str_eq(r.name, path_of("pool"));
	cr_expect_eq(fcntl(r.fd, F_GETFD), FD_CLOEXEC);
	cr_assert_eq(fstat(r.fd, &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0600);
	cr_expect_geq((uint64_t)st.st_blocks * 512, 6 * MIB);
}

Test(region, opens_what_is_there_and_takes_a_size_that_agrees)
{
	static const char *const options[] = {"", ",size=4M"};

	make_file("pool", 4 * MIB);
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		_cleanup_(region_close) struct region r = REGION_NULL;
		struct problem why = PROBLEM_INIT;
		bool created = true;

		cr_assert_eq(
			open_region(&r, "pool", options[i], REGION_OPEN_CREATE, &created, &why), 0,
			"%s", why.text);
		cr_expect_not(created);
		cr_expect_eq(r.size, 4 * MIB);
		cr_expect_eq(fcntl(r.fd, F_GETFL) & O_ACCMODE, O_RDWR);
	}
}

Test(region, read_only_means_that_nothing_can_be_changed)
{
	_cleanup_(region_close) struct region r = REGION_NULL;
	struct problem why = PROBLEM_INIT;
	int err = 0;

	make_file("pool", 4 * MIB);
	cr_assert_eq(open_region(&r, "pool", "", REGION_OPEN_READ_ONLY, NULL, &why), 0);
	cr_expect_eq(fcntl(r.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	cr_expect_null(region_map(&r, 0, 2 * MIB, true, &err));
	cr_expect_eq(err, EACCES);
	cr_expect_lt(region_allocate(&r, &why), 0);
}

Test(region, refuses_what_is_no_region)
{
	make_file("empty", 0);
	make_file("odd", 3 * MIB);
	make_file("pool", 4 * MIB);
	cr_assert_eq(mkdir(path_of("directory"), 0700), 0);
	cr_assert_eq(mkfifo(path_of("fifo"), 0600), 0);
	cr_assert_eq(symlink("pool", path_of("link")), 0);
	cr_assert_eq(symlink("nowhere", path_of("dangling")), 0);

	assert_refused("nothing", "", 0, ENOENT, "does not exist: check the path");
	assert_refused("nothing", ",size=4M", 0, ENOENT, "does not exist: check the path");
	assert_refused("nothing", "", REGION_OPEN_CREATE, ENOENT, "add ,size=SIZE to have it made");
	assert_refused(
		"no/directory", ",size=4M", REGION_OPEN_CREATE, ENOENT, "directory does not exist");
	assert_refused("pool/file", ",size=4M", REGION_OPEN_CREATE, ENOTDIR, "is not a directory");
	assert_refused("empty", "", 0, EINVAL, "empty file");
	assert_refused("odd", "", 0, EINVAL, "is 3M, which is not a multiple of 2M");
	assert_refused("pool", ",size=8M", REGION_OPEN_CREATE, EINVAL,
		"is there already and is 4M, not 8M");
	assert_refused("directory", "", REGION_OPEN_CREATE, EINVAL, "is a directory");
	assert_refused("fifo", "", 0, EINVAL, "is a named pipe");
	assert_refused("link", "", 0, EINVAL, "is a symbolic link");
	assert_refused("dangling", ",size=4M", REGION_OPEN_CREATE, EINVAL, "is a symbolic link");
	cr_expect_eq(access(path_of("nowhere"), F_OK), -1, "something was made through the link");
}

Test(region, refuses_devices)
{
	_cleanup_(region_spec_deinit) struct region_spec spec = REGION_SPEC_NULL;
	struct region r = REGION_NULL;
	struct problem why = PROBLEM_INIT;

	cr_assert_eq(region_spec_parse(&spec, "file:/dev/null", &why), 0);
	cr_expect_eq(region_open(&r, &spec, REGION_OPEN_CREATE, NULL, &why), -EINVAL);
	cr_expect_not_null(strstr(why.text, "/dev/null is a character device"), "%s", why.text);
}

Test(region, leaves_nothing_behind_without_space)
{
	/* More than any tmpfs of a machine has: refused at once, and for its whole length. */
	assert_refused("huge", ",size=1024T", REGION_OPEN_CREATE, ENOSPC, "no space for the 1024T");
	cr_expect_eq(access(path_of("huge"), F_OK), -1);
	cr_expect_eq(errno, ENOENT);
}

static void become_nobody(void)
{
	if (geteuid() != 0)
		return;
	cr_assert_eq(setresgid(65534, 65534, 65534), 0);
	cr_assert_eq(setresuid(65534, 65534, 65534), 0);
}

Test(region, says_that_permission_is_missing)
{
	make_file("pool", 4 * MIB);
	cr_assert_eq(chmod(path_of("pool"), 0), 0);
	cr_assert_eq(chmod(dir, 0755), 0);
	pid_t pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		struct region r = REGION_NULL;
		struct problem why = PROBLEM_INIT;

		become_nobody();
		int e = open_region(&r, "pool", "", 0, NULL, &why);
		_exit(e == -EACCES && strstr(why.text, "no permission to open region") ? 0 : 1);
	}
	int status = 0;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0);
}

Test(region, gives_a_hole_its_memory)
{
	_cleanup_(region_close) struct region r = REGION_NULL;
	struct problem why = PROBLEM_INIT;
	struct stat st;

	make_file("pool", 4 * MIB);
	cr_assert_eq(open_region(&r, "pool", "", 0, NULL, &why), 0);
	cr_assert_eq(fstat(r.fd, &st), 0);
	cr_assert_lt((uint64_t)st.st_blocks * 512, 4 * MIB);
	cr_assert_eq(region_allocate(&r, &why), 0, "%s", why.text);
	cr_assert_eq(fstat(r.fd, &st), 0);
	cr_expect_geq((uint64_t)st.st_blocks * 512, 4 * MIB);
}

Test(region, a_lock_keeps_others_out_until_the_last_copy_is_closed)
{
	struct region r = REGION_NULL;
	_cleanup_(region_close) struct region other = REGION_NULL;
	struct problem why = PROBLEM_INIT;

	make_file("pool", 4 * MIB);
	cr_assert_eq(open_region(&r, "pool", "", 0, NULL, &why), 0);
	cr_assert_eq(open_region(&other, "pool", "", REGION_OPEN_READ_ONLY, NULL, &why), 0);
	cr_assert_eq(region_lock(&r, false, 0, &why), 0);
	cr_expect_eq(region_lock(&other, true, 0, &why), -EWOULDBLOCK);
	cr_expect_not_null(strstr(why.text, "is in use by another"), "%s", why.text);
	cr_expect_not_null(strstr(why.text, path_of("pool")), "%s", why.text);

	_cleanup_fd_ int copy = dup(r.fd);
	region_close(&r);
	cr_expect_eq(region_lock(&other, false, 0, &why), -EWOULDBLOCK);
	copy = close_fd(copy);
	cr_expect_eq(region_lock(&other, false, 0, &why), 0);
}

Test(region, shared_locks_go_together)
{
	_cleanup_(region_close) struct region a = REGION_NULL;
	_cleanup_(region_close) struct region b = REGION_NULL;
	struct problem why = PROBLEM_INIT;

	make_file("pool", 4 * MIB);
	cr_assert_eq(open_region(&a, "pool", "", REGION_OPEN_READ_ONLY, NULL, &why), 0);
	cr_assert_eq(open_region(&b, "pool", "", 0, NULL, &why), 0);
	cr_expect_eq(region_lock(&a, true, 0, &why), 0);
	cr_expect_eq(region_lock(&b, true, 0, &why), 0);
	cr_expect_eq(region_lock(&b, false, 0, &why), -EWOULDBLOCK);
}

Test(region, waits_for_a_lock_that_is_let_go)
{
	_cleanup_(region_close) struct region r = REGION_NULL;
	struct problem why = PROBLEM_INIT;
	int ready[2], told[2];
	char c = 0;

	make_file("pool", 4 * MIB);
	cr_assert_eq(open_region(&r, "pool", "", 0, NULL, &why), 0);
	cr_assert_eq(pipe(ready), 0);
	cr_assert_eq(pipe(told), 0);
	pid_t pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		struct region mine = REGION_NULL;
		const struct timespec pause = {.tv_nsec = 200 * 1000000L};

		if (open_region(&mine, "pool", "", 0, NULL, &why) < 0 ||
			region_lock(&mine, false, 0, &why) < 0 || write(ready[1], "x", 1) != 1 ||
			read(told[0], &c, 1) != 1)
			_exit(1);
		(void)nanosleep(&pause, NULL); /* so that the other one waits, most likely */
		_exit(0);
	}
	cr_assert_eq(read(ready[0], &c, 1), 1);
	cr_expect_eq(region_lock(&r, false, 100, &why), -EWOULDBLOCK,
		"it did not wait for as long as asked");
	cr_assert_eq(write(told[1], "x", 1), 1);
	cr_expect_eq(region_lock(&r, false, 20000, &why), 0, "%s", why.text);
	int status = 0;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0);
}

Test(region, maps_what_was_asked_for_and_no_more)
{
	_cleanup_(region_close) struct region r = REGION_NULL;
	struct problem why = PROBLEM_INIT;
	static const uint64_t bad[][2] = {
		{0, 0},
		{0, 6 * MIB},
		{4 * MIB, 2 * MIB},
		{1 * MIB, 2 * MIB},
		{0, 1 * MIB},
		{UINT64_MAX - 2 * MIB + 1, 2 * MIB},
		{2 * MIB, UINT64_MAX - 2 * MIB + 1},
	};
	int err = 0;

	make_file("pool", 4 * MIB);
	cr_assert_eq(open_region(&r, "pool", "", 0, NULL, &why), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		err = 0;
		cr_expect_null(region_map(&r, bad[i][0], bad[i][1], true, &err));
		cr_expect_eq(err, EINVAL);
	}
	char *p = region_map(&r, 2 * MIB, 2 * MIB, true, &err);
	cr_assert_not_null(p);
	p[0] = 'g';
	char c = 0;
	cr_assert_eq(pread(r.fd, &c, 1, (off_t)(2 * MIB)), 1);
	cr_expect_eq(c, 'g');
	region_unmap(&r, p, 2 * MIB);
}

Test(region, reopened_it_has_neither_lock_nor_access_of_the_first)
{
	_cleanup_(region_close) struct region r = REGION_NULL;
	struct problem why = PROBLEM_INIT;
	struct stat a;
	struct stat b;

	make_file("pool", 4 * MIB);
	cr_assert_eq(open_region(&r, "pool", "", 0, NULL, &why), 0);
	cr_assert_eq(region_lock(&r, false, 0, &why), 0);
	cr_assert_eq(unlink(path_of("pool")), 0);
	make_file("pool", 8 * MIB); /* the name is another file's now */
	_cleanup_fd_ int fd = region_reopen(&r, O_RDONLY);
	cr_assert_geq(fd, 0);
	cr_expect_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	cr_expect_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	cr_assert_eq(fstat(r.fd, &a), 0);
	cr_assert_eq(fstat(fd, &b), 0);
	cr_expect_eq(a.st_ino, b.st_ino);
	cr_expect_eq(flock(fd, LOCK_SH | LOCK_NB), -1);
}

Test(region, adopts_a_descriptor_and_owns_it_whatever_happens)
{
	struct region r = REGION_NULL;
	struct problem why = PROBLEM_INIT;

	make_file("pool", 4 * MIB);
	int fd = open(path_of("pool"), O_RDWR | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(region_adopt(&r, GM_REGION_FILE, fd, "pool", &why), 0, "%s", why.text);
	cr_expect_eq(r.size, 4 * MIB);
	cr_expect_str_eq(r.name, "pool");
	region_close(&r);
	cr_expect_eq(fcntl(fd, F_GETFD), -1);

	fd = open(dir, O_RDONLY | O_CLOEXEC);
	cr_assert_eq(region_adopt(&r, GM_REGION_FILE, fd, "pool", &why), -EINVAL);
	cr_expect_not_null(strstr(why.text, "pool is a directory"), "%s", why.text);
	cr_expect_eq(fcntl(fd, F_GETFD), -1);

	fd = open(path_of("pool"), O_RDWR | O_CLOEXEC);
	cr_assert_eq(region_adopt(&r, (enum gm_region_kind)9, fd, "pool", &why), -EINVAL);
	cr_expect_not_null(strstr(why.text, "does not know"), "%s", why.text);
	cr_expect_eq(fcntl(fd, F_GETFD), -1);
	cr_expect_eq(r.fd, -1);
}

/* Mounts a hugetlbfs where nobody else sees it; skips where that can't be. */
static void mount_hugetlbfs(const char *options)
{
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0)
		cr_skip("no private mount namespace here (needs root)");
	if (mount("none", dir, "hugetlbfs", 0, options) < 0)
		cr_skip("this kernel has no hugetlbfs with %s", options);
}

Test(region, refuses_huge_pages_larger_than_a_block)
{
	struct region r = REGION_NULL;
	struct problem why = PROBLEM_INIT;
	char *text = NULL;

	mount_hugetlbfs("pagesize=1G");
	_cleanup_fd_ int fd = open(path_of("pool"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, 1L << 30), 0);
	cr_assert_gt(asprintf(&text, "file:%s", path_of("pool")), 0);
	_cleanup_(region_spec_deinit) struct region_spec spec = REGION_SPEC_NULL;
	cr_assert_eq(region_spec_parse(&spec, text, &why), 0);
	free(text);
	cr_expect_eq(region_open(&r, &spec, 0, NULL, &why), -EINVAL);
	cr_expect_not_null(strstr(why.text, "mount one with pagesize=2M"), "%s", why.text);
	(void)umount2(dir, MNT_DETACH);
}

Test(region, has_the_align_of_its_huge_pages)
{
	_cleanup_(region_close) struct region r = REGION_NULL;
	struct problem why = PROBLEM_INIT;

	mount_hugetlbfs("pagesize=2M,size=4M");
	assert_refused(
		"pool", ",size=8M", REGION_OPEN_CREATE, ENOSPC, "more huge pages on hugetlbfs");
	cr_expect_eq(access(path_of("pool"), F_OK), -1);
	make_file("pool", 4 * MIB);
	cr_assert_eq(open_region(&r, "pool", "", 0, NULL, &why), 0, "%s", why.text);
	cr_expect_eq(r.align, 2 * MIB);
	(void)umount2(dir, MNT_DETACH);
}

Test(region, names_its_kinds_and_whom_they_may_be_given_to)
{
	cr_expect_str_eq(region_kind_name(GM_REGION_FILE), "file");
	cr_expect_str_eq(region_kind_name(GM_REGION_PMEM), "pmem");
	cr_expect_str_eq(region_kind_name(GM_REGION_SOFT), "soft");
	cr_expect(region_needs_trust(GM_REGION_FILE));
}
