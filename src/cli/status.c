// SPDX-License-Identifier: MIT
/* guestmemfs status: the state of a mount, as its worker sees it. */
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/grid.h"
#include "cli/query.h"
#include "cli/text.h"
#include "util/cleanup.h"

static void print_line(const char *head, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void print_line(const char *head, const char *format, ...)
{
	va_list ap;

	printf("%-12s ", head);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
}

/* text as it stands in the JSON, safe for a terminal. */
static void print_text(const char *head, const char *text)
{
	printf("%-12s ", head);
	text_write_escaped(stdout, text);
	putchar('\n');
}

static void print_processes(struct json_object *o)
{
	print_line("processes",
		"supervisor %" PRIu64 ", worker %" PRIu64 ", helper %" PRIu64 ", keeper %" PRIu64,
		query_number(o, "/pids/supervisor"), query_number(o, "/pids/worker"),
		query_number(o, "/pids/helper"), query_number(o, "/pids/keeper"));
	if (query_number(o, "/pids/supervisor") == 0)
		print_line("", "no supervisor: who dies now is not replaced. Start guestmemfs-fuse "
			       "again with the same arguments");
}

static void print_identity(struct json_object *o)
{
	print_text("name", query_text(o, "/name"));
	print_text("mount point", query_text(o, "/mount_point"));
	print_text("uuid", query_text(o, "/uuid"));
	if (*query_text(o, "/label"))
		print_text("label", query_text(o, "/label"));
	print_text("boot id", query_text(o, "/boot_id"));
	print_line("mount", "number %" PRIu64 "%s", query_number(o, "/mount_number"),
		query_true(o, "/frozen") ? ", frozen: every change is refused" : "");
	print_processes(o);
}

static unsigned percent(uint64_t part, uint64_t whole)
{
	return whole ? (unsigned)((double)part * 100 / (double)whole) : 0;
}

static void print_metadata(struct json_object *o)
{
	uint64_t journal = query_number(o, "/journal/used");
	uint64_t journal_size = query_number(o, "/journal/size");
	uint64_t image = query_number(o, "/checkpoint/bytes");
	uint64_t capacity = query_number(o, "/checkpoint/capacity");
	const char *fault = query_text(o, "/metadata_fault");
	char a[TEXT_SIZE];
	char b[TEXT_SIZE];

	print_line("metadata", "generation %" PRIu64 ", record %" PRIu64,
		query_number(o, "/generation"), query_number(o, "/sequence"));
	if (strcmp(fault, "-") != 0)
		print_text("", fault);
	print_line("journal", "%s of %s (%u %%)", text_size(a, journal), text_size(b, journal_size),
		percent(journal, journal_size));
	print_line("checkpoint", "%s of %s (%u %%)", text_size(a, image), text_size(b, capacity),
		percent(image, capacity));
	print_line("files",
		"%" PRIu64 " of at most %" PRIu64 ", %" PRIu64 " removed but still in use",
		query_number(o, "/files/count"), query_number(o, "/files/max"),
		query_number(o, "/orphans"));
}

static void print_blocks_line(
	struct json_object *o, const char *head, const char *pointer, const char *dirty_pointer)
{
	uint64_t size = query_number(o, "/blocks/size");
	uint64_t count = query_number(o, pointer);
	uint64_t dirty = dirty_pointer ? query_number(o, dirty_pointer) : 0;
	char a[TEXT_SIZE];
	char b[TEXT_SIZE];

	if (dirty)
		print_line(head, "%s (%" PRIu64 " blocks), %s of it to be scrubbed",
			text_size(a, count * size), count, text_size(b, dirty * size));
	else
		print_line(head, "%s (%" PRIu64 " blocks)", text_size(a, count * size), count);
}

/* What files own and nobody has asked for yet is not waited for: it is said in its own line. */
static void print_scrub(struct json_object *o)
{
	uint64_t left = query_number(o, "/blocks/free_dirty") * query_number(o, "/blocks/size");
	uint64_t speed = query_number(o, "/scrub/bytes_per_second");
	uint64_t limit = query_number(o, "/scrub/background_limit");
	char a[TEXT_SIZE], b[TEXT_SIZE], c[TEXT_SIZE];

	if (left == 0 && speed == 0)
		return;
	print_line("scrubbing", "%s to go, %s a second at the moment, at most %s in the background",
		text_size(a, left), text_size(b, speed),
		limit ? text_size(c, limit) : "as much as goes");
}

static void print_quarantine(struct json_object *o)
{
	uint64_t size = query_number(o, "/blocks/size");
	uint64_t count = query_number(o, "/blocks/quarantined");
	uint64_t spare = query_number(o, "/blocks/spare");
	char a[TEXT_SIZE], b[TEXT_SIZE];

	if (spare)
		print_line("quarantined",
			"%s (%" PRIu64 " blocks), %s of it for whom --reuse lets have it",
			text_size(a, count * size), count, text_size(b, spare * size));
	else
		print_blocks_line(o, "quarantined", "/blocks/quarantined", NULL);
}

static void print_retired(struct json_object *o)
{
	uint64_t count = query_number(o, "/retired_devices");

	if (count)
		print_line("retired",
			"%" PRIu64
			" device%s of exports that have ended, empty until the next boot",
			count, count == 1 ? "" : "s");
}

static void print_blocks(struct json_object *o)
{
	print_blocks_line(o, "data", "/blocks/data", NULL);
	print_blocks_line(o, "free", "/blocks/free", "/blocks/free_dirty");
	print_blocks_line(o, "used", "/blocks/used", "/blocks/used_dirty");
	if (query_number(o, "/blocks/quarantined"))
		print_quarantine(o);
	print_retired(o);
	if (query_number(o, "/blocks/poisoned"))
		print_blocks_line(o, "poisoned", "/blocks/poisoned", NULL);
	print_line("whole GiB", "%" PRIu64 " free%s", query_number(o, "/blocks/free_groups"),
		query_number(o, "/blocks/granule") > 1 ? "; files are made of those only" : "");
	print_scrub(o);
}

static int print_regions(struct json_object *o)
{
	static const struct grid_column columns[] = {
		{"REGION", true},
		{"KIND", false},
		{"SIZE", true},
		{"DATA", true},
		{"NAME", false},
	};
	_cleanup_(grid_deinit) struct grid g = GRID_INIT(columns);
	struct json_object *regions = query_array(o, "/regions");
	uint64_t block = query_number(o, "/blocks/size");
	char text[TEXT_SIZE];

	for (size_t i = 0; regions && i < json_object_array_length(regions); i++) {
		struct json_object *r = json_object_array_get_idx(regions, i);

		grid_add(&g, "%" PRIu64, query_number(r, "/index"));
		grid_add(&g, "%s", query_text(r, "/kind"));
		grid_add(&g, "%s", text_size(text, query_number(r, "/size")));
		grid_add(&g, "%s", text_size(text, query_number(r, "/data_blocks") * block));
		grid_add_text(&g, query_text(r, "/name"));
	}
	putchar('\n');
	return grid_print(&g, stdout);
}

static int print_grants(struct json_object *o)
{
	static const struct grid_column columns[] = {
		{"PID", true},
		{"UID", true},
		{"ACCESS", false},
		{"STATE", false},
		{"COMMAND", false},
		{"CGROUP", false},
		{"INODE", true},
		{"FILE", false},
	};
	_cleanup_(grid_deinit) struct grid g = GRID_INIT(columns);
	struct json_object *grants = query_array(o, "/grants");

	if (!query_true(o, "/grants_complete"))
		puts("\nThe helper has not told of all who have a grant; ask again.");
	if (!grants || json_object_array_length(grants) == 0) {
		if (query_true(o, "/grants_complete"))
			puts("\nNobody has a grant.");
		return 0;
	}
	for (size_t i = 0; i < json_object_array_length(grants); i++) {
		struct json_object *grant = json_object_array_get_idx(grants, i);

		grid_add(&g, "%" PRIu64, query_number(grant, "/pid"));
		grid_add(&g, "%" PRIu64, query_number(grant, "/uid"));
		grid_add(&g, "%s", query_text(grant, "/access"));
		grid_add(&g, "%s", query_text(grant, "/state"));
		grid_add_text(&g, query_text(grant, "/command"));
		grid_add_text(&g, query_text(grant, "/cgroup"));
		grid_add(&g, "%" PRIu64, query_number(grant, "/ino"));
		grid_add_text(&g, query_text(grant, "/path"));
	}
	putchar('\n');
	return grid_print(&g, stdout);
}

static int print_status(struct json_object *o, struct problem *why)
{
	print_identity(o);
	print_metadata(o);
	print_blocks(o);
	int r = print_regions(o);
	if (r == 0)
		r = print_grants(o);
	return r < 0 ? problem_errno(why, -r, "printing the status") : 0;
}

static int run_status(const struct cli_command *self, int argc, char **argv)
{
	_cleanup_(json_object_putp) struct json_object *o = NULL;
	struct problem why = PROBLEM_INIT;
	bool json = false;
	int code = CLI_DONE;

	if (!cli_parse_simple(self, argc, argv, &json, "MOUNT", &code))
		return code;
	int r = query_path(argv[optind], CONTROL_STATUS, &o, NULL, &why);
	if (r == 0 && json)
		r = query_print(o, &why);
	else if (r == 0)
		r = print_status(o, &why);
	return r < 0 ? cli_fail(&why) : CLI_DONE;
}

const struct cli_command cli_status = {
	.name = "status",
	.usage = "MOUNT [--json]",
	.summary = "show the state of a mount: processes, space, who maps what",
	.help = "MOUNT is the mount point, or any file below it. One that does not answer for 30 "
		"s, or the seconds in\n"
		"GUESTMEMFS_WAIT in the environment, is said not to; the exit code is 1.\n\n"
		"  --json  print JSON; docs/protocol.md describes the keys\n"
		"  --help  print this",
	.run = run_status,
};
