// SPDX-License-Identifier: MIT
#include "region/pmem_namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "region/region.h"
#include "util/cleanup.h"

#define PROBE_BYTES       (1U << 20)
#define INFO_BLOCK_BYTES  8192U /* where every kind of info block lies */
#define LARGE_PAGES_LEAST 3U    /* GiB */

struct pmem_make {
	uint64_t align;
	bool force;
};

typedef int pmem_step(const struct pmem_place *p, const struct pmem_make *m, struct problem *why);

/* ---- is there room? ---- */

/*
 * Pages of 1 GiB: the device begins at the first multiple of 1 GiB behind the info block. Of its
 * whole GiBs the first has metadata or a stamp and the last one a stamp. Asked before anything is
 * undone.
 */
static int check_room(const struct pmem_place *p, const struct pmem_make *m, struct problem *why)
{
	unsigned long long start = ndctl_namespace_get_resource(p->ns);
	unsigned long long size = ndctl_namespace_get_size(p->ns);
	char text[REGION_SIZE_TEXT];

	if (m->align != GM_GROUP_SIZE || start == ULLONG_MAX)
		return 0;
	uint64_t first = start / GM_GROUP_SIZE + 1;
	uint64_t end = (start + size) / GM_GROUP_SIZE;
	if (end >= first + LARGE_PAGES_LEAST)
		return 0;
	return problem(why, EINVAL,
		"%s (%s at %#llx) is too small for pages of 1G: it needs 3 whole, aligned GiBs "
		"behind its info block, for the first and the last one are not for files; "
		"reserve more, or take pages of 2M",
		ndctl_namespace_get_devname(p->ns), region_format_size(text, size), start);
}

/* ---- what is there? ---- */

static int piece_is_zero(int fd, uint64_t offset, const char *node, struct problem *why)
{
	_cleanup_free_ char *piece = malloc(PROBE_BYTES);

	if (!piece)
		return problem_errno(why, ENOMEM, "reading %s", node);
	ssize_t n = pread(fd, piece, PROBE_BYTES, (off_t)offset);
	if (n != (ssize_t)PROBE_BYTES)
		return problem_errno(why, n < 0 ? errno : EIO, "reading %s", node);
	return piece[0] == 0 && memcmp(piece, piece + 1, PROBE_BYTES - 1) == 0;
}

/* The block device of a raw namespace, exclusively: nothing is mounted on it. */
static int open_raw(const struct pmem_place *p, char node[64], struct problem *why)
{
	const char *name = ndctl_namespace_get_block_device(p->ns);

	if (!name || !*name)
		return problem(why, ENODEV, "%s has no block device: is the module nd_pmem there?",
			ndctl_namespace_get_devname(p->ns));
	(void)snprintf(node, 64, "/dev/%s", name);
	int fd = open(node, O_RDWR | O_EXCL | O_CLOEXEC);
	return fd < 0 ? problem_errno(why, errno, "opening %s", node) : fd;
}

static int check_raw_is_blank(const struct pmem_place *p, struct problem *why)
{
	uint64_t size = ndctl_namespace_get_size(p->ns);
	char node[64];
	_cleanup_fd_ int fd = open_raw(p, node, why);

	if (fd < 0)
		return fd;
	int r = piece_is_zero(fd, 0, node, why);
	if (r > 0)
		r = piece_is_zero(fd, size - PROBE_BYTES, node, why);
	if (r != 0)
		return r < 0 ? r : 0;
	return problem(why, EEXIST,
		"%s (%s) is not blank: a file system may be there, or only what the memory held "
		"before it was reserved; --force makes a region of it all the same, and all that "
		"it holds is lost",
		ndctl_namespace_get_devname(p->ns), node);
}

static int check_blank(const struct pmem_place *p, const struct pmem_make *m, struct problem *why)
{
	const char *name = ndctl_namespace_get_devname(p->ns);

	if (m->force)
		return 0;
	if (!pmem_is_raw(p))
		return problem(why, EEXIST,
			"%s is a%s namespace, which somebody has made: --force makes a region of "
			"it all the same, and all that it holds is lost",
			name,
			ndctl_namespace_get_pfn(p->ns)   ? "n fsdax"
			: ndctl_namespace_get_btt(p->ns) ? " sector"
							 : " devdax");
	int r = ndctl_namespace_enable(p->ns);
	if (r < 0)
		return problem_errno(why, -r, "enabling %s", name);
	return check_raw_is_blank(p, why);
}

/* ---- making it ---- */

/* Whatever is made of the namespace gives it back; refused where it is mounted or in use. */
static int make_idle(const struct pmem_place *p, const struct pmem_make *m, struct problem *why)
{
	int r = ndctl_namespace_disable_safe(p->ns);

	(void)m;
	if (r == -EBUSY)
		return problem(why, EBUSY,
			"%s is in use: it is mounted, or a process has it open; end that first",
			ndctl_namespace_get_devname(p->ns));
	return r >= 0 ? 0
		      : problem_errno(why, -r, "%s can't be taken out of use",
				ndctl_namespace_get_devname(p->ns));
}

