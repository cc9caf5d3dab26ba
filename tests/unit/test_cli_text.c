// SPDX-License-Identifier: MIT
/* What the command prints: sizes, modes, names that can't steer a terminal, tables, progress. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/grid.h"
#include "cli/progress.h"
#include "cli/text.h"
#include "util/cleanup.h"

#define KIB 1024ULL
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

Test(cli_text, sizes_are_exact_where_a_unit_allows_it)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{0, "0"},
		{1, "1"},
		{1023, "1023"},
		{KIB, "1K"},
		{KIB + 512, "1.5K"},
		{512 * MIB, "512M"},
		{GIB, "1G"},
		{GIB + 2 * MIB, "1026M"},
		{9999 * MIB, "9999M"},
		{20 * GIB + 2 * MIB, "20.0G"},
		{GIB + 1, "1.0G"},
		{3 * GIB / 2, "1536M"},
		{16 * KIB * GIB, "16T"},
		{UINT64_MAX, "16.0E"},
		{1ULL << 63, "8E"},
	};
	char text[TEXT_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cr_expect_str_eq(
			text_size(text, cases[i].bytes), cases[i].text, "%zu: %s", i, text);
}

Test(cli_text, modes_are_written_as_ls_does)
{
	static const struct {
		uint32_t mode;
		const char *text;
	} cases[] = {
		{S_IFREG | 0600, "-rw-------"},
		{S_IFDIR | 0755, "drwxr-xr-x"},
		{S_IFDIR | 01777, "drwxrwxrwt"},
		{S_IFDIR | 01776, "drwxrwxrwT"},
		{S_IFREG | 04755, "-rwsr-xr-x"},
		{S_IFREG | 04644, "-rwSr--r--"},
		{S_IFREG | 02711, "-rwx--s--x"},
		{S_IFREG | 02701, "-rwx--S--x"},
		{S_IFLNK | 0777, "lrwxrwxrwx"},
		{S_IFREG, "----------"},
		{S_IFSOCK | 0755, "srwxr-xr-x"},
		{S_IFIFO | 0644, "prw-r--r--"},
		{S_IFCHR | 0600, "crw-------"},
		{S_IFBLK | 0660, "brw-rw----"},
		{0170000, "?---------"},
	};
	char text[TEXT_MODE];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cr_expect_str_eq(text_mode(text, cases[i].mode), cases[i].text);
}

Test(cli_text, names_cannot_steer_a_terminal)
{
	static const struct {
		const char *name;
		const char *text;
	} cases[] = {
		{"vm0", "vm0"},
		{"", ""},
		{"a b", "a b"},
		{"a\nb", "a\\012b"},
		{"\x1b[2J", "\\033[2J"},
		{"a\\b", "a\\134b"},
		{"\x7f", "\\177"},
		{"\xc3\xa4", "\xc3\xa4"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = text_escape(cases[i].name);

		cr_expect_str_eq(text, cases[i].text);
	}
}

Test(cli_text, what_is_not_utf8_is_replaced)
{
	static const struct {
		const char *from;
		const char *to;
	} cases[] = {
		{"plain", "plain"},
		{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
		{"a\xff"
		 "b",
			"a\xef\xbf\xbd"
			"b"},
		{"\xc3", "\xef\xbf\xbd"},                                 /* cut short */
		{"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                 /* overlong */
		{"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* a surrogate */
		{"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"},
		{"\xf4\x90\x80\x80",
			"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* past the last */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = NULL;
		size_t size = 0;
		FILE *out = open_memstream(&text, &size);

		cr_assert_not_null(out);
		text_write_utf8(out, cases[i].from, strlen(cases[i].from));
		cr_assert_eq(fclose(out), 0);
		cr_expect_str_eq(text, cases[i].to, "%zu", i);
	}
}

Test(cli_text, progress_says_how_far_and_how_fast)
{
	static const struct {
		uint64_t done;
		uint64_t total;
		int64_t elapsed;
		const char *text;
	} cases[] = {
		{0, 0, 0, "0"},
		{0, GIB, 0, "0 of 1G, 0 %"},
		{512 * MIB, GIB, 500, "512M of 1G, 50 %, 1G/s"},
		{GIB, GIB, 2000, "1G of 1G, 100 %, 512M/s"},
		{2 * GIB, GIB, 0, "2G of 1G, 100 %"},
		{64 * MIB, 0, 1000, "64M, 64M/s"},
		{UINT64_MAX, UINT64_MAX, 1, NULL},
	};
	char text[PROGRESS_TEXT];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		progress_format(text, cases[i].done, cases[i].total, cases[i].elapsed);
		if (cases[i].text)
			cr_expect_str_eq(text, cases[i].text);
		else
			cr_expect_lt(strlen(text), sizeof(text));
	}
}

Test(cli_text, tables_line_up)
{
	static const struct grid_column columns[] = {
		{"NAME", false}, {"SIZE", true}, {"NOTE", false}};
	_cleanup_(grid_deinit) struct grid g = GRID_INIT(columns);
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	cr_assert_not_null(out);
	for (unsigned i = 0; i < 2; i++) {
		grid_add(&g, "%s", i ? "b" : "\xc3\xa4\xc3\xa4longer");
		grid_add(&g, "%u", i ? 100000 : 1);
		grid_add(&g, "%s", i ? "" : "x");
	}
	grid_add(&g, "half a row");
	cr_assert_eq(grid_print(&g, out), 0);
	cr_assert_eq(fclose(out), 0);
	/* the first column is as wide as its longest cell, a half row's included */
	cr_expect_str_eq(text, "NAME          SIZE  NOTE\n"
			       "\xc3\xa4\xc3\xa4longer         1  x\n"
			       "b           100000  \n");
}

Test(cli_text, large_tables_keep_every_row)
{
	static const struct grid_column columns[] = {{"N", true}};
	_cleanup_(grid_deinit) struct grid g = GRID_INIT(columns);
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	cr_assert_not_null(out);
	for (unsigned i = 0; i < 1000; i++)
		grid_add(&g, "%u", i);
	cr_assert_eq(grid_print(&g, out), 0);
	cr_assert_eq(fclose(out), 0);
	cr_expect_eq(size, 1001 * 4);
	cr_expect_not_null(strstr(text, "\n999\n"));
}
