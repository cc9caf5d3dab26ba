// SPDX-License-Identifier: MIT
/*
 * Crash exploration of src/pool: what lies around the metadata area of a pool of two regions, on
 * files and on reserved RAM. Prints TAP: a line for each scenario, one for each broken writer.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool_judge.h"
#include "random_bytes.h"
#include "util/cleanup.h"
#include "util/log.h"

struct run {
	uint64_t seed;
	uint64_t samples;
	uint64_t states;
	unsigned tests;
	unsigned failed;
};

static void result(struct run *run, bool good, const char *name, const char *detail)
{
	printf("%sok %u - %s\n", good ? "" : "not ", ++run->tests, name);
	if (detail)
		printf("# %s\n", detail);
	run->failed += !good;
	(void)fflush(stdout);
}

static void note_state(struct pool_world *w, struct trace_state *ret)
{
	ret->unique = 0;
	ret->refused = pool_world_read(w, &ret->view, NULL) < 0;
	ret->hash = ret->refused ? 0 : view_hash(&ret->view);
}

/* The operation as it should be, or with a broken writer. The image is as before afterwards. */
static int record(struct pool_world *w, const struct pool_scenario *s, struct trace *t,
	const struct writer_fault *fault, struct problem *why)
{
	size_t mark = image_mark(&w->image);
	struct trace_operation *o = trace_begin(t, s->name);
	int r;

	note_state(w, &o->before);
	random_bytes_restart(20);
	w->recorder.trace = t;
	w->recorder.fault = fault;
	r = s->run(w, why);
	w->recorder.fault = NULL;
	trace_end(t);
	w->recorder.trace = NULL;
	note_state(w, &o->after);
	image_rollback(&w->image, mark);
	return r;
}

/* What a writer that is as it should be leaves is what a broken one is judged by. */
static int record_both(struct pool_world *w, const struct pool_scenario *s, struct trace *t,
	const struct writer_fault *fault, struct problem *why)
{
	static struct trace_state after;
	int r = record(w, s, t, NULL, why);

	if (r < 0 || !fault)
		return r;
	after = t->operations[0].after;
	trace_clear(t);
	(void)record(w, s, t, fault, why);
	t->operations[0].after = after;
	return 0;
}

/* What was found, or NULL. */
static const char *explore_scenario(struct run *run, const struct pool_scenario *s, bool reserved,
	const struct writer_fault *fault, bool persistent)
{
	static char found[2200];
	struct problem why = PROBLEM_INIT;
	struct trace trace = {.count = 0};
	struct pool_world w;
	struct explorer e;
	bool good;

	found[0] = '\0';
	pool_world_init(&w, reserved);
	explorer_init(&e, &w.image, run->seed);
	e.samples = run->samples;
	e.deeper = fault ? UINT64_MAX : 50;
	e.persistent = persistent;
	pool_judge_begin(&e, &w, s);
	random_bytes_restart(1);
	good = s->prepare(&w, &why) == 0 && record_both(&w, s, &trace, fault, &why) == 0;
	if (!good)
		(void)snprintf(found, sizeof(found), "it fails without a crash: %s", why.text);
	else if (!explore_trace(&e, &trace, 0))
		(void)snprintf(found, sizeof(found), "%s (state %" PRIu64 ":%" PRIu64 ")", e.found,
			e.at[0].epoch, e.at[0].subset);
	else if (w.strays > 0)
		(void)snprintf(found, sizeof(found), "%" PRIu64 " stores went to guests' blocks",
			w.strays);
	if (!fault) {
		printf("# %8" PRIu64 " different states in %s (%s)\n", e.distinct, s->name,
			reserved ? "reserved RAM" : "files");
		run->states += e.distinct;
	}
	trace_deinit(&trace);
	explorer_deinit(&e);
	pool_world_deinit(&w);
	return found[0] ? found : NULL;
}

static void run_scenario(struct run *run, const struct pool_scenario *s, bool reserved)
{
	const char *found = explore_scenario(run, s, reserved, NULL, true);
	char name[128];

	(void)snprintf(name, sizeof(name), "%s (two regions of %s)", s->name,
		reserved ? "reserved RAM" : "files");
	result(run, !found, name, found);
}

static void run_fault(struct run *run, const struct pool_fault *f)
{
	const struct pool_scenario *s = pool_scenarios;
	char name[160];
	const char *found;

	while (strcmp(s->name, f->scenario) != 0)
		s++;
	found = explore_scenario(run, s, true, &f->writer, true);
	(void)snprintf(name, sizeof(name), "a broken writer is caught (\"%s\"): %s",
		f->writer.found, f->writer.name);
	result(run, found && strstr(found, f->writer.found), name, found ? found : "it was not");
	if (!f->writer.flush)
		return;
	found = explore_scenario(run, s, true, &f->writer, false);
	(void)snprintf(name, sizeof(name), "and does no harm on ordinary RAM: %s", f->writer.name);
	result(run, !found, name, found);
}

int main(int argc, char *argv[])
{
	struct run run = {.seed = 1, .samples = 40};

	log_init("explore_pool", LOG_LEVEL_ERROR);
	if (argc > 3 || (argc > 1 && argv[1][0] == '-')) {
		(void)fprintf(stderr, "usage: explore_pool [SAMPLES [SEED]]\n\nExplores crashes of "
				      "format, mount and growth of a pool of two regions.\n");
		return 2;
	}
	if (argc > 1)
		run.samples = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		run.seed = strtoull(argv[2], NULL, 0);
	for (size_t n = 0; n < pool_scenario_count; n++)
		for (int reserved = 0; reserved < 2; reserved++)
			run_scenario(&run, &pool_scenarios[n], reserved);
	for (size_t n = 0; n < pool_fault_count; n++)
		run_fault(&run, &pool_faults[n]);
	printf("1..%u\n# %8" PRIu64 " different states in all\n", run.tests, run.states);
	return run.failed > 0;
}
