// SPDX-License-Identifier: MIT
/* What the kernel asks, as a few bytes choose: about any inode that there is, or none. */
#include "rig_requests.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "rig.h"
#include "util/cleanup.h"
#include "util/le.h"

/* ---- what a few bytes stand for ---- */

/* One that the kernel has heard of, or any number. */
static uint64_t take_ino(struct bytes *b)
{
	uint8_t n = bytes_take(b);

	return n == 255 ? bytes_take_64(b) : rig.inodes[n % rig.inode_count];
}

static struct part take_name(struct bytes *b)
{
	static char names[8][GM_NAME_MAX + 2] = {"a", "b", "c", "d", "", ".", ".."};
	static char any[GM_NAME_MAX + 2], longest[GM_NAME_MAX + 1], too_long[GM_NAME_MAX + 2];
	uint8_t n = bytes_take(b);
	const char *name = names[n % 8];

	if (n % 8 == 7) {
		memset(any, 0, sizeof(any));
		bytes_copy(b, any, 1 + n / 8);
		name = any;
	} else if (n >= 248) {
		memset(longest, 'x', GM_NAME_MAX);
		memset(too_long, 'x', GM_NAME_MAX + 1);
		name = n % 2 ? longest : too_long;
	}
	return (struct part){name, strlen(name) + 1};
}

/* Near what sizes and offsets turn on. */
static uint64_t take_size(struct bytes *b)
{
	static const uint64_t near[] = {0, 0, 4096, GM_BLOCK_SIZE, 2 * GM_BLOCK_SIZE,
		3 * GM_BLOCK_SIZE, 5 * GM_BLOCK_SIZE, 9 * GM_BLOCK_SIZE, 64 * GM_BLOCK_SIZE,
		GM_GROUP_SIZE, 2 * GM_GROUP_SIZE, 3 * GM_GROUP_SIZE, 1ULL << 44, INT64_MAX};
	uint8_t n = bytes_take(b);

	if (n == 255)
		return bytes_take_64(b);
	return near[n % 14] + (n < 128 ? 0 : bytes_take_16(b) - 300ULL);
}

static struct part two_names(const struct part *first, const struct part *second)
{
	static char both[DATA_MAX + 4096];

	memcpy(both, first->bytes, first->size);
	memcpy(both + first->size, second->bytes, second->size);
	return (struct part){both, first->size + second->size};
}

static uint32_t take_mode(struct bytes *b)
{
	return bytes_take_16(b) & 07777;
}

/* ---- names ---- */

static void ask_names(struct bytes *b, uint32_t opcode)
{
	uint64_t ino = take_ino(b);

	request_send(opcode, ino, take_name(b), NOTHING);
}

static void ask_mkdir(struct bytes *b)
{
	struct fuse_mkdir_in in = {.mode = S_IFDIR | take_mode(b), .umask = 022};
	uint64_t ino = take_ino(b);

	request_send(FUSE_MKDIR, ino, PART(in), take_name(b));
}

static void ask_create(struct bytes *b)
{
	struct fuse_create_in in = {
		.flags = O_RDWR | O_CREAT, .mode = bytes_take_16(b), .umask = 022};
	uint64_t ino = take_ino(b);

	rig.refuse_reply = in.mode & 0x8000 ? ENOENT : 0;
	in.mode = S_IFREG | (in.mode & 07777);

	request_send(FUSE_CREATE, ino, PART(in), take_name(b));
}

static void ask_mknod(struct bytes *b)
{
	struct fuse_mknod_in in = {.mode = bytes_take_16(b), .umask = 022};
	uint64_t ino = take_ino(b);

	in.rdev = bytes_take_16(b) * 77;
	request_send(FUSE_MKNOD, ino, PART(in), take_name(b));
}

