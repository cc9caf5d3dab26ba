// SPDX-License-Identifier: MIT
/*
 * Names as the kernel sees them: looked up and remembered, made, moved, linked, removed, opened and
 * listed.
 */
#include "ops_fixture.h"
#include "util/cleanup.h"

TestSuite(ops, .init = ops_setup, .fini = ops_teardown);

Test(ops, lets_the_kernel_remember_names_and_their_absence)
{
	const struct fuse_entry_out *out = (const void *)reply.data;
	uint64_t f = pool_create(&pool, ROOT, "f");

	cr_assert_eq(call_name(FUSE_LOOKUP, ROOT, "f"), 0);
	cr_expect(out->nodeid == f && out->generation == 0 && out->attr.ino == f);
	cr_expect(out->entry_valid == 86400 && out->attr_valid == 86400);
	cr_expect_eq(out->attr.mode, S_IFREG | 0640);
	cr_assert_eq(call_name(FUSE_LOOKUP, ROOT, "g"), 0);
	cr_expect(out->nodeid == 0 && out->entry_valid == 86400);
	cr_expect_eq(call_name(FUSE_LOOKUP, f, "x"), -ENOTDIR);
}

Test(ops, makes_moves_and_removes)
{
	struct fuse_mkdir_in dir = {.mode = 0700};
	struct fuse_rename2_in move = {.newdir = ROOT, .flags = RENAME_NOREPLACE};
	struct stat st;

	cr_expect_eq(call(FUSE_MKDIR, ROOT, &dir, sizeof(dir), "d", 2), 0);
	cr_expect_eq(call(FUSE_MKDIR, ROOT, &dir, sizeof(dir), "d", 2), -EEXIST);
	cr_expect_eq(call(FUSE_RENAME2, ROOT, &move, sizeof(move), "d\0e", 4), 0);
	cr_expect_eq(call(FUSE_RENAME2, ROOT, &move, sizeof(move), "e\0e", 4), -EEXIST);
	cr_expect_eq(ns_lookup(&pool.ns, ROOT, "e", 1, &st), 0);
	cr_expect(st.st_uid == 1000 && st.st_gid == 100);
	cr_expect_eq(call_name(FUSE_UNLINK, ROOT, "e"), -EISDIR);
	cr_expect_eq(call_name(FUSE_RMDIR, ROOT, "e"), 0);
	cr_expect_eq(call_name(FUSE_RMDIR, ROOT, "e"), -ENOENT);
}

Test(ops, links_symlinks_and_makes_nodes)
{
	const struct fuse_entry_out *out = (const void *)reply.data;
	uint64_t f = pool_create(&pool, ROOT, "f"), s;
	struct fuse_link_in link = {.oldnodeid = f};
	struct fuse_mknod_in node = {.mode = S_IFBLK | 0640, .rdev = 8 << 8 | 17 | 1 << 20};

	cr_assert_eq(call(FUSE_LINK, ROOT, &link, sizeof(link), "g", 2), 0);
	cr_expect(out->nodeid == f && out->attr.nlink == 2 && out->entry_valid == 86400);
	cr_expect_eq(call(FUSE_LINK, ROOT, &link, sizeof(link), "g", 2), -EEXIST);
	link.oldnodeid = ROOT;
	cr_expect_eq(call(FUSE_LINK, ROOT, &link, sizeof(link), "h", 2), -EPERM);

	cr_assert_eq(call(FUSE_SYMLINK, ROOT, "s\0to/there", 11, NULL, 0), 0);
	s = out->nodeid;
	cr_expect(out->attr.mode == (S_IFLNK | 0777) && out->attr.size == 8);
	cr_expect(out->attr.uid == 1000 && out->attr.gid == 100);
	cr_assert_eq(call(FUSE_READLINK, s, NULL, 0, NULL, 0), 0);
	cr_expect(reply.size == 8 && memcmp(reply.data, "to/there", 8) == 0);
	cr_expect_eq(call(FUSE_READLINK, f, NULL, 0, NULL, 0), -EINVAL);
	cr_expect_eq(call(FUSE_SYMLINK, ROOT, "s\0x", 4, NULL, 0), -EEXIST);

	cr_assert_eq(call(FUSE_MKNOD, ROOT, &node, sizeof(node), "b", 2), 0);
	cr_expect(out->attr.mode == (S_IFBLK | 0640) && out->attr.rdev == node.rdev);
	node.mode = S_IFDIR | 0700;
	cr_expect_eq(call(FUSE_MKNOD, ROOT, &node, sizeof(node), "x", 2), -EINVAL);
}

