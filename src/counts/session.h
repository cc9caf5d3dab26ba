/* SPDX-License-Identifier: MIT */
/*
 * The messages of a guestmemfs-counts (wire.h) as its own side takes them: what is asked is
 * gathered until the BPF program can be run on it, and what that says until all of a device has
 * been looked at. No I/O but closing the device.
 */
#ifndef GM_COUNTS_SESSION_H
#define GM_COUNTS_SESSION_H

#include <stddef.h>

#include "counts/counts.h"
#include "counts/wire.h"

struct counts_session {
	int device_fd; /* owned; -1: no device is being read */
	uint64_t id;
	uint64_t align;
	uint32_t idle;
	uint32_t ranges_left;
	struct counts_reading reading; /* so far */
	int error;                     /* the first one, negative; then nothing more is run */
	struct problem why;
	/* Of the last CLOSE. */
	struct counts_gate_device closing[COUNTS_GATE_DEVICES];
	uint32_t closing_count;
};

#define COUNTS_SESSION_INIT ((struct counts_session){.device_fd = -1})

void counts_session_deinit(struct counts_session *s);

enum counts_next {
	COUNTS_NEXT_MESSAGE, /* nothing to do yet */
	COUNTS_NEXT_RUN,     /* run the program on the job, then counts_session_add() */
	COUNTS_NEXT_CLOSE,   /* close .closing, then answer with counts_session_closed() */
	COUNTS_NEXT_ANSWER,
};

/*
 * Takes a message that came with this descriptor (-1: none), which is the session's from here on,
 * whatever is returned. An enum counts_next, with the job filled in if that is to run, or -EPROTO.
 */
int counts_session_take(struct counts_session *s, const void *message, size_t size, int fd,
	struct counts_job *job, struct problem *why);

/*
 * What came out of the run: error 0 and the job, or an error and its sentence. COUNTS_NEXT_MESSAGE
 * or COUNTS_NEXT_ANSWER.
 */
enum counts_next counts_session_add(struct counts_session *s, int error,
	const struct counts_job *job, const struct problem *why);

union counts_reply {
	struct counts_answer answer;
	struct counts_closed closed;
	struct counts_failed failed;
};

/* Closes the device, writes the answer into reply and returns its length. */
size_t counts_session_answer(struct counts_session *s, union counts_reply *reply);

/* The answer to CLOSE: error 0, or negative and its sentence. Returns its length. */
size_t counts_session_closed(const struct counts_session *s, int error, const struct problem *why,
	union counts_reply *reply);

/* The message FAILED; error is negative. Safe in a signal handler. Returns its length. */
size_t counts_failed_init(struct counts_failed *m, uint64_t id, int error, const char *text);

#endif
