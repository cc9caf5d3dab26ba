// SPDX-License-Identifier: MIT
/*
 * Crash exploration. Prints TAP: one line for each script, one for each broken writer, one for
 * scripts by chance: one for each thousand of the states that are asked for, and more until there
 * were so many different ones.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explore.h"
#include "faults.h"
#include "random.h"
#include "scripts.h"
#include "subset.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "world.h"

struct run {
	struct image image;
	struct trace trace;
	struct explorer explorer;
	uint64_t seed;
	uint64_t states; /* so many different ones at the least */
	bool brief;      /* each script in one shape only */
	const char *script;
	enum world_shape shape;
	const char *place; /* a state to be judged alone, as a replay line has it */
	struct explore_place only[EXPLORE_DEPTH];
	unsigned tests;
	unsigned failed;
};

/* ---- one script ---- */

/* Runs the script, then explores what it stored. The fault found, or NULL. */
static const char *explore_script(struct run *run, const char *script, enum world_shape shape,
	const struct writer_fault *fault)
{
	struct explorer *e = &run->explorer;
	static char wrong[512];
	struct world w;
	bool good;

	explorer_reset(e);
	trace_clear(&run->trace);
	world_init(&w, shape, &run->image, &run->trace);
	good = world_run(&w, script, fault);
	(void)snprintf(wrong, sizeof(wrong), "%s", w.wrong);
	world_deinit(&w);
	image_rollback(&run->image, 0);
	if (!good)
		return wrong;
	e->bytes_of = &run->trace;
	return explore_trace(e, &run->trace, 0) ? NULL : e->found;
}

static void print_place(const struct explorer *e)
{
	for (unsigned n = 0; n < EXPLORE_DEPTH && e->at[n].epoch; n++)
		printf("%s%" PRIu64 ":%" PRIu64, n ? "/" : "", e->at[n].epoch, e->at[n].subset);
}

static void result(struct run *run, bool good, const char *name, const char *detail)
{
	printf("%sok %u - %s\n", good ? "" : "not ", ++run->tests, name);
	if (detail)
		printf("# %s\n", detail);
	run->failed += !good;
	(void)fflush(stdout);
}

static bool run_script(
	struct run *run, const char *name, const char *script, enum world_shape shape)
{
	memset(run->explorer.at, 0, sizeof(run->explorer.at));
	const char *found = explore_script(run, script, shape, NULL);

	if (!found && run->place && run->explorer.judged == 0)
		found = "there is no such state";
	if (!found && !name)
		return true;
	result(run, !found, name ? name : script, found);
	if (found) {
		printf("# replay: explore --seed %" PRIu64 " --shape %u --script '%s' --at ",
			run->seed, shape, script);
		print_place(&run->explorer);
		printf("\n");
	}
	return !found;
}

/* ---- all of them ---- */

static void run_scripts(struct run *run)
{
	static const char *const shape_names[WORLD_SHAPES] = {
		"file", "two regions of reserved RAM", "whole GiBs"};

	for (size_t n = 0; n < crash_script_count; n++)
		for (enum world_shape shape = 0; shape < WORLD_SHAPES; shape++) {
			char name[128];

			if (shape == WORLD_GROUPS && !strstr(crash_scripts[n].script, "size "))
				continue; /* the shape makes no difference */
			if (run->brief && shape != n % WORLD_GROUPS)
				continue;
			(void)snprintf(name, sizeof(name), "%s (%s)", crash_scripts[n].name,
				shape_names[shape]);
			(void)run_script(run, name, crash_scripts[n].script, shape);
		}
}

/* In an explorer of its own: what it sees does not count. */
static void explore_fault(
	struct run *run, const struct writer_fault *fault, bool persistent, const char *name)
{
	struct explorer mine = run->explorer;
	const char *found;

	explorer_init(&run->explorer, &run->image, run->seed);
	run->explorer.deeper = UINT64_MAX;
	run->explorer.persistent = persistent;
	found = explore_script(run, fault->script, WORLD_FILE, fault);
	if (fault->flush && !persistent)
		result(run, !found, name, found);
	else
		result(run, found == run->explorer.found && strstr(found, fault->found), name,
			found ? found : "it was not");
	explorer_deinit(&run->explorer);
	run->explorer = mine;
}

static void run_fault(struct run *run, const struct writer_fault *fault)
{
	char name[160];

	(void)snprintf(name, sizeof(name), "a broken writer is caught (\"%s\"): %s", fault->found,
		fault->name);
	explore_fault(run, fault, true, name);
	if (!fault->flush)
		return;
	(void)snprintf(name, sizeof(name), "and does no harm on ordinary RAM: %s", fault->name);
	explore_fault(run, fault, false, name);
}