Test(ops, a_change_of_nothing_is_for_the_ctime)
{
	struct fuse_setattr_in in = {.valid = 0};
	uint64_t f = pool_create(&pool, ROOT, "f");
	struct stat before, after;

	cr_assert_eq(ns_getattr(&pool.ns, f, &before), 0);
	cr_assert_eq(call(FUSE_SETATTR, f, &in, sizeof(in), NULL, 0), 0);
	cr_assert_eq(ns_getattr(&pool.ns, f, &after), 0);
	cr_expect(after.st_ctim.tv_sec > before.st_ctim.tv_sec); /* the pool's clock is long past */
	cr_expect(after.st_mtim.tv_sec == before.st_mtim.tv_sec);
}

Test(ops, opens_with_the_access_mode_as_the_handle)
{
	static const unsigned modes[] = {O_RDONLY, O_WRONLY, O_RDWR, 3};
	const struct fuse_open_out *out = (const void *)reply.data;
	uint64_t f = pool_create(&pool, ROOT, "f");
	struct fuse_release_in release = {.fh = 0};

	for (size_t n = 0; n < ARRAY_SIZE(modes); n++) {
		struct fuse_open_in in = {.flags = modes[n] | O_APPEND | O_NONBLOCK};

		cr_assert_eq(call(FUSE_OPEN, f, &in, sizeof(in), NULL, 0), 0);
		cr_expect_eq(out->fh, modes[n]);
		cr_expect_eq(out->open_flags, FOPEN_DIRECT_IO | FOPEN_NOFLUSH);
	}
	cr_expect_eq(pool_inode(&pool, f)->opens, 4);
	cr_expect_eq(call_name(FUSE_UNLINK, ROOT, "f"), 0);
	for (size_t n = 0; n < ARRAY_SIZE(modes); n++) {
		cr_expect_not_null(pool_inode(&pool, f));
		cr_assert_eq(call(FUSE_RELEASE, f, &release, sizeof(release), NULL, 0), 0);
	}
	cr_expect_null(pool_inode(&pool, f));
}

Test(ops, creates_and_opens_in_one)
{
	struct fuse_create_in in = {.flags = O_RDWR | O_CREAT | O_EXCL, .mode = S_IFREG | 0600};
	const struct fuse_entry_out *entry = (const void *)reply.data;
	const struct fuse_open_out *open_out = (const void *)(reply.data + sizeof(*entry));

	cr_assert_eq(call(FUSE_CREATE, ROOT, &in, sizeof(in), "f", 2), 0);
	cr_expect(open_out->fh == O_RDWR &&
		  open_out->open_flags == (FOPEN_DIRECT_IO | FOPEN_NOFLUSH));
	cr_expect_eq(pool_inode(&pool, entry->nodeid)->opens, 1);
	cr_expect_eq(entry->attr.uid, 1000);
	cr_expect_eq(call(FUSE_CREATE, ROOT, &in, sizeof(in), "f", 2), -EEXIST);
}

static uint32_t open_flags(uint64_t ino)
{
	const struct fuse_open_in in = {.flags = O_RDWR};

	cr_assert_eq(call(FUSE_OPEN, ino, &in, sizeof(in), NULL, 0), 0);
	return ((const struct fuse_open_out *)(const void *)reply.data)->open_flags;
}

static void mark(uint64_t ino)
{
	const struct ns_xattr x = {.name = "user.guestmemfs.io", .value = "1", .value_len = 1};

	cr_assert_eq(ns_setxattr(&pool.ns, &pool.rq, ino, &x), 0);
}

/* What one writes past the page cache another one must not read from it. */
Test(ops, a_file_marked_while_open_is_cached_once_all_have_closed_it)
{
	struct fuse_release_in release = {.fh = O_RDWR};
	uint64_t f = pool_create(&pool, ROOT, "f"), g = pool_create(&pool, ROOT, "g");

	mark(g);
	cr_expect_eq(open_flags(g), FOPEN_KEEP_CACHE);
	mark(g);
	cr_expect_eq(open_flags(g), FOPEN_KEEP_CACHE, "the mark was there");
	cr_expect_eq(open_flags(f), FOPEN_DIRECT_IO | FOPEN_NOFLUSH);
	mark(f);
	cr_expect_eq(open_flags(f), FOPEN_DIRECT_IO | FOPEN_NOFLUSH);
	cr_assert_eq(call(FUSE_RELEASE, f, &release, sizeof(release), NULL, 0), 0);
	cr_expect_eq(open_flags(f), FOPEN_DIRECT_IO | FOPEN_NOFLUSH, "who opened it first?");
	for (int n = 0; n < 2; n++)
		cr_assert_eq(call(FUSE_RELEASE, f, &release, sizeof(release), NULL, 0), 0);
	cr_expect_eq(open_flags(f), FOPEN_KEEP_CACHE);
}

