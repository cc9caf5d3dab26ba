/* SPDX-License-Identifier: MIT */
/* Killing those who hold an inode, and nobody else. */
#ifndef GM_HELPER_KILL_H
#define GM_HELPER_KILL_H

struct holder;

/*
 * Kills the holder's process: by the whole cgroup that it is in, so that nobody gets away by
 * forking, if all processes of that cgroup hold the inode. -ESRCH it has ended; -EPERM and others
 * of pidfd_send_signal(2).
 */
int kill_process_or_cgroup(const struct holder *h);

#endif
