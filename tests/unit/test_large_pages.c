// SPDX-License-Identifier: MIT
/*
 * A pool on a region that is mapped by whole GiBs only: all that a file gets there can be mapped,
 * and nothing counts as free that no file can have.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "pool_fixture.h"
#include "store/codec.h"
#include "store/fsck.h"
#include "util/cleanup.h"

#define GROUP ((uint64_t)GM_BLOCKS_PER_GROUP)
#define GIB   GM_GROUP_SIZE

/* Five GiBs from a GiB border on: metadata in the first, the stamp in the last. */
static const struct store_region five = {.kind = GM_REGION_PMEM,
	.blocks = 5 * GROUP,
	.physical_start = 4 * GIB,
	.node = GM_NODE_NONE,
	.zeroed = true,
	.large_pages = true};

static void setup(struct pool *p, uint64_t *ino)
{
	pool_init_region(p, &five, 64);
	*ino = pool_create(p, GM_ROOT_INO, "vm0");
}

static void assert_mappable(const struct pool *p, uint64_t ino)
{
	const struct inode *i = pool_inode(p, ino);

	cr_assert_eq(inode_blocks(i) * GM_BLOCK_SIZE, i->attr.size);
	for (uint32_t n = 0; n < i->extent_count; n++) {
		const struct file_extent *e = &i->extents[n];

		cr_assert_eq((e->file_block | e->block | e->count) % GROUP, 0,
			"file block %llu, block %llu, %u blocks", (unsigned long long)e->file_block,
			(unsigned long long)e->block, e->count);
	}
}

/* Runs fsck on what is on the media: how many errors it finds, with a code those of that one. */
static uint64_t check(const struct pool *p, const char *code)
{
	static const uint8_t no_token[16];
	const uint64_t bytes = p->region.blocks * GM_BLOCK_SIZE;
	struct gm_stamp last;
	const struct gm_stamp *stamps[2] = {(const void *)(p->media.base + GM_STAMP_OFFSET), &last};
	const struct fsck_input in = {.area = p->media.base,
		.area_bytes = p->media.size,
		.region_count = 1,
		.region_bytes = &bytes,
		.stamps = stamps};
	struct fsck_report r;

	store_make_stamp(
		&last, p->super.uuid, 0, GM_STAMP_LAST, p->region.blocks, &p->super.plan, no_token);
	cr_assert_eq(fsck_run(&r, &in), 0);
	uint64_t errors = 0;
	for (size_t n = 0; n < r.count; n++)
		errors += r.findings[n].severity == FSCK_ERROR &&
			  (!code || strcmp(r.findings[n].code, code) == 0);
	fsck_report_deinit(&r);
	return errors;
}

/* Moves the first extent of the checkpoint in force by a block, with good checksums. */
static void move_extent(struct pool *p)
{
	struct codec_word word;

	cr_assert(codec_decode_slot_word(
		codec_read_word(p->media.base + GM_SLOT_WORD_A_OFFSET), &word));
	uint8_t *base = p->media.base + p->super.plan.slot_offset[word.value];
	struct gm_checkpoint *c = (void *)base;
	for (uint32_t n = 0; n < get_le32(c->section_count); n++) {
		struct gm_section *s = &c->sections[n];
		struct gm_extent *e = (void *)(base + get_le64(s->offset));

		if (get_le32(s->type) != GM_SECTION_EXTENTS)
			continue;
		e->block = put_le64(get_le64(e->block) + 1);
		s->checksum = put_le64(codec_checksum(e, get_le64(s->length)));
	}
	c->checksum = codec_seal(c, sizeof(*c));
}

Test(large_pages, only_whole_gibs_are_data_and_all_of_them_can_be_had)
{
	struct statvfs st;
	struct pool p;
	uint64_t ino;

	setup(&p, &ino);
	cr_assert_eq(p.super.first_data[0], GROUP);
	cr_assert_eq(p.super.data_blocks[0], 3 * GROUP);
	ns_statfs(&p.ns, &st);
	cr_assert_eq(st.f_blocks, 3 * GROUP);
	cr_assert_eq(st.f_bavail, 3 * GROUP);
	cr_assert_eq(pool_resize(&p, ino, 4 * GIB), -ENOSPC);
	cr_assert_eq(pool_resize(&p, ino, 3 * GIB), 0);
	ns_statfs(&p.ns, &st);
	cr_assert_eq(st.f_bavail, 0);
	assert_mappable(&p, ino);
	pool_deinit(&p);
}

