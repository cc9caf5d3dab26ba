// SPDX-License-Identifier: MIT
#include "helper_rig.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

ssize_t rig_receive(int sock, void *data, size_t size, int *fds, size_t *nfds)
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
	cr_assert_eq(rig_receive(pair[0], &r->helper, sizeof(r->helper), &r->control, &one),
		(ssize_t)sizeof(r->helper));
	close(pair[0]);
	cr_assert_eq(rig_receive(r->control, &serving, sizeof(serving), NULL, NULL),
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
