// SPDX-License-Identifier: MIT
/* Extended attributes: which names are taken, what they may be put on, and how many. */
#include <errno.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "fuse/ns_internal.h"
#include "store/acl.h"
#include "store/codec.h"
#include "store/xattrs.h"
#include "util/cleanup.h"

static bool begins(const char *name, const char *with)
{
	return strncmp(name, with, strlen(with)) == 0;
}

/* The errors are the kernel's (xattr(7)), where it has some. */
static int check_place(const struct inode *i, const char *name)
{
	if (xattr_is_for(name, strlen(name), i->attr.mode))
		return 0;
	if (strcmp(name, XATTR_QUOTA) == 0 && S_ISREG(i->attr.mode))
		return -ENOTDIR;
	if (begins(name, "user."))
		return -EPERM;
	return S_ISLNK(i->attr.mode) ? -EOPNOTSUPP : -EACCES;
}

static int check_flags(const struct xattr *old, int flags)
{
	if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	if (old && (flags & XATTR_CREATE))
		return -EEXIST;
	return !old && (flags & XATTR_REPLACE) ? -ENODATA : 0;
}

/* A listing must fit what listxattr(2) can give, or nobody could see it whole; and one inode may
 * not take all the room that there is for attributes. */
static int check_total(const struct meta *m, uint64_t ino, const struct xattr *old, size_t name_len,
	size_t value_len)
{
	uint64_t names = name_len + 1, bytes = codec_xattr_bytes(name_len, value_len);

	for (const struct xattr *x = xattrs_first(m, ino); x; x = x->next) {
		if (x == old)
			continue;
		names += x->name_len + 1U;
		bytes += codec_xattr_bytes(x->name_len, x->value_len);
	}
	return names > XATTR_LIST_MAX || bytes > NS_XATTR_BYTES_MAX ? -ENOSPC : 0;
}

int ns_put_xattr(const struct namespace *ns, struct txn *t, uint64_t ino, const char *name,
	const void *value, size_t value_len)
{
	size_t name_len = strlen(name);
	const struct xattr *old = xattrs_find(ns_meta(ns), ino, name, name_len);
	int r = check_total(ns_meta(ns), ino, old, name_len, value_len);

	if (r == 0)
		txn_set_xattr(t, ino, name, name_len, value, value_len);
	return r;
}

void ns_take_xattr(const struct namespace *ns, struct txn *t, uint64_t ino, const char *name)
{
	size_t name_len = strlen(name);

	if (xattrs_find(ns_meta(ns), ino, name, name_len))
		txn_remove_xattr(t, ino, name, name_len);
}

/* Items that make it so, and what follows from it for the inode. */
static int put_value(const struct namespace *ns, const struct ns_request *rq, struct txn *t,
	const struct inode *i, struct inode_attr *attr, const struct ns_xattr *x)
{
	if (strcmp(x->name, ACL_ACCESS_NAME) == 0)
		return ns_put_access_acl(ns, t, attr, x->value, x->value_len);
	if (strcmp(x->name, XATTR_PAGE_SIZE) == 0)
		return ns_put_page_size(ns, t, i, x->value, x->value_len);
	if (strcmp(x->name, XATTR_QUOTA) == 0)
		return ns_put_quota(ns, rq, t, i, x->value, x->value_len);
	if (xattr_check_value(x->name, strlen(x->name), x->value, x->value_len))
		return -EINVAL;
	return ns_put_xattr(ns, t, attr->ino, x->name, x->value, x->value_len);
}

/* A namespace alone ("user.") is no name. */
static bool is_empty_name(const char *name)
{
	return strcmp(name, "user.") == 0 || strcmp(name, "trusted.") == 0 ||
	       strcmp(name, "security.") == 0;
}

static int check_name(const char *name, size_t name_len)
{
	if (name_len == 0 || name_len > GM_NAME_MAX)
		return -ERANGE;
	if (is_empty_name(name))
		return -EINVAL;
	return xattr_check_name(name, name_len) ? -EOPNOTSUPP : 0;
}

/* Why nothing is there by that name: which names there can be the kernel leaves to us. */
static int why_absent(const char *name)
{
	if (is_empty_name(name))
		return -EINVAL;
	if (begins(name, "user.") || begins(name, "trusted.") || begins(name, "security.") ||
		strcmp(name, ACL_ACCESS_NAME) == 0 || strcmp(name, ACL_DEFAULT_NAME) == 0)
		return -ENODATA;
	return -EOPNOTSUPP;
}

