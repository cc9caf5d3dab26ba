/* SPDX-License-Identifier: MIT */
/*
 * A real helper on a file region, and what tests of it do all the time. There is one for the
 * process.
 */
#ifndef GM_TESTS_FILE_HELPER_H
#define GM_TESTS_FILE_HELPER_H

#include "helper_rig.h"

#define READ  GM_ACCESS_READ
#define WRITE (GM_ACCESS_READ | GM_ACCESS_WRITE)

extern struct rig rig;

extern const struct rig_extent small[1]; /* two blocks */
extern const struct rig_extent other[1]; /* another one */

/* For a TestSuite: a helper that serves and was brought up. */
void file_helper_set_up(void);
void file_helper_tear_down(void);

/* A client asks, and gets a grant of inode 9 over `small`. */
void attach(int sock, uint64_t serial);

/* A process that has its grant of the file of one extent, and has mapped it. */
struct rig_child attach_child(uint64_t ino, const struct rig_extent *extents, bool keep_fd);

/* A check of the inode is answered by BUSY, of the last epoch: this process holds it. */
void expect_busy(uint64_t ino, pid_t pid);

/* How many entries /proc has for the helper's descriptors. */
unsigned count_helper_descriptors(void);

#endif
