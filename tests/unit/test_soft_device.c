// SPDX-License-Identifier: MIT
/*
 * Which device of a soft region is ours: a /dev, /run and /sys of our own, with a region in it
 * whose attributes are files. What was written to them shows what the kernel would have been told.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "region/dax_sysfs.h"
#include "region/soft_device.h"
#include "region/soft_record.h"
#include "util/cleanup.h"

#define ACL "system.posix_acl_access"

#define START  (4ULL << 30)
#define BLOCK  (2ULL << 20)
#define REGION "/sys/devices/fake"
#define BUS    "/sys/bus/dax"

/* ---- the kernel's files ---- */

static void write_file(const char *path, const char *text)
{
	_cleanup_fd_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0, "%s", path);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void write_number(const char *directory, const char *name, uint64_t number)
{
	char path[256], text[32];

	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	/* In this form, so that a `0` that is written over it leaves a number. */
	(void)snprintf(text, sizeof(text), "%#" PRIx64 "\n", number);
	write_file(path, text);
}

static bool was_written(const char *path, const char *wanted)
{
	char text[64] = "";
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	cr_assert_geq(fd, 0, "%s", path);
	cr_assert_geq(read(fd, text, sizeof(text) - 1), 0);
	return strcmp(text, wanted) == 0;
}

static const char *directory_of(char path[64], unsigned id)
{
	(void)snprintf(path, 64, REGION "/dax7.%u", id);
	return path;
}

static void add_mapping(unsigned id, unsigned number, const struct soft_range *r, uint64_t at)
{
	char path[64], mapping[128];

	(void)snprintf(mapping, sizeof(mapping), "%s/mapping%u", directory_of(path, id), number);
	cr_assert_eq(mkdir(mapping, 0700), 0);
	write_number(mapping, "page_offset", at);
	write_number(mapping, "start", START + r->block * BLOCK);
	write_number(mapping, "end", START + (r->block + r->count) * BLOCK - 1);
}

static void bind_device(unsigned id)
{
	char path[64], driver[128];

	(void)snprintf(driver, sizeof(driver), "%s/driver", directory_of(path, id));
	cr_assert_eq(symlink(BUS "/drivers/device_dax", driver), 0);
}

static void unbind_device(unsigned id)
{
	char path[64], driver[128];

	(void)snprintf(driver, sizeof(driver), "%s/driver", directory_of(path, id));
	cr_assert_eq(unlink(driver), 0);
}

