/* SPDX-License-Identifier: MIT */
/*
 * The last words of a process that has broken its rules (src/confine), for the supervisor:
 * LINK_FAILED, sent from a signal handler, with nothing but a system call.
 */
#ifndef GM_PROTO_VIOLATION_H
#define GM_PROTO_VIOLATION_H

#include <errno.h>
#include <sys/socket.h>

#include "proto/link.h"
#include "util/le.h"

static inline void link_send_violation(int link, const char *who, const char *sentence)
{
	struct link_failed m = {
		.header = link_header_make(sizeof(m), LINK_FAILED, 0),
		.error = put_le32(EPERM),
	};
	struct iovec part = {.iov_base = &m, .iov_len = sizeof(m)};
	const struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	const char *const words[] = {who, " ", sentence};
	size_t at = 0;

	for (unsigned i = 0; i < 3; i++)
		for (const char *c = words[i]; *c && at < sizeof(m.text) - 1; c++)
			m.text[at++] = *c;
	(void)sendmsg(link, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

#endif
