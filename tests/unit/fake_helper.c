// SPDX-License-Identifier: MIT
#include "fake_helper.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "util/cleanup.h"
#include "util/le.h"

#define RW (GM_ACCESS_READ | GM_ACCESS_WRITE)

const struct gm_ticket fake_ticket = {
	.bytes = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

static void init_header(struct fake_answer *a, uint16_t opcode, size_t size)
{
	a->header.opcode = put_le16(opcode);
	a->header.size = put_le32((uint32_t)size);
	a->size = size;
}

void fake_init(struct fake *f, uint32_t access)
{
	memset(f, 0, sizeof(*f));
	strcpy(f->directory, "/tmp/test_client.XXXXXX");
	cr_assert_not_null(mkdtemp(f->directory));
	snprintf(f->path, sizeof(f->path), "%s/s", f->directory);
	f->listener = packet_listen(f->path, 0600);
	cr_assert_geq(f->listener, 0);
	init_header(&f->welcome, GM_OP_WELCOME, sizeof(struct gm_welcome));
	f->welcome.welcome.version = put_le32(GM_PROTOCOL_VERSION);
	init_header(&f->answer, GM_OP_GRANT, sizeof(struct gm_grant));
	f->answer.grant.ino = put_le64(7);
	f->answer.grant.access = put_le32(access);
}

static void drop_fds(struct fake_answer *a)
{
	for (size_t i = 0; i < a->nfds; i++)
		a->fds[i] = close_fd(a->fds[i]);
	a->nfds = 0;
}

void fake_deinit(struct fake *f)
{
	drop_fds(&f->welcome);
	drop_fds(&f->answer);
	close_fd(f->listener);
	unlink(f->path);
	cr_assert_eq(rmdir(f->directory), 0);
}

int fake_reopen(int fd, int flags)
{
	char name[64];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	int again = open(name, flags | O_CLOEXEC);
	cr_assert_geq(again, 0);
	return again;
}

int fake_region(uint64_t size, uint32_t access)
{
	int fd = memfd_create("region", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)size), 0);
	if (!(access & GM_ACCESS_WRITE)) {
		int writable = fd;
		fd = fake_reopen(fd, O_RDONLY);
		close_fd(writable);
	}
	return fd;
}

void fake_add_device(struct fake *f, int fd, uint64_t size, uint64_t align)
{
	struct gm_grant *g = &f->answer.grant;
	uint32_t n = get_le32(g->device_count);

	g->devices[n].size = put_le64(size);
	g->devices[n].align = put_le64(align);
	g->device_count = put_le32(n + 1);
	f->answer.fds[f->answer.nfds++] = fd;
}

void fake_add_extent(struct fake *f, uint32_t device, uint64_t device_block, uint64_t blocks)
{
	struct gm_grant *g = &f->answer.grant;
	uint64_t n = get_le64(g->extent_count), size = get_le64(g->size);

	cr_assert_lt(n, GM_GRANT_INLINE_MAX);
	g->extents[n] = (struct gm_grant_extent){
		.file_offset = put_le64(size),
		.length = put_le64(blocks * GM_BLOCK_SIZE),
		.device_offset = put_le64(device_block * GM_BLOCK_SIZE),
		.device = put_le32(device),
	};
	g->extent_count = put_le64(n + 1);
	g->size = put_le64(size + blocks * GM_BLOCK_SIZE);
}

void fake_seal_table(struct fake *f, const struct gm_grant_extent *table, size_t count, int seals)
{
	int fd = memfd_create("table", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t size = count * sizeof(*table);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, table, size), (ssize_t)size);
	cr_assert_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
	f->answer.fds[f->answer.nfds++] = fd;
}

void fake_refuse(struct fake *f, int error, uint32_t reason)
{
	drop_fds(&f->answer);
	memset(&f->answer.grant, 0, sizeof(f->answer.grant));
	init_header(&f->answer, GM_OP_REFUSED, sizeof(struct gm_refused));
	f->answer.refused.error = put_le32((uint32_t)error);
	f->answer.refused.reason = put_le32(reason);
}

static void send_answer(int sock, struct fake_answer *a, const struct gm_header *request)
{
	a->header.serial = put_le64(get_le64(request->serial) + a->serial_error);
	/* The client may have hung up already, as it should after a bad answer. */
	(void)packet_send(sock, a->bytes, a->size, a->fds, a->nfds, true);
}

static void *serve(void *argument)
{
	struct fake *f = argument;
	struct pollfd waiting = {.fd = f->listener, .events = POLLIN};

	(void)poll(&waiting, 1, -1);
	_cleanup_fd_ int sock = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
	if (f->end == FAKE_END_AT_CONNECT)
		return NULL;
	if (f->end == FAKE_END_REFUSING || f->end == FAKE_END_REFUSING_UNREAD) {
		waiting.fd = sock;
		if (f->end == FAKE_END_REFUSING_UNREAD)
			(void)poll(&waiting, 1, -1);
		send_answer(sock, &f->answer, &(struct gm_header){.serial = put_le64(0)});
		return NULL;
	}
	if (packet_receive(sock, &f->hello, sizeof(f->hello), NULL, NULL, true) <= 0 ||
		f->end == FAKE_END_AFTER_HELLO)
		return NULL;
	send_answer(sock, &f->welcome, &f->hello.header);
	if (packet_receive(sock, &f->attach, sizeof(f->attach), NULL, NULL, true) <= 0 ||
		f->end == FAKE_END_AFTER_ATTACH)
		return NULL;
	send_answer(sock, &f->answer, &f->attach.header);
	/* A helper that lives keeps the connection for as long as the client does. */
	if (f->end != FAKE_END_AFTER_ANSWER)
		(void)packet_receive(sock, &f->attach.header, 0, NULL, NULL, true);
	return NULL;
}

void fake_start(struct fake *f)
{
	cr_assert_eq(pthread_create(&f->thread, NULL, serve, f), 0);
}

void fake_join(struct fake *f)
{
	cr_assert_eq(pthread_join(f->thread, NULL), 0);
}

size_t count_open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	cr_assert_not_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

int fake_redeem(struct fake *f, struct gm_attachment **ret)
{
	fake_start(f);
	int r = gm_redeem(f->path, &fake_ticket, ret);
	fake_join(f);
	return r;
}

void fake_grant_short(struct fake *f)
{
	fake_init(f, RW);
	fake_add_device(
		f, fake_region(FAKE_BLOCKS * GM_BLOCK_SIZE, RW), FAKE_BLOCKS * GM_BLOCK_SIZE, 4096);
	fake_add_device(f, fake_region(8 * GM_BLOCK_SIZE, RW), 8 * GM_BLOCK_SIZE, GM_BLOCK_SIZE);
	fake_add_extent(f, 0, 20, 2);
	fake_add_extent(f, 1, 0, 8);
	fake_add_extent(f, 0, 3, 1);
}

void fake_grant_long(struct fake *f)
{
	fake_init(f, RW);
	fake_add_device(
		f, fake_region(FAKE_BLOCKS * GM_BLOCK_SIZE, RW), FAKE_BLOCKS * GM_BLOCK_SIZE, 4096);
	for (uint32_t i = 0; i < 40; i++)
		f->table[i] = (struct gm_grant_extent){
			.file_offset = put_le64(i * GM_BLOCK_SIZE),
			.length = put_le64(GM_BLOCK_SIZE),
			.device_offset = put_le64((FAKE_BLOCKS - 1 - i) * GM_BLOCK_SIZE),
		};
	f->answer.grant.extent_count = put_le64(40);
	f->answer.grant.size = put_le64(40 * GM_BLOCK_SIZE);
}
