// SPDX-License-Identifier: MIT
/* guestmemfs ls and extents: which files there are, and where their memory lies. */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/files.h"
#include "cli/grid.h"
#include "cli/query.h"
#include "cli/text.h"
#include "guestmemfs/format.h"
#include "util/cleanup.h"
#include "util/reserve.h"

/* ---- which files ---- */

static const char *files_path(struct json_object *file)
{
	struct json_object *path = NULL;

	return json_object_object_get_ex(file, "path", &path) ? json_object_get_string(path) : NULL;
}

/* By path; those without one (removed but in use) last, by inode. */
static int files_compare(const void *a, const void *b)
{
	struct json_object *const *first = a;
	struct json_object *const *second = b;
	const char *path = files_path(*first);
	const char *other = files_path(*second);

	if (path && other)
		return strcmp(path, other);
	if (path || other)
		return path ? -1 : 1;
	uint64_t ino = query_number(*first, "/ino");
	uint64_t other_ino = query_number(*second, "/ino");
	return ino < other_ino ? -1 : ino > other_ino;
}

static const char *files_path_of(struct json_object *files, uint64_t ino)
{
	for (size_t i = 0; i < json_object_array_length(files); i++) {
		struct json_object *file = json_object_array_get_idx(files, i);
		if (query_number(file, "/ino") == ino)
			return files_path(file);
	}
	return NULL;
}

static bool files_is_below(const char *path, const char *top)
{
	size_t n = strlen(top);

	return strncmp(path, top, n) == 0 && path[n] == '/' && path[n + 1];
}

int files_select(struct json_object *all, uint64_t ino, bool is_dir, struct json_object **ret)
{
	const char *top = is_dir && ino != GM_ROOT_INO ? files_path_of(all, ino) : NULL;
	struct json_object *selected = json_object_new_array();

	if (!selected)
		return -ENOMEM;
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *file = json_object_array_get_idx(all, i);
		const char *path = files_path(file);
		bool wanted = query_number(file, "/ino") == ino;

		if (is_dir && ino == GM_ROOT_INO)
			wanted = !wanted; /* the whole tree but its root, and what has no path any
					     more */
		else if (is_dir)
			wanted = path && top && files_is_below(path, top);
		if (wanted && json_object_array_add(selected, json_object_get(file)) < 0) {
			json_object_put(selected);
			return -ENOMEM;
		}
	}
	json_object_array_sort(selected, files_compare);
	*ret = selected;
	return 0;
}

/* ---- ls ---- */

/* Who has no name has a number; and it is not said of somebody that he has none for want of memory. */
static void add_name(struct grid *g, const char *name, uint64_t number)
{
	if (name)
		grid_add(g, "%s", name);
	else if (errno == ENOMEM)
		g->failed = true;
	else
		grid_add(g, "%" PRIu64, number);
}

/* glibc's look-up ends the process by an assertion where it has no memory. */
static void add_owner(struct grid *g, struct json_object *file)
{
	_cleanup_free_ void *reserve = reserve_memory();
	uint64_t uid = query_number(file, "/uid");
	uint64_t gid = query_number(file, "/gid");

	if (!reserve) {
		g->failed = true;
		return;
	}
	errno = 0;
	const struct passwd *user = getpwuid((uid_t)uid);
	add_name(g, user ? user->pw_name : NULL, uid);
	errno = 0;
	const struct group *group = getgrgid((gid_t)gid);
	add_name(g, group ? group->gr_name : NULL, gid);
}

static void add_symlink(struct grid *g, const char *path, const char *target)
{
	_cleanup_free_ char *from = text_escape(path), *to = text_escape(target);

	if (from && to)
		grid_add(g, "%s -> %s", from, to);
	else
		g->failed = true;
}

static void add_file(struct grid *g, struct json_object *file)
{
	const char *path = files_path(file);
	char mode[TEXT_MODE];

	grid_add(g, "%s", text_mode(mode, (uint32_t)query_number(file, "/mode")));
	grid_add(g, "%" PRIu64, query_number(file, "/links"));
	add_owner(g, file);
	grid_add(g, "%" PRIu64, query_number(file, "/size"));
	grid_add(g, "%" PRIu64, query_number(file, "/extents"));
	grid_add(g, "%s", query_true(file, "/held") ? "held" : "-");
	if (path && json_object_object_get_ex(file, "target", NULL))
		add_symlink(g, path, query_text(file, "/target"));
	else if (path)
		grid_add_text(g, path);
	else
		grid_add(g, "(removed, inode %" PRIu64 ")", query_number(file, "/ino"));
}

