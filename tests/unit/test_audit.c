// SPDX-License-Identifier: MIT
/* An event is one line, whatever was put into it, and one entry where a journal listens. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/audit.h"
#include "util/cgroup.h"
#include "util/cleanup.h"
#include "util/log.h"

static const char *format(const struct audit *a)
{
	static char line[2048];

	cr_assert_eq(audit_format(line, sizeof(line), a), strlen(line));
	return line;
}

Test(audit, is_a_line_of_words)
{
	struct audit a;

	audit_begin(&a, AUDIT_GRANT);
	audit_add(&a, "ino", "%d", 7);
	audit_add(&a, "first", "%s", "0:10+2,1:4+1");
	cr_expect_str_eq(format(&a), "grant ino=7 first=0:10+2,1:4+1");
}

Test(audit, nothing_that_comes_from_outside_can_break_a_line_or_a_word)
{
	static const struct {
		const char *value, *word;
	} cases[] = {
		{"/plain/path-1.scope", "/plain/path-1.scope"},
		{"", "\"\""},
		{"two words", "\"two words\""},
		{"a\nrefusal pid=1", "\"a\\x0arefusal pid=1\""},
		{"quo\"te", "\"quo\\x22te\""},
		{"back\\slash", "\"back\\x5cslash\""},
		{"\x1b[31m\x7f\xff", "\"\\x1b[31m\\x7f\\xff\""},
		{"a=b", "\"a=b\""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char wanted[128];
		struct audit a;
		audit_begin(&a, AUDIT_REFUSAL);
		audit_add(&a, "what", "%s", cases[i].value);
		snprintf(wanted, sizeof(wanted), "refusal what=%s", cases[i].word);
		cr_expect_str_eq(format(&a), wanted);
	}
}

Test(audit, what_has_no_room_is_left_out_and_the_rest_is_whole)
{
	char path[4096];
	struct audit a;

	memset(path, '\n', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	audit_begin(&a, AUDIT_QUARANTINE);
	for (int i = 0; i < 10; i++)
		audit_add(&a, "cgroup", "%s", path);
	audit_add(&a, "ino", "%d", 5);
	const char *line = format(&a);
	cr_expect_not_null(strstr(line, "cgroup=\"\\x0a\\x0a"));
	cr_expect_str_eq(strrchr(line, '"'), "\" ino=5");
}

Test(audit, goes_to_the_journal_with_fields_and_back_to_the_log_when_it_takes_no_more)
{
	char directory[] = "/tmp/test_audit.XXXXXX", buffer[8192];
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_fd_ int journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct audit a;
	int out[2];

	cr_assert_not_null(mkdtemp(directory));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", directory);
	cr_assert_eq(bind(journal, (struct sockaddr *)&address, sizeof(address)), 0);
	log_init("test", LOG_LEVEL_INFO);
	audit_to_journal(address.sun_path);
	audit_begin(&a, AUDIT_GRANT);
	audit_add(&a, "pid", "%d", 12);
	audit_add(&a, "cgroup", "%s", "/a b");
	audit_send(&a);
	ssize_t n = recv(journal, buffer, sizeof(buffer) - 1, MSG_DONTWAIT);
	cr_assert_gt(n, 0);
	buffer[n] = '\0';
	cr_expect_str_eq(buffer,
		"MESSAGE=grant pid=12 cgroup=\"/a b\"\nPRIORITY=6\nSYSLOG_IDENTIFIER=test\n"
		"GUESTMEMFS_EVENT=grant\nGUESTMEMFS_PID=12\nGUESTMEMFS_CGROUP=/a b\n");
	/* Nobody listens any more. */
	journal = close_fd(journal);
	cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
	cr_assert_eq(dup2(out[1], STDERR_FILENO), STDERR_FILENO);
	audit_send(&a);
	n = read(out[0], buffer, sizeof(buffer) - 1);
	cr_assert_gt(n, 0);
	buffer[n] = '\0';
	cr_expect_str_eq(buffer, "test: grant pid=12 cgroup=\"/a b\"\n");
	unlink(address.sun_path);
	rmdir(directory);
}

Test(audit, finds_where_cgroups_are_mounted)
{
	static const char table[] =
		"30 1 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
		"31 30 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
		"32 30 0:38 /a /mnt/a rw - cgroup2 cgroup2 rw\n"
		"33 30 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
	char path[] = "/tmp/test_audit.XXXXXX", found[64] = "";
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	cr_expect_eq(cgroup_find_mount_in(path, found, sizeof(found)), -ENOENT);
	cr_assert_eq(write(fd, table, strlen(table)), (ssize_t)strlen(table));
	close(fd);
	cr_expect_eq(cgroup_find_mount_in(path, found, sizeof(found)), 0);
	cr_expect_str_eq(found, "/sys/fs/cgroup/unified");
	cr_expect_eq(cgroup_find_mount_in(path, found, 8), -ENOENT);
	unlink(path);
	cr_expect_eq(cgroup_find_mount_in(path, found, sizeof(found)), -ENOENT);
}

Test(audit, knows_the_cgroup_of_a_process)
{
	static const struct {
		const char *text, *path;
		int error;
	} cases[] = {
		{"0::/system.slice/x.scope\n", "/system.slice/x.scope", 0},
		{"12:pids:/a\n1:name=systemd:/b\n0::/c\n", "/c", 0},
		{"12:pids:/a\n1:name=systemd:/b\n", "/b", 0},
		{"12:pids:/a\n", "", -ENOENT},
		{"10::/a\n", "", -ENOENT},
		{"0::/has:colons and spaces", "/has:colons and spaces", 0},
		{"", "", -ENOENT},
		{"0::/0123456789012345678901234567890123456789\n", "", -ENAMETOOLONG},
	};
	char path[40];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		path[0] = '\0';
		cr_expect_eq(cgroup_parse(cases[i].text, path, sizeof(path)), cases[i].error, "%s",
			cases[i].text);
		cr_expect_str_eq(path, cases[i].path);
	}
	cr_expect_eq(cgroup_of(INT32_MAX, path, sizeof(path)), -ESRCH);
}
