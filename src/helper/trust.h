/* SPDX-License-Identifier: MIT */
/*
 * Who may have a descriptor that reaches more than his own file: root, the instance's own
 * user and members of the trusted group. The kernel's word on the peer of a socket decides,
 * taken when it connected.
 */
#ifndef GM_HELPER_TRUST_H
#define GM_HELPER_TRUST_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

struct trust {
	uid_t own_uid;
	bool has_group;
	gid_t group;
};

/*
 * Is the peer of sock, whose credentials are *peer, trusted? What can't be found out counts as no.
 */
bool trust_check(const struct trust *t, int sock, const struct ucred *peer);

#endif
