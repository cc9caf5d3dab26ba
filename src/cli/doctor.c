// SPDX-License-Identifier: MIT
/* guestmemfs doctor: what this host, or its next command line, would do to guests' memory. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "cli/cli.h"
#include "cli/instances.h"
#include "doctor/cmdline.h"
#include "doctor/doctor.h"
#include "doctor/facts.h"
#include "doctor/regions.h"
#include "region/region.h"
#include "util/cleanup_file.h"

#define CMDLINE_FILE_MAX 65536U /* no kernel takes more than a few KiB */

struct doctor_run {
	struct doctor_report report;
	struct doctor_facts facts;
	struct doctor_regions regions;
	char *cmdline; /* NULL: the running one */
};

static void doctor_run_deinit(struct doctor_run *d)
{
	doctor_report_deinit(&d->report);
	doctor_regions_deinit(&d->regions);
	facts_deinit(&d->facts);
	free(d->cmdline);
}

/* ---- the command line ---- */

/* FILE may be /proc/cmdline of another host, or a boot loader's file that holds the one line. */
static int read_cmdline(char **ret, const char *path, struct problem *why)
{
	_cleanup_file_ FILE *opened = strcmp(path, "-") == 0 ? NULL : fopen(path, "re");
	FILE *f = strcmp(path, "-") == 0 ? stdin : opened;
	_cleanup_free_ char *text = malloc(CMDLINE_FILE_MAX + 1);

	if (!text)
		return problem_errno(why, ENOMEM, "reading %s", path);
	if (!f)
		return problem_errno(why, errno, "%s", path);
	size_t n = fread(text, 1, CMDLINE_FILE_MAX + 1, f);
	if (ferror(f))
		return problem_errno(why, errno ? errno : EIO, "reading %s", path);
	if (n > CMDLINE_FILE_MAX || memchr(text, '\0', n))
		return problem(why, EINVAL, "%s holds no command line: it is %s", path,
			n > CMDLINE_FILE_MAX ? "much too long" : "not a text");
	text[n] = '\0';
	*ret = steal_pointer(text);
	return 0;
}

/* ---- pools that are mounted ---- */

static void check_kind(struct doctor_report *report, const struct instance *i)
{
	const char *mount = query_text(i->status, "/mount_point");
	struct doctor_finding *f = NULL;

	if (strcmp(query_text(i->status, "/regions/0/kind"), "file") != 0) {
		(void)doctor_report_add(report, "pool", DOCTOR_OK,
			"the pool mounted at %.300s is on reserved memory", mount);
		return;
	}
	f = doctor_report_add(report, "pool", DOCTOR_WARNING,
		"the pool mounted at %.300s is on a file, which does not survive a kexec", mount);
	doctor_finding_remedy(
		f, "have guests that are to live through one on a soft or pmem region");
}

static void check_supervisor(struct doctor_report *report, const struct instance *i)
{
	struct doctor_finding *f = NULL;

	if (query_number(i->status, "/pids/supervisor") != 0)
		return;
	f = doctor_report_add(report, "pool", DOCTOR_WARNING,
		"nobody watches over the processes of the pool mounted at %.300s: its supervisor "
		"has died",
		query_text(i->status, "/mount_point"));
	doctor_finding_remedy(f, "start guestmemfs-fuse again with the same arguments: it takes "
				 "over, and nobody notices");
}

/* Each pool asks for its own token. */
static int check_token(struct doctor_report *report, const struct instance *i,
	const struct cmdline *next, struct problem *why)
{
	_cleanup_(json_object_putp) struct json_object *o = NULL;
	int r = query_socket(i->socket, CONTROL_TOKEN, 0, &o, why);

	if (r < 0)
		return r;
	const char *token = query_text(o, "/token");
	if (*token == '-' || next->token_count == 0) /* that there is none is said already */
		return 0;
	for (size_t n = 0; n < next->token_count; n++)
		if (strcmp(next->tokens[n], token) == 0)
			return 0;
	struct doctor_finding *f = doctor_report_add(report, "succession", DOCTOR_DANGER,
		"the next command line does not bear the token of the pool mounted at %.200s, "
		"which would be refused",
		query_text(i->status, "/mount_point"));
	doctor_finding_remedy(f, "add guestmemfs.succession=%s, or use guestmemfs kexec", token);
	return 0;
}

