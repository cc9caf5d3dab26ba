// SPDX-License-Identifier: MIT
/* Access control lists in their form on the media: what is one, and how they follow the mode. */
#include <criterion/criterion.h>
#include <string.h>

#include "store/acl.h"
#include "util/cleanup.h"

struct entry {
	uint16_t tag;
	uint16_t permissions;
	uint32_t id;
};

#define NOBODY 0xffffffffU
#define ROOM   128

/* The tests run on little-endian machines, as the product does. */
static size_t make(uint8_t list[ROOM], const struct entry *entries, size_t count)
{
	uint32_t version = 2;

	memcpy(list, &version, sizeof(version));
	memcpy(list + sizeof(version), entries, count * sizeof(*entries));
	return sizeof(version) + count * sizeof(*entries);
}

#define MAKE(list, ...)                                                                            \
	make((list), (const struct entry[]){__VA_ARGS__},                                          \
		ARRAY_SIZE(((const struct entry[]){__VA_ARGS__})))

#define OWNER(p)                                                                                   \
	{                                                                                          \
		0x01, (p), NOBODY                                                                  \
	}
#define USER(p, who)                                                                               \
	{                                                                                          \
		0x02, (p), (who)                                                                   \
	}
#define GROUP(p)                                                                                   \
	{                                                                                          \
		0x04, (p), NOBODY                                                                  \
	}
#define NAMED(p, who)                                                                              \
	{                                                                                          \
		0x08, (p), (who)                                                                   \
	}
#define MASK(p)                                                                                    \
	{                                                                                          \
		0x10, (p), NOBODY                                                                  \
	}
#define OTHER(p)                                                                                   \
	{                                                                                          \
		0x20, (p), NOBODY                                                                  \
	}

Test(acl, the_lists_that_there_are)
{
	uint8_t l[ROOM];

	cr_expect(acl_is_valid(l, MAKE(l, OWNER(7), GROUP(5), OTHER(0))));
	cr_expect(acl_is_valid(l, MAKE(l, OWNER(7), GROUP(5), MASK(7), OTHER(0))));
	cr_expect(acl_is_valid(l, MAKE(l, OWNER(7), USER(6, 3), USER(0, 0), GROUP(5), NAMED(1, 9),
					  NAMED(2, 9), MASK(7), OTHER(0))));
	cr_expect(acl_is_valid(l, MAKE(l, OWNER(0), USER(6, 3), GROUP(0), MASK(0), OTHER(0))));
}

Test(acl, what_is_none)
{
	uint8_t l[ROOM];
	size_t n = MAKE(l, OWNER(7), GROUP(5), OTHER(0));

	for (size_t length = 0; length < n; length++)
		cr_expect_not(acl_is_valid(l, length), "%zu bytes", length);
	l[0] = 1;
	cr_expect_not(acl_is_valid(l, n), "version 1");
	l[0] = 2;
	l[1] = 1;
	cr_expect_not(acl_is_valid(l, n), "version 258");
	cr_expect_not(acl_is_valid(l, MAKE(l, GROUP(5), OTHER(0))), "no owner");
	cr_expect_not(acl_is_valid(l, MAKE(l, OWNER(5), OTHER(0))), "no group");
	cr_expect_not(acl_is_valid(l, MAKE(l, OWNER(5), GROUP(0))), "no others");
	cr_expect_not(acl_is_valid(l, MAKE(l, OWNER(5), OWNER(5), GROUP(0), OTHER(0))), "twice");
	cr_expect_not(
		acl_is_valid(l, MAKE(l, OWNER(5), GROUP(0), OTHER(0), MASK(0))), "out of order");
	cr_expect_not(acl_is_valid(l, MAKE(l, GROUP(0), OWNER(5), OTHER(0))), "out of order");
	cr_expect_not(acl_is_valid(l, MAKE(l, OWNER(5), USER(0, 1), GROUP(0), OTHER(0))),
		"a named user without a mask");
	cr_expect_not(acl_is_valid(l, MAKE(l, OWNER(5), GROUP(0), NAMED(0, 1), OTHER(0))),
		"a named group without a mask");
	cr_expect_not(acl_is_valid(l, MAKE(l, OWNER(8), GROUP(0), OTHER(0))), "permission 8");
	cr_expect_not(acl_is_valid(l, MAKE(l, {0x01, 0, 5}, GROUP(0), OTHER(0))), "a qualifier");
	cr_expect_not(
		acl_is_valid(l, MAKE(l, OWNER(5), USER(0, NOBODY), GROUP(0), MASK(7), OTHER(0))),
		"no qualifier");
	cr_expect_not(acl_is_valid(l, MAKE(l, OWNER(5), GROUP(0), {0x40, 0, NOBODY}, OTHER(0))),
		"an unknown tag");
	cr_expect_not(
		acl_is_valid(l, MAKE(l, OWNER(5), GROUP(0), {0x30, 0, NOBODY})), "two tags in one");
}

