// SPDX-License-Identifier: MIT
/* More names for one inode, and the inodes that are names themselves: symlinks, FIFOs, sockets and
 * device nodes. None of them has memory. */
#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "fuse/ns_internal.h"
#include "util/cleanup.h"

static int check_rdev(uint32_t mode, dev_t rdev, uint64_t *ret)
{
	*ret = 0;
	if (!S_ISCHR(mode) && !S_ISBLK(mode))
		return 0;
	if (major(rdev) > GM_RDEV_MAJOR_MAX || minor(rdev) > GM_RDEV_MINOR_MAX)
		return -EINVAL;
	*ret = INODE_RDEV(major(rdev), minor(rdev));
	return 0;
}

static uint32_t type_of(uint32_t mode)
{
	return mode & S_IFMT ? mode & S_IFMT : S_IFREG;
}

static bool is_node_type(uint32_t type)
{
	return type == S_IFREG || type == S_IFIFO || type == S_IFSOCK || type == S_IFCHR ||
	       type == S_IFBLK;
}

int ns_mknod(struct namespace *ns, const struct ns_request *rq, const struct ns_name *where,
	uint32_t mode, dev_t rdev, struct stat *ret)
{
	uint32_t type = type_of(mode);
	struct ns_kind kind = {
		.record = type == S_IFREG ? GM_RECORD_CREATE : GM_RECORD_MKNOD,
		.mode = type | (mode & 07777),
	};
	int r = is_node_type(type) ? check_rdev(type, rdev, &kind.rdev) : -EINVAL;

	return r < 0 ? r : ns_make(ns, rq, where, &kind, ret);
}

int ns_symlink(struct namespace *ns, const struct ns_request *rq, const struct ns_name *where,
	const char *target, struct stat *ret)
{
	struct ns_kind kind = {
		.record = GM_RECORD_SYMLINK,
		.mode = S_IFLNK | 0777,
		.target = target,
		.target_length = strlen(target),
	};

	if (kind.target_length == 0)
		return -ENOENT;
	if (kind.target_length > GM_TARGET_MAX)
		return -ENAMETOOLONG;
	return ns_make(ns, rq, where, &kind, ret);
}

int ns_readlink(const struct namespace *ns, uint64_t ino, const char **ret)
{
	struct inode *i;
	int r = ns_find(ns, ino, &i);

	if (r < 0)
		return r;
	if (!inode_is_symlink(i))
		return -EINVAL;
	*ret = i->target;
	return 0;
}

/* In the order in which Linux asks. */
static int check_link(const struct namespace *ns, uint64_t ino, const struct ns_name *where,
	struct inode **inode, struct inode **dir)
{
	int r = ns_find_free(ns, where, dir);

	if (r == 0)
		r = ns_find(ns, ino, inode);
	if (r < 0)
		return r;
	if (inode_is_dir(*inode))
		return -EPERM;
	if ((*inode)->attr.links == 0)
		return -ENOENT;
	return (*inode)->attr.links < NS_LINKS_MAX ? 0 : -EMLINK;
}

int ns_link(struct namespace *ns, const struct ns_request *rq, uint64_t ino,
	const struct ns_name *where, struct stat *ret)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_LINK, rq->unique);
	struct inode_attr attr, up;
	struct inode *i, *dir;
	int r = check_link(ns, ino, where, &i, &dir);

	if (r < 0)
		return r;
	attr = i->attr;
	attr.links++;
	ns_set_ctime(&attr, &rq->now);
	up = dir->attr;
	up.next_cookie++;
	ns_set_changed(&up, &rq->now);
	txn_put_inode(&t, &attr);
	txn_put_inode(&t, &up);
	txn_add_dirent(&t, up.ino, ino, dir->attr.next_cookie, (uint8_t)(attr.mode >> 12),
		where->name, where->length);
	t.result = ino;
	r = store_commit(ns->store, &t);
	return r < 0 ? r : ns_getattr(ns, ino, ret);
}
