/* SPDX-License-Identifier: MIT */
/*
 * Who reaches a region or a device, as far as /proc tells: which processes map which blocks of it,
 * and which have it open. Blocks no foreign file system: no path of another process is ever
 * resolved in a way that could ask its server.
 *
 * What it can't see: descriptors in flight over sockets, fixed files of io_uring, pages pinned in a
 * pipe, and, for a helper that is not root, processes of others.
 */
#ifndef GM_REGION_PROCSCAN_H
#define GM_REGION_PROCSCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* How a region, or one of its devices, appears in /proc. */
struct scan_target {
	/* A device is known by its number alone, whatever node it was opened by; what is in maps
	 * and fdinfo is its node's in /dev. */
	bool is_device;
	unsigned rdev_major;
	unsigned rdev_minor;
	/* in maps: not st_dev where the file system is stacked (overlayfs) or has subvolumes
	 * (btrfs) */
	unsigned maps_major;
	unsigned maps_minor;
	uint64_t maps_ino;
	/* as statx(2) has it */
	unsigned dev_major;
	unsigned dev_minor;
	uint64_t ino;
	/* in fdinfo */
	bool has_fdinfo_ino; /* kernels before 5.14 don't tell */
	uint64_t fdinfo_ino;
};

/* fd is of the region, address a mapping of it (by whatever descriptor) in this process. Negative
 * errno. */
int procscan_identify(struct scan_target *ret, int fd, const void *address);

/* rdev: of a device, 0 if it is not bound and so can't be reached; node: its path. */
void procscan_identify_device(struct scan_target *ret, dev_t rdev, const char *node);

/* One way to reach a target. */
struct scan_use {
	pid_t pid; /* of the thread group */
	uid_t uid;
	unsigned target; /* index into the targets */
	bool mapped;     /* else: has it open */
	/* of a mapping: */
	bool writable;
	uint64_t offset; /* bytes of the target */
	uint64_t length;
};

struct scan_result {
	struct scan_use *uses;
	size_t use_count;
	size_t use_room;
	pid_t blind; /* a process that may reach something and could not be looked into; 0: none */
	/* A plain user's helper can't look into those of his own processes that are not dumpable
	 * (prctl(2)). Of these the one that began last, and when (CLOCK_BOOTTIME, ms); 0: none. */
	pid_t shut;
	uint64_t shut_began;
};

#define SCAN_RESULT_NULL ((struct scan_result){.uses = NULL})

void scan_result_deinit(struct scan_result *r);

/*
 * One process, and no later one that gets its number: the pid and when it began. 0: none, also
 * where it has ended already.
 */
typedef uint64_t scan_mark;

scan_mark procscan_note(pid_t pid);

/* Who has the region by right, as we have. Each may be changed while a scan goes on
 * (__atomic_store_n()). */
struct scan_ours {
	scan_mark supervisor; /* and its children of its session called worker or keeper */
	scan_mark keeper;     /* which outlive it */
	scan_mark worker;
};

struct scan_options {
	const struct scan_target *targets;
	unsigned target_count;
	const struct scan_ours *ours; /* NULL: nobody */
	pid_t reader; /* of counts, which has a device open while it reads; 0: none */
};

/* Goes through /proc once. 0 or -ENOMEM, -errno when /proc itself can't be read. */
int procscan_run(const struct scan_options *o, struct scan_result *ret);

#endif
