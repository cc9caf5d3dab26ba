/* SPDX-License-Identifier: MIT */
/*
 * The audit: who got at which memory, who was refused, what was taken away. One event is one line,
 * a name and then key=value words, where the log goes; where the log is the systemd journal the
 * same words are fields of one entry (GUESTMEMFS_EVENT, GUESTMEMFS_PID, ...), so that they can be
 * searched. docs/audit.md has the keys. An event is put together on the stack; nothing here can
 * fail.
 */
#ifndef GM_UTIL_AUDIT_H
#define GM_UTIL_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum audit_event {
	AUDIT_GRANT,      /* a client was given descriptors */
	AUDIT_REFUSAL,    /* a client, or an order of the worker, was refused */
	AUDIT_EXPORT,     /* a device node was opened to a user, or closed again */
	AUDIT_REVOCATION, /* memory was taken from who had it */
	AUDIT_QUARANTINE, /* blocks are kept out of use: somebody might still reach them */
};

#define AUDIT_JOURNAL "/run/systemd/journal/socket"

#define AUDIT_VALUE_MAX 512U /* bytes of one value, escapes included; the rest is cut off */

struct audit {
	enum audit_event event;
	size_t length;
	char words[1600]; /* "key=value\n" each; values escaped */
};

/*
 * Events go to the journal that listens at this path (AUDIT_JOURNAL) from here on, if there is one.
 * Once, at the start, and only where the log goes there too: before the process gives up what it
 * takes to reach the path. Without it, or if the journal takes nothing more, they are lines of the
 * log.
 */
void audit_to_journal(const char *path);

void audit_begin(struct audit *a, enum audit_event event);

/*
 * One more word. The value may be anything, also a client's: all but plain printable characters is
 * escaped as \xNN, and what is not a plain word is quoted. A word that has no room is left out.
 */
void audit_add(struct audit *a, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* pid, uid and the process's cgroup (of version 2, else systemd's; "?" if it can't be read). */
void audit_add_process(struct audit *a, pid_t pid, uid_t uid);

void audit_send(const struct audit *a);

/* The line, for audit_send() and tests. Returns its length. */
size_t audit_format(char *line, size_t size, const struct audit *a);

#endif
