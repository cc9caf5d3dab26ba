// SPDX-License-Identifier: MIT
#include "store/xattrs.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/acl.h"
#include "store/codec.h"
#include "store/hash.h"
#include "util/cleanup.h"

/* ---- rules ---- */

static bool is(const char *name, size_t name_len, const char *what)
{
	return name_len == strlen(what) && memcmp(name, what, name_len) == 0;
}

static bool begins(const char *name, size_t name_len, const char *with)
{
	size_t length = strlen(with);

	return name_len > length && memcmp(name, with, length) == 0;
}

static bool is_acl(const char *name, size_t name_len)
{
	return is(name, name_len, ACL_ACCESS_NAME) || is(name, name_len, ACL_DEFAULT_NAME);
}

const char *xattr_check_name(const char *name, size_t name_len)
{
	static const char *const spaces[] = {"user.", "trusted.", "security."};

	if (name_len == 0 || name_len > GM_NAME_MAX)
		return "its name's length is out of range";
	if (memchr(name, '\0', name_len))
		return "its name contains NUL";
	if (is_acl(name, name_len) || is(name, name_len, XATTR_PAGE_SIZE) ||
		is(name, name_len, XATTR_QUOTA))
		return NULL;
	if (begins(name, name_len, XATTR_OURS) || is(name, name_len, XATTR_OURS))
		return "its name is one that this version does not know";
	for (size_t n = 0; n < ARRAY_SIZE(spaces); n++)
		if (begins(name, name_len, spaces[n]))
			return NULL;
	return "its name lies in no namespace that can be stored";
}

/* Decimal, no sign, no leading zero, at most 2^63 - 1: one way to write each number. */
static bool is_quota(const char *text, size_t length)
{
	uint64_t n = 0;

	if (length == 0 || length > 19 || text[0] == '0')
		return false;
	for (size_t k = 0; k < length; k++) {
		if (text[k] < '0' || text[k] > '9')
			return false;
		n = n * 10 + (uint64_t)(text[k] - '0');
	}
	return n <= INT64_MAX;
}

const char *xattr_check_value(
	const char *name, size_t name_len, const void *value, size_t value_len)
{
	if (value_len > GM_XATTR_VALUE_MAX)
		return "its value's length is out of range";
	if (is_acl(name, name_len) && !acl_is_valid(value, value_len))
		return "its value is no access control list";
	if (is(name, name_len, XATTR_PAGE_SIZE) && !is(value, value_len, "2M") &&
		!is(value, value_len, "1G"))
		return "its value is no page size";
	if (is(name, name_len, XATTR_QUOTA) && !is_quota(value, value_len))
		return "its value is no quota";
	return NULL;
}

bool xattr_is_for(const char *name, size_t name_len, uint32_t mode)
{
	if (is(name, name_len, ACL_DEFAULT_NAME) || is(name, name_len, XATTR_QUOTA))
		return S_ISDIR(mode);
	if (begins(name, name_len, "user."))
		return S_ISDIR(mode) || S_ISREG(mode);
	return !(is(name, name_len, ACL_ACCESS_NAME) && S_ISLNK(mode));
}

uint64_t xattr_quota_bytes(const void *value, size_t value_len)
{
	const char *text = value;
	uint64_t n = 0;

	for (size_t k = 0; k < value_len; k++)
		n = n * 10 + (uint64_t)(text[k] - '0');
	return n;
}

/* ---- finding ---- */

static struct xattr *find_first(const struct meta *m, uint64_t ino)
{
	uint64_t hash = hash_ino(ino);
	size_t at = 0;

	for (struct xattr *x = table_first(&m->xattrs, hash, &at); x;
		x = table_next(&m->xattrs, hash, &at))
		if (x->ino == ino)
			return x;
	return NULL;
}

const struct xattr *xattrs_first(const struct meta *m, uint64_t ino)
{
	return m->xattr_count ? find_first(m, ino) : NULL;
}

static int compare(const struct xattr *x, const char *name, size_t name_len)
{
	size_t shorter = x->name_len < name_len ? x->name_len : name_len;
	int k = memcmp(x->name, name, shorter);

	return k ? k : (int)x->name_len - (int)name_len;
}

const struct xattr *xattrs_find(
	const struct meta *m, uint64_t ino, const char *name, size_t name_len)
{
	const struct xattr *x = xattrs_first(m, ino);

	while (x && compare(x, name, name_len) < 0)
		x = x->next;
	return x && compare(x, name, name_len) == 0 ? x : NULL;
}

/* ---- changing ---- */

static void count(struct meta *m, const struct xattr *x, int sign)
{
	m->xattr_count += (uint64_t)(int64_t)sign;
	m->xattr_bytes += (uint64_t)(sign * (int64_t)codec_xattr_bytes(x->name_len, x->value_len));
}

/* The table names an inode's first one. */
static void set_first(struct meta *m, uint64_t ino, struct xattr *old, struct xattr *first)
{
	if (old == first)
		return;
	if (old)
		table_remove(&m->xattrs, hash_ino(ino), old);
	if (first)
		table_insert(&m->xattrs, hash_ino(ino), first);
}

static struct xattr **place_of(struct xattr **at, const char *name, size_t name_len)
{
	while (*at && compare(*at, name, name_len) < 0)
		at = &(*at)->next;
	return at;
}

void xattrs_put(struct meta *m, struct xattr *x)
{
	struct xattr *old = find_first(m, x->ino), *first = old;
	struct xattr **at = place_of(&first, x->name, x->name_len);
	struct xattr *replaced = *at && compare(*at, x->name, x->name_len) == 0 ? *at : NULL;

	x->next = replaced ? replaced->next : *at;
	*at = x;
	set_first(m, x->ino, old, first);
	count(m, x, 1);
	if (replaced)
		count(m, replaced, -1);
	free(replaced);
}

void xattrs_remove(struct meta *m, uint64_t ino, const char *name, size_t name_len)
{
	struct xattr *old = find_first(m, ino), *first = old;
	struct xattr **at = place_of(&first, name, name_len);
	struct xattr *removed = *at;

	assert(removed); /* a transaction is checked before it is applied */
	*at = removed->next;
	set_first(m, ino, old, first);
	count(m, removed, -1);
	free(removed);
}

static void free_list(struct xattr *x)
{
	while (x) {
		struct xattr *next = x->next;

		free(x);
		x = next;
	}
}

void xattrs_drop(struct meta *m, uint64_t ino)
{
	struct xattr *first = m->xattr_count ? find_first(m, ino) : NULL;

	set_first(m, ino, first, NULL);
	for (const struct xattr *x = first; x; x = x->next)
		count(m, x, -1);
	free_list(first);
}

void xattrs_deinit(struct meta *m)
{
	struct xattr *x;

	for (size_t c = 0; (x = table_each(&m->xattrs, &c));)
		free_list(x);
	table_deinit(&m->xattrs);
}
