// SPDX-License-Identifier: MIT
/*
 * Takes a region specification apart: KIND:PATH[,OPTION=VALUE...]. Options are read from the end,
 * so that a path may have commas in it; a last part counts as an option only if it is a word, an
 * equals sign and a value without a slash.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "region/ops.h"
#include "util/cleanup.h"

static const struct region_ops *const region_kinds[] = {
	&region_file_ops, &region_pmem_ops, &region_soft_ops};

static const struct region_ops *spec_find_kind(const char *text, const char **rest)
{
	for (size_t i = 0; i < ARRAY_SIZE(region_kinds); i++) {
		size_t n = strlen(region_kinds[i]->name);
		if (strncmp(text, region_kinds[i]->name, n) == 0 && text[n] == ':') {
			*rest = text + n + 1;
			return region_kinds[i];
		}
	}
	return NULL;
}

/* The comma that begins the last option of path, or NULL if it ends without one. */
static char *spec_last_option(char *path)
{
	char *comma = strrchr(path, ',');
	size_t word = comma ? strspn(comma + 1, "abcdefghijklmnopqrstuvwxyz-_") : 0;

	if (word == 0 || comma[1 + word] != '=' || strchr(comma, '/'))
		return NULL;
	return comma;
}

static int spec_set_size(struct region_spec *spec, const char *value, struct problem *why)
{
	uint64_t size = 0;
	int r = region_parse_size(value, &size);

	if (r == -ERANGE)
		return problem(why, EINVAL, "size=%s is more than 64 bits can hold", value);
	if (r < 0)
		return problem(why, EINVAL,
			"size=%s is not a size: write bytes, or a number with K, M, G or T behind "
			"it",
			value);
	if (spec->size)
		return problem(why, EINVAL, "size= is given twice");
	if (size == 0 || size % GM_BLOCK_SIZE != 0)
		return problem(why, EINVAL,
			"size=%s is not a multiple of 2M, which is the unit of allocation", value);
	if (size > INT64_MAX)
		return problem(why, EINVAL, "size=%s is more than a file can have", value);
	spec->size = size;
	return 0;
}

static int spec_set_align(struct region_spec *spec, const char *value, struct problem *why)
{
	uint64_t align = 0;

	if (spec->align)
		return problem(why, EINVAL, "align= is given twice");
	if (region_parse_size(value, &align) < 0 ||
		(align != GM_BLOCK_SIZE && align != GM_GROUP_SIZE))
		return problem(why, EINVAL,
			"align=%s: the page size of the mappings is 2M or 1G on a region", value);
	spec->align = align;
	return 0;
}

static int spec_set_option(struct region_spec *spec, const char *option, struct problem *why)
{
	const char *known = spec->ops->options;
	const char *value = strchr(option, '=') + 1;
	size_t length = (size_t)(value - 1 - option);

	if (length == strlen(known) && strncmp(option, known, length) == 0)
		return *known == 's' ? spec_set_size(spec, value, why)
				     : spec_set_align(spec, value, why);
	if (!*known)
		return problem(why, EINVAL, "there is no option '%.*s=': '%s:' has none",
			(int)length, option, spec->ops->name);
	return problem(why, EINVAL,
		"there is no option '%.*s='; the one there is: %s=", (int)length, option, known);
}

static int spec_parse_rest(struct region_spec *spec, const char *rest, struct problem *why)
{
	char *option = NULL;

	spec->path = strdup(rest);
	if (!spec->path)
		return problem_errno(why, ENOMEM, "reading it");
	while ((option = spec_last_option(spec->path))) {
		int r = spec_set_option(spec, option + 1, why);
		if (r < 0)
			return r;
		*option = '\0';
	}
	if (!*spec->path)
		return problem(why, EINVAL, "there is no %s after '%s:'",
			spec->ops->check ? "name" : "path", spec->ops->name);
	return spec->ops->check ? spec->ops->check(spec, why) : 0;
}

int region_spec_parse(struct region_spec *ret, const char *text, struct problem *why)
{
	_cleanup_(region_spec_deinit) struct region_spec spec = REGION_SPEC_NULL;
	const char *rest = NULL;

	spec.ops = spec_find_kind(text, &rest);
	if (!spec.ops)
		return problem(why, EINVAL,
			"region '%s': it must begin with its kind, as in soft:auto, pmem:auto, "
			"file:PATH[,size=SIZE]",
			text);
	int r = spec_parse_rest(&spec, rest, why);
	if (r < 0)
		return problem_prefix(why, r, "region '%s'", text);
	*ret = spec;
	spec = REGION_SPEC_NULL;
	return 0;
}

void region_spec_deinit(struct region_spec *spec)
{
	free(spec->path);
	*spec = REGION_SPEC_NULL;
}

const struct region_ops *region_ops_of(enum gm_region_kind kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(region_kinds); i++)
		if (region_kinds[i]->kind == kind)
			return region_kinds[i];
	return NULL;
}
