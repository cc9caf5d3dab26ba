// SPDX-License-Identifier: MIT
/* Setting quotas (user.guestmemfs.quota), and what statfs says below one. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fuse/ns_internal.h"
#include "store/xattrs.h"

bool ns_may_set_quota(const struct namespace *ns, const struct ns_request *rq)
{
	return rq->uid == 0 || rq->uid == ns->owner;
}

/* A number with one of K, M, G and T behind it, or nothing: powers of 1024, as everywhere here. */
static int parse_bytes(const char *text, size_t length, uint64_t *ret)
{
	static const char suffixes[] = "KMGT";
	const char *suffix = length > 0 ? memchr(suffixes, text[length - 1], 4) : NULL;
	unsigned shift = suffix ? 10 * (unsigned)(suffix - suffixes + 1) : 0;
	uint64_t n = 0;

	length -= suffix != NULL;
	if (length == 0)
		return -EINVAL;
	for (size_t k = 0; k < length; k++) {
		if (text[k] < '0' || text[k] > '9')
			return -EINVAL;
		uint64_t digit = (uint64_t)(text[k] - '0');
		if (n > (INT64_MAX - digit) / 10)
			return -EINVAL;
		n = n * 10 + digit;
	}
	if (n == 0 || n > (uint64_t)INT64_MAX >> shift)
		return -EINVAL;
	*ret = n << shift;
	return 0;
}

int ns_put_quota(const struct namespace *ns, const struct ns_request *rq, struct txn *t,
	const struct inode *dir, const void *value, size_t value_len)
{
	uint64_t bytes = 0;
	char text[24];
	int r = ns_may_set_quota(ns, rq) ? parse_bytes(value, value_len, &bytes) : -EPERM;

	if (r < 0)
		return r;
	(void)snprintf(text, sizeof(text), "%" PRIu64, bytes);
	return ns_put_xattr(ns, t, dir->attr.ino, XATTR_QUOTA, text, strlen(text));
}

static uint64_t divide_up(uint64_t n, uint64_t by)
{
	return n / by + (n % by != 0);
}

/* Rounded up: a quota of less than a block is not one of nothing. */
void ns_statfs_at(const struct namespace *ns, uint64_t ino, struct statvfs *ret)
{
	const struct inode *i = meta_inode(ns_meta(ns), ino);
	struct quota_room room;
	uint64_t blocks, left;

	ns_statfs(ns, ret);
	if (!i || !quotas_room(ns_meta(ns), i, &room))
		return;
	blocks = divide_up(room.limit, GM_BLOCK_SIZE);
	left = divide_up(room.left, GM_UNITS_PER_BLOCK);
	if (blocks < ret->f_blocks)
		ret->f_blocks = blocks;
	if (left < ret->f_bfree)
		ret->f_bfree = ret->f_bavail = left;
}
