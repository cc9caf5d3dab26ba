// SPDX-License-Identifier: MIT
/*
 * What is fixed in a request is smaller than any slot, so only what has a length of its own is
 * looked at: names, and data whose length the request tells. A kind that is not in the table has
 * neither; libfuse refuses what it does not know.
 */
#include "fuse/request_check.h"

#include <linux/fuse.h>
#include <stdint.h>
#include <string.h>

#include "util/cleanup.h"

/* The kernel sends the short form unless it is told of FUSE_SETXATTR_EXT. */
#define SETXATTR_IN_SIZE 8U

struct shape {
	uint32_t opcode;
	uint32_t fixed;
	uint32_t names; /* that follow, each with its NUL */
};

static const struct shape shapes[] = {
	{FUSE_LOOKUP, 0, 1},
	{FUSE_SYMLINK, 0, 2},
	{FUSE_MKNOD, sizeof(struct fuse_mknod_in), 1},
	{FUSE_MKDIR, sizeof(struct fuse_mkdir_in), 1},
	{FUSE_UNLINK, 0, 1},
	{FUSE_RMDIR, 0, 1},
	{FUSE_RENAME, sizeof(struct fuse_rename_in), 2},
	{FUSE_RENAME2, sizeof(struct fuse_rename2_in), 2},
	{FUSE_LINK, sizeof(struct fuse_link_in), 1},
	{FUSE_CREATE, sizeof(struct fuse_create_in), 1},
	{FUSE_SETXATTR, SETXATTR_IN_SIZE, 1},
	{FUSE_GETXATTR, sizeof(struct fuse_getxattr_in), 1},
	{FUSE_REMOVEXATTR, 0, 1},
	{FUSE_WRITE, sizeof(struct fuse_write_in), 0},
	{FUSE_IOCTL, sizeof(struct fuse_ioctl_in), 0},
	{FUSE_BATCH_FORGET, sizeof(struct fuse_batch_forget_in), 0},
};

static const struct shape *find_shape(uint32_t opcode)
{
	for (size_t n = 0; n < ARRAY_SIZE(shapes); n++)
		if (shapes[n].opcode == opcode)
			return &shapes[n];
	return NULL;
}

/* Bytes that follow what is fixed and the names; what is fixed is there. */
static uint64_t data_bytes(uint32_t opcode, const uint8_t *fixed)
{
	struct fuse_setxattr_in xattr = {.size = 0};
	struct fuse_write_in write;
	struct fuse_ioctl_in ioctl;
	struct fuse_batch_forget_in forget;

	switch (opcode) {
	case FUSE_SETXATTR:
		memcpy(&xattr, fixed, SETXATTR_IN_SIZE);
		return xattr.size;
	case FUSE_WRITE:
		memcpy(&write, fixed, sizeof(write));
		return write.size;
	case FUSE_IOCTL:
		memcpy(&ioctl, fixed, sizeof(ioctl));
		return ioctl.in_size;
	case FUSE_BATCH_FORGET:
		memcpy(&forget, fixed, sizeof(forget));
		return (uint64_t)forget.count * sizeof(struct fuse_forget_one);
	default:
		return 0;
	}
}

bool request_is_sound(const struct fuse_in_header *request, size_t room)
{
	const uint8_t *bytes = (const uint8_t *)request;
	size_t length = request->len, at = sizeof(*request);
	const struct shape *shape;

	if (length < at || length > room)
		return false;
	shape = find_shape(request->opcode);
	if (!shape)
		return true;
	if (length - at < shape->fixed)
		return false;
	at += shape->fixed;
	for (uint32_t n = 0; n < shape->names; n++) {
		const uint8_t *end = memchr(bytes + at, '\0', length - at);

		if (!end)
			return false;
		at = (size_t)(end - bytes) + 1;
	}
	return data_bytes(request->opcode, bytes + sizeof(*request)) <= length - at;
}