static void ask_symlink(struct bytes *b)
{
	static char text[4096];
	uint64_t ino = take_ino(b);
	struct part name = take_name(b);
	unsigned length = bytes_take(b);

	length = length > 250 ? length * 16 : length;
	memset(text, 't', sizeof(text));
	bytes_copy(b, text, length % 8);
	text[length < sizeof(text) ? length : sizeof(text) - 1] = '\0';
	struct part target = {text, strlen(text) + 1};
	request_send(FUSE_SYMLINK, ino, name, target);
}

static void ask_link(struct bytes *b)
{
	struct fuse_link_in in = {.oldnodeid = take_ino(b)};
	uint64_t ino = take_ino(b);

	request_send(FUSE_LINK, ino, PART(in), take_name(b));
}

static void ask_rename(struct bytes *b)
{
	struct fuse_rename2_in in = {.newdir = take_ino(b)};
	uint64_t ino = take_ino(b);
	struct part from = take_name(b), copy = from;

	in.flags = bytes_take(b) % 8;
	char name[GM_NAME_MAX + 2];

	memcpy(name, from.bytes, from.size);
	copy.bytes = name;
	struct part to = take_name(b);
	request_send(FUSE_RENAME2, ino, PART(in), two_names(&copy, &to));
}

/* ---- attributes ---- */

static void ask_setattr(struct bytes *b)
{
	struct fuse_setattr_in in = {.valid = bytes_take_16(b)};
	uint64_t ino = take_ino(b);

	if (in.valid % 4 == 3) /* mostly it is a truncate(2) */
		in.valid = FATTR_SIZE;
	in.mode = take_mode(b);
	if (in.valid & FATTR_SIZE)
		in.size = take_size(b);
	if (in.valid & (FATTR_UID | FATTR_GID))
		in.uid = in.gid = request_uid ? 0 : 1000;
	if (in.valid & (FATTR_ATIME | FATTR_MTIME)) {
		in.atime = in.mtime = bytes_take_64(b);
		in.atimensec = in.mtimensec = (uint32_t)bytes_take_64(b);
	}
	request_send(FUSE_SETATTR, ino, PART(in), NOTHING);
}

static void ask_getattr(struct bytes *b)
{
	struct fuse_getattr_in in = {.getattr_flags = 0};

	request_send(FUSE_GETATTR, take_ino(b), PART(in), NOTHING);
}

static struct part take_xattr_name(struct bytes *b)
{
	static const char *const names[] = {"user.a", "user.b", "user.guestmemfs.io",
		"user.guestmemfs.pagesize", "user.guestmemfs.quota", "user.guestmemfs.socket",
		"system.posix_acl_access", "system.posix_acl_default", "trusted.t", "security.s",
		"user.guestmemfs.other", "user.", "other", "user.guestmemfs.control"};
	static char any[GM_NAME_MAX + 8];
	uint8_t n = bytes_take(b);
	const char *name = names[n % ARRAY_SIZE(names)];

	if (n > 240) {
		memset(any, 'n', sizeof(any));
		memcpy(any, "user.", 5);
		any[n > 250 ? GM_NAME_MAX + 2 : n] = '\0';
		name = any;
	}
	return (struct part){name, strlen(name) + 1};
}

static struct part take_value(struct bytes *b)
{
	static const char *const values[] = {"1", "0", "1G", "2M", "auto", "8M", "64M", "4G,10"};
	static uint8_t bytes[DATA_MAX];
	unsigned n = bytes_take(b);

	if (n % 3 == 0)
		return (struct part){values[n / 3 % ARRAY_SIZE(values)],
			strlen(values[n / 3 % ARRAY_SIZE(values)])};
	if (n % 3 == 1) { /* an access control list; the entries are the input's */
		static const uint8_t version[4] = {2};

		memcpy(bytes, version, sizeof(version));
		bytes_copy(b, bytes + 4, n / 3 % 8 * 8);
		return (struct part){bytes, 4 + n / 3 % 8 * 8U};
	}
	n = n > 250 ? DATA_MAX - 512 : n;
	memset(bytes, 'v', n);
	bytes_copy(b, bytes, n % 16 < n ? n % 16 : n);
	return (struct part){bytes, n};
}

