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
	/* and, as long as they don't, as it is: */
	REUSE_SAME_OWNER, /* for a file of the same user, if nobody else's processes had it */
	REUSE_TRUSTING,   /* for any file */
	REUSE_NEVER,
};

#define REUSE_POLICIES "shown, same-owner, trusting or never"

static inline const char *reuse_policy_name(enum reuse_policy policy)
{
	static const char *const names[] = {
		[REUSE_SHOWN] = "shown",
		[REUSE_SAME_OWNER] = "same-owner",
		[REUSE_TRUSTING] = "trusting",
		[REUSE_NEVER] = "never",
	};

	return names[policy];
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
