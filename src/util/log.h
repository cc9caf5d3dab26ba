/* SPDX-License-Identifier: MIT */
/*
 * One line a message on stderr: "guestmemfs-helper: text". Where stderr is the journal
 * ($JOURNAL_STREAM, see sd-daemon(3)), lines carry the "<N>" priority prefix that it understands. A
 * daemon that has let go of its stderr writes to /dev/log (log_socket.h).
 */
#ifndef GM_UTIL_LOG_H
#define GM_UTIL_LOG_H

#include <stdbool.h>

enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

/*
 * Set by a process for those that it starts: words separated by commas, "syslog" for messages to go
 * there, "debug" for every detail. log_init() obeys.
 */
#define LOG_ENVIRONMENT "GUESTMEMFS_LOG"

/*
 * Call once at the start of main; name is kept, not copied. Messages above max_level are dropped.
 */
void log_init(const char *name, enum log_level max_level);

/* From here on messages go to /dev/log, as from a daemon. */
void log_to_syslog(void);

/*
 * For daemons, once stderr is what it stays: nobody who logs waits for who reads, even if that is a
 * pipe that is full. What is not taken is counted and owned up to later. Opens stderr anew, since
 * its mode is that of all who share it.
 */
void log_never_wait(void);

/* True if messages go to the journal, where there is one: by stderr, or by /dev/log. */
bool log_reaches_journal(void);

/* As log_init() was given it. */
const char *log_name(void);

/* Words of others stay one line, and move no cursor: '?' takes the place of control characters. */
void log_mask(char *text);

void log_message(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define log_error(...)   log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_message(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_message(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
