// SPDX-License-Identifier: MIT
#include "helper_rig.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "helper/helper.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

#define PATIENCE_MS 60000

static void make_region(const struct rig *r)
{
	_cleanup_fd_ int fd = open(r->region, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)(RIG_BLOCKS * GM_BLOCK_SIZE)), 0);
}

void rig_init(struct rig *r)
{
	*r = (struct rig){.kind = GM_REGION_FILE, .control = -1, .worker = -1};
	/* tmpfs where there is one, so that nothing is ever written to a disk */
	snprintf(r->directory, sizeof(r->directory), "%s/gm-helper-XXXXXX",
		access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	cr_assert_not_null(mkdtemp(r->directory));
	cr_assert_eq(chmod(r->directory, 0755), 0);
	snprintf(r->region, sizeof(r->region), "%s/region", r->directory);
	snprintf(r->socket, sizeof(r->socket), "%s/grant.sock", r->directory);
	snprintf(r->log, sizeof(r->log), "%s/log", r->directory);
	make_region(r);
}

void rig_forget_notes(const struct rig *r)
{
	char path[512];
	struct dirent *e;
	DIR *d = opendir(r->directory);

	cr_assert_not_null(d);
	while ((e = readdir(d)))
		if (strncmp(e->d_name, ".granted-", 9) == 0) {
			snprintf(path, sizeof(path), "%s/%s", r->directory, e->d_name);
			cr_assert_eq(unlink(path), 0);
		}
	closedir(d);
}

void rig_deinit(struct rig *r)
{
	if (r->control >= 0)
		(void)rig_stop(r);
	unlink(r->region);
	unlink(r->socket);
	unlink(r->log);
	rig_forget_notes(r);
	rmdir(r->directory);
}

/* ---- the supervisor ---- */

_Noreturn void rig_run_helper(const struct rig *r, int link)
{
	struct helper_options o = {.link_fd = link,
		.listen_fd = packet_listen(r->socket, 0666),
		.notes_directory = r->directory,
		.region_count = 1,
		.reuse = r->reuse,
		.counts_program = "/none"};
	int log = getenv("GM_VERBOSE")
			  ? -1
			  : open(r->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (log >= 0)
		dup2(log, STDERR_FILENO);
	o.regions[0] = (struct helper_region){
		.kind = r->kind, .fd = open(r->region, O_RDWR | O_CLOEXEC), .name = r->region};
	/* exit(3), so that a leak is reported where leaks are looked for */
	exit(helper_run(&o));
}

/* Makes the link itself, so that it is the helper's supervisor by all signs, and gives it to the
 * test. */
static _Noreturn void run_supervisor(const struct rig *r, int to_test)
{
	int link[2], status;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) < 0)
		_exit(100);
	pid_t pid = fork();
	if (pid == 0) {
		close(link[0]);
		close(to_test);
		rig_run_helper(r, link[1]);
	}
	close(link[1]);
	if (pid < 0 || packet_send(to_test, &pid, sizeof(pid), &link[0], 1, true) < 0)
		_exit(101);
	close(link[0]);
	close(to_test);
	if (waitpid(pid, &status, 0) != pid)
		_exit(102);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 103);
}

static ssize_t receive(int sock, void *data, size_t size, int *fds, size_t *nfds)
{
	struct pollfd p = {.fd = sock, .events = POLLIN};

	cr_assert_eq(poll(&p, 1, PATIENCE_MS), 1, "nothing came");
	return packet_receive(sock, data, size, fds, nfds, false);
}

void rig_start(struct rig *r)
{
	struct link_plain serving;
	int pair[2];
	size_t one = 1;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	r->supervisor = fork();
	cr_assert_geq(r->supervisor, 0);
	if (r->supervisor == 0) {
		close(pair[0]);
		run_supervisor(r, pair[1]);
	}
	close(pair[1]);
	cr_assert_eq(receive(pair[0], &r->helper, sizeof(r->helper), &r->control, &one),
		(ssize_t)sizeof(r->helper));
	close(pair[0]);
	cr_assert_eq(receive(r->control, &serving, sizeof(serving), NULL, NULL),
		(ssize_t)sizeof(serving));
	cr_assert_eq(get_le16(serving.header.opcode), LINK_SERVING);
}

