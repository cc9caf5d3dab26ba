/* SPDX-License-Identifier: MIT */
/*
 * Tries crashes: goes through a trace, and between every two fences through the subsets of the
 * stores that may have reached the media; judges each state that comes about. The media is taken
 * for persistent memory unless it is said otherwise: what is well on that, is so on ordinary RAM,
 * where a fence is for all stores before it.
 *
 * A crash state is good if
 *   - recovery and the independent reader accept it, and read the same;
 *   - that is exactly the state before or after the operation in flight, after it once it was
 *     acknowledged (a format may also leave what both refuse);
 *   - the reader finds no block owned twice, none leaked, one tree;
 *   - fsck agrees;
 *   - the pool can be mounted and changed, and reads the same again after that.
 * The mount after a crash is itself explored in the same way, for some of the states.
 */
#ifndef GM_TESTS_CRASH_EXPLORE_H
#define GM_TESTS_CRASH_EXPLORE_H

#include "trace.h"

#define EXPLORE_DEPTH 3U /* crash, crash of the recovery, crash of the recovery from that */

struct explore_place { /* one crash state: the epoch (stores between two fences) and the subset */
	uint64_t epoch;
	uint64_t subset;
};

struct explore_kind { /* distinct states by the first word of the operation */
	char name[32];
	uint64_t states;
};

struct explorer {
	struct image *image;
	uint64_t seed;
	uint64_t samples;
	uint64_t deeper;   /* of so many states one has its recovery explored too */
	bool persistent;   /* a fence is for what was written back before it, and for that alone */
	uint64_t distinct; /* states so far, all different */
	uint64_t judged;
	uint64_t exhausted, sampled; /* epochs of which all subsets were tried, and some */
	struct {
		uint64_t *slots; /* 0: empty */
		uint64_t count;
		uint64_t capacity;
	} seen;
	struct explore_kind kinds[96];
	struct explore_place at[EXPLORE_DEPTH];
	const struct explore_place
		*only; /* judge this state alone: EXPLORE_DEPTH places, or NULL */
	unsigned only_depth;
	const struct trace *bytes_of; /* has the bytes of files with content; NULL: not looked at */
	char found[2048];             /* the first fault, in words; empty: none */
	struct explore_work *work;
};

void explorer_init(struct explorer *e, struct image *image, uint64_t seed);
void explorer_deinit(struct explorer *e);

/* Forgets the fault that was found. */
void explorer_reset(struct explorer *e);

/* The image is as it was before the first event of the trace, and is so again afterwards. False: a
 * state is not good; e->found says which and why. */
bool explore_trace(struct explorer *e, const struct trace *t, unsigned depth);

/* ---- judge.c ---- */

/* The states that are allowed. */
struct explore_expected {
	const struct trace_operation *operation; /* NULL before the first one */
	bool acknowledged;
};

bool judge_state(struct explorer *e, const struct explore_expected *x, unsigned depth);

/* Notes the fault; returns false. */
bool explore_found(struct explorer *e, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
