// SPDX-License-Identifier: MIT
/* Physical memory: the firmware's map, /proc/iomem, and the devdax devices. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor/facts_internal.h"
#include "doctor/read.h"
#include "guestmemfs/format.h"
#include "region/soft_record.h"
#include "util/cleanup_file.h"
#include "util/dir_names.h"

/* ---- the firmware's map ---- */

int facts_read_firmware(struct doctor_facts *f, struct host *h)
{
	for (unsigned n = 0;; n++) {
		uint64_t start = 0;
		uint64_t last = 0;
		char type[64];

		if (!read_number(&start, h, "/sys/firmware/memmap/%u/start", n) ||
			!read_number(&last, h, "/sys/firmware/memmap/%u/end", n) ||
			!read_line(type, sizeof(type), h, "/sys/firmware/memmap/%u/type", n))
			break;
		e820_map_add(&f->firmware, start, last == UINT64_MAX ? last : last + 1,
			e820_type_of(type) ? e820_type_of(type) : E820_RESERVED);
	}
	return f->firmware.failed ? -ENOMEM : 0;
}

/* ---- /proc/iomem ---- */

static bool parse_iomem(const char *line, struct fact_iomem *ret)
{
	size_t blanks = strspn(line, " ");
	uint64_t start = 0;
	uint64_t last = 0;

	*ret = (struct fact_iomem){.depth = (unsigned)blanks / 2};
	if (sscanf(line + blanks, "%" SCNx64 "-%" SCNx64 " : %47[^\n]", &start, &last, ret->name) !=
		3)
		return false;
	ret->start = start;
	ret->end = last == UINT64_MAX ? last : last + 1;
	return last != 0; /* zeros are what is shown to those who may not know */
}

int facts_read_iomem(struct doctor_facts *f, struct host *h)
{
	_cleanup_file_ FILE *file = read_open(h, "/proc/iomem");
	_cleanup_free_ char *line = NULL;
	struct fact_iomem entry;
	size_t size = 0;

	while (file && read_next(h, file, &line, &size)) {
		if (!parse_iomem(line, &entry))
			continue;
		struct fact_iomem *more = reallocarray(f->iomem, f->iomem_count + 1, sizeof(*more));
		if (!more)
			return -ENOMEM;
		f->iomem = more;
		more[f->iomem_count++] = entry;
	}
	return 0;
}

/* ---- devices ---- */

static void read_ranges(struct fact_device *d, struct host *h)
{
	for (unsigned n = 0; !d->ranges.failed; n++) {
		uint64_t start = 0;
		uint64_t last = 0;

		if (!read_number(
			    &start, h, "/sys/bus/dax/devices/%s/mapping%u/start", d->name, n) ||
			!read_number(&last, h, "/sys/bus/dax/devices/%s/mapping%u/end", d->name, n))
			break;
		e820_map_add(&d->ranges, start, last + 1, E820_NONE);
	}
	if (d->ranges.count > 0)
		d->start = d->ranges.entries[0].start;
}

static void read_region(struct fact_device *d, struct host *h)
{
	char path[PATH_MAX];
	_cleanup_free_ char *real =
		realpath(read_path(path, h, "/sys/bus/dax/devices/%s", d->name), NULL);

	if (!real) {
		host_note(h, errno);
		return;
	}
	const char *directory = dirname(real);
	struct host region = {.root = directory};
	const char *last = strrchr(directory, '/');
	(void)snprintf(d->region, sizeof(d->region), "%s", last ? last + 1 : directory);
	d->soft = access(read_path(path, &region, "/dax_region/create"), F_OK) == 0;
	(void)read_number(&d->region_size, &region, "/dax_region/size");
	host_note(h, region.error);
}

/*
 * The kernel copies it out of the mapping: if the device is taken away under us, that fails, and we
 * are not ended by a SIGBUS.
 */
static bool copy_mapped(const int pipefd[2], void *to, const void *from, size_t size)
{
	return write(pipefd[1], from, size) == (ssize_t)size &&
	       read(pipefd[0], to, size) == (ssize_t)size;
}

/*
 * The first block of every region of a pool has a stamp, that of its first region superblocks too.
 * A damaged one of them is a reason to be careful, not to think that there is no pool.
 */
static enum fact is_pool(const int pipefd[2], const uint8_t *block)
{
	static const struct {
		size_t offset;
		const char *magic;
	} signs[] = {
		{GM_SUPER_A_OFFSET, GM_SUPER_MAGIC},
		{GM_SUPER_B_OFFSET, GM_SUPER_MAGIC},
		{GM_STAMP_OFFSET, GM_STAMP_MAGIC},
	};
	enum fact found = FACT_NO;

	for (size_t n = 0; n < ARRAY_SIZE(signs); n++) {
		size_t length = strlen(signs[n].magic);
		char text[16];

		assert(length <= sizeof(text));
		if (!copy_mapped(pipefd, text, block + signs[n].offset, length))
			return FACT_UNKNOWN;
		if (memcmp(text, signs[n].magic, length) == 0)
			found = FACT_YES;
	}
	return found;
}

