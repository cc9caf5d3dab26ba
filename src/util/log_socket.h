/* SPDX-License-Identifier: MIT */
/*
 * Lines for /dev/log, by one connected datagram socket, never waited for: guests wait for us.
 * syslog(3) waits for ever for a daemon that does not read. What the daemon does not take is
 * counted and owned up to later.
 */
#ifndef GM_UTIL_LOG_SOCKET_H
#define GM_UTIL_LOG_SOCKET_H

#define LOG_SOCKET_PATH "/dev/log"

/* One a process; not for several threads at once to begin with. name and path are kept. Connects at
 * once, and later again where the daemon has gone away. */
void log_socket_begin(const char *name, const char *path);

/*
 * For a process that is not allowed to connect again: where lines go when the daemon that it is
 * connected to is gone. 0, or a negative errno: the line is not taken.
 */
typedef int log_socket_relay(int level, const char *text);
void log_socket_relay_by(log_socket_relay *relay);

/* level is one of syslog(3)'s; facility "daemon". From any thread. */
void log_socket_send(int level, const char *text);

#endif
