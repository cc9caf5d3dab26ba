// SPDX-License-Identifier: MIT
/*
 * Packets arrive whole or not at all, no descriptor is ever leaked, and only a
 * dead socket is replaced.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "util/cleanup.h"
#include "util/packet.h"

static int pair[2];
static char directory[64];

static void setup(void)
{
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	strcpy(directory, "/tmp/test_packet.XXXXXX");
	cr_assert_not_null(mkdtemp(directory));
}

static void teardown(void)
{
	char command[128];

	close_fd(pair[0]);
	close_fd(pair[1]);
	snprintf(command, sizeof(command), "rm -r '%s'", directory);
	cr_assert_eq(system(command), 0);
}

TestSuite(packet, .init = setup, .fini = teardown);

static const char *in_directory(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static size_t open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	cr_assert_not_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void fill_fds(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		cr_assert_geq(fds[i], 0);
	}
}

static void drop_fds(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close_fd(fds[i]);
}

Test(packet, plain_packets_keep_their_borders)
{
	char data[16];

	cr_assert_eq(packet_send(pair[0], "one", 3, NULL, 0, false), 0);
	cr_assert_eq(packet_send(pair[0], "three", 5, NULL, 0, false), 0);
	cr_assert_eq(packet_receive(pair[1], data, sizeof(data), NULL, NULL, false), 3);
	cr_assert_arr_eq(data, "one", 3);
	cr_assert_eq(packet_receive(pair[1], data, sizeof(data), NULL, NULL, true), 5);
	cr_assert_arr_eq(data, "three", 5);
}

Test(packet, descriptors_arrive_in_order_and_close_on_exec)
{
	static const size_t counts[] = {1, 2, 33, PACKET_FDS_MAX};
	int sent[PACKET_FDS_MAX], got[PACKET_FDS_MAX];
	char data[8];

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		size_t n = PACKET_FDS_MAX, before = open_fds();
		for (size_t k = 0; k < counts[i]; k++)
			sent[k] = open(k % 2 ? "/dev/null" : "/dev/zero", O_RDONLY | O_CLOEXEC);
		cr_assert_eq(packet_send(pair[0], "fds", 3, sent, counts[i], false), 0);
		cr_assert_eq(packet_receive(pair[1], data, sizeof(data), got, &n, false), 3);
		cr_assert_eq(n, counts[i]);
		for (size_t k = 0; k < n; k++) {
			struct stat a, b;
			cr_assert_eq(fstat(sent[k], &a) | fstat(got[k], &b), 0);
			cr_assert_eq(a.st_rdev, b.st_rdev);
			cr_assert(fcntl(got[k], F_GETFD) & FD_CLOEXEC);
		}
		drop_fds(sent, n);
		drop_fds(got, n);
		cr_assert_eq(open_fds(), before);
	}
}

Test(packet, room_for_descriptors_but_none_came)
{
	int got[4] = {-7, -7, -7, -7};
	size_t n = ARRAY_SIZE(got);
	char data[8];

	cr_assert_eq(packet_send(pair[0], "x", 1, NULL, 0, false), 0);
	cr_assert_eq(packet_receive(pair[1], data, sizeof(data), got, &n, false), 1);
	cr_assert_eq(n, 0);
	cr_assert_eq(got[0], -7);
}

Test(packet, too_many_to_send_is_refused_before_anything_is_sent)
{
	int fds[PACKET_FDS_MAX + 1] = {0};
	char data[8];

	cr_assert_eq(packet_send(pair[0], "x", 1, fds, ARRAY_SIZE(fds), false), -EINVAL);
	cr_assert_eq(packet_receive(pair[1], data, sizeof(data), NULL, NULL, false), -EAGAIN);
}

/* sent descriptors, room for them, room for bytes (4 are sent), and what must come out. */
static const struct refusal {
	size_t sent, room, size;
	ssize_t result;
} refusals[] = {
	{1, 0, 4, -EPROTO},
	{PACKET_FDS_MAX, 0, 4, -EPROTO},
	{2, 1, 4, -EPROTO}, /* the padding behind one descriptor would have room for a second */
	{4, 3, 4, -EPROTO},
	{4, 2, 4, -EPROTO},
	{PACKET_FDS_MAX, PACKET_FDS_MAX - 1, 4, -EPROTO},
	{0, 0, 3, -EMSGSIZE},
	{3, 3, 3, -EMSGSIZE},
	{3, 3, 0, -EMSGSIZE},
};

