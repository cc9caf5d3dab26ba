// SPDX-License-Identifier: MIT
/* Every way of writing the command line is understood, or refused with a sentence that says what is
 * wrong with it. */
#include <criterion/criterion.h>
#include <pwd.h>
#include <errno.h>
#include <string.h>

#include "fuse/options.h"
#include "util/cleanup.h"

#define WORDS_MAX 48

static struct problem why;

/* Words are separated by one blank each. */
static int parse(struct options *o, const char *line, bool privileged)
{
	static char copy[2048];
	char *argv[WORDS_MAX] = {NULL};
	char *rest = copy;
	int argc = 0;

	cr_assert(strlen(line) < sizeof(copy));
	strcpy(copy, line);
	while (rest && argc < WORDS_MAX - 1)
		argv[argc++] = strsep(&rest, " ");
	why = PROBLEM_INIT;
	return options_parse(o, argc, argv, privileged, &why);
}

Test(options, understands_everything_at_once)
{
	_cleanup_(options_deinit) struct options o = OPTIONS_NULL;

	cr_assert_eq(parse(&o,
			     "x --region file:/a,size=1G --region=file:/b --name vm-1.a --socket s "
			     "--format blank --scrub-rate 512M --trusted-group 0 -o ro,noexec -o "
			     "noatime,nodev /mnt/gm -d",
			     true),
		0, "%s", why.text);
	cr_assert_eq(o.action, OPTIONS_MOUNT);
	cr_assert_eq(o.region_count, 2);
	cr_assert_str_eq(o.regions[0], "file:/a,size=1G");
	cr_assert_str_eq(o.regions[1], "file:/b");
	cr_assert_str_eq(o.name, "vm-1.a");
	cr_assert_str_eq(o.socket, "s");
	cr_assert_eq(o.format, OPTIONS_FORMAT_BLANK);
	cr_assert_eq(o.scrub_rate, 512ULL << 20);
	cr_assert(o.has_trusted_group);
	cr_assert_eq(o.trusted_group, 0);
	cr_assert_str_eq(o.mount_options, "ro,noexec,noatime");
	cr_assert_str_eq(o.mount_point, "/mnt/gm");
	cr_assert(o.debug && o.foreground);
}

Test(options, defaults_change_nothing_on_the_region)
{
	_cleanup_(options_deinit) struct options o = OPTIONS_NULL;

	cr_assert_eq(parse(&o, "x --region file:/a /mnt/gm", false), 0);
	cr_assert_eq(o.format, OPTIONS_FORMAT_NEVER);
	cr_assert_null(o.name);
	cr_assert_null(o.socket);
	cr_assert(!o.has_trusted_group && !o.foreground && !o.debug);
	cr_assert_str_eq(o.mount_options, "");
}

Test(options, memory_comes_back_when_it_is_shown_free_unless_it_is_never_to)
{
	_cleanup_(options_deinit) struct options o = OPTIONS_NULL, never = OPTIONS_NULL;
	_cleanup_(options_deinit) struct options owner = OPTIONS_NULL, trusting = OPTIONS_NULL;

	cr_assert_eq(parse(&o, "x /mnt", true), 0);
	cr_expect_eq(o.reuse, REUSE_SHOWN);
	cr_assert_eq(parse(&never, "x --reuse never /mnt", true), 0);
	cr_expect_eq(never.reuse, REUSE_NEVER);
	cr_assert_eq(parse(&owner, "x --reuse=same-owner /mnt", true), 0);
	cr_expect_eq(owner.reuse, REUSE_SAME_OWNER);
	cr_assert_eq(parse(&trusting, "x --reuse=trusting /mnt", true), 0);
	cr_expect_eq(trusting.reuse, REUSE_TRUSTING);
}

Test(options, help_and_version_need_nothing_else)
{
	_cleanup_(options_deinit) struct options help = OPTIONS_NULL;
	_cleanup_(options_deinit) struct options version = OPTIONS_NULL;

	cr_assert_eq(parse(&help, "x --help", false), 0);
	cr_assert_eq(help.action, OPTIONS_HELP);
	cr_assert_eq(parse(&version, "x --version", false), 0);
	cr_assert_eq(version.action, OPTIONS_VERSION);
}

