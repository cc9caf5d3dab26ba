// SPDX-License-Identifier: MIT
#include "fake_dax.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "region/dax_sysfs.h"
#include "region/soft_record.h"
#include "util/cleanup.h"

/* ---- the kernel's files ---- */

void write_file(const char *path, const char *text)
{
	_cleanup_fd_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0, "%s", path);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

void write_number(const char *directory, const char *name, uint64_t number)
{
	char path[256], text[32];

	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	/* In this form, so that a `0` that is written over it leaves a number. */
	(void)snprintf(text, sizeof(text), "%#" PRIx64 "\n", number);
	write_file(path, text);
}

bool was_written(const char *path, const char *wanted)
{
	char text[64] = "";
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	cr_assert_geq(fd, 0, "%s", path);
	cr_assert_geq(read(fd, text, sizeof(text) - 1), 0);
	return strcmp(text, wanted) == 0;
}

static const char *directory_of(char path[64], unsigned id)
{
	(void)snprintf(path, 64, REGION "/dax7.%u", id);
	return path;
}

void add_mapping(unsigned id, unsigned number, const struct soft_range *r, uint64_t at)
{
	char path[64], mapping[128];

	(void)snprintf(mapping, sizeof(mapping), "%s/mapping%u", directory_of(path, id), number);
	cr_assert_eq(mkdir(mapping, 0700), 0);
	write_number(mapping, "page_offset", at);
	write_number(mapping, "start", START + r->block * BLOCK);
	write_number(mapping, "end", START + (r->block + r->count) * BLOCK - 1);
}

void bind_device(unsigned id)
{
	char path[64], driver[128];

	(void)snprintf(driver, sizeof(driver), "%s/driver", directory_of(path, id));
	cr_assert_eq(symlink(BUS "/drivers/device_dax", driver), 0);
}

void unbind_device(unsigned id)
{
	char path[64], driver[128];

	(void)snprintf(driver, sizeof(driver), "%s/driver", directory_of(path, id));
	cr_assert_eq(unlink(driver), 0);
}

void make_device(unsigned id, const struct soft_range *ranges, size_t count)
{
	char path[64], link[128];
	uint64_t blocks = 0;

	cr_assert_eq(mkdir(directory_of(path, id), 0700), 0);
	(void)snprintf(link, sizeof(link), BUS "/devices/dax7.%u", id);
	cr_assert_eq(symlink(path, link), 0);
	for (unsigned i = 0; i < count; i++) {
		add_mapping(id, i, &ranges[i], blocks);
		blocks += ranges[i].count;
	}
	write_number(path, "size", blocks * BLOCK);
	write_number(path, "align", BLOCK);
	write_number(path, "resource", START);
	(void)snprintf(link, sizeof(link), "%s/dev", path);
	write_file(link, "1:3\n");
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

void remove_tree(const char *path)
{
	cr_assert_eq(nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0, "%s", path);
}

void remove_device(unsigned id)
{
	char path[64], link[64];

	remove_tree(directory_of(path, id));
	(void)snprintf(link, sizeof(link), BUS "/devices/dax7.%u", id);
	cr_assert_eq(unlink(link), 0);
}

/* ---- a region with one device of ours ---- */

const struct soft_range two[2] = {{10, 4}, {20, 2}};
const struct soft_range other[1] = {{100, 6}};

struct soft_device device;
char node[SOFT_DEVICE_NODE];

static void make_tree(void)
{
	static const char *const directories[] = {"/sys/bus", BUS, BUS "/devices", BUS "/drivers",
		BUS "/drivers/device_dax", "/sys/devices", REGION, REGION "/dax_region"};

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		cr_assert_eq(mkdir(directories[i], 0700), 0, "%s", directories[i]);
	write_file(BUS "/drivers/device_dax/bind", "");
	write_file(BUS "/drivers/device_dax/unbind", "");
	write_file(REGION "/dax_region/create", "");
	write_file(REGION "/dax_region/delete", "");
	write_number(REGION "/dax_region", "size", 1024 * BLOCK);
	make_device(0, NULL, 0);
}

void note_ours(unsigned id)
{
	struct soft_record r = SOFT_RECORD_NULL;
	uint64_t identity = 0;

	cr_assert_eq(dax_get_identity((struct dax_id){.region = 7, .id = id}, &identity), 0);
	cr_assert_eq(soft_record_open(&r, START, NULL), 0);
	cr_assert_eq(soft_record_set_ours(&r, id, identity, NULL), 0);
	soft_record_close(&r);
}

struct soft_device find(unsigned id)
{
	struct problem why = PROBLEM_INIT;
	struct soft_device *list = NULL, found = SOFT_DEVICE_NULL;
	size_t count = 0;

	cr_assert_eq(soft_device_list(START, &list, &count, &why), 0, "%s", why.text);
	for (size_t i = 0; i < count; i++)
		if (list[i].id == id) {
			found = list[i];
			list[i] = SOFT_DEVICE_NULL;
		}
	soft_device_list_free(list, count);
	return found;
}

void fake_dax_set_up(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0)
		cr_skip("no private mount namespace here (needs root)");
	if (mount("none", "/dev", "tmpfs", 0, "size=1M") < 0 ||
		mount("none", "/run", "tmpfs", 0, "size=8M") < 0 ||
		mount("none", "/sys", "tmpfs", 0, "size=8M") < 0)
		cr_skip("no tmpfs over /dev, /run and /sys here");
	make_tree();
	make_device(3, two, 2);
	bind_device(3);
	note_ours(3);
	device = find(3);
	soft_device_node(node, &device);
	if (mknod(node, S_IFCHR | 0600, device.rdev) < 0)
		cr_skip("no device nodes here");
}

void fake_dax_tear_down(void)
{
	soft_device_deinit(&device);
}
