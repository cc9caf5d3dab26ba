// SPDX-License-Identifier: MIT
/* Inodes on the media, of each type with the fields that it can have. */
#include "store/codec.h"

#include <sys/stat.h>

void codec_encode_inode(struct gm_inode *to, const struct inode_attr *a)
{
	*to = (struct gm_inode){
		.ino = put_le64(a->ino),
		.mode = put_le32(a->mode),
		.uid = put_le32(a->uid),
		.gid = put_le32(a->gid),
		.links = put_le32(a->links),
		.size = put_le64(a->size),
		.parent = put_le64(a->parent),
		.next_cookie = put_le64(a->next_cookie),
		.atime = put_le64((uint64_t)a->atime),
		.mtime = put_le64((uint64_t)a->mtime),
		.ctime = put_le64((uint64_t)a->ctime),
		.btime = put_le64((uint64_t)a->btime),
		.atime_nsec = put_le32(a->atime_nsec),
		.mtime_nsec = put_le32(a->mtime_nsec),
		.ctime_nsec = put_le32(a->ctime_nsec),
		.btime_nsec = put_le32(a->btime_nsec),
		.flags = put_le64(a->flags),
		.stale_from = put_le64(a->stale_from),
		.rdev_major = put_le32(INODE_RDEV_MAJOR(a->rdev)),
		.rdev_minor = put_le32(INODE_RDEV_MINOR(a->rdev)),
	};
}

static void load_inode(struct inode_attr *to, const struct gm_inode *from)
{
	*to = (struct inode_attr){
		.ino = get_le64(from->ino),
		.mode = get_le32(from->mode),
		.uid = get_le32(from->uid),
		.gid = get_le32(from->gid),
		.links = get_le32(from->links),
		.size = get_le64(from->size),
		.parent = get_le64(from->parent),
		.next_cookie = get_le64(from->next_cookie),
		.atime = (int64_t)get_le64(from->atime),
		.mtime = (int64_t)get_le64(from->mtime),
		.ctime = (int64_t)get_le64(from->ctime),
		.btime = (int64_t)get_le64(from->btime),
		.atime_nsec = get_le32(from->atime_nsec),
		.mtime_nsec = get_le32(from->mtime_nsec),
		.ctime_nsec = get_le32(from->ctime_nsec),
		.btime_nsec = get_le32(from->btime_nsec),
		.flags = get_le64(from->flags),
		.stale_from = get_le64(from->stale_from),
		.rdev = INODE_RDEV(get_le32(from->rdev_major), get_le32(from->rdev_minor)),
	};
}

static const char *check_directory(const struct inode_attr *a)
{
	if (a->parent == 0)
		return "a directory's parent is 0";
	if (a->next_cookie < GM_FIRST_COOKIE || a->next_cookie > CODEC_NUMBERS_MAX)
		return "a directory's next cookie is out of range";
	if (a->size != 0 || a->stale_from != 0 || (a->flags & ~GM_INODE_IO))
		return "a directory has a size, stale bytes or flags of a file";
	return NULL;
}

static const char *check_file(const struct inode_attr *a)
{
	if (a->size > CODEC_FILE_BLOCKS_MAX * GM_BLOCK_SIZE - 1 || a->stale_from > a->size)
		return "its size or stale offset is out of range";
	if ((a->flags & GM_INODE_IO) && (a->flags != GM_INODE_IO || a->stale_from != 0))
		return "it has content, and flags or stale bytes of memory";
	if ((a->flags & GM_INODE_CONTENTS) &&
		((a->flags & (GM_INODE_EXPORTED | GM_INODE_INHERITED)) || a->links != 0 ||
			a->stale_from != 0))
		return "it is the content store, and has a name, stale bytes or flags of a file";
	return NULL;
}

/* Neither has memory of its own. */
static const char *check_symlink_or_node(const struct inode_attr *a)
{
	if (a->stale_from != 0 || a->flags != 0)
		return "it has stale bytes or flags, and is no file";
	if (!S_ISLNK(a->mode))
		return a->size != 0 ? "a node has a size" : NULL;
	if (a->size == 0 || a->size > GM_TARGET_MAX)
		return "a symlink's size is out of range";
	return (a->mode & 07777) != 0777 ? "a symlink's permissions are not 0777" : NULL;
}

/* What the fields of each type must be. */
static const char *check_inode_kind(const struct inode_attr *a)
{
	if (S_ISDIR(a->mode))
		return check_directory(a);
	if (a->parent != 0 || a->next_cookie != 0)
		return "it has a directory's fields and is none";
	switch (a->mode & S_IFMT) {
	case S_IFREG:
		return check_file(a);
	case S_IFLNK:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		return check_symlink_or_node(a);
	default:
		return "its type is none that there is";
	}
}

static const char *check_rdev(const struct gm_inode *from, uint32_t mode)
{
	uint32_t major = get_le32(from->rdev_major), minor = get_le32(from->rdev_minor);

	if (!S_ISCHR(mode) && !S_ISBLK(mode))
		return major || minor ? "it has a device number and is no device" : NULL;
	return major > GM_RDEV_MAJOR_MAX || minor > GM_RDEV_MINOR_MAX
		       ? "its device number is out of range"
		       : NULL;
}

const char *codec_decode_inode(struct inode_attr *to, const struct gm_inode *from)
{
	struct inode_attr a;

	load_inode(&a, from);
	if (!codec_is_zero(from->reserved_policy,
		    sizeof(*from) - offsetof(struct gm_inode, reserved_policy)))
		return "its reserved bytes are not zero";
	if (a.ino == 0 || a.ino > INT64_MAX)
		return "its number is out of range";
	if (a.mode & ~(uint32_t)(S_IFMT | 07777))
		return "its mode has unknown bits";
	if (a.flags & ~GM_INODE_FLAGS_KNOWN)
		return "its flags have unknown bits";
	if ((a.flags & GM_INODE_EXPORTED) && !(a.flags & GM_INODE_HELD))
		return "it is exported but not held";
	if ((a.flags & GM_INODE_INHERITED) && !(a.flags & GM_INODE_HELD))
		return "it has inherited memory but is not held";
	if (a.atime_nsec > 999999999 || a.mtime_nsec > 999999999 || a.ctime_nsec > 999999999 ||
		a.btime_nsec > 999999999)
		return "a time's nanoseconds are out of range";
	const char *wrong = check_rdev(from, a.mode);
	if (!wrong)
		wrong = check_inode_kind(&a);
	if (!wrong)
		*to = a;
	return wrong;
}
