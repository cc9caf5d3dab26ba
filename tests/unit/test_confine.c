// SPDX-License-Identifier: MIT
/*
 * What is given up is gone, what is kept is there, and whoever breaks a rule ends by SIGSYS with a
 * line that names the system call. Each test confines a process of its own; what it finds out comes
 * back as its exit status.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine/confine.h"
#include "confine/sanitizers.h"
#include "util/cleanup.h"

#define NOBODY 65534U

/* Runs it in a process of its own; its wait status. What that writes to stderr goes to said. */
static int in_child(int (*run)(void), char *said, size_t room)
{
	int ends[2], status = -1;
	size_t n = 0;
	ssize_t m;

	cr_assert_eq(pipe(ends), 0);
	pid_t pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		(void)dup2(ends[1], STDERR_FILENO);
		(void)close(ends[0]);
		(void)close(ends[1]);
		_exit(run());
	}
	(void)close(ends[1]);
	while (n < room - 1 && (m = read(ends[0], said + n, room - 1 - n)) > 0)
		n += (size_t)m;
	said[n] = '\0';
	(void)close(ends[0]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return status;
}

/* A check in the child: the line number is the exit status, which is 8 bits. */
#define CHECK(what)                                                                                \
	do {                                                                                       \
		if (!(what))                                                                       \
			return fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #what,              \
				       strerror(errno)) > 0                                        \
				       ? 1                                                         \
				       : 2;                                                        \
	} while (0)

static void succeeds(int (*run)(void))
{
	char said[512];
	int status = in_child(run, said, sizeof(said));

	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x: %s", (unsigned)status,
		said);
}

static void dies_of(int (*run)(void), const char *call)
{
	char said[512], expected[128];
	int status = in_child(run, said, sizeof(said));

	(void)snprintf(expected, sizeof(expected),
		"tester: has made the system call %s, which it is not allowed", call);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "status %#x: %s",
		(unsigned)status, said);
	cr_assert_not_null(strstr(said, expected), "%s", said);
}

/* ---- system calls ---- */

static const struct confine_rule usual[] = {
	CONFINE_ALLOW("close"),
	CONFINE_ALLOW("getppid"),
	CONFINE_REFUSE("chdir", EXDEV),
	{.name = "lseek", .compares = {{CONFINE_BELOW, 0, 100, 0}}},
	{.name = "lseek", .compares = {{CONFINE_EQUAL, 0, 201, 0}, {CONFINE_EQUAL, 1, 7, 0}}},
	{.name = "umask", .compares = {{CONFINE_MASKED, 0, 2, 3}}},
	/* What other threads do. */
	CONFINE_ALLOW("futex"),
	CONFINE_ALLOW("madvise"),
	CONFINE_ALLOW("munmap"),
	CONFINE_ALLOW("rseq"),
	CONFINE_ALLOW("set_robust_list"),
};

static int confine_with(confine_tell *tell)
{
	struct confine_rules tables = {usual, ARRAY_SIZE(usual)};
	struct problem why = PROBLEM_INIT;
	int r = confine_syscalls(&tables, 1, "tester", tell, &why);

	if (r < 0)
		(void)fprintf(stderr, "%s\n", why.text);
	return r;
}

static int keep_the_rules(void)
{
	CHECK(confine_with(NULL) == 0);
	CHECK(getppid() > 0 && getpid() > 0);
	CHECK(close(-1) < 0 && errno == EBADF);
	CHECK(chdir("/") < 0 && errno == EXDEV);
	CHECK(syscall(SYS_umask, 2) >= 0 && syscall(SYS_umask, 6) >= 0);
	return 0;
}

Test(confine, what_is_allowed_goes_on)
{
	succeeds(keep_the_rules);
}

static int make_directory(void)
{
	CHECK(confine_with(NULL) == 0);
	(void)syscall(SYS_mkdirat, AT_FDCWD, "/nonexistent/x", 0);
	return 0;
}

static int open_network_socket(void)
{
	CHECK(confine_with(NULL) == 0);
	(void)socket(AF_INET, SOCK_STREAM, 0);
	return 0;
}

static int send_signal(void)
{
	CHECK(confine_with(NULL) == 0);
	(void)syscall(SYS_tgkill, getppid(), getppid(), 0);
	return 0;
}

static int use_other_mask(void)
{
	CHECK(confine_with(NULL) == 0);
	(void)syscall(SYS_umask, 1);
	return 0;
}

static int allow_itself_more(void)
{
	CHECK(confine_with(NULL) == 0);
	(void)syscall(SYS_seccomp, 0, 0, NULL);
	return 0;
}

static void *break_a_rule(void *argument)
{
	const struct timespec moment = {.tv_nsec = 1};
	const atomic_bool *go = argument;

	while (!atomic_load(go))
		;
	(void)syscall(SYS_clock_nanosleep, 0, 0, &moment, NULL);
	return NULL;
}

