/* SPDX-License-Identifier: MIT */
/* A part of a file's memory, mapped through libguestmemfs for as long as it is needed. */
#ifndef GM_CLI_WINDOW_H
#define GM_CLI_WINDOW_H

#include <stdint.h>

#include "guestmemfs/guestmemfs.h"
#include "util/problem.h"

/* What load and dump look at at a time; a multiple of every page size but 1 GiB. */
#define WINDOW_SIZE (64ULL << 20)

struct window {
	char *data;
	char *base; /* of the mapping around it, whole pages */
	size_t mapped;
};

/*
 * Maps length bytes of what a is attached to, from offset on, with prot. They lie in the file.
 */
int window_open(struct window *ret, struct gm_attachment *a, uint64_t offset, uint64_t length,
	int prot, struct problem *why);
void window_close(struct window *w);

/* gm_attach() with the library's sentence, which names the file. */
int window_attach(struct gm_attachment **ret, int fd, struct problem *why);

static inline void gm_detachp(struct gm_attachment **a)
{
	gm_detach(*a);
}

#endif
