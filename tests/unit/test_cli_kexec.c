// SPDX-License-Identifier: MIT
/* What guestmemfs kexec hands on of a command line. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "cli/kexec.h"
#include "util/cleanup.h"

#define TOKEN "guestmemfs.succession=00112233445566778899aabbccddeeff"

Test(cli_kexec, words_of_this_boot_alone_are_not_handed_on)
{
	static const struct {
		const char *line;
		const char *stripped;
	} cases[] = {
		{"", ""},
		{" \t\n", ""},
		{"quiet  ro\n", "quiet ro"},
		{TOKEN, ""},
		{"a " TOKEN " b " TOKEN "\n", "a b"},
		{"\"" TOKEN "\" b", "b"},
		{"elfcorehdr=0x2f000000 nr_cpus=1", "nr_cpus=1"},
		{"x" TOKEN " xelfcorehdr=1", "x" TOKEN " xelfcorehdr=1"},
		/* Quotes hold a word together, blanks and all. */
		{"dyndbg=\"file a.c  +p\" ro", "dyndbg=\"file a.c  +p\" ro"},
		{"\"dyndbg=file a.c  +p\" ro", "\"dyndbg=file a.c  +p\" ro"},
		{"note=\"old: " TOKEN " .\" ro", "note=\"old: " TOKEN " .\" ro"},
		{"a=\"never closed " TOKEN, "a=\"never closed " TOKEN},
		{"-- " TOKEN, "--"},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		_cleanup_free_ char *stripped = kexec_strip_tokens(cases[n].line);

		cr_expect_str_eq(stripped, cases[n].stripped, "case %zu: '%s'", n, stripped);
	}
}

/* ---- pools ---- */

Test(cli_kexec, a_pool_is_on_a_file_if_one_of_its_regions_is)
{
	struct instance i = {
		.status = json_tokener_parse(
			"{\"regions\": [{\"kind\": \"pmem\"}, {\"kind\": \"file\"}]}")};

	cr_assert_not_null(i.status);
	cr_expect(instance_has_kind(&i, "file"));
	cr_expect(instance_has_kind(&i, "pmem"));
	cr_expect_not(instance_has_kind(&i, "soft"));
	json_object_put(i.status);
}
