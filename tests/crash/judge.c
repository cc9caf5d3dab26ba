// SPDX-License-Identifier: MIT
/* Is a crash state good? */
#include "judge.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "go_on.h"
#include "random_bytes.h"
#include "store/fsck.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "world.h"

static int open_store(struct recorder *r, struct store **ret, struct problem *why)
{
	struct store_super super;
	int e = store_read_super(&super, r->media.base, 0, why);

	return e < 0 ? e : store_open(ret, &r->media, &super, why);
}

/* ---- the state itself ---- */

static bool is_state(const struct trace_state *s, uint64_t hash, uint64_t unique)
{
	return !s->refused && s->hash == hash && s->unique == unique;
}

/* Recovery and reader have both accepted it, and see the same. */
static bool judge_accepted(struct explorer *e, const struct explore_expected *x)
{
	const struct trace_operation *o = x->operation;
	const struct reading *is = &e->work->reading;
	uint64_t hash = view_hash(&is->view);
	char before[512] = "there was no filesystem", after[512];

	if (is_state(&o->after, hash, is->unique) ||
		(!x->acknowledged && is_state(&o->before, hash, is->unique)))
		return true;
	if (!o->before.refused)
		view_describe_difference(&is->view, &o->before.view, before, sizeof(before));
	view_describe_difference(&is->view, &o->after.view, after, sizeof(after));
	return explore_found(e,
		"%s \"%s\" recovery gives neither the state before (%s; last request %" PRIu64
		", not %" PRIu64 ") nor the one after (%s; last request not %" PRIu64 ")%s",
		x->acknowledged ? "after" : "in", o->name, before, is->unique, o->before.unique,
		after, o->after.unique, x->acknowledged ? ", which was acknowledged" : "");
}

static bool judge_refused(struct explorer *e, const struct explore_expected *x, const char *why)
{
	const struct trace_operation *o = x->operation;
	bool before = !x->acknowledged && (o->may_refuse || o->before.refused);

	if (before || o->after.refused)
		return true;
	return explore_found(e, "%s \"%s\" recovery refuses the pool: %s",
		x->acknowledged ? "after" : "in", o->name, why);
}

/* ---- the offline check ---- */

static bool judge_fsck(struct explorer *e, const struct store_super *super, bool accepted)
{
	struct fsck_report report;
	uint64_t bytes[VIEW_REGIONS] = {0};
	const struct gm_stamp *stamps[2 * VIEW_REGIONS] = {NULL};
	struct fsck_input in = {.area = (const uint8_t *)e->image->words,
		.area_bytes = WORLD_AREA,
		.region_count = super ? super->region_count : 1,
		.region_bytes = bytes,
		.stamps = stamps};
	bool good = true;

	for (uint32_t n = 0; super && n < super->region_count; n++)
		bytes[n] = super->regions[n].blocks * GM_BLOCK_SIZE;
	if (fsck_run(&report, &in) < 0)
		good = explore_found(e, "fsck failed");
	else if ((report.errors > 0) == accepted)
		good = explore_found(e, "fsck finds %" PRIu64 " errors%s%s, and recovery %s",
			report.errors, report.count ? ": " : "",
			report.count ? report.findings[0].text : "",
			accepted ? "accepts the pool" : "refuses it");
	fsck_report_deinit(&report);
	return good;
}

/* ---- going on from there ---- */

/* Both ways to begin a mount; a pool that was frozen is thawed by one of them. */
static void choose_boot(const struct explorer *e, const struct store *s, uint8_t boot_id[16])
{
	memcpy(boot_id, store_meta((struct store *)(uintptr_t)s)->boot_id, 16);
	if (e->image->hash & 1)
		boot_id[15] = (uint8_t)(boot_id[15] + 1);
}

/* What was changed after the crash is on the media as it is in memory. */
static bool judge_going_on(struct explorer *e, struct recorder *r, struct store *s)
{
	struct explore_work *w = e->work;
	struct problem why = PROBLEM_INIT;
	uint8_t boot_id[16];
	char text[512];
	int k;

	choose_boot(e, s, boot_id);
	k = go_on(s, boot_id, e->image->hash & 2, &why);
	if (k < 0)
		return explore_found(
			e, "the next operations fail: %s (%s)", strerror(-k), why.text);
	view_of_store(&w->view, s);
	if (!reader_read(&w->reading, r->media.base, r->media.size))
		return explore_found(
			e, "the next operations leave what can't be read: %s", w->reading.why);
	if (view_hash(&w->view) == view_hash(&w->reading.view))
		return true;
	view_describe_difference(&w->reading.view, &w->view, text, sizeof(text));
	return explore_found(e, "the next operations leave another state on the media: %s", text);
}

