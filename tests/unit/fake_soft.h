/* SPDX-License-Identifier: MIT */
/*
 * A soft region that is a file, and its devices, that are files: in place of the kernel's, for a
 * helper that runs in the tests (helper_rig.h). The linker puts it there (--wrap). It keeps the
 * kernel's rule that no block is in two devices, and that what a device has is what its blocks had
 * before; its table is shared with the helper's process, so that a test can see it and change it.
 */
#ifndef GM_TESTS_FAKE_SOFT_H
#define GM_TESTS_FAKE_SOFT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "helper_rig.h"
#include "region/soft_device.h"
#include "region/soft_idle.h"
#include "region/soft_user.h"

#define FAKE_DEVICES 128U
#define FAKE_RANGES  8U
#define FAKE_START   (4ULL << 30)

struct fake_device {
	bool used, bound, ours, seed, window;
	unsigned id;
	uint64_t instance, identity;
	uint64_t align;
	uid_t uid;
	gid_t gid;
	mode_t mode;
	size_t range_count;
	struct soft_range ranges[FAKE_RANGES];
	struct soft_user user; /* as it is noted */
	/* what the test wants the kernel to count beside what is idle (fake_counts.c) */
	bool exported, retired;
	atomic_uint open_elsewhere;
	atomic_uint pinned; /* block of the region; 0: none */
};

struct fake_soft {
	char directory[64];
	char region[96];
	struct fake_device devices[FAKE_DEVICES];
	unsigned last_id; /* numbers come back in the kernel, but a test tells devices apart by them
			   */
	uint64_t identities;      /* how many ever */
	unsigned made;            /* ... by the helper */
	unsigned windows;         /* ... and noted as windows */
	atomic_bool hold;         /* making waits as long as this is set */
	atomic_bool waits;        /* ... and one does */
	atomic_bool hold_removal; /* removing waits as long as this is set */
	atomic_uint leaving;      /* id of the device that is being removed; 0: none */
	atomic_bool hold_scan;    /* looks into /proc wait as long as this is set */
	atomic_int scan_fails;    /* 0, or a negative errno of every such look */
	pthread_mutex_t looking;  /* held while the helper looks into /proc, where it must not see
				     the test itself with a device's file */
	atomic_int fail_in;  /* the device after this many more can't be made; negative: none */
	atomic_int keep;     /* this many removals fail */
	atomic_int no_room;  /* 0, or a negative errno of every note of a user */
	atomic_int no_owner; /* ... and of every change of a node's owner */
	/* fake_counts.c: */
	bool lost;             /* root has taken away one of ours */
	bool no_counts;        /* they can't be read here */
	atomic_uint idle_cdev; /* what an idle device has */
	atomic_uint idle_page;
	atomic_uint readings;   /* how many ever */
	atomic_uint passing;    /* as many readings from now on find one more that has it open */
	atomic_int counts_fail; /* 0, or a negative errno of every reading */
	bool no_gate;           /* nothing can be closed here */
	atomic_int late;        /* as many times somebody is on his way for too long */
	atomic_uint arrivals;  /* who was on his way to a device when it was closed, and opens it */
	atomic_uint closings;  /* how many ever */
	atomic_uint closed;    /* id of the device that nobody can open now; 0: none */
	struct soft_idle idle; /* what is kept for the boot */
};

/* The table; one for the process, since the functions in whose place it stands take no context. */
extern struct fake_soft *fake_soft;

/* For a rig that has been initialized; makes it one of a soft region. */
void fake_soft_init(struct rig *r);
void fake_soft_deinit(void);

/* The same with the rig's beginning and end, which must be in good order: a helper that serves, and
 * has been brought up. */
void fake_soft_set_up(struct rig *r);
void fake_soft_tear_down(struct rig *r);

/* A device as somebody else made it, or (ours) a helper that has died. Returns its id. */
unsigned fake_soft_add(bool ours, bool bound, uint64_t block, uint32_t count);

unsigned fake_soft_add_window(uint64_t block, uint32_t count);

/* Root takes a device away, or puts one of his own in its place. */
void fake_soft_take_away(unsigned id);
void fake_soft_replace(unsigned id, uint64_t block, uint32_t count);
void fake_soft_unbind(unsigned id);
void fake_soft_bind_anew(unsigned id); /* all its counts are idle then */

/* NULL: there is none with this id. */
const struct fake_device *fake_soft_find(unsigned id);
unsigned fake_soft_count(void);

/* The id of the device that a descriptor is open on. */
unsigned fake_soft_id(int fd);

/* Waits until the helper waits for the test while it makes a device (hold). */
void fake_soft_wait_until_making(void);

/* A client attaches, to read and write, gets one device, and goes: the id of that. */
unsigned fake_soft_attach(
	struct rig *r, uint64_t ino, const struct rig_extent *extents, size_t count);

#endif
