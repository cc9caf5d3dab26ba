// SPDX-License-Identifier: MIT
/*
 * The control socket when memory runs out at any call for it, json-c's too: who asks has the whole
 * answer or ENOMEM, and the next one who asks is served.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "cli/json_read.h"
#include "control_fixture.h"
#include "scarce.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/le.h"
#include "util/packet.h"

#define ROOM 65536

static struct control_fixture s;
static uint64_t file;

static void make_files(void)
{
	struct ns_change change = {.set = NS_SET_SIZE, .size = 3 * GM_BLOCK_SIZE};
	struct stat st;

	cr_assert_eq(ns_mkdir(&s.ns, &control_nobody, GM_ROOT_INO, "d", 1, 0755, &st), 0);
	cr_assert_eq(ns_create(&s.ns, &control_nobody, st.st_ino, "f", 1, 0640, &st), 0);
	cr_assert_eq(ns_setattr(&s.ns, &control_nobody, st.st_ino, &change, &st), 0);
	file = st.st_ino;
}

static void setup(void)
{
	control_fixture_init(&s);
	make_files();
}

static void teardown(void)
{
	control_fixture_deinit(&s);
}

TestSuite(memory_control, .init = setup, .fini = teardown);

/* 0 with what the worker has said, or its errno. Memory runs out while it serves. */
static int ask(uint32_t opcode, char said[ROOM], unsigned long n, enum scarce how, bool *failed)
{
	const struct control_request m = {
		.size = put_le32(sizeof(m)),
		.version = put_le32(CONTROL_VERSION),
		.opcode = put_le32(opcode),
		.ino = put_le64(opcode == CONTROL_EXTENTS ? file : 0),
	};
	_cleanup_fd_ int sock = packet_connect(s.path), memfd = -1;
	struct control_answer answer;
	size_t nfds = 1;

	cr_assert_geq(sock, 0);
	cr_assert_eq(packet_send(sock, &m, sizeof(m), NULL, 0, false), 0);
	scarce_begin(n, how);
	control_serve(s.control, clock_milliseconds()); /* takes the connection */
	control_serve(s.control, clock_milliseconds()); /* and the request */
	*failed = scarce_end();
	cr_assert_eq(packet_receive(sock, &answer, sizeof(answer), &memfd, &nfds, false),
		(ssize_t)sizeof(answer), "call %lu: no answer", n);
	if (get_le32(answer.error)) {
		cr_expect_str_eq(answer.text, "the worker could not make the answer");
		return (int)get_le32(answer.error);
	}
	cr_assert_lt(get_le64(answer.length), ROOM);
	ssize_t length = pread(memfd, said, ROOM - 1, 0);
	cr_assert_eq(length, (ssize_t)get_le64(answer.length));
	said[length] = '\0';
	return 0;
}

static void check(uint32_t opcode, unsigned least)
{
	static char whole[ROOM], said[ROOM];
	bool failed = false;

	cr_assert_eq(ask(opcode, whole, ULONG_MAX, SCARCE_ONCE, &failed), 0);
	for (unsigned how = 0; how < SCARCE_MODES; how++) {
		unsigned long n = 0, refused = 0;

		do {
			int r = ask(opcode, said, n, (enum scarce)how, &failed);

			cr_expect(r == 0 || (r == ENOMEM && failed), "call %lu: %d", n, r);
			if (r == 0)
				cr_expect_str_eq(said, whole, "call %lu", n);
			refused += r != 0;
			n++;
		} while (failed);
		cr_expect_geq(refused, least);
	}
	cr_expect_eq(ask(opcode, said, ULONG_MAX, SCARCE_ONCE, &failed), 0);
	cr_expect_str_eq(said, whole);
}

Test(memory_control, an_answer_is_whole_or_refused)
{
	check(CONTROL_STATUS, 100);
	check(CONTROL_FILES, 50);
	check(CONTROL_EXTENTS, 10);
	check(CONTROL_TOKEN, 3);
}

/* ---- who reads it ---- */

static bool read_fails_at(unsigned long n, enum scarce how)
{
	char text[] = "{\"a\":[true,null,-12,{\"b\":\"c\\u00e4\"}],\"d\":{\"e\":[]},\"f\":7}";
	struct json_object *o = NULL;

	scarce_begin(n, how);
	int r = json_read(&o, text, strlen(text));
	bool failed = scarce_end();
	cr_expect_eq(r, failed ? -ENOMEM : 0, "call %lu: %d", n, r);
	if (r == 0)
		json_object_put(o);
	return failed;
}

Test(memory_control, what_is_read_is_whole_or_refused)
{
	for (unsigned how = 0; how < SCARCE_MODES; how++) {
		unsigned long n = 0;

		while (read_fails_at(n, (enum scarce)how))
			n++;
		cr_expect_geq(n, 15, "only %lu calls could fail", n);
	}
}
