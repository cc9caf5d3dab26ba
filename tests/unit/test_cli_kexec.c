// SPDX-License-Identifier: MIT
/* The parts of guestmemfs kexec that need no kernel. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/interrupt.h"
#include "cli/kexec.h"
#include "cli/tool.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/le.h"
#include "util/packet.h"

#define TOKEN "guestmemfs.succession=00112233445566778899aabbccddeeff"

Test(cli_kexec, words_of_this_boot_alone_are_not_handed_on)
{
	static const struct {
		const char *line;
		const char *stripped;
	} cases[] = {
		{"", ""},
		{" \t\n", ""},
		{"quiet  ro\n", "quiet ro"},
		{TOKEN, ""},
		{"a " TOKEN " b " TOKEN "\n", "a b"},
		{"\"" TOKEN "\" b", "b"},
		{"elfcorehdr=0x2f000000 nr_cpus=1", "nr_cpus=1"},
		{"x" TOKEN " xelfcorehdr=1", "x" TOKEN " xelfcorehdr=1"},
		/* Quotes hold a word together, blanks and all. */
		{"dyndbg=\"file a.c  +p\" ro", "dyndbg=\"file a.c  +p\" ro"},
		{"\"dyndbg=file a.c  +p\" ro", "\"dyndbg=file a.c  +p\" ro"},
		{"note=\"old: " TOKEN " .\" ro", "note=\"old: " TOKEN " .\" ro"},
		{"a=\"never closed " TOKEN, "a=\"never closed " TOKEN},
		{"-- " TOKEN, "--"},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		_cleanup_free_ char *stripped = kexec_strip_tokens(cases[n].line);

		cr_expect_str_eq(stripped, cases[n].stripped, "case %zu: '%s'", n, stripped);
	}
}

/* ---- pools ---- */

Test(cli_kexec, a_pool_is_on_a_file_if_one_of_its_regions_is)
{
	struct instance i = {
		.status = json_tokener_parse(
			"{\"regions\": [{\"kind\": \"pmem\"}, {\"kind\": \"file\"}]}")};

	cr_assert_not_null(i.status);
	cr_expect(instance_has_kind(&i, "file"));
	cr_expect(instance_has_kind(&i, "pmem"));
	cr_expect_not(instance_has_kind(&i, "soft"));
	json_object_put(i.status);
}

/* A worker that does what it is told, but ends before it answers a FREEZE; and that is not there
 * when it is asked for the first time after that. */
struct worker {
	char path[64];
	int listener;
	unsigned freezes, thaws;
	bool frozen;
	pthread_t thread;
};

static void answer_empty(int fd)
{
	struct control_answer a = {.size = put_le32(sizeof(a)),
		.version = put_le32(CONTROL_VERSION),
		.length = put_le64(2)};
	_cleanup_fd_ int memfd = memfd_create("answer", MFD_CLOEXEC);

	cr_assert_eq(write(memfd, "{}", 2), 2);
	cr_assert_eq(packet_send(fd, &a, sizeof(a), &memfd, 1, true), 0);
}

static void begin_to_listen(struct worker *w)
{
	w->listener = packet_listen(w->path, 0600);
	cr_assert_geq(w->listener, 0);
}

static void *serve(void *data)
{
	struct worker *w = data;

	while (w->thaws == 0) {
		struct pollfd p = {.fd = w->listener, .events = POLLIN};
		struct control_request m;

		if (poll(&p, 1, 20000) != 1)
			return NULL;
		_cleanup_fd_ int fd = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC);
		cr_assert_eq(
			packet_receive(fd, &m, sizeof(m), NULL, NULL, true), (ssize_t)sizeof(m));
		w->frozen = get_le32(m.opcode) == CONTROL_FREEZE;
		if (!w->frozen) {
			w->thaws++;
			answer_empty(fd);
			continue;
		}
		w->freezes++;
		w->listener = close_fd(w->listener);
		cr_assert_eq(unlink(w->path), 0);
		fd = close_fd(fd);
		(void)usleep(300000);
		begin_to_listen(w);
	}
	return NULL;
}