static void ask_setxattr(struct bytes *b)
{
	struct fuse_setxattr_in in = {.flags = bytes_take(b) % 4};
	uint64_t ino = take_ino(b);
	struct part name = take_xattr_name(b), value = take_value(b);

	in.size = (uint32_t)value.size;
	request_send(FUSE_SETXATTR, ino, (struct part){&in, FUSE_COMPAT_SETXATTR_IN_SIZE},
		two_names(&name, &value));
}

static void ask_getxattr(struct bytes *b)
{
	struct fuse_getxattr_in in = {.size = bytes_take_16(b)};
	uint64_t ino = take_ino(b);

	if (bytes_take(b) % 2)
		request_send(FUSE_GETXATTR, ino, PART(in), take_xattr_name(b));
	else
		request_send(FUSE_LISTXATTR, ino, PART(in), NOTHING);
}

static void ask_removexattr(struct bytes *b)
{
	uint64_t ino = take_ino(b);

	request_send(FUSE_REMOVEXATTR, ino, take_xattr_name(b), NOTHING);
}

/* ---- files ---- */

static void ask_open(struct bytes *b)
{
	uint8_t how = bytes_take(b);
	struct fuse_open_in in = {.flags = how % 4};
	uint64_t ino = take_ino(b);

	rig.refuse_reply = how & 128 ? ENOENT : 0;

	request_send(in.flags == 3 ? FUSE_OPENDIR : FUSE_OPEN, ino, PART(in), NOTHING);
}

static void ask_release(struct bytes *b)
{
	struct fuse_release_in in = {.fh = bytes_take(b)};

	request_send(in.fh & 4 ? FUSE_RELEASEDIR : FUSE_RELEASE, take_ino(b), PART(in), NOTHING);
}

static void ask_read(struct bytes *b)
{
	uint8_t how = bytes_take(b);
	struct fuse_read_in in = {.size = 4096U << how % 128 % 9};
	uint64_t ino = take_ino(b);

	rig.refuse_reply = how & 128 ? EFAULT : 0;

	in.offset = take_size(b);
	request_send(FUSE_READ, ino, PART(in), NOTHING);
}

static void ask_readdir(struct bytes *b)
{
	uint8_t how = bytes_take(b);
	struct fuse_read_in in = {.fh = bytes_take(b), .size = 64U << how % 8};
	uint64_t ino = take_ino(b);

	in.offset = how >= 128 ? take_size(b) : bytes_take(b);
	in.fh = in.fh == 255 ? bytes_take_64(b) : in.fh;
	request_send(how & 8 ? FUSE_READDIRPLUS : FUSE_READDIR, ino, PART(in), NOTHING);
}

static void ask_write(struct bytes *b)
{
	static uint8_t data[DATA_MAX];
	struct fuse_write_in in = {.size = 1 + bytes_take_16(b) % DATA_MAX};
	uint64_t ino = take_ino(b);

	in.offset = take_size(b);
	memset(data, (int)in.size, sizeof(data));
	request_send(FUSE_WRITE, ino, PART(in), (struct part){data, in.size});
}

static void ask_fallocate(struct bytes *b)
{
	static const uint32_t modes[] = {0, FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
		FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_COLLAPSE_RANGE};
	struct fuse_fallocate_in in = {.mode = modes[bytes_take(b) % ARRAY_SIZE(modes)]};
	uint64_t ino = take_ino(b);

	in.offset = take_size(b) & INT64_MAX;
	in.length = take_size(b) & INT64_MAX;
	if (in.length > INT64_MAX - in.offset) /* the kernel sees to it */
		in.length = INT64_MAX - in.offset;
	request_send(FUSE_FALLOCATE, ino, PART(in), NOTHING);
}

static void ask_lseek(struct bytes *b)
{
	struct fuse_lseek_in in = {.whence = bytes_take(b) % 6};
	uint64_t ino = take_ino(b);

	in.offset = take_size(b);
	request_send(FUSE_LSEEK, ino, PART(in), NOTHING);
}

