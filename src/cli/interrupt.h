/* SPDX-License-Identifier: MIT */
/*
 * Being told to stop, by SIGINT, SIGTERM or SIGHUP, in the middle of a copy: the first
 * one is noted, so that the copy can end in order; a second one ends the process at
 * once. SIGPIPE becomes EPIPE.
 */
#ifndef GM_CLI_INTERRUPT_H
#define GM_CLI_INTERRUPT_H

#include <stdbool.h>

void interrupt_watch(void);
bool interrupt_pending(void);

/*
 * Until the descriptor is ready for these events of poll(2), or failed; -EINTR if a signal was
 * noted, be it before: a read(2) that comes after it would wait for input all the same. -errno
 * else.
 */
int interrupt_wait(int fd, short events);

/*
 * Ends the process by the signal that was noted, so that a shell sees why it
 * ended. Returns if none was.
 */
void interrupt_obey(void);

/*
 * The other way, for what must be undone in any case: signals that would end the process, SIGINT,
 * SIGTERM, SIGHUP and SIGQUIT, are held back, however many come, and end it when they are
 * released. Whoever holds them asks from time to time whether one has come. SIGPIPE is held back
 * and not asked for.
 */
void interrupt_hold(void);
bool interrupt_held(void);
void interrupt_release(void); /* without a hold it does nothing */

#endif
