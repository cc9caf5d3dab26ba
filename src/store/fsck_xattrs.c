// SPDX-License-Identifier: MIT
/* The attributes of an image: each by itself, their order, and what they are put on. */
#include <inttypes.h>
#include <string.h>

#include "store/acl.h"
#include "store/codec.h"
#include "store/fsck_image.h"
#include "store/xattrs.h"

#define error(r, ...) fsck_report((r), FSCK_ERROR, __VA_ARGS__)

static bool is_access_list(const struct codec_xattr *x)
{
	return x->name_len == sizeof(ACL_ACCESS_NAME) - 1 &&
	       memcmp(x->name, ACL_ACCESS_NAME, x->name_len) == 0;
}

static void check_inode(
	struct fsck_report *r, const struct codec_xattr *x, const struct checkpoint_section *inodes)
{
	struct inode_attr i;

	if (!fsck_find_inode(inodes, x->ino, &i)) {
		error(r, "attribute-dangling",
			"attribute \"%.*s\" names inode %" PRIu64 ", which is not there",
			x->name_len, x->name, x->ino);
	} else if (!xattr_is_for(x->name, x->name_len, i.mode)) {
		error(r, "attribute-place",
			"attribute \"%.*s\" of inode %" PRIu64 " is none for an inode of its type",
			x->name_len, x->name, x->ino);
	} else if (is_access_list(x) && acl_mode(x->value, x->value_len) != (i.mode & 0777)) {
		/* No reason to refuse a mount: whoever changes the mode next mends it. */
		fsck_report(r, FSCK_NOTE, "attribute-mode",
			"inode %" PRIu64 " has mode %04" PRIo32
			", its access list makes %04" PRIo32,
			x->ino, i.mode & 0777, acl_mode(x->value, x->value_len));
	}
}

void fsck_check_xattrs(struct fsck_report *r, const struct checkpoint_section *xattrs,
	const struct checkpoint_section *inodes)
{
	struct codec_xattr last = {.ino = 0};
	uint64_t at = 0;

	for (uint64_t n = 0; n < xattrs->count; n++) {
		struct codec_xattr x;
		const char *wrong =
			codec_decode_xattr(&x, xattrs->bytes + at, xattrs->length - at, false);

		if (wrong) { /* where the next one begins is not known either */
			error(r, "attribute-bad",
				"attribute record %" PRIu64 ": %s; the ones after it can't be read",
				n, wrong);
			return;
		}
		if (!codec_xattr_follows(&last, &x))
			error(r, "attribute-order",
				"attribute \"%.*s\" of inode %" PRIu64
				" is there twice or out of order",
				x.name_len, x.name, x.ino);
		check_inode(r, &x, inodes);
		last = x;
		at += codec_xattr_bytes(x.name_len, x.value_len);
	}
	if (at != xattrs->length)
		error(r, "attribute-bad", "there is something behind the last attribute");
}
