// SPDX-License-Identifier: MIT
/* guestmemfs fsck: checks a pool that is not mounted; what it finds --repair puts right, and
 * --restore takes that back. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/fsck_repair.h"
#include "cli/max_files.h"
#include "cli/query.h"
#include "cli/regions.h"
#include "cli/text.h"
#include "pool/pool.h"
#include "util/cleanup.h"

static const char *fsck_severity_name(enum fsck_severity severity)
{
	return severity == FSCK_ERROR ? "error" : "note";
}

static void fsck_print(const struct fsck_report *report)
{
	for (size_t i = 0; i < report->count; i++) {
		const struct fsck_finding *f = &report->findings[i];
		/* There are names of users in it, which must not steer a terminal. */
		_cleanup_free_ char *safe = text_escape(f->text);

		printf("%s: %s: %s\n", fsck_severity_name(f->severity), f->code, safe ? safe : "?");
	}
	printf("looked at %" PRIu64 " files and directories, %" PRIu64 " entries, %" PRIu64
	       " extents, %" PRIu64 " journal records: ",
		report->inodes, report->entries, report->extents, report->records);
	if (report->errors)
		printf("%" PRIu64 " error(s)\n", report->errors);
	else
		puts("clean");
}

static bool json_put(struct json_object *o, const char *key, struct json_object *value)
{
	return value && json_object_object_add(o, key, value) == 0;
}

static struct json_object *fsck_json_finding(const struct fsck_finding *f)
{
	struct json_object *o = json_object_new_object();

	if (o && json_put(o, "severity", json_object_new_string(fsck_severity_name(f->severity))) &&
		json_put(o, "code", json_object_new_string(f->code)) &&
		json_put(o, "text", json_object_new_string(f->text)))
		return o;
	json_object_put(o);
	return NULL;
}

static struct json_object *fsck_json_findings(const struct fsck_report *report)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; list && i < report->count; i++) {
		struct json_object *o = fsck_json_finding(&report->findings[i]);
		if (!o || json_object_array_add(list, o) < 0) {
			json_object_put(o);
			json_object_put(list);
			return NULL;
		}
	}
	return list;
}

static int fsck_print_json(const struct fsck_report *report, struct problem *why)
{
	_cleanup_(json_object_putp) struct json_object *o = json_object_new_object();

	if (!o || !json_put(o, "clean", json_object_new_boolean(report->errors == 0)) ||
		!json_put(o, "errors", json_object_new_uint64(report->errors)) ||
		!json_put(o, "inodes", json_object_new_uint64(report->inodes)) ||
		!json_put(o, "entries", json_object_new_uint64(report->entries)) ||
		!json_put(o, "extents", json_object_new_uint64(report->extents)) ||
		!json_put(o, "records", json_object_new_uint64(report->records)) ||
		!json_put(o, "findings", fsck_json_findings(report)))
		return problem_errno(why, ENOMEM, "printing the findings");
	return query_print(o, why);
}

/* The exit code. */
static int fsck_pool(const struct cli_regions *regions, bool json)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	_cleanup_(fsck_report_deinit) struct fsck_report report = {.count = 0};
	struct problem why = PROBLEM_INIT;
	int r = pool_open(&pool, regions->specs, regions->count, REGION_OPEN_READ_ONLY, &why);

	if (r == 0)
		r = pool_lock(&pool, true, REGIONS_LOCK_MS, &why);
	if (r == 0)
		r = pool_check_memory(&pool, &why);
	if (r == 0)
		r = pool_check(&pool, &report, &why);
	if (r < 0)
		return cli_fail(&why);
	if (!json)
		fsck_print(&report);
	else if (fsck_print_json(&report, &why) < 0)
		return cli_fail(&why);
	return report.errors ? CLI_FAILED : CLI_DONE;
}

struct fsck_options {
	struct cli_regions regions;
	struct fsck_repair how;
	bool repair;
	bool of_write; /* an option was given that is for what writes only */
	bool json;
};

static void fsck_options_deinit(struct fsck_options *o)
{
	cli_regions_deinit(&o->regions);
}

