// SPDX-License-Identifier: MIT
#include "explore.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "judge.h"
#include "subset.h"
#include "util/cleanup.h"

static struct explore_work *work_new(void)
{
	struct explore_work *w = calloc(1, sizeof(*w));

	if (!w) {
		perror("out of memory");
		exit(1);
	}
	return w;
}

static void work_free(struct explore_work *w)
{
	for (unsigned n = 0; n < EXPLORE_DEPTH; n++)
		trace_deinit(&w->traces[n]);
	free(w);
}

void explorer_init(struct explorer *e, struct image *image, uint64_t seed)
{
	*e = (struct explorer){.image = image,
		.seed = seed,
		.samples = 40,
		.deeper = 1000,
		.persistent = true,
		.work = work_new()};
}

void explorer_deinit(struct explorer *e)
{
	free(e->seen.slots);
	work_free(e->work);
}

void explorer_reset(struct explorer *e)
{
	e->found[0] = '\0';
}

bool explore_found(struct explorer *e, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(e->found, sizeof(e->found), format, ap);
	va_end(ap);
	return false;
}

/* ---- states that were judged before ---- */

static bool insert(uint64_t *slots, uint64_t capacity, uint64_t key)
{
	uint64_t at = key & (capacity - 1);

	while (slots[at] && slots[at] != key)
		at = (at + 1) & (capacity - 1);
	if (slots[at])
		return false;
	slots[at] = key;
	return true;
}

static void grow_seen(struct explorer *e)
{
	uint64_t capacity = e->seen.capacity ? e->seen.capacity * 2 : 1U << 16;
	uint64_t *slots = calloc(capacity, sizeof(*slots));

	if (!slots) {
		perror("out of memory");
		exit(1);
	}
	for (uint64_t n = 0; n < e->seen.capacity; n++)
		if (e->seen.slots[n])
			(void)insert(slots, capacity, e->seen.slots[n]);
	free(e->seen.slots);
	e->seen.slots = slots;
	e->seen.capacity = capacity;
}

/* True the first time. */
static bool is_new(struct explorer *e, uint64_t key)
{
	if (e->seen.count * 2 >= e->seen.capacity)
		grow_seen(e);
	if (!insert(e->seen.slots, e->seen.capacity, key ? key : 1))
		return false;
	e->seen.count++;
	return true;
}

/* A step's name up to its arguments. */
static void count_state(struct explorer *e, const struct trace_operation *o)
{
	size_t length = o ? strcspn(o->name, " ") : 0;

	for (size_t n = 0; n < ARRAY_SIZE(e->kinds); n++) {
		struct explore_kind *k = &e->kinds[n];

		if (k->states == 0 && length < sizeof(k->name))
			memcpy(k->name, o ? o->name : "", length);
		if (strncmp(k->name, o ? o->name : "", length) == 0 && !k->name[length]) {
			k->states++;
			break;
		}
	}
	e->distinct++;
}

/* ---- from fence to fence ---- */

struct epoch {
	struct subset_store *stores;
	bool *landed;
	size_t count;
	size_t capacity;
	uint64_t number;
};

static bool is_wanted(const struct explorer *e, unsigned depth, uint64_t epoch, uint64_t subset)
{
	return !e->only || (e->only[depth].epoch == epoch && e->only[depth].subset == subset);
}

static uint64_t expected_key(const struct explore_expected *x)
{
	uint64_t key = x->acknowledged;

	if (x->operation)
		key = image_mix(
			image_mix(key, x->operation->before.hash ^ x->operation->before.unique),
			x->operation->after.hash ^ x->operation->after.unique);
	return key;
}

/* There are many recoveries, and they store little. */
static uint64_t samples_at(const struct explorer *e, unsigned depth)
{
	return depth == 0 ? e->samples : e->samples / 5 + 1;
}

