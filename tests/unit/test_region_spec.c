// SPDX-License-Identifier: MIT
/* Sizes and specifications of regions, as an operator writes them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "region/region.h"
#include "util/cleanup.h"

#define MIB (1024ULL * 1024)

Test(region_spec, reads_sizes)
{
	static const struct {
		const char *text;
		int result;
		uint64_t value;
	} cases[] = {
		{"0", 0, 0},
		{"1", 0, 1},
		{"4096", 0, 4096},
		{"2K", 0, 2048},
		{"512M", 0, 512 * MIB},
		{"512m", 0, 512 * MIB},
		{"3G", 0, 3 * 1024 * MIB},
		{"16T", 0, 16 * 1024 * 1024 * MIB},
		{"18446744073709551615", 0, UINT64_MAX},
		{"16777215T", 0, 16777215ULL << 40},
		{"18446744073709551616", -ERANGE, 0},
		{"99999999999999999999999", -ERANGE, 0},
		{"16777216T", -ERANGE, 0},
		{"", -EINVAL, 0},
		{"M", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{"+1", -EINVAL, 0},
		{" 1", -EINVAL, 0},
		{"1 ", -EINVAL, 0},
		{"1MB", -EINVAL, 0},
		{"1.5G", -EINVAL, 0},
		{"0x10", -EINVAL, 0},
		{"1P", -EINVAL, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t value = 77;

		cr_expect_eq(region_parse_size(cases[i].text, &value), cases[i].result, "'%s'",
			cases[i].text);
		cr_expect_eq(value, cases[i].result == 0 ? cases[i].value : 77, "'%s': %" PRIu64,
			cases[i].text, value);
	}
}

Test(region_spec, writes_sizes_exactly)
{
	static const struct {
		uint64_t value;
		const char *text;
	} cases[] = {
		{0, "0"},
		{1, "1"},
		{1023, "1023"},
		{1024, "1K"},
		{1025, "1025"},
		{512 * MIB, "512M"},
		{1024 * MIB, "1G"},
		{1025 * MIB, "1025M"},
		{1ULL << 50, "1024T"},
		{UINT64_MAX, "18446744073709551615"},
	};
	char text[REGION_SIZE_TEXT];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cr_expect_str_eq(region_format_size(text, cases[i].value), cases[i].text);
}

Test(region_spec, takes_specifications_apart)
{
	static const struct {
		const char *text;
		const char *path;
		uint64_t size;
	} cases[] = {
		{"file:/a", "/a", 0},
		{"file:a", "a", 0},
		{"file:/a,size=1G", "/a", 1024 * MIB},
		{"file:/a,b,size=2M", "/a,b", 2 * MIB},
		{"file:/a,size=1M/b", "/a,size=1M/b", 0},
		{"file:/a,size=2M,b", "/a,size=2M,b", 0},
		{"file:/a,,size=2M", "/a,", 2 * MIB},
		{"file:file:/a", "file:/a", 0},
		{"file:/a=b", "/a=b", 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(region_spec_deinit) struct region_spec spec = REGION_SPEC_NULL;
		struct problem why = PROBLEM_INIT;

		cr_assert_eq(region_spec_parse(&spec, cases[i].text, &why), 0, "%s", why.text);
		cr_expect_str_eq(spec.path, cases[i].path);
		cr_expect_eq(spec.size, cases[i].size);
	}
}

Test(region_spec, refuses_odd_specifications)
{
	static const struct {
		const char *text;
		const char *sentence;
	} cases[] = {
		{"", "must begin with its kind"},
		{"/dev/shm/a", "must begin with its kind"},
		{"nvdimm:/a", "must begin with its kind"},
		{"file", "must begin with its kind"},
		{"file:", "no path after 'file:'"},
		{"file:,size=2M", "no path after 'file:'"},
		{"file:/a,size=", "is not a size"},
		{"file:/a,size=x", "is not a size"},
		{"file:/a,size=0", "not a multiple of 2M"},
		{"file:/a,size=3M", "not a multiple of 2M"},
		{"file:/a,size=99999999T", "more than 64 bits"},
		{"file:/a,size=16777214T", "more than a file can have"},
		{"file:/a,size=2M,size=4M", "twice"},
		{"file:/a,sizes=2M", "there is no option 'sizes='; the one there is: size="},
		{"file:/a,align=1G,size=2M", "there is no option 'align='"},
		{"pmem:", "no name after 'pmem:'"},
		{"pmem:/dev/pmem0", "is none of these"},
		{"pmem:/dev/dax0", "is none of these"},
		{"pmem:/dev/dax0.0x", "is none of these"},
		{"pmem:/tmp/dax0.0", "is none of these"},
		{"pmem:auto,align=4K", "2M or 1G"},
		{"pmem:auto,align=2M,align=1G", "twice"},
		{"pmem:auto,size=1G", "the one there is: align="},
		{"soft:", "no name after 'soft:'"},
		{"soft:4G", "named by its physical start"},
		{"soft:0x", "named by its physical start"},
		{"soft:0x-1", "named by its physical start"},
		{"soft:0x1zz", "named by its physical start"},
		{"soft:0x10000000000000000", "named by its physical start"},
		{"soft:/dev/dax0.0", "named by its physical start"},
		{"soft:0x100000", "not a multiple of 2M"},
		{"soft:auto,align=1G", "'soft:' has none"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct region_spec spec = REGION_SPEC_NULL;
		struct problem why = PROBLEM_INIT;

		cr_expect_eq(region_spec_parse(&spec, cases[i].text, &why), -EINVAL, "'%s'",
			cases[i].text);
		cr_expect_not_null(
			strstr(why.text, cases[i].sentence), "'%s': %s", cases[i].text, why.text);
		cr_expect_null(spec.path);
	}
}

Test(region_spec, reads_what_names_reserved_memory)
{
	static const struct {
		const char *text;
		const char *path;
		uint64_t align;
	} cases[] = {
		{"pmem:auto", "auto", 0},
		{"pmem:auto,align=2M", "auto", 2 * MIB},
		{"pmem:auto,align=1G", "auto", 1024 * MIB},
		{"pmem:/dev/dax0.0", "/dev/dax0.0", 0},
		{"pmem:/dev/dax12.34,align=1G", "/dev/dax12.34", 1024 * MIB},
		{"pmem:namespace1.0", "namespace1.0", 0},
		{"soft:auto", "auto", 0},
		{"soft:0x100000000", "0x100000000", 0},
		{"soft:0xABCDE00000", "0xABCDE00000", 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(region_spec_deinit) struct region_spec spec = REGION_SPEC_NULL;
		struct problem why = PROBLEM_INIT;

		cr_assert_eq(region_spec_parse(&spec, cases[i].text, &why), 0, "%s", why.text);
		cr_expect_str_eq(spec.path, cases[i].path);
		cr_expect_eq(spec.align, cases[i].align);
		cr_expect_eq(spec.size, 0);
	}
}