/* One that was there before. */
static int break_a_rule_in_a_thread(void)
{
	atomic_bool go = false;
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, break_a_rule, &go) == 0);
	CHECK(confine_with(NULL) == 0);
	atomic_store(&go, true);
	(void)pthread_join(thread, NULL);
	return 0;
}

Test(confine, a_violation_names_the_call)
{
	dies_of(make_directory, "mkdirat");
	dies_of(open_network_socket, "socket");
	dies_of(send_signal, "tgkill");
	dies_of(use_other_mask, "umask");
	dies_of(allow_itself_more, "seccomp");
	dies_of(break_a_rule_in_a_thread, "clock_nanosleep");
}

static const off_t far = 7;

static int seek_low(void)
{
	CHECK(confine_with(NULL) == 0);
	CHECK(lseek(99, 1, SEEK_SET) < 0 && errno == EBADF);
	CHECK(lseek(201, far, SEEK_SET) < 0 && errno == EBADF);
	return 0;
}

static int seek_between(void)
{
	CHECK(confine_with(NULL) == 0);
	(void)lseek(150, far, SEEK_SET);
	return 0;
}

static int seek_elsewhere(void)
{
	CHECK(confine_with(NULL) == 0);
	(void)lseek(201, 8, SEEK_SET);
	return 0;
}

/* The kernel would take it for 99. */
static int seek_with_high_bits(void)
{
	CHECK(confine_with(NULL) == 0);
	(void)syscall(SYS_lseek, UINT64_C(0x100000063), far, SEEK_SET);
	return 0;
}

Test(confine, arguments_count)
{
	if (confine_sanitizer.count > 0)
		cr_skip_test("a sanitizer seeks as it likes");
	succeeds(seek_low);
	dies_of(seek_between, "lseek");
	dies_of(seek_elsewhere, "lseek");
	dies_of(seek_with_high_bits, "lseek");
}

static void tell(const char *sentence)
{
	(void)!write(STDERR_FILENO, "TOLD ", 5);
	(void)!write(STDERR_FILENO, sentence, strlen(sentence));
}

static int tell_and_die(void)
{
	CHECK(confine_with(tell) == 0);
	(void)syscall(SYS_mkdirat, AT_FDCWD, "/nonexistent/x", 0);
	return 0;
}

Test(confine, somebody_is_told)
{
	char said[512];
	int status = in_child(tell_and_die, said, sizeof(said));

	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	cr_assert_not_null(
		strstr(said, "TOLD has made the system call mkdirat, which"), "%s", said);
}

static int end_by_assertion(void)
{
	CHECK(confine_with(NULL) == 0);
	abort();
}

Test(confine, other_ends_stay_what_they_are)
{
	char said[512];
	int status = in_child(end_by_assertion, said, sizeof(said));

	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "%s", said);
}

Test(confine, a_name_that_is_none_is_refused)
{
	const struct confine_rule rule = CONFINE_ALLOW("opan");
	const struct confine_rules table = {&rule, 1};
	struct problem why = PROBLEM_INIT;

	cr_assert_eq(confine_syscalls(&table, 1, "tester", NULL, &why), -EINVAL);
	cr_assert_str_eq(why.text, "opan is no system call that libseccomp knows");
	cr_assert_geq(chdir("/"), 0, "nothing is in force");
}

/* ---- privileges ---- */

static int privileges(const struct confine_privileges *p)
{
	struct problem why = PROBLEM_INIT;
	int r = confine_privileges(p, &why);

	if (r < 0)
		(void)fprintf(stderr, "%s\n", why.text);
	return r;
}

/* A line of /proc/self/status, read through a descriptor from before the root went. */
static bool status_is(int fd, const char *line)
{
	char text[4096], wanted[128];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return false;
	text[n] = '\0';
	(void)snprintf(wanted, sizeof(wanted), "\n%s\n", line);
	if (strstr(text, wanted))
		return true;
	(void)fprintf(stderr, "not in status: %s", wanted);
	return false;
}

static bool has_no_capability(int status)
{
	static const char *const sets[] = {"Inh", "Prm", "Eff", "Amb"};
	char line[64];

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		(void)snprintf(line, sizeof(line), "Cap%s:\t%016x", sets[i], 0U);
		if (!status_is(status, line))
			return false;
	}
	return true;
}

static int become_nobody(void)
{
	const struct confine_privileges p = {.change_user = true, .uid = NOBODY, .gid = NOBODY};
	int status = open("/proc/self/status", O_RDONLY);

	CHECK(privileges(&p) == 0);
	CHECK(has_no_capability(status));
	CHECK(status_is(status, "CapBnd:\t0000000000000000"));
	CHECK(status_is(status, "NoNewPrivs:\t1"));
	CHECK(status_is(status, "Uid:\t65534\t65534\t65534\t65534"));
	CHECK(status_is(status, "Gid:\t65534\t65534\t65534\t65534"));
	CHECK(status_is(status, "Groups:\t "));
	CHECK(setuid(0) < 0 && errno == EPERM);
	CHECK(prctl(PR_GET_DUMPABLE) == 0);
	return 0;
}

