/* SPDX-License-Identifier: MIT */
/*
 * The same helper (soft_helper.h), and files that are removed: what they leave is offered to the
 * worker, and handed over to another file.
 */
#ifndef GM_TESTS_SPARE_HELPER_H
#define GM_TESTS_SPARE_HELPER_H

#include "soft_helper.h"

#define OTHER 4711U /* a user who is nobody here */

/* As the next file has what is `small` of the first one, from its second block on. */
extern const struct rig_extent heir[3];
extern const struct rig_extent heir_part[2];

/* For a TestSuite, with soft_helper_tear_down(): --reuse same-owner; shown; trusting; and the first
 * one without counts. */
void spare_helper_set_up(void);
void spare_helper_set_up_shown(void);
void spare_helper_set_up_trusting(void);
void spare_helper_set_up_without(void);

struct fake_device *device(unsigned id);

/* Granted to a process that has ended. */
void leave(uint64_t ino, const struct rig_extent *extents, size_t count);

/* The same, and its pages are in some pipe. Returns the device's id. */
unsigned leave_pinned(uint64_t ino);

/* The file is removed: a check, and what answers it; the offer, with the answer behind it. */
void send_check(uint64_t ino);
void expect_busy(uint64_t ino);
struct link_spare expect_spare(uint64_t ino);
void remove_file(uint64_t ino);

/* The worker has given it to this file, behind so many blocks. */
void hand_over(uint64_t from, uint64_t ino, uint64_t file_block);

/* It is told that this file is held; and then, if it has taken that, that this is all. */
void hear_from_next_worker(uint64_t ino, const struct rig_extent *held, size_t count);
void meet_next_worker(uint64_t ino, const struct rig_extent *held, size_t count);

/* Writes into each of a device's five blocks; how many of them have that still. */
void fill(unsigned id);
unsigned count_filled(unsigned id);

/* Grants the next file; returns the id of its last device. */
unsigned expect_granted(uint64_t ino, const struct rig_extent *extents, size_t count);
void expect_refused(uint64_t ino, const struct rig_extent *extents, size_t count, int error,
	enum gm_reason reason);

void scrub_small(void);

#endif