int rig_stop(struct rig *r)
{
	int status = -1;

	r->control = close_fd(r->control);
	r->worker = close_fd(r->worker);
	cr_assert_eq(waitpid(r->supervisor, &status, 0), r->supervisor);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void rig_connect(struct rig *r)
{
	struct link_plain m = {
		.header = {.size = put_le32(sizeof(m)), .opcode = put_le16(LINK_PEER)}};
	int pair[2];

	r->worker = close_fd(r->worker);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	cr_assert_eq(packet_send(r->control, &m, sizeof(m), &pair[1], 1, true), 0);
	close(pair[1]);
	r->worker = pair[0];
}

void rig_send_config(const struct rig *r)
{
	struct link_config m = {.version = put_le32(LINK_VERSION),
		.region_count = put_le32(1),
		.uuid = {1, 2, 3},
		.regions[0] = {put_le64(RIG_FIRST_DATA), put_le64(RIG_DATA)}};

	rig_send(r, &m, sizeof(m), LINK_CONFIG, 0);
}

void rig_expect_ready(const struct rig *r)
{
	struct link_plain m;

	rig_expect(r, &m, sizeof(m), LINK_READY);
}

void rig_meet(struct rig *r)
{
	rig_connect(r);
	rig_send_config(r);
	rig_expect_ready(r);
}

void rig_bring_up(struct rig *r)
{
	rig_meet(r);
	rig_send_plain(r, LINK_RESUMED, 0);
}

void rig_restart(struct rig *r)
{
	cr_assert_eq(rig_stop(r), 0);
	rig_start(r);
	rig_meet(r);
}

unsigned rig_count_log(const struct rig *r, const char *text)
{
	FILE *f = getenv("GM_VERBOSE") ? NULL : fopen(r->log, "re");
	char line[4096];
	unsigned n = 0;

	if (!f)
		return 1;
	while (fgets(line, sizeof(line), f))
		n += strstr(line, text) != NULL;
	fclose(f);
	return n;
}

/* The number before the text, in all lines that have it. */
static unsigned sum_log(const struct rig *r, const char *text)
{
	FILE *f = fopen(r->log, "re");
	char line[4096];
	unsigned n, sum = 0;

	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, text) && sscanf(strchr(line, ':'), ": %u", &n) == 1)
			sum += n;
	if (f)
		fclose(f);
	return sum;
}

void rig_expect_all_lines(
	const struct rig *r, const char *text, const char *left_out, unsigned wanted)
{
	const struct timespec step = {.tv_nsec = 50000000};
	unsigned lines = 0, owned_up = 0;

	if (getenv("GM_VERBOSE"))
		return;
	for (int i = 0; i < PATIENCE_MS / 50 && lines + owned_up != wanted; i++) {
		(void)nanosleep(&step, NULL);
		lines = rig_count_log(r, text);
		owned_up = sum_log(r, left_out);
	}
	cr_expect_eq(lines + owned_up, wanted, "%u lines, and %u that were left out of %u", lines,
		owned_up, wanted);
}

/* ---- the worker ---- */

void rig_send(const struct rig *r, void *message, size_t size, uint16_t opcode, uint64_t id)
{
	const struct link_header h = {
		.size = put_le32((uint32_t)size), .opcode = put_le16(opcode), .id = put_le64(id)};

	memcpy(message, &h, sizeof(h));
	cr_assert_eq(packet_send(r->worker, message, size, NULL, 0, true), 0);
}

void rig_send_plain(const struct rig *r, uint16_t opcode, uint64_t id)
{
	struct link_plain m;

	rig_send(r, &m, sizeof(m), opcode, id);
}

void rig_expect(const struct rig *r, void *message, size_t size, uint16_t opcode)
{
	uint8_t buffer[1024];
	struct link_header h;
	ssize_t n = receive(r->worker, buffer, sizeof(buffer), NULL, NULL);

	cr_assert_geq(n, (ssize_t)sizeof(h), "the link is closed");
	memcpy(&h, buffer, sizeof(h));
	cr_assert_eq(get_le16(h.opcode), opcode, "%u instead of %u", get_le16(h.opcode), opcode);
	cr_assert_eq((size_t)n, size);
	cr_assert_eq(get_le32(h.size), size);
	memcpy(message, buffer, size);
}

void rig_expect_nothing(const struct rig *r, int milliseconds)
{
	struct pollfd p = {.fd = r->worker, .events = POLLIN};

	cr_assert_eq(poll(&p, 1, milliseconds), 0, "something came");
}

void rig_expect_link_closed(const struct rig *r)
{
	char byte;
	ssize_t n = receive(r->worker, &byte, sizeof(byte), NULL, NULL);

	cr_assert(n == 0 || n == -ECONNRESET, "%zd", n);
}

void rig_send_extents(const struct rig *r, uint64_t id, uint64_t ino,
	const struct rig_extent *extents, size_t count)
{
	while (count > 0) {
		struct link_extents m = {.ino = put_le64(ino)};
		size_t n = count < LINK_EXTENTS_MAX ? count : LINK_EXTENTS_MAX;
		m.count = put_le32((uint32_t)n);
		for (size_t i = 0; i < n; i++)
			m.extents[i] = (struct gm_extent){.ino = put_le64(ino),
				.file_block = put_le64(extents[i].file_block),
				.block = put_le64(extents[i].block),
				.count = put_le32(extents[i].count)};
		rig_send(r, &m, link_extents_size((uint32_t)n), LINK_EXTENTS, id);
		extents += n;
		count -= n;
	}
}

void rig_send_held(const struct rig *r, uint64_t ino, uint64_t epoch,
	const struct rig_extent *extents, size_t count)
{
	struct link_held m = {
		.ino = put_le64(ino), .epoch = put_le64(epoch), .extent_count = put_le64(count)};

	rig_send(r, &m, sizeof(m), LINK_HELD, 0);
	rig_send_extents(r, 0, ino, extents, count);
}

