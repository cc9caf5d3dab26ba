// SPDX-License-Identifier: MIT
/* guestmemfs run: the program gets the library, its own arguments and its exit code, and what
 * stands in the way is said. Where a cgroup can be made depends on the machine: tests/mount. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "cli_spawn.h"
#include "util/cleanup.h"

Test(cli_run, exit_codes_are_the_programs_or_a_shells)
{
	static const struct {
		const char *args;
		int code;
		const char *said;
	} cases[] = {
		{"run --same-cgroup true", 0, ""},
		{"run --same-cgroup -- false", 1, ""},
		{"run --same-cgroup /bin/false --help", 1,
			""}, /* what follows the program is the program's */
		{"run --same-cgroup sh -c exit\t7", 7, ""},
		{"run --same-cgroup sh -c kill\t-9\t$$", 1009, ""},
		{"run --same-cgroup /nowhere/program", 127,
			"running /nowhere/program: No such file"},
		{"run --same-cgroup no-such-program-in-the-path", 127,
			"running no-such-program-in-the-path: No such file"},
		{"run --same-cgroup /etc/passwd", 126, "running /etc/passwd: Permission denied"},
		{"run --same-cgroup /etc", 126, "running /etc: Permission denied"},
		{"run --same-cgroup " STATIC_EXE, 5, STATIC_EXE " is statically linked"},
	};

	cr_assert_eq(setenv("PATH", "/bin:/usr/bin", 1), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cli_result r;

		cli_run_command(&r, cases[i].args);
		cr_expect_eq(r.code, cases[i].code, "'%s': %d %s", cases[i].args, r.code, r.err);
		cr_expect_not_null(strstr(r.err, cases[i].said), "'%s': %s", cases[i].args, r.err);
		if (!*cases[i].said)
			cr_expect_str_empty(r.err, "'%s'", cases[i].args);
	}
}

Test(cli_run, the_library_comes_before_what_is_preloaded_already)
{
	static const struct {
		const char *before;
		const char *after;
	} cases[] = {
		{NULL, PRELOAD_PATH "\n"},
		{"", PRELOAD_PATH "\n"},
		{"libc.so.6", PRELOAD_PATH ":libc.so.6\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cli_result r;

		if (cases[i].before)
			cr_assert_eq(setenv("LD_PRELOAD", cases[i].before, 1), 0);
		cli_run_command(&r, "run --same-cgroup -- printenv LD_PRELOAD");
		cr_expect_eq(r.code, 0, "%s", r.err);
		cr_expect_str_eq(r.out, cases[i].after);
		cr_expect_str_empty(r.err);
	}
}

Test(cli_run, the_library_is_in_the_program)
{
	struct cli_result r;

	cli_run_command(&r, "run --same-cgroup cat /proc/self/maps");
	cr_expect_eq(r.code, 0, "%s", r.err);
	cr_expect_not_null(strstr(r.out, PRELOAD_PATH), "%s", r.out);
}
