// SPDX-License-Identifier: MIT
/*
 * The runtime directory is ours alone and one instance's alone, and whatever
 * is odd about it is told.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/runtime.h"
#include "util/cleanup.h"
#include "util/packet.h"

#define SOMEBODY 65534

static char base[64];
static struct problem why;

/* As a plain user, whose directory the environment names: root's would be /run itself. */
static void setup(void)
{
	(void)snprintf(base, sizeof(base), "/tmp/gm-runtime-XXXXXX");
	cr_assert_not_null(mkdtemp(base));
	if (geteuid() == 0) {
		cr_assert_eq(chown(base, SOMEBODY, SOMEBODY), 0);
		cr_assert_eq(setegid(SOMEBODY), 0);
		cr_assert_eq(seteuid(SOMEBODY), 0);
	}
	cr_assert_eq(setenv("XDG_RUNTIME_DIR", base, 1), 0);
}

static void teardown(void)
{
	char command[128];

	if (getuid() == 0)
		(void)seteuid(0);
	(void)snprintf(command, sizeof(command), "rm -rf %s", base);
	cr_assert_eq(system(command), 0);
}

TestSuite(runtime, .init = setup, .fini = teardown);

static void make_base(mode_t mode)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/guestmemfs", base);
	cr_assert_eq(mkdir(path, 0700), 0);
	cr_assert_eq(chmod(path, mode), 0);
}

Test(runtime, is_made_and_removed_again)
{
	struct runtime r = RUNTIME_NULL;
	char expected[128];
	struct stat st;

	cr_assert_eq(runtime_make(&r, "vm", NULL, &why), 0, "%s", why.text);
	(void)snprintf(expected, sizeof(expected), "%s/guestmemfs/vm", base);
	cr_assert_str_eq(r.directory, expected);
	(void)snprintf(expected, sizeof(expected), "%s/guestmemfs/vm/grant.sock", base);
	cr_assert_str_eq(r.grant_socket, expected);
	(void)snprintf(expected, sizeof(expected), "%s/guestmemfs/vm/control.sock", base);
	cr_assert_str_eq(r.control_socket, expected);
	cr_assert_eq(stat(r.directory, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0700);
	runtime_remove(&r);
	cr_assert_eq(stat(r.directory, &st), -1);
	runtime_deinit(&r);
	runtime_remove(&r); /* nothing is there any more */
}

Test(runtime, a_second_instance_of_the_name_is_refused)
{
	struct runtime first = RUNTIME_NULL, second = RUNTIME_NULL;

	cr_assert_eq(runtime_make(&first, "vm", NULL, &why), 0);
	cr_assert_eq(runtime_make(&second, "vm", NULL, &why), -EADDRINUSE);
	cr_assert(strstr(why.text, "--name"), "%s", why.text);
	cr_assert_null(second.directory);
	cr_assert_eq(runtime_make(&second, "other", NULL, &why), 0);
	runtime_deinit(&second);
	runtime_deinit(&first);
	/* What a killed one has left is taken over. */
	cr_assert_eq(runtime_make(&first, "vm", NULL, &why), 0);
	runtime_deinit(&first);
}

Test(runtime, a_directory_that_others_can_write_to_is_refused)
{
	struct runtime r = RUNTIME_NULL;

	make_base(0777);
	cr_assert_eq(runtime_make(&r, "vm", NULL, &why), -EPERM);
	cr_assert(strstr(why.text, "XDG_RUNTIME_DIR"), "%s", why.text);
}

Test(runtime, somebody_elses_directory_is_refused)
{
	struct runtime r = RUNTIME_NULL;

	if (getuid() != 0)
		cr_skip_test("only root can make another user's directory");
	cr_assert_eq(seteuid(0), 0);
	make_base(0755);
	cr_assert_eq(seteuid(SOMEBODY), 0);
	cr_assert_eq(runtime_make(&r, "vm", NULL, &why), -EPERM);
}

Test(runtime, a_symlink_is_not_followed)
{
	struct runtime r = RUNTIME_NULL;
	char path[128];

	make_base(0700);
	(void)snprintf(path, sizeof(path), "%s/guestmemfs/vm", base);
	cr_assert_eq(symlink("/tmp", path), 0);
	cr_assert_eq(runtime_make(&r, "vm", NULL, &why), -ENOTDIR, "%s", why.text);
}

Test(runtime, the_socket_may_be_elsewhere_and_becomes_absolute)
{
	struct runtime r = RUNTIME_NULL;
	char expected[128];

	cr_assert_eq(chdir(base), 0);
	cr_assert_eq(runtime_make(&r, "vm", "my.sock", &why), 0);
	(void)snprintf(expected, sizeof(expected), "%s/my.sock", base);
	cr_assert_str_eq(r.grant_socket, expected);
	runtime_deinit(&r);
}

Test(runtime, a_path_too_long_for_a_socket_is_refused_before_anything_is_made)
{
	struct runtime r = RUNTIME_NULL;
	char socket[256], path[128];
	struct stat st;

	memset(socket, 'x', sizeof(socket) - 1);
	socket[0] = '/';
	socket[sizeof(socket) - 1] = '\0';
	cr_assert_eq(runtime_make(&r, "vm", socket, &why), -ENAMETOOLONG);
	(void)snprintf(path, sizeof(path), "%s/guestmemfs", base);
	cr_assert_eq(stat(path, &st), -1);
}

Test(runtime, a_socket_path_that_is_taken_is_told)
{
	struct runtime r = RUNTIME_NULL;

	cr_assert_eq(runtime_make(&r, "vm", NULL, &why), 0, "%s", why.text);
	int fd = open(r.grant_socket, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	cr_expect_eq(runtime_listen(&r, &why), -EEXIST);
	cr_expect_not_null(strstr(why.text, r.grant_socket));
	cr_assert_eq(close_fd(fd), -1);
	cr_assert_eq(unlink(r.grant_socket), 0);
	runtime_remove(&r);
	runtime_deinit(&r);
}

/* It was killed a moment ago; the locks are gone, the socket is still open. */
Test(runtime, a_predecessor_that_is_just_ending_is_waited_for)
{
	struct runtime r = RUNTIME_NULL;

	cr_assert_eq(runtime_make(&r, "vm", NULL, &why), 0, "%s", why.text);
	int fd = packet_listen(r.control_socket, 0600);
	cr_assert_geq(fd, 0);
	pid_t child = fork();
	cr_assert_geq(child, 0);
	if (child == 0) {
		(void)usleep(100000);
		_exit(0);
	}
	cr_assert_eq(close_fd(fd), -1);
	cr_expect_eq(runtime_listen(&r, &why), 0, "%s", why.text);
	cr_assert_eq(waitpid(child, NULL, 0), child);
	runtime_remove(&r);
	runtime_deinit(&r);
}

Test(runtime, who_listens_and_goes_on_is_told)
{
	struct runtime r = RUNTIME_NULL;

	cr_assert_eq(runtime_make(&r, "vm", NULL, &why), 0, "%s", why.text);
	int fd = packet_listen(r.grant_socket, 0600);
	cr_assert_geq(fd, 0);
	cr_expect_eq(runtime_listen(&r, &why), -EADDRINUSE);
	cr_expect_not_null(strstr(why.text, "is this instance running already?"), "%s", why.text);
	cr_assert_eq(close_fd(fd), -1);
	runtime_remove(&r);
	runtime_deinit(&r);
}