void rig_resume(const struct rig *r, uint64_t ino, const struct rig_extent *held, size_t count)
{
	if (count > 0)
		rig_send_held(r, ino, r->epoch, held, count);
	rig_send_plain(r, LINK_RESUMED, 0);
}

uint64_t rig_size(const struct rig_extent *extents, size_t count)
{
	uint64_t end = 1;

	for (size_t i = 0; i < count; i++)
		if (extents[i].file_block + extents[i].count > end)
			end = extents[i].file_block + extents[i].count;
	return end * GM_BLOCK_SIZE - 12345;
}

struct link_redeem rig_grant(struct rig *r, uint64_t ino, uint32_t access,
	const struct rig_extent *extents, size_t count)
{
	struct link_redeem asked;

	rig_expect(r, &asked, sizeof(asked), LINK_REDEEM);
	uint64_t id = get_le64(asked.header.id);
	struct link_grant m = {.ino = put_le64(ino),
		.epoch = put_le64(++r->epoch),
		.size = put_le64(rig_size(extents, count)),
		.extent_count = put_le64(count),
		.access = put_le32(access),
		.owner = put_le32(r->owner)};
	rig_send(r, &m, sizeof(m), LINK_GRANT, id);
	rig_send_extents(r, id, ino, extents, count);
	return asked;
}

int rig_scrub(const struct rig *r, uint64_t block, uint32_t count)
{
	struct link_scrub m = {.block = put_le64(block), .count = put_le32(count)};
	struct link_done done;

	rig_send(r, &m, sizeof(m), LINK_SCRUB, 77);
	rig_expect(r, &done, sizeof(done), LINK_DONE);
	cr_assert_eq(get_le64(done.header.id), 77);
	return (int)get_le32(done.error);
}

struct link_check rig_check(const struct rig *r, uint64_t ino)
{
	return rig_check_flags(r, ino, 0);
}

struct link_check rig_check_flags(const struct rig *r, uint64_t ino, unsigned flags)
{
	static uint64_t id = 1000;
	struct link_check m = {
		.ino = put_le64(ino), .epoch = put_le64(r->epoch), .flags = put_le32(flags)};

	rig_send(r, &m, sizeof(m), LINK_CHECK, ++id);
	do /* an unasked FREE may meet the question */
		cr_assert_eq(receive(r->worker, &m, sizeof(m), NULL, NULL), (ssize_t)sizeof(m));
	while (get_le16(m.header.opcode) == LINK_FREE && get_le64(m.header.id) == 0);
	cr_assert_eq(get_le64(m.header.id), id);
	cr_assert_eq(get_le64(m.ino), ino);
	return m;
}

void rig_expect_free(const struct rig *r, uint64_t ino, uint64_t epoch)
{
	struct link_check m;

	rig_expect(r, &m, sizeof(m), LINK_FREE);
	cr_assert_eq(get_le64(m.header.id), 0);
	cr_assert_eq(get_le64(m.ino), ino);
	cr_assert_eq(get_le64(m.epoch), epoch);
}

void rig_fill(const struct rig *r, uint64_t block, int byte)
{
	_cleanup_free_ uint8_t *data = malloc(GM_BLOCK_SIZE);
	_cleanup_fd_ int fd = open(r->region, O_WRONLY | O_CLOEXEC);

	memset(data, byte, GM_BLOCK_SIZE);
	cr_assert_eq(pwrite(fd, data, GM_BLOCK_SIZE, (off_t)(block * GM_BLOCK_SIZE)),
		(ssize_t)GM_BLOCK_SIZE);
}

bool rig_is_filled(const struct rig *r, uint64_t block, int byte)
{
	_cleanup_free_ uint8_t *data = malloc(GM_BLOCK_SIZE);
	_cleanup_fd_ int fd = open(r->region, O_RDONLY | O_CLOEXEC);

	cr_assert_eq(pread(fd, data, GM_BLOCK_SIZE, (off_t)(block * GM_BLOCK_SIZE)),
		(ssize_t)GM_BLOCK_SIZE);
	for (size_t i = 0; i < GM_BLOCK_SIZE; i++)
		if (data[i] != (uint8_t)byte)
			return false;
	return true;
}

/* ---- clients ---- */

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

	cr_assert_eq(receive(sock, &m, sizeof(m), NULL, NULL), (ssize_t)sizeof(m));
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
	ssize_t n = receive(sock, grant, sizeof(*grant), fds, &room);

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
	ssize_t n = receive(sock, &m, sizeof(m), NULL, NULL);

	cr_assert_eq(n, (ssize_t)sizeof(m), "%zd", n);
	check_header(&m.header, sizeof(m), GM_OP_REFUSED, serial);
	cr_assert_eq((int)get_le32(m.error), error, "%d", (int)get_le32(m.error));
	cr_assert_eq(get_le32(m.reason), reason, "%u", get_le32(m.reason));
}

void rig_expect_closed(int sock)
{
	char byte;
	ssize_t n = receive(sock, &byte, sizeof(byte), NULL, NULL);

	cr_assert(n == 0 || n == -ECONNRESET, "%zd", n);
}

/* ---- children ---- */

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
