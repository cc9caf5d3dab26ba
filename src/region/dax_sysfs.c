// SPDX-License-Identifier: MIT
#include "region/dax_sysfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "util/cleanup.h"
#include "util/dir_names.h"

#define DEVICES "/sys/bus/dax/devices"
#define DRIVER  "/sys/bus/dax/drivers/device_dax"

static void closedir_of(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

/* ---- attributes ---- */

static int read_text(const char *path, char *ret, size_t size)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, size - 1);

	if (n < 0)
		return -errno;
	ret[n] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
	return 0;
}

/* In one write: the kernel takes each for a whole order. */
static int write_text(const char *path, const char *text)
{
	_cleanup_fd_ int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t length = strlen(text);
	ssize_t n = fd < 0 ? -1 : write(fd, text, length);

	if (n < 0)
		return -errno;
	return (size_t)n == length ? 0 : -EIO;
}

static int read_number(const char *path, uint64_t *ret)
{
	char text[64], *end = NULL;
	int r = read_text(path, text, sizeof(text));

	if (r < 0)
		return r;
	errno = 0;
	uint64_t n = strtoull(text, &end, 0);
	if (errno != 0 || end == text || *end != '\0')
		return -EIO;
	*ret = n;
	return 0;
}

const char *dax_name(char buffer[DAX_NAME], struct dax_id d)
{
	(void)snprintf(buffer, DAX_NAME, "dax%u.%u", d.region, d.id);
	return buffer;
}

static bool parse_name(const char *name, struct dax_id *ret)
{
	char again[DAX_NAME];
	struct dax_id d;

	if (sscanf(name, "dax%u.%u", &d.region, &d.id) != 2 ||
		strcmp(dax_name(again, d), name) != 0)
		return false;
	*ret = d;
	return true;
}

static const char *path_of(char path[DAX_PATH], struct dax_id d, const char *attribute)
{
	(void)snprintf(path, DAX_PATH, DEVICES "/dax%u.%u/%s", d.region, d.id, attribute);
	return path;
}

int dax_get(struct dax_id d, const char *attribute, uint64_t *ret)
{
	char path[DAX_PATH];

	return read_number(path_of(path, d, attribute), ret);
}

int dax_get_node(struct dax_id d, int *ret)
{
	char path[DAX_PATH], text[32];
	int r = read_text(path_of(path, d, "target_node"), text, sizeof(text));

	if (r == -ENOENT) { /* the kernel hides it where there is none */
		*ret = -1;
		return 0;
	}
	if (r == 0 && sscanf(text, "%d", ret) != 1)
		r = -EIO;
	return r;
}

int dax_get_rdev(struct dax_id d, dev_t *ret)
{
	char path[DAX_PATH], text[32];
	unsigned major_number, minor_number;
	int r = read_text(path_of(path, d, "dev"), text, sizeof(text));

	if (r < 0)
		return r;
	if (sscanf(text, "%u:%u", &major_number, &minor_number) != 2)
		return -EIO;
	*ret = makedev(major_number, minor_number);
	return 0;
}

int dax_put(struct dax_id d, const char *attribute, const char *text)
{
	char path[DAX_PATH];

	return write_text(path_of(path, d, attribute), text);
}

/* ---- devices ---- */

int dax_exists(struct dax_id d)
{
	char path[DAX_PATH];

	if (access(path_of(path, d, ""), F_OK) == 0)
		return 1;
	return errno == ENOENT ? 0 : -errno;
}

static bool is_passing(int error)
{
	return error == -ENOENT || error == -ENODEV || error == -ENXIO || error == -EAGAIN;
}

int dax_wait_passing(struct dax_id d, int error, unsigned *patience)
{
	const struct timespec moment = {.tv_nsec = 10L * 1000 * 1000};

	if (dax_exists(d) == 0)
		return 0;
	if (!is_passing(error) || *patience == 0)
		return error;
	(*patience)--;
	(void)nanosleep(&moment, NULL);
	return 1;
}

