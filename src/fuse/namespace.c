// SPDX-License-Identifier: MIT
#include "fuse/namespace.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "fuse/ns_internal.h"

#define STAT_BLOCKS_PER_UNIT (GM_UNIT_SIZE / 512) /* st_blocks counts 512 bytes each */

void ns_init(struct namespace *ns, struct store *store)
{
	size_t cursor = 0;

	*ns = (struct namespace){.store = store};
	for (const struct inode *i; (i = meta_each_inode(store_meta(store), &cursor));)
		if (i->attr.links == 0 && !inode_is_contents(i))
			ns->orphans++;
}

/* ---- helpers that all files of the namespace share ---- */

int ns_find(const struct namespace *ns, uint64_t ino, struct inode **ret)
{
	struct inode *i = meta_inode(ns_meta(ns), ino);

	if (!i)
		return -ESTALE;
	*ret = i;
	return 0;
}

int ns_find_dir(const struct namespace *ns, uint64_t ino, struct inode **ret)
{
	struct inode *i = meta_inode(ns_meta(ns), ino);

	if (!i)
		return -ENOENT;
	if (!inode_is_dir(i))
		return -ENOTDIR;
	if (i->attr.links == 0)
		return -ENOENT;
	*ret = i;
	return 0;
}

int ns_check_name(const char *name, size_t length)
{
	if (length == 0)
		return -ENOENT;
	if (length > GM_NAME_MAX)
		return -ENAMETOOLONG;
	if (memchr(name, '/', length) || memchr(name, '\0', length))
		return -EINVAL;
	return 0;
}

void ns_drop_inode(struct txn *t, const struct inode *i)
{
	if (inode_is_dir(i))
		assert(i->entry_count == 0);
	txn_remove_extents(t, i);
	txn_remove_inode(t, i->attr.ino);
}

bool ns_drop_name(struct txn *t, const struct inode *i, const struct timespec *now)
{
	struct inode_attr attr = i->attr;
	bool last =
		inode_is_dir(i) || attr.links == 1; /* a directory has one, whatever it counts */

	if (last && !ns_in_use(i)) {
		ns_drop_inode(t, i);
		return false;
	}
	attr.links = last ? 0 : attr.links - 1;
	ns_set_ctime(&attr, now);
	txn_put_inode(t, &attr);
	return last;
}

/* ---- reading ---- */

static void fill_stat(const struct inode *i, struct stat *ret)
{
	const struct inode_attr *a = &i->attr;

	*ret = (struct stat){
		.st_ino = a->ino,
		.st_mode = a->mode,
		.st_nlink = a->links,
		.st_uid = a->uid,
		.st_gid = a->gid,
		.st_rdev = makedev(INODE_RDEV_MAJOR(a->rdev), INODE_RDEV_MINOR(a->rdev)),
		.st_size = (off_t)a->size,
		.st_blksize =
			inode_has_content(i) ? (blksize_t)GM_UNIT_SIZE : (blksize_t)GM_BLOCK_SIZE,
		.st_blocks = (blkcnt_t)(inode_units(i) * STAT_BLOCKS_PER_UNIT),
		.st_atim = {.tv_sec = a->atime, .tv_nsec = a->atime_nsec},
		.st_mtim = {.tv_sec = a->mtime, .tv_nsec = a->mtime_nsec},
		.st_ctim = {.tv_sec = a->ctime, .tv_nsec = a->ctime_nsec},
	};
}

bool ns_has_content(const struct namespace *ns, uint64_t ino)
{
	const struct inode *i = meta_inode(ns_meta(ns), ino);

	return i && inode_has_content(i);
}

bool ns_may_be_cached(const struct namespace *ns, uint64_t ino)
{
	const struct inode *i = meta_inode(ns_meta(ns), ino);

	return i && inode_has_content(i) && !i->opened_unmarked;
}

int ns_getattr(const struct namespace *ns, uint64_t ino, struct stat *ret)
{
	struct inode *i;
	int r = ns_find(ns, ino, &i);

	if (r < 0)
		return r;
	fill_stat(i, ret);
	return 0;
}

int ns_lookup(const struct namespace *ns, uint64_t parent, const char *name, size_t length,
	struct stat *ret)
{
	const struct dirent *d;
	struct inode *dir;
	int r = ns_find_dir(ns, parent, &dir);

	if (r < 0)
		return r;
	r = ns_check_name(name, length);
	if (r < 0)
		return r;
	if (ns_is_dot(name, length))
		return ns_getattr(ns, parent, ret);
	if (ns_is_dotdot(name, length))
		return ns_getattr(ns, dir->attr.parent, ret);
	d = meta_lookup(ns_meta(ns), parent, name, length);
	return d ? ns_getattr(ns, d->ino, ret) : -ENOENT;
}

static struct ns_entry dot_entry(const struct inode *dir, uint64_t cookie)
{
	return (struct ns_entry){
		.ino = cookie == 1 ? dir->attr.ino : dir->attr.parent,
		.cookie = cookie,
		.name = cookie == 1 ? "." : "..",
		.length = cookie,
		.type = S_IFDIR,
	};
}

int ns_next_entry(const struct namespace *ns, uint64_t dir, uint64_t after, struct ns_entry *ret)
{
	const struct dirent *d;
	struct inode *i;
	int r = ns_find_dir(ns, dir, &i);

	if (r < 0)
		return r;
	if (after + 1 < GM_FIRST_COOKIE) {
		*ret = dot_entry(i, after + 1);
		return 1;
	}
	d = meta_next_entry(i, after);
	if (!d)
		return 0;
	*ret = (struct ns_entry){
		.ino = d->ino,
		.cookie = d->cookie,
		.name = d->name,
		.length = d->name_len,
		.type = (uint32_t)d->type << 12,
	};
	return 1;
}

int ns_dir_end(const struct namespace *ns, uint64_t dir, uint64_t *ret)
{
	struct inode *i;
	int r = ns_find_dir(ns, dir, &i);

	if (r < 0)
		return r;
	*ret = i->attr.next_cookie;
	return 0;
}

void ns_statfs(const struct namespace *ns, struct statvfs *ret)
{
	const struct meta *m = ns_meta(ns);
	uint64_t max_files = store_get_super(ns->store)->plan.max_files;
	uint64_t free_files = max_files > m->inode_count ? max_files - m->inode_count : 0;
	struct alloc_stats s;

	alloc_get_stats(m->alloc, &s);
	*ret = (struct statvfs){
		.f_bsize = GM_BLOCK_SIZE,
		.f_frsize = GM_BLOCK_SIZE,
		.f_blocks = s.data,
		.f_bfree = s.free,
		.f_bavail = s.free,
		.f_files = max_files,
		.f_ffree = free_files,
		.f_favail = free_files,
		.f_namemax = GM_NAME_MAX,
	};
}
