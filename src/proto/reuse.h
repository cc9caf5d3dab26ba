/* SPDX-License-Identifier: MIT */
/*
 * What --reuse says, to guestmemfs-fuse and from there to the helper: when the memory of a removed
 * file of a soft region may be another file's in the same boot.
 */
#ifndef GM_PROTO_REUSE_H
#define GM_PROTO_REUSE_H

#include <stdbool.h>
#include <string.h>

enum reuse_policy {
	REUSE_SHOWN, /* once the kernel's own counts show that nobody reaches it */
	REUSE_NEVER,
};

#define REUSE_POLICIES "shown or never"

static inline const char *reuse_policy_name(enum reuse_policy policy)
{
	return policy == REUSE_SHOWN ? "shown" : "never";
}

static inline bool reuse_policy_parse(enum reuse_policy *ret, const char *text)
{
	for (enum reuse_policy p = REUSE_SHOWN; p <= REUSE_NEVER; p++)
		if (strcmp(text, reuse_policy_name(p)) == 0) {
			*ret = p;
			return true;
		}
	return false;
}

#endif
