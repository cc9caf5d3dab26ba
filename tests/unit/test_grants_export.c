// SPDX-License-Identifier: MIT
/*
 * Exported files: held by the journal before the node is made, and let go only when the helper has
 * closed it.
 */
#include "grants_fixture.h"
#include "util/cleanup.h"

TestSuite(grants, .init = grants_setup, .fini = grants_teardown);

static void say_exported(uint64_t ino, int error, const char *node)
{
	struct link_exported m = {.error = put_le32((uint32_t)error)};

	memcpy(m.node, node, strlen(node));
	say(&m, sizeof(m), LINK_EXPORTED, ino);
}

static void begin_export(uint64_t ino)
{
	cr_assert_eq(grants_export(grants, ino, &somebody), 0);
	cr_assert(pump());
	cr_assert_eq(next(), LINK_EXPORT);
	cr_assert_eq(get_le64(got.export.ino), ino);
	cr_assert_eq(get_le64(got.export.extent_count), 1);
	cr_assert_eq(get_le32(got.export.mode), 0600);
	cr_assert(is_held(ino), "held by the journal before the node is made");
	cr_assert_eq(next(), LINK_EXTENTS);
}

static bool is_exported(uint64_t ino)
{
	return inode_of(ino)->attr.flags & GM_INODE_EXPORTED;
}

/* A clean file whose node is there. */
static uint64_t make_exported_file(void)
{
	uint64_t ino;

	clean_everything();
	ino = make_clean_file("a", 2);
	connect_helper();
	begin_export(ino);
	say_exported(ino, 0, "/dev/dax0.7");
	cr_assert(pump());
	return ino;
}

static uint64_t expect_end(uint64_t ino)
{
	cr_assert_eq(next(), LINK_UNEXPORT);
	cr_assert_eq(get_le64(got.export.ino), ino);
	cr_assert_eq(get_le32(got.export.mode), 0);
	return get_le64(got.header.id);
}

static void end_export(uint64_t ino, int error)
{
	cr_assert_eq(grants_unexport(grants, ino, &somebody), 0);
	say_done(expect_end(ino), error);
	cr_assert(pump());
}

Test(grants, an_exported_file_is_held_follows_its_owner_and_can_not_grow)
{
	struct ns_change grow = {.set = NS_SET_SIZE, .size = 5 * BLOCK};
	uint64_t ino = make_exported_file();
	struct stat st;

	cr_assert_eq(exported.count, 1);
	cr_assert_eq(exported.ino, ino);
	cr_assert_str_eq(exported.node, "/dev/dax0.7");
	cr_assert_eq(ns_setattr(&ns, &nobody, ino, &grow, &st), -EBUSY);
	grants_node_changed(grants, ino);
	cr_assert_eq(next(), LINK_NODE);
	end_export(ino, 0);
	cr_assert(is_held(ino), "somebody may have opened the node");
	cr_assert_eq(grants_unexport(grants, ino, &somebody), -ENOENT);
	grants_node_changed(grants, ino);
	cr_assert_eq(next(), 0);
}

Test(grants, the_node_of_a_removed_file_opens_no_more)
{
	uint64_t ino = make_exported_file();

	cr_assert_eq(ns_unlink(&ns, &nobody, GM_ROOT_INO, "a", 1), 0);
	cr_assert(is_exported(ino));
	grants_node_changed(grants, ino);
	cr_assert_eq(next(), 0);
	new_link();
	for (unsigned opcode; (opcode = next()) != LINK_RESUMED;)
		cr_assert_neq(opcode, 0);
	say_plain(LINK_READY);
	cr_assert(pump());
	cr_assert_eq(next(), LINK_CHECK);
	cr_expect_eq(get_le32(got.check.flags), LINK_CHECK_TAKE | LINK_CHECK_KEEP);
}

Test(grants, an_export_ends_when_the_node_is_closed_and_not_before)
{
	uint64_t ino = make_exported_file(), id;

	cr_assert_eq(grants_unexport(grants, ino, &somebody), 0);
	cr_assert_eq(grants_unexport(grants, ino, &somebody), 0, "who asks too waits too");
	id = expect_end(ino);
	cr_assert(pump());
	cr_assert_eq(next(), 0, "it is said once");
	cr_assert(is_exported(ino));
	cr_assert_eq(unexported.count, 0);
	grants_node_changed(grants, ino);
	cr_assert_eq(next(), 0, "a node that is being closed does not open again");
	cr_assert_eq(grants_export(grants, ino, &somebody), 0);
	cr_assert(pump());
	cr_assert_eq(exported.count, 2);
	cr_assert_eq(exported.error, -EAGAIN);
	say_done(id, 0);
	cr_assert(pump());
	cr_assert_not(is_exported(ino));
	cr_assert_eq(unexported.count, 1);
	cr_assert_eq(unexported.ino, ino);
	cr_assert_eq(unexported.error, 0);
	say_done(id, 0);
	cr_assert_not(pump(), "an answer to a question that was answered");
}

