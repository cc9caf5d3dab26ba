// SPDX-License-Identifier: MIT
/* Whom a revocation kills: real processes with real pidfds, and lists as cgroup.procs has them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/holders.h"
#include "helper/kill.h"
#include "helper/processes.h"

#define LOOK 5U

static struct watch watch;
static struct process processes[2];
static struct holder holders[2];

static void set_up(void)
{
	LIST_INIT(&watch.holders);
	for (int i = 0; i < 2; i++) {
		pid_t pid = fork();
		cr_assert_geq(pid, 0);
		if (pid == 0)
			for (;;)
				(void)pause();
		processes[i] = (struct process){.pid = pid};
		processes[i].source.fd = (int)syscall(SYS_pidfd_open, pid, 0U);
		cr_assert_geq(processes[i].source.fd, 0);
		holders[i] =
			(struct holder){.watch = &watch, .process = &processes[i], .since = LOOK};
		LIST_INSERT_HEAD(&watch.holders, &holders[i], by_watch);
	}
}

static void end(int i)
{
	siginfo_t info;

	(void)kill(processes[i].pid, SIGKILL);
	cr_assert_eq(waitid(P_PID, (id_t)processes[i].pid, &info, WEXITED | WNOWAIT), 0);
}

static void tear_down(void)
{
	for (int i = 0; i < 2; i++) {
		end(i);
		(void)waitpid(processes[i].pid, NULL, 0);
		(void)close(processes[i].source.fd);
	}
}

TestSuite(helper_kill, .init = set_up, .fini = tear_down);

static const struct killer root = {.anybody = true, .looks_ended = LOOK};

static bool takes_only(const struct killer *k, const char *format)
{
	char text[128];
	int n = snprintf(text, sizeof(text), format, (int)processes[0].pid, (int)processes[1].pid);
	FILE *f = fmemopen(text, (size_t)n, "r");

	cr_assert_not_null(f);
	bool only = kill_takes_only(k, &watch, f);
	(void)fclose(f);
	return only;
}

Test(helper_kill, who_asks_kills_his_own_and_root_everybodys)
{
	const struct killer own = {.uid = getuid(), .looks_ended = LOOK};
	const struct killer other = {.uid = getuid() + 1, .looks_ended = LOOK};

	cr_expect(kill_is_allowed(&root, &holders[0]) && !kill_is_forbidden(&root, &holders[0]));
	cr_expect(kill_is_allowed(&own, &holders[0]) && !kill_is_forbidden(&own, &holders[0]));
	cr_expect(!kill_is_allowed(&other, &holders[0]) && kill_is_forbidden(&other, &holders[0]));
	end(0);
	cr_expect(!kill_is_allowed(&other, &holders[0]) && !kill_is_forbidden(&other, &holders[0]),
		"who has ended is nobody's");
}

Test(helper_kill, who_has_ended_is_not_killed)
{
	end(0);
	cr_expect_eq(kill_process_or_cgroup(&root, &holders[0]), -ESRCH);
	cr_expect_eq(kill_process_or_cgroup(&root, &holders[1]), 0);
	end(1);
}

Test(helper_kill, who_was_found_by_his_number_is_certain_when_found_again)
{
	const struct killer later = {.anybody = true, .looks_ended = LOOK + 1};

	holders[0].adopted = true;
	cr_expect_not(kill_is_allowed(&root, &holders[0]));
	cr_expect_not(kill_is_forbidden(&root, &holders[0]));
	cr_expect(kill_is_allowed(&later, &holders[0]));
}

Test(helper_kill, a_cgroup_is_killed_if_everybody_in_it_may_be)
{
	const struct killer other = {.uid = getuid() + 1, .looks_ended = LOOK};

	cr_expect(takes_only(&root, "%d\n%d\n"));
	cr_expect(takes_only(&root, "%d\n"));
	cr_expect_not(takes_only(&root, "%d\n1\n%d\n"), "init holds nothing");
	cr_expect_not(takes_only(&root, "0\n%d\n"), "one that can't be seen from here");
	cr_expect_not(takes_only(&root, "%d\nwhat\n"), "no number");
	cr_expect_not(takes_only(&root, "\n"), "nobody: the holder has moved on");
	cr_expect_not(takes_only(&other, "%d\n"), "somebody else's");
	holders[1].adopted = true;
	cr_expect(takes_only(&root, "%d\n"));
	cr_expect_not(takes_only(&root, "%d\n%d\n"), "one who is not certain");
	holders[1].adopted = false;
	end(1);
	cr_expect_not(takes_only(&root, "%d\n%d\n"), "the number may be another's");
}

/* ---- a list that breaks off ---- */

static ssize_t break_off(void *cookie, char *buffer, size_t size)
{
	int *calls = cookie;

	if ((*calls)++ == 0)
		return snprintf(buffer, size, "%d\n", (int)processes[0].pid);
	errno = EIO;
	return -1;
}

Test(helper_kill, a_list_that_breaks_off_is_of_nobody)
{
	int calls = 0;
	FILE *f = fopencookie(&calls, "r", (cookie_io_functions_t){.read = break_off});

	cr_assert_not_null(f);
	cr_expect_not(kill_takes_only(&root, &watch, f));
	cr_expect_geq(calls, 2);
	(void)fclose(f);
}
