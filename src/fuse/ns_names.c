// SPDX-License-Identifier: MIT
/* Names that come and go: create, mkdir, unlink, rmdir. */
#include <errno.h>

#include "fuse/ns_internal.h"
#include "util/cleanup.h"

/* The directory and a name in it that is none of "." and "..". */
static int find_place(const struct namespace *ns, uint64_t parent, const char *name, size_t length,
	struct inode **ret)
{
	int r = ns_find_dir(ns, parent, ret);

	return r < 0 ? r : ns_check_name(name, length);
}

/* A set-group-ID directory passes on its group, and to directories the bit itself (inode(7)); one
 * whose files have content passes on that. */
static struct inode_attr new_attr(uint64_t ino, const struct inode *dir,
	const struct ns_request *rq, const struct ns_kind *kind)
{
	bool inherit = dir->attr.mode & S_ISGID;
	struct inode_attr a = {
		.ino = ino,
		.mode = kind->mode,
		.rdev = kind->rdev,
		.size = kind->target_length,
		.uid = rq->uid,
		.gid = inherit ? dir->attr.gid : rq->gid,
		.flags = S_ISREG(kind->mode) || S_ISDIR(kind->mode) ? dir->attr.flags & GM_INODE_IO
								    : 0,
		.links = 1,
		.btime = rq->now.tv_sec,
		.btime_nsec = (uint32_t)rq->now.tv_nsec,
	};

	ns_set_atime(&a, &rq->now);
	ns_set_changed(&a, &rq->now);
	if (S_ISDIR(a.mode)) {
		a.mode |= inherit ? S_ISGID : 0;
		a.links = 2;
		a.parent = dir->attr.ino;
		a.next_cookie = GM_FIRST_COOKIE;
	}
	return a;
}

int ns_find_free(const struct namespace *ns, const struct ns_name *where, struct inode **dir)
{
	int r = find_place(ns, where->parent, where->name, where->length, dir);

	if (r < 0)
		return r;
	if (ns_is_dot(where->name, where->length) || ns_is_dotdot(where->name, where->length) ||
		meta_lookup(ns_meta(ns), where->parent, where->name, where->length))
		return -EEXIST;
	return 0;
}

int ns_make(struct namespace *ns, const struct ns_request *rq, const struct ns_name *where,
	const struct ns_kind *kind, struct stat *ret)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(kind->record, rq->unique);
	struct inode_attr attr, up;
	struct inode *dir;
	int r = ns_find_free(ns, where, &dir);

	if (r < 0)
		return r;
	attr = new_attr(ns_meta(ns)->next_ino, dir, rq, kind);
	r = ns_inherit(ns, &t, dir, &attr, rq->umask);
	if (r < 0)
		return r;
	up = dir->attr;
	ns_set_changed(&up, &rq->now);
	up.links += S_ISDIR(attr.mode);
	up.next_cookie++;
	if (kind->target)
		txn_set_target(&t, attr.ino, kind->target, kind->target_length);
	txn_put_inode(&t, &up);
	txn_add_dirent(&t, up.ino, attr.ino, dir->attr.next_cookie, (uint8_t)(attr.mode >> 12),
		where->name, where->length);
	t.result = attr.ino;
	r = store_commit(ns->store, &t);
	return r < 0 ? r : ns_getattr(ns, attr.ino, ret);
}

int ns_create(struct namespace *ns, const struct ns_request *rq, uint64_t parent, const char *name,
	size_t length, uint32_t mode, struct stat *ret)
{
	struct ns_name where = {.parent = parent, .name = name, .length = length};
	struct ns_kind kind = {.record = GM_RECORD_CREATE, .mode = S_IFREG | (mode & 07777)};

	return ns_make(ns, rq, &where, &kind, ret);
}

int ns_mkdir(struct namespace *ns, const struct ns_request *rq, uint64_t parent, const char *name,
	size_t length, uint32_t mode, struct stat *ret)
{
	struct ns_name where = {.parent = parent, .name = name, .length = length};
	struct ns_kind kind = {.record = GM_RECORD_MKDIR, .mode = S_IFDIR | (mode & 07777)};

	return ns_make(ns, rq, &where, &kind, ret);
}

/* Takes away the entry of i in dir, and i with its last one. */
static int remove_entry(struct namespace *ns, const struct ns_request *rq, const struct inode *dir,
	const struct dirent *d, const struct inode *i)
{
	bool is_dir = inode_is_dir(i);
	_cleanup_(txn_deinit) struct txn t =
		TXN_INIT(is_dir ? GM_RECORD_RMDIR : GM_RECORD_UNLINK, rq->unique);
	struct inode_attr up = dir->attr;
	bool orphan;
	int r;

	ns_set_changed(&up, &rq->now);
	up.links -= is_dir;
	t.result = d->ino;
	txn_remove_dirent(&t, d->parent, d->cookie);
	orphan = ns_drop_name(&t, i, &rq->now);
	txn_put_inode(&t, &up);
	r = store_commit(ns->store, &t);
	if (r < 0)
		return r;
	ns->orphans += orphan;
	if (orphan)
		ns_note_left(ns, i);
	return 0;
}

static int find_entry(const struct namespace *ns, uint64_t parent, const char *name, size_t length,
	struct dirent **entry, struct inode **inode)
{
	struct dirent *d = meta_lookup(ns_meta(ns), parent, name, length);

	if (!d)
		return -ENOENT;
	*entry = d;
	return ns_find(ns, d->ino, inode);
}

int ns_unlink(struct namespace *ns, const struct ns_request *rq, uint64_t parent, const char *name,
	size_t length)
{
	struct inode *dir, *i;
	struct dirent *d;
	int r = find_place(ns, parent, name, length, &dir);

	if (r < 0)
		return r;
	if (ns_is_dot(name, length) || ns_is_dotdot(name, length))
		return -EISDIR;
	r = find_entry(ns, parent, name, length, &d, &i);
	if (r < 0)
		return r;
	if (inode_is_dir(i))
		return -EISDIR;
	return remove_entry(ns, rq, dir, d, i);
}

int ns_rmdir(struct namespace *ns, const struct ns_request *rq, uint64_t parent, const char *name,
	size_t length)
{
	struct inode *dir, *i;
	struct dirent *d;
	int r = find_place(ns, parent, name, length, &dir);

	if (r < 0)
		return r;
	if (ns_is_dot(name, length))
		return -EINVAL;
	if (ns_is_dotdot(name, length))
		return -ENOTEMPTY;
	r = find_entry(ns, parent, name, length, &d, &i);
	if (r < 0)
		return r;
	if (!inode_is_dir(i))
		return -ENOTDIR;
	if (i->entry_count > 0)
		return -ENOTEMPTY;
	return remove_entry(ns, rq, dir, d, i);
}
