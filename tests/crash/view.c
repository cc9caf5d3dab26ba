// SPDX-License-Identifier: MIT
#include "view.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "util/le.h"

#define HEAD_BYTES offsetof(struct view, inodes)

uint64_t view_hash(const struct view *v)
{
	uint64_t h = XXH3_64bits(v, HEAD_BYTES);

	h = XXH3_64bits_withSeed(v->inodes, v->inode_count * sizeof(v->inodes[0]), h);
	h = XXH3_64bits_withSeed(v->entries, v->entry_count * sizeof(v->entries[0]), h);
	h = XXH3_64bits_withSeed(v->xattrs, v->xattr_count * sizeof(v->xattrs[0]), h);
	h = XXH3_64bits_withSeed(v->targets, v->target_count * sizeof(v->targets[0]), h);
	h = XXH3_64bits_withSeed(v->pieces, v->piece_count * sizeof(v->pieces[0]), h);
	for (uint32_t r = 0; r < v->region_count; r++)
		h = XXH3_64bits_withSeed(
			v->blocks[r], v->region_blocks[r] * sizeof(v->blocks[r][0]), h);
	return h;
}

void view_add_target(struct view *v, uint64_t ino, const void *text, size_t length)
{
	struct view_target t;
	uint32_t n = v->target_count++;

	memset(&t, 0, sizeof(t));
	t.ino = ino;
	t.hash = XXH3_64bits(text, length);
	t.length = (uint32_t)length;
	memcpy(t.text, text, length < VIEW_TEXT ? length : VIEW_TEXT);
	for (; n > 0 && v->targets[n - 1].ino > ino; n--)
		v->targets[n] = v->targets[n - 1];
	v->targets[n] = t;
}

static bool goes_on(const struct view_piece *a, const struct view_piece *b)
{
	return a->ino == b->ino && a->file_unit + a->count == b->file_unit &&
	       a->store_unit + a->count == b->store_unit;
}

static void merge_at(struct view *v, uint32_t n)
{
	if (n + 1 >= v->piece_count || !goes_on(&v->pieces[n], &v->pieces[n + 1]))
		return;
	v->pieces[n].count += v->pieces[n + 1].count;
	v->piece_count--;
	memmove(&v->pieces[n + 1], &v->pieces[n + 2],
		(v->piece_count - n - 1) * sizeof(v->pieces[0]));
}

bool view_add_piece(struct view *v, const struct view_piece *p)
{
	uint32_t n = v->piece_count;

	if (n == VIEW_PIECES)
		return false;
	for (; n > 0 && (v->pieces[n - 1].ino > p->ino ||
				(v->pieces[n - 1].ino == p->ino &&
					v->pieces[n - 1].file_unit > p->file_unit));
		n--)
		v->pieces[n] = v->pieces[n - 1];
	v->pieces[n] = *p;
	v->piece_count++;
	merge_at(v, n);
	if (n > 0)
		merge_at(v, n - 1);
	return true;
}

/* ---- in words ---- */

static bool head_differs(const struct view *is, const struct view *should, char *text, size_t size)
{
	if (memcmp(is, should, HEAD_BYTES) == 0)
		return false;
	if (is->inode_count != should->inode_count)
		(void)snprintf(text, size, "%" PRIu32 " inodes instead of %" PRIu32,
			is->inode_count, should->inode_count);
	else if (is->entry_count != should->entry_count)
		(void)snprintf(text, size, "%" PRIu32 " entries instead of %" PRIu32,
			is->entry_count, should->entry_count);
	else if (is->xattr_count != should->xattr_count)
		(void)snprintf(text, size, "%" PRIu32 " attributes instead of %" PRIu32,
			is->xattr_count, should->xattr_count);
	else if (is->target_count != should->target_count)
		(void)snprintf(text, size, "%" PRIu32 " symlink targets instead of %" PRIu32,
			is->target_count, should->target_count);
	else if (is->piece_count != should->piece_count)
		(void)snprintf(text, size, "%" PRIu32 " pieces instead of %" PRIu32,
			is->piece_count, should->piece_count);
	else if (is->mount_number != should->mount_number)
		(void)snprintf(text, size, "mount number %" PRIu64 " instead of %" PRIu64,
			is->mount_number, should->mount_number);
	else if (is->next_ino != should->next_ino)
		(void)snprintf(text, size, "next inode number %" PRIu64 " instead of %" PRIu64,
			is->next_ino, should->next_ino);
	else if (is->frozen != should->frozen)
		(void)snprintf(text, size, "%s", is->frozen ? "frozen" : "not frozen");
	else
		(void)snprintf(text, size, "another uuid, boot id, token, or size of a region");
	return true;
}

static void describe_inode(char text[200], const struct gm_inode *i)
{
	(void)snprintf(text, 200,
		"inode %" PRIu64 " (mode %o, owner %u, %u links, %" PRIu64 " bytes, flags %" PRIu64
		", ctime %" PRIu64 ")",
		get_le64(i->ino), get_le32(i->mode), get_le32(i->uid), get_le32(i->links),
		get_le64(i->size), get_le64(i->flags), get_le64(i->ctime));
}

