// SPDX-License-Identifier: MIT
#include "fuse/control_answer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

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

static int write_all(int fd, const char *text, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, text, length);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			text += n;
			length -= (size_t)n;
		}
	}
	return 0;
}

/* Sealed, so that whoever gets it need not fear that it changes under his eyes. */
static int make_memfd(const char *text, size_t length)
{
	_cleanup_fd_ int fd = memfd_make("guestmemfs-status");
	int r;

	if (fd < 0)
		return fd;
	r = write_all(fd, text, length);
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return -errno;
	return steal_fd(&fd);
}

int control_answer_send(int fd, const char *text, size_t length)
{
	_cleanup_fd_ int memfd = make_memfd(text, length);
	const struct control_answer a = {
		.size = put_le32(sizeof(a)),
		.version = put_le32(CONTROL_VERSION),
		.length = put_le64(length),
	};

	return memfd < 0 ? memfd : packet_send(fd, &a, sizeof(a), &memfd, 1, false);
}
