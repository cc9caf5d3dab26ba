// SPDX-License-Identifier: MIT
#include "helper/trust.h"

#include <errno.h>
#include <stdlib.h>

#include "util/cleanup.h"

/* Supplementary groups, as they were when the peer connected; the primary one is in its ucred. */
static bool peer_has_group(int sock, gid_t group)
{
	socklen_t size = 0;

	/* Asked with no room, the kernel says ERANGE and how much it needs, and looks at no
	 * address. */
	/* cppcheck-suppress nullPointer */
	if (getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0 || errno != ERANGE)
		return false;
	_cleanup_free_ gid_t *groups = malloc(size);
	if (!groups || getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
		return false;
	for (size_t i = 0; i < size / sizeof(*groups); i++)
		if (groups[i] == group)
			return true;
	return false;
}

bool trust_check(const struct trust *t, int sock, const struct ucred *peer)
{
	if (peer->uid == 0 || peer->uid == t->own_uid)
		return true;
	return t->has_group && (peer->gid == t->group || peer_has_group(sock, t->group));
}
