/* SPDX-License-Identifier: MIT */
/*
 * What systemd, or whoever else has started us as a service, is told of our state: lines of
 * NAME=VALUE in one datagram to the socket that $NOTIFY_SOCKET names (sd_notify(3)). libsystemd is
 * more than this takes.
 */
#ifndef GM_UTIL_MANAGER_H
#define GM_UTIL_MANAGER_H

#define MANAGER_ENVIRONMENT "NOTIFY_SOCKET"
#define MANAGER_SECONDS     5 /* that a send waits at most */

/* path: of the socket, from the root; or @ and a name that is none. 0 or negative errno. */
int manager_tell(const char *path, const char *lines);

#endif
