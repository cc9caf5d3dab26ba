/* SPDX-License-Identifier: MIT */
/*
 * The worker: the one authority on names, sizes, owners and extents. One process,
 * one event loop, no threads.
 */
#ifndef GM_FUSE_WORKER_H
#define GM_FUSE_WORKER_H

/* The process, from its command line to its exit code: 0 it ended in order, 1 it failed. */
int worker_main(int argc, char *argv[]);

#endif
