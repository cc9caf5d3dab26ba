// SPDX-License-Identifier: MIT
/* The succession token on a kernel command line, found whatever stands around it. */
#include <criterion/criterion.h>
#include <string.h>

#include "fuse/origin.h"
#include "util/cleanup.h"

#define HEX    "00112233445566778899aabbccddeeff"
#define WANTED "ffff0000000000000000000000000000"
#define OTHER  "ffffffffffffffffffffffffffffffff"

Test(origin, the_wanted_token_counts_wherever_it_stands_or_else_the_last)
{
	static const struct {
		const char *cmdline;
		const char *token; /* NULL: none */
	} cases[] = {
		{"", NULL},
		{"quiet splash", NULL},
		{"guestmemfs.succession=" HEX, HEX},
		{"quiet guestmemfs.succession=" HEX " ro\n", HEX},
		{"\tguestmemfs.succession=" HEX "\n", HEX},
		{"guestmemfs.succession=" OTHER " x guestmemfs.succession=" HEX, HEX},
		{"guestmemfs.succession=" HEX "0", NULL},
		{"guestmemfs.succession=0011", NULL},
		{"guestmemfs.succession=" HEX " guestmemfs.succession=junk", HEX},
		{"guestmemfs.succession=" WANTED " guestmemfs.succession=" HEX, WANTED},
		{"guestmemfs.succession=0011223344556677 8899aabbccddeeff", NULL},
		{"guestmemfs.succession=0x112233445566778899aabbccddeeff", NULL},
		{"xguestmemfs.succession=" HEX, NULL},
		{"guestmemfs.succession", NULL},
		{"a=\"b guestmemfs.succession=" HEX " c\" d", NULL},
		{"a=\"b c\" guestmemfs.succession=" HEX, HEX},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		char text[ORIGIN_TOKEN_TEXT];
		uint8_t token[16];
		static const uint8_t wanted[16] = {0xff, 0xff};
		bool found = origin_find_token(cases[n].cmdline, wanted, token);

		cr_assert_eq(found, cases[n].token != NULL, "case %zu", n);
		if (found)
			cr_assert_str_eq(
				origin_format_token(text, token), cases[n].token, "case %zu", n);
	}
}

Test(origin, a_crash_kernel_is_known_by_the_word_that_kexec_adds)
{
	cr_expect(origin_is_crash_kernel("elfcorehdr=0x1000"));
	cr_expect(origin_is_crash_kernel("quiet nr_cpus=1 elfcorehdr=1234K\n"));
	cr_expect_not(origin_is_crash_kernel(""));
	cr_expect_not(origin_is_crash_kernel("quiet crashkernel=512M"));
	cr_expect_not(origin_is_crash_kernel("my.elfcorehdr=1"));
	cr_expect_not(origin_is_crash_kernel("a=\"b elfcorehdr=1\""));
}

Test(origin, this_kernel_tells_where_it_came_from)
{
	struct problem why = PROBLEM_INIT;
	static const uint8_t none[16];
	struct origin_texts texts;
	struct store_origin o;

	cr_assert_eq(origin_read(&texts, &why), 0, "%s", why.text);
	cr_assert_eq(origin_judge(&o, &texts, none, &why), 0, "%s", why.text);
	cr_assert_neq(memcmp(o.boot_id, none, 16), 0);
	cr_assert_not(o.after_panic);
	cr_assert_not(
		o.has_token, "the machine that runs the tests was not started by guestmemfs kexec");
}
