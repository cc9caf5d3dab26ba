/* SPDX-License-Identifier: MIT */
/*
 * The protocol between a client (a VMM, libguestmemfs) and guestmemfs-helper, version 1. docs/protocol.md tells the
 * whole story with every message; in short:
 *
 *   fd = open("/mnt/gm/vm0", O_RDWR);             the kernel checks owner and mode: the open file is the permission
 *   ioctl(fd, GM_IOC_INVITATION, &invitation);    a ticket for this file with this access mode, and where the helper
 *                                                 listens (SOCK_SEQPACKET)
 *   send struct gm_hello    -> receive struct gm_welcome
 *   send struct gm_attach   -> receive struct gm_grant with fds, or struct gm_refused
 *
 * One message a packet, sizes exact, integers little-endian, reserved fields zero. HELLO and the first ATTACH may be
 * sent together; the next ATTACH when the answer to the one before has been read. The helper takes no fd from a
 * client: a message that carries one ends the connection.
 */
#ifndef GUESTMEMFS_PROTOCOL_H
#define GUESTMEMFS_PROTOCOL_H

#include <assert.h>
#include <linux/ioctl.h>

#include "guestmemfs/types.h"

#define GM_PROTOCOL_VERSION 1U

#define GM_XATTR_SOCKET	 "user.guestmemfs.socket"  /* path of the helper's socket; every file of a mount has it */
#define GM_XATTR_CONTROL "user.guestmemfs.control" /* path of the worker's control socket */

/* 128 random bits, good once and for GM_TICKET_SECONDS, that stand for one open file and its access mode. */
struct gm_ticket {
	uint8_t bytes[16];
};
static_assert(sizeof(struct gm_ticket) == 16, "protocol");

#define GM_TICKET_SECONDS 5U

/*
 * On an open regular file of a mount (not O_PATH). Errors: ENOTTY not such a file, EBADF O_PATH, EACCES opened
 * O_WRONLY (memory can't be mapped without reading), EAGAIN too many tickets outstanding (try again).
 */
#define GM_IOC_TICKET _IOR('G', 1, struct gm_ticket)

/* A ticket and the place where it is redeemed, for whoever wants both: one request to the mount instead of two. */
struct gm_invitation {
	struct gm_ticket ticket;
	char socket[112]; /* as the value of GM_XATTR_SOCKET; the rest is zero, at least one byte of it */
};
static_assert(sizeof(struct gm_invitation) == 128, "protocol");

/* As GM_IOC_TICKET, and: ENAMETOOLONG the path has no room (a socket's address has less, so there is no such helper). */
#define GM_IOC_INVITATION _IOR('G', 2, struct gm_invitation)

/* Who holds a file, or held it. */
#define GM_REVOKE_CGROUP 192U

#define GM_HOLDER_DEAD	  1U /* it has ended */
#define GM_HOLDER_ADOPTED 2U /* found in /proc: it was not granted the file by the helper that runs now */
#define GM_HOLDER_KILLED  4U /* by this request */

struct gm_holder {
	gm_le32 pid;
	gm_le32 uid;
	gm_le32 access; /* GM_ACCESS_* */
	gm_le32 flags;	/* GM_HOLDER_* */
	char command[16];		/* its name; both NUL-terminated, maybe cut off, empty once it has ended */
	char cgroup[GM_REVOKE_CGROUP];
};
static_assert(sizeof(struct gm_holder) == 224, "protocol");

#define GM_REVOKE_HOLDERS 64U
#define GM_REVOKE_KILL	  1U /* kill them, and take the file's memory from whoever reaches it; its contents stay */

#define GM_REVOKED_FREE 0U /* nobody reaches the file's memory */
#define GM_REVOKED_HELD 1U /* somebody does, or it is not shown that nobody does */

struct gm_revoke {
	gm_le32 flags; /* to the mount: GM_REVOKE_KILL or 0; the rest of it zero */
	gm_le32 state; /* from the mount: GM_REVOKED_* */
	gm_le32 count; /* of holders[] */
	gm_le32 more;  /* that had no room in it */
	struct gm_holder holders[GM_REVOKE_HOLDERS];
};
static_assert(sizeof(struct gm_revoke) == 16 + 64 * 224, "protocol");

/*
 * On an open regular file of a mount: for root and the file's owner. Answers within some seconds. Errors: EPERM somebody
 * else, EINVAL flags, EAGAIN there is no helper at the moment or too many ask, EBUSY the pool is frozen.
 */
#define GM_IOC_REVOKE _IOWR('G', 3, struct gm_revoke)

