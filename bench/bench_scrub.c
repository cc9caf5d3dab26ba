// SPDX-License-Identifier: MIT
/*
 * Scrubbing against what zeroing the same memory costs at best: a non-temporal memset through a
 * mapping that is there and populated. "scrub" is the helper's loop through that same mapping;
 * "order" is all that the helper does for an order of the worker: hand it to the background
 * thread, map, populate, zero and unmap block by block. The page tables of 4 KiB pages cost about
 * as much as the zeroing itself, as the row of a new mapping shows.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "bench.h"
#include "helper/scrub.h"
#include "util/sigbus.h"
#include "helper/work.h"
#include "proto/link.h"

#define SIZE ((uint64_t)LINK_SCRUB_MAX * GM_BLOCK_SIZE) /* of the largest order */
#define AIM  0.9                                        /* of the non-temporal memset */

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* A region on tmpfs with all of its memory behind it, as after format; huge: of 2 MiB pages. */
static struct region make_region(bool huge)
{
	struct region r = REGION_NULL;
	struct problem why = PROBLEM_INIT;
	int fd = memfd_create("bench-scrub", MFD_CLOEXEC | (huge ? MFD_HUGETLB : 0U));

	if (fd < 0 || ftruncate(fd, (off_t)SIZE) < 0)
		fail("region");
	if (region_adopt(&r, GM_REGION_FILE, fd, "bench", &why) < 0) {
		fprintf(stderr, "%s\n", why.text);
		exit(1);
	}
	if (region_allocate(&r, &why) < 0) {
		printf("%s: left out: %s\n", huge ? "2 MiB pages" : "4 KiB pages", why.text);
		region_close(&r);
	}
	return r;
}

enum way { WAY_MEMSET, WAY_PAST_CACHE, WAY_NEW_MAPPING, WAY_SCRUB, WAY_ORDER };

static void run_order(struct work *w)
{
	struct pollfd p = {.fd = work_get_fd(w), .events = POLLIN};
	struct work_job *job = work_job_new(WORK_SCRUB);

	if (!job)
		fail("order");
	job->length = SIZE;
	work_submit(w, job);
	while (!(job = work_take(w)))
		(void)poll(&p, 1, -1);
	if (job->error < 0)
		fail("scrub");
	work_job_free(job);
}

/* Written here once more: the helper's own loop is what is to be measured. */
static void set_past_cache(void *p, uint64_t size)
{
#ifdef __SSE2__
	const __m128i zero = _mm_setzero_si128();

	for (char *at = p, *end = at + size; at < end; at += sizeof(zero))
		_mm_stream_si128((__m128i *)(void *)at, zero);
	_mm_sfence();
#else
	memset(p, 0, size);
#endif
}

static void set_new_mapping(const struct region *r)
{
	int err = 0;
	void *p = region_map(r, 0, SIZE, true, &err);

	if (!p)
		fail("mapping");
	set_past_cache(p, SIZE);
	region_unmap(r, p, SIZE);
}

static void zero(enum way way, const struct region *r, void *mapped, struct work *w)
{
	switch (way) {
	case WAY_MEMSET:
		memset(mapped, 0, SIZE);
		break;
	case WAY_PAST_CACHE:
		set_past_cache(mapped, SIZE);
		break;
	case WAY_NEW_MAPPING:
		set_new_mapping(r);
		break;
	case WAY_SCRUB:
		if (scrub_stream(mapped, SIZE) < 0)
			fail("scrub");
		break;
	case WAY_ORDER:
		run_order(w);
		break;
	}
}

static double bench_way(enum way way, const char *pages, const struct region *r, void *mapped,
	struct work *w, double aim)
{
	static const char *const names[] = {"memset", "non-temporal memset",
		"non-temporal memset, new mapping", "scrub", "order"};
	char name[64];
	struct bench b = {
		.suite = "scrub", .name = name, .operations = 1, .bytes = SIZE, .aim = aim};

	snprintf(name, sizeof(name), "%s, %s pages", names[way], pages);
	while (bench_next(&b)) {
		bench_start(&b);
		zero(way, r, mapped, w);
		bench_stop(&b);
	}
	bench_report(&b);
	return bench_median(&b);
}

static void bench_region(bool huge)
{
	static const struct scan_options none;
	const char *pages = huge ? "2M" : "4K";
	struct region r = make_region(huge);
	struct work *w = NULL;
	int err = 0;

	if (r.fd < 0)
		return;
	void *p = region_map(&r, 0, SIZE, true, &err);
	if (!p || work_new(&w, &r, 1, &none, NULL) < 0)
		fail("mapping");
	memset(p, 1, SIZE);
	(void)bench_way(WAY_MEMSET, pages, &r, p, w, 0);
	double best = bench_way(WAY_PAST_CACHE, pages, &r, p, w, 0);
	(void)bench_way(WAY_NEW_MAPPING, pages, &r, p, w, 0);
	(void)bench_way(WAY_SCRUB, pages, &r, p, w, best * AIM);
	(void)bench_way(WAY_ORDER, pages, &r, p, w, best * AIM);
	w = work_free(w);
	region_unmap(&r, p, SIZE);
	region_close(&r);
}

int main(void)
{
	if (sigbus_init() < 0)
		fail("SIGBUS");
	bench_region(false);
	bench_region(true);
	return 0;
}