Test(large_pages, a_size_that_is_not_whole_gibs_is_refused_and_changes_nothing)
{
	static const uint64_t sizes[] = {1, GM_BLOCK_SIZE, GIB - 1, GIB + GM_BLOCK_SIZE};
	struct pool p;
	uint64_t ino;

	setup(&p, &ino);
	for (int grown = 0; grown < 2; grown++) {
		for (size_t n = 0; n < ARRAY_SIZE(sizes); n++) {
			cr_assert_eq(pool_resize(&p, ino, sizes[n]), -EINVAL, "%llu",
				(unsigned long long)sizes[n]);
			cr_assert_eq(pool_inode(&p, ino)->attr.size, grown ? 2 * GIB : 0);
		}
		cr_assert_eq(pool_resize(&p, ino, 2 * GIB), 0);
	}
	cr_assert_eq(pool_resize(&p, ino, 0), 0);
	cr_assert_eq(pool_stats(&p).free, 3 * GROUP);
	pool_deinit(&p);
}

Test(large_pages, what_is_freed_comes_back_whole_and_outlives_a_restart)
{
	struct pool p;
	uint64_t ino, second;

	setup(&p, &ino);
	second = pool_create(&p, GM_ROOT_INO, "vm1");
	cr_assert_eq(pool_resize(&p, ino, GIB), 0);
	cr_assert_eq(pool_resize(&p, second, GIB), 0);
	cr_assert_eq(pool_resize(&p, ino, 2 * GIB), 0);
	cr_assert_eq(pool_resize(&p, second, 0), 0);
	pool_reopen(&p, false);
	cr_assert(store_get_super(p.store)->plan.whole_groups);
	cr_assert_eq(pool_resize(&p, ino, 3 * GIB), 0);
	assert_mappable(&p, ino);
	pool_deinit(&p);
}

/* With one bad block in it a GiB is none any more. */
Test(large_pages, a_gib_with_a_poisoned_block_is_not_given_out)
{
	const struct alloc_extent bad = {.block = GROUP + 7, .count = 1};
	struct pool p;
	uint64_t ino;

	setup(&p, &ino);
	alloc_set_poisoned(store_meta(p.store)->alloc, &bad);
	cr_assert_eq(pool_resize(&p, ino, 3 * GIB), -ENOSPC);
	cr_assert_eq(pool_resize(&p, ino, 2 * GIB), 0);
	assert_mappable(&p, ino);
	pool_deinit(&p);
}

Test(large_pages, groups_begin_at_gib_borders_of_memory_in_every_region)
{
	struct store_region regions[2] = {
		{.kind = GM_REGION_PMEM,
			.blocks = 3 * GROUP,
			.physical_start = GIB - 64 * GM_BLOCK_SIZE, /* pages of 2 MiB */
			.node = GM_NODE_NONE},
		five,
	};
	struct problem why = PROBLEM_INIT;
	struct store_plan plan;
	struct alloc *a = alloc_new();

	cr_assert_eq(store_plan(&plan, regions, 2, 64, &why), 0, "%s", why.text);
	cr_assert(plan.whole_groups);
	cr_assert_lt(plan.meta_blocks, 64);
	/* Of the first: [64, 64 + 2 GiB) are whole and lie before the last block. */
	for (unsigned r = 0; r < 2; r++) {
		const struct alloc_region region = {.blocks = regions[r].blocks,
			.first_data = r ? GROUP : 64,
			.data_blocks = r ? 3 * GROUP : 2 * GROUP,
			.phase = r ? 0 : GROUP - 64,
			.whole_groups = true};

		cr_assert_eq(alloc_add_region(a, &region), 0);
	}
	cr_assert_eq(alloc_granule(a), GROUP);
	a = alloc_free(a);
}

Test(large_pages, a_region_without_a_whole_gib_is_refused_with_a_sentence)
{
	struct store_region region = five;
	struct problem why = PROBLEM_INIT;
	struct store_plan plan;

	region.blocks = 2 * GROUP;
	cr_assert_eq(store_plan(&plan, &region, 1, 64, &why), -EINVAL);
	cr_assert(strstr(why.text, "whole GiBs, and there is none"), "%s", why.text);
	region.large_pages = false;
	cr_assert_eq(store_plan(&plan, &region, 1, 64, &why), 0);
	cr_assert(!plan.whole_groups);
}

/* What a faulty or hostile writer may have left: it could not be mapped. */
Test(large_pages, extents_that_are_not_whole_groups_are_refused)
{
	static const struct file_extent cases[] = {
		{.file_block = 0, .block = GROUP, .count = 1},
		{.file_block = 1, .block = GROUP, .count = GROUP},
		{.file_block = 0, .block = GROUP + 1, .count = GROUP},
		{.file_block = 0, .block = GROUP, .count = GROUP + 1},
	};
	struct pool p;
	uint64_t ino;

	setup(&p, &ino);
	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SETATTR, 1);
		struct problem why = PROBLEM_INIT;

		txn_add_extent(&t, ino, &cases[n]);
		cr_assert_eq(
			meta_check(store_meta(p.store),
				(const void *)(t.items + sizeof(struct gm_record)), t.size, &why),
			-EUCLEAN, "case %zu", n);
		cr_assert(strstr(why.text, "whole groups"), "%s", why.text);
	}
	pool_deinit(&p);
}