Test(cli_kexec, a_pool_whose_freeze_was_not_answered_is_thawed)
{
	struct worker w = {.path = "/tmp/gm-kexec-XXXXXX"};
	struct instance i = {
		.status = json_tokener_parse("{\"frozen\": false, \"mount_point\": \"/tmp\"}")};
	struct instances all = {.list = &i, .count = 1};
	struct problem why = PROBLEM_INIT;

	cr_assert_not_null(mkdtemp(w.path));
	char directory[64];
	(void)snprintf(directory, sizeof(directory), "%s", w.path);
	(void)snprintf(w.path, sizeof(w.path), "%.40s/s", directory);
	(void)snprintf(i.socket, sizeof(i.socket), "%s", w.path);
	begin_to_listen(&w);
	cr_assert_eq(pthread_create(&w.thread, NULL, serve, &w), 0);
	cr_expect_lt(kexec_freeze_all(&all, &why), 0);
	kexec_thaw_all(&all);
	cr_expect_not(i.frozen_by_us);
	cr_assert_eq(pthread_join(w.thread, NULL), 0);
	cr_expect_eq(w.freezes, 1);
	cr_expect_eq(w.thaws, 1);
	cr_expect_not(w.frozen);
	(void)close_fd(w.listener);
	(void)unlink(w.path);
	cr_expect_eq(rmdir(directory), 0);
	json_object_put(i.status);
}

/* ---- the programs that it runs ---- */

static int run_shell(const char *script, char *words, size_t size, bool interruptible)
{
	char *const argv[] = {(char *)"sh", (char *)"-c", (char *)(uintptr_t)script, NULL};

	return tool_run(argv, words, size, interruptible);
}

Test(cli_kexec, a_program_that_says_much_is_read_to_its_end)
{
	char words[400];

	cr_expect_eq(run_shell("echo first; echo second >&2; head -c 1000000 /dev/zero || exit 9; "
			       "exit 7",
			     words, sizeof(words), false),
		7);
	cr_expect_str_eq(words, "first");
	cr_expect_eq(run_shell("exec 1>&- 2>&-; exit 3", words, sizeof(words), false), 3);
	cr_expect_str_eq(words, "");
	char *const none[] = {(char *)"guestmemfs-no-such-program", NULL};
	cr_expect_eq(tool_run(none, words, sizeof(words), false), -ENOENT);
}

Test(cli_kexec, a_signal_is_held_back_and_ends_only_what_may_be_interrupted)
{
	uint64_t began = clock_milliseconds();
	char words[80];

	interrupt_hold();
	cr_expect_not(interrupt_held());
	cr_assert_eq(raise(SIGHUP), 0);
	cr_assert_eq(raise(SIGPIPE), 0);
	cr_expect(interrupt_held());
	cr_expect_eq(run_shell("sleep 0.2; echo done", words, sizeof(words), false), 0);
	cr_expect_str_eq(words, "done");
	/* with all that it has started */
	cr_expect_eq(run_shell("sleep 300; true", words, sizeof(words), true), 128);
	cr_expect_lt(clock_milliseconds() - began, 100000);
}

Test(cli_kexec, what_is_held_back_here_is_not_in_the_programs)
{
	char words[80];

	interrupt_hold();
	cr_expect_eq(run_shell("kill -TERM $$; echo alive", words, sizeof(words), false), 128);
	cr_expect_str_eq(words, "");
}

Test(cli_kexec, what_was_held_back_comes_when_it_is_released, .signal = SIGTERM)
{
	interrupt_hold();
	(void)raise(SIGTERM);
	cr_assert(interrupt_held());
	interrupt_release();
	cr_assert_fail("SIGTERM has not come");
}