static void ask_ioctl(struct bytes *b)
{
	static const uint32_t commands[] = {
		(uint32_t)GM_IOC_TICKET, (uint32_t)GM_IOC_INVITATION, (uint32_t)GM_IOC_REVOKE};
	uint8_t how = bytes_take(b);
	struct fuse_ioctl_in in = {.cmd = commands[how % 3], .fh = how / 3 % 3};
	struct gm_revoke question = {.flags = put_le32(how / 9 % 3)};
	uint64_t ino = take_ino(b);

	in.out_size = _IOC_SIZE(in.cmd) - (how > 252);
	in.in_size = in.cmd == (uint32_t)GM_IOC_REVOKE ? sizeof(question) - (how == 251) : 0;
	if (how > 240 && how < 248)
		in.cmd = (uint32_t)bytes_take_64(b);
	if (how >= 248 && how < 251)
		in.flags = FUSE_IOCTL_DIR;
	request_send(FUSE_IOCTL, ino, PART(in), (struct part){&question, in.in_size});
}

/* ---- the session ---- */

static void ask_forget(struct bytes *b)
{
	struct {
		struct fuse_batch_forget_in in;
		struct fuse_forget_one one;
	} batch = {.in.count = 1, .one = {.nodeid = take_ino(b), .nlookup = 1}};
	struct fuse_forget_in in = {.nlookup = 1};

	if (bytes_take(b) % 2)
		request_send(FUSE_BATCH_FORGET, 0, PART(batch), NOTHING);
	else
		request_send(FUSE_FORGET, take_ino(b), PART(in), NOTHING);
}

static void ask_interrupt(struct bytes *b)
{
	uint64_t n = bytes_take(b) % RIG_REQUESTS;
	struct fuse_interrupt_in in = {.unique = FIRST_UNIQUE + 2 * n};

	request_send(FUSE_INTERRUPT, 0, PART(in), NOTHING);
}

static void ask_statfs(struct bytes *b)
{
	request_send(FUSE_STATFS, take_ino(b), NOTHING, NOTHING);
}

static void ask_readlink(struct bytes *b)
{
	request_send(FUSE_READLINK, take_ino(b), NOTHING, NOTHING);
}

static void ask_lookup(struct bytes *b)
{
	ask_names(b, FUSE_LOOKUP);
}

static void ask_unlink(struct bytes *b)
{
	ask_names(b, FUSE_UNLINK);
}

static void ask_rmdir(struct bytes *b)
{
	ask_names(b, FUSE_RMDIR);
}

/* What is in no table of ours. */
static void ask_unknown(struct bytes *b)
{
	static const uint32_t opcodes[] = {FUSE_ACCESS, FUSE_FSYNC, FUSE_FLUSH, FUSE_FSYNCDIR,
		FUSE_GETLK, FUSE_BMAP, FUSE_POLL, FUSE_COPY_FILE_RANGE, FUSE_SYNCFS, 4000};
	static const uint8_t zeros[128];
	uint32_t opcode = opcodes[bytes_take(b) % ARRAY_SIZE(opcodes)];

	request_send(opcode, take_ino(b), PART(zeros), NOTHING);
}

void rig_kernel_ask(struct bytes *b)
{
	static void (*const requests[])(struct bytes *) = {ask_create, ask_setattr, ask_mkdir,
		ask_unlink, ask_setxattr, ask_write, ask_read, ask_fallocate, ask_ioctl, ask_open,
		ask_release, ask_rename, ask_link, ask_symlink, ask_lookup, ask_mknod, ask_rmdir,
		ask_lseek, ask_readdir, ask_getxattr, ask_removexattr, ask_getattr, ask_readlink,
		ask_statfs, ask_forget, ask_interrupt, ask_unknown};

	uint8_t what = bytes_take(b);

	request_uid = what >= 128 ? 1000 : 0;
	requests[what % 128 % ARRAY_SIZE(requests)](b);
}
