/* SPDX-License-Identifier: MIT */
/*
 * What all benchmarks share: the same work is timed several times, the first time thrown away, and
 * the median of the rest is reported, as a line of a table on stdout and, if GM_BENCH_JSON names a
 * file, as one JSON object a line appended to it:
 *
 *   {"suite":"alloc","name":"claim","unit":"ns","median":812.4,"min":...,"max":...,"repeats":9,"aim":1000,"met":true}
 *
 * aim and met are there only if there is an aim. Use:
 *
 *   struct bench b = { .suite = "alloc", .name = name, .operations = 1000 };
 *   while (bench_next(&b)) {
 *           prepare();
 *           bench_start(&b);
 *           for (uint64_t i = 0; i < b.operations; i++)
 *                   work();
 *           bench_stop(&b);
 *   }
 *   bench_report(&b);
 */
#ifndef GM_BENCH_BENCH_H
#define GM_BENCH_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#define BENCH_REPEATS 9U

struct bench {
	const char *suite, *name;
	uint64_t operations; /* between start and stop; the result is per operation */
	uint64_t bytes;      /* of one operation: the result is GB/s then, not ns; 0 if bytes don't
				matter */
	double aim; /* in the unit of the result: at most so many ns, at least so many GB/s; 0: none
		     */
	const char *unit; /* NULL: ns or GB/s. Else the caller has put results of its own, the less
			     the better, into sample[], and needs no rounds */
	unsigned repeats; /* samples; 0: BENCH_REPEATS, which is the most */
	/* the rest is the harness's own; zero at first */
	uint64_t started;             /* ns */
	double taken;                 /* ns, in this repeat */
	unsigned rounds;              /* begun, the one thrown away included */
	double sample[BENCH_REPEATS]; /* in the order of the rounds until the median is asked for */
};

bool bench_next(struct bench *b);

/* What lies outside start and stop isn't counted; several pairs in one round add up. */
void bench_start(struct bench *b);
void bench_stop(struct bench *b);

/*
 * Prints, and appends to GM_BENCH_JSON; if that can't be written, says so and
 * ends the program with 1.
 */
void bench_report(struct bench *b);

/* The median of the samples in the unit of the result, for benchmarks that compare two; once
 * bench_next() is false. */
double bench_median(struct bench *b);

/* Puts this process, and all that it starts from now on, on one processor: the last one that it may
 * use. */
void bench_bind(void);

#endif