static bool inodes_differ(const struct view *is, const struct view *should, char *text, size_t size)
{
	for (uint32_t n = 0; n < is->inode_count; n++) {
		const struct gm_inode *a = &is->inodes[n], *b = &should->inodes[n];
		char one[200], other[200];

		if (memcmp(a, b, sizeof(*a)) == 0)
			continue;
		describe_inode(one, a);
		describe_inode(other, b);
		(void)snprintf(text, size, "%s instead of %s", one, other);
		return true;
	}
	return false;
}

static bool entries_differ(
	const struct view *is, const struct view *should, char *text, size_t size)
{
	for (uint32_t n = 0; n < is->entry_count; n++) {
		const struct view_entry *a = &is->entries[n], *b = &should->entries[n];

		/* NOLINTNEXTLINE(*-memory-comparison,cert-*): cleared first, padding and all */
		if (memcmp(a, b, sizeof(*a)) == 0)
			continue;
		(void)snprintf(text, size,
			"entry \"%.*s\" of inode %" PRIu64 " for inode %" PRIu64
			" instead of \"%.*s\" of inode %" PRIu64 " for inode %" PRIu64,
			a->name_len, a->name, a->parent, a->ino, b->name_len, b->name, b->parent,
			b->ino);
		return true;
	}
	return false;
}

static bool xattrs_differ(const struct view *is, const struct view *should, char *text, size_t size)
{
	for (uint32_t n = 0; n < is->xattr_count; n++) {
		const struct view_xattr *a = &is->xattrs[n], *b = &should->xattrs[n];

		/* NOLINTNEXTLINE(*-memory-comparison,cert-*): as above */
		if (memcmp(a, b, sizeof(*a)) == 0)
			continue;
		(void)snprintf(text, size,
			"attribute \"%.*s\" of inode %" PRIu64 " (%" PRIu32
			" bytes) instead of \"%.*s\" of inode %" PRIu64 " (%" PRIu32 " bytes)",
			a->name_len, a->name, a->ino, a->value_len, b->name_len, b->name, b->ino,
			b->value_len);
		return true;
	}
	return false;
}

static bool targets_differ(
	const struct view *is, const struct view *should, char *text, size_t size)
{
	for (uint32_t n = 0; n < is->target_count; n++) {
		const struct view_target *a = &is->targets[n], *b = &should->targets[n];

		if (memcmp(a, b, sizeof(*a)) == 0)
			continue;
		(void)snprintf(text, size,
			"target \"%s\" of inode %" PRIu64 " instead of \"%s\" of inode %" PRIu64,
			a->text, a->ino, b->text, b->ino);
		return true;
	}
	return false;
}

static bool pieces_differ(const struct view *is, const struct view *should, char *text, size_t size)
{
	for (uint32_t n = 0; n < is->piece_count; n++) {
		const struct view_piece *a = &is->pieces[n], *b = &should->pieces[n];

		if (memcmp(a, b, sizeof(*a)) == 0)
			continue;
		(void)snprintf(text, size,
			"piece of inode %" PRIu64 " at %" PRIu64 " (%" PRIu64 ", %" PRIu64
			" units) instead of inode %" PRIu64 " at %" PRIu64 " (%" PRIu64 ", %" PRIu64
			")",
			a->ino, a->file_unit, a->store_unit, a->count, b->ino, b->file_unit,
			b->store_unit, b->count);
		return true;
	}
	return false;
}

static const char *state_of(const struct view_block *b)
{
	return b->used ? "used" : b->quarantined ? "quarantined" : "free";
}

static bool blocks_differ(const struct view *is, const struct view *should, char *text, size_t size)
{
	for (uint32_t r = 0; r < is->region_count; r++)
		for (uint64_t n = 0; n < is->region_blocks[r]; n++) {
			const struct view_block *a = &is->blocks[r][n], *b = &should->blocks[r][n];

			/* NOLINTNEXTLINE(*-memory-comparison,cert-*): as above */
			if (memcmp(a, b, sizeof(*a)) == 0)
				continue;
			(void)snprintf(text, size,
				"block %" PRIu64 " of region %" PRIu32
				" is %s, %s%s, of inode %" PRIu64
				" instead of %s, %s%s, of inode %" PRIu64,
				n, r, state_of(a), a->clean ? "clean" : "dirty",
				a->poisoned ? ", poisoned" : "", a->ino, state_of(b),
				b->clean ? "clean" : "dirty", b->poisoned ? ", poisoned" : "",
				b->ino);
			return true;
		}
	return false;
}

void view_describe_difference(
	const struct view *is, const struct view *should, char *text, size_t size)
{
	if (!head_differs(is, should, text, size) && !inodes_differ(is, should, text, size) &&
		!entries_differ(is, should, text, size) && !xattrs_differ(is, should, text, size) &&
		!targets_differ(is, should, text, size) && !pieces_differ(is, should, text, size) &&
		!blocks_differ(is, should, text, size))
		(void)snprintf(text, size, "no difference");
}
