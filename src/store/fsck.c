// SPDX-License-Identifier: MIT
/* The offline check: superblocks, regions, words, the checkpoint in force, then the journal and
 * what it leads to. */
#include "store/fsck.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/codec.h"
#include "store/fsck_image.h"
#include "store/super.h"
#include "util/cleanup.h"

void fsck_report(struct fsck_report *r, enum fsck_severity severity, const char *code,
	const char *format, ...)
{
	struct fsck_finding *f;
	va_list ap;

	if (severity == FSCK_ERROR)
		r->errors++;
	if (r->count == FSCK_FINDINGS_MAX)
		return;
	if (r->count == r->capacity) {
		size_t capacity = r->capacity ? r->capacity * 2 : 16;

		f = reallocarray(r->findings, capacity, sizeof(*f));
		if (!f)
			return; /* counted; what can't be shown is not lost: errors says so */
		r->findings = f;
		r->capacity = capacity;
	}
	f = &r->findings[r->count++];
	f->severity = severity;
	f->code = code;
	va_start(ap, format);
	(void)vsnprintf(f->text, sizeof(f->text), format, ap);
	va_end(ap);
}

void fsck_report_deinit(struct fsck_report *r)
{
	free(r->findings);
	*r = (struct fsck_report){.findings = NULL};
}

bool fsck_find_inode(const struct checkpoint_section *inodes, uint64_t ino, struct inode_attr *ret)
{
	const struct gm_inode *list = (const void *)inodes->bytes;
	uint64_t low = 0, high = inodes->count;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (get_le64(list[middle].ino) < ino)
			low = middle + 1;
		else
			high = middle;
	}
	return low < inodes->count && get_le64(list[low].ino) == ino &&
	       codec_decode_inode(ret, &list[low]) == NULL;
}

static int check_supers(
	struct fsck_report *r, const struct fsck_input *in, struct store_super *super)
{
	struct problem why = PROBLEM_INIT;
	char text[200];
	int k = store_read_super(super, in->area, in->region_bytes[0], &why);

	if (k < 0) {
		fsck_report(r, FSCK_ERROR, "superblock", "%s", why.text);
		return k;
	}
	for (unsigned copy = 0; copy < 2; copy++) {
		if (!super->copy_bad[copy])
			continue;
		fsck_report(r, FSCK_NOTE, "superblock-copy",
			"the %s superblock (at 0x%x) will be written anew at the next mount: %s",
			copy ? "second" : "first", copy ? GM_SUPER_B_OFFSET : GM_SUPER_A_OFFSET,
			super_copy_problem(in->area, copy, text, sizeof(text))
				? text
				: "it is older than the other one");
	}
	return 0;
}

static void check_region(struct fsck_report *r, const struct fsck_input *in,
	const struct store_super *super, uint32_t n)
{
	uint64_t bytes = n < in->region_count ? in->region_bytes[n] : 0,
		 blocks = super->regions[n].blocks;
	struct problem why = PROBLEM_INIT;

	if (bytes == 0)
		fsck_report(r, FSCK_ERROR, "region-missing",
			"region %" PRIu32 " of the pool is not there", n);
	else if (bytes != blocks * GM_BLOCK_SIZE)
		fsck_report(r, FSCK_ERROR, "region-size",
			"region %" PRIu32 " has %" PRIu64 " MiB, not %" PRIu64 " MiB", n,
			bytes >> 20, blocks * 2);
	for (unsigned k = 0; k < 2 && n < in->region_count; k++) {
		const struct gm_stamp *stamp = in->stamps[2 * n + k];

		if (stamp &&
			store_check_stamp(stamp, super->uuid, n, k ? GM_STAMP_LAST : GM_STAMP_FIRST,
				blocks, &super->plan, &why) < 0)
			fsck_report(r, FSCK_ERROR, "stamp", "%s", why.text);
		else if (stamp && !store_stamp_bears(stamp, stamp->token))
			fsck_report(r, FSCK_NOTE, "stamp-torn",
				"the stamp in the %s block of region %" PRIu32
				" was half stored when a mount was cut short; the next one under "
				"the same boot id writes it anew",
				k ? "last" : "first", n);
	}
}

