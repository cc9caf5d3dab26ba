// SPDX-License-Identifier: MIT
/* Rounds, the clock, the median, and the two forms of output. */
#include "bench.h"

#include <err.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* can't fail for this clock */
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

void bench_start(struct bench *b)
{
	b->started = now();
}

void bench_stop(struct bench *b)
{
	b->taken += (double)(now() - b->started);
}

/* The round that has ended, in the unit of the result. */
static double result(const struct bench *b)
{
	double ns = b->taken / (double)b->operations;

	return b->bytes ? (double)b->bytes / ns : ns; /* bytes a ns are GB a second */
}

static unsigned repeats_of(const struct bench *b)
{
	return b->repeats ? b->repeats : BENCH_REPEATS;
}

bool bench_next(struct bench *b)
{
	if (b->rounds > 1)
		b->sample[b->rounds - 2] = result(b);
	b->taken = 0;
	return b->rounds++ <= repeats_of(b);
}

static int compare_samples(const void *x, const void *y)
{
	double s = *(const double *)x, t = *(const double *)y;

	return s < t ? -1 : s > t;
}

double bench_median(struct bench *b)
{
	qsort(b->sample, repeats_of(b), sizeof(*b->sample), compare_samples);
	return b->sample[repeats_of(b) / 2];
}

/* Names are ours and hold nothing that JSON would escape. */
static void append_json(
	const char *path, const struct bench *b, double median, const char *unit, bool met)
{
	FILE *f = fopen(path, "ae");

	if (!f)
		err(EXIT_FAILURE, "GM_BENCH_JSON: opening %s", path);
	fprintf(f, "{\"suite\":\"%s\",\"name\":\"%s\",\"unit\":\"%s\"", b->suite, b->name, unit);
	fprintf(f, ",\"median\":%.3f,\"min\":%.3f,\"max\":%.3f,\"repeats\":%u", median,
		b->sample[0], b->sample[repeats_of(b) - 1], repeats_of(b));
	if (b->aim > 0)
		fprintf(f, ",\"aim\":%.3f,\"met\":%s", b->aim, met ? "true" : "false");
	fprintf(f, "}\n");
	if (ferror(f) || fclose(f))
		err(EXIT_FAILURE, "GM_BENCH_JSON: writing %s", path);
}

void bench_report(struct bench *b)
{
	const char *json = getenv("GM_BENCH_JSON"), *unit = b->bytes ? "GB/s" : "ns";
	int digits = b->bytes || (b->unit && strcmp(b->unit, "ns") != 0) ? 2 : 1;
	double median = bench_median(b);
	bool met = b->bytes ? median >= b->aim : median <= b->aim;

	if (b->unit)
		unit = b->unit;
	printf("%-10s %-44s %12.*f %-5s  (%.*f to %.*f)", b->suite, b->name, digits, median, unit,
		digits, b->sample[0], digits, b->sample[repeats_of(b) - 1]);
	if (b->aim > 0)
		printf("  aim %.*f: %s", digits, b->aim, met ? "met" : "missed");
	printf("\n");
	fflush(stdout);
	if (json && *json)
		append_json(json, b, median, unit, met);
}

void bench_bind(void)
{
	size_t last = CPU_SETSIZE - 1;
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		err(EXIT_FAILURE, "which processors may be used");
	while (!CPU_ISSET(last, &set)) /* there is at least the one that this runs on */
		last--;
	CPU_ZERO(&set);
	CPU_SET(last, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		err(EXIT_FAILURE, "binding to processor %zu", last);
}
