// SPDX-License-Identifier: MIT
/* Command lines are read as the kernel reads them, and so is what they make of its memory. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/cmdline.h"
#include "doctor/e820.h"
#include "util/cleanup.h"

#define GIB (UINT64_C(1) << 30)
#define HEX "00112233445566778899aabbccddeeff"

static void parse(struct cmdline *ret, const char *text)
{
	cr_assert_eq(cmdline_parse(ret, text), 0);
}

Test(doctor_cmdline, numbers_are_those_of_memparse)
{
	static const struct {
		const char *text;
		bool good;
		uint64_t value;
		const char *rest;
	} cases[] = {
		{"0", true, 0, ""},
		{"4096", true, 4096, ""},
		{"2G!4G", true, 2 * GIB, "!4G"},
		{"2g", true, 2 * GIB, ""},
		{"1k", true, 1024, ""},
		{"16M@", true, UINT64_C(16) << 20, "@"},
		{"3T", true, UINT64_C(3) << 40, ""},
		{"1P", true, UINT64_C(1) << 50, ""},
		{"15E", true, UINT64_C(15) << 60, ""},
		{"0x100000000", true, 4 * GIB, ""},
		{"0X10k", true, 16384, ""},
		{"0xeffG", true, 0xeff * GIB, ""},
		{"010", true, 8, ""},
		{"08", true, 0, "8"},
		{"0xg", true, 0, "xg"},
		{"2GG", true, 2 * GIB, "G"},
		{"18446744073709551615", true, UINT64_MAX, ""},
		{"18446744073709551616", false, 0, NULL},
		{"16E", false, 0, NULL},
		{"", false, 0, NULL},
		{"G", false, 0, NULL},
		{"-1", false, 0, NULL},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		const char *end = NULL;
		uint64_t value = 0;
		bool good = cmdline_parse_number(cases[n].text, &end, &value);

		cr_expect_eq(good, cases[n].good, "'%s'", cases[n].text);
		if (!good || !cases[n].good)
			continue;
		cr_expect_eq(value, cases[n].value, "'%s'", cases[n].text);
		cr_expect_str_eq(end, cases[n].rest, "'%s'", cases[n].text);
	}
}

Test(doctor_cmdline, each_form_of_memmap_is_known)
{
	static const struct {
		const char *text;
		struct cmdline_memmap m;
	} cases[] = {
		{"2G@4G", {.form = CMDLINE_RAM, .size = 2 * GIB, .start = 4 * GIB}},
		{"2G#4G", {.form = CMDLINE_ACPI, .size = 2 * GIB, .start = 4 * GIB}},
		{"2G$4G", {.form = CMDLINE_RESERVED, .size = 2 * GIB, .start = 4 * GIB}},
		{"2G!0x100000000", {.form = CMDLINE_PRAM, .size = 2 * GIB, .start = 4 * GIB}},
		{"2G%4G-12+0xefffffff", {.form = CMDLINE_CONVERT,
						.size = 2 * GIB,
						.start = 4 * GIB,
						.from = 12,
						.to = 0xefffffff}},
		{"2G%4G+2", {.form = CMDLINE_CONVERT, .size = 2 * GIB, .start = 4 * GIB, .to = 2}},
		{"2G%4G-1",
			{.form = CMDLINE_CONVERT, .size = 2 * GIB, .start = 4 * GIB, .from = 1}},
		{"2G%4G", {.form = CMDLINE_CONVERT, .size = 2 * GIB, .start = 4 * GIB}},
		{"8G", {.form = CMDLINE_LIMIT, .size = 8 * GIB}},
		{"exactmap", {.form = CMDLINE_EXACT}},
		{"2G!4Gx", {.form = CMDLINE_BAD}},
		{"2G!", {.form = CMDLINE_BAD}},
		{"2G&4G", {.form = CMDLINE_BAD}},
		{"2G%4G-12+", {.form = CMDLINE_BAD}},
		{"2G%4G-12+0x1efffffff", {.form = CMDLINE_BAD}},
		{"2G%4G+2-12", {.form = CMDLINE_BAD}},
		{"!4G", {.form = CMDLINE_BAD}},
		{"", {.form = CMDLINE_BAD}},
		{"4G!15E0", {.form = CMDLINE_BAD}},
		{"8E!15E", {.form = CMDLINE_BAD}},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		_cleanup_(cmdline_deinit) struct cmdline c = CMDLINE_NULL;
		char text[128];

		(void)snprintf(text, sizeof(text), "quiet memmap=%s ro", cases[n].text);
		parse(&c, text);
		cr_assert_eq(c.memmap_count, 1, "'%s'", text);
		cr_expect_eq(c.memmaps[0].form, cases[n].m.form, "'%s'", text);
		cr_expect_str_eq(c.memmaps[0].text, cases[n].text);
		if (cases[n].m.form == CMDLINE_BAD)
			continue;
		cr_expect_eq(c.memmaps[0].size, cases[n].m.size, "'%s'", text);
		cr_expect_eq(c.memmaps[0].start, cases[n].m.start, "'%s'", text);
		cr_expect_eq(c.memmaps[0].from, cases[n].m.from, "'%s'", text);
		cr_expect_eq(c.memmaps[0].to, cases[n].m.to, "'%s'", text);
	}
}

Test(doctor_cmdline, lists_and_repeated_parameters_keep_their_order)
{
	_cleanup_(cmdline_deinit) struct cmdline c = CMDLINE_NULL;

	parse(&c, "memmap=1G!4G,1G!5G mem=8G quiet memmap=1G%4G-12+0xefffffff\n");
	cr_assert_eq(c.memmap_count, 4);
	cr_expect_eq(c.memmaps[0].parameter, 0);
	cr_expect_eq(c.memmaps[1].start, 5 * GIB);
	cr_expect_eq(c.memmaps[1].parameter, 0);
	cr_expect_eq(c.memmaps[2].form, CMDLINE_LIMIT);
	cr_expect_eq(c.memmaps[2].parameter, CMDLINE_NO_PARAMETER);
	cr_expect_eq(c.memmaps[3].form, CMDLINE_CONVERT);
	cr_expect_eq(c.memmaps[3].parameter, 1);
}

Test(doctor_cmdline, single_settings_follow_the_last_word)
{
	static const struct {
		const char *text;
		bool idle, nokaslr;
	} cases[] = {
		{"", false, false},
		{"dax_hmem.region_idle=1", true, false},
		{"dax_hmem.region_idle=0", false, false},
		{"dax_hmem.region_idle", true, false},
		{"dax-hmem.region-idle=Y", true, false},
		{"dax_hmem.region_idle=on", true, false},
		{"dax_hmem.region_idle=1 dax_hmem.region_idle=off", false, false},
		{"dax_hmem.region_idle=n dax_hmem.region_idle=1", true, false},
		{"dax_hmem.region_idle=\"1\"", true, false},
		{"xdax_hmem.region_idle=1", false, false},
		{"nokaslr", false, true},
		{"nokaslr=1", false, false},
		{"\"nokaslr\"", false, true},
		{"init=/bin/sh -- nokaslr dax_hmem.region_idle=1", false, false},
		{"dyndbg=\"file a.c +p nokaslr\" ro", false, false},
		{"\"dyndbg=file a.c nokaslr\" dax_hmem.region_idle=1", true, false},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		_cleanup_(cmdline_deinit) struct cmdline c = CMDLINE_NULL;

		parse(&c, cases[n].text);
		cr_expect_eq(c.region_idle, cases[n].idle, "'%s'", cases[n].text);
		cr_expect_eq(c.nokaslr, cases[n].nokaslr, "'%s'", cases[n].text);
	}
}

Test(doctor_cmdline, blacklists_tokens_and_crash_kernels_are_found)
{
	_cleanup_(cmdline_deinit) struct cmdline c = CMDLINE_NULL;

	parse(&c, "modprobe.blacklist=kmem,dax-pmem module_blacklist=nd_pmem crashkernel=512M@16M "
		  "guestmemfs.succession=" HEX " guestmemfs.succession=short "
		  "guestmemfs.succession=FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF");
	cr_assert_not_null(cmdline_find_blacklisted(&c, "kmem"));
	cr_expect_not(cmdline_find_blacklisted(&c, "kmem")->refused);
	cr_expect_not_null(cmdline_find_blacklisted(&c, "dax_pmem"));
	cr_assert_not_null(cmdline_find_blacklisted(&c, "nd_pmem"));
	cr_expect(cmdline_find_blacklisted(&c, "nd_pmem")->refused);
	cr_expect_null(cmdline_find_blacklisted(&c, "device_dax"));
	cr_assert_eq(c.token_count, 2);
	cr_expect_str_eq(c.tokens[0], HEX);
	cr_expect_str_eq(c.tokens[1], "ffffffffffffffffffffffffffffffff");
	cr_expect_eq(c.crash_start, UINT64_C(16) << 20);
	cr_expect_eq(c.crash_size, UINT64_C(512) << 20);
}

Test(doctor_cmdline, what_the_kernel_cuts_off_does_not_count)
{
	_cleanup_(cmdline_deinit) struct cmdline c = CMDLINE_NULL;
	char text[2200];

	memset(text, 'a', 2040);
	(void)snprintf(text + 2040, sizeof(text) - 2040, " nokaslr memmap=2G!4G\n");
	parse(&c, text);
	cr_expect_eq(c.length, 2040 + strlen(" nokaslr memmap=2G!4G"));
	cr_expect_not(c.nokaslr, "'nokaslr' is cut in the middle");
	cr_expect_eq(c.memmap_count, 0);
}

/* ---- the map ---- */