/* The slot in force; false if none can be told. */
static bool check_words(struct fsck_report *r, const struct fsck_input *in, struct codec_word *best)
{
	static const unsigned offset[2] = {GM_SLOT_WORD_A_OFFSET, GM_SLOT_WORD_B_OFFSET};
	struct codec_word word[2] = {0};
	bool good[2];

	for (int k = 0; k < 2; k++)
		good[k] = codec_decode_slot_word(codec_read_word(in->area + offset[k]), &word[k]);
	if (!good[0] && !good[1]) {
		fsck_report(r, FSCK_ERROR, "slot-words",
			"both slot words (at 0x%x and 0x%x) are damaged", offset[0], offset[1]);
		return false;
	}
	for (int k = 0; k < 2; k++)
		if (!good[k])
			fsck_report(r, FSCK_NOTE, "slot-word",
				"the slot word at 0x%x is damaged; the other one serves",
				offset[k]);
	if (good[0] && good[1] && word[0].generation != word[1].generation)
		fsck_report(r, FSCK_NOTE, "slot-words-differ",
			"the slot words are of generation %" PRIu64 " and %" PRIu64
			": a checkpoint was being published",
			word[0].generation, word[1].generation);
	*best = word[good[1] && (!good[0] || word[1].generation > word[0].generation)];
	return true;
}

static int check_checkpoint(struct fsck_report *r, const uint8_t *image,
	const struct store_super *super, uint64_t generation, const char *which)
{
	struct checkpoint_section sections[CHECKPOINT_SECTIONS];
	struct gm_checkpoint header;
	struct problem why = PROBLEM_INIT;

	if (checkpoint_open(sections, &header, image, super, generation, &why) < 0) {
		fsck_report(r, FSCK_ERROR, "checkpoint", "%s: %s", which, why.text);
		return 0;
	}
	return fsck_check_image(r, super, &header, sections);
}

/* What the journal makes of the checkpoint is written out as an image once more, and checked like
 * the first one. */
static int check_recovered(struct fsck_report *r, struct store *s, const struct store_super *super)
{
	_cleanup_(checkpoint_order_deinit) struct checkpoint_order order = {.places = NULL};
	struct checkpoint_info info = {.generation = 1, .slot = 0};
	struct store_super at_zero = *super;
	_cleanup_free_ uint8_t *image = NULL;
	struct media media;

	at_zero.plan.slot_offset[0] = 0;
	image = malloc(super->plan.slot_size);
	if (!image || checkpoint_order_reserve(&order, store_meta(s)->inode_count) < 0)
		return -ENOMEM;
	media = (struct media){
		.ops = &media_memory_ops, .base = image, .size = super->plan.slot_size};
	checkpoint_write(&media, &at_zero, store_meta(s), &info, &order);
	return check_checkpoint(r, image, super, 1, "the state after the journal");
}

static int check_journal(
	struct fsck_report *r, const struct fsck_input *in, const struct store_super *super)
{
	struct media media = {.ops = &media_memory_ops,
		.base = (uint8_t *)(uintptr_t)in->area,
		.size = in->area_bytes};
	struct problem why = PROBLEM_INIT;
	struct store_stats stats;
	struct store *s = NULL;
	int k = store_open(&s, &media, super, &why);

	if (k == -ENOMEM)
		return k;
	if (k < 0) {
		fsck_report(r, FSCK_ERROR, "recovery", "%s", why.text);
		return 0;
	}
	store_get_stats(s, &stats);
	r->records = stats.replayed;
	r->inodes = r->entries = r->extents = 0; /* counted anew */
	k = check_recovered(r, s, super);
	store_close(s);
	return k;
}

int fsck_run(struct fsck_report *ret, const struct fsck_input *in)
{
	struct store_super super;
	struct codec_word slot;
	char which[80];
	size_t noted;
	int r;

	*ret = (struct fsck_report){.findings = NULL};
	if (check_supers(ret, in, &super) < 0)
		return 0;
	for (uint32_t n = 0; n < super.region_count; n++)
		check_region(ret, in, &super, n);
	for (uint32_t n = super.region_count; n < in->region_count; n++)
		fsck_report(ret, FSCK_ERROR, "region-extra",
			"region %" PRIu32 " does not belong to the pool, which has %" PRIu32, n,
			super.region_count);
	if (in->area_bytes < super.plan.meta_blocks * GM_BLOCK_SIZE || !check_words(ret, in, &slot))
		return 0;
	(void)snprintf(which, sizeof(which), "the checkpoint in slot %u (at 0x%" PRIx64 ")",
		(unsigned)slot.value, super.plan.slot_offset[slot.value]);
	noted = ret->count;
	r = check_checkpoint(
		ret, in->area + super.plan.slot_offset[slot.value], &super, slot.generation, which);
	if (r < 0 || ret->errors > 0)
		return r;
	ret->count =
		noted; /* what was noted of the checkpoint is noted again of what follows from it */
	return check_journal(ret, in, &super);
}
