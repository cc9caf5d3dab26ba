// SPDX-License-Identifier: MIT
/* The reader's entries of directories: names and cookies. */
#include "reader_internal.h"

#include <inttypes.h>
#include <sys/stat.h>

static uint64_t *greatest_gone(struct reader *r, uint64_t directory)
{
	for (uint32_t n = 0; n < r->gone_count; n++)
		if (r->gone[n].directory == directory)
			return &r->gone[n].cookie;
	return NULL;
}

static const char *check_entry(struct reader *r, const uint8_t *at, uint64_t room)
{
	const struct view *v = r->v;
	uint64_t parent = reader_u64(at), ino = reader_u64(at + 8), cookie = reader_u64(at + 16);
	uint64_t name_len = reader_u16(at + 24), padded = (name_len + 7) / 8 * 8;
	const uint8_t *dir = reader_find_inode(v, parent), *child = reader_find_inode(v, ino);
	const char *name = (const char *)at + 32;
	const uint64_t *gone = greatest_gone(r, parent);

	if (name_len < 1 || name_len > 255 || room < 32 + padded)
		return "length of the name";
	if (!reader_is_zero(at + 27, 5) || !reader_is_zero(name + name_len, padded - name_len))
		return "reserved bytes";
	if (memchr(name, '/', name_len) || memchr(name, '\0', name_len) ||
		(name[0] == '.' && (name_len == 1 || (name_len == 2 && name[1] == '.'))))
		return "name";
	if (!dir || !S_ISDIR(reader_mode(dir)) || !child)
		return "directory or inode";
	if (at[26] != reader_mode(child) >> 12)
		return "type";
	if (cookie < 3 || (gone && *gone >= cookie))
		return "cookie";
	for (uint32_t n = 0; n < v->entry_count; n++) {
		const struct view_entry *e = &v->entries[n];

		if (e->parent == parent &&
			(e->cookie >= cookie ||
				(e->name_len == name_len && memcmp(e->name, name, name_len) == 0)))
			return "name or cookie is there already";
	}
	return NULL;
}

bool reader_entry(struct reader *r, const uint8_t *at, uint64_t room, uint64_t *length)
{
	struct view *v = r->v;
	struct view_entry e;
	const char *wrong = room < 32 ? "length" : check_entry(r, at, room);
	uint32_t n = v->entry_count;

	if (wrong)
		return reader_refuse(r, "entry: %s", wrong);
	if (n == VIEW_ENTRIES)
		return reader_refuse(r, "more entries than this reader has room for");
	memset(&e, 0, sizeof(e));
	e.parent = reader_u64(at);
	e.ino = reader_u64(at + 8);
	e.cookie = reader_u64(at + 16);
	e.name_len = (uint8_t)reader_u16(at + 24);
	e.type = at[26];
	memcpy(e.name, at + 32, e.name_len);
	for (; n > 0 && v->entries[n - 1].parent > e.parent; n--)
		v->entries[n] = v->entries[n - 1];
	v->entries[n] = e;
	v->entry_count++;
	*length = 32 + (e.name_len + 7U) / 8 * 8;
	return true;
}

/* For as long as the journal is read: a checkpoint does not tell of what was removed before it. */
static bool note_gone(struct reader *r, uint64_t parent, uint64_t cookie)
{
	uint64_t *gone = greatest_gone(r, parent);

	if (!gone && r->gone_count == VIEW_INODES)
		return reader_refuse(r, "more directories than this reader has room for");
	if (!gone) {
		r->gone[r->gone_count].directory = parent;
		gone = &r->gone[r->gone_count++].cookie;
		*gone = 0;
	}
	if (*gone < cookie)
		*gone = cookie;
	return true;
}

bool reader_remove_entry(struct reader *r, uint64_t parent, uint64_t cookie)
{
	struct view *v = r->v;

	for (uint32_t n = 0; n < v->entry_count; n++) {
		if (v->entries[n].parent != parent || v->entries[n].cookie != cookie)
			continue;
		memmove(&v->entries[n], &v->entries[n + 1],
			(v->entry_count - n - 1) * sizeof(v->entries[0]));
		v->entry_count--;
		return note_gone(r, parent, cookie);
	}
	return reader_refuse(r, "an entry is removed that is not there");
}

void reader_forget_directory(struct reader *r, uint64_t ino)
{
	for (uint32_t n = 0; n < r->gone_count; n++)
		if (r->gone[n].directory == ino) {
			r->gone[n] = r->gone[--r->gone_count];
			return;
		}
}