static int keep_two(void)
{
	static const int two[] = {CAP_CHOWN, CAP_KILL};
	const struct confine_privileges p = {.capabilities = two, .capability_count = 2};
	int status = open("/proc/self/status", O_RDONLY);

	CHECK(privileges(&p) == 0);
	CHECK(status_is(status, "CapPrm:\t0000000000000021"));
	CHECK(status_is(status, "CapEff:\t0000000000000021"));
	CHECK(status_is(status, "CapBnd:\t0000000000000021"));
	CHECK(status_is(status, "CapInh:\t0000000000000000"));
	CHECK(status_is(status, "CapAmb:\t0000000000000000"));
	CHECK(status_is(status, "Uid:\t0\t0\t0\t0"));
	return 0;
}

static int keep_one_as_nobody(void)
{
	static const int one = CAP_CHOWN;
	const struct confine_privileges p = {.capabilities = &one,
		.capability_count = 1,
		.change_user = true,
		.uid = NOBODY,
		.gid = NOBODY};
	int status = open("/proc/self/status", O_RDONLY);

	CHECK(privileges(&p) == 0);
	CHECK(status_is(status, "CapPrm:\t0000000000000001"));
	CHECK(status_is(status, "CapEff:\t0000000000000001"));
	CHECK(status_is(status, "Uid:\t65534\t65534\t65534\t65534"));
	return 0;
}

static char in[] = "/tmp/gm-confine-XXXXXX";

static int leave_the_tree(void)
{
	const struct confine_privileges p = {
		.change_user = true, .uid = NOBODY, .gid = NOBODY, .empty_root_in = in};
	int status = open("/proc/self/status", O_RDONLY);

	CHECK(privileges(&p) == 0);
	CHECK(has_no_capability(status));
	CHECK(access("/tmp", F_OK) < 0);
	CHECK(access("/proc/self", F_OK) < 0);
	CHECK(access("../tmp", F_OK) < 0);
	CHECK(mkdir("/x", 0755) < 0);
	CHECK(chroot("/") < 0);
	return 0;
}

/* Root itself makes nothing there, and its permissions are not what keeps it out. */
static int leave_the_tree_as_root(void)
{
	static const int override = CAP_DAC_OVERRIDE;
	const struct confine_privileges p = {
		.capabilities = &override, .capability_count = 1, .empty_root_in = in};

	CHECK(privileges(&p) == 0);
	CHECK(access("/tmp", F_OK) < 0 && errno == ENOENT);
	CHECK(access("../tmp", F_OK) < 0 && errno == ENOENT);
	CHECK(mkdir("/x", 0755) < 0 && errno == ENOENT);
	return 0;
}

static int make_an_empty_root_nowhere(void)
{
	const struct confine_privileges p = {.empty_root_in = "/nonexistent"};
	struct problem why = PROBLEM_INIT;

	CHECK(confine_privileges(&p, &why) == -ENOENT);
	CHECK(strcmp(why.text,
		      "making an empty directory in /nonexistent: No such file or directory") == 0);
	return 0;
}

Test(confine, root_gives_up_what_it_can_do)
{
	if (geteuid() != 0)
		cr_skip_test("only root has anything to give up");
	succeeds(become_nobody);
	succeeds(keep_two);
	succeeds(keep_one_as_nobody);
}

Test(confine, an_empty_root_has_no_way_out)
{
	if (geteuid() != 0)
		cr_skip_test("only root can change its root directory");
	if (confine_sanitizer.count > 0)
		cr_skip_test("a sanitizer needs its root directory");
	cr_assert_not_null(mkdtemp(in));
	succeeds(leave_the_tree);
	succeeds(leave_the_tree_as_root);
	succeeds(make_an_empty_root_nowhere);
	cr_assert_eq(rmdir(in), 0, "something is left in it");
}

/* A plain user's process, which has nothing to begin with. */
static int confine_a_plain_user(void)
{
	const struct confine_privileges p = {.capability_count = 0};
	int status = open("/proc/self/status", O_RDONLY);

	if (geteuid() == 0)
		CHECK(setresuid(NOBODY, NOBODY, NOBODY) == 0);
	CHECK(privileges(&p) == 0);
	CHECK(has_no_capability(status));
	CHECK(status_is(status, "NoNewPrivs:\t1"));
	CHECK(confine_with(NULL) == 0);
	return 0;
}

Test(confine, a_plain_user_needs_no_privilege)
{
	succeeds(confine_a_plain_user);
}