static int fsck_take_option(const struct cli_command *self, struct fsck_options *o, int c)
{
	o->of_write |= c == 'y' || c == 'b';
	switch (c) {
	case 'r':
		return cli_regions_add(&o->regions, self, optarg);
	case 'j':
		o->json = true;
		return CLI_DONE;
	case 'R':
		o->repair = true;
		return CLI_DONE;
	case 'S':
		o->how.restore = optarg;
		return CLI_DONE;
	case 'y':
		o->how.yes = true;
		return CLI_DONE;
	case 'b':
		o->how.backup = optarg;
		return CLI_DONE;
	case 'm':
		return cli_parse_max_files(self, optarg, &o->how.max_files);
	default:
		return cli_usage_hint(self);
	}
}

static int fsck_check_options(
	const struct cli_command *self, struct fsck_options *o, int argc, char **argv)
{
	bool writes = o->repair || o->how.restore;

	if (o->how.max_files && !o->repair)
		return cli_usage_error(self, "--max-files is for --repair");
	if (o->of_write && !writes)
		return cli_usage_error(self, "--yes and --backup are for --repair and --restore");
	if (o->repair && o->how.restore)
		return cli_usage_error(self, "--repair and --restore: one after the other");
	if (o->json && writes)
		return cli_usage_error(self,
			"--json is for looking, --repair and --restore for changing: one after the "
			"other");
	return cli_regions_check(&o->regions, self, argc, argv);
}

static int run_fsck(const struct cli_command *self, int argc, char **argv)
{
	static const struct option options[] = {
		{"region", required_argument, NULL, 'r'},
		{"json", no_argument, NULL, 'j'},
		{"repair", no_argument, NULL, 'R'},
		{"restore", required_argument, NULL, 'S'},
		{"yes", no_argument, NULL, 'y'},
		{"backup", required_argument, NULL, 'b'},
		{"max-files", required_argument, NULL, 'm'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	_cleanup_(fsck_options_deinit) struct fsck_options o = {.repair = false};
	int code = CLI_DONE;
	int c = 0;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h')
			return cli_print_help(self);
		code = fsck_take_option(self, &o, c);
		if (code != CLI_DONE)
			return code;
	}
	code = fsck_check_options(self, &o, argc, argv);
	if (code != CLI_DONE)
		return code;
	if (o.how.restore)
		return fsck_restore_pool(&o.regions, &o.how);
	return o.repair ? fsck_repair_pool(&o.regions, &o.how) : fsck_pool(&o.regions, o.json);
}

const struct cli_command cli_fsck = {
	.name = "fsck",
	.usage =
		"[--region SPEC ...] [--json | --repair [--max-files N] [--yes] [--backup FILE] |\n"
		"                       --restore FILE [--yes] [--backup FILE]]",
	.summary = "check a pool that is not mounted, or repair it",
	.help = "Looks at every structure and cross-reference of the metadata and reports all that "
		"is wrong. Nothing is\n"
		"changed. Exit code 0: clean (notes are things that the next mount deals with); 1: "
		"errors found, or it\n"
		"could not be checked.\n\n"
		"With --repair it says what of a damaged pool can be kept and what is lost, asks, "
		"keeps a copy of the\n"
		"metadata, and writes them anew. Guests' memory is never written. Exit code 0: "
		"repaired, or nothing to\n"
		"repair; 1: it can't be repaired, or the answer was no; 2: neither a terminal to "
		"ask at nor --yes.\n"
		"With --restore it puts the copy of a repair back, and keeps what it writes over "
		"in the same way.\n\n"
		"  --region SPEC       the regions of the pool, in the order of the format; see "
		"guestmemfs format --help\n"
		"  --json              print JSON: clean, errors, findings (severity, code, text), "
		"and what was looked at\n"
		"  --repair            repair it; a pool that is clean is left as it is\n"
		"  --restore FILE      put back the metadata that are in FILE, damage included; it "
		"has to be this pool's\n"
		"  --yes               without asking\n"
		"  --backup FILE       where the copy of the metadata goes, a new file; without it "
		"one in the working\n"
		"                      directory that is named after the pool and the time\n"
		"  --max-files N       as at the format; asked for if nothing else is left to tell "
		"where the metadata end\n"
		"  --help              print this",
	.run = run_fsck,
};