static int append(struct dax_id **list, size_t *count, struct dax_id d)
{
	/* Doubled whenever it is full. */
	if ((*count & (*count - 1)) == 0) {
		struct dax_id *more = reallocarray(*list, *count ? 2 * *count : 1, sizeof(**list));
		if (!more)
			return -ENOMEM;
		*list = more;
	}
	(*list)[(*count)++] = d;
	return 0;
}

int dax_list(struct dax_id **ret, size_t *count)
{
	_cleanup_(dir_names_deinit) struct dir_names names = DIR_NAMES_NULL;
	_cleanup_free_ struct dax_id *list = NULL;
	struct dax_id d;
	size_t n = 0;
	int r = dir_names_read(&names, DEVICES);

	*ret = NULL;
	*count = 0;
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (size_t i = 0; i < names.count; i++)
		if (parse_name(names.names[i], &d) && append(&list, &n, d) < 0)
			return -ENOMEM;
	*ret = steal_pointer(list);
	*count = n;
	return 0;
}

int dax_list_once(struct dax_id **ret, size_t *count)
{
	_cleanup_(closedir_of) DIR *dir = opendir(DEVICES);
	_cleanup_free_ struct dax_id *list = NULL;
	const struct dirent *entry;
	struct dax_id d;
	size_t n = 0;

	*ret = NULL;
	*count = 0;
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((entry = readdir(dir)))
		if (parse_name(entry->d_name, &d) && append(&list, &n, d) < 0)
			return -ENOMEM;
	*ret = steal_pointer(list);
	*count = n;
	return 0;
}

static int read_mapping(struct dax_id d, const char *name, struct dax_mapping *ret)
{
	static const char *const parts[] = {"page_offset", "start", "end"};
	uint64_t *const numbers[] = {&ret->page_offset, &ret->start, &ret->end};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		char part[NAME_MAX + 16];
		(void)snprintf(part, sizeof(part), "%s/%s", name, parts[i]);
		int r = dax_get(d, part, numbers[i]);
		if (r < 0)
			return r;
	}
	ret->end++;
	return 0;
}

/* The next of a device's directories that are about a mapping; NULL at the end. */
static const struct dirent *next_mapping(DIR *dir, unsigned *number)
{
	const struct dirent *entry;

	while ((entry = readdir(dir)))
		if (sscanf(entry->d_name, "mapping%u", number) == 1)
			return entry;
	return NULL;
}

static int compare_mappings(const void *a, const void *b)
{
	const struct dax_mapping *x = a;
	const struct dax_mapping *y = b;

	return x->page_offset < y->page_offset ? -1 : x->page_offset > y->page_offset;
}

int dax_get_mappings(struct dax_id d, struct dax_mapping **ret, size_t *count)
{
	char path[DAX_PATH];
	_cleanup_(closedir_of) DIR *dir = opendir(path_of(path, d, ""));
	_cleanup_free_ struct dax_mapping *list = NULL;
	const struct dirent *entry;
	unsigned number;
	size_t n = 0;

	if (!dir)
		return -errno;
	while ((entry = next_mapping(dir, &number))) {
		struct dax_mapping *more = reallocarray(list, n + 1, sizeof(*list));
		if (!more)
			return -ENOMEM;
		list = more;
		int r = read_mapping(d, entry->d_name, &list[n]);
		if (r < 0)
			return r;
		n++;
	}
	if (n)
		qsort(list, n, sizeof(*list), compare_mappings);
	*ret = steal_pointer(list);
	*count = n;
	return 0;
}

/* ---- which one it is ---- */

int dax_get_instance(struct dax_id d, uint64_t *ret)
{
	char path[DAX_PATH];
	struct stat st;

	if (stat(path_of(path, d, ""), &st) < 0)
		return -errno;
	*ret = st.st_ino;
	return 0;
}

/* In whatever order they come. */
static int sum_mappings(struct dax_id d, uint64_t *ret)
{
	char path[DAX_PATH];
	_cleanup_(closedir_of) DIR *dir = opendir(path_of(path, d, ""));
	const struct dirent *entry;
	unsigned number;
	uint64_t sum = 0;

	if (!dir)
		return -errno;
	while ((entry = next_mapping(dir, &number))) {
		const uint64_t one[] = {number, entry->d_ino};
		sum += XXH3_64bits(one, sizeof(one));
	}
	*ret = sum;
	return 0;
}

