// SPDX-License-Identifier: MIT
#include "util/sigbus.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>

#define NOTES 8U

/* Where the thread goes on, and what it is told then. */
struct escape {
	sigjmp_buf to;
	struct sigbus what;
};

/* A signal handler gets no context of ours, so these can be nothing but variables of the thread and
 * of the process. */
static _Thread_local struct escape *volatile sigbus_escape; /* NULL: it is not at work */

/* Addresses of pages, and in the low bits how large each is, as a power of two; 0: free. Without a
 * lock, since the signal may come to any thread. */
static atomic_uintptr_t sigbus_notes[NOTES];

#define NOTE_SHIFT_MASK 63U

/* With all taken the error is forgotten: it is one again when the memory is touched. */
static void note(const siginfo_t *info)
{
	uintptr_t noted = ((uintptr_t)info->si_addr & ~(uintptr_t)NOTE_SHIFT_MASK) |
			  ((uintptr_t)info->si_addr_lsb & NOTE_SHIFT_MASK);

	for (unsigned n = 0; n < NOTES; n++) {
		uintptr_t none = 0;

		if (atomic_compare_exchange_strong(&sigbus_notes[n], &none, noted))
			return;
	}
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
	struct escape *escape = sigbus_escape;

	(void)context;
	if (info->si_code == BUS_MCEERR_AO) { /* not by what this thread is doing */
		note(info);
		return;
	}
	/* One that a process has sent says nothing of memory. */
	if (escape && info->si_code > 0) {
		sigbus_escape = NULL;
		escape->what = (struct sigbus){.address = (uintptr_t)info->si_addr,
			.poisoned = info->si_code == BUS_MCEERR_AR};
		siglongjmp(escape->to, 1);
	}
	/* Not ours. With the default action in force, the access raises it again and for good;
	 * where there was no access, it has to be done here. */
	(void)signal(number, SIG_DFL);
	if (info->si_code <= 0)
		(void)raise(number);
}

int sigbus_init(void)
{
	/* The handler is left without returning: SIGBUS must not be blocked then (NODEFER), and no
	 * mask need be kept, which would be a system call for each piece of work. */
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER};

	(void)sigemptyset(&action.sa_mask);
	return sigaction(SIGBUS, &action, NULL) < 0 ? -errno : 0;
}

int sigbus_guard(void (*work)(void *data), void *data, struct sigbus *ret)
{
	struct escape *const outer = sigbus_escape;
	struct escape here;

	if (sigsetjmp(here.to, 0) != 0) {
		sigbus_escape = outer;
		if (ret)
			/* cppcheck-suppress uninitStructMember ; who jumps here fills it in */
			*ret = here.what;
		return -EIO;
	}
	sigbus_escape = &here;
	atomic_signal_fence(memory_order_seq_cst);
	work(data);
	atomic_signal_fence(memory_order_seq_cst);
	sigbus_escape = outer;
	return 0;
}

struct copy {
	void *to;
	const void *from;
	size_t length;
};

static void do_copy(void *data)
{
	const struct copy *c = data;

	memcpy(c->to, c->from, c->length);
}

int sigbus_copy(void *to, const void *from, size_t length, struct sigbus *ret)
{
	struct copy c = {.to = to, .from = from, .length = length};

	return sigbus_guard(do_copy, &c, ret);
}

void sigbus_ask_early(void)
{
	(void)prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0);
}

bool sigbus_take_noted(struct sigbus *ret)
{
	for (unsigned n = 0; n < NOTES; n++) {
		uintptr_t noted = atomic_exchange(&sigbus_notes[n], 0);

		if (!noted)
			continue;
		*ret = (struct sigbus){.address = noted & ~(uintptr_t)NOTE_SHIFT_MASK,
			.length = (size_t)1 << (noted & NOTE_SHIFT_MASK),
			.poisoned = true};
		return true;
	}
	return false;
}