Test(grants, a_node_that_can_not_be_closed_stays_exported)
{
	uint64_t ino = make_exported_file();

	end_export(ino, EIO);
	cr_assert_eq(unexported.error, -EIO);
	cr_assert(is_exported(ino));
	cr_assert_eq(next(), LINK_NODE, "as it was before");
	cr_assert_eq(get_le32(got.export.mode), 0600);
	end_export(ino, 0);
	cr_assert_eq(unexported.error, 0);
	cr_assert_not(is_exported(ino));
}

Test(grants, an_end_that_can_not_be_journalled_opens_the_node_again)
{
	uint64_t ino = make_exported_file();

	cr_assert_eq(grants_unexport(grants, ino, &somebody), 0);
	cr_assert_eq(store_freeze(fixture.store), 0);
	say_done(expect_end(ino), 0);
	cr_assert(pump());
	cr_assert_eq(unexported.error, -EBUSY);
	cr_assert(is_exported(ino));
	cr_assert_eq(next(), LINK_NODE);
	cr_assert_eq(get_le32(got.export.mode), 0600);
}

Test(grants, an_end_that_loses_its_helper_is_answered_and_comes_with_the_next_one)
{
	uint64_t ino = make_exported_file();

	cr_assert_eq(grants_unexport(grants, ino, &somebody), 0);
	(void)expect_end(ino);
	helper = close_fd(helper);
	cr_assert_not(pump());
	cr_assert_eq(unexported.count, 1);
	cr_assert_eq(unexported.error, -EAGAIN);
	cr_assert(is_exported(ino), "the node may be open");
	cr_assert_eq(grants_unexport(grants, ino, &somebody), -EAGAIN, "there is no helper");
	connect_helper();
	say_done(expect_end(ino), 0);
	cr_assert_eq(next(), 0);
	cr_assert(pump());
	cr_assert_not(is_exported(ino));
	cr_assert_eq(unexported.count, 1, "nobody waits for it any more");
}

Test(grants, a_new_helper_is_told_whose_the_nodes_are)
{
	uint64_t ino = make_exported_file();

	connect_helper();
	cr_assert_eq(next(), LINK_NODE);
	cr_assert_eq(get_le64(got.export.ino), ino);
	cr_assert_eq(get_le32(got.export.mode), 0600);
	cr_assert_eq(next(), 0);
}

Test(grants, an_export_that_fails_is_answered)
{
	uint64_t ino;

	clean_everything();
	ino = make_clean_file("a", 2);
	cr_assert_eq(grants_export(grants, ino, &somebody), -EAGAIN, "there is no helper");
	connect_helper();
	begin_export(ino);
	cr_assert_eq(grants_unexport(grants, ino, &somebody), -EAGAIN, "it has not quite begun");
	say_exported(ino, EBUSY, "");
	cr_assert(pump());
	cr_assert_eq(exported.error, -EBUSY);
	cr_assert_not(is_exported(ino));
}

Test(grants, an_export_that_loses_its_helper_is_answered_and_its_node_closed_by_the_next_one)
{
	uint64_t ino;

	clean_everything();
	ino = make_clean_file("a", 2);
	connect_helper();
	begin_export(ino);
	helper = close_fd(helper);
	cr_assert_not(pump());
	cr_assert_eq(exported.count, 1);
	cr_assert_eq(exported.error, -EAGAIN);
	cr_assert(is_exported(ino), "the node may be open");
	connect_helper();
	say_done(expect_end(ino), 0);
	cr_assert(pump());
	cr_assert_not(is_exported(ino));
	cr_assert_eq(unexported.count, 0);
}

Test(grants, an_export_that_is_asked_for_again_in_vain_goes_on)
{
	uint64_t ino = make_exported_file();

	begin_export(ino);
	say_exported(ino, ENOMEM, "");
	cr_assert(pump());
	cr_assert_eq(exported.error, -ENOMEM);
	cr_assert(is_exported(ino));
	begin_export(ino);
	connect_helper();
	cr_assert_eq(exported.error, -EAGAIN);
	cr_assert(is_exported(ino));
	cr_assert_eq(next(), LINK_NODE);
}

Test(grants, an_answer_to_an_export_that_nobody_asked_for_ends_the_link)
{
	connect_helper();
	say_exported(12, 0, "/dev/dax0.1");
	cr_assert_not(pump());
	connect_helper();
	say_done((1ULL << 63) | 12, 0);
	cr_assert_not(pump());
}
