// SPDX-License-Identifier: MIT
/* The source of content memory on soft regions; a device is a file here, and the test is the
 * helper. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuse/content_soft.h"
#include "store/extents.h"
#include "util/cleanup.h"

#define STORE 20U
#define PER   ((uint64_t)GM_UNITS_PER_BLOCK)

/* ---- what the source is over ---- */

static struct file_extent extents[4];
static struct inode store;
static struct meta meta;
static int device = -1; /* as many blocks as there are numbers */

struct inode *meta_contents(const struct meta *m)
{
	return m == &meta && store.extent_count > 0 ? &store : NULL;
}

static struct {
	unsigned count;
	uint64_t ino, from;
} asked;

void grants_fetch_contents(struct grants *g, uint64_t ino, uint64_t from)
{
	(void)g;
	asked.count++;
	asked.ino = ino;
	asked.from = from;
}

static struct content_soft soft;
static struct content_memory *memory;

static void own(uint64_t file_block, uint64_t block, uint32_t count)
{
	extents[store.extent_count++] =
		(struct file_extent){.file_block = file_block, .block = block, .count = count};
}

static void set_up(void)
{
	struct content_source source;

	store = (struct inode){.attr = {.ino = STORE}, .extents = extents};
	device = memfd_create("device", MFD_CLOEXEC);
	cr_assert_geq(device, 0);
	cr_assert_eq(ftruncate(device, (off_t)(64 * GM_BLOCK_SIZE)), 0);
	soft = (struct content_soft){.meta = &meta};
	source = content_soft_source(&soft);
	cr_assert_eq(content_memory_new(&memory, &meta, &source), 0);
	soft.memory = memory;
}

static void tear_down(void)
{
	memory = content_memory_free(memory);
	device = close_fd(device);
}

TestSuite(content_soft, .init = set_up, .fini = tear_down);

static void give(uint64_t file_block, uint64_t device_block, uint64_t count)
{
	const struct grants_part part = {
		.file_block = file_block, .device_block = device_block, .count = count};
	int fd = dup(device);

	cr_assert_geq(fd, 0);
	content_soft_take_part(&soft, &part, fd);
	cr_expect_eq(fcntl(fd, F_GETFD), -1, "no descriptor is kept");
}

/* What stands in the device is what the unit's memory is. */
static void expect_at(uint64_t unit, uint64_t device_block)
{
	uint64_t length = sizeof(uint64_t), mark = unit + 1000, found = 0;

	cr_assert_eq(content_memory_store(memory, unit, 0, &mark, &length), 0);
	off_t offset = (off_t)(device_block * GM_BLOCK_SIZE + unit % PER * GM_UNIT_SIZE);
	cr_assert_eq(pread(device, &found, sizeof(found), offset), (ssize_t)sizeof(found));
	cr_expect_eq(found, mark);
}

Test(content_soft, what_is_not_there_is_fetched)
{
	own(0, 10, 2);
	cr_assert_eq(content_memory_want(memory, 5, 1), -EINPROGRESS);
	cr_expect_eq(asked.count, 1);
	cr_expect_eq(asked.ino, STORE);
	cr_expect_eq(asked.from, 0);
	give(0, 3, 2);
	content_soft_take_given(&soft, 0);
	cr_assert_eq(content_memory_want(memory, 5, PER), 0);
	expect_at(5, 3);
	expect_at(PER + 7, 4);
	cr_expect_eq(asked.count, 1);
}

Test(content_soft, what_is_grown_is_fetched_alone)
{
	own(0, 10, 2);
	give(0, 0, 2);
	extents[0].count = 4;
	cr_assert_eq(content_memory_want(memory, 0, 2 * PER), 0);
	cr_assert_eq(content_memory_want(memory, 3 * PER, 1), -EINPROGRESS);
	cr_expect_eq(asked.from, 2);
	give(2, 20, 2);
	content_soft_take_given(&soft, 0);
	cr_assert_eq(content_memory_want(memory, 3 * PER, 1), 0);
	expect_at(1, 0);
	expect_at(3 * PER, 21);
}

Test(content_soft, what_comes_twice_is_mapped_once)
{
	own(0, 10, 8);
	give(2, 2, 2);
	cr_assert_eq(content_memory_want(memory, 2 * PER, 1), 0);
	uint64_t one = 1;
	const void *before = content_memory_at(memory, 2 * PER, &one);
	give(0, 0, 8);
	give(0, 0, 8);
	cr_assert_eq(content_memory_want(memory, 0, 8 * PER), 0);
	cr_expect_eq(content_memory_at(memory, 2 * PER, &one), before,
		"what is in use stays where it is");
	for (uint64_t block = 0; block < 8; block++)
		expect_at(block * PER + block, block);
}

Test(content_soft, what_is_fragmented_comes_in_parts)
{
	own(0, 10, 1);
	own(1, 30, 1);
	own(4, 50, 2);
	cr_assert_eq(content_memory_want(memory, 0, 2 * PER), -EINPROGRESS);
	give(0, 7, 1);
	give(1, 5, 1);
	content_soft_take_given(&soft, 0);
	cr_assert_eq(content_memory_want(memory, 0, 2 * PER), 0);
	expect_at(0, 7);
	expect_at(PER, 5);
	cr_assert_eq(content_memory_want(memory, 5 * PER, 1), -EINPROGRESS);
	cr_expect_eq(asked.from, 4);
}

Test(content_soft, a_failure_is_said_once_and_then_asked_again)
{
	own(0, 10, 2);
	cr_assert_eq(content_memory_want(memory, 0, 1), -EINPROGRESS);
	content_soft_take_given(&soft, -EBUSY);
	cr_expect_eq(content_memory_want(memory, 0, 1), -EBUSY);
	cr_expect_eq(asked.count, 1);
	cr_expect_eq(content_memory_want(memory, 0, 1), -EINPROGRESS);
	cr_expect_eq(asked.count, 2);
}

Test(content_soft, what_can_not_be_mapped_is_said)
{
	const struct grants_part part = {.count = 2};

	own(0, 10, 2);
	cr_assert_eq(content_memory_want(memory, 0, 1), -EINPROGRESS);
	content_soft_take_part(&soft, &part, open("/dev/null", O_RDONLY | O_CLOEXEC));
	content_soft_take_given(&soft, 0);
	cr_expect_lt(content_memory_want(memory, 0, 1), 0);
	cr_expect_eq(content_memory_want(memory, 0, 1), -EINPROGRESS);
}
