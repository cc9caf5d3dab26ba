// SPDX-License-Identifier: MIT
/*
 * Changes that contradict what is there: each has its sentence for recovery, and a worker of whose
 * own such a change is stops before the media have seen anything of it. Plans and formats that
 * can't be are refused.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/codec.h"
#include "store_fixture.h"
#include "util/cleanup.h"
#include "util/le.h"

static struct fixture f;
static uint64_t dir, file, marked, contents, node, link_ino; /* what there is */

static uint64_t make(const char *name, uint32_t mode)
{
	uint64_t ino = 0;

	cr_assert_eq(fixture_make(&f, GM_ROOT_INO, name, mode, &ino), 0, "%s", name);
	return ino;
}

static struct inode_attr attr_of(uint64_t ino)
{
	const struct inode *i = meta_inode(store_meta(f.store), ino);

	cr_assert_not_null(i);
	return i->attr;
}

static uint64_t make_link(void)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_CREATE, 0);
	struct inode_attr root = attr_of(GM_ROOT_INO);
	struct inode_attr a = {.ino = store_meta(f.store)->next_ino,
		.mode = S_IFLNK | 0777,
		.links = 1,
		.size = 5};

	txn_put_inode(&t, &a);
	txn_set_target(&t, a.ino, "where", a.size);
	txn_add_dirent(&t, GM_ROOT_INO, a.ino, root.next_cookie++, S_IFLNK >> 12, "link", 4);
	txn_put_inode(&t, &root);
	cr_assert_eq(store_commit(f.store, &t), 0);
	return a.ino;
}

static uint64_t make_contents(void)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_CREATE, 0);
	struct inode_attr a = {.ino = store_meta(f.store)->next_ino,
		.mode = S_IFREG | 0600,
		.flags = GM_INODE_CONTENTS};

	txn_put_inode(&t, &a);
	cr_assert_eq(store_commit(f.store, &t), 0);
	return a.ino;
}

static void set_up(void)
{
	fixture_init(&f, 64);
	dir = make("dir", S_IFDIR | 0755);
	(void)fixture_make(&f, dir, "inside", S_IFREG | 0644, &file);
	file = make("file", S_IFREG | 0644);
	cr_assert_eq(fixture_grow(&f, file, 3), 0);
	marked = make("marked", S_IFREG | 0644);
	cr_assert_eq(fixture_flags(&f, marked, GM_INODE_IO), 0);
	node = make("node", S_IFCHR | 0600);
	link_ino = make_link();
	contents = make_contents();
}

static void tear_down(void)
{
	fixture_deinit(&f);
}

TestSuite(store_refused, .init = set_up, .fini = tear_down);

/* ---- changes ---- */

typedef void change_fn(struct txn *t);

static void changed_type(struct txn *t)
{
	struct inode_attr a = attr_of(node);

	a.mode = S_IFIFO | 0600;
	a.rdev = 0;
	txn_put_inode(t, &a);
}

static void changed_device(struct txn *t)
{
	struct inode_attr a = attr_of(node);

	a.rdev = INODE_RDEV(1, 3);
	txn_put_inode(t, &a);
}

static void changed_target(struct txn *t)
{
	struct inode_attr a = attr_of(link_ino);

	a.size++;
	txn_put_inode(t, &a);
}

static void no_content_store_any_more(struct txn *t)
{
	struct inode_attr a = attr_of(contents);

	a.flags = 0;
	txn_put_inode(t, &a);
}

static void second_content_store(struct txn *t)
{
	struct inode_attr a = attr_of(contents);

	a.ino = store_meta(f.store)->next_ino;
	txn_put_inode(t, &a);
}

static void content_store_removed(struct txn *t)
{
	txn_remove_inode(t, contents);
}

static void content_of_what_has_memory(struct txn *t)
{
	struct inode_attr a = attr_of(file);

	a.flags = GM_INODE_IO;
	txn_put_inode(t, &a);
}

static void number_of_before(struct txn *t)
{
	struct inode_attr a = attr_of(file);

	cr_assert_eq(fixture_unlink(&f, GM_ROOT_INO, "file", false), 0);
	txn_put_inode(t, &a);
}