Test(options, the_worker_of_root_is_never_root)
{
	_cleanup_(options_deinit) struct options usual = OPTIONS_NULL;
	_cleanup_(options_deinit) struct options chosen = OPTIONS_NULL;
	_cleanup_(options_deinit) struct options plain = OPTIONS_NULL;

	cr_assert_eq(parse(&usual, "x --region file:/a /mnt/gm", true), 0);
	cr_assert(usual.has_user && usual.user != 0);
	cr_assert_eq(parse(&chosen, "x --region file:/a --user daemon /mnt/gm", true), 0);
	cr_assert(chosen.has_user);
	cr_assert_eq(chosen.user, getpwnam("daemon")->pw_uid);
	cr_assert_eq(chosen.user_group, getpwnam("daemon")->pw_gid);
	cr_assert_eq(parse(&plain, "x --region file:/a /mnt/gm", false), 0);
	cr_assert_not(plain.has_user);
}

Test(options, refuses_with_a_sentence)
{
	static const struct {
		const char *line;
		const char *expected; /* in the sentence */
		bool privileged;
	} cases[] = {
		{"x", "no mount point", true},
		{"x --region file:/a /mnt /mnt2", "one mount point", true},
		{"x --region", "--region needs a value", true},
		{"x --nonsense /mnt", "--nonsense is not an option", true},
		{"x -fz /mnt", "-z is not an option", true},
		{"x /mnt -o", "-o needs a value", true},
		{"x --format=maybe /mnt", "never, blank or force", true},
		{"x --reuse=sometimes /mnt", "trusting or never", true},
		{"x --reuse=same_owner /mnt", "shown, same-owner, trusting or never", true},
		{"x --reuse= /mnt", "trusting or never", true},
		{"x --name a/b /mnt", "--name a/b", true},
		{"x --name .. /mnt", "--name ..", true},
		{"x --name= /mnt", "--name", true},
		{"x --name a,b /mnt", "--name a,b", true},
		{"x --socket= /mnt", "empty", true},
		{"x --trusted-group no-such-group-here /mnt", "no such group", true},
		{"x --trusted-group 12x /mnt", "no such group", true},
		{"x --trusted-group -1 /mnt", "no such group", true},
		{"x --trusted-group 4294967295 /mnt", "no such group", true},
		{"x --user no-such-user-here /mnt", "no such user", true},
		{"x --user= /mnt", "no such user", true},
		{"x --user root /mnt", "has them all", true},
		{"x --user nobody /mnt", "only root's processes", false},
		{"x --scrub-rate 1M /mnt", "--scrub-rate 1M", true},
		{"x --scrub-rate fast /mnt", "none for no limit", true},
		{"x --scrub-rate= /mnt", "2M or more", true},
		{"x -o dev /mnt", "-o dev is refused", true},
		{"x -o ro,suid /mnt", "-o suid is refused", true},
		{"x -o ro,nonsense /mnt", "nonsense: unknown", true},
		{"x -o fsname=a /mnt", "fsname=a: unknown", true},
		{"x -o allow_other /mnt", "that user alone", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct options o = {.name = "untouched"};

		cr_expect_eq(parse(&o, cases[i].line, cases[i].privileged), -EINVAL, "%s",
			cases[i].line);
		cr_expect(
			strstr(why.text, cases[i].expected), "%s: \"%s\"", cases[i].line, why.text);
		cr_expect_str_eq(o.name, "untouched", "%s", cases[i].line);
	}
}

Test(options, takes_as_many_regions_as_a_pool_can_have)
{
	_cleanup_(options_deinit) struct options o = OPTIONS_NULL;
	char line[2048] = "x";

	for (unsigned i = 0; i < GM_REGIONS_MAX; i++)
		strcat(line, " --region=file:/a");
	strcat(line, " /mnt");
	cr_assert_eq(parse(&o, line, true), 0);
	cr_assert_eq(o.region_count, GM_REGIONS_MAX);
	strcat(line, " --region=file:/b");
	cr_assert_eq(parse(&o, line, true), -EINVAL);
	cr_assert(strstr(why.text, "more than 32 regions"));
}

Test(options, root_may_say_what_holds_anyway)
{
	_cleanup_(options_deinit) struct options o = OPTIONS_NULL;

	cr_assert_eq(parse(&o, "x --region file:/a -o allow_other,default_permissions,nosuid /mnt",
			     true),
		0);
	cr_assert_str_eq(o.mount_options, "");
}

Test(options, the_name_follows_from_the_mount_point)
{
	const char *name = NULL;

	cr_assert_eq(options_default_name(&name, "/mnt/gm", &why), 0);
	cr_assert_str_eq(name, "gm");
	cr_assert_eq(options_default_name(&name, "/mnt/two words", &why), -EINVAL);
	cr_assert(strstr(why.text, "--name"));
	cr_assert_eq(options_default_name(&name, "/", &why), -EINVAL);
	cr_assert_str_eq(name, "gm");
}
