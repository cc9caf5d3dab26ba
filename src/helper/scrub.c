// SPDX-License-Identifier: MIT
#include "helper/scrub.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "util/sigbus.h"

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

struct zeroing {
	void *p;
	size_t size;
	void (*zero)(void *p, size_t size, write_back_fn *write_back);
	write_back_fn *write_back;
};

static void zero(void *data)
{
	const struct zeroing *z = data;

	z->zero(z->p, z->size, z->write_back);
}

static int scrub_guarded(struct zeroing z)
{
	return sigbus_guard(zero, &z, NULL);
}

int scrub_stream(void *p, size_t size)
{
	return scrub_guarded((struct zeroing){.p = p, .size = size, .zero = zero_past_cache});
}

int scrub_piece(void *p, size_t size, write_back_fn *write_back)
{
	return scrub_guarded((struct zeroing){
		.p = p, .size = size, .zero = zero_through_cache, .write_back = write_back});
}