Test(packet, refused_packets_leave_no_descriptor_and_no_rest)
{
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		const struct refusal *t = &refusals[i];
		int sent[PACKET_FDS_MAX], got[PACKET_FDS_MAX];
		size_t n = t->room;
		char data[8];

		fill_fds(sent, t->sent);
		cr_assert_eq(packet_send(pair[0], "long", 4, sent, t->sent, false), 0);
		drop_fds(sent, t->sent);
		size_t before = open_fds();
		cr_assert_eq(
			packet_receive(pair[1], data, t->size, t->room ? got : NULL, &n, false),
			t->result, "case %zu", i);
		cr_assert_eq(open_fds(), before, "case %zu leaks", i);
		cr_assert_eq(packet_receive(pair[1], data, sizeof(data), NULL, NULL, false),
			-EAGAIN, "case %zu left something", i);
	}
}

/* Of two that come there is a number for one. */
Test(packet, descriptors_without_a_number_are_told_from_too_many)
{
	struct rlimit limit;
	int sent[2], got[2];
	size_t n = ARRAY_SIZE(got);
	char data[8];

	fill_fds(sent, 2);
	cr_assert_eq(packet_send(pair[0], "long", 4, sent, 2, false), 0);
	drop_fds(sent, 2);
	size_t before = open_fds();
	int next = dup(0);
	close_fd(next);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	rlim_t all = limit.rlim_cur;
	limit.rlim_cur = (rlim_t)next + 1;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	cr_expect_eq(packet_receive(pair[1], data, sizeof(data), got, &n, false), -EMFILE);
	limit.rlim_cur = all;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	cr_expect_eq(open_fds(), before);
	cr_expect_eq(packet_receive(pair[1], data, sizeof(data), NULL, NULL, false), -EAGAIN);
}

Test(packet, descriptors_on_an_empty_packet_are_refused)
{
	int fd, got[2];
	size_t n = 2;
	char data[8];

	fill_fds(&fd, 1);
	size_t before = open_fds();
	cr_assert_eq(packet_send(pair[0], "", 0, &fd, 1, false), 0);
	cr_assert_eq(packet_receive(pair[1], data, sizeof(data), got, &n, false), -EPROTO);
	cr_assert_eq(open_fds(), before);
	close_fd(fd);
}

Test(packet, end_of_file_is_zero_and_sending_into_it_does_not_kill)
{
	char data[8];

	pair[0] = close_fd(pair[0]);
	cr_assert_eq(packet_receive(pair[1], data, sizeof(data), NULL, NULL, true), 0);
	cr_assert_eq(packet_send(pair[1], "x", 1, NULL, 0, true), -EPIPE);
}

Test(packet, last_words_come_before_the_reset)
{
	char text[8] = "";

	cr_assert_eq(packet_send(pair[1], "unread", 6, NULL, 0, false), 0);
	cr_assert_eq(packet_send(pair[0], "one", 3, NULL, 0, false), 0);
	cr_assert_eq(packet_send(pair[0], "two", 3, NULL, 0, false), 0);
	pair[0] = close_fd(pair[0]);
	cr_assert_eq(packet_receive(pair[1], text, sizeof(text), NULL, NULL, true), 3);
	cr_assert_str_eq(text, "one");
	cr_assert_eq(packet_receive(pair[1], text, sizeof(text), NULL, NULL, false), 3);
	cr_assert_str_eq(text, "two");
	cr_assert_eq(packet_receive(pair[1], text, sizeof(text), NULL, NULL, true), 0);
}

