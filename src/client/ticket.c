// SPDX-License-Identifier: MIT
/* From an open file to a ticket and to the place where it can be redeemed. */
#include "client/client.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

/* For descriptors that may be anything: neither our ioctl nor our xattr is to reach a foreign
 * device or filesystem. */
static bool is_fuse(int fd)
{
	struct statfs st;

	return fstatfs(fd, &st) == 0 && (uint64_t)st.f_type == FUSE_SUPER_MAGIC;
}

int gm_is_guestmemfs(int fd)
{
	int saved = errno, found;

	found = is_fuse(fd) && fgetxattr(fd, GM_XATTR_SOCKET, NULL, 0) > 0;
	errno = saved;
	return found;
}

static int not_ours(struct problem *why)
{
	return problem(why, ENOTTY, "not a file of a guestmemfs mount");
}

static int explain(int err, struct problem *why)
{
	switch (err) {
	case ENOTTY:
	case ENOSYS:
	case EINVAL:
	case EOPNOTSUPP:
		return not_ours(why);
	case EMEDIUMTYPE:
		return problem(why, EMEDIUMTYPE,
			"it is a file with content (user.guestmemfs.io): it is read and written, "
			"and has no memory to attach");
	case EBADF:
		return problem(
			why, EBADF, "opened with O_PATH, which gives no access to its memory");
	case EACCES:
		return problem(why, EACCES,
			"opened for writing only, but memory can't be mapped without reading: use "
			"O_RDWR");
	case EAGAIN:
		return problem(
			why, EAGAIN, "too many tickets are outstanding; try again in a moment");
	case EBUSY:
		return problem(why, EBUSY, "%s", gm_strreason(GM_REASON_FROZEN));
	case ENOTCONN:
		return problem(why, ENOTCONN, "the mount's daemon has ended; start it again");
	default:
		return problem_errno(why, err, "asking for a ticket");
	}
}

/*
 * The answer tells whether the file is ours; asking statfs(2) before would be one more request to
 * the mount. So only what FUSE can be is asked: regular files, which know ioctls by their exact
 * numbers, of filesystems without a device.
 */
int ticket_invite(int fd, struct gm_invitation *ret, ino_t *ino, struct problem *why)
{
	struct gm_invitation i;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return problem_errno(why, errno, "looking at the file");
	if (!S_ISREG(st.st_mode) || major(st.st_dev) != 0)
		return not_ours(why);
	if (ioctl(fd, GM_IOC_INVITATION, &i) < 0)
		return explain(errno, why);
	if (i.socket[0] != '/' || !memchr(i.socket, '\0', sizeof(i.socket)))
		return problem(why, EPROTO, "its daemon names no path of a socket");
	*ret = i;
	*ino = st.st_ino;
	return 0;
}

int gm_ticket(int fd, struct gm_ticket *ticket)
{
	struct problem *why = last_problem();
	struct gm_ticket t;

	if (!is_fuse(fd))
		return fcntl(fd, F_GETFD) < 0 ? problem_errno(why, errno, "the descriptor")
					      : not_ours(why);
	if (ioctl(fd, GM_IOC_TICKET, &t) < 0)
		return explain(errno, why);
	*ticket = t;
	return 0;
}