static bool try_subset(struct explorer *e, const struct epoch *p, const struct explore_expected *x,
	uint64_t subset, unsigned depth)
{
	size_t mark = image_mark(e->image);
	bool good = true;

	subset_make(p->landed, p->stores, p->count, samples_at(e, depth), subset,
		image_mix(e->seed, p->number));
	for (size_t n = 0; n < p->count; n++)
		if (p->landed[n])
			image_store(e->image, p->stores[n].offset, p->stores[n].word);
	if (is_new(e, image_mix(e->image->hash, expected_key(x)))) {
		count_state(e, x->operation);
		memset(e->at + depth, 0, (EXPLORE_DEPTH - depth) * sizeof(e->at[0]));
		e->at[depth] = (struct explore_place){.epoch = p->number, .subset = subset};
		good = judge_state(e, x, depth);
	}
	image_rollback(e->image, mark);
	return good;
}

/* What is certain to have reached the media after a fence does so. */
static void land(struct explorer *e, struct epoch *p)
{
	size_t left = 0;

	for (size_t n = 0; n < p->count; n++)
		if (p->stores[n].flushed || !e->persistent)
			image_store(e->image, p->stores[n].offset, p->stores[n].word);
		else
			p->stores[left++] = p->stores[n];
	p->count = left;
}

/* What may have reached the media is tried; then what must have reached it has. */
static bool end_epoch(struct explorer *e, struct epoch *p, const struct explore_expected *x,
	bool fenced, unsigned depth)
{
	uint64_t subsets = subset_count(p->stores, p->count, samples_at(e, depth));
	bool good = true;

	if (x->operation && !x->operation->unexplored) {
		for (uint64_t n = 0; n < subsets && good; n++)
			if (is_wanted(e, depth, p->number, n))
				good = try_subset(e, p, x, n, depth);
		e->exhausted += p->count > 0 && p->count <= SUBSET_WORDS_ALL;
		e->sampled += p->count > SUBSET_WORDS_ALL;
	}
	p->number++;
	if (fenced)
		land(e, p);
	return good;
}

static void add_store(struct epoch *p, const struct trace_event *event)
{
	size_t capacity = p->capacity;

	p->stores = image_grow(p->stores, p->count + 1, &p->capacity, sizeof(*p->stores));
	p->landed = image_grow(p->landed, p->count + 1, &capacity, sizeof(*p->landed));
	p->stores[p->count++] = (struct subset_store){.offset = event->offset, .word = event->word};
}

/* A line goes back as a whole, with all that was stored to it so far. */
static void flush_lines(struct epoch *p, uint64_t offset, uint64_t length)
{
	uint64_t first = offset / 64, last = (offset + length - 1) / 64;

	for (size_t n = 0; n < p->count && length > 0; n++)
		if (p->stores[n].offset / 64 >= first && p->stores[n].offset / 64 <= last)
			p->stores[n].flushed = true;
}

/* A store of what the word holds already makes no difference, unless one before it may. */
static bool is_idle(
	const struct explorer *e, const struct epoch *p, const struct trace_event *event)
{
	if (e->image->words[event->offset / 8] != event->word)
		return false;
	for (size_t n = 0; n < p->count; n++)
		if (p->stores[n].offset == event->offset)
			return false;
	return true;
}

bool explore_trace(struct explorer *e, const struct trace *t, unsigned depth)
{
	struct explore_expected x = {.operation = NULL};
	size_t mark = image_mark(e->image);
	struct epoch p = {.number = 1};
	bool good = true;

	for (size_t n = 0; n < t->count && good; n++) {
		const struct trace_event *event = &t->events[n];

		switch (event->kind) {
		case TRACE_STORE:
			if (!is_idle(e, &p, event))
				add_store(&p, event);
			break;
		case TRACE_FLUSH:
			flush_lines(&p, event->offset, event->word);
			break;
		case TRACE_FENCE:
			good = end_epoch(e, &p, &x, true, depth);
			break;
		case TRACE_BEGIN:
			x = (struct explore_expected){.operation = &t->operations[event->offset]};
			break;
		case TRACE_END:
			/* From here on it counts as done, whatever is still on its way. */
			x = (struct explore_expected){
				.operation = &t->operations[event->offset], .acknowledged = true};
			good = end_epoch(e, &p, &x, false, depth);
			break;
		}
	}
	free(p.stores);
	free(p.landed);
	image_rollback(e->image, mark);
	return good;
}
