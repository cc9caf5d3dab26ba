// SPDX-License-Identifier: MIT
#include "store/fsck_image.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/codec.h"
#include "util/cleanup.h"

struct seen_inode {
	struct inode_attr attr;
	uint64_t entries;        /* that name it */
	uint64_t content;        /* directories: entries in it */
	uint64_t subdirectories; /* directories: those of them that are directories */
	uint64_t extent_end;     /* files: blocks of the file up to the end of the last extent */
	bool reached;
	bool has_target; /* symlinks */
};

struct checker {
	struct fsck_report *report;
	const struct store_super *super;
	const struct checkpoint_section *sections;
	const struct gm_checkpoint *header;
	struct seen_inode *inodes; /* by ascending number */
	uint64_t inode_count;
	struct codec_dirent *entries;
	uint64_t entry_count;
	uint64_t *owner[GM_REGIONS_MAX]; /* inode number for each block, 0: none */
};

#define error(c, ...) fsck_report((c)->report, FSCK_ERROR, __VA_ARGS__)

static struct seen_inode *find(const struct checker *c, uint64_t ino)
{
	uint64_t low = 0, high = c->inode_count;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (c->inodes[middle].attr.ino < ino)
			low = middle + 1;
		else
			high = middle;
	}
	return low < c->inode_count && c->inodes[low].attr.ino == ino ? &c->inodes[low] : NULL;
}

/* ---- inodes ---- */

static int read_inodes(struct checker *c, uint64_t next_ino)
{
	const struct checkpoint_section *s = &c->sections[GM_SECTION_INODES];
	uint64_t last = 0;

	c->inodes = calloc(s->count + 1, sizeof(*c->inodes));
	if (!c->inodes)
		return -ENOMEM;
	for (uint64_t n = 0; n < s->count; n++) {
		const struct gm_inode *from = (const struct gm_inode *)(const void *)s->bytes + n;
		struct seen_inode *to = &c->inodes[c->inode_count];
		const char *wrong = codec_decode_inode(&to->attr, from);

		if (wrong) {
			error(c, "inode-bad", "inode %" PRIu64 " (record %" PRIu64 "): %s",
				get_le64(from->ino), n, wrong);
			continue;
		}
		if (to->attr.ino <= last) {
			error(c, "inode-order",
				"inode %" PRIu64 " (record %" PRIu64
				") is there twice or out of order",
				to->attr.ino, n);
			continue;
		}
		last = to->attr.ino;
		c->inode_count++;
	}
	if (last >= next_ino)
		error(c, "inode-number",
			"inode %" PRIu64 " is there, but the next number to be given is %" PRIu64,
			last, next_ino);
	c->report->inodes += c->inode_count;
	return 0;
}

/* ---- entries ---- */

static void check_entry(
	struct checker *c, const struct codec_dirent *d, const struct codec_dirent *last)
{
	struct seen_inode *dir = find(c, d->parent), *child = find(c, d->ino);

	if (last && (d->parent < last->parent ||
			    (d->parent == last->parent && d->cookie <= last->cookie)))
		error(c, "entry-order",
			"entry \"%.*s\" of inode %" PRIu64
			": its cookie is there twice or out of order",
			d->name_len, d->name, d->parent);
	if (!dir || !S_ISDIR(dir->attr.mode))
		error(c, "entry-parent",
			"entry \"%.*s\" lies in inode %" PRIu64 ", which is no directory",
			d->name_len, d->name, d->parent);
	else if (d->cookie >= dir->attr.next_cookie)
		error(c, "entry-cookie",
			"entry \"%.*s\" of inode %" PRIu64 ": its cookie is still to come",
			d->name_len, d->name, d->parent);
	if (dir)
		dir->content++;
	if (!child) {
		error(c, "entry-dangling",
			"entry \"%.*s\" of inode %" PRIu64 " names inode %" PRIu64
			", which is not there",
			d->name_len, d->name, d->parent, d->ino);
		return;
	}
	child->entries++;
	if (d->type != (child->attr.mode & S_IFMT) >> 12)
		error(c, "entry-type",
			"entry \"%.*s\" of inode %" PRIu64
			": its type is not that of inode %" PRIu64,
			d->name_len, d->name, d->parent, d->ino);
	if (!S_ISDIR(child->attr.mode))
		return;
	if (dir)
		dir->subdirectories++;
	if (child->attr.parent != d->parent)
		error(c, "directory-parent",
			"directory inode %" PRIu64 " has its entry in inode %" PRIu64
			" but says that its parent is %" PRIu64,
			d->ino, d->parent, child->attr.parent);
}

