// SPDX-License-Identifier: MIT
/* The metadata in memory: reading it, and what its image will weigh. */
#include "store/meta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "store/dir.h"
#include "store/hash.h"
#include "store/xattrs.h"

int meta_init(struct meta *m, struct alloc *alloc)
{
	*m = (struct meta){.alloc = alloc, .next_ino = GM_ROOT_INO};
	return getrandom(&m->name_seed, sizeof(m->name_seed), 0) < 0 ? -errno : 0;
}

void inode_free(struct inode *i)
{
	if (inode_is_dir(i))
		free(i->slots);
	else if (inode_is_file(i))
		free(i->extents);
	else if (inode_is_symlink(i))
		free(i->target);
	free(i);
}

void meta_deinit(struct meta *m)
{
	struct dirent *d;
	struct inode *i;

	for (size_t c = 0; (d = table_each(&m->dirents, &c));)
		free(d);
	for (size_t c = 0; (i = table_each(&m->inodes, &c));)
		inode_free(i);
	quotas_deinit(&m->quotas);
	xattrs_deinit(m);
	units_deinit(&m->units);
	table_deinit(&m->dirents);
	table_deinit(&m->inodes);
	m->alloc = alloc_free(m->alloc);
}

struct inode *meta_inode(const struct meta *m, uint64_t ino)
{
	uint64_t hash = hash_ino(ino);
	size_t at = 0;

	for (struct inode *i = table_first(&m->inodes, hash, &at); i;
		i = table_next(&m->inodes, hash, &at))
		if (i->attr.ino == ino)
			return i;
	return NULL;
}

struct dirent *meta_lookup(const struct meta *m, uint64_t parent, const char *name, size_t length)
{
	uint64_t hash = hash_name(m->name_seed, parent, name, length);
	size_t at = 0;

	for (struct dirent *d = table_first(&m->dirents, hash, &at); d;
		d = table_next(&m->dirents, hash, &at))
		if (d->parent == parent && d->name_len == length &&
			memcmp(d->name, name, length) == 0)
			return d;
	return NULL;
}

struct dirent *meta_next_entry(const struct inode *dir, uint64_t after)
{
	return dir_next(dir, after);
}

struct inode *meta_each_inode(const struct meta *m, size_t *cursor)
{
	return table_each(&m->inodes, cursor);
}

static uint64_t sum_extents(const struct inode *i)
{
	uint64_t n = 0;

	for (uint32_t k = 0; k < i->extent_count; k++)
		n += i->extents[k].count;
	return n;
}

uint64_t inode_blocks(const struct inode *i)
{
	return inode_has_memory(i) ? sum_extents(i) : 0;
}

uint64_t inode_units(const struct inode *i)
{
	return inode_has_content(i) ? sum_extents(i) : inode_blocks(i) * GM_UNITS_PER_BLOCK;
}

struct inode *meta_contents(const struct meta *m)
{
	return m->contents ? meta_inode(m, m->contents) : NULL;
}

bool meta_is_clean(const struct meta *m, const struct inode *i)
{
	if (i->attr.stale_from)
		return false;
	for (uint32_t k = 0; k < i->extent_count; k++) {
		const struct file_extent *e = &i->extents[k];
		struct alloc_extent a = {.block = e->block, .region = e->region, .count = e->count};
		bool clean;

		if (alloc_clean_run(m->alloc, &a, &clean) != a.count || !clean)
			return false;
	}
	return true;
}

uint64_t meta_image_bytes(const struct meta *m)
{
	uint64_t maps = 0;

	for (uint32_t r = 0; r < alloc_region_count(m->alloc); r++)
		maps += alloc_map_bytes(m->alloc, r);
	return sizeof(struct gm_checkpoint) + m->inode_count * sizeof(struct gm_inode) +
	       m->dirent_bytes + m->extent_count * sizeof(struct gm_extent) + m->xattr_bytes +
	       m->piece_count * sizeof(struct gm_piece) + m->target_bytes + 4 * maps +
	       sizeof(struct gm_result);
}
