// SPDX-License-Identifier: MIT
/* Sizes as operators write and read them: powers of 1024, nothing rounded. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "region/region.h"

static const char size_units[] = "KMGT";

/* The number of bits that a unit letter shifts by; -1 if it is none. */
static int size_unit_shift(char letter)
{
	if (letter >= 'a' && letter <= 'z')
		letter = (char)(letter - 'a' + 'A');
	const char *unit = letter ? strchr(size_units, letter) : NULL;
	return unit ? 10 * (int)(unit - size_units + 1) : -1;
}

int region_parse_size(const char *text, uint64_t *ret)
{
	uint64_t value = 0;
	const char *at = text;
	int shift = 0;

	for (; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
			return -ERANGE;
	if (at == text)
		return -EINVAL;
	if (*at) {
		shift = size_unit_shift(*at++);
		if (shift < 0 || *at)
			return -EINVAL;
	}
	if (value > UINT64_MAX >> shift)
		return -ERANGE;
	*ret = value << shift;
	return 0;
}

const char *region_format_size(char buffer[REGION_SIZE_TEXT], uint64_t bytes)
{
	char unit[2] = "";

	for (const char *u = size_units; *u && bytes && bytes % 1024 == 0; u++) {
		bytes /= 1024;
		unit[0] = *u;
	}
	(void)snprintf(buffer, REGION_SIZE_TEXT, "%" PRIu64 "%s", bytes, unit);
	return buffer;
}