static int read_entries(struct checker *c)
{
	const struct checkpoint_section *s = &c->sections[GM_SECTION_DIRENTS];
	uint64_t at = 0;

	c->entries = calloc(s->count + 1, sizeof(*c->entries));
	if (!c->entries)
		return -ENOMEM;
	for (uint64_t n = 0; n < s->count; n++) {
		struct codec_dirent *d = &c->entries[c->entry_count];
		const char *wrong = codec_decode_dirent(d, s->bytes + at, s->length - at);

		if (wrong) { /* where the next one begins is not known either */
			error(c, "entry-bad",
				"entry record %" PRIu64 ": %s; the ones after it can't be read", n,
				wrong);
			break;
		}
		check_entry(c, d, c->entry_count ? d - 1 : NULL);
		at += codec_dirent_bytes(d->name_len);
		c->entry_count++;
	}
	c->report->entries += c->entry_count;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	const struct codec_dirent *x = a, *y = b;
	int k;

	if (x->parent != y->parent)
		return x->parent < y->parent ? -1 : 1;
	k = memcmp(x->name, y->name, x->name_len < y->name_len ? x->name_len : y->name_len);
	return k ? k : (int)x->name_len - (int)y->name_len;
}

static void check_names(struct checker *c)
{
	qsort(c->entries, c->entry_count, sizeof(*c->entries), compare_names);
	for (uint64_t n = 1; n < c->entry_count; n++)
		if (compare_names(&c->entries[n - 1], &c->entries[n]) == 0)
			error(c, "entry-twice",
				"entry \"%.*s\" of inode %" PRIu64 " is there twice",
				c->entries[n].name_len, c->entries[n].name, c->entries[n].parent);
}

/* ---- extents and block maps ---- */

static void own_blocks(struct checker *c, uint64_t ino, const struct file_extent *e)
{
	uint64_t *owner = c->owner[e->region];

	for (uint64_t b = e->block; b < e->block + e->count; b++) {
		if (owner[b]) {
			error(c, "block-owned-twice",
				"block %" PRIu64 " of region %" PRIu32 " belongs to inode %" PRIu64
				" and to inode %" PRIu64,
				b, e->region, owner[b], ino);
			return; /* one finding an extent is enough */
		}
		owner[b] = ino;
	}
}

static void check_extent(struct checker *c, uint64_t ino, const struct file_extent *e)
{
	struct seen_inode *file = find(c, ino);

	if (!file || !S_ISREG(file->attr.mode)) {
		error(c, "extent-dangling",
			"an extent at file block %" PRIu64 " names inode %" PRIu64
			", which is no file",
			e->file_block, ino);
		return;
	}
	if (e->region >= c->super->region_count || e->block < c->super->first_data[e->region] ||
		e->block - c->super->first_data[e->region] > c->super->data_blocks[e->region] ||
		e->count > c->super->data_blocks[e->region] -
				   (e->block - c->super->first_data[e->region])) {
		error(c, "extent-range",
			"the extent of inode %" PRIu64 " at file block %" PRIu64
			" lies outside the data blocks (region %" PRIu32 ", block %" PRIu64
			", %" PRIu32 " blocks)",
			ino, e->file_block, e->region, e->block, e->count);
		return;
	}
	if (c->super->plan.whole_groups &&
		((e->file_block | e->count | (e->block - c->super->first_data[e->region])) %
			GM_BLOCKS_PER_GROUP) != 0)
		error(c, "extent-unaligned",
			"the extent of inode %" PRIu64 " at file block %" PRIu64
			" is not made of whole groups (block %" PRIu64 ", %" PRIu32 " blocks)",
			ino, e->file_block, e->block, e->count);
	if (e->file_block < file->extent_end)
		error(c, "extent-overlap",
			"inode %" PRIu64 " has two extents at file block %" PRIu64
			", or they are out of order",
			ino, e->file_block);
	file->extent_end = e->file_block + e->count;
	own_blocks(c, ino, e);
}

static int read_extents(struct checker *c)
{
	const struct checkpoint_section *s = &c->sections[GM_SECTION_EXTENTS];

	for (uint32_t r = 0; r < c->super->region_count; r++) {
		c->owner[r] = calloc(c->super->regions[r].blocks, sizeof(*c->owner[r]));
		if (!c->owner[r])
			return -ENOMEM;
	}
	for (uint64_t n = 0; n < s->count; n++) {
		const struct gm_extent *from = (const struct gm_extent *)(const void *)s->bytes + n;
		struct file_extent e;
		uint64_t ino;
		const char *wrong = codec_decode_extent(&ino, &e, from);

		if (wrong)
			error(c, "extent-bad", "extent record %" PRIu64 " (inode %" PRIu64 "): %s",
				n, get_le64(from->ino), wrong);
		else
			check_extent(c, ino, &e);
	}
	c->report->extents += s->count;
	return 0;
}

