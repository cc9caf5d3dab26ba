// SPDX-License-Identifier: MIT
/* What the supervisor tells its worker, and that nothing else is taken: half an instance would
 * serve other memory than the one that was asked for. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fuse/worker_options.h"
#include "util/cleanup.h"

#define WORDS_MAX 96

static char words[4096];
static struct problem why;

/* Words are separated by one blank each. */
static int parse(struct worker_options *ret, const char *line)
{
	char *argv[WORDS_MAX] = {NULL}, *rest = words;
	int argc = 0;

	cr_assert_lt(strlen(line), sizeof(words));
	strcpy(words, line);
	while (rest && argc < WORDS_MAX - 1)
		argv[argc++] = strsep(&rest, " ");
	why = PROBLEM_INIT;
	return worker_options_parse(ret, argc, argv, &why);
}

#define PLACES "guestmemfs-worker --name n --mount-point /m --grant-socket /g --control-socket /c"
#define ALL    PLACES " --table 5 --control 6 --region file:7:/a"

Test(worker_options, are_taken_as_the_supervisor_gives_them)
{
	struct worker_options o;

	cr_assert_eq(parse(&o, ALL " --region soft:8:0x100:1 --user 65534:100 --trust-memory "
				   "--scrub-rate 1G"),
		0, "%s", why.text);
	cr_expect_str_eq(o.name, "n");
	cr_expect_str_eq(o.mount_path, "/m");
	cr_expect_str_eq(o.grant_socket, "/g");
	cr_expect_str_eq(o.control_socket, "/c");
	cr_expect(o.table == 5 && o.control == 6 && o.region_count == 2);
	cr_expect(o.regions[0].kind == GM_REGION_FILE && o.regions[0].fd == 7);
	cr_expect_str_eq(o.regions[0].name, "/a");
	cr_expect(o.regions[1].kind == GM_REGION_SOFT && o.regions[1].fd == 8);
	cr_expect_str_eq(o.regions[1].name, "0x100:1");
	cr_expect(o.has_user && o.user == 65534 && o.group == 100);
	cr_expect(o.trust_memory);
	cr_expect_eq(o.scrub_rate, 1ULL << 30);
}

Test(worker_options, everything_else_is_refused_with_a_sentence)
{
	static const struct {
		const char *line, *sentence;
	} cases[] = {
		{"guestmemfs-worker", "never by hand"},
		{PLACES " --table 5 --control 6", "never by hand"},
		{PLACES " --table 5 --region file:7:/a", "never by hand"},
		{ALL " more", "never by hand"},
		{ALL " --region file", "bad region file"},
		{ALL " --region tape:7:/a", "bad region tape:7:/a"},
		{ALL " --region file:/a", "bad region file:/a"},
		{ALL " --region file:7", "bad region file:7"},
		{ALL " --region file:-1:/a", "bad region file:-1:/a"},
		{ALL " --region file:99999999999:/a", "bad region file:99999999999:/a"},
		{ALL " --user 0:0", "bad user 0:0"},
		{ALL " --user 1", "bad user 1"},
		{ALL " --user 1:2:3", "bad user 1:2:3"},
		{ALL " --table 5x", "bad descriptor 5x"},
		{ALL " --control -1", "bad descriptor -1"},
		{ALL " --scrub-rate fast", "bad scrub rate fast"},
		{ALL " --format", "bad option --format"},
		{ALL " --region", "bad option --region"},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		struct worker_options o;

		cr_expect_eq(parse(&o, cases[n].line), -EINVAL, "%s", cases[n].line);
		cr_expect_not_null(
			strstr(why.text, cases[n].sentence), "%s: %s", cases[n].line, why.text);
	}
}

Test(worker_options, as_many_regions_as_a_pool_has)
{
	char line[4096] = PLACES " --table 5 --control 6";
	struct worker_options o;

	for (unsigned n = 0; n < GM_REGIONS_MAX; n++)
		strcat(line, " --region file:7:/a");
	cr_expect_eq(parse(&o, line), 0, "%s", why.text);
	cr_expect_eq(o.region_count, GM_REGIONS_MAX);
	strcat(line, " --region file:7:/b");
	cr_expect_eq(parse(&o, line), -EINVAL);
	cr_expect_str_eq(why.text, "worker: bad region file:7:/b");
}