enum gm_opcode { /* requests are odd, answers even */
	GM_OP_HELLO = 1,
	GM_OP_WELCOME = 2,
	GM_OP_ATTACH = 3,
	GM_OP_GRANT = 4,
	GM_OP_REFUSED = 6,
};

struct gm_header {
	gm_le32 size; /* of the whole message */
	gm_le16 opcode;
	gm_le16 reserved;
	gm_le64 serial; /* chosen by the client, comes back in the answer */
};
static_assert(sizeof(struct gm_header) == 16, "protocol");

struct gm_hello { /* must be the first message */
	struct gm_header header;
	gm_le32 version_min;
	gm_le32 version_max;
	gm_le64 flags; /* 0: none is defined yet; an unknown one is refused */
};
static_assert(sizeof(struct gm_hello) == 32, "protocol");

struct gm_welcome {
	struct gm_header header;
	gm_le32 version; /* the one that holds from here on */
	gm_le32 reserved;
	gm_le64 flags; /* the known ones of those asked for */
};
static_assert(sizeof(struct gm_welcome) == 32, "protocol");

struct gm_attach {
	struct gm_header header;
	struct gm_ticket ticket;
	gm_le64 flags; /* 0 */
};
static_assert(sizeof(struct gm_attach) == 40, "protocol");

struct gm_device {
	gm_le64 size;  /* bytes */
	gm_le64 align; /* page size of its mappings: address, offset and length must be multiples */
};
static_assert(sizeof(struct gm_device) == 16, "protocol");

struct gm_grant_extent {
	gm_le64 file_offset; /* bytes; ascending, without overlap; multiple of GM_BLOCK_SIZE */
	gm_le64 length;	     /* bytes; multiple of GM_BLOCK_SIZE */
	gm_le64 device_offset;
	gm_le32 device; /* index into the fds that came along */
	gm_le32 reserved;
};
static_assert(sizeof(struct gm_grant_extent) == 32, "protocol");

#define GM_GRANT_DEVICES_MAX 32U
#define GM_GRANT_INLINE_MAX  32U

#define GM_ACCESS_READ	1U
#define GM_ACCESS_WRITE 2U

/*
 * device_count fds come along, then one more if extent_count > GM_GRANT_INLINE_MAX: a sealed memfd that holds
 * extent_count struct gm_grant_extent, and extents[] is zero.
 */
struct gm_grant {
	struct gm_header header;
	gm_le64 ino;
	gm_le64 size; /* of the file, bytes, as it was when granted */
	gm_le64 extent_count;
	gm_le32 access; /* GM_ACCESS_READ or GM_ACCESS_READ | GM_ACCESS_WRITE: how the fds are open */
	gm_le32 device_count;
	struct gm_device devices[GM_GRANT_DEVICES_MAX];
	struct gm_grant_extent extents[GM_GRANT_INLINE_MAX];
};
static_assert(sizeof(struct gm_grant) == 16 + 32 + 512 + 1024, "protocol");

enum gm_reason { /* why; gm_strreason() of libguestmemfs has the sentences */
	GM_REASON_NONE = 0,
	GM_REASON_VERSION = 1,	/* EPROTONOSUPPORT: no common version, or an unknown flag */
	GM_REASON_TICKET = 2,	/* EKEYREJECTED: used, expired or never given out */
	GM_REASON_TRUST = 3,	/* EACCES: this kind of region is for trusted users only */
	GM_REASON_LIMIT = 4,	/* EUSERS: too many connections or grants of this user, or in all */
	GM_REASON_EXTENTS = 5,	/* EMFILE: more devices than one grant can carry */
	GM_REASON_SCRUB = 6,	/* EIO: its blocks could not be zeroed */
	GM_REASON_RECORD = 7,	/* EUCLEAN: the worker's order contradicts the helper's record */
	GM_REASON_STARTING = 8, /* EAGAIN: no worker at the moment, try again */
	GM_REASON_MEMORY = 9,	/* ENOMEM, ENFILE or EMFILE: the helper lacks resources */
	GM_REASON_GONE = 10,	/* ESTALE: the file was removed meanwhile */
	GM_REASON_SPACE = 11,	/* ENOSPC: the grant could not be journalled */
	GM_REASON_FROZEN = 12,	/* EBUSY: the pool is frozen for a kexec */
	GM_REASON_DEVICE = 13,	/* EIO, EBUSY, ...: no device could be made over the file's blocks */
	GM_REASON_RATE = 14,	/* EAGAIN: too many messages of this user in a second, or of all */
};

struct gm_refused {
	struct gm_header header; /* serial 0: the connection was refused, before any request was read */
	gm_le32 error;	/* errno of Linux, positive */
	gm_le32 reason; /* enum gm_reason */
};
static_assert(sizeof(struct gm_refused) == 24, "protocol");

#endif
