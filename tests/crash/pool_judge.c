// SPDX-License-Identifier: MIT
/*
 * Is a crash state of a whole pool good? Loaded it is the state before or after, and what the
 * independent reader reads; refused only where that may be, and then the operation can be done
 * again; after that, and whenever it was acknowledged, every stamp fits.
 */
#include "pool_judge.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

#include "judge.h"
#include "random_bytes.h"
#include "util/cleanup.h"
#include "util/le.h"

void pool_judge_begin(
	struct explorer *e, struct pool_world *world, const struct pool_scenario *scenario)
{
	e->work->world = world;
	e->work->scenario = scenario;
}

/* ---- stamps, without the store's code ---- */

static const char *stamp_fault(
	const struct pool_world *w, const struct view *v, uint32_t region, uint32_t position)
{
	static const uint8_t none[64];
	const uint64_t block = position ? v->region_blocks[region] - 1 : 0;
	const uint8_t *at = (const uint8_t *)w->image.words + pool_world_offset(region, block) +
			    GM_STAMP_OFFSET;
	struct gm_stamp s;

	memcpy(&s, at, sizeof(s));
	if (memcmp(s.magic, "GMFSSTMP", 8) != 0 || get_le64(s.checksum) != XXH3_64bits(at, 120))
		return "is damaged";
	if (memcmp(s.uuid, v->uuid, 16) != 0 || get_le32(s.region) != region ||
		get_le32(s.position) != position || get_le64(s.blocks) != v->region_blocks[region])
		return "is another one";
	if (memcmp(s.token, v->token, 16) != 0)
		return "bears another token";
	if (get_le32(s.slot_units) * 65536ULL != w->recorder.slot_size)
		return "tells of another metadata area";
	return memcmp(s.reserved, none, sizeof(s.reserved)) != 0 ? "has reserved bytes" : NULL;
}

static bool judge_stamps(struct explorer *e, const struct view *v, const char *when)
{
	for (uint32_t n = 0; n < v->region_count; n++)
		for (uint32_t position = 0; position < 2; position++) {
			const char *wrong = stamp_fault(e->work->world, v, n, position);

			if (wrong)
				return explore_found(e,
					"%s \"%s\" the %s stamp of region %" PRIu32 " %s", when,
					e->work->scenario->name, position ? "last" : "first", n,
					wrong);
		}
	return true;
}

/* ---- the state itself ---- */

static bool is_view(const struct trace_state *s, const struct view *v)
{
	return !s->refused && s->hash == view_hash(v);
}

static bool judge_loaded(struct explorer *e, const struct explore_expected *x)
{
	struct explore_work *w = e->work;
	const struct trace_operation *o = x->operation;
	char text[512];

	if (!reader_read(&w->reading, (const uint8_t *)e->image->words, pool_world_offset(1, 0)))
		return explore_found(
			e, "in \"%s\" recovery accepts what can't be: %s", o->name, w->reading.why);
	if (view_hash(&w->view) != view_hash(&w->reading.view)) {
		view_describe_difference(&w->view, &w->reading.view, text, sizeof(text));
		return explore_found(e, "in \"%s\" recovery and reader differ: %s", o->name, text);
	}
	if (is_view(&o->after, &w->view) || (!x->acknowledged && is_view(&o->before, &w->view)))
		return true;
	view_describe_difference(&w->view, &o->after.view, text, sizeof(text));
	return explore_found(e, "%s \"%s\" the pool is neither what it was before nor after: %s",
		x->acknowledged ? "after" : "in", o->name, text);
}

/* Whatever stands there makes a format ask for --force. */
static bool judge_blank(struct explorer *e)
{
	if (pool_world_is_blank(e->work->world) == (e->image->hash == 0))
		return true;
	return explore_found(e, "in \"%s\" what is there is taken for %s", e->work->scenario->name,
		e->image->hash ? "blank" : "something");
}

/* ---- done again ---- */

static bool judge_again(struct explorer *e, const struct explore_expected *x)
{
	struct explore_work *w = e->work;
	struct problem why = PROBLEM_INIT;
	int r;

	random_bytes_restart(5);
	r = w->scenario->run(w->world, &why);
	if (r == 0)
		r = pool_world_read(w->world, &w->view, &why);
	if (r < 0)
		return explore_found(e, "after a crash of \"%s\" done again it fails: %s (%s)",
			x->operation->name, why.text, strerror(-r));
	if (w->scenario->again_is_same && !is_view(&x->operation->after, &w->view))
		return explore_found(e, "after a crash of \"%s\" done again it gives another state",
			x->operation->name);
	if (pool_world_check(w->world) > 0)
		return explore_found(e,
			"after a crash of \"%s\" done again it leaves what fsck complains of",
			x->operation->name);
	return judge_stamps(e, &w->view, "done again");
}

/* Crashes of doing it again. */
static bool explore_again(struct explorer *e, const struct explore_expected *x, unsigned depth)
{
	struct explore_work *w = e->work;
	struct trace *t = &w->traces[depth];
	size_t mark = image_mark(e->image);
	struct problem why = PROBLEM_INIT;
	struct trace_operation *o;

	trace_clear(t);
	random_bytes_restart(5);
	o = trace_begin(t, "doing it again");
	o->before = x->operation->before;
	o->after = x->operation->after;
	w->world->recorder.trace = t;
	if (w->scenario->run(w->world, &why) < 0)
		return explore_found(e, "done again it fails: %s", why.text);
	trace_end(t);
	w->world->recorder.trace = NULL;
	image_rollback(e->image, mark);
	return explore_trace(e, t, depth + 1);
}

static bool goes_deeper(const struct explorer *e, unsigned depth)
{
	return depth + 1 < EXPLORE_DEPTH && e->work->scenario->again_is_same &&
	       image_mix(e->image->hash, e->seed) % e->deeper == 0;
}

/* ---- all of it ---- */

bool judge_state(struct explorer *e, const struct explore_expected *x, unsigned depth)
{
	struct explore_work *w = e->work;
	const bool may_refuse = w->scenario->may_refuse && !x->acknowledged;
	size_t mark = image_mark(e->image);
	struct problem why = PROBLEM_INIT;
	bool good = true;
	int r;

	e->judged++;
	r = pool_world_read(w->world, &w->view, &why);
	if (r == 0)
		good = judge_loaded(e, x);
	else if (!may_refuse)
		good = explore_found(e, "%s \"%s\" the pool is refused: %s",
			x->acknowledged ? "after" : "in", x->operation->name, why.text);
	else if (e->image->hash % 4 == 0 && pool_world_check(w->world) == 0)
		good = explore_found(e,
			"in \"%s\" the pool is refused (%s), and fsck finds nothing",
			x->operation->name, why.text);
	if (good && x->acknowledged)
		good = judge_stamps(e, &w->view, "after");
	if (good && goes_deeper(e, depth))
		good = explore_again(e, x, depth);
	/* A format is long, and says little of what it was made over: it is tried for some. */
	if (good && (w->scenario->again_is_same || !may_refuse || e->image->hash % 4 == 0))
		good = judge_blank(e) && judge_again(e, x);
	image_rollback(e->image, mark);
	return good;
}
