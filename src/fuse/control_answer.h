/* SPDX-License-Identifier: MIT */
/*
 * Answers on the control socket (src/proto/control.h). The worker gives most of them, the
 * supervisor those to UPGRADE.
 */
#ifndef GM_FUSE_CONTROL_ANSWER_H
#define GM_FUSE_CONTROL_ANSWER_H

#include <stddef.h>

/* error: positive errno. text: the sentence; cut off where it is too long. Never waits. */
int control_answer_refuse(int fd, int error, const char *text);

/* A JSON text, which goes in a sealed memfd. Never waits; negative errno. */
int control_answer_send(int fd, const char *text, size_t length);

#endif