Test(packet, a_reset_without_words_is_told)
{
	char text[8];

	cr_assert_eq(packet_send(pair[1], "unread", 6, NULL, 0, false), 0);
	pair[0] = close_fd(pair[0]);
	cr_assert_eq(packet_receive(pair[1], text, sizeof(text), NULL, NULL, true), -ECONNRESET);
	cr_assert_eq(packet_receive(pair[1], text, sizeof(text), NULL, NULL, true), 0);
}

Test(packet, a_full_queue_does_not_wait)
{
	static char data[16384];
	int r = 0;

	for (int i = 0; i < 1000 && r == 0; i++)
		r = packet_send(pair[0], data, sizeof(data), NULL, 0, false);
	cr_assert_eq(r, -EAGAIN);
	cr_assert_eq(packet_receive(pair[0], data, sizeof(data), NULL, NULL, false), -EAGAIN);
}

Test(packet, listens_with_the_mode_asked_for_whatever_the_umask)
{
	const char *path = in_directory("s");
	struct stat st;
	char data[8];

	umask(077);
	_cleanup_fd_ int listener = packet_listen(path, 0666);
	cr_assert_geq(listener, 0);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0666);
	_cleanup_fd_ int client = packet_connect(path);
	cr_assert_geq(client, 0);
	cr_assert(fcntl(client, F_GETFD) & fcntl(listener, F_GETFD) & FD_CLOEXEC);
	_cleanup_fd_ int server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	cr_assert_geq(server, 0);
	cr_assert_eq(packet_send(client, "hi", 2, NULL, 0, false), 0);
	cr_assert_eq(packet_receive(server, data, sizeof(data), NULL, NULL, true), 2);
}

Test(packet, a_live_socket_is_refused_and_a_stale_one_replaced)
{
	const char *path = in_directory("s");
	int first = packet_listen(path, 0600);

	cr_assert_geq(first, 0);
	cr_assert_eq(packet_listen(path, 0600), -EADDRINUSE);
	_cleanup_fd_ int still = packet_connect(path);
	cr_assert_geq(still, 0, "the live one was harmed");
	close_fd(first);
	cr_assert_eq(packet_connect(path), -ECONNREFUSED);
	_cleanup_fd_ int second = packet_listen(path, 0600);
	cr_assert_geq(second, 0);
	_cleanup_fd_ int client = packet_connect(path);
	cr_assert_geq(client, 0);
}

Test(packet, what_is_not_a_socket_is_left_alone)
{
	const char *path = in_directory("file");
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	struct stat st;

	cr_assert_geq(fd, 0);
	close_fd(fd);
	size_t before = open_fds();
	cr_assert_eq(packet_listen(path, 0600), -EEXIST);
	cr_assert_eq(lstat(path, &st), 0);
	cr_assert(S_ISREG(st.st_mode));
	cr_assert_eq(packet_listen(directory, 0600), -EEXIST);
	cr_assert_eq(unlink(path) | symlink("elsewhere", path), 0);
	cr_assert_eq(packet_listen(path, 0600), -EEXIST);
	cr_assert_eq(open_fds(), before);
}

Test(packet, names_that_no_address_can_hold)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/", directory);
	size_t n = strlen(path);
	memset(path + n, 'x', sizeof(path) - n);
	path[108] = '\0';
	cr_assert_eq(packet_listen(path, 0600), -ENAMETOOLONG);
	cr_assert_eq(packet_connect(path), -ENAMETOOLONG);
	path[107] = '\0';
	_cleanup_fd_ int listener = packet_listen(path, 0600);
	cr_assert_geq(listener, 0);
	_cleanup_fd_ int client = packet_connect(path);
	cr_assert_geq(client, 0);
	cr_assert_eq(packet_listen("", 0600), -EINVAL);
	cr_assert_eq(packet_connect(""), -EINVAL);
	cr_assert_eq(packet_connect(in_directory("nothing")), -ENOENT);
}
