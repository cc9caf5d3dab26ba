// SPDX-License-Identifier: MIT
#include "store/acl.h"

#include <string.h>

#include "guestmemfs/types.h"
#include "util/le.h"

#define ACL_VERSION  2U
#define ACL_NOBODY   0xffffffffU /* the qualifier of entries that have none */
#define ACL_ALL_BITS 7U

enum acl_tag {
	ACL_OWNER = 0x01,
	ACL_NAMED_USER = 0x02,
	ACL_GROUP = 0x04,
	ACL_NAMED_GROUP = 0x08,
	ACL_MASK = 0x10,
	ACL_OTHER = 0x20,
};

struct acl_entry { /* as it lies in the list */
	gm_le16 tag;
	gm_le16 permissions;
	gm_le32 id;
};

#define HEADER sizeof(gm_le32)

static size_t count_of(size_t size)
{
	return (size - HEADER) / sizeof(struct acl_entry);
}

static struct acl_entry entry_at(const void *acl, size_t n)
{
	struct acl_entry e;

	memcpy(&e, (const uint8_t *)acl + HEADER + n * sizeof(e), sizeof(e));
	return e;
}

static uint32_t permissions_at(const void *acl, size_t n)
{
	struct acl_entry e = entry_at(acl, n);

	return get_le16(e.permissions);
}

static unsigned tag_at(const void *acl, size_t n)
{
	struct acl_entry e = entry_at(acl, n);

	return get_le16(e.tag);
}

static void set_permissions(void *acl, size_t n, uint32_t permissions)
{
	struct acl_entry e = entry_at(acl, n);

	e.permissions = put_le16((uint16_t)permissions);
	memcpy((uint8_t *)acl + HEADER + n * sizeof(e), &e, sizeof(e));
}

/* The entry that stands for a class of the mode, which a list has once or not at all; the number of
 * entries if there is none. */
static size_t find_tag(const void *acl, size_t size, enum acl_tag tag)
{
	size_t n = 0;

	while (n < count_of(size) && tag_at(acl, n) != tag)
		n++;
	return n;
}

static size_t find_group_class(const void *acl, size_t size)
{
	size_t mask = find_tag(acl, size, ACL_MASK);

	return mask < count_of(size) ? mask : find_tag(acl, size, ACL_GROUP);
}

/* Tags ascend, those of named users and groups may repeat. */
static bool follows(unsigned last, unsigned tag)
{
	bool named = tag == ACL_NAMED_USER || tag == ACL_NAMED_GROUP;

	return tag > last || (tag == last && named);
}

bool acl_is_valid(const void *acl, size_t size)
{
	unsigned seen = 0, last = 0;
	gm_le32 version;

	if (size < HEADER + sizeof(struct acl_entry) ||
		(size - HEADER) % sizeof(struct acl_entry) != 0)
		return false;
	memcpy(&version, acl, sizeof(version));
	if (get_le32(version) != ACL_VERSION)
		return false;
	for (size_t n = 0; n < count_of(size); n++) {
		struct acl_entry e = entry_at(acl, n);
		unsigned tag = get_le16(e.tag);
		bool named = tag == ACL_NAMED_USER || tag == ACL_NAMED_GROUP;

		if (tag == 0 || tag > ACL_OTHER || (tag & (tag - 1)) != 0 || !follows(last, tag) ||
			get_le16(e.permissions) > ACL_ALL_BITS ||
			named != (get_le32(e.id) != ACL_NOBODY))
			return false;
		seen |= tag;
		last = tag;
	}
	if (seen & (ACL_NAMED_USER | ACL_NAMED_GROUP) && !(seen & ACL_MASK))
		return false;
	return (seen & (ACL_OWNER | ACL_GROUP | ACL_OTHER)) == (ACL_OWNER | ACL_GROUP | ACL_OTHER);
}

bool acl_is_minimal(const void *acl, size_t size)
{
	(void)acl;
	return count_of(size) == 3; /* a valid one has owner, group and others */
}

uint32_t acl_mode(const void *acl, size_t size)
{
	return permissions_at(acl, 0) << 6 | permissions_at(acl, find_group_class(acl, size)) << 3 |
	       permissions_at(acl, count_of(size) - 1);
}

uint32_t acl_plain_mode(const void *acl, size_t size)
{
	uint32_t mask = permissions_at(acl, find_group_class(acl, size));
	uint32_t group = permissions_at(acl, find_tag(acl, size, ACL_GROUP)) & mask;
	uint32_t other = permissions_at(acl, count_of(size) - 1);

	for (size_t n = 0; n < count_of(size); n++) {
		uint32_t named = permissions_at(acl, n) & mask;

		if (tag_at(acl, n) == ACL_NAMED_USER)
			group &= named;
		if (tag_at(acl, n) == ACL_NAMED_USER || tag_at(acl, n) == ACL_NAMED_GROUP)
			other &= named;
	}
	return permissions_at(acl, 0) << 6 | group << 3 | other;
}

void acl_set_mode(void *acl, size_t size, uint32_t mode)
{
	set_permissions(acl, 0, mode >> 6 & ACL_ALL_BITS);
	set_permissions(acl, find_group_class(acl, size), mode >> 3 & ACL_ALL_BITS);
	set_permissions(acl, count_of(size) - 1, mode & ACL_ALL_BITS);
}

void acl_inherit(void *acl, size_t size, uint32_t *mode)
{
	uint32_t allowed = acl_mode(acl, size) & *mode;

	acl_set_mode(acl, size, allowed);
	*mode = (*mode & ~0777U) | allowed;
}
