// SPDX-License-Identifier: MIT
/*
 * Regions that are a static devdax namespace: one device over the whole region, whose info block
 * lies in the memory, so that the next kernel finds it again by itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "region/ops.h"
#include "region/pmem_find.h"
#include "region/pmem_namespace.h"
#include "util/cleanup.h"

int region_pmem_is_there(struct problem *why)
{
	int n = pmem_count(why);

	return n < 0 ? n : n > 0;
}

/* PREFIXn.m */
static bool pmem_is_name(const char *text, const char *prefix)
{
	unsigned a = 0;
	unsigned b = 0;
	int end = 0;
	size_t n = strlen(prefix);

	return strncmp(text, prefix, n) == 0 && sscanf(text + n, "%u.%u%n", &a, &b, &end) == 2 &&
	       text[n + (size_t)end] == '\0';
}

static int pmem_check(const struct region_spec *spec, struct problem *why)
{
	if (strcmp(spec->path, "auto") == 0 || pmem_is_name(spec->path, "/dev/dax") ||
		pmem_is_name(spec->path, "namespace"))
		return 0;
	return problem(why, EINVAL,
		"a pmem region is pmem:auto, pmem:/dev/daxX.Y or pmem:namespaceX.Y; '%s' is none "
		"of these",
		spec->path);
}

/* ---- the namespace ---- */

static bool pmem_is_to_be_made(
	const struct pmem_place *p, const struct region_spec *spec, unsigned flags)
{
	if (!(flags & REGION_OPEN_NAMESPACE))
		return false;
	if (!p->dev)
		return true;
	return (flags & REGION_OPEN_FORCE) && spec->align &&
	       daxctl_dev_get_align(p->dev) != spec->align;
}

static int pmem_check_devdax(
	const struct pmem_place *p, const struct region_spec *spec, struct problem *why)
{
	const char *name = ndctl_namespace_get_devname(p->ns);
	char is[REGION_SIZE_TEXT];
	char wanted[REGION_SIZE_TEXT];

	if (!p->dev)
		return problem(why, ENODEV,
			"%s is no devdax namespace yet: guestmemfs format --region pmem:%s makes "
			"it one and a pool in it",
			name, name);
	if (spec->align && daxctl_dev_get_align(p->dev) != spec->align)
		return problem(why, EINVAL,
			"/dev/%s has pages of %s, not of %s: guestmemfs format --force makes it "
			"anew, and all that it holds is lost",
			daxctl_dev_get_devname(p->dev),
			region_format_size(is, daxctl_dev_get_align(p->dev)),
			region_format_size(wanted, spec->align));
	return 0;
}

/* Finds the device, and makes the namespace where that is asked for. */
static int pmem_find_device(
	struct pmem_place *ret, const struct region_spec *spec, unsigned flags, struct problem *why)
{
	char name[64];
	int r = pmem_find(ret, spec->path, why);

	if (r < 0)
		return r;
	if (pmem_is_to_be_made(ret, spec, flags)) {
		(void)snprintf(name, sizeof(name), "%s", ndctl_namespace_get_devname(ret->ns));
		/* The library has the old state in memory. */
		pmem_place_deinit(ret);
		r = pmem_namespace_make(name, spec->align ? spec->align : GM_BLOCK_SIZE,
			flags & REGION_OPEN_FORCE, why);
		if (r == 0)
			r = pmem_find(ret, name, why);
	}
	return r < 0 ? r : pmem_check_devdax(ret, spec, why);
}

static int pmem_open(const struct region_spec *spec, unsigned flags, bool *created, char **name,
	struct problem *why)
{
	_cleanup_(pmem_place_deinit) struct pmem_place p = PMEM_PLACE_NULL;
	_cleanup_free_ char *node = NULL;
	int r = pmem_find_device(&p, spec, flags, why);

	(void)created;
	if (r < 0)
		return r;
	if (asprintf(&node, "/dev/%s", daxctl_dev_get_devname(p.dev)) < 0) {
		node = NULL;
		return problem_errno(why, ENOMEM, "opening region %s", spec->path);
	}
	int fd = open(
		node, (flags & REGION_OPEN_READ_ONLY ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return problem_errno(why, errno, "opening region %s", node);
	*name = steal_pointer(node);
	return fd;
}

/* ---- what is open ---- */

static int pmem_check_fd(const struct region *r, struct daxctl_dev *dev, struct problem *why)
{
	struct stat st;

	if (fstat(r->fd, &st) < 0)
		return problem_errno(why, errno, "looking at region %s", r->name);
	if (S_ISCHR(st.st_mode) && (int)major(st.st_rdev) == daxctl_dev_get_major(dev) &&
		(int)minor(st.st_rdev) == daxctl_dev_get_minor(dev))
		return 0;
	return problem(
		why, EINVAL, "%s is not the device that is open as region %s", r->name, r->name);
}

static int pmem_check_shape(const struct region *r, struct problem *why)
{
	char align[REGION_SIZE_TEXT];
	char size[REGION_SIZE_TEXT];

	if (r->align != GM_BLOCK_SIZE && r->align != GM_GROUP_SIZE)
		return problem(why, EINVAL,
			"region %s is mapped by pages of %s: it must be 2M or 1G (guestmemfs "
			"format --force --region pmem:%s,align=2M makes it anew, and all that it "
			"holds is lost)",
			r->name, region_format_size(align, r->align), r->name);
	if (r->physical_start % r->align != 0)
		return problem(why, EINVAL,
			"region %s begins at %#" PRIx64 ", which is not a multiple of %s", r->name,
			r->physical_start, region_format_size(align, r->align));
	if (r->size == 0 || r->size % r->align != 0)
		return problem(why, EINVAL, "region %s is %s, which is not a multiple of %s",
			r->name, region_format_size(size, r->size),
			region_format_size(align, r->align));
	return 0;
}

static int pmem_describe(struct region *r, struct problem *why)
{
	_cleanup_(pmem_place_deinit) struct pmem_place p = PMEM_PLACE_NULL;
	int e = pmem_find(&p, r->name, why);

	if (e < 0)
		return e;
	if (!p.dev)
		return problem(why, ENODEV, "%s is no devdax namespace any more", r->name);
	e = pmem_check_fd(r, p.dev, why);
	if (e < 0)
		return e;
	int node = daxctl_dev_get_target_node(p.dev);
	r->size = daxctl_dev_get_size(p.dev);
	r->align = daxctl_dev_get_align(p.dev);
	r->physical_start = daxctl_dev_get_resource(p.dev);
	r->reserved_ram = pmem_is_reserved_ram(&p);
	r->write_back = r->reserved_ram ? NULL : write_back_choose();
	r->node = node < 0 ? GM_NODE_NONE : (uint32_t)node;
	return pmem_check_shape(r, why);
}

const struct region_ops region_pmem_ops = {
	.kind = GM_REGION_PMEM,
	.name = "pmem",
	.needs_trust = true,
	.options = "align",
	.check = pmem_check,
	.open = pmem_open,
	.describe = pmem_describe,
};