static void resolve(struct e820_map *ret, const char *text)
{
	_cleanup_(e820_map_deinit) struct e820_map base = E820_MAP_NULL;
	_cleanup_(cmdline_deinit) struct cmdline c = CMDLINE_NULL;

	/* A PC of 14 GiB with a hole below 4 GiB, and one entry that ends at 12 GiB. */
	e820_map_add(&base, 0, 0xa0000, E820_RAM);
	e820_map_add(&base, 0x100000, 3 * GIB, E820_RAM);
	e820_map_add(&base, 0xfeffc000, 4 * GIB, E820_RESERVED);
	e820_map_add(&base, 4 * GIB, 12 * GIB, E820_RAM);
	e820_map_add(&base, 12 * GIB, 15 * GIB, E820_RAM);
	parse(&c, text);
	cr_assert_eq(e820_map_resolve(ret, &base, &c), 0);
}

Test(doctor_map, a_command_line_makes_the_kernels_map)
{
	static const struct {
		const char *text;
		uint64_t at, start, end;
		uint32_t type;
	} cases[] = {
		{"", 4 * GIB, 4 * GIB, 15 * GIB, E820_RAM},
		{"", 3 * GIB, 0, 0, E820_NONE},
		{"memmap=2G!4G", 4 * GIB, 4 * GIB, 6 * GIB, E820_PRAM},
		{"memmap=2G!4G", 6 * GIB, 6 * GIB, 15 * GIB, E820_RAM},
		{"memmap=2G!5G,2G%5G-12+0xefffffff", 5 * GIB, 5 * GIB, 7 * GIB, E820_SOFT},
		{"memmap=2G!5G memmap=2G%5G-12+0xefffffff", 5 * GIB, 5 * GIB, 7 * GIB, E820_SOFT},
		/* The wrong way round: nothing to change yet. */
		{"memmap=2G%5G-12+0xefffffff,2G!5G", 5 * GIB, 5 * GIB, 7 * GIB, E820_PRAM},
		{"memmap=2G%5G-12+0xefffffff", 5 * GIB, 4 * GIB, 15 * GIB, E820_RAM},
		{"memmap=2G%5G-1+0xefffffff", 5 * GIB, 5 * GIB, 7 * GIB, E820_SOFT},
		{"memmap=2G%5G+0xefffffff", 5 * GIB, 5 * GIB, 7 * GIB, E820_SOFT},
		/* Only half of it is changed. */
		{"memmap=2G!5G,1G%5G-12+0xefffffff", 6 * GIB, 6 * GIB, 7 * GIB, E820_PRAM},
		/* Taken back: the RAM below shows again. */
		{"memmap=2G!5G memmap=2G%5G-12", 5 * GIB, 4 * GIB, 15 * GIB, E820_RAM},
		{"memmap=2G!5G memmap=2G%5G", 5 * GIB, 0, 0, E820_NONE},
		/* The higher type wins, whatever the order. */
		{"memmap=2G!5G memmap=2G@5G", 5 * GIB, 5 * GIB, 7 * GIB, E820_PRAM},
		{"memmap=2G$5G", 6 * GIB, 5 * GIB, 7 * GIB, E820_RESERVED},
		/* A limit takes RAM away, nothing else. */
		{"memmap=2G!5G mem=5G", 5 * GIB, 5 * GIB, 7 * GIB, E820_PRAM},
		{"memmap=2G!5G mem=5G", 7 * GIB, 0, 0, E820_NONE},
		{"memmap=2G!5G memmap=exactmap", 5 * GIB, 0, 0, E820_NONE},
		{"memmap=exactmap,2G!5G", 5 * GIB, 5 * GIB, 7 * GIB, E820_PRAM},
		/* A border of the firmware's map splits a region. */
		{"memmap=2G!11G", 11 * GIB, 11 * GIB, 12 * GIB, E820_PRAM},
		{"memmap=2G!11G", 12 * GIB, 12 * GIB, 13 * GIB, E820_PRAM},
		{"memmap=1G!4G,1G!5G", 4 * GIB, 4 * GIB, 5 * GIB, E820_PRAM},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		_cleanup_(e820_map_deinit) struct e820_map map = E820_MAP_NULL;

		resolve(&map, cases[n].text);
		const struct e820_entry *e = e820_map_find(&map, cases[n].at);
		cr_expect_eq(e != NULL, cases[n].type != E820_NONE, "'%s'", cases[n].text);
		if (!e)
			continue;
		cr_expect_eq(
			e->type, cases[n].type, "'%s': %s", cases[n].text, e820_type_name(e->type));
		cr_expect_eq(e->start, cases[n].start, "'%s': %lx", cases[n].text,
			(unsigned long)e->start);
		cr_expect_eq(
			e->end, cases[n].end, "'%s': %lx", cases[n].text, (unsigned long)e->end);
	}
}

