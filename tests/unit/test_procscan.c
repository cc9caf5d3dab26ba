// SPDX-License-Identifier: MIT
/* Real scans for a real file, or a device, in real processes. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "region/procscan.h"
#include "util/cleanup.h"

/* ---- files ---- */

#define FILE_SIZE (8U << 20)

static char path[] = "/tmp/gm-procscan-XXXXXX";
static struct scan_target target;

static void make_file(void)
{
	_cleanup_fd_ int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, FILE_SIZE), 0);
	void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	cr_assert_neq(p, MAP_FAILED);
	cr_assert_eq(procscan_identify(&target, fd, p), 0);
	munmap(p, 4096);
}

static void remove_file(void)
{
	unlink(path);
}

TestSuite(procscan_real, .init = make_file, .fini = remove_file, .timeout = 60);

/* A child that has done something and says so; it lives until it is ended. */
struct child {
	pid_t pid;
	int said; /* reads "1" when it is ready */
};

static struct child child_start(void (*act)(void))
{
	int fds[2];

	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
	pid_t pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(fds[0]);
		/* The thread that goes on, whichever it is, speaks through this number. */
		dup2(fds[1], 9);
		act();
		_exit(9);
	}
	close(fds[1]);
	char c = 0;
	cr_assert_eq(read(fds[0], &c, 1), 1, "the child failed");
	return (struct child){.pid = pid, .said = fds[0]};
}

static void child_end(struct child *c)
{
	kill(c->pid, SIGKILL);
	waitpid(c->pid, NULL, 0);
	close(c->said);
}

static void say_ready_and_wait(void)
{
	if (write(9, "1", 1) != 1)
		_exit(8);
	for (;;)
		pause();
}

/* What the scan found of this process: the number of uses, and the last one. */
static size_t find_uses(pid_t pid, bool mapped, struct scan_use *ret)
{
	const struct scan_options options = {.targets = &target, .target_count = 1};
	struct scan_result result = SCAN_RESULT_NULL;
	size_t n = 0;

	cr_assert_eq(procscan_run(&options, &result), 0);
	cr_assert_eq(result.blind, 0);
	for (size_t i = 0; i < result.use_count; i++) {
		if (result.uses[i].pid != pid || result.uses[i].mapped != mapped)
			continue;
		n++;
		if (ret)
			*ret = result.uses[i];
	}
	scan_result_deinit(&result);
	return n;
}

static void map_and_close(void)
{
	int fd = open(path, O_RDWR);
	void *p = mmap(NULL, 2U << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4U << 20);

	close(fd);
	if (p == MAP_FAILED)
		_exit(7);
	say_ready_and_wait();
}

Test(procscan_real, finds_who_maps_which_bytes)
{
	struct child c = child_start(map_and_close);
	struct scan_use use = {0};

	cr_assert_eq(find_uses(c.pid, true, &use), 1);
	cr_expect_eq(use.offset, 4U << 20);
	cr_expect_eq(use.length, 2U << 20);
	cr_expect(use.writable);
	cr_expect_eq(use.uid, getuid());
	cr_expect_eq(find_uses(c.pid, false, NULL), 0, "it has closed the file");
	child_end(&c);
	cr_assert_eq(find_uses(c.pid, true, NULL), 0);
}

static void map_privately(void)
{
	int fd = open(path, O_RDONLY);

	if (mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED)
		_exit(7);
	close(fd);
	say_ready_and_wait();
}

Test(procscan_real, finds_private_mappings_too)
{
	struct child c = child_start(map_privately);

	cr_expect_eq(find_uses(c.pid, true, NULL), 1);
	child_end(&c);
}

static void open_and_unlink(void)
{
	if (open(path, O_RDONLY) < 0 || unlink(path) < 0)
		_exit(7);
	say_ready_and_wait();
}

Test(procscan_real, finds_who_has_it_open_whatever_its_name)
{
	struct child c = child_start(open_and_unlink);

	cr_expect_eq(find_uses(c.pid, false, NULL), 1);
	cr_expect_eq(find_uses(c.pid, true, NULL), 0);
	child_end(&c);
}

