// SPDX-License-Identifier: MIT
/* Groups by free count and longest run: lists, and a tree to find the list. */
#include "alloc/group_index.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int group_index_reserve(struct group_index *x, uint32_t n)
{
	struct group_place *p;

	if (n <= x->size)
		return 0;
	p = realloc(x->places, n * sizeof(*p));
	if (!p)
		return -ENOMEM;
	memset(p + x->size, 0, (n - x->size) * sizeof(*p));
	x->places = p;
	x->size = n;
	return 0;
}

void group_index_deinit(struct group_index *x)
{
	free(x->places);
	x->places = NULL;
	x->size = 0;
}

/*
 * A list with this free count became, or ceased to be, empty: corrects the tree from the leaf up.
 */
static void update_longest(struct group_index *x, unsigned free)
{
	const struct bits *runs = &x->runs[free];
	unsigned node = BITS + free, longest = 0;

	for (unsigned i = BITS_WORDS; i-- > 0 && !longest;)
		if (runs->word[i])
			longest = i * BITS_WORD + 63U - (unsigned)__builtin_clzll(runs->word[i]);

	while (x->longest[node] != longest) {
		x->longest[node] = (uint16_t)longest;
		if (node == 1)
			break;
		if (x->longest[node ^ 1] > longest)
			longest = x->longest[node ^ 1];
		node /= 2;
	}
}

static void toggle_list(struct group_index *x, unsigned free, unsigned run)
{
	x->runs[free].word[run / BITS_WORD] ^= 1ULL << (run % BITS_WORD);
	update_longest(x, free);
}

/* Links the group in between the neighbours that p names. */
static void link_group(struct group_index *x, uint32_t group, struct group_place p)
{
	x->places[group] = p;
	if (!p.run)
		return;
	if (p.next)
		x->places[p.next].prev = group;
	if (p.prev)
		x->places[p.prev].next = group;
	else
		x->heads[p.free][p.run] = group;
	if (!p.prev && !p.next)
		toggle_list(x, p.free, p.run);
}

static void unlink_group(struct group_index *x, uint32_t group)
{
	struct group_place p = x->places[group];

	if (!p.run)
		return;
	if (p.next)
		x->places[p.next].prev = p.prev;
	if (p.prev)
		x->places[p.prev].next = p.next;
	else
		x->heads[p.free][p.run] = p.next;
	if (!p.prev && !p.next)
		toggle_list(x, p.free, p.run);
}

void group_index_move(struct group_index *x, uint32_t group, unsigned free, unsigned run)
{
	struct group_place to = {.free = (uint16_t)free, .run = (uint16_t)run};
	const struct group_place *from = &x->places[group];

	assert(free <= BITS && run < BITS && run <= free);
	if (from->run == run && (!run || from->free == free))
		return;
	unlink_group(x, group);
	if (run)
		to.next = x->heads[free][run];
	link_group(x, group, to);
}

struct group_place group_index_place(const struct group_index *x, uint32_t group)
{
	return x->places[group];
}

void group_index_restore(struct group_index *x, uint32_t group, struct group_place was)
{
	const struct group_place *now = &x->places[group];

	if (now->run == was.run && (!was.run || now->free == was.free))
		return; /* the move did nothing */
	unlink_group(x, group);
	link_group(x, group, was);
}

unsigned group_index_longest(const struct group_index *x)
{
	return x->longest[1];
}

uint32_t group_index_find(const struct group_index *x, unsigned run)
{
	unsigned node = 1, free;

	if (!run || x->longest[node] < run)
		return 0;
	while (node < BITS) {
		node *= 2;
		if (x->longest[node] < run)
			node++;
	}
	free = node - BITS;
	return x->heads[free][bits_next_set(&x->runs[free], run)];
}
