// SPDX-License-Identifier: MIT
#include "doctor/e820.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"

static const struct {
	uint32_t type;
	const char *name;
} type_names[] = {
	{E820_RAM, "System RAM"},
	{E820_RESERVED, "Reserved"},
	{E820_ACPI, "ACPI Tables"},
	{E820_NVS, "ACPI Non-volatile Storage"},
	{E820_UNUSABLE, "Unusable memory"},
	{E820_PMEM, "Persistent Memory"},
	{E820_PRAM, "Persistent Memory (legacy)"},
	{E820_SOFT, "Soft Reserved"},
};

const char *e820_type_name(uint32_t type)
{
	for (size_t n = 0; n < ARRAY_SIZE(type_names); n++)
		if (type_names[n].type == type)
			return type_names[n].name;
	return type == E820_NONE ? "no memory" : "memory of an unknown type";
}

uint32_t e820_type_of(const char *name)
{
	for (size_t n = 0; n < ARRAY_SIZE(type_names); n++)
		if (strcmp(type_names[n].name, name) == 0)
			return type_names[n].type;
	return E820_NONE;
}

void e820_map_deinit(struct e820_map *m)
{
	free(m->entries);
	*m = E820_MAP_NULL;
}

void e820_map_add(struct e820_map *m, uint64_t start, uint64_t end, uint32_t type)
{
	struct e820_entry *more = NULL;

	if (start >= end)
		return;
	more = reallocarray(m->entries, m->count + 1, sizeof(*more));
	if (!more) {
		m->failed = true;
		return;
	}
	m->entries = more;
	more[m->count++] = (struct e820_entry){.start = start, .end = end, .type = type};
}

#define ANY_TYPE UINT32_MAX

/*
 * Gives every entry of type `from` (or ANY_TYPE) another type where it lies in the range; E820_NONE
 * takes that part away. Entries of other types that overlap it stay as they are.
 */
static void retype(struct e820_map *m, uint64_t start, uint64_t end, uint32_t from, uint32_t to)
{
	struct e820_map changed = {.failed = m->failed};

	for (size_t n = 0; n < m->count; n++) {
		const struct e820_entry *e = &m->entries[n];
		uint64_t low = e->start > start ? e->start : start;
		uint64_t high = e->end < end ? e->end : end;

		if ((e->type != from && from != ANY_TYPE) || low >= high) {
			e820_map_add(&changed, e->start, e->end, e->type);
			continue;
		}
		e820_map_add(&changed, e->start, low, e->type);
		if (to != E820_NONE)
			e820_map_add(&changed, low, high, to);
		e820_map_add(&changed, high, e->end, e->type);
	}
	free(m->entries);
	*m = changed;
}

static void apply_convert(struct e820_map *m, const struct cmdline_memmap *p)
{
	uint64_t end = p->start + p->size;

	if (p->from && p->to)
		retype(m, p->start, end, p->from, p->to);
	else if (p->to)
		e820_map_add(m, p->start, end, p->to);
	else
		retype(m, p->start, end, p->from ? p->from : ANY_TYPE, E820_NONE);
}

static void apply(struct e820_map *m, const struct cmdline_memmap *p)
{
	static const uint32_t types[] = {[CMDLINE_RAM] = E820_RAM,
		[CMDLINE_ACPI] = E820_ACPI,
		[CMDLINE_RESERVED] = E820_RESERVED,
		[CMDLINE_PRAM] = E820_PRAM};

	switch (p->form) {
	case CMDLINE_RAM:
	case CMDLINE_ACPI:
	case CMDLINE_RESERVED:
	case CMDLINE_PRAM:
		e820_map_add(m, p->start, p->start + p->size, types[p->form]);
		break;
	case CMDLINE_CONVERT:
		apply_convert(m, p);
		break;
	case CMDLINE_LIMIT:
		retype(m, p->size, UINT64_MAX, E820_RAM, E820_NONE);
		break;
	case CMDLINE_EXACT:
		m->count = 0;
		break;
	case CMDLINE_BAD:
		break;
	}
}

