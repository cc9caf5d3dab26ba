/* SPDX-License-Identifier: MIT */
/*
 * A real mount for benchmarks: guestmemfs-fuse as it was built, with its worker and its helper, on
 * a new region in /dev/shm. What goes wrong ends the program with a sentence; whatever way it ends,
 * kill -9 too, mount and region go with it.
 */
#ifndef GM_BENCH_MOUNT_H
#define GM_BENCH_MOUNT_H

#include <stdint.h>
#include <sys/types.h>

#define BENCH_PATH_MAX 128

struct bench_mount {
	char directory[BENCH_PATH_MAX]; /* holds all the rest */
	char region[BENCH_PATH_MAX];
	char path[BENCH_PATH_MAX];
	char log[BENCH_PATH_MAX];
	pid_t keeper; /* the process that cleans up */
	int lifeline; /* the keeper does when this end is closed everywhere */
};

/* Returns when files of the mount can be attached. mib: the region's size. */
void bench_mount_start(struct bench_mount *m, unsigned mib);

/* Likewise, with room for so many files. */
void bench_mount_start_with(struct bench_mount *m, unsigned mib, const char *max_files);

/* Nothing may be open or mapped from the mount any more. */
void bench_mount_stop(struct bench_mount *m);

/* Makes a file of this size, or opens it; the fd is the caller's. */
int bench_mount_open(const struct bench_mount *m, const char *name, uint64_t size);

void bench_mount_remove(const struct bench_mount *m, const char *name);

/* Blocks that can be had now. */
uint64_t bench_mount_free_blocks(const struct bench_mount *m);

#endif
