// SPDX-License-Identifier: MIT
/* Extended attributes, with the checks that the document names. */
#include "reader_internal.h"

#include <inttypes.h>
#include <sys/stat.h>

#include "util/le.h"

static bool name_is(const uint8_t *name, uint64_t length, const char *what)
{
	return length == strlen(what) && memcmp(name, what, length) == 0;
}

static bool name_begins(const uint8_t *name, uint64_t length, const char *with)
{
	return length > strlen(with) && memcmp(name, with, strlen(with)) == 0;
}

static bool name_is_known(const uint8_t *name, uint64_t length)
{
	if (name_is(name, length, "system.posix_acl_access") ||
		name_is(name, length, "system.posix_acl_default") ||
		name_is(name, length, "user.guestmemfs.pagesize") ||
		name_is(name, length, "user.guestmemfs.quota"))
		return true;
	if (length >= 16 && memcmp(name, "user.guestmemfs.", 16) == 0)
		return false;
	return name_begins(name, length, "user.") || name_begins(name, length, "trusted.") ||
	       name_begins(name, length, "security.");
}

/* Version 2, then owner, named users, group, named groups, mask, others. */
static bool is_list(const uint8_t *at, uint64_t length)
{
	unsigned count[6] = {0}, last = 0;

	if (length < 4 + 3 * 8 || length % 8 != 4 || reader_u32(at) != 2)
		return false;
	for (uint64_t n = 4; n < length; n += 8) {
		uint64_t tag = reader_u16(at + n);
		unsigned k = 0;

		while (k < 6 && tag != 1U << k)
			k++;
		if (k == 6 || k < last || reader_u16(at + n + 2) > 7 ||
			(k == 1 || k == 3) == (reader_u32(at + n + 4) == UINT32_MAX))
			return false;
		count[k]++;
		last = k;
	}
	return count[0] == 1 && count[2] == 1 && count[5] == 1 && count[4] <= 1 &&
	       (count[4] == 1 || count[1] + count[3] == 0);
}

static bool is_number(const uint8_t *at, uint64_t length)
{
	uint64_t n = 0;

	if (length < 1 || length > 19 || at[0] == '0')
		return false;
	for (uint64_t k = 0; k < length; k++) {
		if (at[k] < '0' || at[k] > '9')
			return false;
		n = 10 * n + at[k] - '0';
	}
	return n >> 63 == 0;
}

static bool value_is_good(const uint8_t *name, uint64_t name_len, uint64_t length)
{
	const uint8_t *value = name + name_len;

	if (name_begins(name, name_len, "system."))
		return is_list(value, length);
	if (name_is(name, name_len, "user.guestmemfs.pagesize"))
		return length == 2 && (memcmp(value, "2M", 2) == 0 || memcmp(value, "1G", 2) == 0);
	return !name_is(name, name_len, "user.guestmemfs.quota") || is_number(value, length);
}

static bool place_is_good(
	const struct reader *r, uint64_t ino, const uint8_t *name, uint64_t length)
{
	for (uint32_t n = 0; n < r->v->inode_count; n++) {
		uint32_t mode = get_le32(r->v->inodes[n].mode);

		if (get_le64(r->v->inodes[n].ino) != ino)
			continue;
		if (name_is(name, length, "system.posix_acl_default") ||
			name_is(name, length, "user.guestmemfs.quota"))
			return S_ISDIR(mode);
		if (name_begins(name, length, "user."))
			return S_ISDIR(mode) || S_ISREG(mode);
		return !S_ISLNK(mode) || !name_begins(name, length, "system.");
	}
	return false;
}

/* Where (ino, name) is or would be. */
static uint32_t find_place(
	const struct view *v, uint64_t ino, const uint8_t *name, uint64_t length, bool *there)
{
	uint32_t n = 0;

	*there = false;
	for (; n < v->xattr_count; n++) {
		const struct view_xattr *x = &v->xattrs[n];
		uint64_t shorter = x->name_len < length ? x->name_len : length;
		int k = memcmp(x->name, name, shorter);

		if (k == 0)
			k = x->name_len - (int)length;
		if (x->ino > ino || (x->ino == ino && k >= 0)) {
			*there = x->ino == ino && k == 0;
			break;
		}
	}
	return n;
}

static bool check_bytes(struct reader *r, const uint8_t *at, uint64_t room, uint64_t *length)
{
	uint64_t value_len = room < 16 ? 0 : reader_u32(at + 8);
	uint64_t name_len = room < 16 ? 0 : reader_u16(at + 12);

	*length = 16 + (name_len + value_len + 7) / 8 * 8;
	if (name_len < 1 || name_len > 255 || value_len > 65536 || *length > room)
		return reader_refuse(r, "length of an attribute");
	if (reader_u16(at + 14) != 0 || !reader_is_zero(at + 16 + name_len + value_len,
						*length - 16 - name_len - value_len))
		return reader_refuse(r, "reserved bytes of an attribute");
	if (memchr(at + 16, '\0', name_len) || !name_is_known(at + 16, name_len))
		return reader_refuse(r, "name of an attribute");
	return true;
}

bool reader_xattr(struct reader *r, const uint8_t *at, uint64_t room, uint64_t *length)
{
	struct view *v = r->v;
	uint64_t name_len, value_len;
	bool there;
	uint32_t n;

	if (!check_bytes(r, at, room, length))
		return false;
	name_len = reader_u16(at + 12);
	value_len = reader_u32(at + 8);
	if (!value_is_good(at + 16, name_len, value_len) ||
		!place_is_good(r, reader_u64(at), at + 16, name_len))
		return reader_refuse(r, "value or inode of an attribute");
	n = find_place(v, reader_u64(at), at + 16, name_len, &there);
	if (!there && v->xattr_count == VIEW_XATTRS)
		return reader_refuse(r, "more attributes than this reader has room for");
	if (value_len > VIEW_VALUE)
		return reader_refuse(r, "a larger value than this reader has room for");
	if (!there) {
		memmove(&v->xattrs[n + 1], &v->xattrs[n],
			(v->xattr_count - n) * sizeof(v->xattrs[0]));
		v->xattr_count++;
	}
	memset(&v->xattrs[n], 0, sizeof(v->xattrs[n]));
	v->xattrs[n].ino = reader_u64(at);
	v->xattrs[n].name_len = (uint8_t)name_len;
	v->xattrs[n].value_len = (uint32_t)value_len;
	memcpy(v->xattrs[n].name, at + 16, name_len);
	memcpy(v->xattrs[n].value, at + 16 + name_len, value_len);
	return true;
}

static void remove_at(struct view *v, uint32_t n)
{
	memmove(&v->xattrs[n], &v->xattrs[n + 1], (v->xattr_count - n - 1) * sizeof(v->xattrs[0]));
	v->xattr_count--;
}

bool reader_remove_xattr(struct reader *r, const uint8_t *at, uint64_t room)
{
	uint64_t length;
	bool there;
	uint32_t n;

	if (!check_bytes(r, at, room, &length))
		return false;
	n = find_place(r->v, reader_u64(at), at + 16, reader_u16(at + 12), &there);
	if (!there || length != room || reader_u32(at + 8) != 0)
		return reader_refuse(r, "an attribute is removed that is not there");
	remove_at(r->v, n);
	return true;
}

void reader_drop_xattrs(struct reader *r, uint64_t ino)
{
	for (uint32_t n = r->v->xattr_count; n-- > 0;)
		if (r->v->xattrs[n].ino == ino)
			remove_at(r->v, n);
}
