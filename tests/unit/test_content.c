// SPDX-License-Identifier: MIT
/* Files with content over memory of the heap: what is seen, what an error leaves, and what waits.
 */
#include <errno.h>

#include "content_fixture.h"
#include "fuse/ns_internal.h"
#include "store/codec.h"
#include "util/cleanup.h"

#define ROOT GM_ROOT_INO
#define UNIT ((uint64_t)GM_UNIT_SIZE)

static struct content c;
static char out[64 * 4096];

static void start(void)
{
	content_init(&c, 8);
}

static void end(void)
{
	content_deinit(&c);
}

TestSuite(content, .init = start, .fini = end);

static int resize(uint64_t ino, uint64_t size)
{
	const struct ns_change change = {.set = NS_SET_SIZE, .size = size};
	struct stat st;

	return ns_setattr(&c.pool.ns, &c.pool.rq, ino, &change, &st);
}

static bool is_zero(uint64_t from, uint64_t to)
{
	for (uint64_t n = from; n < to; n++)
		if (out[n])
			return false;
	return true;
}

Test(content, nothing_is_seen_that_was_not_written)
{
	uint64_t f = content_create(&c, "f");

	cr_assert_eq(content_write(&c, f, 100, "abc", 3), 0);
	cr_assert_eq(content_write(&c, f, 3 * UNIT + 5, "xyz", 3), 0);
	cr_assert_eq(content_read(&c, f, 0, out, sizeof(out)), (int64_t)(3 * UNIT + 8));
	cr_expect(is_zero(0, 100) && is_zero(103, 3 * UNIT + 5));
	cr_expect(memcmp(out + 100, "abc", 3) == 0 && memcmp(out + 3 * UNIT + 5, "xyz", 3) == 0);
	cr_expect_eq(pool_stat(&c.pool, f).st_blocks, 16, "two units");
	cr_expect_eq(content_read(&c, f, 3 * UNIT + 6, out, 100), 2);
	cr_expect_eq(content_read(&c, f, 9 * UNIT, out, 100), 0);
}

Test(content, what_was_cut_off_is_zero_when_the_file_grows)
{
	uint64_t f = content_create(&c, "f");

	memset(out, 'x', UNIT);
	cr_assert_eq(content_write(&c, f, 0, out, UNIT), 0);
	cr_assert_eq(resize(f, 10), 0);
	cr_assert_eq(resize(f, UNIT), 0);
	cr_assert_eq(content_read(&c, f, 0, out, UNIT), (int64_t)UNIT);
	cr_expect(is_zero(10, UNIT));
	cr_expect_eq(out[9], 'x');
}

/* A marked directory with a quota. */
static uint64_t limited(const char *bytes)
{
	uint64_t d = pool_mkdir(&c.pool, ROOT, "limited");
	const struct ns_xattr mark = {.name = "user.guestmemfs.io", .value = "1", .value_len = 1};
	const struct ns_xattr quota = {
		.name = "user.guestmemfs.quota", .value = bytes, .value_len = strlen(bytes)};
	struct ns_request root = c.pool.rq;

	root.uid = 0;
	cr_assert_eq(ns_setxattr(&c.pool.ns, &root, d, &mark), 0);
	cr_assert_eq(ns_setxattr(&c.pool.ns, &root, d, &quota), 0);
	return d;
}

Test(content, an_error_leaves_everything_as_it_was)
{
	uint64_t f = pool_create(&c.pool, limited("8192"), "f");

	cr_assert_eq(content_write(&c, f, 0, "before", 6), 0);
	memset(out, 'n', 3 * UNIT);
	cr_expect_eq(content_write(&c, f, 0, out, 3 * UNIT), -EDQUOT);
	cr_assert_eq(content_read(&c, f, 0, out, sizeof(out)), 6);
	cr_expect_eq(memcmp(out, "before", 6), 0, "nothing was overwritten");
	memset(out, 'n', 2 * UNIT);
	cr_expect_eq(content_write(&c, f, 0, out, 2 * UNIT), 0);
	cr_expect_eq(content_write(&c, f, 1ULL << 62, out, 1), -EFBIG);
	cr_assert_eq(store_freeze(c.pool.store), 0);
	cr_expect_eq(content_write(&c, f, 0, "x", 1), -EBUSY);
	cr_assert_eq(content_read(&c, f, 0, out, 1), 1);
	cr_expect_eq(out[0], 'n');
}