/* ---- targets of symlinks ---- */

static void check_target(struct checker *c, const struct codec_target *t)
{
	struct seen_inode *i = find(c, t->ino);

	if (!i || !S_ISLNK(i->attr.mode)) {
		error(c, "target-dangling",
			"a symlink's target names inode %" PRIu64 ", which is no symlink", t->ino);
		return;
	}
	if (i->has_target)
		error(c, "target-twice", "symlink inode %" PRIu64 " has two targets", t->ino);
	if (t->length != i->attr.size)
		error(c, "target-length",
			"the target of symlink inode %" PRIu64 " has %" PRIu32
			" bytes, its size says %" PRIu64,
			t->ino, t->length, i->attr.size);
	i->has_target = true;
}

static void read_targets(struct checker *c)
{
	const struct checkpoint_section *s = &c->sections[GM_SECTION_TARGETS];
	uint64_t at = 0, last = 0;

	for (uint64_t n = 0; n < s->count; n++) {
		struct codec_target t;
		const char *wrong = codec_decode_target(&t, s->bytes + at, s->length - at);

		if (wrong) { /* where the next one begins is not known either */
			error(c, "target-bad",
				"symlink target record %" PRIu64
				": %s; the ones after it can't be read",
				n, wrong);
			return;
		}
		if (t.ino < last)
			error(c, "target-order",
				"the target of symlink inode %" PRIu64 " is out of order", t.ino);
		check_target(c, &t);
		last = t.ino;
		at += codec_target_bytes(t.length);
	}
	if (at != s->length)
		error(c, "target-bad", "there is something behind the last symlink target");
}

static void check_has_target(struct checker *c, const struct seen_inode *i)
{
	if (S_ISLNK(i->attr.mode) && !i->has_target)
		error(c, "target-missing", "symlink inode %" PRIu64 " has no target", i->attr.ino);
}

static bool bit(const uint8_t *map, uint64_t n)
{
	return map[n / 8] >> (n % 8) & 1;
}

/* Of one region's part of a map; the region may have grown since the image was made. */
static uint64_t map_bytes(const struct checker *c, uint32_t region)
{
	return (get_le64(c->header->region_blocks[region]) + 63) / 64 * 8;
}

struct run { /* neighbouring blocks with the same finding are told as one */
	const char *code;
	const char *text;
	uint64_t from;
};

static void end_run(struct checker *c, struct run *run, uint32_t region, uint64_t end)
{
	if (run->code)
		error(c, run->code, "%s: block %" PRIu64 " to %" PRIu64 " of region %" PRIu32,
			run->text, run->from, end - 1, region);
	run->code = NULL;
}

static struct run judge_block(
	const struct checker *c, uint32_t region, uint64_t b, const uint8_t *const map[4])
{
	uint64_t first = c->super->first_data[region], count = c->super->data_blocks[region];
	bool owned = b < c->super->regions[region].blocks && c->owner[region][b];
	bool used = bit(map[0], b), quarantined = bit(map[3], b);

	if ((b < first || b - first >= count) &&
		(used || quarantined || bit(map[1], b) || bit(map[2], b)))
		return (struct run){
			"map-stray-bit", "a block map has bits set outside the data blocks", b};
	if (used && !owned)
		return (struct run){"block-leaked", "marked as used, but no file owns it", b};
	if (owned && !used)
		return (struct run){
			"block-unmarked", "a file owns it, but it is marked as free", b};
	if (quarantined && owned)
		return (struct run){
			"block-quarantined", "a file owns it, but it is in quarantine", b};
	return (struct run){NULL, NULL, 0};
}

static void check_region_maps(
	struct checker *c, uint32_t region, const uint8_t *const map[4], uint64_t bits)
{
	struct run run = {NULL, NULL, 0};

	for (uint64_t b = 0; b < bits; b++) {
		struct run now = judge_block(c, region, b, map);

		if (now.code != run.code) {
			end_run(c, &run, region, b);
			run = now;
		}
	}
	end_run(c, &run, region, bits);
}