int ns_setxattr(
	struct namespace *ns, const struct ns_request *rq, uint64_t ino, const struct ns_xattr *x)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_XATTR, rq->unique);
	size_t name_len = strlen(x->name);
	struct inode_attr attr;
	struct inode *i;
	int r = ns_find(ns, ino, &i);

	if (r == 0 && strcmp(x->name, XATTR_IO) == 0)
		return ns_set_mark(ns, rq, i, x, true);
	if (r == 0)
		r = check_name(x->name, name_len);
	if (r == 0 && x->value_len > GM_XATTR_VALUE_MAX)
		r = -E2BIG;
	if (r == 0)
		r = check_place(i, x->name);
	if (r == 0)
		r = check_flags(xattrs_find(ns_meta(ns), ino, x->name, name_len), x->flags);
	if (r < 0)
		return r;
	attr = i->attr;
	r = put_value(ns, rq, &t, i, &attr, x);
	if (r < 0)
		return r;
	ns_set_ctime(&attr, &rq->now);
	txn_put_inode(&t, &attr);
	t.result = ino;
	return store_commit(ns->store, &t);
}

int ns_removexattr(
	struct namespace *ns, const struct ns_request *rq, uint64_t ino, const char *name)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_XATTR, rq->unique);
	struct inode_attr attr;
	struct inode *i;
	int r = ns_find(ns, ino, &i);

	if (r == 0 && strcmp(name, XATTR_IO) == 0)
		return ns_set_mark(ns, rq, i, NULL, false);
	if (r == 0)
		r = check_place(i, name);
	if (r < 0)
		return r == -ENOTDIR ? -ENODATA : r;
	if (!xattrs_find(ns_meta(ns), ino, name, strlen(name)))
		return begins(name, "system.posix_acl_") ? 0 /* as on other filesystems */
							 : why_absent(name);
	if (strcmp(name, XATTR_QUOTA) == 0 && !ns_may_set_quota(ns, rq))
		return -EPERM;
	ns_take_xattr(ns, &t, ino, name);
	attr = i->attr;
	ns_set_ctime(&attr, &rq->now);
	txn_put_inode(&t, &attr);
	t.result = ino;
	return store_commit(ns->store, &t);
}

static bool is_marked(const struct namespace *ns, uint64_t ino)
{
	const struct inode *i = meta_inode(ns_meta(ns), ino);

	return i && (i->attr.flags & GM_INODE_IO);
}

int ns_getxattr(const struct namespace *ns, uint64_t ino, const char *name, const void **ret,
	size_t *length)
{
	const struct xattr *x = xattrs_find(ns_meta(ns), ino, name, strlen(name));

	if (strcmp(name, XATTR_IO) == 0 && is_marked(ns, ino)) {
		*ret = "1";
		*length = 1;
		return 0;
	}
	if (!x)
		return why_absent(name);
	*ret = xattr_value(x);
	*length = x->value_len;
	return 0;
}

/*
 * "trusted." is for who could read it, and a quota is a limit of this place: who copies a tree must
 * not be told of it, or he would carry it elsewhere, or fail to. The mark of files with content is
 * no attribute that is stored, and is not listed for the same reason: rsync -X would take it away.
 */
static bool is_listed(const struct xattr *x, bool privileged)
{
	static const char trusted[] = "trusted.";

	if (x->name_len == sizeof(XATTR_QUOTA) - 1 &&
		memcmp(x->name, XATTR_QUOTA, x->name_len) == 0)
		return false;
	return privileged || x->name_len < sizeof(trusted) ||
	       memcmp(x->name, trusted, sizeof(trusted) - 1) != 0;
}

int ns_listxattr(
	const struct namespace *ns, uint64_t ino, bool privileged, char **ret, size_t *size)
{
	const struct xattr *first = xattrs_first(ns_meta(ns), ino);
	size_t room = 0, at = 0;
	char *names;

	for (const struct xattr *x = first; x; x = x->next)
		room += x->name_len + 1U;
	names = malloc(room + 1);
	if (!names)
		return -ENOMEM;
	for (const struct xattr *x = first; x; x = x->next) {
		if (!is_listed(x, privileged))
			continue;
		memcpy(names + at, x->name, x->name_len);
		at += x->name_len;
		names[at++] = '\0';
	}
	*ret = names;
	*size = at;
	return 0;
}