/* Also not in the units past the end that fallocate(2) gave the file. */
Test(content, bytes_of_a_failed_write_never_show_up)
{
	uint64_t f = pool_create(&c.pool, limited("16384"), "f");
	const struct ns_range four = {.offset = 0, .length = 4 * UNIT};

	memset(out, 'n', 8 * UNIT);
	cr_assert_eq(content_write(&c, f, 0, "before", 6), 0);
	cr_assert_eq(ns_change_space(&c.pool.ns, &c.pool.rq, f, NS_ALLOCATE_KEEP, &four), 0);
	cr_expect_eq(content_write(&c, f, 0, out, 8 * UNIT), -EDQUOT);
	cr_assert_eq(resize(f, 4 * UNIT), 0);
	cr_assert_eq(content_read(&c, f, 0, out, sizeof(out)), (int64_t)(4 * UNIT));
	cr_expect_eq(memcmp(out, "before", 6), 0);
	cr_expect(is_zero(6, 4 * UNIT));
}

Test(content, what_is_written_over_old_and_new_units_is_there)
{
	uint64_t f = content_create(&c, "f");
	const struct ns_range far = {.offset = 4 * UNIT, .length = 2 * UNIT};

	memset(out, 'a', 3 * UNIT);
	cr_assert_eq(content_write(&c, f, 0, out, 3 * UNIT), 0);
	cr_assert_eq(resize(f, UNIT + 7), 0);
	cr_assert_eq(ns_change_space(&c.pool.ns, &c.pool.rq, f, NS_ALLOCATE_KEEP, &far), 0);
	memset(out, 'b', 5 * UNIT);
	cr_assert_eq(content_write(&c, f, UNIT / 2, out, 4 * UNIT), 0, "old, its tail, new, kept");
	cr_assert_eq(resize(f, 6 * UNIT), 0);
	cr_assert_eq(content_read(&c, f, 0, out, sizeof(out)), (int64_t)(6 * UNIT));
	for (uint64_t n = 0; n < 4 * UNIT + UNIT / 2; n++)
		cr_assert_eq(out[n], n < UNIT / 2 ? 'a' : 'b', "byte %llu", (unsigned long long)n);
	cr_expect(is_zero(4 * UNIT + UNIT / 2, 6 * UNIT));
}

Test(content, waits_for_memory_and_changes_nothing_meanwhile)
{
	uint64_t f = content_create(&c, "f");

	c.map_error = -EINPROGRESS;
	cr_expect_eq(content_write(&c, f, 0, "abc", 3), -EINPROGRESS);
	cr_expect_eq(content_write(&c, f, 0, "abc", 3), -EINPROGRESS, "and takes no more for that");
	cr_expect_eq(store_meta(c.pool.store)->units.there, 1);
	cr_expect_eq(pool_stat(&c.pool, f).st_size, 0);
	c.map_error = -EIO;
	cr_expect_eq(content_write(&c, f, 0, "abc", 3), -EIO);
	c.map_error = 0;
	cr_expect_eq(content_write(&c, f, 0, "abc", 3), 0);
	cr_expect_eq(content_read(&c, f, 0, out, 10), 3);
	c.memory = content_memory_free(c.memory);
	c.pool.ns.memory = NULL;
	cr_expect_eq(content_read(&c, f, 0, out, 10), -EIO);
}

Test(content, the_store_gives_back_what_is_empty)
{
	uint64_t f = content_create(&c, "f"), g = content_create(&c, "g");
	const struct units *u = &store_meta(c.pool.store)->units;

	memset(out, 'f', sizeof(out));
	for (uint64_t at = 0; at < 3 * GM_BLOCK_SIZE; at += sizeof(out))
		cr_assert_eq(content_write(&c, f, at, out, sizeof(out)), 0);
	cr_assert_eq(content_write(&c, g, 0, "g", 1), 0);
	cr_assert(ns_has_freed_content(&c.pool.ns) == false);
	cr_assert_eq(pool_unlink(&c.pool, ROOT, "f"), 0);
	cr_assert(ns_has_freed_content(&c.pool.ns));
	cr_assert_eq(ns_trim_contents(&c.pool.ns, &c.pool.rq, false), 0);
	cr_expect_eq(u->there, 2, "as many again as are in use");
	cr_assert_eq(ns_trim_contents(&c.pool.ns, &c.pool.rq, true), 0);
	cr_expect_eq(u->there, 1);
	cr_expect_leq(c.windows, 1, "what is not its own any more is unmapped");
	cr_assert_eq(content_read(&c, g, 0, out, 10), 1);
	cr_expect_eq(out[0], 'g');
}

