// SPDX-License-Identifier: MIT
/* What a test does as a client, and processes that are clients. */
#include "helper_rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

/* ---- as a client ---- */

void rig_send_hello(int sock, uint64_t serial)
{
	const struct gm_hello m = {.header = {.size = put_le32(sizeof(m)),
					   .opcode = put_le16(GM_OP_HELLO),
					   .serial = put_le64(serial)},
		.version_min = put_le32(1),
		.version_max = put_le32(7)};

	cr_assert_eq(packet_send(sock, &m, sizeof(m), NULL, 0, true), 0);
}

void rig_send_attach(int sock, uint64_t serial)
{
	const struct gm_attach m = {.header = {.size = put_le32(sizeof(m)),
					    .opcode = put_le16(GM_OP_ATTACH),
					    .serial = put_le64(serial)},
		.ticket = {{0xaa, 0xbb, (uint8_t)serial}}};

	cr_assert_eq(packet_send(sock, &m, sizeof(m), NULL, 0, true), 0);
}

static void check_header(const struct gm_header *h, size_t size, uint16_t opcode, uint64_t serial)
{
	cr_assert_eq(get_le16(h->opcode), opcode, "%u instead of %u", get_le16(h->opcode), opcode);
	cr_assert_eq(get_le32(h->size), size);
	cr_assert_eq(get_le16(h->reserved), 0);
	cr_assert_eq(get_le64(h->serial), serial);
}

void rig_expect_welcome(int sock, uint64_t serial)
{
	struct gm_welcome m;

	cr_assert_eq(rig_receive(sock, &m, sizeof(m), NULL, NULL), (ssize_t)sizeof(m));
	check_header(&m.header, sizeof(m), GM_OP_WELCOME, serial);
	cr_assert_eq(get_le32(m.version), GM_PROTOCOL_VERSION);
	cr_assert_eq(get_le64(m.flags), 0);
}

int rig_client(const struct rig *r)
{
	int sock = packet_connect(r->socket);

	cr_assert_geq(sock, 0);
	rig_send_hello(sock, 1);
	rig_expect_welcome(sock, 1);
	return sock;
}

size_t rig_expect_grant(int sock, uint64_t serial, struct gm_grant *grant, int *fds, size_t room)
{
	ssize_t n = rig_receive(sock, grant, sizeof(*grant), fds, &room);

	cr_assert_eq(n, (ssize_t)sizeof(*grant),
		"%zd bytes came; of a refusal: errno %u, reason %u", n,
		get_le32(((struct gm_refused *)grant)->error),
		get_le32(((struct gm_refused *)grant)->reason));
	check_header(&grant->header, sizeof(*grant), GM_OP_GRANT, serial);
	return room;
}

void rig_expect_refused(int sock, uint64_t serial, int error, enum gm_reason reason)
{
	struct gm_refused m;
	ssize_t n = rig_receive(sock, &m, sizeof(m), NULL, NULL);

	cr_assert_eq(n, (ssize_t)sizeof(m), "%zd", n);
	check_header(&m.header, sizeof(m), GM_OP_REFUSED, serial);
	cr_assert_eq((int)get_le32(m.error), error, "%d", (int)get_le32(m.error));
	cr_assert_eq(get_le32(m.reason), reason, "%u", get_le32(m.reason));
}

void rig_expect_closed(int sock)
{
	char byte;
	ssize_t n = rig_receive(sock, &byte, sizeof(byte), NULL, NULL);

	cr_assert(n == 0 || n == -ECONNRESET, "%zd", n);
}

/* ---- other processes ---- */

static void child_fork(int sock)
{
	pid_t pid = fork();

	if (pid == 0) {
		/* It has nothing of the client but the mapping. */
		for (int fd = 3; fd < 64; fd++)
			(void)close(fd);
		for (;;)
			pause();
	}
	(void)packet_send(sock, &pid, sizeof(pid), NULL, 0, true);
}

static _Noreturn void run_child(const struct rig *r, bool keep_fd, int out, int sock)
{
	struct gm_grant grant;
	int fds[2] = {-1, -1}, client = rig_client(r);
	char command;

	rig_send_attach(client, 5);
	if (write(out, "a", 1) != 1)
		_exit(1);
	rig_expect_grant(client, 5, &grant, fds, 2);
	off_t offset = (off_t)get_le64(grant.extents[0].device_offset);
	int protection = PROT_READ;
	if (get_le32(grant.access) & GM_ACCESS_WRITE)
		protection |= PROT_WRITE;
	size_t length = get_le64(grant.extents[0].length);
	void *map = mmap(NULL, length, protection, MAP_SHARED, fds[0], offset);
	if (map == MAP_FAILED)
		_exit(2);
	if (!keep_fd)
		fds[0] = close_fd(fds[0]);
	if (write(out, "m", 1) != 1)
		_exit(3);
	while (packet_receive(sock, &command, 1, NULL, NULL, true) == 1) {
		if (command == RIG_FORK)
			child_fork(sock);
		else if (command == RIG_UNMAP && munmap(map, length) == 0)
			(void)packet_send(sock, "u", 1, NULL, 0, true);
		else if (command == RIG_CLOSE && close(fds[0]) == 0)
			(void)packet_send(sock, "c", 1, NULL, 0, true);
		else if (command == RIG_PASS)
			(void)packet_send(sock, "p", 1, fds, 1, true);
	}
	_exit(0);
}

static void expect_byte(const struct rig_child *c, char wanted)
{
	char byte = 0;

	cr_assert_eq(read(c->pipe, &byte, 1), 1, "the child failed");
	cr_assert_eq(byte, wanted);
}

struct rig_child rig_child_start(const struct rig *r, bool keep_fd)
{
	int out[2], pair[2];

	cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	pid_t pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		close(out[0]);
		close(r->control);
		close(r->worker);
		run_child(r, keep_fd, out[1], pair[1]);
	}
	close(out[1]);
	close(pair[1]);
	struct rig_child c = {.pid = pid, .pipe = out[0], .sock = pair[0]};
	expect_byte(&c, 'a');
	return c;
}

void rig_child_wait(const struct rig_child *c)
{
	expect_byte(c, 'm');
}

void rig_child_end(struct rig_child *c)
{
	kill(c->pid, SIGKILL);
	cr_assert_eq(waitpid(c->pid, NULL, 0), c->pid);
	close(c->pipe);
	close(c->sock);
}

bool rig_become_nobody(void)
{
	return geteuid() == 0 && setgroups(0, NULL) == 0 && setgid(65534) == 0 &&
	       setuid(65534) == 0;
}
