// SPDX-License-Identifier: MIT
#include "view_print.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "util/le.h"

static void print_bytes(FILE *to, const char *name, const uint8_t bytes[16])
{
	(void)fprintf(to, "%s ", name);
	for (unsigned n = 0; n < 16; n++)
		(void)fprintf(to, "%02x", bytes[n]);
	(void)fputc('\n', to);
}

static void print_time(FILE *to, const char *name, gm_le64 seconds, gm_le32 nanoseconds)
{
	(void)fprintf(to, " %s %" PRId64 ".%09" PRIu32, name, (int64_t)get_le64(seconds),
		get_le32(nanoseconds));
}

static void print_inode(FILE *to, const struct gm_inode *i)
{
	(void)fprintf(to,
		"inode %" PRIu64 " mode %06o owner %u:%u links %u size %" PRIu64 " parent %" PRIu64
		" next %" PRIu64 " flags %" PRIu64 " stale %" PRIu64,
		get_le64(i->ino), get_le32(i->mode), get_le32(i->uid), get_le32(i->gid),
		get_le32(i->links), get_le64(i->size), get_le64(i->parent),
		get_le64(i->next_cookie), get_le64(i->flags), get_le64(i->stale_from));
	if (get_le32(i->rdev_major) || get_le32(i->rdev_minor))
		(void)fprintf(
			to, " device %u:%u", get_le32(i->rdev_major), get_le32(i->rdev_minor));
	print_time(to, "a", i->atime, i->atime_nsec);
	print_time(to, "m", i->mtime, i->mtime_nsec);
	print_time(to, "c", i->ctime, i->ctime_nsec);
	print_time(to, "b", i->btime, i->btime_nsec);
	(void)fputc('\n', to);
}

static void put_text(FILE *to, const void *text, size_t length)
{
	const unsigned char *c = text;

	for (size_t n = 0; n < length; n++)
		(void)fprintf(
			to, isgraph(c[n]) && c[n] != '\\' && c[n] < 0x80 ? "%c" : "\\x%02x", c[n]);
}

static void print_xattr(FILE *to, const struct view_xattr *x)
{
	(void)fprintf(to, "attribute %" PRIu64 " ", x->ino);
	put_text(to, x->name, x->name_len);
	(void)fputc(' ', to);
	put_text(to, x->value, x->value_len);
	(void)fputc('\n', to);
}

static void print_text(FILE *to, const char *text, size_t length)
{
	put_text(to, text, length);
	(void)fputc('\n', to);
}

static void print_entry(FILE *to, const struct view_entry *e)
{
	(void)fprintf(to, "entry %" PRIu64 "/%" PRIu64 " type %u inode %" PRIu64 " name ",
		e->parent, e->cookie, e->type, e->ino);
	print_text(to, e->name, e->name_len);
}

static void print_target(FILE *to, const struct view_target *t)
{
	(void)fprintf(to, "target of inode %" PRIu64 " length %u hash %016" PRIx64 " text ", t->ino,
		t->length, t->hash);
	print_text(to, t->text, t->length < VIEW_TEXT ? t->length : VIEW_TEXT);
}

static void print_piece(FILE *to, const struct view_piece *p)
{
	(void)fprintf(to, "piece %" PRIu64 " at %" PRIu64 " store %" PRIu64 " units %" PRIu64 "\n",
		p->ino, p->file_unit, p->store_unit, p->count);
}

static void print_region(FILE *to, const struct view *v, uint32_t region)
{
	(void)fprintf(to, "region %" PRIu32 " blocks %" PRIu64 " data %" PRIu64 "+%" PRIu64 "\n",
		region, v->region_blocks[region], v->first_data[region], v->data_blocks[region]);
	for (uint64_t n = 0; n < v->region_blocks[region]; n++) {
		const struct view_block *b = &v->blocks[region][n];

		if (!b->used && !b->clean && !b->poisoned && !b->quarantined)
			continue;
		(void)fprintf(to, "block %" PRIu32 ":%" PRIu64 "%s%s%s", region, n,
			b->clean ? " clean" : "", b->poisoned ? " poisoned" : "",
			b->quarantined ? " quarantined" : "");
		if (b->used)
			(void)fprintf(to, " inode %" PRIu64 " at %" PRIu64, b->ino, b->file_block);
		(void)fputc('\n', to);
	}
}

void view_print(FILE *to, const struct view *v)
{
	print_bytes(to, "uuid", v->uuid);
	print_bytes(to, "boot", v->boot_id);
	print_bytes(to, "token", v->token);
	(void)fprintf(to, "next-ino %" PRIu64 " mounts %" PRIu64 "%s\n", v->next_ino,
		v->mount_number, v->frozen ? " frozen" : "");
	for (uint32_t n = 0; n < v->inode_count; n++)
		print_inode(to, &v->inodes[n]);
	for (uint32_t n = 0; n < v->entry_count; n++)
		print_entry(to, &v->entries[n]);
	for (uint32_t n = 0; n < v->xattr_count; n++)
		print_xattr(to, &v->xattrs[n]);
	for (uint32_t n = 0; n < v->target_count; n++)
		print_target(to, &v->targets[n]);
	for (uint32_t n = 0; n < v->piece_count; n++)
		print_piece(to, &v->pieces[n]);
	for (uint32_t r = 0; r < v->region_count; r++)
		print_region(to, v, r);
}
