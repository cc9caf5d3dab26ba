// SPDX-License-Identifier: MIT
/*
 * A repair that dies: after each of its stores, and with any one of those that no fence has ordered
 * missing, or half of it; or with all that had not been written back from the caches before the
 * last fence, as a loss of power leaves persistent memory. The next repair makes the same of it.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repair_fixture.h"
#include "util/cleanup.h"

enum loss { LOSS_OF_ONE, LOSS_OF_HALF, LOSS_OF_CACHES };

/* Media that take stores up to the first fence behind number `last`, and all but `missing`. */
struct dying {
	struct media media;
	unsigned count; /* of stores so far */
	unsigned last;
	unsigned missing;
	enum loss loss;
	bool dead;
	uint8_t *kept; /* LOSS_OF_CACHES: what was written back and fenced */
	struct {
		uint64_t offset, length;
	} leaving[64]; /* what was written back since the last fence */
	unsigned leaving_count;
};

static struct dying *of(struct media *m)
{
	return (struct dying *)(void *)m;
}

static void dying_copy(struct media *m, uint64_t offset, const void *from, uint64_t length)
{
	struct dying *d = of(m);
	unsigned n = d->count++;

	if (d->dead)
		return;
	if (n == d->missing)
		length = d->loss == LOSS_OF_HALF ? length / 16 * 8 : 0;
	if (length > 0)
		memcpy(m->base + offset, from, length);
}

static void dying_publish(struct media *m, uint64_t offset, uint64_t value)
{
	struct dying *d = of(m);

	if (!d->dead && d->count != d->missing)
		memcpy(m->base + offset, &value, sizeof(value));
	d->count++;
}

static void dying_flush(struct media *m, uint64_t offset, uint64_t length)
{
	struct dying *d = of(m);

	if (!d->kept || d->dead)
		return;
	cr_assert_lt(d->leaving_count, ARRAY_SIZE(d->leaving));
	d->leaving[d->leaving_count].offset = offset;
	d->leaving[d->leaving_count++].length = length;
}

static void dying_fence(struct media *m)
{
	struct dying *d = of(m);

	for (unsigned n = 0; n < d->leaving_count && !d->dead; n++)
		memcpy(d->kept + d->leaving[n].offset, m->base + d->leaving[n].offset,
			d->leaving[n].length);
	d->leaving_count = 0;
	d->dead |= d->count > d->last;
}

static const struct media_ops dying_ops = {

	.copy = dying_copy, .flush = dying_flush, .fence = dying_fence, .publish = dying_publish};

/* Repairs with the media that die, then once more, which gives `should`. The number of stores. */
static unsigned try_death(struct scene *s, const struct view *should, unsigned n, enum loss loss,
	void (*damage)(struct scene *))
{
	static const char *const losses[] = {"", ", half of it", ", and the caches"};
	struct dying d = {.last = n, .missing = n, .loss = loss};
	char what[64], text[512] = "";

	(void)snprintf(what, sizeof(what), "store %u%s", n, losses[loss]);
	scene_restore(s);
	damage(s);
	if (loss == LOSS_OF_CACHES) {
		d.missing = UINT32_MAX;
		d.kept = malloc(s->size);
		memcpy(d.kept, s->damaged, s->size);
	}
	d.media = (struct media){.ops = &dying_ops, .base = s->damaged, .size = s->size};
	scene_repair(s, &d.media);
	if (d.kept) {
		cr_expect(d.dead || memcmp(s->damaged, d.kept, s->size) == 0,
			"it has ended, and not all of it has left the caches");
		memcpy(s->damaged, d.kept, s->size);
	}
	free(d.kept);
	cr_assert_eq(s->error, 0, "%s: %s", what, s->why.text);
	scene_repair(s, NULL);
	cr_expect_eq(s->error, 0, "%s, then: %s", what, s->why.text);
	cr_expect(scene_is_sound(s, what));
	if (view_hash(&s->after.view) != view_hash(should))
		view_describe_difference(&s->after.view, should, text, sizeof(text));
	cr_expect_str_empty(text, "%s: %s", what, text);
	return d.count;
}

static void try_deaths(enum world_shape shape, const char *script, void (*damage)(struct scene *))
{
	struct view *should = malloc(sizeof(*should));
	unsigned count = 1;
	struct scene s;

	scene_init(&s, shape, script);
	damage(&s);
	scene_repair(&s, NULL);
	cr_assert_eq(s.error, 0, "%s", s.why.text);
	cr_assert(s.needed && scene_is_sound(&s, "in one go"));
	*should = s.after.view;
	for (unsigned n = 0; n <= count; n++) { /* the last one lives */
		count = try_death(&s, should, n, LOSS_OF_ONE, damage);
		(void)try_death(&s, should, n, LOSS_OF_HALF, damage);
		(void)try_death(&s, should, n, LOSS_OF_CACHES, damage);
	}
	cr_expect_gt(count, 1);
	free(should);
	scene_deinit(&s);
}

static const char script[] =
	"mkdir d; create d/f; size d/f 2; clean d/f; checkpoint; create a; size "
	"a 3; clean a; checkpoint; create b; size b 1; create c; rename b e";

static void lose_supers(struct scene *s)
{
	memset(s->damaged + GM_SUPER_A_OFFSET, 0, sizeof(struct gm_super));
	memset(s->damaged + GM_SUPER_B_OFFSET, 0, sizeof(struct gm_super));
}

static void lose_words(struct scene *s)
{
	memset(s->damaged + GM_SLOT_WORD_A_OFFSET, 0xff, 8);
	memset(s->damaged + GM_SLOT_WORD_B_OFFSET, 0xff, 8);
	memset(s->damaged + GM_TAIL_WORD_OFFSET, 0xff, 8);
}

static void tear_journal(struct scene *s)
{
	memset(s->damaged + s->super.plan.journal_offset + 256, 0xff, 256);
}

static void lose_slot(struct scene *s)
{
	memset(s->damaged + scene_find_slot(s), 0, sizeof(struct gm_checkpoint));
}

static void hit_slot(struct scene *s)
{
	memset(s->damaged + scene_find_slot(s) + sizeof(struct gm_checkpoint) + 200, 0, 192);
}

static void lose_much(struct scene *s)
{
	lose_supers(s);
	tear_journal(s);
}

Test(repair_crash, of_superblocks)
{
	try_deaths(WORLD_FILE, script, lose_supers);
}

Test(repair_crash, of_the_words)
{
	try_deaths(WORLD_FILE, script, lose_words);
}

Test(repair_crash, of_a_torn_journal)
{
	try_deaths(WORLD_FILE, script, tear_journal);
	try_deaths(WORLD_RESERVED, script, tear_journal);
}

Test(repair_crash, of_a_slot)
{
	try_deaths(WORLD_FILE, script, lose_slot);
	try_deaths(WORLD_FILE, script, hit_slot);
}

Test(repair_crash, of_several_things)
{
	try_deaths(WORLD_FILE, script, lose_much);
}
