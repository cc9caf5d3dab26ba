// SPDX-License-Identifier: MIT
/* Which files `guestmemfs ls` shows, and in which order. */
#include <criterion/criterion.h>
#include <string.h>

#include "cli/files.h"
#include "cli/query.h"
#include "util/cleanup.h"

static const char tree[] = "["
			   "{\"path\":\"/\",\"ino\":1},"
			   "{\"path\":\"/vm1\",\"ino\":3},"
			   "{\"path\":null,\"ino\":9},"
			   "{\"path\":\"/dir\",\"ino\":4},"
			   "{\"path\":\"/dir/b\",\"ino\":6},"
			   "{\"path\":\"/dir/a\",\"ino\":3},"
			   "{\"path\":\"/dirt\",\"ino\":7},"
			   "{\"path\":null,\"ino\":8},"
			   "{\"path\":\"/dir/sub\",\"ino\":10},"
			   "{\"path\":\"/dir/sub/c\",\"ino\":11}"
			   "]";

Test(cli_files, shows_what_is_below_and_sorts_it)
{
	static const struct {
		uint64_t ino;
		bool is_dir;
		const char *shown; /* paths, each with a blank behind it; "-" for none */
	} cases[] = {
		{1, true, "/dir /dir/a /dir/b /dir/sub /dir/sub/c /dirt /vm1 - - "},
		{4, true, "/dir/a /dir/b /dir/sub /dir/sub/c "},
		{10, true, "/dir/sub/c "},
		{3, false, "/dir/a /vm1 "},
		{9, false, "- "},
		{77, true, ""},
		{77, false, ""},
	};
	_cleanup_(json_object_putp) struct json_object *all = json_tokener_parse(tree);

	cr_assert_not_null(all);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(json_object_putp) struct json_object *chosen = NULL;
		char shown[256] = "";

		cr_assert_eq(files_select(all, cases[i].ino, cases[i].is_dir, &chosen), 0);
		for (size_t n = 0; n < json_object_array_length(chosen); n++) {
			strcat(shown, query_text(json_object_array_get_idx(chosen, n), "/path"));
			strcat(shown, " ");
		}
		cr_expect_str_eq(shown, cases[i].shown, "inode %zu", (size_t)cases[i].ino);
	}
}

Test(cli_files, removed_files_come_last_by_inode)
{
	_cleanup_(json_object_putp) struct json_object *all = json_tokener_parse(tree);
	_cleanup_(json_object_putp) struct json_object *chosen = NULL;

	cr_assert_eq(files_select(all, 1, true, &chosen), 0);
	size_t n = json_object_array_length(chosen);
	cr_assert_eq(n, 9);
	cr_expect_eq(query_number(json_object_array_get_idx(chosen, n - 2), "/ino"), 8);
	cr_expect_eq(query_number(json_object_array_get_idx(chosen, n - 1), "/ino"), 9);
}

Test(cli_files, reads_json_that_is_not_as_expected)
{
	_cleanup_(json_object_putp) struct json_object *o = json_tokener_parse(
		"{\"a\":{\"n\":18446744073709551615,\"s\":\"x\",\"b\":true,\"z\":null,\"l\":[1]}}");

	cr_assert_not_null(o);
	cr_expect_eq(query_number(o, "/a/n"), UINT64_MAX);
	cr_expect_eq(query_number(o, "/a/s"), 0);
	cr_expect_eq(query_number(o, "/nowhere"), 0);
	cr_expect_str_eq(query_text(o, "/a/s"), "x");
	cr_expect_str_eq(query_text(o, "/a/n"), "-");
	cr_expect_str_eq(query_text(o, "/a/z"), "-");
	cr_expect(query_true(o, "/a/b"));
	cr_expect_not(query_true(o, "/a/z"));
	cr_expect_not_null(query_array(o, "/a/l"));
	cr_expect_null(query_array(o, "/a"));
}
