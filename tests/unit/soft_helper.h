/* SPDX-License-Identifier: MIT */
/*
 * A real helper on a soft region whose devices are files (fake_soft.h), and what tests of it do all
 * the time. There is one for the process.
 */
#ifndef GM_TESTS_SOFT_HELPER_H
#define GM_TESTS_SOFT_HELPER_H

#include "fake_soft.h"

#define RW      (GM_ACCESS_READ | GM_ACCESS_WRITE)
#define REMOVED (LINK_CHECK_TAKE | LINK_CHECK_KEEP)

extern struct rig rig;

extern const struct rig_extent small[2]; /* of one device with 2 MiB pages: 5 blocks */

/* For a TestSuite: a helper that serves and was brought up; the second one takes no counts, the
 * third one has nothing back before the next boot (--reuse never). */
void soft_helper_set_up(void);
void soft_helper_set_up_without(void);
void soft_helper_set_up_never(void);
void soft_helper_tear_down(void);

/* What each of them does. */
void soft_helper_set_up_by(enum reuse_policy policy, bool counts);

/* Another helper, which is told that the file, or nothing (count 0), is held. */
void restart(uint64_t ino, const struct rig_extent *held, size_t count);

/* Scrubbing makes devices from which is learned what an idle one is like. */
void learn(void);

/* What one attach gets. */
struct got {
	struct gm_grant grant;
	size_t count; /* of descriptors, which are closed again */
	unsigned ids[GM_GRANT_DEVICES_MAX];
};

/* A client attaches, to read and write, gets what the file has, and goes. take() is the second half
 * of it, for a client that waits already. */
void attach(struct got *g, uint64_t ino, const struct rig_extent *extents, size_t count);
void take(struct got *g, int client, uint64_t serial);

/* Grants to a process that ends at once. ids: the last n devices that are there then. */
void grant_and_end(
	uint64_t ino, const struct rig_extent *extents, size_t count, unsigned *ids, size_t n);

/* A check of the inode (LINK_CHECK_*) is answered by FREE, of the last epoch, or BUSY. */
void expect_answer(uint64_t ino, unsigned flags, unsigned opcode);

/* Waits until the counts have been read so many times more. */
void wait_for_readings(unsigned more);

/* Orders an export to user 1000 and group 100 with mode 0640, asked for by this process and user
 * 77; its id on the link is 5. */
void send_export(uint64_t ino, const struct rig_extent *extents, size_t count);

/* Which device it is; it has not failed. */
unsigned exported_id(const struct link_exported *answer);

#endif
