// SPDX-License-Identifier: MIT
/* Ranges and boot parameters, as operators write them. */
#include <inttypes.h>
#include <stdio.h>

#include "doctor/checks.h"
#include "region/region.h"

const char *check_range(char buffer[CHECK_RANGE], uint64_t start, uint64_t end)
{
	char size[REGION_SIZE_TEXT];

	(void)snprintf(buffer, CHECK_RANGE, "%#" PRIx64 " (%s)", start,
		region_format_size(size, end - start));
	return buffer;
}

const char *check_parameters(
	char buffer[CHECK_PARAMETERS], enum gm_region_kind kind, uint64_t start, uint64_t end)
{
	char n[REGION_SIZE_TEXT];
	char s[REGION_SIZE_TEXT];

	region_format_size(n, end - start);
	region_format_size(s, start);
	if (kind == GM_REGION_SOFT)
		(void)snprintf(buffer, CHECK_PARAMETERS,
			"memmap=%s!%s,%s%%%s-12+0xefffffff dax_hmem.region_idle=1", n, s, n, s);
	else
		(void)snprintf(buffer, CHECK_PARAMETERS, "memmap=%s!%s", n, s);
	return buffer;
}

const char *check_suggestion(char buffer[CHECK_PARAMETERS], const struct doctor_facts *facts)
{
	const struct e820_entry *best = NULL;

	for (size_t n = 0; n < facts->firmware.count; n++) {
		const struct e820_entry *e = &facts->firmware.entries[n];

		if (e->type == E820_RAM && (!best || e->end - e->start > best->end - best->start))
			best = e;
	}
	if (!best || best->end - best->start < 2 * CHECK_GIB) {
		(void)snprintf(buffer, CHECK_PARAMETERS,
			"memmap=SIZE!START,SIZE%%START-12+0xefffffff dax_hmem.region_idle=1");
		return buffer;
	}
	uint64_t end = best->end / CHECK_GIB * CHECK_GIB;
	uint64_t size = (best->end - best->start) / 2 / CHECK_GIB * CHECK_GIB;
	return check_parameters(buffer, GM_REGION_SOFT, end - size, end);
}
