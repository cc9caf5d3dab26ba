// SPDX-License-Identifier: MIT
/* The parser of /proc/PID/maps on all kinds of text. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "region/maps.h"
#include "util/cleanup.h"

Test(maps, takes_lines_apart)
{
	static const struct {
		const char *text;
		struct maps_line line;
	} cases[] = {
		{"7f1c00000000-7f1c00200000 rw-s 00400000 00:1b 1234       /dev/shm/region",
			{0x7f1c00000000, 0x7f1c00200000, 0x400000, 1234, 0, 0x1b, true, true}},
		{"00400000-00401000 r-xp 00000000 103:ffffa 18446744073709551615 /x (deleted)",
			{0x400000, 0x401000, 0, UINT64_MAX, 0x103, 0xffffa, false, false}},
		{"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0    [vsyscall]",
			{0xffffffffff600000, 0xffffffffff601000, 0, 0, 0, 0, false, false}},
		{"1000-2000 ---p 0 0:0 0", {0x1000, 0x2000, 0, 0, 0, 0, false, false}},
		{"1000-2000 -w-s 10000000000 8:1 5 /a\\012b",
			{0x1000, 0x2000, 0x10000000000, 5, 8, 1, true, true}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct maps_line *w = &cases[i].line;
		struct maps_line l = {0};
		const char *text = cases[i].text;
		cr_assert_eq(maps_parse_line(&l, text, strlen(text)), 0, "%s", text);
		cr_expect(l.start == w->start && l.end == w->end && l.offset == w->offset, "%s",
			text);
		cr_expect(
			l.ino == w->ino && l.major == w->major && l.minor == w->minor, "%s", text);
		cr_expect_eq(l.writable, w->writable, "%s", text);
		cr_expect_eq(l.shared, w->shared, "%s", text);
	}
}

Test(maps, refuses_what_is_no_line)
{
	static const char *const cases[] = {
		"",
		" ",
		"-",
		"1000",
		"1000-2000",
		"1000-2000 rw-s",
		"1000-2000 rw-s 0 8:1",
		"1000-2000 rw-s 0 8:1 ",
		"1000-2000 rw-s 0 81 5",
		"1000-2000 rwzs 0 8:1 5",
		"1000-2000 rw-x 0 8:1 5",
		"1000-2000 rw-ss 0 8:1 5",
		"2000-1000 rw-s 0 8:1 5",
		"1000-1000 rw-s 0 8:1 5",
		"1000-2000  rw-s 0 8:1 5",
		"-1000-2000 rw-s 0 8:1 5",
		"0x1000-2000 rw-s 0 8:1 5",
		"1000-2000 rw-s 0 8:1 5x",
		"1000-2000 rw-s 0 8:1 18446744073709551616",
		"1000-2000 rw-s 0 100000000:1 5",
		"10000000000000000-20000000000000000 rw-s 0 8:1 5",
		"1000-3000 rw-s fffffffffffff000 8:1 5",
		"Name:\tcat",
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct maps_line l;
		cr_expect_eq(
			maps_parse_line(&l, cases[i], strlen(cases[i])), -EINVAL, "%s", cases[i]);
	}
}

/* However the text is cut into pieces, and however long a path is, the same lines come out. */
Test(maps, reads_lines_from_pieces_of_any_size)
{
	static char text[8192];
	size_t length = 0;

	for (int i = 1; i <= 3; i++) {
		int n = snprintf(text + length, sizeof(text) - length,
			"%d000-%d800 rw-s 00000000 00:1b %d /", i, i, i);
		length += (size_t)n;
		memset(text + length, 'x', 2000);
		length += 2000;
		text[length++] = '\n';
	}
	for (size_t piece = 1; piece <= length; piece += piece < 200 ? 1 : 997) {
		struct maps_reader reader = {.length = 0};
		struct maps_line line;
		uint64_t lines = 0;
		for (size_t at = 0; at < length; at += piece) {
			const char *p = text + at;
			size_t left = length - at < piece ? length - at : piece;
			while (left > 0) {
				int r = maps_read_line(&reader, &p, &left, &line);
				cr_assert_geq(r, 0);
				if (r > 0)
					cr_assert_eq(line.ino, ++lines);
			}
		}
		cr_assert_eq(lines, 3, "pieces of %zu", piece);
	}
}
