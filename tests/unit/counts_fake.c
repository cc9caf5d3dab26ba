// SPDX-License-Identifier: MIT
/* In the place of guestmemfs-counts: what it says and when it ends is told by $COUNTS_FAKE. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "counts/session.h"
#include "util/le.h"
#include "util/packet.h"

static const char *mode = "";

static bool mode_is(const char *name)
{
	return strcmp(mode, name) == 0;
}

static void say(const void *message, size_t size)
{
	if (packet_send(COUNTS_FD, message, size, NULL, 0, true) < 0)
		_exit(3);
}

static void say_end(uint64_t id, int error, const char *text)
{
	struct counts_failed m;
	size_t size = counts_failed_init(&m, id, error, text);

	if (mode_is("end without a zero byte"))
		memset(m.text, 'x', sizeof(m.text));
	say(&m, size);
}

static void begin(void)
{
	struct counts_ready m = {
		.header = {put_le32(sizeof(m)), put_le16(COUNTS_READY), put_le16(0), put_le64(0)},
		.version = put_le32(COUNTS_WIRE_VERSION + mode_is("other version")),
	};

	if (mode_is("dead at the start"))
		_exit(1);
	if (mode_is("unable") || mode_is("end without a zero byte")) {
		say_end(0, -EOPNOTSUPP, "it is full moon");
		_exit(1);
	}
	if (mode_is("garbage at the start"))
		memset(&m, 0xa5, sizeof(m));
	if (mode_is("silent at the start"))
		(void)pause();
	say(&m, mode_is("short at the start") ? sizeof(m) - 1 : sizeof(m));
}

/* What is asked comes back as the answer: the size of all ranges, and where the first begins. */
static void look(const struct counts_session *s, struct counts_job *job)
{
	job->cdev = 2;
	job->page_min = (uint32_t)(s->align >> 20);
	job->page_max = s->idle;
	job->busy_pages = 0;
	job->first_busy = job->ranges[0].start;
	for (uint32_t i = 0; i < job->range_count; i++)
		job->busy_pages += job->ranges[i].size;
}

static void answer(struct counts_session *s)
{
	union counts_reply reply;
	size_t size = counts_session_answer(s, &reply);

	if (mode_is("another answer's number"))
		reply.answer.header.id = put_le64(s->id + 1);
	if (mode_is("longer answer"))
		size++;
	if (mode_is("descriptor") &&
		packet_send(COUNTS_FD, &reply, size, (const int[]){STDIN_FILENO}, 1, true) == 0)
		return;
	say(&reply, size);
}

/* The numbers come back in the sentence. */
static void answer_close(const struct counts_session *s)
{
	union counts_reply reply;
	struct problem why = PROBLEM_INIT;
	size_t used = 0;

	for (uint32_t i = 0; i < s->closing_count; i++)
		used += (size_t)snprintf(why.text + used, sizeof(why.text) - used, "%u:%u ",
			s->closing[i].major, s->closing[i].minor);
	say(&reply, counts_session_closed(s, s->closing_count > 1 ? -EAGAIN : 0, &why, &reply));
}

static void converse(void)
{
	static _Alignas(8) char message[sizeof(struct counts_ranges)];
	static struct counts_job job;
	struct counts_session s = COUNTS_SESSION_INIT;
	struct problem why = PROBLEM_INIT;

	for (;;) {
		size_t nfds = 1;
		int fd = -1;
		ssize_t n = packet_receive(COUNTS_FD, message, sizeof(message), &fd, &nfds, true);

		if (n <= 0)
			_exit(0);
		int next =
			counts_session_take(&s, message, (size_t)n, nfds > 0 ? fd : -1, &job, &why);
		if (next < 0)
			_exit(4);
		if (mode_is("dead at a question"))
			_exit(1);
		if (mode_is("silent at a question"))
			(void)pause();
		if (mode_is("end with a reason")) {
			say_end(0, -EPERM, "it was forbidden");
			_exit(1);
		}
		if (next == COUNTS_NEXT_RUN) {
			int error = mode_is("no device") && s.id == 1 ? -ENODEV : 0;

			look(&s, &job);
			(void)problem(&why, ENODEV, "no such thing");
			next = (int)counts_session_add(&s, error, &job, &why);
		}
		if (next == COUNTS_NEXT_ANSWER)
			answer(&s);
		if (next == COUNTS_NEXT_CLOSE)
			answer_close(&s);
	}
}

int main(int argc, char **argv)
{
	const char *asked = getenv("COUNTS_FAKE");

	if (argc != 2 || strcmp(argv[1], "--serve") != 0 || !asked)
		return 2;
	mode = asked;
	begin();
	converse();
}
