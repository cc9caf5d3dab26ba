// SPDX-License-Identifier: MIT
#include "fuse/control_answer.h"

#include <stdint.h>
#include <stdio.h>

#include "proto/control.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/memfd.h"
#include "util/packet.h"

int control_answer_refuse(int fd, int error, const char *text)
{
	struct control_answer a = {
		.size = put_le32(sizeof(a)),
		.version = put_le32(CONTROL_VERSION),
		.error = put_le32((uint32_t)error),
	};

	(void)snprintf(a.text, sizeof(a.text), "%s", text);
	return packet_send(fd, &a, sizeof(a), NULL, 0, false);
}

int control_answer_send(int fd, const char *text, size_t length)
{
	_cleanup_fd_ int memfd = memfd_make_sealed("guestmemfs-status", text, length);
	const struct control_answer a = {
		.size = put_le32(sizeof(a)),
		.version = put_le32(CONTROL_VERSION),
		.length = put_le64(length),
	};

	return memfd < 0 ? memfd : packet_send(fd, &a, sizeof(a), &memfd, 1, false);
}