static void check_maps(struct checker *c)
{
	static const enum gm_section_type types[4] = {
		GM_SECTION_USED, GM_SECTION_CLEAN, GM_SECTION_POISONED, GM_SECTION_QUARANTINED};
	uint64_t total = 0, at = 0;

	for (uint32_t r = 0; r < c->super->region_count; r++)
		total += map_bytes(c, r);
	for (int k = 0; k < 4; k++)
		if (c->sections[types[k]].length != total) {
			error(c, "map-length",
				"the map of %s has %" PRIu64 " bytes, the regions need %" PRIu64,
				checkpoint_section_name(types[k]), c->sections[types[k]].length,
				total);
			return;
		}
	for (uint32_t r = 0; r < c->super->region_count; r++) {
		const uint8_t *map[4];
		uint64_t bytes = map_bytes(c, r);

		for (int k = 0; k < 4; k++)
			map[k] = c->sections[types[k]].bytes + at;
		check_region_maps(c, r, map, bytes * 8);
		at += bytes;
	}
}

/* ---- the whole ---- */

static void check_links(struct checker *c, const struct seen_inode *i)
{
	bool dir = S_ISDIR(i->attr.mode), root = i->attr.ino == GM_ROOT_INO;
	uint64_t links = i->entries;

	if (dir)
		links = i->subdirectories + (i->entries > 0 || root ? 2 : 0);
	if (i->attr.links != links)
		error(c, "links-wrong",
			"inode %" PRIu64 " has %" PRIu32 " links, its entries make %" PRIu64,
			i->attr.ino, i->attr.links, links);
	if (dir && i->entries > !root)
		error(c, "directory-twice", "directory inode %" PRIu64 " has %" PRIu64 " entries",
			i->attr.ino, i->entries);
	if (dir && !root && i->entries == 0 && i->content > 0)
		error(c, "directory-unnamed",
			"directory inode %" PRIu64 " has %" PRIu64 " entries, but none names it",
			i->attr.ino, i->content);
	if (i->attr.links == 0 && i->entries == 0 && !(i->attr.flags & GM_INODE_CONTENTS))
		fsck_report(c->report, FSCK_NOTE, "inode-orphan",
			"inode %" PRIu64 " is unlinked and will be removed when nobody holds it",
			i->attr.ino);
}

/* Walks up from each directory; whatever does not come to the root hangs in the air or in a ring.
 * What is removed may hang in the air: what held it may be gone. */
static void check_tree(struct checker *c)
{
	struct seen_inode *root = find(c, GM_ROOT_INO);

	if (!root || !S_ISDIR(root->attr.mode)) {
		error(c, "root-missing", "there is no root directory");
		return;
	}
	root->reached = true;
	for (uint64_t n = 0; n < c->inode_count; n++) {
		struct seen_inode *i = &c->inodes[n], *up = i;
		uint64_t steps = 0;

		if (!S_ISDIR(i->attr.mode))
			continue;
		while (up && S_ISDIR(up->attr.mode) && !up->reached && steps++ < c->inode_count)
			up = find(c, up->attr.parent);
		if (up ? !up->reached : i->attr.links > 0) {
			error(c, "directory-detached",
				"directory inode %" PRIu64 " does not hang from the root",
				i->attr.ino);
			continue;
		}
		for (up = i; up && !up->reached; up = find(c, up->attr.parent))
			up->reached = true;
	}
}

static int check_all(struct checker *c, const struct gm_checkpoint *header)
{
	int r = read_inodes(c, get_le64(header->next_ino));

	if (r == 0)
		r = read_entries(c);
	if (r == 0)
		r = read_extents(c);
	if (r < 0)
		return r;
	fsck_check_xattrs(
		c->report, &c->sections[GM_SECTION_XATTRS], &c->sections[GM_SECTION_INODES]);
	r = fsck_check_pieces(c->report, c->sections);
	if (r < 0)
		return r;
	read_targets(c);
	check_names(c);
	check_maps(c);
	for (uint64_t n = 0; n < c->inode_count; n++) {
		check_links(c, &c->inodes[n]);
		check_has_target(c, &c->inodes[n]);
	}
	check_tree(c);
	return 0;
}

int fsck_check_image(struct fsck_report *report, const struct store_super *super,
	const struct gm_checkpoint *header,
	const struct checkpoint_section sections[CHECKPOINT_SECTIONS])
{
	struct checker c = {
		.report = report, .super = super, .sections = sections, .header = header};
	int r = check_all(&c, header);

	for (uint32_t k = 0; k < super->region_count; k++)
		free(c.owner[k]);
	free(c.entries);
	free(c.inodes);
	return r;
}
