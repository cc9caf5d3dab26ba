// SPDX-License-Identifier: MIT
#include "helper/scrub.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/*
 * Where a thread that is zeroing goes on after SIGBUS; NULL: it is not zeroing. A signal handler
 * gets no context of ours, so this can be nothing but a variable of the thread.
 */
static _Thread_local sigjmp_buf *volatile scrub_escape;

static void scrub_on_sigbus(int number)
{
	sigjmp_buf *escape = scrub_escape;

	if (escape) {
		scrub_escape = NULL;
		siglongjmp(*escape, 1);
	}
	/*
	 * Not ours. With the default action in force, the faulting access
	 * raises it again and for good.
	 */
	(void)signal(number, SIG_DFL);
}

int scrub_init(void)
{
	struct sigaction action = {.sa_handler = scrub_on_sigbus};

	(void)sigemptyset(&action.sa_mask);
	return sigaction(SIGBUS, &action, NULL) < 0 ? -errno : 0;
}

/*
 * Non-temporal: guest memory that nobody is about to read must not push what VMs are using out of
 * the cache, and a whole line is written without being fetched first.
 */
static void zero_past_cache(void *p, size_t size, write_back_fn *write_back)
{
	(void)write_back; /* streaming stores have left the caches at the fence */
#ifdef __SSE2__
	const __m128i zero = _mm_setzero_si128();
	__m128i *at = p, *end = at + size / sizeof(zero);

	for (; at < end; at += 4) {
		_mm_stream_si128(at, zero);
		_mm_stream_si128(at + 1, zero);
		_mm_stream_si128(at + 2, zero);
		_mm_stream_si128(at + 3, zero);
	}
	_mm_sfence(); /* streaming stores are weakly ordered */
#else
	memset(p, 0, size);
	atomic_thread_fence(memory_order_seq_cst);
#endif
}

static void zero_through_cache(void *p, size_t size, write_back_fn *write_back)
{
	memset(p, 0, size);
	if (write_back)
		write_back(p, size);
	atomic_thread_fence(memory_order_seq_cst);
}

typedef void zero_fn(void *p, size_t size, write_back_fn *write_back);

static int scrub_guarded(void *p, size_t size, zero_fn *zero, write_back_fn *write_back)
{
	sigjmp_buf here;

	/*
	 * The mask is kept (1): the handler is left without returning,
	 * SIGBUS must not stay blocked.
	 */
	if (sigsetjmp(here, 1) != 0)
		return -EIO;
	scrub_escape = &here;
	atomic_signal_fence(memory_order_seq_cst);
	zero(p, size, write_back);
	atomic_signal_fence(memory_order_seq_cst);
	scrub_escape = NULL;
	return 0;
}

int scrub_stream(void *p, size_t size)
{
	return scrub_guarded(p, size, zero_past_cache, NULL);
}

int scrub_piece(void *p, size_t size, write_back_fn *write_back)
{
	return scrub_guarded(p, size, zero_through_cache, write_back);
}
