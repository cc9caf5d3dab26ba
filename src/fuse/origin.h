/* SPDX-License-Identifier: MIT */
/* Where this boot of the kernel came from, as the kernel tells: its boot id, whether it was
 * kexeced, and the succession token on its command line. */
#ifndef GM_FUSE_ORIGIN_H
#define GM_FUSE_ORIGIN_H

#include <stdbool.h>

#include "store/store.h"

/* What the kernel says, before anything is made of it. */
struct origin_texts {
	char boot_id[64];
	char cmdline[8192];
	char loader[16]; /* "" where the kernel does not tell */
};

/* Reads /proc. Negative errno with a sentence. */
int origin_read(struct origin_texts *ret, struct problem *why);

/* Fills in all but stamps_agree; wanted is the pool's token. -EINVAL with a sentence. */
int origin_judge(struct store_origin *ret, const struct origin_texts *texts,
	const uint8_t wanted[16], struct problem *why);

/*
 * A token behind "guestmemfs.succession=" in a kernel command line: the wanted one if it is there
 * (a host with several pools passes on several), else the last. False if there is none, or what is
 * there is not 32 hex digits.
 */
bool origin_find_token(const char *cmdline, const uint8_t wanted[16], uint8_t token[16]);

/* True if the command line is that of a kernel which was loaded for a panic. */
bool origin_is_crash_kernel(const char *cmdline);

/* 32 hex digits. Returns buffer. */
#define ORIGIN_TOKEN_TEXT 33
const char *origin_format_token(char buffer[ORIGIN_TOKEN_TEXT], const uint8_t token[16]);

#endif