/* As daxctl or we make it; count: of its ranges. */
static void make_device(unsigned id, const struct soft_range *ranges, size_t count)
{
	char path[64], link[128];
	uint64_t blocks = 0;

	cr_assert_eq(mkdir(directory_of(path, id), 0700), 0);
	(void)snprintf(link, sizeof(link), BUS "/devices/dax7.%u", id);
	cr_assert_eq(symlink(path, link), 0);
	for (unsigned i = 0; i < count; i++) {
		add_mapping(id, i, &ranges[i], blocks);
		blocks += ranges[i].count;
	}
	write_number(path, "size", blocks * BLOCK);
	write_number(path, "align", BLOCK);
	write_number(path, "resource", START);
	(void)snprintf(link, sizeof(link), "%s/dev", path);
	write_file(link, "1:3\n");
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

static void remove_tree(const char *path)
{
	cr_assert_eq(nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0, "%s", path);
}

static void remove_device(unsigned id)
{
	char path[64], link[64];

	remove_tree(directory_of(path, id));
	(void)snprintf(link, sizeof(link), BUS "/devices/dax7.%u", id);
	cr_assert_eq(unlink(link), 0);
}

/* ---- a region with one device of ours ---- */

static const struct soft_range two[] = {{10, 4}, {20, 2}};
static const struct soft_range other[] = {{100, 6}};

static struct soft_device device; /* dax7.3, as it was found */
static char node[SOFT_DEVICE_NODE];

static void make_tree(void)
{
	static const char *const directories[] = {"/sys/bus", BUS, BUS "/devices", BUS "/drivers",
		BUS "/drivers/device_dax", "/sys/devices", REGION, REGION "/dax_region"};

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		cr_assert_eq(mkdir(directories[i], 0700), 0, "%s", directories[i]);
	write_file(BUS "/drivers/device_dax/bind", "");
	write_file(BUS "/drivers/device_dax/unbind", "");
	write_file(REGION "/dax_region/create", "");
	write_file(REGION "/dax_region/delete", "");
	write_number(REGION "/dax_region", "size", 1024 * BLOCK);
	make_device(0, NULL, 0);
}

static void note_ours(unsigned id)
{
	struct soft_record r = SOFT_RECORD_NULL;
	uint64_t identity = 0;

	cr_assert_eq(dax_get_identity((struct dax_id){.region = 7, .id = id}, &identity), 0);
	cr_assert_eq(soft_record_open(&r, START, NULL), 0);
	cr_assert_eq(soft_record_set_ours(&r, id, identity, NULL), 0);
	soft_record_close(&r);
}

/* A device as a list shows it; its ranges are the test's to free. */
static struct soft_device find(unsigned id)
{
	struct problem why = PROBLEM_INIT;
	struct soft_device *list = NULL, found = SOFT_DEVICE_NULL;
	size_t count = 0;

	cr_assert_eq(soft_device_list(START, &list, &count, &why), 0, "%s", why.text);
	for (size_t i = 0; i < count; i++)
		if (list[i].id == id) {
			found = list[i];
			list[i] = SOFT_DEVICE_NULL;
		}
	soft_device_list_free(list, count);
	return found;
}

/* Where nobody else sees it; skips where that can't be. */
static void set_up(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		cr_skip("no private mount namespace here (needs root)");
	if (mount("none", "/dev", "tmpfs", 0, "size=1M") < 0 ||
		mount("none", "/run", "tmpfs", 0, "size=8M") < 0 ||
		mount("none", "/sys", "tmpfs", 0, "size=8M") < 0)
		cr_skip("no tmpfs over /dev, /run and /sys here");
	make_tree();
	make_device(3, two, 2);
	bind_device(3);
	note_ours(3);
	device = find(3);
	soft_device_node(node, &device);
	if (mknod(node, S_IFCHR | 0600, device.rdev) < 0)
		cr_skip("no device nodes here");
}

static void tear_down(void)
{
	soft_device_deinit(&device);
}

TestSuite(soft_device, .init = set_up, .fini = tear_down);

/* ---- nodes ---- */

/* Lets in a user whom no attribute of the mode shows. As in linux/posix_acl_xattr.h. */
static void let_in(uint32_t uid)
{
	const struct {
		uint32_t version;
		struct {
			uint16_t tag, rights;
			uint32_t id;
		} entries[5];
	} list = {2, {{1, 6, UINT32_MAX}, {2, 6, uid}, {4, 6, UINT32_MAX}, {0x10, 6, UINT32_MAX},
			     {0x20, 0, UINT32_MAX}}};

	if (setxattr(node, ACL, &list, sizeof(list), 0) < 0 && errno == EOPNOTSUPP)
		cr_skip("this kernel's tmpfs has no access lists");
	cr_assert_gt(getxattr(node, ACL, NULL, 0), 0);
}

static void expect_owner(uid_t uid, gid_t gid, mode_t mode)
{
	struct stat st;

	cr_assert_eq(stat(node, &st), 0);
	cr_expect_eq(st.st_uid, uid);
	cr_expect_eq(st.st_gid, gid);
	cr_expect_eq(st.st_mode & 07777, mode);
}

Test(soft_device, a_new_owner_has_nobody_in_whom_the_last_one_let_in)
{
	cr_assert_eq(soft_device_set_owner(&device, 1234, 1235, 0640), 0);
	expect_owner(1234, 1235, 0640);
	let_in(5678);
	cr_assert_eq(soft_device_set_owner(&device, 4321, 4322, 0660), 0);
	expect_owner(4321, 4322, 0660);
	cr_expect_eq(getxattr(node, ACL, NULL, 0), -1);
	cr_expect_eq(errno, ENODATA);
}

Test(soft_device, another_device_by_its_number_is_left_alone)
{
	device.rdev = makedev(1, 5);
	cr_expect_eq(soft_device_set_owner(&device, 1234, 1235, 0640), -ESTALE);
	cr_expect_eq(soft_device_open(&device, O_RDWR), -ESTALE);
	expect_owner(0, 0, 0600);
	cr_assert_eq(unlink(node), 0);
	cr_expect_eq(soft_device_set_owner(&device, 1234, 1235, 0640), -ENOENT);
}

/* ---- another device that has the name and the number ---- */

/* Nothing is opened, given to anybody or told to the kernel. */
static void expect_untouched(const char *sentence)
{
	struct problem why = PROBLEM_INIT;

	cr_expect_eq(soft_device_check(&device, &why), -ESTALE);
	cr_expect_not_null(strstr(why.text, sentence), "%s", why.text);
	cr_expect_eq(soft_device_open(&device, O_RDWR), -ESTALE);
	cr_expect_eq(soft_device_set_owner(&device, 1234, 1235, 0640), -ESTALE);
	expect_owner(0, 0, 0600);
	cr_expect_eq(soft_device_remove(START, &device, NULL), -EBUSY);
	cr_expect(was_written(BUS "/drivers/device_dax/unbind", ""));
	cr_expect(was_written(REGION "/dax_region/delete", ""));
}

Test(soft_device, what_is_as_it_was_made_is_ours)
{
	int fd = soft_device_open(&device, O_RDONLY);

	cr_expect_eq(soft_device_check(&device, NULL), 0);
	cr_expect_geq(fd, 0);
	close(fd);
	cr_expect(device.ours && device.bound && device.identity != 0);
	cr_expect(soft_device_covers(&device, two, 2));
}

Test(soft_device, one_over_other_blocks_is_not_ours)
{
	remove_device(3);
	make_device(3, other, 1);
	bind_device(3);
	expect_untouched("is another device now");
	struct soft_device found = find(3);
	cr_expect_not(found.ours);
	soft_device_deinit(&found);
}

Test(soft_device, nor_is_one_over_the_same_blocks)
{
	remove_device(3);
	make_device(3, two, 2);
	bind_device(3);
	expect_untouched("is another device now");
	struct soft_device found = find(3);
	cr_expect_not(found.ours);
	soft_device_deinit(&found);
}

Test(soft_device, nor_one_that_was_given_a_further_range)
{
	add_mapping(3, 2, &other[0], 6);
	write_number(REGION "/dax7.3", "size", 12 * BLOCK);
	expect_untouched("somebody has changed its ranges");
	struct soft_device found = find(3);
	cr_expect_not(found.ours);
	soft_device_deinit(&found);
}

Test(soft_device, nor_one_that_was_emptied_and_filled_with_as_much)
{
	remove_tree(REGION "/dax7.3/mapping0");
	remove_tree(REGION "/dax7.3/mapping1");
	add_mapping(3, 0, &other[0], 0);
	expect_untouched("somebody has changed its ranges");
}

Test(soft_device, one_that_is_gone_is_said_to_be)
{
	remove_device(3);
	expect_untouched("is gone");
}

Test(soft_device, one_that_was_unbound_is_not_taken_away_and_ours_no_more)
{
	struct problem why = PROBLEM_INIT;

	unbind_device(3);
	cr_expect_eq(soft_device_check(&device, &why), -ENXIO);
	cr_expect_not_null(strstr(why.text, "somebody has unbound it"), "%s", why.text);
	cr_expect_eq(soft_device_open(&device, O_RDWR), -ESTALE);
	cr_expect_eq(soft_device_remove(START, &device, NULL), -EBUSY);
	struct soft_device found = find(3);
	cr_expect(!found.ours && !found.bound);
	cr_expect_eq(soft_device_has_lost(START, NULL), 1);
	cr_expect(was_written(REGION "/dax_region/delete", ""));
	soft_device_deinit(&found);
}

/* Its pages have new counts, which tell nothing of who had it before. */
Test(soft_device, nor_is_one_that_was_unbound_and_bound_again)
{
	unbind_device(3);
	bind_device(3);
	expect_untouched("bound it again");
	struct soft_device found = find(3);
	cr_expect(!found.ours && found.bound);
	cr_expect_eq(found.instance, device.instance);
	cr_expect_eq(soft_device_has_lost(START, NULL), 1);
	soft_device_deinit(&found);
}

Test(soft_device, its_node_can_be_closed_all_the_same)
{
	cr_assert_eq(soft_device_set_owner(&device, 1234, 1235, 0640), 0);
	unbind_device(3);
	cr_expect_eq(soft_device_set_owner(&device, 4321, 4322, 0660), -ESTALE);
	expect_owner(1234, 1235, 0640);
	cr_expect_eq(soft_device_set_owner(&device, 0, 0, 0), 0);
	expect_owner(0, 0, 0);
	remove_device(3);
	make_device(3, two, 2);
	bind_device(3);
	cr_expect_eq(
		soft_device_set_owner(&device, 0, 0, 0), -ESTALE, "of another device it can't");
}

/* ---- what is noted ---- */

static bool is_noted(unsigned id, uint64_t identity)
{
	struct soft_record r = SOFT_RECORD_NULL;

	cr_assert_eq(soft_record_open(&r, START, NULL), 0);
	bool noted = soft_record_is_ours(&r, id, identity);
	soft_record_close(&r);
	return noted;
}

Test(soft_device, what_was_noted_of_one_that_is_gone_is_forgotten)
{
	cr_expect(is_noted(3, device.identity));
	remove_device(3);
	struct soft_device found = find(3);
	cr_expect_null(found.ranges);
	cr_expect_not(is_noted(3, device.identity));
	cr_expect_eq(soft_device_has_lost(START, NULL), 1);
}

Test(soft_device, one_that_has_taken_the_place_of_another_tells_that_it_is_lost)
{
	cr_expect_eq(soft_device_has_lost(START, NULL), 0);
	remove_device(3);
	make_device(3, other, 1);
	note_ours(3); /* made by us, before anybody has looked */
	cr_expect_eq(soft_device_has_lost(START, NULL), 1);
}

Test(soft_device, what_is_noted_is_of_one_device)
{
	cr_assert_eq(soft_device_note_exported(START, &device), 0);
	struct soft_device found = find(3);
	cr_expect(found.ours && found.exported && !found.window);
	soft_device_deinit(&found);
	cr_expect_eq(soft_device_remove(START, &device, NULL), -EBUSY, "it was exported");
	remove_device(3);
	make_device(3, two, 2);
	bind_device(3);
	note_ours(3);
	found = find(3);
	cr_expect(found.ours && !found.exported);
	/* A note that comes too late is of the one that is gone. */
	cr_assert_eq(soft_device_note_window(START, &device), 0);
	soft_device_deinit(&found);
	found = find(3);
	cr_expect(found.ours && !found.window);
	soft_device_deinit(&found);
}

Test(soft_device, a_record_of_another_version_is_refused)
{
	struct soft_record r = SOFT_RECORD_NULL;
	struct problem why = PROBLEM_INIT;

	write_file("/run/guestmemfs/.soft-0x100000000", "-ooo");
	cr_expect_eq(soft_record_open(&r, START, &why), -EPROTO);
	cr_expect_not_null(strstr(why.text, "not written by this version"), "%s", why.text);
}

/* ---- half made ---- */

/* As a process leaves it that dies while it makes dax7.4 over these ranges. */
static void begin_with(unsigned id, const struct soft_range *ranges, size_t count)
{
	struct soft_record r = SOFT_RECORD_NULL;
	struct soft_work w = {.id = id, .ranges = (struct soft_range *)ranges, .count = count};

	cr_assert_eq(dax_get_instance((struct dax_id){.region = 7, .id = id}, &w.instance), 0);
	cr_assert_eq(soft_record_open(&r, START, NULL), 0);
	cr_assert_eq(soft_record_begin(&r, &w, NULL), 0);
	soft_record_close(&r);
}

static void begin(const struct soft_range *ranges, size_t count)
{
	begin_with(4, ranges, count);
}

static void expect_left(void)
{
	struct soft_device found = find(4);

	cr_expect_not_null(found.ranges);
	cr_expect_not(found.ours);
	cr_expect(was_written(REGION "/dax_region/delete", ""));
	cr_expect(was_written(BUS "/drivers/device_dax/unbind", ""));
	soft_device_deinit(&found);
}

static void expect_deleted(void)
{
	struct soft_device found = find(4);

	cr_expect(was_written(REGION "/dax_region/delete", "dax7.4"));
	soft_device_deinit(&found);
}

Test(soft_device, half_made_without_memory_it_is_removed)
{
	make_device(4, NULL, 0);
	begin(other, 1);
	expect_deleted();
}

Test(soft_device, half_made_with_part_of_its_memory_it_is_removed)
{
	static const struct soft_range wanted[] = {{100, 6}, {200, 1}};

	make_device(4, other, 1);
	begin(wanted, 2);
	expect_deleted();
}

Test(soft_device, half_made_with_other_memory_it_is_somebody_elses)
{
	make_device(4, two, 1);
	begin(other, 1);
	expect_left();
}

Test(soft_device, another_that_is_being_made_with_the_id_is_left)
{
	make_device(4, NULL, 0);
	begin(other, 1);
	remove_device(4);
	make_device(4, NULL, 0);
	expect_left();
	remove_device(4);
	make_device(4, other, 1);
	expect_left();
}

Test(soft_device, one_that_is_bound_is_not_half_made_but_ours)
{
	make_device(4, other, 1);
	bind_device(4);
	begin(other, 1);
	struct soft_device found = find(4);
	cr_expect(found.ours && found.bound && !found.exported && !found.window);
	cr_expect_eq(soft_device_has_lost(START, NULL), 0);
	cr_expect(was_written(REGION "/dax_region/delete", ""));
	cr_expect(was_written(BUS "/drivers/device_dax/unbind", ""));
	soft_device_deinit(&found);
}

Test(soft_device, one_that_is_bound_with_part_of_its_memory_is_somebody_elses)
{
	static const struct soft_range wanted[] = {{100, 6}, {200, 1}};

	make_device(4, other, 1);
	bind_device(4);
	begin(wanted, 2);
	expect_left();
}

/* Whoever was about to remove it died before, and what is noted is of the device as it was. */
Test(soft_device, half_taken_away_and_bound_anew_it_is_left)
{
	begin_with(3, two, 2);
	unbind_device(3);
	bind_device(3);
	struct soft_device found = find(3);
	cr_expect(!found.ours && found.bound);
	cr_expect_eq(soft_device_has_lost(START, NULL), 1);
	cr_expect(was_written(REGION "/dax_region/delete", ""));
	soft_device_deinit(&found);
}

Test(soft_device, half_taken_away_and_unbound_it_is_removed)
{
	begin_with(3, two, 2);
	unbind_device(3);
	struct soft_device found = find(3);
	cr_expect(was_written(REGION "/dax_region/delete", "dax7.3"));
	cr_expect_eq(soft_device_has_lost(START, NULL), 0);
	soft_device_deinit(&found);
}

Test(soft_device, but_not_if_it_was_exported)
{
	cr_assert_eq(soft_device_note_exported(START, &device), 0);
	begin_with(3, two, 2);
	unbind_device(3);
	struct soft_device found = find(3);
	cr_expect(!found.ours && !found.bound);
	cr_expect_eq(soft_device_has_lost(START, NULL), 1);
	cr_expect(was_written(REGION "/dax_region/delete", ""));
	soft_device_deinit(&found);
}

Test(soft_device, nothing_that_was_not_noted_is_half_made)
{
	make_device(4, NULL, 0);
	expect_left();
}

/* ---- retired ---- */

/* As a process leaves it that dies while it retires dax7.3. */
static void begin_retiring(void)
{
	struct soft_record r = SOFT_RECORD_NULL;
	const struct soft_work w = {.id = 3,
		.instance = device.instance,
		.ranges = device.ranges,
		.count = device.range_count};

	cr_assert_eq(soft_device_note_exported(START, &device), 0);
	cr_assert_eq(soft_record_open(&r, START, NULL), 0);
	cr_assert_eq(soft_record_begin(&r, &w, NULL), 0);
	cr_assert_eq(soft_record_set_retired(&r, 3, device.instance, NULL), 0);
	soft_record_close(&r);
}

static void empty(void)
{
	remove_tree(REGION "/dax7.3/mapping0");
	remove_tree(REGION "/dax7.3/mapping1");
	write_number(REGION "/dax7.3", "size", 0);
}

static void expect_retired(void)
{
	struct soft_device found = find(3);

	cr_expect(found.retired && !found.ours && !found.bound && found.range_count == 0);
	cr_expect(was_written(REGION "/dax_region/delete", ""), "its name stays taken");
	cr_expect_eq(soft_device_has_lost(START, NULL), 0);
	soft_device_deinit(&found);
}

Test(soft_device, retired_it_stays_and_is_ours_no_more)
{
	begin_retiring();
	unbind_device(3);
	empty();
	expect_retired();
	expect_retired();
	struct soft_device found = find(3);
	cr_expect_eq(soft_device_remove(START, &found, NULL), -EPERM);
	cr_expect_eq(soft_device_retire(START, &found, NULL), -EPERM);
	soft_device_deinit(&found);
	remove_device(3);
	make_device(3, NULL, 0);
	found = find(3);
	cr_expect_not(found.retired, "another of its name is not");
	soft_device_deinit(&found);
}

Test(soft_device, unbound_but_not_empty_it_is_gone_on_with)
{
	begin_retiring();
	unbind_device(3);
	struct soft_device found = find(3);
	/* The kernel of this test keeps its memory. */
	cr_expect(found.retiring && !found.retired && !found.ours);
	cr_expect(was_written(REGION "/dax_region/delete", ""));
	soft_device_deinit(&found);
	empty();
	expect_retired();
}

Test(soft_device, what_is_bound_is_retired_by_nobody_who_has_not_shown_it_idle)
{
	begin_retiring();
	struct soft_device found = find(3);
	cr_expect(found.ours && found.exported && found.bound && !found.retiring);
	cr_expect(was_written(BUS "/drivers/device_dax/unbind", ""));
	soft_device_deinit(&found);
	unbind_device(3);
	found = find(3);
	cr_expect(!found.ours && !found.retiring, "somebody else has unbound it");
	soft_device_deinit(&found);
}

Test(soft_device, with_other_memory_it_is_not_retired)
{
	begin_retiring();
	unbind_device(3);
	empty();
	add_mapping(3, 0, &other[0], 0);
	write_number(REGION "/dax7.3", "size", 6 * BLOCK);
	struct soft_device found = find(3);
	cr_expect(!found.retired && !found.ours);
	cr_expect_eq(soft_device_has_lost(START, NULL), 1);
	soft_device_deinit(&found);
}

Test(soft_device, only_what_was_exported_is_retired)
{
	struct problem why = PROBLEM_INIT;

	cr_expect_eq(soft_device_retire(START, &device, &why), -EBUSY);
	cr_expect_not_null(strstr(why.text, "was not exported"), "%s", why.text);
	cr_assert_eq(soft_device_note_exported(START, &device), 0);
	cr_expect_eq(soft_device_remove(START, &device, &why), -EBUSY);
	cr_expect_not_null(strstr(why.text, "must stay"), "%s", why.text);
	/* Still bound, says the kernel of this test. */
	cr_expect_eq(soft_device_retire(START, &device, &why), -EIO);
	cr_expect_not_null(strstr(why.text, "still has a driver"), "%s", why.text);
	cr_expect(was_written(BUS "/drivers/device_dax/unbind", "dax7.3"));
	cr_expect(was_written(REGION "/dax_region/delete", ""));
}
