// SPDX-License-Identifier: MIT
/* guestmemfs fsck: checks a pool that is not mounted, and changes nothing. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/query.h"
#include "cli/regions.h"
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
		printf("%s: %s: %s\n", fsck_severity_name(f->severity), f->code, f->text);
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

static int fsck_print_json(const struct fsck_report *report)
{
	_cleanup_(json_object_putp) struct json_object *o = json_object_new_object();

	if (!o || !json_put(o, "clean", json_object_new_boolean(report->errors == 0)) ||
		!json_put(o, "errors", json_object_new_uint64(report->errors)) ||
		!json_put(o, "inodes", json_object_new_uint64(report->inodes)) ||
		!json_put(o, "entries", json_object_new_uint64(report->entries)) ||
		!json_put(o, "extents", json_object_new_uint64(report->extents)) ||
		!json_put(o, "records", json_object_new_uint64(report->records)) ||
		!json_put(o, "findings", fsck_json_findings(report)))
		return -ENOMEM;
	query_print(o);
	return 0;
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
		r = pool_check(&pool, &report, &why);
	if (r < 0)
		return cli_fail(&why);
	if (!json)
		fsck_print(&report);
	else if (fsck_print_json(&report) < 0)
		return cli_fail(&(struct problem){.text = "no memory to print the findings"});
	return report.errors ? CLI_FAILED : CLI_DONE;
}

static int run_fsck(const struct cli_command *self, int argc, char **argv)
{
	static const struct option options[] = {
		{"region", required_argument, NULL, 'r'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	_cleanup_(cli_regions_deinit) struct cli_regions regions = {.count = 0};
	bool json = false;
	int code = CLI_DONE;
	int c = 0;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h')
			return cli_print_help(self);
		if (c == 'j')
			json = true;
		else
			code = c == 'r' ? cli_regions_add(&regions, self, optarg)
					: cli_usage_hint(self);
		if (code != CLI_DONE)
			return code;
	}
	code = cli_regions_check(&regions, self, argc, argv);
	return code != CLI_DONE ? code : fsck_pool(&regions, json);
}

const struct cli_command cli_fsck = {
	.name = "fsck",
	.usage = "[--region SPEC ...] [--json]",
	.summary = "check a pool that is not mounted; changes nothing",
	.help = "Looks at every structure and cross-reference of the metadata and reports all that "
		"is wrong. Exit code 0: clean\n"
		"(notes are things that the next mount deals with); 1: errors found, or it could "
		"not be checked.\n\n"
		"  --region SPEC       the regions of the pool, in the order of the format; see "
		"guestmemfs format --help\n"
		"  --json              print JSON: clean, errors, findings (severity, code, text), "
		"and what was looked at\n"
		"  --help              print this",
	.run = run_fsck,
};