static void *wait_in_thread(void *unused)
{
	(void)unused;
	/* Only once the leader is a zombie, so that the test can't see it alive. */
	for (;;) {
		char name[64], text[512] = "";
		snprintf(name, sizeof(name), "/proc/self/task/%d/stat", getpid());
		FILE *f = fopen(name, "re");
		if (f && fgets(text, sizeof(text), f) && strstr(text, ") Z "))
			break;
		if (f)
			fclose(f);
		usleep(1000);
	}
	say_ready_and_wait();
	return NULL;
}

static void exit_as_leader(void)
{
	pthread_t t;
	int fd = open(path, O_RDWR);

	if (mmap(NULL, 2U << 20, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ||
		pthread_create(&t, NULL, wait_in_thread, NULL) != 0)
		_exit(7);
	syscall(SYS_exit, 0); /* the thread alone, not the process */
}

Test(procscan_real, sees_through_a_leader_that_has_exited)
{
	struct child c = child_start(exit_as_leader);
	char name[64], byte;

	/* That it is such a case at all: the process itself shows nothing. */
	snprintf(name, sizeof(name), "/proc/%d/maps", c.pid);
	_cleanup_fd_ int fd = open(name, O_RDONLY | O_CLOEXEC);
	cr_assert(fd < 0 || read(fd, &byte, 1) <= 0);
	cr_expect_eq(find_uses(c.pid, true, NULL), 1);
	cr_expect_eq(find_uses(c.pid, false, NULL), 1);
	child_end(&c);
}

static void *open_in_own_table(void *unused)
{
	(void)unused;
	if (syscall(SYS_unshare, CLONE_FILES) < 0 || open(path, O_RDONLY) < 0)
		_exit(7);
	say_ready_and_wait();
	return NULL;
}

static void open_in_thread(void)
{
	pthread_t t;

	if (pthread_create(&t, NULL, open_in_own_table, NULL) != 0)
		_exit(7);
	for (;;)
		pause();
}

Test(procscan_real, sees_the_descriptors_of_a_thread_that_has_a_table_of_its_own)
{
	struct child c = child_start(open_in_thread);

	cr_expect_eq(find_uses(c.pid, false, NULL), 1);
	child_end(&c);
}

/* The test has the file open itself, and the child maps it. */
static void expect_no_uses(const struct scan_options *options)
{
	_cleanup_fd_ int fd = open(path, O_RDWR | O_CLOEXEC);
	struct scan_result result = SCAN_RESULT_NULL;

	cr_assert_geq(fd, 0);
	cr_assert_eq(procscan_run(options, &result), 0);
	cr_expect_eq(result.use_count, 0);
	scan_result_deinit(&result);
}

Test(procscan_real, leaves_out_itself_and_the_supervisor)
{
	struct child c = child_start(map_and_close);
	const struct scan_ours ours = {.supervisor = procscan_note(c.pid)};

	expect_no_uses(
		&(struct scan_options){.targets = &target, .target_count = 1, .ours = &ours});
	child_end(&c);
}

/* They outlive the supervisor, and then nothing but what was noted tells them from others. */
Test(procscan_real, leaves_out_a_worker_and_a_keeper_without_a_supervisor)
{
	struct child worker = child_start(map_and_close), keeper = child_start(map_and_close);
	const struct scan_ours ours = {
		.worker = procscan_note(worker.pid), .keeper = procscan_note(keeper.pid)};

	expect_no_uses(
		&(struct scan_options){.targets = &target, .target_count = 1, .ours = &ours});
	child_end(&worker);
	child_end(&keeper);
}

/* As if the one that was noted had ended, and its number were another's now. */
Test(procscan_real, a_number_alone_is_nobody)
{
	struct child c = child_start(map_and_close);
	scan_mark noted = procscan_note(c.pid);
	const struct scan_ours ours = {.supervisor = noted + (1ULL << 40),
		.worker = noted - (1ULL << 24),
		.keeper = (scan_mark)c.pid};
	const struct scan_options options = {.targets = &target, .target_count = 1, .ours = &ours};
	_cleanup_fd_ int fd = open(path, O_RDWR | O_CLOEXEC);
	struct scan_result result = SCAN_RESULT_NULL;

	cr_assert_geq(fd, 0);
	cr_assert_neq(noted, 0);
	cr_assert_eq(procscan_run(&options, &result), 0);
	cr_expect_geq(result.use_count, 1);
	scan_result_deinit(&result);
	child_end(&c);
	cr_expect_eq(procscan_note(0), 0);
}

Test(procscan_real, leaves_out_who_reads_the_counts)
{
	struct child c = child_start(map_and_close);

	expect_no_uses(
		&(struct scan_options){.targets = &target, .target_count = 1, .reader = c.pid});
	child_end(&c);
}

/* Until /proc tells of these arguments. */
static void wait_until_called(pid_t pid, const char *name)
{
	char file[64], said[64] = "";

	(void)snprintf(file, sizeof(file), "/proc/%d/cmdline", (int)pid);
	while (strcmp(said, name) != 0 && waitpid(pid, NULL, WNOHANG) == 0) {
		_cleanup_fd_ int fd = open(file, O_RDONLY | O_CLOEXEC);
		ssize_t n = read(fd, said, sizeof(said) - 1);

		said[n > 0 ? n : 0] = '\0';
		(void)usleep(1000);
	}
}

/* The uses that are found of a child of this process of that name, which has the file open. */
static size_t find_uses_of_child(const char *name, bool own_session, const struct scan_ours *ours)
{
	const struct scan_options options = {.targets = &target, .target_count = 1, .ours = ours};
	struct scan_result result = SCAN_RESULT_NULL;
	size_t uses;
	int fds[2];

	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		if (own_session && setsid() < 0)
			_exit(7);
		/* stays open over exec, as the worker's does */
		if (open(path, O_RDWR) < 0)
			_exit(7);
		execl("/bin/sleep", name, "60", (char *)NULL);
		_exit(7);
	}
	close(fds[1]);
	char c;
	cr_assert_eq(read(fds[0], &c, 1), 0, "closed by the exec");
	close(fds[0]);
	wait_until_called(pid, name); /* which comes a moment after */
	cr_assert_eq(procscan_run(&options, &result), 0);
	uses = result.use_count;
	scan_result_deinit(&result);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return uses;
}

