// SPDX-License-Identifier: MIT
/*
 * What a kernel or a filesystem refuses, with the linker in their place, and which region is meant
 * where none is named: each ends with a sentence, and no half of a region is left behind.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "region/ops.h"
#include "util/cleanup.h"

#define MIB (1024ULL * 1024)

/* ---- in the kernel's place ---- */

static struct {
	int open_error; /* of what is opened for writing; 0: it is opened */
	int allocate_error;
	uid_t uid;
	const char *iomem; /* NULL: it can't be read */
	int soft, pmem;    /* region_soft_is_there(), region_pmem_is_there() */
} host;

int __real_open64(const char *path, int flags, ...);
FILE *__real_fopen64(const char *path, const char *mode);
int __real_fallocate64(int fd, int mode, off_t from, off_t length);
int __wrap_open64(const char *path, int flags, ...);
FILE *__wrap_fopen64(const char *path, const char *mode);
int __wrap_fallocate64(int fd, int mode, off_t from, off_t length);
uid_t __wrap_geteuid(void);
int __wrap_region_soft_is_there(struct problem *why);
int __wrap_region_pmem_is_there(struct problem *why);

int __wrap_open64(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	if (flags & O_CREAT) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	if ((flags & O_ACCMODE) == O_RDWR && host.open_error) {
		errno = host.open_error;
		return -1;
	}
	return __real_open64(path, flags, mode);
}

FILE *__wrap_fopen64(const char *path, const char *mode)
{
	if (strcmp(path, "/proc/iomem") != 0)
		return __real_fopen64(path, mode);
	if (host.iomem)
		return fmemopen((void *)(uintptr_t)host.iomem, strlen(host.iomem), "r");
	errno = EACCES;
	return NULL;
}

int __wrap_fallocate64(int fd, int mode, off_t from, off_t length)
{
	if (!host.allocate_error)
		return __real_fallocate64(fd, mode, from, length);
	errno = host.allocate_error;
	return -1;
}

uid_t __wrap_geteuid(void)
{
	return host.uid;
}

int __wrap_region_soft_is_there(struct problem *why)
{
	return host.soft < 0 ? problem(why, -host.soft, "no soft region can be seen") : host.soft;
}

int __wrap_region_pmem_is_there(struct problem *why)
{
	return host.pmem < 0 ? problem(why, -host.pmem, "no pmem region can be seen") : host.pmem;
}

/* ---- files ---- */

static char dir[64];

static void make_dir(void)
{
	(void)snprintf(dir, sizeof(dir), "/dev/shm/gm-test-refused-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
}

static void remove_dir(void)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	cr_expect_eq(system(command), 0);
}

TestSuite(region_refused, .init = make_dir, .fini = remove_dir);

static int open_region(const char *name, const char *options, struct problem *why)
{
	_cleanup_(region_spec_deinit) struct region_spec spec = REGION_SPEC_NULL;
	_cleanup_(region_close) struct region r = REGION_NULL;
	bool created = false;
	char text[256];

	(void)snprintf(text, sizeof(text), "file:%s/%s%s", dir, name, options);
	cr_assert_eq(region_spec_parse(&spec, text, why), 0, "%s", why->text);
	return region_open(&r, &spec, REGION_OPEN_CREATE, &created, why);
}

static bool is_there(const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

Test(region_refused, files_that_can_not_be_opened_or_made)
{
	static const struct {
		int open_error, allocate_error, wanted;
		const char *name, *sentence;
	} cases[] = {
		{EACCES, 0, EACCES, "there", "no permission to open region"},
		{EPERM, 0, EACCES, "there", "no permission to open region"},
		{EROFS, 0, EROFS, "there", "is mounted read-only"},
		{EROFS, 0, EROFS, "new", "is mounted read-only"},
		{ENOENT, 0, ENOSYS, "there", "/proc is not mounted"},
		{EIO, 0, EIO, "there", "opening region"},
		{0, 0, ENOTDIR, "there/in", "a part of the path is not a directory"},
		{0, ENOSPC, ENOSPC, "new", "no space for the 4M of region"},
		{0, EDQUOT, ENOSPC, "new", "no space for the 4M of region"},
		{0, EFBIG, EFBIG, "new", "is more than a file on its file system can have"},
		{0, EOPNOTSUPP, EOPNOTSUPP, "new", "can't allocate space in advance"},
		{0, EIO, EIO, "new", "allocating the 4M of region"},
	};
	struct problem why = PROBLEM_INIT;

	cr_assert_eq(open_region("there", ",size=4M", &why), 0, "%s", why.text);
	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		host.open_error = cases[n].open_error;
		host.allocate_error = cases[n].allocate_error;
		cr_expect_eq(
			open_region(cases[n].name, ",size=4M", &why), -cases[n].wanted, "%zu", n);
		cr_expect_not_null(strstr(why.text, cases[n].sentence), "%zu: %s", n, why.text);
		cr_expect_not_null(strstr(why.text, cases[n].name), "%zu: %s", n, why.text);
		cr_expect_not(is_there("new"), "%zu", n);
		cr_expect(is_there("there"), "%zu", n);
	}
}

