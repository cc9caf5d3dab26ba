// SPDX-License-Identifier: MIT
/* A directory of sysfs, whose readdir(3) leaves out names while others go. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scarce.h"
#include "util/cleanup.h"
#include "util/dir_names.h"

static char directory[] = "/tmp/dir-names-XXXXXX";

/* ---- what the kernel does ---- */

static unsigned looks;                               /* opened so often */
static bool (*is_left_out)(const char *name) = NULL; /* in this look */
static unsigned reads;
static unsigned fails_at; /* this read, with EIO */

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker gives calls to these */
DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path);
struct dirent *__real_readdir64(DIR *d);
struct dirent *__wrap_readdir64(DIR *d);

DIR *__wrap_opendir(const char *path)
{
	looks++;
	return __real_opendir(path);
}

struct dirent *__wrap_readdir64(DIR *d)
{
	struct dirent *e = __real_readdir64(d);

	while (e && is_left_out && is_left_out(e->d_name))
		e = __real_readdir64(d);
	if (++reads != fails_at)
		return e;
	errno = EIO;
	return NULL;
}
/* NOLINTEND(bugprone-reserved-identifier) */

/* ---- names ---- */

static char *path_of(char path[64], const char *name)
{
	(void)snprintf(path, 64, "%s/%s", directory, name);
	return path;
}

static void make(const char *name)
{
	char path[64];
	_cleanup_fd_ int fd = open(path_of(path, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
}

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(directory));
	make("dax0.0");
	make("dax0.1");
	make("dax0.10");
}

static void tear_down(void)
{
	static const char *const names[] = {"dax0.0", "dax0.1", "dax0.10"};
	char path[64];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		(void)unlink(path_of(path, names[i]));
	(void)rmdir(directory);
}

TestSuite(dir_names, .init = set_up, .fini = tear_down);

static void expect_all(void)
{
	_cleanup_(dir_names_deinit) struct dir_names n = DIR_NAMES_NULL;

	cr_assert_eq(dir_names_read(&n, directory), 0);
	cr_assert_eq(n.count, 3);
	cr_expect_str_eq(n.names[0], "dax0.0");
	cr_expect_str_eq(n.names[1], "dax0.1");
	cr_expect_str_eq(n.names[2], "dax0.10");
}

Test(dir_names, each_is_there_once_in_order)
{
	expect_all();
	cr_expect_eq(looks, 2);
}

static bool first_in_first_look(const char *name)
{
	return looks == 1 && strcmp(name, "dax0.0") == 0;
}

Test(dir_names, one_that_is_left_out_is_found_when_it_is_read_again)
{
	is_left_out = first_in_first_look;
	expect_all();
	cr_expect_eq(looks, 3);
}

static bool all_but_one_more(const char *name)
{
	return (strcmp(name, "dax0.1") == 0 && looks < 2) ||
	       (strcmp(name, "dax0.10") == 0 && looks < 3);
}

Test(dir_names, it_is_read_until_nothing_is_new)
{
	is_left_out = all_but_one_more;
	expect_all();
	cr_expect_eq(looks, 4);
}

static bool make_another(const char *name)
{
	char another[32];

	(void)name;
	(void)snprintf(another, sizeof(another), "dax1.%u", looks);
	make(another);
	return false;
}

Test(dir_names, one_that_never_rests_is_not_read_for_ever)
{
	_cleanup_(dir_names_deinit) struct dir_names n = DIR_NAMES_NULL;
	char another[32], path[64];

	is_left_out = make_another;
	cr_expect_eq(dir_names_read(&n, directory), 0);
	cr_expect_gt(n.count, 10);
	for (unsigned look = 1; look <= looks; look++) {
		(void)snprintf(another, sizeof(another), "dax1.%u", look);
		(void)unlink(path_of(path, another));
	}
}

/* ---- what goes wrong ---- */

Test(dir_names, no_directory)
{
	struct dir_names n = DIR_NAMES_NULL;

	cr_expect_eq(dir_names_read(&n, "/nowhere"), -ENOENT);
	cr_expect_null(n.names);
}

Test(dir_names, an_error_is_no_end)
{
	struct dir_names n = DIR_NAMES_NULL;

	is_left_out = first_in_first_look;
	for (unsigned i = 1; i <= 10; i++) {
		looks = reads = 0;
		fails_at = i;
		cr_expect_eq(dir_names_read(&n, directory), -EIO);
		cr_expect_null(n.names);
	}
	cr_expect_eq(looks, 2);
}

Test(dir_names, a_directory_without_names)
{
	struct dir_names n = DIR_NAMES_NULL;

	tear_down();
	cr_assert_eq(mkdir(directory, 0700), 0);
	cr_expect_eq(dir_names_read(&n, directory), 0);
	cr_expect_eq(n.count, 0);
	cr_expect_eq(looks, 2);
}

Test(dir_names, short_of_memory_at_any_call)
{
	unsigned long served = 0;
	bool failed = true;

	is_left_out = all_but_one_more;
	for (; failed; served++) {
		_cleanup_(dir_names_deinit) struct dir_names n = DIR_NAMES_NULL;
		int r;

		looks = 0;
		scarce_begin(served, SCARCE_ONCE);
		r = dir_names_read(&n, directory);
		failed = scarce_end();
		cr_expect_eq(r, failed ? -ENOMEM : 0);
		cr_expect_eq(n.count, failed ? 0 : 3);
	}
	cr_expect_gt(served, 4);
}