Test(content, memory_and_content_are_apart)
{
	uint64_t f = content_create(&c, "f"), m = pool_create(&c.pool, ROOT, "m");
	const struct ns_range one = {.offset = 0, .length = 1};
	const struct ns_xattr mark = {.name = "user.guestmemfs.io", .value = "1", .value_len = 1};
	struct iovec *parts;
	size_t count;

	cr_expect_eq(ns_hold(&c.pool.ns, f), -EINVAL);
	cr_expect_eq(ns_read(&c.pool.ns, m, &one, &parts, &count), -EOPNOTSUPP);
	cr_expect_eq(content_write(&c, m, 0, "x", 1), -EOPNOTSUPP);
	cr_expect_eq(content_write(&c, ROOT, 0, "x", 1), -EISDIR);
	cr_assert_eq(ns_hold(&c.pool.ns, m), 0);
	cr_expect_eq(ns_setxattr(&c.pool.ns, &c.pool.rq, m, &mark), -EBUSY);
}

/* The file units of the pieces that the items remove, the first one in the highest digit. */
static unsigned removed_units(const struct txn *t)
{
	unsigned digits = 0;

	for (const struct gm_item *k = NULL; (k = txn_next_item(t, k));) {
		struct file_extent e;
		uint64_t ino;

		if (get_le16(k->type) != GM_ITEM_PIECE_REMOVED)
			continue;
		cr_assert_null(codec_decode_piece(&ino, &e, (const struct gm_piece *)(k + 1)));
		digits = digits * 10 + (unsigned)e.file_block;
	}
	return digits;
}

/* A file of many pieces goes in time that grows with their number, not with its square. */
Test(content, pieces_go_from_the_last_to_the_first)
{
	_cleanup_(txn_deinit) struct txn all = TXN_INIT(GM_RECORD_UNLINK, 0);
	_cleanup_(txn_deinit) struct txn some = TXN_INIT(GM_RECORD_SETATTR, 0);
	const struct ns_range middle = {.offset = 2 * UNIT, .length = 4 * UNIT};
	uint64_t f = content_create(&c, "f");
	struct inode_attr attr;

	for (uint64_t unit = 1; unit < 9; unit += 2)
		cr_assert_eq(content_write(&c, f, unit * UNIT, "x", 1), 0);
	txn_remove_extents(&all, pool_inode(&c.pool, f));
	cr_expect_eq(removed_units(&all), 7531);
	attr = pool_inode(&c.pool, f)->attr;
	cr_assert_eq(
		ns_resize_content(&c.pool.ns, &some, pool_inode(&c.pool, f), &attr, 2 * UNIT), 0);
	cr_expect_eq(removed_units(&some), 753);
	cr_assert_eq(ns_change_space(&c.pool.ns, &c.pool.rq, f, NS_PUNCH, &middle), 0);
	cr_expect_eq(pool_stat(&c.pool, f).st_blocks, 16, "units 1 and 7 are left");
	cr_assert_eq(content_read(&c, f, 0, out, sizeof(out)), (int64_t)(7 * UNIT + 1));
	cr_expect(out[UNIT] == 'x' && is_zero(2 * UNIT, 7 * UNIT) && out[7 * UNIT] == 'x');
}

Test(content, statfs_of_a_quota_below_a_block_shows_one)
{
	uint64_t d = limited("1048576");
	uint64_t f = pool_create(&c.pool, d, "f");
	const struct ns_range all = {.offset = 0, .length = 1048576};
	struct statvfs st;

	ns_statfs_at(&c.pool.ns, d, &st);
	cr_expect(st.f_blocks == 1 && st.f_bfree == 1 && st.f_bavail == 1);
	cr_assert_eq(ns_change_space(&c.pool.ns, &c.pool.rq, f, NS_ALLOCATE, &all), 0);
	ns_statfs_at(&c.pool.ns, d, &st);
	cr_expect(st.f_blocks == 1 && st.f_bfree == 0 && st.f_bavail == 0);
}

