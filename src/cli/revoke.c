// SPDX-License-Identifier: MIT
/*
 * guestmemfs revoke: who holds a file, and on request an end to it. The question goes through the
 * open file, so that the owner may ask as well as root.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "cli/cli.h"
#include "cli/grid.h"
#include "cli/openable.h"
#include "cli/text.h"
#include "guestmemfs/protocol.h"
#include "util/cleanup.h"
#include "util/le.h"

static int explain(const char *path, int error, struct problem *why)
{
	switch (error) {
	case ENOTTY:
		return problem(why, error,
			"%s is not a file of a guestmemfs mount that knows how to revoke", path);
	case EMEDIUMTYPE:
		return problem(why, error,
			"%s is a file with content (user.guestmemfs.io), which has no memory to "
			"revoke",
			path);
	case EPERM:
		return problem(why, error, "%s: only root and the file's owner may do that", path);
	case EBUSY:
		return problem(why, error, "%s: the pool is frozen", path);
	case EAGAIN:
		return problem(why, error,
			"%s: there is no helper at the moment, or too many ask; try again", path);
	default:
		return problem_errno(why, error, "%s", path);
	}
}

static int ask(const char *path, struct gm_revoke *m, struct problem *why)
{
	int r = openable_check(path, why);

	if (r < 0)
		return r;
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return problem_errno(why, errno, "opening %s", path);
	return ioctl(fd, GM_IOC_REVOKE, m) < 0 ? explain(path, errno, why) : 0;
}

/* Of bytes that must be ended by a zero and may not be. */
static void add_bytes(struct grid *g, const char *text, size_t size)
{
	_cleanup_free_ char *copy = strndup(text, size);

	if (copy)
		grid_add_text(g, copy);
	else
		g->failed = true;
}

static const char *state_of(uint32_t flags)
{
	return flags & GM_HOLDER_KILLED    ? "killed"
	       : flags & GM_HOLDER_DEAD    ? "dead"
	       : flags & GM_HOLDER_ADOPTED ? "adopted"
					   : "live";
}

static void add_holder(struct grid *g, const struct gm_holder *h)
{
	grid_add(g, "%" PRIu32, get_le32(h->pid));
	grid_add(g, "%" PRIu32, get_le32(h->uid));
	grid_add(g, "%s", get_le32(h->access) & GM_ACCESS_WRITE ? "rw" : "r");
	grid_add(g, "%s", state_of(get_le32(h->flags)));
	add_bytes(g, h->command, sizeof(h->command));
	add_bytes(g, h->cgroup, sizeof(h->cgroup));
}

static int print_holders(const struct gm_revoke *m)
{
	static const struct grid_column columns[] = {
		{"PID", true},
		{"UID", true},
		{"ACCESS", false},
		{"STATE", false},
		{"COMMAND", false},
		{"CGROUP", false},
	};
	_cleanup_(grid_deinit) struct grid g = GRID_INIT(columns);
	uint32_t count = get_le32(m->count);

	for (uint32_t i = 0; i < count && i < GM_REVOKE_HOLDERS; i++)
		add_holder(&g, &m->holders[i]);
	int r = count > 0 ? grid_print(&g, stdout) : 0;
	if (get_le32(m->more) > 0)
		printf("and %" PRIu32 " more\n", get_le32(m->more));
	return r;
}

static int report(const char *path, const struct gm_revoke *m)
{
	bool kill = get_le32(m->flags) & GM_REVOKE_KILL;
	struct problem why = PROBLEM_INIT;
	int r = print_holders(m);

	if (r < 0) {
		(void)problem_errno(&why, -r, "printing who holds it");
		return cli_fail(&why);
	}
	if (get_le32(m->state) == GM_REVOKED_FREE) {
		printf("Nobody reaches the memory of %s%s.\n", path, kill ? " any more" : "");
		return CLI_DONE;
	}
	if (!kill) {
		if (get_le32(m->count) == 0)
			printf("Nobody is known to hold %s; its devices stay for who starts it "
			       "again.\n",
				path);
		return CLI_DONE;
	}
	(void)problem(&why, 0,
		"%s: it is not shown that nobody reaches its memory any more: 'guestmemfs status' "
		"and the helper's log say who or why",
		path);
	return cli_fail(&why);
}

static int run_revoke(const struct cli_command *self, int argc, char **argv)
{
	static const struct option options[] = {
		{"kill", no_argument, NULL, 'k'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	_cleanup_free_ struct gm_revoke *m = calloc(1, sizeof(*m));
	struct problem why = PROBLEM_INIT;
	int c;

	if (!m) {
		(void)problem_errno(&why, ENOMEM, "asking");
		return cli_fail(&why);
	}
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h')
			return cli_print_help(self);
		if (c != 'k')
			return cli_usage_hint(self);
		m->flags = put_le32(GM_REVOKE_KILL);
	}
	if (optind == argc)
		return cli_usage_error(self, "it needs a file");
	if (optind + 1 < argc)
		return cli_usage_error(self, "it takes one file");
	if (ask(argv[optind], m, &why) < 0)
		return cli_fail(&why);
	return report(argv[optind], m);
}

const struct cli_command cli_revoke = {
	.name = "revoke",
	.usage = "[--kill] FILE",
	.summary = "say who holds a file's memory, and take it from them",
	.help = "Lists the processes that have FILE's memory open or mapped. For root and the "
		"file's owner.\n\n"
		"  --kill  kill them (their whole cgroup, if all of it holds the file), make "
		"tickets void, end an\n"
		"          export, and take the memory away once nobody reaches it. An owner "
		"who is not root\n"
		"          kills only his own processes. The file keeps its contents, and "
		"whoever may open it\n"
		"          can attach it again. Exit code 1: somebody may still reach it.\n"
		"  --help  print this",
	.run = run_revoke,
};
