// SPDX-License-Identifier: MIT
/* The pieces of files with content: where they lie in the content store, and that none lies over
 * another. */
#include "reader_internal.h"

#include <inttypes.h>

static bool overlap(uint64_t a, uint64_t a_count, uint64_t b, uint64_t b_count)
{
	return a < b + b_count && b < a + a_count;
}

/* Every block that the units lie in is the content store's. */
static bool is_in_store(const struct view *v, uint64_t store, uint64_t unit, uint64_t count)
{
	for (uint64_t b = unit / 512; b <= (unit + count - 1) / 512; b++)
		if (!reader_owns_place(v, store, b, 1))
			return false;
	return true;
}

static const char *check_piece(const struct view *v, const struct view_piece *p)
{
	uint64_t store = reader_contents(v);

	if (!reader_has_content(v, p->ino))
		return "no file with content";
	if (p->count == 0 || p->file_unit >= 1ULL << 51 || p->file_unit + p->count > 1ULL << 51 ||
		p->store_unit >= 1ULL << 51 || p->store_unit + p->count > 1ULL << 51)
		return "range";
	if (!store || !is_in_store(v, store, p->store_unit, p->count))
		return "not in the content store";
	return NULL;
}

static bool read_piece(struct reader *r, const uint8_t *at, struct view_piece *p)
{
	const char *wrong;

	*p = (struct view_piece){.ino = reader_u64(at),
		.file_unit = reader_u64(at + 8),
		.store_unit = reader_u64(at + 16),
		.count = reader_u32(at + 24)};
	wrong = reader_u32(at + 28) != 0 ? "reserved bytes" : check_piece(r->v, p);
	return !wrong || reader_refuse(r, "piece of inode %" PRIu64 ": %s", p->ino, wrong);
}

bool reader_piece(struct reader *r, const uint8_t *at)
{
	struct view *v = r->v;
	struct view_piece p;

	if (!read_piece(r, at, &p))
		return false;
	for (uint32_t n = 0; n < v->piece_count; n++) {
		const struct view_piece *q = &v->pieces[n];

		if (overlap(q->store_unit, q->count, p.store_unit, p.count) ||
			(q->ino == p.ino && overlap(q->file_unit, q->count, p.file_unit, p.count)))
			return reader_refuse(
				r, "two pieces of inode %" PRIu64 " and %" PRIu64, q->ino, p.ino);
	}
	return view_add_piece(v, &p) ||
	       reader_refuse(r, "more pieces than this reader has room for");
}

bool reader_remove_piece(struct reader *r, const uint8_t *at)
{
	struct view *v = r->v;
	struct view_piece p, old, tail;

	if (!read_piece(r, at, &p))
		return false;
	for (uint32_t n = 0; n < v->piece_count; n++) {
		old = v->pieces[n];
		if (old.ino != p.ino || p.file_unit < old.file_unit ||
			p.file_unit + p.count > old.file_unit + old.count ||
			p.store_unit - old.store_unit != p.file_unit - old.file_unit)
			continue;
		tail = (struct view_piece){.ino = p.ino,
			.file_unit = p.file_unit + p.count,
			.store_unit = p.store_unit + p.count,
			.count = old.file_unit + old.count - (p.file_unit + p.count)};
		v->pieces[n].count = p.file_unit - old.file_unit;
		if (v->pieces[n].count == 0) {
			memmove(&v->pieces[n], &v->pieces[n + 1],
				(v->piece_count - n - 1) * sizeof(v->pieces[0]));
			v->piece_count--;
		}
		return tail.count == 0 || view_add_piece(v, &tail) ||
		       reader_refuse(r, "more pieces than this reader has room for");
	}
	return reader_refuse(r, "a piece is removed that is not there");
}

bool reader_has_units(const struct view *v, uint64_t first, uint64_t count)
{
	for (uint32_t n = 0; n < v->piece_count; n++)
		if (overlap(v->pieces[n].store_unit, v->pieces[n].count, first, count))
			return true;
	return false;
}

bool reader_has_pieces(const struct view *v, uint64_t ino)
{
	for (uint32_t n = 0; n < v->piece_count; n++)
		if (v->pieces[n].ino == ino)
			return true;
	return false;
}