static bool is_shortage(int r)
{
	return r == -ENOMEM || r == -EMFILE || r == -ENFILE;
}

/* A pool that can't be asked is a finding, unless it is us who have nothing to ask with. */
static int check_pools(struct doctor_run *d, const struct cmdline *next, struct problem *ret)
{
	_cleanup_(instances_deinit) struct instances all = INSTANCES_NULL;
	struct problem why = PROBLEM_INIT;
	int r = instances_find(&all, &why);

	for (size_t n = 0; n < all.count; n++) {
		check_kind(&d->report, &all.list[n]);
		check_supervisor(&d->report, &all.list[n]);
		if (next && r == 0)
			r = check_token(&d->report, &all.list[n], next, &why);
	}
	if (r == 0 && all.silent == 0)
		return 0;
	if (r == 0)
		why = all.silence;
	if (is_shortage(r)) {
		*ret = why;
		return r;
	}
	struct doctor_finding *f = doctor_report_add(&d->report, "pool", DOCTOR_WARNING,
		"not every pool that is mounted could be asked: %.400s", why.text);
	doctor_finding_remedy(f, "%s; its regions are checked all the same",
		instances_remedy(r < 0 ? r : all.error));
	return 0;
}

/* ---- all checks ---- */

static int check_lines(struct doctor_run *d, struct problem *why)
{
	_cleanup_(cmdline_deinit) struct cmdline next = CMDLINE_NULL;
	const char *text = d->cmdline ? d->cmdline : d->facts.cmdline;
	int r = doctor_check_cmdline(&d->report, &d->facts, &d->regions, text, d->cmdline != NULL);

	if (r == 0 && d->cmdline)
		r = cmdline_parse(&next, d->cmdline);
	if (r == 0)
		r = check_pools(d, d->cmdline ? &next : NULL, why);
	return r == 0 && d->report.failed ? -ENOMEM : r;
}

static bool has_soft_region(const struct doctor_regions *regions)
{
	for (size_t n = 0; n < regions->count; n++)
		if (regions->list[n].kind == GM_REGION_SOFT)
			return true;
	return false;
}

static int examine(struct doctor_run *d, struct problem *why)
{
	int r = facts_gather(&d->facts, "", why);

	if (r == 0)
		r = doctor_regions_find(&d->regions, &d->facts);
	if (r == 0 && has_soft_region(&d->regions))
		r = facts_gather_counts(&d->facts, "", GM_COUNTS_PATH, why);
	if (r == 0)
		r = doctor_check_host(&d->report, &d->facts, &d->regions);
	if (r == 0)
		r = check_lines(d, why);
	return r == 0 || *why->text ? r : problem_errno(why, -r, "checking this host");
}

/* ---- output ---- */

static void print_findings(const struct doctor_report *report)
{
	for (size_t n = 0; n < report->count; n++) {
		const struct doctor_finding *f = &report->findings[n];

		printf("%-7s  %-16s  %s%s%s\n", doctor_level_name(f->level), f->id, f->text,
			f->remedy[0] ? "; " : "", f->remedy);
	}
}

static bool put(struct json_object *o, const char *key, struct json_object *value)
{
	if (o && value && json_object_object_add(o, key, value) == 0)
		return true;
	json_object_put(value);
	return false;
}

static struct json_object *make_finding(const struct doctor_finding *f)
{
	struct json_object *o = json_object_new_object();

