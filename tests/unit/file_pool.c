// SPDX-License-Identifier: MIT
#include "file_pool.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/cleanup.h"

static char directory[64];

void file_pool_make_dir(void)
{
	(void)snprintf(directory, sizeof(directory), "/dev/shm/gm-test-pool-XXXXXX");
	cr_assert_not_null(mkdtemp(directory));
}

void file_pool_remove_dir(void)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	cr_expect_eq(system(command), 0);
}

const char *file_pool_path(const char *name)
{
	static char paths[16][128];
	static unsigned next;
	char *path = paths[next++ % 16];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

int file_pool_open(struct pool *ret, const char *names, const char *options, unsigned flags,
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
		(void)snprintf(text, sizeof(text), "file:%s%s", file_pool_path(name), options);
		cr_assert_eq(region_spec_parse(&specs[count++], text, why), 0, "%s", why->text);
	}
	int r = pool_open(ret, specs, count, flags, why);
	while (count > 0)
		region_spec_deinit(&specs[--count]);
	return r;
}

const struct pool_format file_pool_plain = {
	.max_files = FILES,
	.label = "test",
	.root_uid = 7,
	.root_gid = 8,
	.force_option = "--force",
};

void file_pool_make(const char *names, uint8_t uuid[16])
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	struct problem why = PROBLEM_INIT;

	cr_assert_eq(file_pool_open(&pool, names, ",size=64M", REGION_OPEN_CREATE, &why), 0, "%s",
		why.text);
	cr_assert_eq(pool_lock(&pool, false, 0, &why), 0, "%s", why.text);
	cr_assert_eq(pool_format(&pool, &file_pool_plain, &why), 0, "%s", why.text);
	memcpy(uuid, pool.super.uuid, 16);
}

int file_pool_load(const char *names, struct problem *why)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;

	cr_assert_eq(file_pool_open(&pool, names, "", 0, why), 0, "%s", why->text);
	int r = pool_load(&pool, true, why);
	cr_expect_eq(pool.loaded, r == 0);
	cr_expect_eq(pool.media.base != NULL, r == 0);
	return r;
}

void file_pool_expect_refused(const char *names, int err, const char *sentence)
{
	struct problem why = PROBLEM_INIT;

	cr_expect_eq(file_pool_load(names, &why), -err, "%s: %s", names, why.text);
	cr_expect_not_null(strstr(why.text, sentence), "%s: %s", names, why.text);
}

uint8_t file_pool_poke(const char *name, uint64_t offset, uint8_t value)
{
	_cleanup_fd_ int fd = open(file_pool_path(name), O_RDWR | O_CLOEXEC);
	uint8_t old = 0;

	cr_assert_eq(pread(fd, &old, 1, (off_t)offset), 1);
	cr_assert_eq(pwrite(fd, &value, 1, (off_t)offset), 1);
	return old;
}
