// SPDX-License-Identifier: MIT
/*
 * A device of a soft region and its node, from the outside, without the lock: is it still what it
 * was, who may open it, and what is noted of that.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "region/dax_sysfs.h"
#include "region/soft_device.h"
#include "region/soft_record.h"
#include "util/cleanup.h"

int soft_device_check(const struct soft_device *d, struct problem *why)
{
	const struct dax_id id = {.region = d->region_id, .id = d->id};
	uint64_t instance = 0, identity = 0;
	char driver[DAX_NAME], node[SOFT_DEVICE_NODE];
	int r;

	soft_device_node(node, d);
	if (dax_get_instance(id, &instance) < 0)
		return problem(why, ESTALE, "%s is gone: somebody has removed it", node);
	if (instance != d->instance)
		return problem(why, ESTALE,
			"%s is another device now: somebody has removed ours and made one of its "
			"name",
			node);
	/* In this order: it waits for whoever binds or unbinds it. */
	r = dax_get_identity(id, &identity);
	if (r == 0)
		r = dax_get_driver(id, driver);
	if (r == 0 && driver[0] == '\0')
		return problem(why, ENXIO, "%s has no driver: somebody has unbound it", node);
	if (r < 0 || identity != d->identity)
		return problem(why, ESTALE,
			"%s is not what it was made as: somebody has changed its ranges, or has "
			"unbound it and bound it again",
			node);
	return 0;
}

/* whole: with the ranges and the driver that it was made with, too. */
static bool is_same(const struct soft_device *d, bool whole)
{
	const struct dax_id id = {.region = d->region_id, .id = d->id};
	uint64_t now = 0;

	if (whole)
		return dax_get_identity(id, &now) == 0 && now == d->identity;
	return dax_get_instance(id, &now) == 0 && now == d->instance;
}

/*
 * The number of what was opened is that of a device that was there before, and is there after: so
 * it was its number in between, whatever the name has led to.
 */
static int open_node(const struct soft_device *d, int flags, bool whole)
{
	char node[SOFT_DEVICE_NODE];
	struct stat st;
	_cleanup_fd_ int fd = open(soft_device_node(node, d), flags | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISCHR(st.st_mode) || st.st_rdev != d->rdev)
		return -ESTALE;
	if (!is_same(d, whole))
		return -ESTALE;
	return steal_fd(&fd);
}

int soft_device_open(const struct soft_device *d, int access)
{
	return open_node(d, access, true);
}

int soft_device_note_exported(uint64_t region_start, struct soft_device *d)
{
	int r = d->exported ? 0 : soft_record_note_exported(region_start, d->id, d->identity);

	if (r == 0)
		d->exported = true;
	return r;
}

int soft_device_note_window(uint64_t region_start, struct soft_device *d)
{
	int r = soft_record_note_window(region_start, d->id, d->identity);

	if (r == 0)
		d->window = true;
	return r;
}

/* chmod(2) gives the entries of an access list no more than the group's bits, but leaves them: with
 * the next owner's bits, those whom the last one let in would be back. */
static int drop_acl(const char *path)
{
	if (removexattr(path, "system.posix_acl_access") == 0)
		return 0;
	return errno == ENODATA || errno == EOPNOTSUPP ? 0 : -errno;
}

int soft_device_set_owner(const struct soft_device *d, uid_t uid, gid_t gid, mode_t mode)
{
	/* Whatever has become of it, it can be closed. */
	_cleanup_fd_ int fd = open_node(d, O_PATH, mode != 0);
	char path[64];

	if (fd < 0)
		return fd;
	/* The right of the new owner begins with the new mode: nobody gets in between. */
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (chmod(path, 0) < 0)
		return -errno;
	int r = drop_acl(path);
	if (r < 0)
		return r;
	if (chown(path, uid, gid) < 0 || chmod(path, mode & 0777) < 0)
		return -errno;
	return 0;
}