/* ---- listings ---- */

/* Reads one piece of a listing and goes on behind it. Returns how many entries it had. */
static unsigned read_piece(uint32_t opcode, struct fuse_read_in *in)
{
	unsigned count = 0;

	cr_assert_eq(call(opcode, ROOT, in, sizeof(*in), NULL, 0), 0);
	cr_assert_leq(reply.size, in->size);
	for (size_t at = 0; at < reply.size; count++) {
		const struct fuse_direntplus *p = (const void *)(reply.data + at);
		const struct fuse_dirent *d = (const void *)(reply.data + at);

		if (opcode == FUSE_READDIRPLUS) {
			d = &p->dirent;
			cr_expect_eq(p->entry_out.nodeid, d->ino);
			at += FUSE_DIRENTPLUS_SIZE(p);
		} else {
			at += FUSE_DIRENT_SIZE(d);
		}
		in->offset = d->off;
	}
	return count;
}

static uint64_t open_root(void)
{
	const struct fuse_open_out *out = (const void *)reply.data;
	struct fuse_open_in in = {.flags = O_RDONLY};

	cr_assert_eq(call(FUSE_OPENDIR, ROOT, &in, sizeof(in), NULL, 0), 0);
	return out->fh;
}

static void make_files(unsigned count)
{
	for (unsigned n = 0; n < count; n++) {
		char name[100];

		snprintf(name, sizeof(name), "%.*s%u", (int)n,
			"a name that gets longer with every file of this test, as names do", n);
		pool_create(&pool, ROOT, name);
	}
}

Test(ops, lists_a_directory_in_pieces_of_any_size)
{
	static const uint32_t opcodes[] = {FUSE_READDIR, FUSE_READDIRPLUS};
	uint64_t handle;

	make_files(60);
	handle = open_root();
	for (uint32_t size = 512; size < 20000; size += 1777)
		for (size_t n = 0; n < ARRAY_SIZE(opcodes); n++) {
			struct fuse_read_in in = {.size = size, .fh = handle};
			unsigned piece, found = 0;

			while ((piece = read_piece(opcodes[n], &in)) > 0)
				found += piece;
			cr_expect_eq(found, 62, "by %u bytes: %u", size, found);
		}
}

/* Every entry is renamed once it was read, and so gets a new place at the end. */
Test(ops, ends_a_listing_that_renames_what_it_finds)
{
	struct fuse_read_in in = {.size = 512};
	struct fuse_rename2_in move = {.newdir = ROOT};
	unsigned piece, found = 0, renamed = 0;

	make_files(60);
	in.fh = open_root();
	while ((piece = read_piece(FUSE_READDIR, &in)) > 0) {
		found += piece;
		cr_assert_leq(found, 62);
		for (; renamed + 2 < found; renamed++) {
			struct ns_entry e;
			char names[400];
			int length;

			cr_assert_eq(ns_next_entry(&pool.ns, ROOT, 2, &e), 1);
			length = snprintf(names, sizeof(names), "%.*s%cx%u", (int)e.length, e.name,
				0, renamed);
			cr_assert_eq(call(FUSE_RENAME2, ROOT, &move, sizeof(move), names,
					     (size_t)length + 1),
				0);
		}
	}
	cr_expect_eq(found, 62);
}

Test(ops, shows_what_is_new_after_a_rewind)
{
	struct fuse_read_in in = {.size = 512};
	unsigned piece, found = 0;

	in.fh = open_root();
	cr_expect_eq(read_piece(FUSE_READDIR, &in), 2);
	make_files(60);
	cr_expect_eq(read_piece(FUSE_READDIR, &in), 0);
	in.offset = 0;
	while ((piece = read_piece(FUSE_READDIR, &in)) > 0)
		found += piece;
	cr_expect_eq(found, 62);
}