/* Children of the "supervisor" (this process): these two are left out, another one is not. */
Test(procscan_real, leaves_out_worker_and_keeper_but_no_other_child_of_the_supervisor)
{
	const struct scan_ours ours = {.supervisor = procscan_note(getpid())};
	static const struct {
		const char *name;
		size_t uses;
	} cases[] = {{"guestmemfs-worker", 0}, {"/x/guestmemfs-worker", 0},
		{"guestmemfs-keeper", 0}, {"guestmemfs-helper", 1}, {"sleep", 1}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cr_expect_eq(find_uses_of_child(cases[i].name, false, &ours), cases[i].uses, "%s",
			cases[i].name);
}

/* An orphan that a supervisor in a container has inherited may have the name as well. */
Test(procscan_real, a_child_of_another_session_is_not_the_supervisors)
{
	const struct scan_ours ours = {.supervisor = procscan_note(getpid())};

	cr_expect_eq(find_uses_of_child("guestmemfs-worker", true, &ours), 1);
	cr_expect_eq(find_uses_of_child("guestmemfs-keeper", true, &ours), 1);
}

/* The supervisor has ended, and its number is this process's now. */
Test(procscan_real, a_child_of_the_number_alone_is_not_the_supervisors)
{
	const struct scan_ours ours = {.supervisor = procscan_note(getpid()) - (1ULL << 24)};

	cr_expect_eq(find_uses_of_child("guestmemfs-worker", false, &ours), 1);
}

/*
 * A FUSE file system that never answers. Looking at its root through a descriptor of another
 * process would wait for ever, so the scan must not. The region is given the root's inode number,
 * so that it is a candidate.
 */
Test(procscan_real, does_not_wait_for_a_file_system_that_never_answers)
{
	char dir[] = "/tmp/gm-procscan-fuse-XXXXXX", options[128];
	_cleanup_fd_ int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (geteuid() != 0 || fuse < 0)
		cr_skip_test("needs root and /dev/fuse");
	/* In a mount namespace of the test's own, so that nothing stays behind if it is killed. */
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0)
		cr_skip_test("can't have a mount namespace");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);
	int mounted = mount("fuse", dir, "fuse", MS_NODEV | MS_NOSUID, options);
	if (mounted != 0) {
		rmdir(dir);
		cr_skip_test("can't mount");
	}
	int fds[2];
	cr_assert_eq(pipe(fds), 0);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)!write(fds[1], open(dir, O_PATH) >= 0 ? "1" : "0", 1);
		for (;;)
			pause();
	}
	char c = 0;
	cr_expect_eq(read(fds[0], &c, 1), 1);
	cr_expect_eq(c, '1');
	target.fdinfo_ino = 1;
	cr_expect_eq(find_uses(pid, false, NULL), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
}

