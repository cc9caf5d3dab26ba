// SPDX-License-Identifier: MIT
/* The bytes of files with content where they lie in memory; and reading them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/ns_content.h"
#include "store/extents.h"

static const uint8_t zeros[GM_UNIT_SIZE];

int ns_find_content_file(const struct namespace *ns, uint64_t ino, struct inode **ret)
{
	int r = ns_find(ns, ino, ret);

	if (r < 0)
		return r;
	if (inode_is_dir(*ret))
		return -EISDIR;
	return inode_has_content(*ret) ? 0 : -EOPNOTSUPP;
}

const struct file_extent *ns_piece_from(const struct inode *i, uint64_t first, uint64_t end)
{
	const struct file_extent *p = extents_find_after(i, first);

	return p && p->file_block < end ? p : NULL;
}

int ns_want_units(const struct namespace *ns, uint64_t unit, uint64_t count)
{
	if (!ns->memory || units_any_bad(&ns_meta(ns)->units, unit, count))
		return -EIO;
	return content_memory_want(ns->memory, unit, count);
}

int ns_want_pieces(const struct namespace *ns, const struct inode *i, uint64_t first, uint64_t end)
{
	const struct file_extent *p;
	bool pending = false;

	for (uint64_t at = first; at < end && (p = ns_piece_from(i, at, end));
		at = p->file_block + p->count) {
		uint64_t from = ns_greater(p->file_block, at);
		uint64_t to = ns_smaller(p->file_block + p->count, end);
		int r = ns_want_units(ns, p->block + (from - p->file_block), to - from);

		if (r < 0 && r != -EINPROGRESS)
			return r;
		pending |= r == -EINPROGRESS;
	}
	return pending ? -EINPROGRESS : 0;
}

int ns_store_bytes(const struct namespace *ns, const struct file_extent *p, uint64_t from,
	uint64_t to, const void *data, uint64_t at)
{
	from = ns_greater(from, ns_unit_start(p->file_block));
	to = ns_smaller(to, ns_unit_start(p->file_block + p->count));
	while (from < to) {
		uint64_t unit = p->block + ((from >> GM_UNIT_SHIFT) - p->file_block);
		uint64_t length = to - from;
		int r = content_memory_store(ns->memory, unit, from % GM_UNIT_SIZE,
			data ? (const uint8_t *)data + (from - at) : NULL, &length);

		if (r < 0)
			return r;
		from += length;
	}
	return 0;
}

int ns_store_in_place(const struct namespace *ns, const struct inode *i, uint64_t from, uint64_t to,
	const void *data, uint64_t at)
{
	const struct file_extent *p;
	uint64_t end = ns_units_for(to), next = from >> GM_UNIT_SHIFT;
	int r = 0;

	for (; r == 0 && from < to && (p = ns_piece_from(i, next, end));
		next = p->file_block + p->count)
		r = ns_store_bytes(ns, p, from, to, data, at);
	return r;
}

/* ---- reading ---- */

struct parts {
	struct iovec *list;
	size_t count;
};

static void add_part(struct parts *parts, const void *bytes, uint64_t length)
{
	parts->list[parts->count++] =
		(struct iovec){.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
}

static void add_hole(struct parts *parts, uint64_t length)
{
	for (uint64_t n; length > 0; length -= n) {
		n = ns_smaller(length, sizeof(zeros));
		add_part(parts, zeros, n);
	}
}

static void add_piece(struct parts *parts, const struct namespace *ns, const struct file_extent *p,
	uint64_t from, uint64_t to)
{
	while (from < to) {
		uint64_t unit = p->block + ((from >> GM_UNIT_SHIFT) - p->file_block);
		uint64_t count = ns_units_for(to) - (from >> GM_UNIT_SHIFT);
		const uint8_t *memory = content_memory_at(ns->memory, unit, &count);
		uint64_t end = ns_smaller(to, ns_unit_start((from >> GM_UNIT_SHIFT) + count));

		add_part(parts, memory + from % GM_UNIT_SIZE, end - from);
		from = end;
	}
}

int ns_read(const struct namespace *ns, uint64_t ino, const struct ns_range *range,
	struct iovec **ret, size_t *count)
{
	struct parts parts = {.count = 0};
	const struct file_extent *p;
	uint64_t at = range->offset, end;
	struct inode *i;
	int r = ns_find_content_file(ns, ino, &i);

	if (r < 0)
		return r;
	end = at < i->attr.size ? at + ns_smaller(range->length, i->attr.size - at) : at;
	r = ns_want_pieces(ns, i, at >> GM_UNIT_SHIFT, ns_units_for(end));
	if (r < 0)
		return r;
	/* Each unit is one part at the most, and so is each page of a hole. */
	parts.list = calloc((end - at) / GM_UNIT_SIZE * 2 + 4, sizeof(*parts.list));
	if (!parts.list)
		return -ENOMEM;
	while (at < end) {
		uint64_t start, stop = end;

		p = ns_piece_from(i, at >> GM_UNIT_SHIFT, ns_units_for(end));
		start = p ? ns_greater(ns_unit_start(p->file_block), at) : end;
		add_hole(&parts, start - at);
		if (p)
			stop = ns_smaller(ns_unit_start(p->file_block + p->count), end);
		if (p)
			add_piece(&parts, ns, p, start, stop);
		at = stop;
	}
	*ret = parts.list;
	*count = parts.count;
	return 0;
}
