// SPDX-License-Identifier: MIT
/*
 * Users and groups of the command line that can't be looked up. Who is not found for lack of
 * something is not taken for nobody: the command line is refused, and says why.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "fuse/options.h"
#include "scarce.h"
#include "util/cleanup.h"

static int missing; /* an errno by which every look-up ends; 0: they are as they are */

struct passwd *__real_getpwnam(const char *name);
struct passwd *__wrap_getpwnam(const char *name);
struct group *__real_getgrnam(const char *name);
struct group *__wrap_getgrnam(const char *name);

struct passwd *__wrap_getpwnam(const char *name)
{
	if (missing == 0)
		return __real_getpwnam(name);
	errno = missing;
	return NULL;
}

struct group *__wrap_getgrnam(const char *name)
{
	if (missing == 0)
		return __real_getgrnam(name);
	errno = missing;
	return NULL;
}

/* What is looked up first. */
static const struct {
	const char *option, *value, *what;
} cases[] = {
	{"--user", "nobody", "looking up the user nobody"},
	{"--trusted-group", "kvm", "looking up the group kvm"},
	{"--scrub-rate", "none", "looking up the user guestmemfs"}, /* which nobody has said */
};

static int parse(size_t n, struct problem *why)
{
	_cleanup_(options_deinit) struct options o = OPTIONS_NULL;
	char option[32], value[32], region[] = "--region=file:/a", mount_point[] = "/mnt",
				    program[] = "x";
	char *argv[] = {program, region, option, value, mount_point, NULL};

	(void)snprintf(option, sizeof(option), "%s", cases[n].option);
	(void)snprintf(value, sizeof(value), "%s", cases[n].value);
	*why = PROBLEM_INIT;
	return options_parse(&o, (int)ARRAY_SIZE(argv) - 1, argv, true, why);
}

Test(options_users, lack_of_something_is_said)
{
	static const int errors[] = {EMFILE, ENFILE, ENOMEM};

	for (size_t e = 0; e < ARRAY_SIZE(errors); e++)
		for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
			struct problem why;
			missing = errors[e];
			cr_expect_eq(parse(n, &why), -errors[e], "%s", cases[n].option);
			missing = 0;
			cr_expect(strstr(why.text, cases[n].what), "%s", why.text);
			cr_expect(strstr(why.text, strerror(errors[e])), "%s", why.text);
		}
}

/* The look-up itself has memory kept for it; without that it is not begun. Each allocation of the
 * parsing fails once: of those, one is that. */
Test(options_users, nobody_is_looked_up_without_memory)
{
	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		bool failed = true, said = false;
		for (unsigned long served = 0; failed; served++) {
			struct problem why;
			scarce_begin(served, SCARCE_ONCE);
			int r = parse(n, &why);
			failed = scarce_end();
			cr_expect(!failed || r == -ENOMEM, "%s: %d", cases[n].option, r);
			said = said || (failed && strstr(why.text, cases[n].what));
		}
		cr_expect(said, "%s", cases[n].option);
	}
}

Test(options_users, who_is_not_there_is_said_to_be)
{
	struct problem why;

	missing = ENOENT;
	cr_expect_eq(parse(0, &why), -EINVAL);
	cr_expect(strstr(why.text, "there is no such user"), "%s", why.text);
	cr_expect_eq(parse(1, &why), -EINVAL);
	cr_expect(strstr(why.text, "there is no such group"), "%s", why.text);
	cr_expect_eq(parse(2, &why), 0, "%s", why.text);
}