Test(large_pages, fsck_knows_what_an_extent_is_made_of)
{
	struct pool p;
	uint64_t ino;

	setup(&p, &ino);
	cr_assert_eq(pool_resize(&p, ino, 2 * GIB), 0);
	cr_assert_eq(store_checkpoint(p.store), 0);
	cr_assert_eq(check(&p, NULL), 0);
	move_extent(&p);
	cr_assert_eq(check(&p, "extent-unaligned"), 1);
	pool_deinit(&p);
}

/* The superblock says how blocks are given out; places that do not fit that are damage. */
Test(large_pages, the_feature_and_the_data_blocks_must_agree)
{
	static const uint64_t places[] = {GM_SUPER_A_OFFSET, GM_SUPER_B_OFFSET};
	struct problem why = PROBLEM_INIT;
	struct store_super super;
	struct pool p;
	uint64_t ino;

	setup(&p, &ino);
	for (size_t n = 0; n < ARRAY_SIZE(places); n++) {
		struct gm_super *s = (void *)(p.media.base + places[n]);

		cr_assert_eq(get_le64(s->feature_incompat), GM_FEATURE_INCOMPAT_GROUPS);
		s->feature_incompat = put_le64(0);
		s->checksum = codec_seal(s, sizeof(*s));
	}
	cr_assert_eq(store_read_super(&super, p.media.base, 0, &why), -EUCLEAN);
	cr_assert(strstr(why.text, "data blocks are not where they must be"), "%s", why.text);
	pool_deinit(&p);
}

static int change(
	struct pool *p, uint64_t ino, enum ns_space what, uint64_t offset, uint64_t length)
{
	return ns_change_space(&p->ns, &p->rq, ino, what, &(struct ns_range){offset, length});
}

/* Clean blocks of the file from this one on, which a guest may have written. */
static uint64_t clean_from(const struct pool *p, uint64_t ino, uint64_t at)
{
	const struct inode *i = pool_inode(p, ino);
	uint64_t first = at;

	while (ns_has_data(&p->ns, i, at))
		at++;
	return at - first;
}

Test(large_pages, holes_are_whole_gibs_too)
{
	struct ns_range edges[2];
	struct pool p;
	uint64_t ino;

	setup(&p, &ino);
	cr_assert_eq(
		change(&p, ino, NS_ALLOCATE, 0, GIB + 1), -EINVAL, "it would end within a GiB");
	cr_assert_eq(change(&p, ino, NS_ALLOCATE, 5, 2 * GIB - 5), 0);
	cr_assert_eq(change(&p, ino, NS_ALLOCATE_KEEP, 2 * GIB, 1), 0);
	cr_assert_eq(inode_blocks(pool_inode(&p, ino)), 3 * GROUP);
	cr_assert_eq(pool_inode(&p, ino)->attr.size, 2 * GIB);
	cr_assert_eq(pool_resize(&p, ino, 3 * GIB), 0);
	assert_mappable(&p, ino);

	cr_assert_eq(change(&p, ino, NS_PUNCH, GIB, GIB), 0);
	cr_assert_eq(inode_blocks(pool_inode(&p, ino)), 2 * GROUP);
	cr_assert_eq(change(&p, ino, NS_ALLOCATE_KEEP, 2 * GIB - 1, 1), 0);
	pool_clean(&p, ino);
	assert_mappable(&p, ino);

	/* 3 MiB into the first GiB to 3 MiB into the third. */
	struct ns_range range = {3 << 20, 2 * GIB};
	cr_assert_eq(ns_punch_edges(&p.ns, ino, &range, edges), 2);
	cr_assert(edges[0].offset == 3 << 20 && edges[0].length == 1 << 20);
	cr_assert(edges[1].offset == 2 * GIB + (2 << 20) && edges[1].length == 1 << 20);
	cr_assert_eq(change(&p, ino, NS_PUNCH, range.offset, range.length), 0);
	cr_assert_eq(inode_blocks(pool_inode(&p, ino)), 2 * GROUP, "the second alone is free");
	cr_assert_eq(clean_from(&p, ino, 0), 2);
	cr_assert_eq(clean_from(&p, ino, GROUP - 1), 0, "to be zeroed");
	cr_assert_eq(clean_from(&p, ino, 2 * GROUP), 0);
	cr_assert_eq(clean_from(&p, ino, 2 * GROUP + 1), GROUP - 1);

	pool_clean(&p, ino);
	cr_assert_eq(change(&p, ino, NS_PUNCH, 2 << 20, 2 << 20), 0, "nothing to free at all");
	cr_assert_eq(inode_blocks(pool_inode(&p, ino)), 2 * GROUP);
	cr_assert_eq(clean_from(&p, ino, 1), 0);
	cr_assert_eq(clean_from(&p, ino, 2), GROUP - 2);
	cr_assert_eq(store_checkpoint(p.store), 0);
	cr_assert_eq(check(&p, NULL), 0);
	pool_reopen(&p, false);
	cr_assert_eq(clean_from(&p, ino, 1), 0);
	pool_deinit(&p);
}
