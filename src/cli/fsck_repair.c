// SPDX-License-Identifier: MIT
/* guestmemfs fsck --repair: says what it would keep and what is lost, asks, keeps a copy, writes,
 * and looks again. */
#include "cli/fsck_repair.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/text.h"
#include "pool/repair.h"
#include "util/cleanup.h"

static void free_repair(struct pool_repair **p)
{
	*p = pool_repair_free(*p);
}

static void print_report(const struct salvage_report *report)
{
	for (size_t n = 0; n < report->count; n++) {
		/* Names are users', and must not pass for sentences of ours. */
		printf("%s: ", report->notes[n].lost ? "lost" : "kept");
		text_write_escaped(stdout, report->notes[n].text);
		putchar('\n');
	}
	if (report->kept + report->lost > report->count)
		printf("and %" PRIu64 " more\n", report->kept + report->lost - report->count);
}

/* Yes only if it is said in full. */
static bool ask(void)
{
	char answer[16] = "";

	printf("Write this to the pool? Type yes: ");
	(void)fflush(stdout);
	if (!fgets(answer, sizeof(answer), stdin))
		return false;
	return strcmp(answer, "yes\n") == 0;
}

int fsck_may_write(bool yes)
{
	if (yes)
		return CLI_DONE;
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		(void)fflush(stdout);
		fprintf(stderr,
			"guestmemfs: nothing was changed: there is no terminal to ask at; look at "
			"what it says, and give --yes\n");
		return CLI_USAGE;
	}
	if (ask())
		return CLI_DONE;
	puts("nothing was changed");
	return CLI_FAILED;
}

int fsck_open_to_write(struct pool *ret, const struct cli_regions *regions, struct problem *why)
{
	int r;

	/* A limit on the size of files is to be an error that is told, with the pool untouched. */
	(void)signal(SIGXFSZ, SIG_IGN);
	r = pool_open(ret, regions->specs, regions->count, 0, why);
	return r < 0 ? r : pool_lock(ret, false, REGIONS_LOCK_MS, why);
}

/* A repair that fsck does not find clean would be a fault of ours, and must not pass for one. */
static int check_again(struct pool *pool, struct problem *why)
{
	_cleanup_(fsck_report_deinit) struct fsck_report report = {.count = 0};
	int r = pool_check(pool, &report, why);

	if (r < 0 || report.errors == 0)
		return r;
	return problem(why, EUCLEAN, "the pool was repaired and is still damaged: %.300s",
		report.count ? report.findings[0].text : "no memory to say how");
}

static int write_repair(
	struct pool_repair *p, struct pool *pool, const struct fsck_repair *o, struct problem *why)
{
	char name[BACKUP_NAME];
	const char *path = o->backup ? o->backup : pool_repair_name(p, name);
	int r = pool_repair_backup(p, path, why);

	if (r < 0)
		return r;
	printf("the metadata as they were are in %s\n", path);
	(void)fflush(stdout);
	r = pool_repair_write(p, why);
	return r < 0 ? r : check_again(pool, why);
}

int fsck_repair_pool(const struct cli_regions *regions, const struct fsck_repair *o)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	_cleanup_(salvage_report_deinit) struct salvage_report report = {.count = 0};
	_cleanup_(free_repair) struct pool_repair *repair = NULL;
	struct problem why = PROBLEM_INIT;
	int code, r = fsck_open_to_write(&pool, regions, &why);

	if (r == 0)
		r = pool_repair_new(&repair, &pool, o->max_files, &report, &why);
	if (r < 0)
		return cli_fail(&why);
	print_report(&report);
	if (!pool_repair_is_needed(repair) && pool_repair_bad_bytes(repair) == 0) {
		puts("nothing to repair");
		return CLI_DONE;
	}
	if (!pool_repair_is_needed(repair)) {
		fputs("guestmemfs: nothing was changed: all that the pool needs can be read, and a "
		      "repair can't mend memory; see docs/repair.md\n",
			stderr);
		return CLI_FAILED;
	}
	code = fsck_may_write(o->yes);
	if (code != CLI_DONE)
		return code;
	if (write_repair(repair, &pool, o, &why) < 0)
		return cli_fail(&why);
	printf("repaired: %" PRIu64 " lost, %" PRIu64 " kept or put right\n", report.lost,
		report.kept);
	return CLI_DONE;
}
