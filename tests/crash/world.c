// SPDX-License-Identifier: MIT
/* Running a script: what a step is between its begin and its end. */
#include "world.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random_bytes.h"
#include "world_steps.h"

void world_init(struct world *w, enum world_shape shape, struct image *image, struct trace *trace)
{
	bool reserved = shape != WORLD_FILE, groups = shape == WORLD_GROUPS;

	*w = (struct world){.shape = shape,
		.region_count = shape == WORLD_RESERVED ? 2 : 1,
		.rq = {.now = {.tv_sec = 1000, .tv_nsec = 1}, .unique = 100, .uid = 7, .gid = 8},
		.boot_id = {1}};
	recorder_init(&w->recorder, image, trace);
	w->recorder.media.size = WORLD_AREA;
	for (uint32_t n = 0; n < w->region_count; n++)
		w->regions[n] =
			(struct store_region){.kind = reserved ? GM_REGION_SOFT : GM_REGION_FILE,
				.blocks = groups   ? 4 * GM_BLOCKS_PER_GROUP + 1
					  : n == 0 ? 14
						   : 9,
				.physical_start = reserved ? (n + 1) * (1ULL << 32) : 0,
				.node = reserved ? n : GM_NODE_NONE,
				.reserved_ram = reserved,
				.large_pages = groups,
				.zeroed = !reserved};
}

void world_deinit(struct world *w)
{
	world_close(w);
	recorder_deinit(&w->recorder);
}

void world_close(struct world *w)
{
	ns_spares_forget(&w->ns);
	w->memory = content_memory_free(w->memory);
	w->store = store_close(w->store);
}

int world_open(struct world *w)
{
	struct problem why = PROBLEM_INIT;
	int r = store_read_super(&w->super, w->recorder.media.base, 0, &why);

	if (r == 0)
		r = store_open(&w->store, &w->recorder.media, &w->super, &why);
	if (r < 0)
		return r;
	ns_init(&w->ns, w->store);
	r = world_make_memory(w);
	if (r < 0)
		return r;
	memcpy(w->recorder.slot_offset, w->super.plan.slot_offset, sizeof(w->recorder.slot_offset));
	w->recorder.slot_size = w->super.plan.slot_size;
	return 0;
}

void world_state(struct world *w, struct trace_state *ret)
{
	ret->refused = !w->store;
	ret->bytes = (struct trace_bytes){.count = 0};
	ret->unique = w->unique;
	ret->hash = 0;
	if (w->store) {
		view_of_store(&ret->view, w->store);
		ret->hash = view_hash(&ret->view);
		world_note_bytes(w, ret);
	}
}

static bool fail(struct world *w, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(w->wrong, sizeof(w->wrong), format, ap);
	va_end(ap);
	return false;
}

/* A step that fails changes nothing, in memory or on the media. */
static bool check_failed(struct world *w, const struct trace_operation *o, size_t events)
{
	if (o->before.hash != o->after.hash)
		return fail(w, "\"%s\" failed and changed something", o->name);
	if (w->recorder.trace->count != events)
		return fail(w, "\"%s\" failed and stored something", o->name);
	return true;
}

static bool run_step(struct world *w, const char *text, bool explored)
{
	struct trace *t = w->recorder.trace;
	char copy[320], *words[WORLD_WORDS] = {NULL}, *save = NULL;
	struct trace_operation *o = trace_begin(t, text);
	size_t events = t->count, n = 0, index = t->operation_count - 1;
	int r;

	(void)snprintf(copy, sizeof(copy), "%s", text);
	for (char *word = strtok_r(copy, " ", &save); word && n < WORLD_WORDS;
		word = strtok_r(NULL, " ", &save))
		words[n++] = word;
	if (n == 0)
		return fail(w, "a step is empty");
	world_state(w, &o->before);
	w->rq.unique++;
	w->rq.now.tv_sec++;
	r = world_step(w, words);
	o = &t->operations[index];
	o->unexplored = !explored || strcmp(words[0], "brink") == 0; /* which is many changes */
	o->may_refuse = strcmp(words[0], "format") == 0;
	world_state(w, &o->after);
	trace_end(t);
	if (r == -ENOSYS)
		return fail(w, "there is no step \"%s\"", text);
	if (r == -EUCLEAN || r == -EPROTO)
		return fail(w, "\"%s\": %s", text, strerror(-r));
	return r == 0 || check_failed(w, o, events + 1);
}

bool world_run(struct world *w, const char *script, const struct writer_fault *fault)
{
	char *copy = strdup(script), *at = copy;
	bool explored = !strchr(script, '|');
	bool good;

	random_bytes_restart(1);
	good = copy && (strncmp(script, "blank", 5) == 0 ||
			       (run_step(w, "format", false) && run_step(w, "mount", false)));

	while (good && *at) {
		size_t length = strcspn(at, ";|");
		char end = at[length];

		at[length] = '\0';
		good = run_step(w, at + strspn(at, " "), explored);
		if (end == '|') {
			explored = true;
			w->recorder.fault = fault;
		}
		at += length + (end != '\0');
	}
	free(copy);
	return good;
}
