// SPDX-License-Identifier: MIT
/* What a client is given by the helper. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_helper.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/memfd.h"

TestSuite(helper_server, .init = file_helper_set_up, .fini = file_helper_tear_down, .timeout = 60);

Test(helper_server, hands_out_merged_extents_and_says_who_asked)
{
	const struct rig_extent extents[] = {{0, 10, 2}, {2, 12, 3}, {5, 30, 1}, {7, 31, 1}};
	_cleanup_fd_ int sock = rig_client(&rig);
	struct gm_grant g;
	int fds[3];

	rig_send_attach(sock, 42);
	struct link_redeem asked = rig_grant(&rig, 9, WRITE, extents, 4);
	cr_expect_eq((pid_t)get_le32(asked.pid), getpid());
	cr_expect_eq(get_le32(asked.uid), getuid());
	cr_expect_eq(get_le32(asked.gid), getgid());
	cr_expect_eq(asked.ticket.bytes[0], 0xaa);
	cr_expect_eq(asked.ticket.bytes[2], 42);
	cr_assert_eq(rig_expect_grant(sock, 42, &g, fds, 3), 1);
	cr_expect_eq(get_le64(g.ino), 9);
	cr_expect_eq(get_le64(g.size), 8 * GM_BLOCK_SIZE - 12345);
	cr_expect_eq(get_le32(g.access), WRITE);
	cr_expect_eq(get_le32(g.device_count), 1);
	cr_expect_eq(get_le64(g.devices[0].size), RIG_BLOCKS * GM_BLOCK_SIZE);
	cr_expect_eq(get_le64(g.devices[0].align), 4096);
	cr_assert_eq(get_le64(g.extent_count), 3, "the first two adjoin in file and device");
	cr_expect_eq(get_le64(g.extents[0].length), 5 * GM_BLOCK_SIZE);
	cr_expect_eq(get_le64(g.extents[0].device_offset), 10 * GM_BLOCK_SIZE);
	cr_expect_eq(get_le64(g.extents[1].file_offset), 5 * GM_BLOCK_SIZE);
	cr_expect_eq(get_le64(g.extents[2].file_offset), 7 * GM_BLOCK_SIZE);
	cr_expect_eq(get_le64(g.extents[2].device_offset), 31 * GM_BLOCK_SIZE);
	cr_expect_eq(fcntl(fds[0], F_GETFL) & O_ACCMODE, O_RDWR);
	close(fds[0]);
}

Test(helper_server, gives_a_descriptor_that_can_only_be_read_for_a_ticket_to_read)
{
	_cleanup_fd_ int sock = rig_client(&rig);
	struct gm_grant g;
	int fds[2];

	rig_fill(&rig, 10, 0x5a);
	rig_send_attach(sock, 1);
	rig_grant(&rig, 9, READ, small, 1);
	cr_assert_eq(rig_expect_grant(sock, 1, &g, fds, 2), 1);
	cr_expect_eq(get_le32(g.access), READ);
	cr_expect_eq(fcntl(fds[0], F_GETFL) & O_ACCMODE, O_RDONLY);
	off_t offset = (off_t)get_le64(g.extents[0].device_offset);
	errno = 0;
	cr_expect_eq(
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], offset), MAP_FAILED);
	cr_expect_eq(errno, EACCES);
	const char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fds[0], offset);
	cr_assert_neq(p, MAP_FAILED);
	cr_expect_eq(p[17], 0x5a);
	close(fds[0]);
}

Test(helper_server, opens_the_region_anew_for_each_grant)
{
	_cleanup_fd_ int sock = rig_client(&rig);
	struct gm_grant g;
	int a, b;

	rig_send_attach(sock, 1);
	rig_grant(&rig, 9, WRITE, small, 1);
	rig_expect_grant(sock, 1, &g, &a, 1);
	rig_send_attach(sock, 2);
	rig_grant(&rig, 9, WRITE, small, 1);
	rig_expect_grant(sock, 2, &g, &b, 1);
	/* One open file's lock keeps out the other. */
	cr_assert_eq(flock(a, LOCK_EX | LOCK_NB), 0);
	cr_expect_eq(flock(b, LOCK_EX | LOCK_NB), -1);
	close(a);
	close(b);
}

