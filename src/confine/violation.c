// SPDX-License-Identifier: MIT
/*
 * The end of a process that breaks its rules: one line that names the system call, then SIGSYS with
 * its usual effect. The handler runs in the state that the process is in, so it uses nothing but
 * system calls and memory that is there.
 */
#include "confine/internal.h"

#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef SYS_SECCOMP
#define FROM_FILTER SYS_SECCOMP
#else
#define FROM_FILTER 1 /* the kernel's number; not in every libc's headers */
#endif

#define CALLS_MAX 1024 /* numbers of all machines' own tables end well below */

/* A signal handler is given no context: the one state here that is not passed down. Set once,
 * before the filter. */
static struct {
	const char *name;
	confine_tell *tell;
	const char *calls[CALLS_MAX]; /* by number; libseccomp's, never freed */
} violation_state;

struct text {
	char bytes[256];
	size_t length;
};

static void add(struct text *t, const char *word)
{
	while (*word && t->length < sizeof(t->bytes) - 2)
		t->bytes[t->length++] = *word++;
	t->bytes[t->length] = '\0';
}

static void add_number(struct text *t, unsigned n)
{
	char digits[12];
	size_t at = sizeof(digits) - 1;

	digits[at] = '\0';
	do
		digits[--at] = (char)('0' + n % 10);
	while (n /= 10);
	add(t, digits + at);
}

static void add_call(struct text *t, int number)
{
	const char *call = number >= 0 && number < CALLS_MAX ? violation_state.calls[number] : NULL;

	add(t, "has made the system call ");
	if (call) {
		add(t, call);
	} else {
		add(t, "number ");
		add_number(t, (unsigned)number);
	}
	add(t, ", which it is not allowed: it has been taken over, or is at odds with this host's "
	       "libraries");
}

/* stdio and the log may be in any state. */
static void write_line(const struct text *sentence)
{
	struct text line = {.length = 0};

	add(&line, violation_state.name);
	add(&line, ": ");
	add(&line, sentence->bytes);
	line.bytes[line.length++] = '\n';
	(void)!write(STDERR_FILENO, line.bytes, line.length);
}

/* SIGSYS is blocked while its handler runs, and strikes when that returns. */
static void end(void)
{
	struct sigaction usual = {.sa_handler = SIG_DFL};

	(void)sigaction(CONFINE_SIGNAL, &usual, NULL);
	(void)syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), CONFINE_SIGNAL);
}

static void on_violation(int number, siginfo_t *info, void *context)
{
	struct text sentence = {.length = 0};

	(void)number;
	(void)context;
	if (info->si_code == FROM_FILTER) { /* else somebody has sent it: no news of ours */
		add_call(&sentence, info->si_syscall);
		write_line(&sentence);
		if (violation_state.tell)
			violation_state.tell(sentence.bytes);
	}
	end();
}

int violation_init(const char *name, confine_tell *tell, struct problem *why)
{
	struct sigaction action = {.sa_sigaction = on_violation, .sa_flags = SA_SIGINFO};
	sigset_t one;

	violation_state.name = name;
	violation_state.tell = tell;
	for (int i = 0; i < CALLS_MAX; i++)
		if (!violation_state.calls[i])
			violation_state.calls[i] =
				seccomp_syscall_resolve_num_arch(seccomp_arch_native(), i);
	(void)sigemptyset(&action.sa_mask);
	(void)sigemptyset(&one);
	(void)sigaddset(&one, CONFINE_SIGNAL);
	if (sigaction(CONFINE_SIGNAL, &action, NULL) < 0 ||
		sigprocmask(SIG_UNBLOCK, &one, NULL) < 0)
		return problem_errno(why, errno, "handling SIGSYS");
	return 0;
}
