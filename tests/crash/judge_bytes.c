// SPDX-License-Identifier: MIT
/*
 * Does each byte of the files with content read as it did before the operation or as it does after
 * it; as after it, once that was acknowledged? So no unit shows what another file left in it.
 */
#include "judge.h"

#include <inttypes.h>
#include <string.h>

#include "util/le.h"
#include "world.h"

static uint64_t size_of(const struct view *v, uint64_t ino)
{
	for (uint32_t n = 0; n < v->inode_count; n++)
		if (get_le64(v->inodes[n].ino) == ino)
			return get_le64(v->inodes[n].size);
	return 0;
}

/* The first unit of the state that is not before this one; they ascend. */
static const struct trace_unit *find_unit(
	const struct trace *t, const struct trace_state *s, uint64_t ino, uint64_t file_unit)
{
	size_t low = s->bytes.first, end = s->bytes.first + s->bytes.count, high = end;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct trace_unit *u = &t->units[middle];

		if (u->ino < ino || (u->ino == ino && u->file_unit < file_unit))
			low = middle + 1;
		else
			high = middle;
	}
	return low < end && t->units[low].ino == ino && t->units[low].file_unit == file_unit
		       ? &t->units[low]
		       : NULL;
}

struct unit {
	const struct trace_unit *unit; /* NULL: a hole */
	uint64_t size;                 /* of its file */
};

static struct unit unit_of(
	const struct trace *t, const struct trace_state *s, uint64_t ino, uint64_t file_unit)
{
	return (struct unit){
		.unit = find_unit(t, s, ino, file_unit), .size = size_of(&s->view, ino)};
}

/* What reading a byte gives: holes and what is past the end are zero. */
static uint8_t read_byte(const struct unit *u, unsigned word, uint64_t at, unsigned byte)
{
	return u->unit && at < u->size ? ((const uint8_t *)&u->unit->words[word])[byte] : 0;
}

struct place {
	uint64_t ino;
	uint64_t file_unit;
	uint64_t size;      /* of the file, as it was found */
	const uint64_t *is; /* in the image */
};

static bool judge_unit(struct explorer *e, const struct explore_expected *x, const struct place *p)
{
	const struct trace_operation *o = x->operation;
	const struct unit after = unit_of(e->bytes_of, &o->after, p->ino, p->file_unit);
	const struct unit before = unit_of(
		e->bytes_of, x->acknowledged ? &o->after : &o->before, p->ino, p->file_unit);

	for (unsigned n = 0; n < 8 * TRACE_UNIT_WORDS; n++) {
		uint64_t word = trace_unit_word(n / 8),
			 at = p->file_unit * GM_UNIT_SIZE + word * 8 + n % 8;
		uint8_t is = ((const uint8_t *)&p->is[word])[n % 8],
			new = read_byte(&after, n / 8, at, n % 8),
			old = read_byte(&before, n / 8, at, n % 8);

		if (at < p->size && is != new &&is != old)
			return explore_found(e,
				"%s \"%s\" byte %" PRIu64 " of inode %" PRIu64
				" is 0x%02x, which stood there neither before (0x%02x) nor after "
				"(0x%02x)",
				x->acknowledged ? "after" : "in", o->name, at, p->ino, is, old,
				new);
	}
	return true;
}

bool judge_bytes(struct explorer *e, const struct explore_expected *x, const struct view *v)
{
	if (!e->bytes_of || x->operation->before.refused)
		return true;
	for (uint32_t n = 0; n < v->piece_count; n++) {
		const struct view_piece *piece = &v->pieces[n];
		struct place p = {.ino = piece->ino, .size = size_of(v, piece->ino)};

		for (uint64_t k = 0; k < piece->count; k++) {
			uint64_t at = WORLD_AREA + (piece->store_unit + k) * GM_UNIT_SIZE;

			if (at + GM_UNIT_SIZE > e->image->size)
				break;
			p.file_unit = piece->file_unit + k;
			p.is = e->image->words + at / 8;
			if (!judge_unit(e, x, &p))
				return false;
		}
	}
	return true;
}