/* ---- crashes of the mount after the crash ---- */

static void note_state(struct trace_state *to, struct explore_work *w, struct store *s)
{
	view_of_store(&to->view, s);
	to->hash = view_hash(&to->view);
	to->unique = w->reading.unique;
	to->refused = false;
}

static int record_mount(struct explorer *e, struct trace *t)
{
	struct problem why = PROBLEM_INIT;
	struct trace_operation *o;
	struct store *s = NULL;
	struct recorder r;
	uint8_t boot_id[16];
	int k;

	trace_clear(t);
	random_bytes_restart(2);
	recorder_init(&r, e->image, t);
	r.media.size = WORLD_AREA;
	k = open_store(&r, &s, &why);
	if (k < 0)
		return k;
	o = trace_begin(t, "recovery");
	note_state(&o->before, e->work, s);
	choose_boot(e, s, boot_id);
	k = store_begin_mount(s, boot_id, &why);
	note_state(&o->after, e->work, s);
	trace_end(t);
	store_close(s);
	return k;
}

/* e->work->reading is of the image as it is. */
static bool explore_recovery(struct explorer *e, unsigned depth)
{
	struct trace *t = &e->work->traces[depth];
	size_t mark = image_mark(e->image);
	int r = record_mount(e, t);

	image_rollback(e->image, mark);
	if (r < 0)
		return explore_found(e, "the mount after a crash fails: %s", strerror(-r));
	return explore_trace(e, t, depth + 1);
}

static bool goes_deeper(const struct explorer *e, unsigned depth)
{
	if (depth + 1 >= EXPLORE_DEPTH)
		return false;
	if (e->only)
		return depth + 1 < e->only_depth;
	return image_mix(e->image->hash, e->seed) % e->deeper == 0;
}

/* ---- all of it ---- */

static bool judge_opened(struct explorer *e, struct recorder *r, struct store *s,
	const struct explore_expected *x, unsigned depth)
{
	struct explore_work *w = e->work;
	size_t mark = image_mark(e->image);
	char text[512];
	bool good;

	view_of_store(&w->view, s);
	if (view_hash(&w->view) != view_hash(&w->reading.view)) {
		view_describe_difference(&w->view, &w->reading.view, text, sizeof(text));
		return explore_found(e, "recovery and reader differ: %s", text);
	}
	if (!judge_accepted(e, x) || (depth == 0 && !judge_bytes(e, x, &w->reading.view)))
		return false;
	if (e->image->hash % 4 == 0 && !judge_fsck(e, store_get_super(s), true))
		return false;
	if (goes_deeper(e, depth) && !explore_recovery(e, depth))
		return false;
	good = judge_going_on(e, r, s);
	image_rollback(e->image, mark);
	return good;
}

bool judge_state(struct explorer *e, const struct explore_expected *x, unsigned depth)
{
	struct problem why = PROBLEM_INIT;
	struct recorder r;
	struct store *s = NULL;
	bool readable, good;
	int opened;

	e->judged++;
	random_bytes_restart(3);
	recorder_init(&r, e->image, NULL);
	r.media.size = WORLD_AREA;
	readable = reader_read(&e->work->reading, r.media.base, r.media.size);
	opened = open_store(&r, &s, &why);
	if (readable && opened == 0)
		good = judge_opened(e, &r, s, x, depth);
	else if (readable)
		good = explore_found(e, "in \"%s\" recovery refuses what can be read: %s",
			x->operation->name, why.text);
	else if (opened == 0)
		good = explore_found(e, "in \"%s\" recovery accepts what can't be: %s",
			x->operation->name, e->work->reading.why);
	else
		good = judge_refused(e, x, why.text) &&
		       (e->image->hash % 4 || judge_fsck(e, NULL, false));
	store_close(s);
	return good;
}
