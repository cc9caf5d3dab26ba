// SPDX-License-Identifier: MIT
/* A SIGBUS is the error of the work that met it, of nobody else; and what is told early is noted.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/sigbus.h"

#define PAGE 4096U

static char *memory; /* the second of two pages is not there */

static void start(void)
{
	int fd = memfd_create("sigbus", MFD_CLOEXEC);

	cr_assert(fd >= 0 && ftruncate(fd, PAGE) == 0);
	memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cr_assert_neq((void *)memory, MAP_FAILED);
	(void)close(fd);
	cr_assert_eq(sigbus_init(), 0);
}

TestSuite(sigbus, .init = start);

static void fill(void *data)
{
	volatile char *at = data;

	for (unsigned n = 0; n < PAGE; n++)
		at[n] = 'x';
}

/* As the kernel does for a memory error: this process may send itself whatever it likes. */
static void send_memory_error(int code, void *address)
{
	siginfo_t info = {.si_signo = SIGBUS, .si_code = code};

	info.si_addr = address;
	info.si_addr_lsb = 12;
	cr_assert_eq(syscall(SYS_rt_sigqueueinfo, getpid(), SIGBUS, &info), 0);
}

Test(sigbus, an_access_beyond_the_end_is_an_error_each_time)
{
	struct sigbus what;

	for (int n = 0; n < 3; n++) {
		what = (struct sigbus){.poisoned = true};
		cr_expect_eq(sigbus_guard(fill, memory + PAGE / 2, &what), -EIO);
		cr_expect_eq(what.address & ~(uintptr_t)(PAGE - 1), (uintptr_t)(memory + PAGE));
		cr_expect_not(what.poisoned);
		cr_expect_eq(memory[PAGE - 1], 'x', "what came before it is done");
		cr_expect_eq(sigbus_guard(fill, memory, NULL), 0);
	}
	cr_expect_not(sigbus_take_noted(&what));
}

static void meet_memory_error(void *data)
{
	send_memory_error(BUS_MCEERR_AR, data);
	abort(); /* it goes on elsewhere */
}

Test(sigbus, a_memory_error_is_told_apart)
{
	struct sigbus what;

	cr_expect_eq(sigbus_guard(meet_memory_error, memory, &what), -EIO);
	cr_expect(what.poisoned);
	cr_expect_eq(what.address, (uintptr_t)memory);
}

static void work_while_told(void *data)
{
	send_memory_error(BUS_MCEERR_AO, data);
	memory[0] = 'y';
}

Test(sigbus, what_is_told_early_is_noted_and_disturbs_nobody)
{
	unsigned many = 0;
	struct sigbus what;

	memory[0] = 'x';
	cr_expect_eq(sigbus_guard(work_while_told, memory + PAGE + 5, &what), 0);
	cr_expect_eq(memory[0], 'y');
	cr_assert(sigbus_take_noted(&what));
	cr_expect(what.poisoned);
	cr_expect_eq(what.address, (uintptr_t)(memory + PAGE), "the page is told");
	cr_expect_eq(what.length, PAGE);
	cr_expect_not(sigbus_take_noted(&what));
	for (uintptr_t n = 1; n < 100; n++)
		send_memory_error(BUS_MCEERR_AO, memory + n * PAGE);
	while (sigbus_take_noted(&what))
		many++;
	cr_expect(many > 0 && many < 100, "%u of too many", many);
}

static void guard_another(void *data)
{
	struct sigbus what;

	cr_expect_eq(sigbus_guard(fill, memory + PAGE, &what), -EIO);
	cr_expect_eq(what.address, (uintptr_t)(memory + PAGE));
	fill(memory + PAGE / 2);
	*(bool *)data = true; /* not reached */
}

Test(sigbus, one_within_another_ends_alone)
{
	struct sigbus what;
	bool went_on = false;

	cr_expect_eq(sigbus_guard(guard_another, &went_on, &what), -EIO);
	cr_expect_eq(what.address, (uintptr_t)(memory + PAGE));
	cr_expect_not(went_on);
}

Test(sigbus, a_copy_is_whole_or_says_where_not)
{
	char to[2 * PAGE];
	struct sigbus what;

	fill(memory);
	cr_expect_eq(sigbus_copy(to, memory, PAGE, &what), 0);
	cr_expect_eq(memcmp(to, memory, PAGE), 0);
	cr_expect_eq(sigbus_copy(to, memory, sizeof(to), &what), -EIO);
	cr_expect_eq(what.address & ~(uintptr_t)(PAGE - 1), (uintptr_t)(memory + PAGE));
}

static void touch_unguarded(void)
{
	(void)sigbus_guard(fill, memory + PAGE, NULL);
	memory[PAGE] = 'x';
}

static void be_killed(void *data)
{
	(void)data;
	(void)kill(getpid(), SIGBUS);
}

static void be_killed_guarded(void)
{
	(void)sigbus_guard(be_killed, NULL, NULL);
}

static void be_killed_unguarded(void)
{
	be_killed(NULL);
}

static void expect_deadly(void (*work)(void))
{
	int status = 0;
	pid_t pid = fork();

	cr_assert(pid >= 0);
	if (pid == 0) {
		work();
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

Test(sigbus, without_a_guard_it_is_deadly)
{
	expect_deadly(touch_unguarded);
}

Test(sigbus, one_that_somebody_sends_is_no_bad_memory)
{
	expect_deadly(be_killed_guarded);
	expect_deadly(be_killed_unguarded);
}