/* ---- KASLR ---- */

Test(doctor_kaslr, heeds_what_the_decompressor_heeds)
{
	static const struct {
		const char *text;
		bool avoided; /* 8G..10G */
		unsigned memmaps;
		bool gave_up;
	} cases[] = {
		{"", false, 0, false},
		{"nokaslr", true, 0, false},
		{"memmap=2G!8G", true, 1, false},
		{"memmap=2G$8G", true, 1, false},
		{"memmap=2G#8G", true, 1, false},
		{"memmap=2G%8G-12+0xefffffff", false, 0, false},
		{"memmap=2G@8G", false, 0, false},
		{"memmap=2G!8G,2G%8G-12+0xefffffff", true, 1, false},
		{"memmap=1G!8G", false, 1, false},
		{"memmap=1G!8G memmap=1G!9G", true, 2, false},
		{"memmap=1G!9G,1G!8G", true, 2, false},
		{"mem=4G", false, 0, false},
		{"memmap=1M$1G memmap=1M$2G memmap=1M$3G memmap=2G!8G", true, 4, false},
		{"memmap=1M$1G memmap=1M$2G memmap=1M$3G memmap=1M$4G memmap=2G!8G", false, 5,
			false},
		{"memmap=1M$1G,1M$2G,1M$3G,1M$4G,2G!8G", true, 5, true},
		{"memmap=1M$1G,1M$2G,1M$3G,1M$4G memmap=2G!8G", false, 5, false},
		{"memmap=1M$1G,1M$2G,1M$3G,1M$4G memmap=2G!8G nokaslr", true, 5, false},
		/* It stops reading a list at what it does not know. */
		{"memmap=exactmap,2G!8G", false, 1, false},
		{"memmap=x,2G!8G", false, 1, false},
		{"memmap=x memmap=2G!8G", true, 1, false},
		{"memmap=2G!8G,x", true, 1, false},
		/* An entry at 0 is none. */
		{"memmap=1M$0,1M$0,1M$0,1M$0,2G!8G", true, 1, false},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		_cleanup_(cmdline_deinit) struct cmdline c = CMDLINE_NULL;
		struct kaslr k;

		parse(&c, cases[n].text);
		kaslr_read(&k, &c);
		cr_expect_eq(kaslr_avoids(&k, 8 * GIB, 10 * GIB), cases[n].avoided, "'%s'",
			cases[n].text);
		cr_expect_eq(k.memmaps, cases[n].memmaps, "'%s': %u", cases[n].text, k.memmaps);
		cr_expect_eq(k.gave_up, cases[n].gave_up, "'%s'", cases[n].text);
	}
}
