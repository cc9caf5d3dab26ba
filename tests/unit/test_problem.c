// SPDX-License-Identifier: MIT
/* A problem carries its errno and sentence unharmed, however long they are. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "util/problem.h"

Test(problem, returns_the_negative_errno_and_keeps_the_sentence)
{
	struct problem p = PROBLEM_INIT;

	cr_assert_eq(problem(&p, ENOENT, "%s is not there", "x"), -ENOENT);
	cr_assert_str_eq(p.text, "x is not there");
	cr_assert_eq(problem(NULL, EIO, "nobody reads this"), -EIO);
}

Test(problem, appends_the_systems_words)
{
	struct problem p = PROBLEM_INIT;

	cr_assert_eq(problem_errno(&p, ENOENT, "opening x"), -ENOENT);
	cr_assert_str_eq(p.text, "opening x: No such file or directory");
}

Test(problem, prefixes_what_was_said)
{
	struct problem p = PROBLEM_INIT;
	int r = problem(&p, EINVAL, "odd");

	cr_assert_eq(problem_prefix(&p, r, "region %d", 3), -EINVAL);
	cr_assert_str_eq(p.text, "region 3: odd");
}

Test(problem, cuts_what_is_too_long)
{
	struct problem p = PROBLEM_INIT;
	char big[4096];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	problem(&p, EINVAL, "%s", big);
	cr_assert_eq(strlen(p.text), sizeof(p.text) - 1);
	problem_errno(&p, EINVAL, "%s", big);
	problem_prefix(&p, -EINVAL, "%s", big);
	cr_assert_eq(strlen(p.text), sizeof(p.text) - 1);
}
