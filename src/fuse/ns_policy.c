// SPDX-License-Identifier: MIT
/* Which units of memory a file is made of (user.guestmemfs.pagesize). */
#include <errno.h>
#include <string.h>

#include "fuse/ns_internal.h"
#include "store/xattrs.h"

static bool is(const char *word, const void *value, size_t value_len)
{
	return value_len == strlen(word) && memcmp(value, word, value_len) == 0;
}

/*
 * "1G" only before there is any memory: what a file has can't be moved. "2M" where memory is given
 * out by whole GiBs would be a promise that can't be kept.
 */
int ns_put_page_size(const struct namespace *ns, struct txn *t, const struct inode *i,
	const void *value, size_t value_len)
{
	bool groups = alloc_granule(ns_meta(ns)->alloc) > 1;

	if (is("auto", value, value_len)) {
		ns_take_xattr(ns, t, i->attr.ino, XATTR_PAGE_SIZE);
		return 0;
	}
	if (!is("1G", value, value_len) && !is("2M", value, value_len))
		return -EINVAL;
	if (is("2M", value, value_len) && groups)
		return -EINVAL;
	if (is("1G", value, value_len) && !inode_is_dir(i) &&
		(i->attr.size > 0 || i->extent_count > 0))
		return -EINVAL;
	return ns_put_xattr(ns, t, i->attr.ino, XATTR_PAGE_SIZE, value, value_len);
}

void ns_inherit_page_size(const struct namespace *ns, struct txn *t, const struct inode *dir,
	const struct inode_attr *attr)
{
	const struct xattr *x = XATTRS_GET(ns_meta(ns), dir->attr.ino, XATTR_PAGE_SIZE);

	if (x && (S_ISDIR(attr->mode) || S_ISREG(attr->mode)))
		txn_set_xattr(t, attr->ino, x->name, x->name_len, xattr_value(x), x->value_len);
}

enum alloc_unit ns_unit_of(const struct namespace *ns, const struct inode *i)
{
	const struct xattr *x = XATTRS_GET(ns_meta(ns), i->attr.ino, XATTR_PAGE_SIZE);

	if (!x)
		return ALLOC_UNIT_AUTO;
	return is("1G", xattr_value(x), x->value_len) ? ALLOC_UNIT_1G : ALLOC_UNIT_2M;
}

uint64_t ns_granule_of(const struct namespace *ns, const struct inode *i)
{
	return ns_unit_of(ns, i) == ALLOC_UNIT_1G ? GM_BLOCKS_PER_GROUP
						  : alloc_granule(ns_meta(ns)->alloc);
}

bool ns_size_fits(const struct namespace *ns, const struct inode *i, uint64_t size)
{
	return ns_granule_of(ns, i) == 1 || size % GM_GROUP_SIZE == 0;
}