static void cookie_of_before(struct txn *t)
{
	struct inode_attr a = attr_of(dir);

	a.next_cookie--;
	txn_put_inode(t, &a);
}

static void root_removed(struct txn *t)
{
	txn_remove_inode(t, GM_ROOT_INO);
}

static void removed_while_not_empty(struct txn *t)
{
	txn_remove_inode(t, file);
}

static void removed_and_not_there(struct txn *t)
{
	txn_remove_inode(t, 4711);
}

static void entry_in_a_file(struct txn *t)
{
	txn_add_dirent(t, file, marked, GM_FIRST_COOKIE, S_IFREG >> 12, "x", 1);
}

static void entry_twice(struct txn *t)
{
	txn_add_dirent(
		t, GM_ROOT_INO, marked, attr_of(GM_ROOT_INO).next_cookie, S_IFREG >> 12, "file", 4);
}

static void extent_of(struct txn *t, uint64_t ino, const struct file_extent *e)
{
	txn_add_extent(t, ino, e);
}

static void block_of_two_files(struct txn *t)
{
	uint64_t other = make("other", S_IFREG | 0644);
	struct file_extent e = meta_inode(store_meta(f.store), file)->extents[0];

	extent_of(t, other, &e);
}

static void extent_of_a_directory(struct txn *t)
{
	extent_of(t, dir, &meta_inode(store_meta(f.store), file)->extents[0]);
}

static void held_memory_removed(struct txn *t)
{
	const struct inode *i = meta_inode(store_meta(f.store), file);

	cr_assert_eq(fixture_flags(&f, file, GM_INODE_HELD), 0);
	txn_remove_extent(t, file, &i->extents[0]);
}

static void content_of_nobodys_units(struct txn *t)
{
	txn_add_piece(t, marked, &(struct file_extent){.count = 1});
}

static void piece_of_what_has_memory(struct txn *t)
{
	txn_add_piece(t, file, &(struct file_extent){.count = 1});
}

static const struct {
	change_fn *build;
	const char *sentence;
	bool too_early; /* there is no room to be made for it: -EUCLEAN, where others are stopped */
} changes[] = {
	{changed_type, "it changes its type", false},
	{changed_device, "its device number or its target's length changes", false},
	{changed_target, "its device number or its target's length changes", false},
	{no_content_store_any_more, "it becomes the content store, or ceases to be", false},
	{second_content_store, "is the content store already", false},
	{content_store_removed, "is removed", false},
	{content_of_what_has_memory, "it changes from memory to content", false},
	{number_of_before, "its number was used before", false},
	{cookie_of_before, "its next cookie goes back", false},
	{root_removed, "the root directory is removed", false},
	{removed_while_not_empty, "is removed but not empty", false},
	{removed_and_not_there, "is removed but not there", false},
	{entry_in_a_file, "is no directory", true},
	{entry_twice, "is there twice", false},
	{block_of_two_files, "a block of it is not free", false},
	{extent_of_a_directory, "is no file with memory", true},
	{held_memory_removed, "it is removed while somebody may map it", false},
	{content_of_nobodys_units, "a unit of it is not free", false},
	{piece_of_what_has_memory, "is no file with content", true},
};

Test(store_refused, each_contradiction_has_its_sentence)
{
	for (size_t n = 0; n < ARRAY_SIZE(changes); n++) {
		_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SETATTR, 0);
		struct problem why = PROBLEM_INIT;

		if (n > 0) {
			tear_down();
			set_up();
		}
		changes[n].build(&t);
		const struct gm_item *item = txn_next_item(&t, NULL);
		cr_expect_eq(meta_check(store_meta(f.store), item, get_le32(item->length), &why),
			-EUCLEAN, "change %zu", n);
		cr_expect_not_null(
			strstr(why.text, changes[n].sentence), "change %zu: %s", n, why.text);
	}
}

/* ---- a fault of ours ---- */

