// SPDX-License-Identifier: MIT
/* The mark of files with content, and of directories in which such files are made
 * (user.guestmemfs.io). */
#include <errno.h>
#include <sys/xattr.h>

#include "fuse/ns_internal.h"
#include "util/cleanup.h"

/* What a file has can't become the other. */
static int check_change(const struct inode *i)
{
	if (inode_is_dir(i))
		return 0;
	if (inode_is_held(i))
		return -EBUSY;
	return i->attr.size > 0 || i->extent_count > 0 ? -ENOTEMPTY : 0;
}

static int check_value(const struct inode *i, const struct ns_xattr *x)
{
	const bool marked = i->attr.flags & GM_INODE_IO;

	if (x->flags & ~(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	if (marked && (x->flags & XATTR_CREATE))
		return -EEXIST;
	if (!marked && (x->flags & XATTR_REPLACE))
		return -ENODATA;
	return x->value_len == 1 && *(const char *)x->value == '1' ? 0 : -EINVAL;
}

int ns_set_mark(struct namespace *ns, const struct ns_request *rq, struct inode *i,
	const struct ns_xattr *x, bool set)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_XATTR, rq->unique);
	struct inode_attr attr = i->attr;
	const bool marked = attr.flags & GM_INODE_IO;
	int r = 0;

	if (!inode_is_dir(i) && !inode_is_file(i))
		return -EPERM;
	if (set)
		r = check_value(i, x);
	else if (!marked)
		r = -ENODATA;
	if (r == 0 && marked != set)
		r = check_change(i);
	if (r < 0)
		return r;
	attr.flags = set ? attr.flags | GM_INODE_IO : attr.flags & ~GM_INODE_IO;
	ns_set_ctime(&attr, &rq->now);
	txn_put_inode(&t, &attr);
	t.result = attr.ino;
	if (set && !marked &&
		i->opens > 0) /* first: a later worker must know it, if it has the mark */
		open_table_note_unmarked(ns->opens, i);
	return store_commit(ns->store, &t);
}