/* What was made of the namespace has to be taken apart, or it holds on to it. */
static int release(const struct pmem_place *p, const struct pmem_make *m, struct problem *why)
{
	struct ndctl_dax *dax = ndctl_namespace_get_dax(p->ns);
	struct ndctl_pfn *pfn = ndctl_namespace_get_pfn(p->ns);
	struct ndctl_btt *btt = ndctl_namespace_get_btt(p->ns);
	int r = dax   ? ndctl_dax_delete(dax)
		: pfn ? ndctl_pfn_delete(pfn)
		: btt ? ndctl_btt_delete(btt)
		      : 0;

	(void)m;
	return r >= 0 ? 0
		      : problem_errno(why, -r, "taking apart what %s was",
				ndctl_namespace_get_devname(p->ns));
}

/* An info block that is left would have the kernel make of the namespace what it was. */
static int wipe_info_block(
	const struct pmem_place *p, const struct pmem_make *m, struct problem *why)
{
	static const char zeros[INFO_BLOCK_BYTES];
	char node[64];

	(void)m;
	(void)ndctl_namespace_set_raw_mode(p->ns, 1);
	int r = ndctl_namespace_enable(p->ns);
	if (r < 0) {
		r = problem_errno(why, -r, "enabling %s", ndctl_namespace_get_devname(p->ns));
	} else {
		_cleanup_fd_ int fd = open_raw(p, node, why);

		r = fd;
		if (fd >= 0 && (pwrite(fd, zeros, sizeof(zeros), 0) != (ssize_t)sizeof(zeros) ||
				       fsync(fd) < 0))
			r = problem_errno(why, errno, "wiping the info block of %s", node);
	}
	(void)ndctl_namespace_set_raw_mode(p->ns, 0);
	(void)ndctl_namespace_disable_invalidate(p->ns);
	return r < 0 ? r : 0;
}

static int set_up(struct ndctl_dax *dax, const struct pmem_place *p, uint64_t align)
{
	uuid_t uuid;
	int r = getrandom(uuid, sizeof(uuid), 0) == (ssize_t)sizeof(uuid) ? 0 : -errno;

	/* The namespace remembers what it was used for, and refuses to be used for anything else.
	 * Whether that has worked is seen below. */
	(void)ndctl_namespace_set_enforce_mode(p->ns, NDCTL_NS_MODE_DEVDAX);
	uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40); /* RFC 9562: version 4, random */
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80); /* and its variant */
	if (r >= 0)
		r = ndctl_dax_set_uuid(dax, uuid);
	/* RAM: the region is the guests' alone; --map=dev would take a part of it at any align. */
	if (r >= 0)
		r = ndctl_dax_set_location(dax, NDCTL_PFN_LOC_RAM);
	if (r >= 0)
		r = ndctl_dax_set_align(dax, (unsigned long)align);
	if (r >= 0)
		r = ndctl_dax_set_namespace(dax, p->ns);
	return r < 0 ? r : ndctl_dax_enable(dax);
}

static int make_devdax(const struct pmem_place *p, const struct pmem_make *m, struct problem *why)
{
	struct ndctl_dax *dax = ndctl_region_get_dax_seed(p->region);
	char text[REGION_SIZE_TEXT];

	if (!dax)
		return problem(why, EOPNOTSUPP,
			"the kernel makes no devdax namespaces of %s: is the module dax_pmem "
			"there?",
			ndctl_namespace_get_devname(p->ns));
	int r = set_up(dax, p, m->align);
	if (r >= 0)
		return 0;
	(void)ndctl_dax_set_namespace(dax, NULL);
	(void)ndctl_namespace_enable(p->ns);
	return problem_errno(why, -r, "making a devdax namespace with pages of %s of %s",
		region_format_size(text, m->align), ndctl_namespace_get_devname(p->ns));
}

/* The library's objects of what is made of a namespace do not live through its end: each step finds
 * the namespace anew. */
static int in_step(
	const char *name, const struct pmem_make *m, pmem_step *step, struct problem *why)
{
	_cleanup_(pmem_place_deinit) struct pmem_place p = PMEM_PLACE_NULL;
	int r = pmem_find(&p, name, why);

	return r < 0 ? r : step(&p, m, why);
}

int pmem_namespace_make(const char *name, uint64_t align, bool force, struct problem *why)
{
	static pmem_step *const steps[] = {
		check_room, check_blank, make_idle, release, wipe_info_block, make_devdax};
	const struct pmem_make m = {.align = align, .force = force};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(steps) && r == 0; i++)
		r = in_step(name, &m, steps[i], why);
	return r;
}
