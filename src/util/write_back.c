// SPDX-License-Identifier: MIT
/* CLWB keeps the line in the cache, CLFLUSHOPT drops it, CLFLUSH drops it and waits for the one
 * before (Intel SDM vol. 2; AMD APM vol. 3). */
#include "util/write_back.h"

#include <stdint.h>

#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>

#define LINE  64U        /* of every x86-64 processor; cpuid leaf 1 says so in units of 8 bytes */
#define CLFSH (1U << 19) /* in EDX of that leaf */

static const char *first_line(const void *p)
{
	return (const char *)p - (uintptr_t)p % LINE;
}

__attribute__((target("clwb"))) static void run_clwb(const void *p, size_t size)
{
	for (const char *at = first_line(p), *end = (const char *)p + size; at < end; at += LINE)
		_mm_clwb((void *)(uintptr_t)at);
}

__attribute__((target("clflushopt"))) static void run_clflushopt(const void *p, size_t size)
{
	for (const char *at = first_line(p), *end = (const char *)p + size; at < end; at += LINE)
		_mm_clflushopt((void *)(uintptr_t)at);
}

static void run_clflush(const void *p, size_t size)
{
	for (const char *at = first_line(p), *end = (const char *)p + size; at < end; at += LINE)
		_mm_clflush(at);
}

struct write_back_features write_back_detect(void)
{
	struct write_back_features f = {.clflush = false};
	unsigned a, b, c, d;

	if (__get_cpuid(1, &a, &b, &c, &d))
		f.clflush = (d & CLFSH) && (b >> 8 & 0xff) * 8 == LINE;
	if (f.clflush && __get_cpuid_count(7, 0, &a, &b, &c, &d)) {
		f.clflushopt = b & bit_CLFLUSHOPT;
		f.clwb = b & bit_CLWB;
	}
	return f;
}

const struct write_back_way *write_back_way_of(const struct write_back_features *f)
{
	static const struct write_back_way clwb = {"clwb", run_clwb},
					   clflushopt = {"clflushopt", run_clflushopt},
					   clflush = {"clflush", run_clflush};

	return f->clwb ? &clwb : f->clflushopt ? &clflushopt : f->clflush ? &clflush : NULL;
}

#else

struct write_back_features write_back_detect(void)
{
	return (struct write_back_features){.clflush = false};
}

const struct write_back_way *write_back_way_of(const struct write_back_features *f)
{
	(void)f;
	return NULL;
}

#endif

write_back_fn *write_back_choose(void)
{
	const struct write_back_features f = write_back_detect();
	const struct write_back_way *way = write_back_way_of(&f);

	return way ? way->run : NULL;
}
