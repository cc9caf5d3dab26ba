// SPDX-License-Identifier: MIT
#include "counts/server.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>

#include "confine/confine.h"
#include "counts/gate.h"
#include "counts/program.h"
#include "counts/session.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

/* What is left after the program is loaded: running it, and talking of what came out. */
static const struct confine_rule rules[] = {
	{.name = "bpf", .compares = {{CONFINE_EQUAL, 0, BPF_PROG_TEST_RUN, 0}}},
	{.name = "bpf", .compares = {{CONFINE_EQUAL, 0, BPF_RAW_TRACEPOINT_OPEN, 0}}},
	{.name = "recvmsg", .compares = {{CONFINE_EQUAL, 0, COUNTS_FD, 0}}},
	{.name = "sendmsg", .compares = {{CONFINE_EQUAL, 0, COUNTS_FD, 0}}}, CONFINE_ALLOW("close"),
	CONFINE_ALLOW("clock_nanosleep"), CONFINE_ALLOW("munmap"),
	CONFINE_ALLOW("brk"), /* free() may give memory back */
};

static int keep_privileges(struct problem *why)
{
	static const int needed[] = {CAP_BPF, CAP_PERFMON, CAP_SYSLOG, CAP_NET_ADMIN};
	const struct confine_privileges p = {
		.capabilities = needed, .capability_count = ARRAY_SIZE(needed)};

	return confine_privileges(&p, why);
}

static int drop_privileges(struct problem *why)
{
	const struct confine_privileges none = {.capabilities = NULL};

	return confine_privileges(&none, why);
}

/* One run on a device that every machine has and of which no page is asked: shows that it works
 * without privileges. */
static int try_program(struct counts_program *p, int device_fd, struct problem *why)
{
	p->job->fd = device_fd;
	p->job->range_count = 0;
	return counts_program_run(p, why);
}

/* All that takes a privilege, and then none is left. */
static int prepare(struct counts_program *p, struct counts_gate *g, struct problem *why)
{
	_cleanup_fd_ int device_fd = -1;
	int r;

	r = keep_privileges(why);
	if (r < 0)
		return r;
	r = counts_program_load(p, why);
	if (r < 0)
		return r;
	counts_gate_load(g);
	device_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (device_fd < 0)
		return problem_errno(why, EOPNOTSUPP, "/dev/null");
	r = drop_privileges(why);
	if (r < 0)
		return r;
	return try_program(p, device_fd, why);
}

int counts_check(struct problem *why, int *gate_error, struct problem *gate_why)
{
	_cleanup_(counts_program_unload) struct counts_program program = COUNTS_PROGRAM_NULL;
	_cleanup_(counts_gate_unload) struct counts_gate gate = COUNTS_GATE_NULL;

	int r = prepare(&program, &gate, why);

	*gate_error = 0;
	if (r == 0)
		*gate_error = counts_gate_close(&gate, NULL, 0, gate_why);
	/* Somebody on his way shows that it works. */
	if (*gate_error == -EAGAIN)
		*gate_error = 0;
	return r;
}

static int send_ready(int sock)
{
	const struct counts_ready ready = {
		.header = {put_le32(sizeof(ready)), put_le16(COUNTS_READY), put_le16(0),
			put_le64(0)},
		.version = put_le32(COUNTS_WIRE_VERSION),
	};

	return packet_send(sock, &ready, sizeof(ready), NULL, 0, true);
}

static int run(struct counts_session *s, struct counts_program *p)
{
	struct problem why = PROBLEM_INIT;
	int r = counts_program_run(p, &why);

	return (int)counts_session_add(s, r, p->job, &why);
}

static size_t close_devices(
	const struct counts_session *s, struct counts_gate *g, union counts_reply *reply)
{
	struct problem why = PROBLEM_INIT;
	int r = 0;

	if (s->closing_count == 0)
		counts_gate_open(g);
	else
		r = counts_gate_close(g, s->closing, s->closing_count, &why);
	return counts_session_closed(s, r, &why, reply);
}

/* 1: the other end is closed. */
static int answer(int sock, const union counts_reply *reply, size_t size, struct problem *why)
{
	int r = packet_send(sock, reply, size, NULL, 0, true);

	if (r == -EPIPE || r == -ECONNRESET)
		return 1;
	return r < 0 ? problem_errno(why, -r, "answering") : 0;
}

/* One message and what follows from it. 1: the other end is closed. */
static int serve_message(int sock, struct counts_session *s, struct counts_program *p,
	struct counts_gate *g, struct problem *why)
{
	union {
		struct counts_header header;
		struct counts_device device;
		struct counts_ranges ranges;
		struct counts_close close;
	} message;
	union counts_reply reply;
	int fd = -1, r;
	size_t nfds = 1;
	ssize_t n = packet_receive(sock, &message, sizeof(message), &fd, &nfds, true);

	if (n == 0 || n == -ECONNRESET)
		return 1;
	if (n < 0)
		return problem_errno(why, (int)-n, "receiving");
	r = counts_session_take(s, &message, (size_t)n, nfds > 0 ? fd : -1, p->job, why);
	if (r == COUNTS_NEXT_RUN)
		r = run(s, p);
	if (r == COUNTS_NEXT_ANSWER)
		return answer(sock, &reply, counts_session_answer(s, &reply), why);
	if (r == COUNTS_NEXT_CLOSE)
		return answer(sock, &reply, close_devices(s, g, &reply), why);
	return r < 0 ? r : 0;
}

/* The last word: the process ends, for this reason. Also from a signal handler, so nothing is
 * formatted here. */
static void send_end(int sock, int error, const char *text)
{
	struct counts_failed m;
	size_t size = counts_failed_init(&m, 0, error, text);

	(void)packet_send(sock, &m, size, NULL, 0, false);
}

static void tell_violation(const char *sentence)
{
	send_end(COUNTS_FD, -EPERM, sentence);
}

static int confine(struct problem *why)
{
	const struct confine_rules tables[] = {{rules, ARRAY_SIZE(rules)}};

	return confine_syscalls(
		tables, ARRAY_SIZE(tables), "guestmemfs-counts", tell_violation, why);
}

int counts_serve(struct problem *why)
{
	_cleanup_(counts_program_unload) struct counts_program program = COUNTS_PROGRAM_NULL;
	_cleanup_(counts_session_deinit) struct counts_session session = COUNTS_SESSION_INIT;
	_cleanup_(counts_gate_unload) struct counts_gate gate = COUNTS_GATE_NULL;
	int r = prepare(&program, &gate, why);

	if (r == 0)
		r = confine(why);
	if (r == 0)
		r = send_ready(COUNTS_FD);
	while (r == 0)
		r = serve_message(COUNTS_FD, &session, &program, &gate, why);
	if (r < 0)
		send_end(COUNTS_FD, r, why->text);
	return r < 0 ? r : 0;
}
