// SPDX-License-Identifier: MIT
/* guestmemfs format: makes an empty pool. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/max_files.h"
#include "cli/regions.h"
#include "cli/text.h"
#include "pool/pool.h"
#include "util/cleanup.h"

struct format_options {
	struct cli_regions regions;
	struct pool_format pool;
	bool grow;          /* instead of making one */
	bool asked_for_new; /* an option was given that makes sense for a new pool only */
};

static void format_options_deinit(struct format_options *o)
{
	cli_regions_deinit(&o->regions);
}

static int format_take_option(const struct cli_command *self, struct format_options *o, int c)
{
	switch (c) {
	case 'r':
		return cli_regions_add(&o->regions, self, optarg);
	case 'm':
		o->asked_for_new = true;
		return cli_parse_max_files(self, optarg, &o->pool.max_files);
	case 'l':
		o->pool.label = optarg;
		o->asked_for_new = true;
		return CLI_DONE;
	case 'f':
		o->pool.force = true;
		o->asked_for_new = true;
		return CLI_DONE;
	case 'g':
		o->grow = true;
		return CLI_DONE;
	default:
		return cli_usage_hint(self);
	}
}

/* True if the command is to go on; else *ret is its exit code. */
static bool format_parse(
	const struct cli_command *self, struct format_options *o, int argc, char **argv, int *ret)
{
	static const struct option options[] = {
		{"region", required_argument, NULL, 'r'},
		{"max-files", required_argument, NULL, 'm'},
		{"label", required_argument, NULL, 'l'},
		{"force", no_argument, NULL, 'f'},
		{"grow", no_argument, NULL, 'g'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c = 0;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		*ret = c == 'h' ? cli_print_help(self) : format_take_option(self, o, c);
		if (c == 'h' || *ret != CLI_DONE)
			return false;
	}
	if (o->grow && o->asked_for_new) {
		*ret = cli_usage_error(self,
			"--grow keeps the pool that is there; --max-files, --label and --force are "
			"for a new one");
		return false;
	}
	*ret = cli_regions_check(&o->regions, self, argc, argv);
	return *ret == CLI_DONE;
}

static void format_report(const struct pool *pool)
{
	const struct store_super *super = &pool->super;
	uint64_t meta = super->plan.meta_blocks;
	uint64_t blocks = 0;
	char uuid[POOL_UUID_TEXT];
	char size[TEXT_SIZE];

	printf("%-9s %s\n", "uuid", pool_format_uuid(uuid, super->uuid));
	if (super->label[0])
		printf("%-9s %s\n", "label", super->label);
	for (uint32_t i = 0; i < pool->count; i++) {
		printf("%-9s %s %s%s\n", "region", pool->regions[i].name,
			text_size(size, pool->regions[i].size),
			pool->created[i] ? ", made just now" : "");
		blocks += super->data_blocks[i];
	}
	printf("%-9s %s, for up to %" PRIu64 " files\n", "metadata",
		text_size(size, meta * GM_BLOCK_SIZE), super->plan.max_files);
	printf("%-9s %s, %" PRIu64 " blocks of 2M%s\n", "data",
		text_size(size, blocks * GM_BLOCK_SIZE), blocks,
		super->plan.whole_groups ? ", given out by whole GiBs" : "");
}

static int format_pool(const struct format_options *o, struct problem *why)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	unsigned flags = o->grow ? 0 : REGION_OPEN_CREATE | REGION_OPEN_NAMESPACE;

	if (o->pool.force)
		flags |= REGION_OPEN_FORCE;
	int r = pool_open(&pool, o->regions.specs, o->regions.count, flags, why);

	if (r < 0)
		return r;
	r = pool_lock(&pool, false, REGIONS_LOCK_MS, why);
	if (r == 0)
		r = o->grow ? pool_grow(&pool, why) : pool_format(&pool, &o->pool, why);
	if (r < 0)
		pool_discard_created(&pool);
	else
		format_report(&pool);
	return r;
}

static int run_format(const struct cli_command *self, int argc, char **argv)
{
	_cleanup_(format_options_deinit) struct format_options o = {
		.pool = {.root_uid = geteuid(), .root_gid = getegid(), .force_option = "--force"},
	};
	struct problem why = PROBLEM_INIT;
	int code = CLI_DONE;

	if (!format_parse(self, &o, argc, argv, &code))
		return code;
	return format_pool(&o, &why) < 0 ? cli_fail(&why) : CLI_DONE;
}

const struct cli_command cli_format = {
	.name = "format",
	.usage = "[--region SPEC ...] [--max-files N] [--label TEXT] [--force | --grow]",
	.summary = "make an empty pool of one or more regions",
	.help = "The metadata goes into the first region. What is there already is never "
		"overwritten unasked.\n"
		"\n"
		"  --region SPEC    the memory; without it soft:auto where there is such memory, "
		"else pmem:auto\n"
		"    soft:auto, soft:0xSTART          soft-reserved RAM: the only one, or by its "
		"physical start\n"
		"    pmem:auto[,align=1G], pmem:/dev/daxX.Y, pmem:namespaceX.Y\n"
		"                                     reserved RAM or persistent memory; a raw "
		"namespace is made devdax,\n"
		"                                     with pages of 2M unless align= says 1G\n"
		"    file:PATH[,size=SIZE]            a file on tmpfs, hugetlbfs (pagesize=2M) or "
		"a disk; with a size\n"
		"                                     (K, M, G or T behind the number) it is made "
		"if it is not there\n"
		"  --max-files N    room for that many files and directories (65536)\n"
		"  --label TEXT     a name for people, at most 63 bytes\n"
		"  --force          format although something is there; all of it is lost\n"
		"  --grow           make no pool, but take what the regions of the present one "
		"have grown by into use\n"
		"  --help           print this",
	.run = run_format,
};
