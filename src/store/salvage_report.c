// SPDX-License-Identifier: MIT
/* What a salvage has to say: one sentence for each thing that was kept, put right, or lost. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/salvage_internal.h"

/* Beyond it only the counts go on. */
#define NOTES_MAX 10000U

/* Each is searched for among all entries. */
#define PATHS_MAX 1000U

__attribute__((format(printf, 4, 0))) static void add_note(
	struct salvage_report *r, bool lost, uint64_t ino, const char *format, va_list ap)
{
	struct salvage_note *n;

	r->lost += lost;
	r->kept += !lost;
	if (r->count == NOTES_MAX)
		return;
	if (r->count == r->capacity) {
		size_t capacity = r->capacity ? r->capacity * 2 : 16;

		n = reallocarray(r->notes, capacity, sizeof(*n));
		if (!n)
			return; /* counted; what can't be shown is not forgotten */
		r->notes = n;
		r->capacity = capacity;
	}
	n = &r->notes[r->count++];
	*n = (struct salvage_note){.lost = lost, .ino = ino};
	(void)vsnprintf(n->text, sizeof(n->text), format, ap);
}

void salvage_note(struct salvage_report *r, bool lost, uint64_t ino, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	add_note(r, lost, ino, format, ap);
	va_end(ap);
}

void salvage_note_mended(struct salvage_report *r, const char *format, ...)
{
	const size_t count = r->count;
	va_list ap;

	va_start(ap, format);
	add_note(r, false, 0, format, ap);
	va_end(ap);
	if (r->count > count)
		r->notes[count].stays = true;
}

void salvage_report_cut(struct salvage_report *r, const struct salvage_report *mark)
{
	size_t kept = mark->count;

	for (size_t n = mark->count; n < r->count; n++)
		if (r->notes[n].stays)
			r->notes[kept++] = r->notes[n];
	r->kept = mark->kept + (kept - mark->count);
	r->lost = mark->lost;
	r->count = kept;
}

void salvage_report_deinit(struct salvage_report *r)
{
	free(r->notes);
	*r = (struct salvage_report){.notes = NULL};
}

/* ---- paths ---- */

/* One of its names; directories have one only. */
static const struct dirent *find_name(const struct meta *m, uint64_t ino)
{
	const struct dirent *d;

	for (size_t c = 0; (d = table_each(&m->dirents, &c));)
		if (d->ino == ino)
			return d;
	return NULL;
}

/* Written from its end; false if it has none, or one that is too long to show. */
static bool write_path(const struct meta *m, uint64_t ino, char *text, size_t size)
{
	size_t at = size - 1;

	text[at] = '\0';
	for (unsigned steps = 0; ino != GM_ROOT_INO; steps++) {
		const struct dirent *d = steps < 256 ? find_name(m, ino) : NULL;

		if (!d || at < d->name_len + 1U)
			return false;
		at -= d->name_len;
		memcpy(text + at, d->name, d->name_len);
		text[--at] = '/';
		ino = d->parent;
	}
	memmove(text, text + at, size - at);
	return text[0] == '/';
}

void salvage_report_paths(struct salvage_report *r, size_t from, const struct meta *m)
{
	for (size_t n = from; n < r->count && n - from < PATHS_MAX; n++) {
		struct salvage_note *note = &r->notes[n];
		size_t length = strlen(note->text);
		char path[256];

		if (note->ino != 0 && write_path(m, note->ino, path, sizeof(path)))
			(void)snprintf(note->text + length, sizeof(note->text) - length,
				" [now %s]", path);
	}
}