static int print_files(struct json_object *files)
{
	static const struct grid_column columns[] = {
		{"MODE", false},
		{"LINKS", true},
		{"OWNER", false},
		{"GROUP", false},
		{"SIZE", true},
		{"EXTENTS", true},
		{"HELD", false},
		{"PATH", false},
	};
	_cleanup_(grid_deinit) struct grid g = GRID_INIT(columns);

	for (size_t i = 0; i < json_object_array_length(files); i++)
		add_file(&g, json_object_array_get_idx(files, i));
	return grid_print(&g, stdout);
}

static int list_files(const char *path, bool json, struct problem *why)
{
	_cleanup_(json_object_putp) struct json_object *o = NULL;
	struct json_object *selected = NULL;
	struct stat st;
	int r = query_path(path, CONTROL_FILES, &o, &st, why);

	if (r < 0)
		return r;
	struct json_object *files = query_array(o, "/files");
	if (!files)
		return problem(why, EPROTO, "the worker's answer has no list of files");
	r = files_select(files, st.st_ino, S_ISDIR(st.st_mode), &selected);
	if (r == 0 && json_object_object_add(o, "files", selected) < 0) {
		json_object_put(selected);
		r = -ENOMEM;
	}
	if (r == 0 && json)
		return query_print(o, why);
	if (r == 0)
		r = print_files(selected);
	return r < 0 ? problem_errno(why, -r, "listing the files") : 0;
}

static int run_ls(const struct cli_command *self, int argc, char **argv)
{
	struct problem why = PROBLEM_INIT;
	bool json = false;
	int code = CLI_DONE;

	if (!cli_parse_simple(self, argc, argv, &json, "MOUNT or directory", &code))
		return code;
	return list_files(argv[optind], json, &why) < 0 ? cli_fail(&why) : CLI_DONE;
}

const struct cli_command cli_ls = {
	.name = "ls",
	.usage = "MOUNT|DIR|FILE [--json]",
	.summary = "list files with their extents and whether their memory is in use",
	.help = "Lists everything below MOUNT or DIR, as ls -l does. Files that are removed but\n"
		"still in use come last, with their inode number. Behind a symlink stands its\n"
		"target. HELD: somebody may still map the file's memory, so nothing of it is given\n"
		"away.\n\n"
		"  --json  print JSON; docs/protocol.md describes the keys\n"
		"  --help  print this",
	.run = run_ls,
};

/* ---- extents ---- */

static int print_extents(struct json_object *o)
{
	static const struct grid_column columns[] = {
		{"FILE OFFSET", true},
		{"LENGTH", true},
		{"REGION", true},
		{"REGION OFFSET", true},
		{"STATE", false},
	};
	_cleanup_(grid_deinit) struct grid g = GRID_INIT(columns);
	struct json_object *extents = query_array(o, "/extents");
	char text[TEXT_SIZE];

	for (size_t i = 0; extents && i < json_object_array_length(extents); i++) {
		struct json_object *e = json_object_array_get_idx(extents, i);

		grid_add(&g, "%s", text_size(text, query_number(e, "/file_offset")));
		grid_add(&g, "%s", text_size(text, query_number(e, "/length")));
		grid_add(&g, "%" PRIu64, query_number(e, "/region"));
		grid_add(&g, "%#" PRIx64, query_number(e, "/region_offset"));
		grid_add(&g, "%s", query_true(e, "/clean") ? "clean" : "to be scrubbed");
	}
	return grid_print(&g, stdout);
}

static int run_extents(const struct cli_command *self, int argc, char **argv)
{
	_cleanup_(json_object_putp) struct json_object *o = NULL;
	struct problem why = PROBLEM_INIT;
	bool json = false;
	int code = CLI_DONE;

	if (!cli_parse_simple(self, argc, argv, &json, "FILE", &code))
		return code;
	int r = query_path(argv[optind], CONTROL_EXTENTS, &o, NULL, &why);
	if (r == 0 && json)
		r = query_print(o, &why);
	else if (r == 0 && (r = print_extents(o)) < 0)
		(void)problem_errno(&why, -r, "printing the extents");
	return r < 0 ? cli_fail(&why) : CLI_DONE;
}

const struct cli_command cli_extents = {
	.name = "extents",
	.usage = "FILE [--json]",
	.summary = "show where a file's memory lies",
	.help = "One line for each run of blocks: the place in the file, how long it is, and\n"
		"where it lies in which region. Memory that is to be scrubbed is zeroed before\n"
		"anybody gets it.\n\n"
		"  --json  print JSON; docs/protocol.md describes the keys\n"
		"  --help  print this",
	.run = run_extents,
};
