// SPDX-License-Identifier: MIT
/* Answers of the helper to what nobody has asked, whole in all else: they end the link. And what
 * exports can't be begun or ended. */
#include "grants_fixture.h"
#include "util/cleanup.h"

TestSuite(grants_refused, .init = grants_setup, .fini = grants_teardown);

static const struct link_holder holder = {.command = "vmm", .cgroup = "/"};

static void expect_end_of_link(const char *what)
{
	cr_expect_not(pump(), "%s", what);
	cr_expect_eq(grants_fd(grants), -1, "%s", what);
}

Test(grants_refused, holders_that_nobody_has_asked_for)
{
	struct link_holder h = holder;
	struct link_holders_end end = {.retired = put_le32(0)};
	struct link_revoked r = {.state = put_le32(0)};

	clean_everything();
	connect_helper();
	say(&h, sizeof(h), LINK_HOLDER, 0);
	expect_end_of_link("a holder");
	connect_helper();
	say(&h, sizeof(h), LINK_HOLDER, 7);
	expect_end_of_link("a holder of no revocation");
	connect_helper();
	say(&end, sizeof(end), LINK_HOLDERS_END, 0);
	expect_end_of_link("the end of no list");
	connect_helper();
	say(&r, sizeof(r), LINK_REVOKED, 7);
	expect_end_of_link("the end of no revocation");
	cr_expect(holders.count == 0 && revoked.holders == 0 && revoked.ends == 0);
}

static uint64_t make_exported(unsigned n)
{
	struct link_exported m = {.node = "/dev/dax0.1"};
	char name[16];

	(void)snprintf(name, sizeof(name), "f%u", n);
	uint64_t ino = make_clean_file(name, 1);
	cr_assert_eq(grants_export(grants, ino, &somebody), 0);
	cr_assert(pump());
	while (next()) {
	}
	say(&m, sizeof(m), LINK_EXPORTED, ino);
	cr_assert(pump());
	cr_assert(inode_of(ino)->attr.flags & GM_INODE_EXPORTED);
	return ino;
}

Test(grants_refused, exports_of_what_is_none)
{
	clean_everything();
	connect_helper();
	cr_expect_eq(grants_export(grants, 4711, &somebody), -ENOENT);
	cr_expect_eq(grants_export(grants, GM_ROOT_INO, &somebody), -ENOENT);
	cr_expect_eq(grants_unexport(grants, make_clean_file("a", 1), &somebody), -ENOENT);
	cr_expect_eq(next(), 0);
}

/* The helper does not answer: of as many as there are places for, the next one is refused. */
Test(grants_refused, more_ends_of_exports_than_there_are_places)
{
	uint64_t inos[64];
	unsigned n = 0;
	int r = 0;

	clean_everything();
	connect_helper();
	for (unsigned k = 0; k < 17; k++)
		inos[k] = make_exported(k);
	while (n < 17 && (r = grants_unexport(grants, inos[n], &somebody)) == 0)
		n++;
	cr_expect_eq(r, -EUSERS);
	cr_expect_eq(n, 16);
	cr_expect(inode_of(inos[16])->attr.flags & GM_INODE_EXPORTED);
	cr_assert(pump());
	for (unsigned k = 0; k < 16; k++) {
		cr_assert_eq(next(), LINK_UNEXPORT);
		say_done(get_le64(got.header.id), 0);
	}
	cr_assert(pump());
	cr_expect_eq(grants_unexport(grants, inos[16], &somebody), 0, "there is room again");
}
