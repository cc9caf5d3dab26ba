// SPDX-License-Identifier: MIT
/*
 * What an operator writes on a command line: region specifications, sizes, the options of
 * guestmemfs-fuse, names of instances, and a kernel command line. The first byte chooses; the rest
 * is text, words of a command line apart by NUL. Whatever is refused has a sentence.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/cmdline.h"
#include "fuse/options.h"
#include "fuzz.h"
#include "region/region.h"

#define WORDS_MAX 80 /* more than regions there can be */

static struct {
	bool refused;
	struct problem why;
} last;

const char *fuzz_refusal(void)
{
	return last.refused ? last.why.text : NULL;
}

static void check(int r, const struct problem *why)
{
	last.refused = r < 0;
	last.why = *why;
	if (r > 0 || (r < 0 && why->text[0] == '\0') ||
		memchr(why->text, '\0', sizeof(why->text)) == NULL)
		abort();
}

static void try_region(const char *text)
{
	struct problem why = PROBLEM_INIT;
	struct region_spec spec;
	int r = region_spec_parse(&spec, text, &why);

	check(r, &why);
	if (r < 0)
		return;
	if (!spec.path || spec.size % GM_BLOCK_SIZE != 0)
		abort();
	region_spec_deinit(&spec);
}

static void try_size(const char *text)
{
	char buffer[REGION_SIZE_TEXT];
	uint64_t size = 0, again = 0;

	int r = region_parse_size(text, &size);

	if (r < 0) { /* the caller has the sentence */
		last.refused = true;
		last.why = (struct problem){.text = "no size"};
		return;
	}
	if (region_parse_size(region_format_size(buffer, size), &again) < 0 || again != size)
		abort();
}

static void try_default_name(const struct options *o)
{
	struct problem why = PROBLEM_INIT;
	const char *name = NULL;

	if (!o->mount_point)
		return;
	if (options_default_name(&name, o->mount_point, &why) < 0 ? why.text[0] == '\0'
								  : !options_is_name(name))
		abort();
}

static void try_options(char *text, size_t length)
{
	char *words[WORDS_MAX + 2] = {(char[]){"guestmemfs-fuse"}};
	struct problem why = PROBLEM_INIT;
	struct options o;
	int count = 1;

	for (size_t at = 0; at < length && count <= WORDS_MAX; at += strlen(text + at) + 1)
		words[count++] = text + at;
	for (int privileged = 0; privileged < 2; privileged++) {
		int r = options_parse(&o, count, words, privileged, &why);

		check(r, &why);
		if (r == 0) {
			try_default_name(&o);
			options_deinit(&o);
		}
	}
}

static void try_kernel(const char *text)
{
	struct cmdline c;

	if (cmdline_parse(&c, text) < 0)
		return;
	for (size_t n = 0; n < c.blacklist_count; n++)
		if (!cmdline_find_blacklisted(&c, c.blacklist[n].name))
			abort();
	if (cmdline_find_blacklisted(&c, "a name that no module has"))
		abort();
	cmdline_deinit(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text || size == 0) {
		free(text);
		return 0;
	}
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	last.refused = false;
	switch (data[0] % 5) {
	case 0:
		try_region(text);
		break;
	case 1:
		try_size(text);
		break;
	case 2:
		try_options(text, size - 1);
		break;
	case 3:
		last.refused = !options_is_name(text);
		break;
	default:
		try_kernel(text);
	}
	free(text);
	return 0;
}