/* ---- mappings ---- */

/* What the descriptor of a soft region reaches is its beginning and, behind that, the last block.
 */
Test(region_refused, what_a_descriptor_does_not_reach)
{
	static const struct {
		uint64_t offset, length;
		int error;
	} cases[] = {
		{0, 2 * MIB, 0},
		{2 * MIB, 2 * MIB, 0},
		{62 * MIB, 2 * MIB, 0},
		{4 * MIB, 2 * MIB, ERANGE},
		{2 * MIB, 4 * MIB, ERANGE},
		{60 * MIB, 4 * MIB, ERANGE},
		{60 * MIB, 2 * MIB, ERANGE},
		{64 * MIB, 2 * MIB, EINVAL},
		{62 * MIB, 4 * MIB, EINVAL},
		{0, 0, EINVAL},
		{1 * MIB, 2 * MIB, EINVAL},
		{0, 3 * MIB, EINVAL},
		{UINT64_MAX - 2 * MIB + 1, 2 * MIB, EINVAL},
	};
	struct problem why = PROBLEM_INIT;
	struct region r = REGION_NULL;
	int fd = memfd_create("metadata", MFD_CLOEXEC);

	cr_assert_eq(ftruncate(fd, (off_t)(64 * MIB)), 0);
	cr_assert_eq(region_adopt(&r, GM_REGION_FILE, fd, "r", &why), 0, "%s", why.text);
	r.reach = 4 * MIB;
	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		int error = 0;
		void *p = region_map(&r, cases[n].offset, cases[n].length, true, &error);

		cr_expect_eq(p == NULL, cases[n].error != 0, "%zu", n);
		cr_expect_eq(error, cases[n].error, "%zu: %s", n, strerror(error));
		if (p)
			region_unmap(&r, p, cases[n].length);
	}
	region_close(&r);
}

/* ---- no region named ---- */

#define FREE_RAM "100000000-2ffffffff : System RAM\n"

Test(region_refused, which_region_is_meant_where_none_is_named)
{
	static const struct {
		const char *iomem;
		int soft, pmem;
		uid_t uid;
		int error;
		const char *wanted; /* the kind, or the sentence */
	} cases[] = {
		{NULL, 1, 1, 0, 0, "soft"},
		{NULL, 0, 1, 0, 0, "pmem"},
		{NULL, 1, 1, 1000, EACCES, "file:/dev/shm/guestmemfs-1000"},
		{NULL, -EIO, 1, 0, EIO, "no soft region can be seen"},
		{NULL, 0, -EIO, 0, EIO, "no pmem region can be seen"},
		{NULL, 0, 0, 0, ENODEV, "no memory is reserved on this host"},
		{FREE_RAM, 0, 0, 0, ENODEV, "no memory is reserved on this host"},
		{FREE_RAM "300000000-3ffffffff : Soft Reserved\n", 0, 0, 0, ENODEV,
			"modprobe -a dax_hmem device_dax"},
		{FREE_RAM "300000000-3ffffffff : Persistent Memory (legacy)\n", 0, 0, 0, ENODEV,
			"modprobe -a nd_e820 nd_pmem dax_pmem device_dax"},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		_cleanup_(region_spec_deinit) struct region_spec spec = REGION_SPEC_NULL;
		struct problem why = PROBLEM_INIT;

		host.iomem = cases[n].iomem;
		host.soft = cases[n].soft;
		host.pmem = cases[n].pmem;
		host.uid = cases[n].uid;
		cr_expect_eq(region_find_default(&spec, &why), -cases[n].error, "%zu", n);
		if (cases[n].error)
			cr_expect_not_null(
				strstr(why.text, cases[n].wanted), "%zu: %s", n, why.text);
		else
			cr_expect_str_eq(spec.ops->name, cases[n].wanted);
	}
}