Test(acl, the_mode_shows_the_mask_where_there_is_one)
{
	uint8_t l[ROOM];
	size_t n = MAKE(l, OWNER(7), GROUP(5), OTHER(1));

	cr_expect(acl_is_minimal(l, n));
	cr_expect_eq(acl_mode(l, n), 0751);
	n = MAKE(l, OWNER(6), USER(7, 3), GROUP(5), MASK(2), OTHER(0));
	cr_expect_not(acl_is_minimal(l, n));
	cr_expect_eq(acl_mode(l, n), 0620);
}

Test(acl, chmod_changes_the_mask_and_no_named_entry)
{
	uint8_t l[ROOM], should[ROOM];
	size_t n = MAKE(l, OWNER(6), USER(7, 3), GROUP(5), MASK(2), OTHER(0));

	acl_set_mode(l, n, 0175);
	MAKE(should, OWNER(1), USER(7, 3), GROUP(5), MASK(7), OTHER(5));
	cr_expect_arr_eq(l, should, n);
	n = MAKE(l, OWNER(6), GROUP(5), OTHER(0));
	acl_set_mode(l, n, 0123);
	MAKE(should, OWNER(1), GROUP(2), OTHER(3));
	cr_expect_arr_eq(l, should, n);
}

/* acl(5), object creation and default ACLs. */
Test(acl, what_is_made_in_a_directory_gets_no_more_than_was_asked_for)
{
	uint8_t l[ROOM], should[ROOM];
	size_t n = MAKE(l, OWNER(7), USER(7, 3), GROUP(5), MASK(7), OTHER(5));
	uint32_t mode = 0100640;

	acl_inherit(l, n, &mode);
	cr_expect_eq(mode, 0100640);
	MAKE(should, OWNER(6), USER(7, 3), GROUP(5), MASK(4), OTHER(0));
	cr_expect_arr_eq(l, should, n);

	n = MAKE(l, OWNER(7), GROUP(5), OTHER(1));
	mode = 042777;
	acl_inherit(l, n, &mode);
	cr_expect_eq(mode, 042751);
}

Test(acl, plain_bits_give_nobody_what_the_list_denies)
{
	uint8_t l[ROOM];
	size_t n = MAKE(l, OWNER(6), GROUP(0), NAMED(6, 4), MASK(6), OTHER(4));

	cr_expect_eq(acl_plain_mode(l, n), 0604); /* the mode says 0664 */
	n = MAKE(l, OWNER(6), USER(0, 7), GROUP(6), MASK(6), OTHER(6));
	cr_expect_eq(acl_plain_mode(l, n),
		0600); /* user 7 may be in the group, and is one of the others */
	n = MAKE(l, OWNER(6), GROUP(6), NAMED(2, 7), MASK(6), OTHER(6));
	cr_expect_eq(acl_plain_mode(l, n), 0662);
}
