/* SPDX-License-Identifier: MIT */
/*
 * What the files of libguestmemfs share. Every function that can fail takes a struct problem for
 * the sentence; the public ones pass last_problem(), the calling thread's own.
 */
#ifndef GM_CLIENT_CLIENT_H
#define GM_CLIENT_CLIENT_H

#include <stdbool.h>
#include <sys/types.h>

#include "guestmemfs/guestmemfs.h"
#include "util/problem.h"

struct attachment_device {
	int fd; /* owned */
	uint64_t size;
	uint64_t align;
};

struct gm_attachment {
	uint64_t ino;
	uint64_t size;
	uint64_t align; /* the largest of the devices' */
	uint32_t access;
	uint32_t device_count;
	struct attachment_device devices[GM_GRANT_DEVICES_MAX];
	struct gm_extent_info *extents; /* by ascending file_offset, without overlap; owned */
	size_t extent_count;
};

/* devices, then perhaps the memfd with the extents */
#define GRANT_FDS_MAX (GM_GRANT_DEVICES_MAX + 1U)

struct problem *last_problem(void);

/* Puts the name of the open file before the sentence; returns r. */
int problem_file(struct problem *why, int r, int fd);

/* A ticket for an open file, the path of the socket where it is good, and the file's number. */
int ticket_invite(int fd, struct gm_invitation *ret, ino_t *ino, struct problem *why);

/*
 * Turns a grant into an attachment, checking all of it. The descriptors that the attachment keeps
 * are moved out of fds[] (replaced by -1), and only on success; the others stay the caller's.
 */
int grant_decode(struct gm_attachment **ret, const struct gm_grant *grant, int *fds, size_t nfds,
	struct problem *why);

static inline uint64_t round_up(uint64_t value, uint64_t power_of_two)
{
	return (value + power_of_two - 1) & ~(power_of_two - 1);
}

#endif
