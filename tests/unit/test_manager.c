// SPDX-License-Identifier: MIT
/* A service manager gets its lines at the socket that it has named, whatever kind of name that is.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/manager.h"

#define LINES "READY=1\nSTATUS=x is mounted at /mnt/x"

/* Bound to the name that manager_tell() is given. */
static int listen_at(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = strlen(name);
	int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	cr_assert_geq(sock, 0);
	memcpy(address.sun_path, name, length);
	if (*name == '@')
		address.sun_path[0] = '\0';
	cr_assert_eq(bind(sock, (const struct sockaddr *)&address,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
		0);
	return sock;
}

static void check_told(const char *name)
{
	char text[256];
	int sock = listen_at(name);

	cr_assert_eq(manager_tell(name, LINES), 0);
	ssize_t n = recv(sock, text, sizeof(text) - 1, 0);
	cr_assert_eq(n, (ssize_t)strlen(LINES));
	text[n] = '\0';
	cr_expect_str_eq(text, LINES);
	(void)close(sock);
}

Test(manager, is_told_at_a_path)
{
	char directory[] = "/tmp/gm-manager-XXXXXX", path[64];

	cr_assert_not_null(mkdtemp(directory));
	(void)snprintf(path, sizeof(path), "%s/notify", directory);
	check_told(path);
	(void)unlink(path);
	(void)rmdir(directory);
}

Test(manager, is_told_at_a_name_without_a_path)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "@gm-manager-%d", (int)getpid());
	check_told(name);
}

Test(manager, nobody_is_an_error)
{
	char longest[200];

	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	cr_expect_eq(manager_tell("/tmp/gm-no-such-manager", LINES), -ENOENT);
	cr_expect_eq(manager_tell("", LINES), -EINVAL);
	cr_expect_eq(manager_tell("vsock:1:2", LINES), -EINVAL);
	cr_expect_eq(manager_tell(longest, LINES), -ENAMETOOLONG);
}
