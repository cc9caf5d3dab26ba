/* SPDX-License-Identifier: MIT */
/* Which process has a device open or mapped, as far as /proc tells. */
#ifndef GM_REGION_USERS_H
#define GM_REGION_USERS_H

#include <sys/types.h>

/*
 * Looks for a process other than this one that has the devdax node open or maps it; node is
 * "/dev/dax0.0". 1 and *ret, 0, or a negative errno. Descriptors in flight over sockets, pages
 * pinned in a pipe and the like are in no /proc file, so this may only forbid, never allow, what
 * would hurt a guest.
 */
int device_find_user(const char *node, pid_t *ret);

#endif
