// SPDX-License-Identifier: MIT
/*
 * Access control lists. The kernel checks them (FUSE_POSIX_ACL); what is left to a filesystem is to
 * keep list and permission bits in step, and to hand a directory's default list on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/ns_internal.h"
#include "store/acl.h"
#include "store/xattrs.h"
#include "util/cleanup.h"

/* A list that says no more than permission bits is kept as those. */
int ns_put_access_acl(const struct namespace *ns, struct txn *t, struct inode_attr *attr,
	const void *acl, size_t size)
{
	if (!acl_is_valid(acl, size))
		return -EINVAL;
	attr->mode = (attr->mode & ~0777U) | acl_mode(acl, size);
	if (!acl_is_minimal(acl, size))
		return ns_put_xattr(ns, t, attr->ino, ACL_ACCESS_NAME, acl, size);
	ns_take_xattr(ns, t, attr->ino, ACL_ACCESS_NAME);
	return 0;
}

static void *copy_of(const struct xattr *x)
{
	void *copy = malloc(x->value_len);

	if (copy)
		memcpy(copy, xattr_value(x), x->value_len);
	return copy;
}

int ns_follow_mode(const struct namespace *ns, struct txn *t, const struct inode_attr *attr)
{
	const struct xattr *x = XATTRS_GET(ns_meta(ns), attr->ino, ACL_ACCESS_NAME);
	_cleanup_free_ void *acl = x ? copy_of(x) : NULL;

	if (!x)
		return 0;
	if (!acl)
		return -ENOMEM;
	acl_set_mode(acl, x->value_len, attr->mode);
	return ns_put_xattr(ns, t, attr->ino, ACL_ACCESS_NAME, acl, x->value_len);
}

static void set_value(struct txn *t, uint64_t ino, const char *name, const void *acl, size_t size)
{
	txn_set_xattr(t, ino, name, strlen(name), acl, size);
}

/* A default list takes the place of the umask. */
static int inherit_acl(const struct namespace *ns, struct txn *t, const struct inode *dir,
	struct inode_attr *attr, uint32_t umask)
{
	const struct xattr *x = XATTRS_GET(ns_meta(ns), dir->attr.ino, ACL_DEFAULT_NAME);
	_cleanup_free_ void *acl = x ? copy_of(x) : NULL;

	if (!x) {
		attr->mode &= ~(umask & 0777);
		return 0;
	}
	if (!acl)
		return -ENOMEM;
	acl_inherit(acl, x->value_len, &attr->mode);
	if (!acl_is_minimal(acl, x->value_len))
		set_value(t, attr->ino, ACL_ACCESS_NAME, acl, x->value_len);
	if (S_ISDIR(attr->mode))
		set_value(t, attr->ino, ACL_DEFAULT_NAME, xattr_value(x), x->value_len);
	return 0;
}

int ns_inherit(const struct namespace *ns, struct txn *t, const struct inode *dir,
	struct inode_attr *attr, uint32_t umask)
{
	_cleanup_(txn_deinit) struct txn inherited = TXN_INIT(t->type, t->unique);
	int r;

	if (S_ISLNK(attr->mode)) {
		txn_put_inode(t, attr);
		return 0;
	}
	r = inherit_acl(ns, &inherited, dir, attr, umask);
	if (r < 0)
		return r;
	ns_inherit_page_size(ns, &inherited, dir, attr);
	txn_put_inode(t, attr); /* its mode is known now, and its attributes come after it */
	txn_append(t, &inherited);
	return 0;
}

uint32_t ns_node_mode(const struct meta *m, const struct inode *i)
{
	const struct xattr *x = XATTRS_GET(m, i->attr.ino, ACL_ACCESS_NAME);

	return x ? acl_plain_mode(xattr_value(x), x->value_len) : i->attr.mode & 0777;
}
