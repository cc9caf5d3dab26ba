/* SPDX-License-Identifier: MIT */
/*
 * A soft region under its lock. What a crash can leave: a device without all of its memory, or
 * without a driver. It was never given to anybody, or was shown to be nobody's, and the next one to
 * hold the lock removes it; or retires it, if that was what it was about.
 */
#ifndef GM_REGION_SOFT_HOLD_H
#define GM_REGION_SOFT_HOLD_H

#include <stddef.h>
#include <stdint.h>

#include "region/soft_device.h"
#include "region/soft_record.h"
#include "region/soft_region.h"
#include "util/problem.h"

struct soft_hold {
	struct soft_record record;
	struct soft_region region;
};

#define SOFT_HOLD_NULL ((struct soft_hold){.record = SOFT_RECORD_NULL, .region = SOFT_REGION_NULL})

/* Takes the lock. What a crash has left is there only if the last holder was in the middle of
 * something; all else costs the same, however many devices there are. */
int soft_hold_init(struct soft_hold *h, uint64_t start, struct problem *why);
void soft_hold_deinit(struct soft_hold *h);

struct soft_devices {
	struct soft_device *at; /* owned */
	size_t count;
};

#define SOFT_DEVICES_NULL ((struct soft_devices){.at = NULL})

void soft_devices_deinit(struct soft_devices *a);

/* All devices, or one, as they are now; the caller's. */
int soft_hold_read_all(const struct soft_hold *h, struct soft_devices *ret, struct problem *why);
int soft_hold_read(
	const struct soft_hold *h, unsigned id, struct soft_device *ret, struct problem *why);

/* All devices; takes away what a crash has left, and forgets what is not there any more. */
int soft_hold_clear_up(const struct soft_hold *h, struct soft_devices *ret, struct problem *why);

/* Of what is noted to be in work. Each step leaves something that the next holder of the lock goes
 * on with. */
int soft_hold_take_away(const struct soft_hold *h, const struct soft_work *w, struct problem *why);

/*
 * Of what is noted to be in work, and to be retired. Each step leaves something that the next
 * holder of the lock goes on with: once it is unbound nobody can reach it any more; as long as it
 * is not, what was shown is not true for ever.
 */
int soft_hold_retire(const struct soft_hold *h, const struct soft_work *w, struct problem *why);

#endif