Test(content, pieces_have_a_share_and_files_go_on)
{
	uint64_t most = c.pool.super.plan.slot_size / STORE_PIECE_SHARE / sizeof(struct gm_piece);
	const struct meta *m = store_meta(c.pool.store);
	uint64_t f = content_create(&c, "f"), unit = 0;
	int r = 0;

	for (; r == 0 && unit <= most; unit++)
		r = content_write(&c, f, unit * 2 * UNIT, "x", 1);
	cr_expect_eq(r, -ENOSPC);
	cr_expect_eq(m->piece_count, most);
	cr_expect_eq(unit, most + 1);
	cr_expect_eq(content_write(&c, f, 0, "y", 1), 0, "what is there is written to");
	cr_expect_neq(pool_create(&c.pool, ROOT, "files-go-on"), 0);
	cr_assert_eq(resize(f, UNIT), 0);
	cr_expect_eq(content_write(&c, f, 2 * UNIT, "x", 1), 0);
}

Test(content, a_refused_request_takes_no_blocks_for_itself)
{
	uint64_t f = pool_create(&c.pool, limited("8192"), "f"), g = content_create(&c, "g");
	const struct ns_range much = {.offset = 0, .length = 4 * GM_BLOCK_SIZE};
	const struct units *u = &store_meta(c.pool.store)->units;

	cr_assert_eq(content_write(&c, f, 0, "f", 1), 0);
	cr_expect_eq(ns_change_space(&c.pool.ns, &c.pool.rq, f, NS_ALLOCATE_KEEP, &much), -EDQUOT);
	cr_expect_eq(u->there, 1);
	cr_expect_not(ns_has_freed_content(&c.pool.ns));
	c.map_error = -EIO;
	cr_expect_eq(ns_change_space(&c.pool.ns, &c.pool.rq, g, NS_ALLOCATE, &much), -EIO);
	cr_expect_eq(u->there, 5);
	cr_assert(ns_has_freed_content(&c.pool.ns), "nobody needs them");
	cr_assert_eq(ns_trim_contents(&c.pool.ns, &c.pool.rq, false), 0);
	cr_expect_eq(u->there, 2);
	cr_expect_not(ns_has_freed_content(&c.pool.ns));
}

Test(content, memory_gets_what_the_store_has_empty)
{
	uint64_t f = content_create(&c, "f"), m = pool_create(&c.pool, ROOT, "m");
	uint64_t n = pool_create(&c.pool, ROOT, "n"), data = pool_stats(&c.pool).free;
	const struct units *u = &store_meta(c.pool.store)->units;
	struct ns_range range = {.offset = 0};

	cr_assert_eq(content_write(&c, f, 0, "f", 1), 0);
	cr_assert_eq(ns_grow_contents(&c.pool.ns, &c.pool.rq, 2 * GM_UNITS_PER_BLOCK), 0);
	cr_assert_eq(u->empty, 2);
	cr_expect_eq(pool_resize(&c.pool, m, data * GM_BLOCK_SIZE), -ENOSPC);
	cr_expect_eq(pool_resize(&c.pool, m, (data - 1) * GM_BLOCK_SIZE), 0);
	cr_expect_eq(u->there, 1);
	cr_assert_eq(pool_resize(&c.pool, m, 0), 0);
	cr_assert_eq(ns_grow_contents(&c.pool.ns, &c.pool.rq, 2 * GM_UNITS_PER_BLOCK), 0);
	range.length = (data - 1) * GM_BLOCK_SIZE;
	cr_assert_eq(ns_hold(&c.pool.ns, store_meta(c.pool.store)->contents), 0);
	cr_expect_eq(ns_change_space(&c.pool.ns, &c.pool.rq, n, NS_ALLOCATE, &range), -ENOSPC);
	cr_assert_eq(ns_unhold(&c.pool.ns, store_meta(c.pool.store)->contents), 0);
	cr_expect_eq(ns_change_space(&c.pool.ns, &c.pool.rq, n, NS_ALLOCATE, &range), 0);
	cr_expect_eq(u->there, 1);
}

Test(content_large, no_more_than_64_MiB_stay_empty)
{
	const struct ns_range used = {.offset = 0, .length = 40 * GM_BLOCK_SIZE};
	const struct units *u;
	uint64_t f;

	content_init(&c, 100);
	u = &store_meta(c.pool.store)->units;
	f = content_create(&c, "f");
	cr_assert_eq(ns_change_space(&c.pool.ns, &c.pool.rq, f, NS_ALLOCATE, &used), 0);
	cr_assert_eq(ns_grow_contents(&c.pool.ns, &c.pool.rq, 38 * GM_UNITS_PER_BLOCK), 0);
	cr_assert_eq(u->empty, 38);
	cr_assert_eq(ns_trim_contents(&c.pool.ns, &c.pool.rq, false), 0);
	cr_expect_eq(u->empty, 32);
	content_deinit(&c);
}