/* ---- what a plain user's helper can't see ---- */

/* Whom no other test becomes: the youngest such process of a user is told. */
#define SHUT_USER 64017

/* As that user: a scan, beside a process of the same user that is not dumpable (as after every
 * change of user). 0, or the line where it failed. */
static int scan_as_another(void)
{
	const struct scan_options options = {.targets = &target, .target_count = 1};
	struct scan_result with = SCAN_RESULT_NULL, without = SCAN_RESULT_NULL;

	if (setgid(SHUT_USER) < 0 || setuid(SHUT_USER) < 0)
		return __LINE__;
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	if (procscan_run(&options, &with) < 0)
		return __LINE__;
	kill(pid, SIGKILL);
	/* Dead, but not waited for: it reaches nothing. */
	siginfo_t info;
	if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) < 0 ||
		procscan_run(&options, &without) < 0)
		return __LINE__;
	if (with.shut != pid || with.shut_began == 0 || with.blind != 0)
		return __LINE__;
	if (without.shut == pid || without.blind != 0)
		return __LINE__;
	scan_result_deinit(&with);
	scan_result_deinit(&without);
	return 0;
}

Test(procscan, tells_a_plain_user_of_his_own_that_are_shut)
{
	int status;

	if (geteuid() != 0)
		cr_skip("only root can become somebody else");
	pid_t pid = fork();
	if (pid == 0)
		_exit(scan_as_another() ? 1 : 0);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0);
}

/* ---- devices ---- */

static char second_node[] = "/tmp/gm-procscan-node-XXXXXX";

static void open_device(void)
{
	if (open("/dev/full", O_RDWR) < 0)
		_exit(1);
	say_ready_and_wait();
}

static void open_second_node(void)
{
	if (open(second_node, O_RDWR) < 0)
		_exit(1);
	say_ready_and_wait();
}

static void open_as_a_name(void)
{
	if (open("/dev/full", O_PATH) < 0)
		_exit(1);
	say_ready_and_wait();
}

static void open_nothing(void)
{
	say_ready_and_wait();
}

static size_t count_device_uses(void (*act)(void), dev_t rdev, const char *node)
{
	struct child c = child_start(act);
	struct scan_use use;

	procscan_identify_device(&target, rdev, node);
	size_t n = find_uses(c.pid, false, &use) + find_uses(c.pid, true, &use);
	child_end(&c);
	return n;
}

Test(procscan_real, finds_a_device_by_its_number)
{
	const dev_t full = makedev(1, 7), zero = makedev(1, 5);

	cr_expect_eq(count_device_uses(open_device, full, "/dev/full"), 1);
	cr_expect_eq(count_device_uses(open_device, full, "/dev/no-such-node"), 1);
	cr_expect_eq(count_device_uses(open_device, zero, "/dev/zero"), 0);
	cr_expect_eq(count_device_uses(open_nothing, full, "/dev/full"), 0);
	cr_expect_eq(count_device_uses(open_as_a_name, full, "/dev/full"), 0, "not opened by it");
}

Test(procscan_real, finds_a_device_by_another_node_of_it)
{
	cr_assert_geq(close(mkstemp(second_node)), 0);
	unlink(second_node);
	if (mknod(second_node, S_IFCHR | 0600, makedev(1, 7)) < 0)
		cr_skip_test("needs to make device nodes");
	int fd = open(second_node, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		unlink(second_node);
		cr_skip_test("device nodes can't be opened in /tmp");
	}
	close(fd);
	cr_expect_eq(count_device_uses(open_second_node, makedev(1, 7), "/dev/full"), 1);
	unlink(second_node);
}

/* Which would be the number of every anonymous mapping. */
Test(procscan_real, a_device_that_is_not_bound_is_nowhere)
{
	const struct scan_options options = {.targets = &target, .target_count = 1};
	struct scan_result result = SCAN_RESULT_NULL;

	procscan_identify_device(&target, 0, "/dev/no-such-node");
	cr_assert_eq(procscan_run(&options, &result), 0);
	cr_expect_eq(result.use_count, 0);
	scan_result_deinit(&result);
}
