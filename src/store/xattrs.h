/* SPDX-License-Identifier: MIT */
/*
 * Extended attributes in memory: a list for each inode that has any, found by its number, so that
 * the many that have none pay nothing. The rules of names and values are here too; codec.c and the
 * namespace both ask them.
 */
#ifndef GM_STORE_XATTRS_H
#define GM_STORE_XATTRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/meta.h"

/* Ours, beside those that say something about the mount (protocol.h). */
#define XATTR_OURS      "user.guestmemfs."
#define XATTR_PAGE_SIZE "user.guestmemfs.pagesize" /* "2M", "1G"; no attribute is "auto" */
#define XATTR_QUOTA     "user.guestmemfs.quota"    /* directories: bytes, in decimal */

/* A file or directory with GM_INODE_IO shows it as this, with the value "1"; it is not stored. */
#define XATTR_IO "user.guestmemfs.io"

struct xattr {
	uint64_t ino;
	struct xattr *next; /* of the same inode, by ascending name */
	uint32_t value_len;
	uint8_t name_len;
	char name[]; /* not NUL-terminated; the value follows it */
};

static inline const void *xattr_value(const struct xattr *x)
{
	return x->name + x->name_len;
}

/* An inode's first one; NULL if it has none. */
const struct xattr *xattrs_first(const struct meta *m, uint64_t ino);
const struct xattr *xattrs_find(
	const struct meta *m, uint64_t ino, const char *name, size_t name_len);

/* As xattrs_find(), for a name that is a string constant. */
#define XATTRS_GET(m, ino, name) xattrs_find((m), (ino), (name), sizeof(name) - 1)

/* NULL, or a static text that says what is wrong about the name, or about the value of an attribute
 * whose name gives it a meaning. */
const char *xattr_check_name(const char *name, size_t name_len);
const char *xattr_check_value(
	const char *name, size_t name_len, const void *value, size_t value_len);

/* Can it be put on an inode of this mode? Some have a meaning for directories only, or for what has
 * memory or passes it on. */
bool xattr_is_for(const char *name, size_t name_len, uint32_t mode);

/* A quota as it lies on the media. The value was checked. */
uint64_t xattr_quota_bytes(const void *value, size_t value_len);

/* ---- changing: for meta_apply.c ---- */

/* x is owned from here on; one of the same name is replaced. The table has room. */
void xattrs_put(struct meta *m, struct xattr *x);
void xattrs_remove(
	struct meta *m, uint64_t ino, const char *name, size_t name_len); /* it is there */
void xattrs_drop(struct meta *m, uint64_t ino);                           /* all of an inode */
void xattrs_deinit(struct meta *m);

#endif