/*
 * Looks at the first block. The device can only be mapped by its own page size, and shared; nothing
 * is written.
 */
static enum fact find_pool(struct host *h, const char *path, uint64_t align)
{
	uint64_t length = align > GM_BLOCK_SIZE ? align : GM_BLOCK_SIZE;
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int pipefd[2];

	void *block = fd < 0 ? MAP_FAILED : mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
	if (block == MAP_FAILED) {
		host_note(h, errno);
		return FACT_UNKNOWN;
	}
	enum fact found = FACT_UNKNOWN;
	if (pipe2(pipefd, O_CLOEXEC) == 0) {
		found = is_pool(pipefd, block);
		(void)close_fd(pipefd[0]);
		(void)close_fd(pipefd[1]);
	} else {
		host_note(h, errno);
	}
	(void)munmap(block, length);
	return found;
}

/* As the helper has noted it. An empty device tells where its region begins, by which the note is
 * called (region/soft_record.h). */
static void read_retired(struct fact_device *d, struct host *h)
{
	char path[PATH_MAX];
	unsigned region = 0, id = 0;

	if (!d->soft || d->size != 0 || *d->driver ||
		sscanf(d->name, "dax%u.%u", &region, &id) != 2 || id == 0)
		return;
	_cleanup_fd_ int fd = open(read_path(path, h, "/run/guestmemfs/.soft-%#" PRIx64, d->start),
		O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		host_note(h, errno);
	d->retired = fd >= 0 && soft_record_names_retired(fd, id);
}

static void read_node(struct fact_device *d, struct host *h)
{
	char path[PATH_MAX];
	struct stat st;

	if (stat(read_path(path, h, "/dev/%s", d->name), &st) < 0)
		return;
	d->has_node = true;
	d->mode = st.st_mode & 07777;
	d->uid = st.st_uid;
}

static int read_device(struct fact_device *d, struct host *h, const char *name)
{
	*d = (struct fact_device){.start = UINT64_MAX};
	(void)snprintf(d->name, sizeof(d->name), "%.23s", name);
	(void)read_number(&d->start, h, "/sys/bus/dax/devices/%s/resource", name);
	(void)read_number(&d->size, h, "/sys/bus/dax/devices/%s/size", name);
	(void)read_number(&d->align, h, "/sys/bus/dax/devices/%s/align", name);
	(void)read_link(d->driver, sizeof(d->driver), h, "/sys/bus/dax/devices/%s/driver", name);
	read_ranges(d, h);
	read_region(d, h);
	read_retired(d, h);
	read_node(d, h);
	return d->ranges.failed ? -ENOMEM : 0;
}

static int compare_devices(const void *a, const void *b)
{
	return strverscmp(
		((const struct fact_device *)a)->name, ((const struct fact_device *)b)->name);
}

static bool begins_region(const struct doctor_facts *f, const struct fact_device *d)
{
	for (size_t n = 0; n < f->device_count; n++)
		if (f->devices[n].start < d->start && strcmp(f->devices[n].region, d->region) == 0)
			return false;
	return true;
}

/*
 * Only the device at a region's start has the pool's first block; an empty one, as each soft region
 * has, tells where that is. All others are files, or windows that the helper opens and closes: they
 * are left in peace. So is kmem's memory, which is the kernel's own now.
 */
static void find_pools(struct doctor_facts *f, struct host *h)
{
	char path[PATH_MAX];

	for (size_t n = 0; n < f->device_count; n++) {
		struct fact_device *d = &f->devices[n];

		if (d->has_node && d->size > 0 && strcmp(d->driver, "device_dax") == 0 &&
			begins_region(f, d))
			d->pool = find_pool(h, read_path(path, h, "/dev/%s", d->name), d->align);
	}
}

int facts_read_devices(struct doctor_facts *f, struct host *h)
{
	char path[PATH_MAX];
	_cleanup_(dir_names_deinit) struct dir_names all = DIR_NAMES_NULL;
	int r = dir_names_read(&all, read_path(path, h, "/sys/bus/dax/devices"));

	if (r == -ENOMEM)
		return r;
	if (r < 0)
		host_note(h, -r);
	for (size_t n = 0; n < all.count; n++) {
		if (strncmp(all.names[n], "dax", 3) != 0)
			continue;
		struct fact_device *more =
			reallocarray(f->devices, f->device_count + 1, sizeof(*more));
		if (!more)
			return -ENOMEM;
		f->devices = more;
		if (read_device(&more[f->device_count++], h, all.names[n]) < 0)
			return -ENOMEM;
	}
	if (f->device_count > 0)
		qsort(f->devices, f->device_count, sizeof(*f->devices), compare_devices);
	find_pools(f, h);
	return 0;
}