/* The kernel makes its link to the driver anew at each bind. 0: it has none. */
static int get_binding(struct dax_id d, uint64_t *ret)
{
	char path[DAX_PATH];
	struct stat st;

	*ret = 0;
	if (lstat(path_of(path, d, "driver"), &st) == 0)
		*ret = st.st_ino;
	else if (errno != ENOENT)
		return -errno;
	return 0;
}

/*
 * A mapping's directory goes when its range goes, and is not the same one when it comes again. Only
 * the last range can grow or shrink in its place, and the size shows that: so nothing of the ranges
 * themselves has to be read, however many there are.
 */
int dax_get_identity(struct dax_id d, uint64_t *ret)
{
	uint64_t parts[5];
	int r = dax_get_instance(d, &parts[0]);

	if (r == 0)
		r = dax_get(d, "align", &parts[1]);
	if (r == 0)
		r = dax_get(d, "size", &parts[2]);
	if (r == 0)
		r = sum_mappings(d, &parts[3]);
	if (r == 0)
		r = get_binding(d, &parts[4]);
	if (r < 0)
		return r;
	uint64_t hash = XXH3_64bits(parts, sizeof(parts));
	*ret = hash ? hash : 1;
	return 0;
}

/* ---- drivers ---- */

int dax_get_driver(struct dax_id d, char ret[DAX_NAME])
{
	char path[DAX_PATH], target[PATH_MAX];
	ssize_t n = readlink(path_of(path, d, "driver"), target, sizeof(target) - 1);

	ret[0] = '\0';
	if (n < 0)
		return errno == ENOENT && dax_exists(d) > 0 ? 0 : -errno;
	target[n] = '\0';
	const char *slash = strrchr(target, '/');
	(void)snprintf(ret, DAX_NAME, "%.*s", DAX_NAME - 1, slash ? slash + 1 : target);
	return 0;
}

int dax_bind(struct dax_id d)
{
	char name[DAX_NAME];

	return write_text(DRIVER "/bind", dax_name(name, d));
}

int dax_unbind(struct dax_id d)
{
	char name[DAX_NAME];

	return dax_put(d, "driver/unbind", dax_name(name, d));
}

/* ---- regions ---- */

int dax_region_path(char ret[DAX_PATH], struct dax_id d)
{
	char path[DAX_PATH];
	_cleanup_free_ char *real = realpath(path_of(path, d, ".."), NULL);

	/* `..` of a link is that of where it leads to: the region. */
	if (!real)
		return -errno;
	int n = snprintf(ret, DAX_PATH, "%s/dax_region", real);
	return n < DAX_PATH ? 0 : -ENAMETOOLONG;
}

static int region_file(char ret[DAX_PATH], const char *region_path, const char *name)
{
	int n = snprintf(ret, DAX_PATH, "%s/%s", region_path, name);

	return n < DAX_PATH ? 0 : -ENAMETOOLONG;
}

int dax_region_get(const char *region_path, const char *attribute, uint64_t *ret)
{
	char path[DAX_PATH];
	int r = region_file(path, region_path, attribute);

	return r < 0 ? r : read_number(path, ret);
}

int dax_region_create(const char *region_path, struct dax_id *ret)
{
	char path[DAX_PATH], name[DAX_NAME];
	int r = region_file(path, region_path, "create");

	if (r == 0)
		r = write_text(path, "1");
	if (r == 0)
		r = read_text(path, name, sizeof(name));
	if (r == 0 && !parse_name(name, ret))
		r = -EIO;
	return r;
}

int dax_region_delete(const char *region_path, struct dax_id d)
{
	char path[DAX_PATH], name[DAX_NAME];
	int r = region_file(path, region_path, "delete");

	return r < 0 ? r : write_text(path, dax_name(name, d));
}