Test(helper_server, puts_many_extents_into_a_sealed_memfd)
{
	enum { COUNT = 1000 };
	static struct rig_extent extents[COUNT];
	_cleanup_fd_ int sock = rig_client(&rig);
	static const struct gm_grant_extent zero[GM_GRANT_INLINE_MAX];
	struct gm_grant g;
	struct stat st;
	int fds[3];

	for (uint64_t i = 0; i < COUNT; i++)
		extents[i] = (struct rig_extent){i, RIG_FIRST_DATA + 2 * i, 1};
	rig_send_attach(sock, 1);
	rig_grant(&rig, 9, READ, extents, COUNT);
	cr_assert_eq(rig_expect_grant(sock, 1, &g, fds, 3), 2);
	cr_expect_eq(get_le64(g.extent_count), COUNT);
	cr_expect_arr_eq(g.extents, zero, sizeof(zero));
	cr_assert_eq(fstat(fds[1], &st), 0);
	cr_assert_eq(st.st_size, COUNT * sizeof(struct gm_grant_extent));
	cr_expect_eq(fcntl(fds[1], F_GET_SEALS) & ~MEMFD_SEAL_EXEC,
		F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	cr_expect_eq(pwrite(fds[1], "x", 1, 0), -1);
	cr_expect_eq(ftruncate(fds[1], 0), -1);
	const struct gm_grant_extent *e =
		mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fds[1], 0);
	cr_assert_neq(e, MAP_FAILED);
	for (uint64_t i = 0; i < COUNT; i++) {
		cr_assert_eq(get_le64(e[i].file_offset), i * GM_BLOCK_SIZE);
		cr_assert_eq(get_le64(e[i].length), GM_BLOCK_SIZE);
		cr_assert_eq(get_le64(e[i].device_offset), extents[i].block * GM_BLOCK_SIZE);
		cr_assert_eq(get_le32(e[i].device), 0);
	}
	close(fds[0]);
	close(fds[1]);
}

Test(helper_server, grants_a_file_without_memory_without_a_device)
{
	_cleanup_fd_ int sock = rig_client(&rig);
	struct gm_grant g;
	int fd;

	rig_send_attach(sock, 1);
	rig_grant(&rig, 9, READ, NULL, 0);
	cr_assert_eq(rig_expect_grant(sock, 1, &g, &fd, 1), 0);
	cr_expect_eq(get_le64(g.extent_count), 0);
	cr_expect_eq(get_le32(g.device_count), 0);
}

Test(helper_server, keeps_no_descriptor_of_what_it_handed_out)
{
	_cleanup_fd_ int sock = rig_client(&rig);
	unsigned before = count_helper_descriptors();

	for (uint64_t i = 0; i < 20; i++)
		attach(sock, i);
	/* A greeting later it has come back from sending the last grant. */
	close(rig_client(&rig));
	rig_send_attach(sock, 99);
	cr_expect_leq(count_helper_descriptors(), before + 2);
}

Test(helper_server, passes_the_workers_refusal_on)
{
	_cleanup_fd_ int sock = rig_client(&rig);
	struct link_redeem asked;
	struct link_refuse m = {
		.error = put_le32(EKEYREJECTED), .reason = put_le32(GM_REASON_TICKET)};

	rig_send_attach(sock, 3);
	rig_expect(&rig, &asked, sizeof(asked), LINK_REDEEM);
	rig_send(&rig, &m, sizeof(m), LINK_REFUSE, get_le64(asked.header.id));
	rig_expect_refused(sock, 3, EKEYREJECTED, GM_REASON_TICKET);
	/* The connection is as good as before. */
	rig_send_attach(sock, 4);
	rig_expect(&rig, &asked, sizeof(asked), LINK_REDEEM);
}
