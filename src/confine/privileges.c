// SPDX-License-Identifier: MIT
/*
 * The order matters: what needs a privilege comes before the privilege goes. The root directory
 * (CAP_SYS_CHROOT), the bounding set (CAP_SETPCAP), groups and user (CAP_SETGID, CAP_SETUID), and
 * the capabilities themselves last.
 */
#include "confine/confine.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "confine/sanitizers.h"
#include "util/cleanup.h"

/* ---- the root directory ---- */

/*
 * A directory that has been removed is the emptiest there is: nothing can be made in it, by nobody.
 * With no descriptor of a directory outside and without CAP_SYS_CHROOT there is no way back.
 */
static int make_removed_directory(const char *in, struct problem *why)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_fd_ int fd = -1;

	if (asprintf(&path, "%s/root.XXXXXX", in) < 0) {
		path = NULL;
		return problem_errno(why, ENOMEM, "naming an empty directory");
	}
	if (!mkdtemp(path))
		return problem_errno(why, errno, "making an empty directory in %s", in);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int error = errno;
	if (rmdir(path) < 0 || fd < 0)
		return problem_errno(
			why, fd < 0 ? error : errno, "preparing the empty directory %s", path);
	return steal_fd(&fd);
}

static int empty_root(const char *in, struct problem *why)
{
	_cleanup_fd_ int fd = make_removed_directory(in, why);

	if (fd < 0)
		return fd;
	if (fchdir(fd) < 0 || chroot(".") < 0)
		return problem_errno(why, errno, "changing to an empty root directory");
	return 0;
}

/* ---- capabilities ---- */

/* What is not there can't be kept, and is not asked for: in a container root may have few. */
static int choose_capabilities(const struct confine_privileges *p, struct problem *why)
{
	uint64_t keep = 0;

	if (capng_get_caps_process() < 0)
		return problem(why, EIO, "this process's capabilities can't be read");
	for (size_t i = 0; i < p->capability_count; i++)
		if (capng_have_capability(CAPNG_PERMITTED, (unsigned)p->capabilities[i]) == 1)
			keep |= UINT64_C(1) << p->capabilities[i];
	capng_clear(CAPNG_SELECT_ALL);
	for (unsigned c = 0; c < 64; c++)
		if ((keep & UINT64_C(1) << c) &&
			capng_update(CAPNG_ADD,
				CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET, c) < 0)
			return problem(why, EIO, "capability %u can't be kept", c);
	return 0;
}

/*
 * A process without CAP_SETPCAP can't shrink it. It counts only when a program is executed, and
 * gives nothing then either to one that has no_new_privs and is not root.
 */
static int shrink_bounding_set(bool may, struct problem *why)
{
	if (may && capng_apply(CAPNG_SELECT_BOUNDS) < 0)
		return problem(
			why, EPERM, "the bounding set of capabilities can't be made smaller");
	return 0;
}

static int shrink_capabilities(struct problem *why)
{
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return problem_errno(why, errno, "giving up ambient capabilities");
	if (capng_apply(CAPNG_SELECT_CAPS) < 0)
		return problem(why, EPERM, "capabilities can't be given up");
	return 0;
}

/* ---- user and group ---- */

static int become(uid_t uid, gid_t gid, struct problem *why)
{
	/* What is to be kept must outlive the change of user; it is reduced right after it. */
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return problem_errno(why, errno, "changing the user");
	if (setgroups(0, NULL) < 0)
		return problem_errno(why, errno, "leaving the supplementary groups");
	if (setresgid(gid, gid, gid) < 0)
		return problem_errno(why, errno, "becoming group %u", (unsigned)gid);
	if (setresuid(uid, uid, uid) < 0)
		return problem_errno(why, errno, "becoming user %u", (unsigned)uid);
	if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
		return problem_errno(why, errno, "changing the user");
	return 0;
}

int confine_privileges(const struct confine_privileges *p, struct problem *why)
{
	int r = p->empty_root_in && confine_sanitizer.count == 0 ? empty_root(p->empty_root_in, why)
								 : 0;

	if (r == 0)
		r = choose_capabilities(p, why);
	if (r == 0)
		r = shrink_bounding_set(
			prctl(PR_CAPBSET_READ, CAP_SETPCAP, 0, 0, 0) == 1 && geteuid() == 0, why);
	if (r == 0 && p->change_user)
		r = become(p->uid, p->gid, why);
	if (r == 0)
		r = shrink_capabilities(why);
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = problem_errno(why, errno, "setting no_new_privs");
	return r;
}