static int compare_numbers(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Where entries overlap, the highest type counts. */
static uint32_t type_at(const struct e820_map *m, uint64_t address)
{
	uint32_t type = E820_NONE;

	for (size_t n = 0; n < m->count; n++)
		if (m->entries[n].start <= address && address < m->entries[n].end &&
			m->entries[n].type > type)
			type = m->entries[n].type;
	return type;
}

/* The kernel never joins these with what stands beside them: a border underneath splits them. */
static bool stays_apart(uint32_t type)
{
	return type == E820_PRAM || type == E820_SOFT;
}

static void add_resolved(struct e820_map *m, uint64_t start, uint64_t end, uint32_t type)
{
	struct e820_entry *last = m->count ? &m->entries[m->count - 1] : NULL;

	if (type == E820_NONE)
		return;
	if (last && last->end == start && last->type == type && !stays_apart(type))
		last->end = end;
	else
		e820_map_add(m, start, end, type);
}

static int flatten(struct e820_map *m)
{
	_cleanup_free_ uint64_t *borders = calloc(2 * m->count + 1, sizeof(*borders));
	struct e820_map flat = E820_MAP_NULL;

	if (!borders)
		return -ENOMEM;
	for (size_t n = 0; n < m->count; n++) {
		borders[2 * n] = m->entries[n].start;
		borders[2 * n + 1] = m->entries[n].end;
	}
	qsort(borders, 2 * m->count, sizeof(*borders), compare_numbers);
	for (size_t n = 0; n + 1 < 2 * m->count; n++)
		if (borders[n] < borders[n + 1])
			add_resolved(&flat, borders[n], borders[n + 1], type_at(m, borders[n]));
	flat.failed |= m->failed;
	free(m->entries);
	*m = flat;
	return m->failed ? -ENOMEM : 0;
}

int e820_map_resolve(
	struct e820_map *ret, const struct e820_map *base, const struct cmdline *cmdline)
{
	struct e820_map m = E820_MAP_NULL;

	for (size_t n = 0; n < base->count; n++)
		e820_map_add(
			&m, base->entries[n].start, base->entries[n].end, base->entries[n].type);
	for (size_t n = 0; n < cmdline->memmap_count; n++)
		apply(&m, &cmdline->memmaps[n]);
	int r = m.failed ? -ENOMEM : flatten(&m);
	if (r < 0)
		e820_map_deinit(&m);
	else
		*ret = m;
	return r;
}

const struct e820_entry *e820_map_find(const struct e820_map *m, uint64_t address)
{
	for (size_t n = 0; n < m->count; n++)
		if (m->entries[n].start <= address && address < m->entries[n].end)
			return &m->entries[n];
	return NULL;
}

bool e820_map_meets(const struct e820_map *m, uint64_t start, uint64_t end, uint32_t type)
{
	for (size_t n = 0; n < m->count; n++)
		if (m->entries[n].type == type && m->entries[n].start < end &&
			start < m->entries[n].end)
			return true;
	return false;
}

/* ---- KASLR ---- */

static bool kaslr_remembers(const struct cmdline_memmap *m)
{
	bool form =
		m->form == CMDLINE_ACPI || m->form == CMDLINE_RESERVED || m->form == CMDLINE_PRAM;

	return form && m->start != 0;
}

/*
 * It reads parameter by parameter and stops inside one at what it does not understand, or when its
 * four places are taken: then, if more stands in this very parameter, it gives up altogether, while
 * further parameters are passed over without a word.
 */
void kaslr_read(struct kaslr *ret, const struct cmdline *cmdline)
{
	uint32_t skipped = CMDLINE_NO_PARAMETER;
	uint32_t last = CMDLINE_NO_PARAMETER;
	struct kaslr k = {.off = cmdline->nokaslr};

	for (size_t n = 0; n < cmdline->memmap_count; n++) {
		const struct cmdline_memmap *m = &cmdline->memmaps[n];

		if (m->parameter == CMDLINE_NO_PARAMETER)
			continue;
		k.memmaps += kaslr_remembers(m);
		if (k.count == KASLR_RANGES_MAX) {
			k.gave_up |= m->parameter == last;
			continue;
		}
		if (m->parameter == skipped)
			continue;
		last = m->parameter;
		if (m->form == CMDLINE_EXACT || m->form == CMDLINE_BAD)
			skipped = m->parameter;
		else if (kaslr_remembers(m))
			k.avoided[k.count++] =
				(struct e820_entry){.start = m->start, .end = m->start + m->size};
	}
	*ret = k;
}

bool kaslr_avoids(const struct kaslr *k, uint64_t start, uint64_t end)
{
	bool further = true;

	if (k->off || k->gave_up)
		return true;
	/* Several of them may cover it together. */
	while (start < end && further) {
		further = false;
		for (unsigned n = 0; n < k->count; n++)
			if (k->avoided[n].start <= start && start < k->avoided[n].end) {
				start = k->avoided[n].end;
				further = true;
			}
	}
	return start >= end;
}
