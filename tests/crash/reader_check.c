// SPDX-License-Identifier: MIT
/* Do the objects fit each other: owners, links, parents, one tree, sizes. */
#include "reader_internal.h"

#include <inttypes.h>
#include <sys/stat.h>

#include "util/le.h"

static const struct gm_inode *find(const struct view *v, uint64_t ino)
{
	for (uint32_t n = 0; n < v->inode_count; n++)
		if (get_le64(v->inodes[n].ino) == ino)
			return &v->inodes[n];
	return NULL;
}

/* No block without an owner that is marked as used, none that is owned and not marked: neither
 * leaked nor given twice. */
static bool check_blocks(struct reader *r)
{
	for (uint32_t region = 0; region < r->v->region_count; region++)
		for (uint64_t n = 0; n < r->v->region_blocks[region]; n++) {
			const struct view_block *b = &r->v->blocks[region][n];
			const struct gm_inode *i = b->ino ? find(r->v, b->ino) : NULL;

			if (b->used && !i)
				return reader_refuse(r, "block %" PRIu64 " is leaked", n);
			if (b->ino && (!b->used || b->quarantined))
				return reader_refuse(r,
					"block %" PRIu64 " of inode %" PRIu64 " counts as %s", n,
					b->ino, b->used ? "quarantined" : "free");
		}
	return true;
}

static bool check_links(struct reader *r, const struct gm_inode *i)
{
	uint64_t ino = get_le64(i->ino), links = 0, content = 0, children = 0;
	bool dir = S_ISDIR(get_le32(i->mode));

	for (uint32_t n = 0; n < r->v->entry_count; n++) {
		const struct view_entry *e = &r->v->entries[n];

		links += e->ino == ino;
		content += e->parent == ino;
		children += e->parent == ino && S_ISDIR((uint32_t)e->type << 12);
		if (e->ino == ino && dir && e->parent != get_le64(i->parent))
			return reader_refuse(r, "parent of directory %" PRIu64, ino);
		if (e->parent == ino && e->cookie >= get_le64(i->next_cookie))
			return reader_refuse(r, "next cookie of directory %" PRIu64, ino);
	}
	if (dir && links != (ino != GM_ROOT_INO) && (links > 0 || get_le32(i->links) > 0))
		return reader_refuse(
			r, "directory %" PRIu64 " has %" PRIu64 " entries", ino, links);
	if (dir && links == 0 && ino != GM_ROOT_INO && content > 0)
		return reader_refuse(r, "directory %" PRIu64 " is unlinked, not empty", ino);
	if (dir && (links > 0 || ino == GM_ROOT_INO))
		links = 2 + children;
	if (get_le32(i->links) != links)
		return reader_refuse(r, "inode %" PRIu64 " has %u links, not %" PRIu64, ino,
			get_le32(i->links), links);
	return true;
}

static bool has_target(const struct view *v, const struct gm_inode *i)
{
	for (uint32_t n = 0; n < v->target_count; n++)
		if (v->targets[n].ino == get_le64(i->ino))
			return true;
	return !S_ISLNK(get_le32(i->mode));
}

static bool check_reached(struct reader *r, const struct gm_inode *i)
{
	const struct gm_inode *up = i;

	for (uint32_t steps = 0; get_le64(up->ino) != GM_ROOT_INO; steps++) {
		up = find(r->v, get_le64(up->parent));
		if (!up && get_le32(i->links) == 0)
			return true; /* removed, and so is what held it */
		if (!up || !S_ISDIR(get_le32(up->mode)) || steps > r->v->inode_count)
			return reader_refuse(r, "directory %" PRIu64 " does not hang from the root",
				get_le64(i->ino));
	}
	return true;
}

bool reader_check(struct reader *r)
{
	const struct gm_inode *root = find(r->v, GM_ROOT_INO);

	if (!root || !S_ISDIR(get_le32(root->mode)) || get_le64(root->parent) != GM_ROOT_INO)
		return reader_refuse(r, "no root directory");
	if (r->v->next_ino > 1ULL << 62)
		return reader_refuse(r, "next inode number");
	for (uint32_t n = 0; n < r->v->entry_count; n++)
		if (!find(r->v, r->v->entries[n].ino))
			return reader_refuse(r, "an entry of inode %" PRIu64 ", which is not there",
				r->v->entries[n].ino);
	for (uint32_t n = 0; n < r->v->inode_count; n++) {
		const struct gm_inode *i = &r->v->inodes[n];

		if (!check_links(r, i))
			return false;
		if (!has_target(r->v, i))
			return reader_refuse(
				r, "symlink %" PRIu64 " has no target", get_le64(i->ino));
		if (S_ISDIR(get_le32(i->mode)) && !check_reached(r, i))
			return false;
	}
	return check_blocks(r);
}
