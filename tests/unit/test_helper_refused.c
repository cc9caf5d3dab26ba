// SPDX-License-Identifier: MIT
/*
 * A supervisor that does not speak the protocol, and one that starts a helper with what can't be:
 * the helper ends with a sentence, and does not go on with half of it.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/helper.h"
#include "helper_rig.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

static struct rig rig;

static void set_up(void)
{
	rig_init(&rig);
}

static void tear_down(void)
{
	rig_deinit(&rig);
}

TestSuite(helper_refused, .init = set_up, .fini = tear_down);

/* ---- messages ---- */

Test(helper_refused, a_supervisor_that_breaks_the_protocol_loses_its_helper)
{
	static const struct {
		const char *what;
		size_t size, said_size;
		uint16_t opcode, reserved;
		unsigned descriptors;
		const char *sentence;
	} cases[] = {
		{"half a header", 8, 16, LINK_YIELD, 0, 0, "a message of 8 bytes"},
		{"another size in its header", 16, 17, LINK_YIELD, 0, 0, "a message of 16 bytes"},
		{"reserved", 16, 16, LINK_YIELD, 1, 0, "a message of 16 bytes"},
		{"unknown", 16, 16, 99, 0, 0, "message 99 with 0 descriptors"},
		{"a new worker without a link", 16, 16, LINK_PEER, 0, 0, "with 0 descriptors"},
		{"a descriptor for nothing", 16, 16, LINK_YIELD, 0, 1, "with 1 descriptors"},
		{"two links", 16, 16, LINK_PEER, 0, 2, "receiving from the supervisor"},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		struct link_plain m = {.header = {.size = put_le32((uint32_t)cases[n].said_size),
					       .opcode = put_le16(cases[n].opcode),
					       .reserved = put_le16(cases[n].reserved)}};
		const int fds[2] = {STDIN_FILENO, STDIN_FILENO};

		rig_start(&rig);
		cr_assert_eq(packet_send(rig.control, &m, cases[n].size, fds, cases[n].descriptors,
				     true),
			0);
		cr_expect_eq(rig_stop(&rig), 1, "%s", cases[n].what);
		cr_expect_geq(rig_count_log(&rig, cases[n].sentence), 1, "%s", cases[n].what);
	}
}

/* ---- starts ---- */

static struct helper_options options_for(int link)
{
	struct helper_options o = {.link_fd = link,
		.listen_fd = packet_listen(rig.socket, 0666),
		.notes_directory = rig.directory,
		.region_count = 1,
		.counts_program = "/none"};

	o.regions[0] = (struct helper_region){.kind = GM_REGION_FILE,
		.fd = open(rig.region, O_RDWR | O_CLOEXEC),
		.name = "first"};
	return o;
}

static void add_soft_region(struct helper_options *o)
{
	o->regions[o->region_count++] = (struct helper_region){.kind = GM_REGION_SOFT,
		.fd = open("/dev/null", O_RDWR | O_CLOEXEC),
		.name = "next"};
}

static void open_for_writing_only(struct helper_options *o)
{
	(void)close(o->regions[0].fd);
	o->regions[0].fd = open(rig.region, O_WRONLY | O_CLOEXEC);
}

static void take_what_is_no_region(struct helper_options *o)
{
	(void)close(o->regions[0].fd);
	o->regions[0].fd = open("/dev/null", O_RDWR | O_CLOEXEC);
}

static void lose_the_socket(struct helper_options *o)
{
	(void)close(o->listen_fd);
}

static void lose_the_place_for_notes(struct helper_options *o)
{
	o->notes_directory = "/nowhere";
}

/* The child is the helper; its sentence comes over the link. */
static int start_with(void (*change)(struct helper_options *o), struct link_failed *ret)
{
	int link[2], status = 0;
	ssize_t n;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link), 0);
	pid_t pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		(void)close(link[0]);
		(void)close(STDERR_FILENO);
		struct helper_options o = options_for(link[1]);

		change(&o);
		exit(helper_run(&o));
	}
	(void)close(link[1]);
	n = packet_receive(link[0], ret, sizeof(*ret), NULL, NULL, true);
	cr_expect_eq(n, (ssize_t)sizeof(*ret));
	cr_expect_eq(get_le16(ret->header.opcode), LINK_FAILED);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	(void)close(link[0]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(helper_refused, what_it_can_not_start_with)
{
	static const struct {
		void (*change)(struct helper_options *o);
		unsigned error;
		const char *sentence;
	} cases[] = {
		{add_soft_region, EINVAL, "region next is of kind soft, other than the first one"},
		{open_for_writing_only, EACCES, "mapping region first"},
		{take_what_is_no_region, EINVAL, "first is a character device"},
		{lose_the_socket, EBADF, "--listen-fd"},
		{lose_the_place_for_notes, ENOENT, "/nowhere"},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		struct link_failed failed = {.error = put_le32(0)};

		cr_expect_eq(start_with(cases[n].change, &failed), 1, "%zu", n);
		cr_expect_eq(get_le32(failed.error), cases[n].error, "%zu: %s", n, failed.text);
		cr_expect_not_null(
			strstr(failed.text, cases[n].sentence), "%zu: %s", n, failed.text);
	}
}