static void run_random(struct run *run)
{
	char script[RANDOM_SCRIPT_MAX], name[96];
	unsigned count = 0;
	bool good = true;

	while (good && (count < run->states / 1000 || run->explorer.distinct < run->states)) {
		random_script(script, image_mix(run->seed, ++count));
		good = run_script(run, NULL, script, count % WORLD_SHAPES);
	}
	(void)snprintf(name, sizeof(name), "%u scripts by chance, seed %" PRIu64, count, run->seed);
	result(run, good, name, NULL);
}

static void report(const struct run *run)
{
	const struct explorer *e = &run->explorer;

	for (size_t n = 0; n < ARRAY_SIZE(e->kinds) && e->kinds[n].states; n++)
		printf("# %8" PRIu64 " different states in %s\n", e->kinds[n].states,
			e->kinds[n].name);
	printf("# %8" PRIu64 " different states in all\n", e->distinct);
	printf("# %8" PRIu64 " times every subset of the stores between two fences was tried\n",
		e->exhausted);
	printf("# %8" PRIu64 " times, of more than %u words, samples of them\n", e->sampled,
		SUBSET_WORDS_ALL);
}

/* ---- command line ---- */

static void usage(FILE *to)
{
	(void)fprintf(to,
		"usage: explore [--states N] [--seed N] [--samples N] [--deeper N] [--brief]\n"
		"       explore [--seed N] [--shape N] --script SCRIPT [--at PLACE]\n\n"
		"Explores crashes of the metadata's writer; see tests/crash/explore.h.\n\n"
		"  --states N   different states at the least (50000)\n"
		"  --seed N     of all chances (1)\n"
		"  --samples N  of each kind of subset, where not all are tried (40)\n"
		"  --deeper N   one of N states has its recovery explored (1000)\n"
		"  --brief      each script in one shape of pool only\n"
		"  --script S   this script alone; --shape 0: a file, 1: reserved RAM, 2: GiBs\n"
		"  --at PLACE   this state alone, as a replay line has it\n");
}

/* "epoch:subset/epoch:subset": the crash, the crash of its recovery. */
static bool parse_place(struct run *run)
{
	const char *at = run->place;
	int length;

	for (unsigned n = 0; n < EXPLORE_DEPTH; n++, at++) {
		if (sscanf(at, "%" SCNu64 ":%" SCNu64 "%n", &run->only[n].epoch,
			    &run->only[n].subset, &length) != 2)
			return false;
		at += length;
		run->explorer.only_depth = n + 1;
		if (*at != '/')
			break;
	}
	run->explorer.only = run->only;
	return *at == '\0';
}

static int run_all(struct run *run)
{
	if (run->script) {
		(void)run_script(run, run->script, run->script, run->shape);
	} else {
		run_scripts(run);
		for (size_t n = 0; n < writer_fault_count; n++)
			run_fault(run, &writer_faults[n]);
		run_random(run);
	}
	printf("1..%u\n", run->tests);
	report(run);
	return run->failed > 0;
}

static bool parse_options(struct run *run, int argc, char *argv[])
{
	static const struct option options[] = {
		{"states", required_argument, NULL, 's'},
		{"seed", required_argument, NULL, 'S'},
		{"samples", required_argument, NULL, 'n'},
		{"deeper", required_argument, NULL, 'd'},
		{"brief", no_argument, NULL, 'b'},
		{"script", required_argument, NULL, 'c'},
		{"shape", required_argument, NULL, 'h'},
		{"at", required_argument, NULL, 'a'},
		{NULL, 0, NULL, 0},
	};

	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		uint64_t number = optarg ? strtoull(optarg, NULL, 0) : 0;

		switch (c) {
		case 's':
			run->states = number;
			break;
		case 'S':
			run->seed = run->explorer.seed = number;
			break;
		case 'n':
			run->explorer.samples = number;
			break;
		case 'd':
			run->explorer.deeper = number;
			break;
		case 'b':
			run->brief = true;
			break;
		case 'c':
			run->script = optarg;
			break;
		case 'h':
			run->shape = number < WORLD_SHAPES ? (enum world_shape)number : WORLD_FILE;
			break;
		case 'a':
			run->place = optarg;
			break;
		default:
			return false;
		}
	}
	return optind == argc && run->explorer.samples > 0 && run->explorer.deeper > 0 &&
	       (!run->place || (run->script && parse_place(run)));
}

int main(int argc, char *argv[])
{
	struct run run = {.seed = 1, .states = 50000};
	int r = 2;

	log_init("explore", LOG_LEVEL_ERROR);
	/* What one state frees the next one needs, but for an allocator: most of its two MiB are
	 * never touched, and are cleared where they do not come from mmap. */
	(void)mallopt(M_TRIM_THRESHOLD, 64 << 20);
	(void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
	image_init(&run.image, WORLD_AREA + WORLD_BYTES);
	explorer_init(&run.explorer, &run.image, run.seed);
	if (parse_options(&run, argc, argv))
		r = run_all(&run);
	else
		usage(stderr);
	explorer_deinit(&run.explorer);
	trace_deinit(&run.trace);
	image_deinit(&run.image);
	return r;
}
