/* SPDX-License-Identifier: MIT */
/*
 * The devices of soft regions, as a table: no block is in two of them, but for what somebody has
 * taken away. scene_devices.c has what becomes of them, scene_soft.c is asked in place of the
 * kernel. What the kernel counts of one is how many of the persons have it open or mapped.
 */
#ifndef GM_TESTS_FUZZ_SCENE_DEVICES_H
#define GM_TESTS_FUZZ_SCENE_DEVICES_H

#include <stdbool.h>
#include <stdint.h>

#include "../unit/soft_wraps.h"
#include "scene.h"

#define RANGES 64U

struct fake {
	bool used;
	unsigned region;
	struct soft_device device; /* without its ranges, which are here: */
	struct soft_range ranges[RANGES];
	struct soft_user user;
	int memory; /* what its descriptors are of; -1: it is gone */
	bool taken; /* by somebody else; what is there now is not ours */
};

/* What may fail of what is asked about any device. */
enum question {
	QUESTION_OPEN,
	QUESTION_OWNER,
	QUESTION_NOTE,
	QUESTION_EXPORT,
	QUESTION_COUNT,
	QUESTION_CLOSE,
	QUESTIONS
};

extern struct fake fakes[SCENE_DEVICES];

extern struct soft_idle fake_idle; /* what has been learned of idle ones */

/* Makes one. -ENOSPC: there are too many; -EBUSY: somebody else has one of the blocks. */
int devices_add(struct fake **ret, unsigned region, const struct soft_range *ranges, size_t count,
	uint64_t align);

/* As no device before it, nor after. */
uint64_t devices_next_instance(void);

/* 0, or negative errno: so it is this time. */
int devices_answer(enum question q);

/* What a reading of counts has too many. */
uint32_t devices_restlessness(void);

#endif