	if (o && put(o, "id", json_object_new_string(f->id)) &&
		put(o, "level", json_object_new_string(doctor_level_name(f->level))) &&
		put(o, "text", json_object_new_string(f->text)) &&
		put(o, "remedy", json_object_new_string(f->remedy)))
		return o;
	json_object_put(o);
	return NULL;
}

static struct json_object *make_region(const struct doctor_region *r)
{
	static const char *const pools[] = {"unknown", "no", "yes"};
	struct json_object *o = json_object_new_object();

	if (o && put(o, "kind", json_object_new_string(region_kind_name(r->kind))) &&
		put(o, "start", json_object_new_uint64(r->start)) &&
		put(o, "size", json_object_new_uint64(r->end - r->start)) &&
		put(o, "pool", json_object_new_string(pools[r->pool])))
		return o;
	json_object_put(o);
	return NULL;
}

static bool append(struct json_object *list, struct json_object *value)
{
	if (value && json_object_array_add(list, value) == 0)
		return true;
	json_object_put(value);
	return false;
}

static struct json_object *make_lists(const struct doctor_run *d)
{
	struct json_object *o = json_object_new_object();
	struct json_object *findings = json_object_new_array();
	struct json_object *regions = json_object_new_array();
	bool good = o && findings && regions;

	for (size_t n = 0; good && n < d->report.count; n++)
		good = append(findings, make_finding(&d->report.findings[n]));
	for (size_t n = 0; good && n < d->regions.count; n++)
		good = append(regions, make_region(&d->regions.list[n]));
	/* put() takes each one over, whatever becomes of it. */
	good &= put(o, "findings", findings);
	good &= put(o, "regions", regions);
	good &= put(o, "worst",
		json_object_new_string(doctor_level_name(doctor_report_worst(&d->report))));
	if (good)
		return o;
	json_object_put(o);
	return NULL;
}

static int print_report(const struct doctor_run *d, bool json, struct problem *why)
{
	_cleanup_(json_object_putp) struct json_object *o = NULL;

	if (!json) {
		print_findings(&d->report);
		return 0;
	}
	o = make_lists(d);
	if (!o)
		return problem_errno(why, ENOMEM, "printing the findings");
	return query_print(o, why);
}

static int run_doctor(const struct cli_command *self, int argc, char **argv)
{
	static const struct option options[] = {
		{"cmdline", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{"json", no_argument, NULL, 'j'},
		{NULL, 0, NULL, 0},
	};
	_cleanup_(doctor_run_deinit) struct doctor_run d = {.cmdline = NULL};
	struct problem why = PROBLEM_INIT;
	const char *path = NULL;
	bool json = false;
	int r = 0;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h')
			return cli_print_help(self);
		if (c != 'c' && c != 'j')
			return cli_usage_hint(self);
		json |= c == 'j';
		if (c == 'c')
			path = optarg;
	}
	if (optind < argc)
		return cli_usage_error(self, "'%s' is one argument too many", argv[optind]);
	if (path)
		r = read_cmdline(&d.cmdline, path, &why);
	if (r == 0)
		r = examine(&d, &why);
	if (r == 0)
		r = print_report(&d, json, &why);
	if (r < 0)
		return cli_fail(&why);
	return doctor_report_worst(&d.report) == DOCTOR_DANGER ? CLI_FAILED : CLI_DONE;
}

const struct cli_command cli_doctor = {
	.name = "doctor",
	.usage = "[--cmdline FILE|-] [--json]",
	.summary = "find what could cost guests their memory, on this host or in the next kernel",
	.help = "One line for each check: ok, warning or danger, what is so, and what to do about "
		"it. Ends with 1 if there is a\n"
		"danger. docs/boot.md explains each one.\n"
		"\n"
		"  --cmdline FILE|-  check the command line in FILE (or standard input), for the "
		"next kernel, against the\n"
		"                    regions in use, in place of the running kernel's\n"
		"  --json            print JSON; docs/boot.md describes the keys\n"
		"  --help            print this",
	.run = run_doctor,
};