/* The same metadata in memory that a child shares. */
static void share_media(void)
{
	size_t size = f.media.size;
	uint8_t *shared =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct problem why = PROBLEM_INIT;

	cr_assert_neq(shared, MAP_FAILED);
	memcpy(shared, f.media.base, size);
	f.store = store_close(f.store);
	free(f.media.base);
	f.media.base = shared;
	cr_assert_eq(fixture_open(&f, &why), 0, "%s", why.text);
}

static void unshare_media(void)
{
	f.store = store_close(f.store);
	(void)munmap(f.media.base, f.media.size);
	f.media.base = NULL;
}

/* In a child: builds the change and commits it. What the child made before it is on the media by
 * then, in `before`. */
static int commit_in_child(change_fn *build, uint8_t *before)
{
	pid_t pid = fork();
	int status = 0;

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		struct txn t = TXN_INIT(GM_RECORD_SETATTR, 0);

		(void)close(STDERR_FILENO); /* what it says of itself is expected */
		build(&t);
		memcpy(before, f.media.base, f.media.size);
		_exit(-store_commit(f.store, &t));
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return status;
}

Test(store_refused, a_fault_of_ours_stops_before_the_media_have_seen_it)
{
	for (size_t n = 0; n < ARRAY_SIZE(changes); n++) {
		if (n > 0)
			set_up();
		share_media();
		size_t size = f.media.size;
		uint8_t *before =
			mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

		cr_assert_neq(before, MAP_FAILED);
		int status = commit_in_child(changes[n].build, before);
		if (changes[n].too_early)
			cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == EUCLEAN,
				"change %zu: %#x", n, (unsigned)status);
		else
			cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT,
				"change %zu: %#x", n, (unsigned)status);
		cr_expect_eq(memcmp(before, f.media.base, size), 0, "change %zu", n);
		(void)munmap(before, size);
		unshare_media();
	}
	fixture_init(&f, 64); /* for tear_down() */
}

/* ---- plans ---- */

static void expect_no_plan(const struct store_region *regions, uint32_t count, const char *sentence)
{
	struct problem why = PROBLEM_INIT;
	struct store_plan plan;

	cr_expect_eq(store_plan(&plan, regions, count, 1024, &why), -EINVAL);
	cr_expect_not_null(strstr(why.text, sentence), "%s", why.text);
}

Test(store_refused, plans_of_regions_that_can_not_be)
{
	struct store_region regions[GM_REGIONS_MAX + 1];

	for (uint32_t n = 0; n < ARRAY_SIZE(regions); n++)
		regions[n] = (struct store_region){
			.kind = GM_REGION_FILE, .blocks = 512, .node = GM_NODE_NONE};
	expect_no_plan(regions, GM_REGIONS_MAX + 1, "1 to 32 regions, not 33");
	expect_no_plan(regions, 0, "1 to 32 regions, not 0");
	regions[1].blocks = (1ULL << 40) + 1;
	expect_no_plan(regions, 2, "region 1 is larger than this format can hold");
	regions[1].blocks = 2;
	expect_no_plan(regions, 2, "region 1 is too small: it needs 6 MiB");
}

Test(store_refused, a_format_that_does_not_fit_changes_nothing)
{
	struct store_region region = {
		.kind = GM_REGION_FILE, .blocks = FIXTURE_MIB / 2, .node = GM_NODE_NONE};
	struct store_plan plan = f.super.plan;
	struct store_format format = {.plan = &plan, .regions = &region, .region_count = 1};
	struct problem why = PROBLEM_INIT;
	uint64_t digest = fixture_digest(&f);
	char label[65];

	memset(label, 'x', sizeof(label));
	label[64] = '\0';
	format.label = label;
	cr_expect_eq(store_format(&f.media, &format, &why), -EINVAL);
	cr_expect_not_null(strstr(why.text, "longer than 63 bytes"), "%s", why.text);
	format.label = "short";
	plan.meta_blocks++;
	cr_expect_eq(store_format(&f.media, &format, &why), -EINVAL);
	cr_expect_not_null(strstr(why.text, "does not fit the region"), "%s", why.text);
	cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
	cr_expect_eq(fixture_digest(&f), digest);
}
