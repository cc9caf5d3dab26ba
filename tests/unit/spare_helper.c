// SPDX-License-Identifier: MIT
#include "spare_helper.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/le.h"

const struct rig_extent heir[3] = {{0, 200, 1}, {1, 10, 3}, {4, 100, 2}};
const struct rig_extent heir_part[2] = {{1, 10, 3}, {4, 100, 2}};

static void set_up_by(enum reuse_policy policy, bool counts)
{
	soft_helper_set_up_by(policy, counts);
	rig.owner = getuid();
}

void spare_helper_set_up(void)
{
	set_up_by(REUSE_SAME_OWNER, true);
}

void spare_helper_set_up_shown(void)
{
	set_up_by(REUSE_SHOWN, true);
}

void spare_helper_set_up_trusting(void)
{
	set_up_by(REUSE_TRUSTING, true);
}

void spare_helper_set_up_without(void)
{
	set_up_by(REUSE_SAME_OWNER, false);
}

struct fake_device *device(unsigned id)
{
	return (struct fake_device *)fake_soft_find(id);
}

void leave(uint64_t ino, const struct rig_extent *extents, size_t count)
{
	struct rig_child c = rig_child_start(&rig, false);

	(void)rig_grant(&rig, ino, RW, extents, count);
	rig_child_wait(&c);
	rig_child_end(&c);
}

unsigned leave_pinned(uint64_t ino)
{
	leave(ino, small, 2);
	unsigned id = fake_soft->last_id;
	atomic_store(&device(id)->pinned, 11);
	return id;
}

void send_check(uint64_t ino)
{
	struct link_check m = {.ino = put_le64(ino), .flags = put_le32(REMOVED)};

	rig_send(&rig, &m, sizeof(m), LINK_CHECK, 5);
}

void expect_busy(uint64_t ino)
{
	struct link_check m;

	rig_expect(&rig, &m, sizeof(m), LINK_BUSY);
	cr_expect_eq(get_le64(m.ino), ino);
}

struct link_spare expect_spare(uint64_t ino)
{
	struct link_spare m;

	rig_expect(&rig, &m, sizeof(m), LINK_SPARE);
	cr_expect_eq(get_le64(m.header.id), 0);
	cr_expect_eq(get_le64(m.ino), ino);
	cr_expect_eq(get_le64(m.blocks), 5);
	return m;
}

void remove_file(uint64_t ino)
{
	send_check(ino);
	(void)expect_spare(ino);
	expect_busy(ino);
}

void hand_over(uint64_t from, uint64_t ino, uint64_t file_block)
{
	struct link_hand_over m = {.from = put_le64(from),
		.ino = put_le64(ino),
		.epoch = put_le64(++rig.epoch),
		.file_block = put_le64(file_block)};

	rig_send(&rig, &m, sizeof(m), LINK_HAND_OVER, 0);
}

void hear_from_next_worker(uint64_t ino, const struct rig_extent *held, size_t count)
{
	rig_connect(&rig);
	rig_send_config(&rig);
	rig_expect_ready(&rig);
	rig_send_held(&rig, ino, rig.epoch, held, count);
}

void meet_next_worker(uint64_t ino, const struct rig_extent *held, size_t count)
{
	hear_from_next_worker(ino, held, count);
	rig_send_plain(&rig, LINK_RESUMED, 0);
}

static int open_file(unsigned id)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/dax.%u", fake_soft->directory, id);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	return fd;
}

void fill(unsigned id)
{
	_cleanup_fd_ int fd = open_file(id);

	for (off_t block = 0; block < 5; block++)
		cr_assert_eq(pwrite(fd, "theirs", 6, block << GM_BLOCK_SHIFT), 6);
}

unsigned count_filled(unsigned id)
{
	_cleanup_fd_ int fd = open_file(id);
	unsigned filled = 0;

	for (off_t block = 0; block < 5; block++) {
		char text[6];
		cr_assert_eq(pread(fd, text, 6, block << GM_BLOCK_SHIFT), 6);
		filled += memcmp(text, "theirs", 6) == 0;
	}
	return filled;
}

unsigned expect_granted(uint64_t ino, const struct rig_extent *extents, size_t count)
{
	int fds[4], sock = rig_client(&rig);
	struct gm_grant g;

	rig_send_attach(sock, 1);
	(void)rig_grant(&rig, ino, RW, extents, count);
	size_t n = rig_expect_grant(sock, 1, &g, fds, ARRAY_SIZE(fds));
	cr_assert_gt(n, 0);
	unsigned id = fake_soft_id(fds[n - 1]);
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
	close(sock);
	return id;
}

void expect_refused(uint64_t ino, const struct rig_extent *extents, size_t count, int error,
	enum gm_reason reason)
{
	int sock = rig_client(&rig);

	rig_send_attach(sock, 1);
	(void)rig_grant(&rig, ino, RW, extents, count);
	rig_expect_refused(sock, 1, error, reason);
	close(sock);
}

void scrub_small(void)
{
	cr_assert_eq(rig_scrub(&rig, 10, 3), 0);
	cr_assert_eq(rig_scrub(&rig, 100, 2), 0);
}
