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
 * Ends the process by the signal that was noted, so that a shell sees why it
 * ended. Returns if none was.
 */
void interrupt_obey(void);

#endif
