// SPDX-License-Identifier: MIT
/* What is left of the metadata, what a repair makes of it, and the order in which that is stored.
 */
#include "store/salvage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/codec.h"
#include "store/dir.h"
#include "store/fsck.h"
#include "store/salvage_internal.h"
#include "util/cleanup.h"
#include "store/super.h"

/* ---- once more from the beginning ---- */

static void drop_state(struct salvage *s)
{
	meta_deinit(&s->meta);
	s->meta = (struct meta){.alloc = NULL};
	s->claim_count = 0;
	s->lost_and_found = 0;
	for (uint32_t r = 0; r < s->super.region_count; r++)
		memset(s->named[r], 0, s->super.regions[r].blocks);
}

static int make_room(struct salvage *s)
{
	for (uint32_t r = 0; r < s->super.region_count; r++) {
		s->named[r] = calloc(s->super.regions[r].blocks, 1);
		if (!s->named[r])
			return -ENOMEM;
	}
	s->item = malloc(sizeof(struct gm_item) + CODEC_XATTR_BYTES_MAX);
	return s->item ? 0 : -ENOMEM;
}

static int begin_state(struct salvage *s, struct problem *why)
{
	struct alloc *a = NULL;
	int r;

	if (super_make_alloc(&a, &s->super) < 0)
		return problem(why, ENOMEM, "out of memory");
	r = meta_init(&s->meta, a);
	return r < 0 ? problem_errno(why, -r, "no random number for the names' hash") : 0;
}

/* The base and at most `limit` records. */
static int load(struct salvage *s, uint64_t limit, uint64_t *replayed, struct problem *why)
{
	const bool unsure = s->unsure, moved = s->moved;
	const struct journal_position start = s->journal;
	const struct salvage_report mark = *s->report;
	int r = begin_state(s, why);

	if (r == 0)
		r = salvage_load_image(s, why);
	if (r == 0)
		r = salvage_replay(s, limit, replayed, why);
	if (r == -EAGAIN) {
		drop_state(s);
		salvage_report_cut(s->report, &mark);
		s->journal = start;
		s->unsure = unsure;
		s->moved = moved;
		s->clean_lost = s->pieces_lost = false;
	}
	return r;
}

/* A record that fails after some of its items is found by trying; it then is where the journal
 * ends. */
static int load_whole_records(struct salvage *s, struct problem *why)
{
	uint64_t replayed = 0;
	int r = load(s, UINT64_MAX, &replayed, why);

	return r == -EAGAIN ? load(s, replayed, &replayed, why) : r;
}

/* ---- the state that is written ---- */

/* A mount takes twice as much; there is to be room for it to go on. */
#define NUMBERS_MAX (CODEC_NUMBERS_MAX / 4)

/* What counts up for ever begins again behind what is there, where only damage can have brought it
 * near its end. */
static int mend_numbers(struct salvage *s, struct problem *why)
{
	uint64_t highest = GM_ROOT_INO;
	struct inode *i;

	for (size_t c = 0; (i = meta_each_inode(&s->meta, &c));) {
		if (i->attr.ino > highest)
			highest = i->attr.ino;
		if (inode_is_dir(i) && i->attr.next_cookie >= NUMBERS_MAX)
			i->attr.next_cookie = dir_last_cookie(i) < GM_FIRST_COOKIE
						      ? GM_FIRST_COOKIE
						      : dir_last_cookie(i) + 1;
		if (inode_is_dir(i) && dir_last_cookie(i) >= NUMBERS_MAX)
			highest = UINT64_MAX;
	}
	if (s->meta.next_ino >= NUMBERS_MAX)
		s->meta.next_ino = highest + 1;
	if (s->meta.mount_number >= CODEC_MOUNTS_MAX)
		s->meta.mount_number = CODEC_MOUNTS_MAX / 2;
	if (highest < NUMBERS_MAX)
		return 0;
	return problem(why, EUCLEAN,
		"inodes or entries have numbers that can't be, and can't be told from right ones: "
		"nothing was changed");
}

static int mend_state(struct salvage *s, struct problem *why)
{
	int r = mend_numbers(s, why);

	if (r == 0)
		r = salvage_mend_tree(s, why);
	if (r == 0)
		r = salvage_keep_blocks(s, why);
	if (r == 0)
		r = salvage_keep_units(s, why);
	if (r == 0) /* with what has come into lost+found */
		r = salvage_mend_tree(s, why);
	if (r == 0)
		r = salvage_be_careful(s, why);
	return r;
}

static int check_room(const struct salvage *s, struct problem *why)
{
	if (meta_image_bytes(&s->meta) <= s->super.plan.slot_size)
		return 0;
	return problem(why, EUCLEAN,
		"what can be kept takes %" PRIu64 " bytes, and a checkpoint slot has %" PRIu64
		": nothing was changed",
		meta_image_bytes(&s->meta), s->super.plan.slot_size);
}

static int build(struct salvage *s, struct problem *why)
{
	int r = salvage_choose_base(s, why);

	if (r == 0)
		r = load_whole_records(s, why);
	if (r == 0)
		r = mend_state(s, why);
	if (r == 0)
		r = meta_verify(&s->meta, why);
	if (r == 0)
		r = check_room(s, why);
	if (r == 0 && checkpoint_order_reserve(&s->order, s->meta.inode_count) < 0)
		r = problem(why, ENOMEM, "out of memory");
	if (r == 0)
		memcpy(s->token, s->meta.token, sizeof(s->token));
	return r;
}

/* ---- writing ---- */

static void write_supers(const struct salvage *s, struct media *media)
{
	static const uint64_t offset[2] = {GM_SUPER_A_OFFSET, GM_SUPER_B_OFFSET};
	struct gm_super super;

	super_encode(&super, &s->super);
	for (int k = 0; k < 2; k++) {
		media_copy(media, offset[k], &super, sizeof(super));
		media_fence(media);
	}
}

/*
 * The image goes where the base is not; until the first slot word names it, everything is found as
 * it was, and the same repair does the same again. From then on the pool is whole but for the tail
 * word, which is of no record then: a repair that begins there finds this image, and nothing else
 * to do.
 */
static void write_checkpoint(struct salvage *s, struct media *media)
{
	const struct checkpoint_info info = {.generation = s->newest + 1,
		.sequence = s->sequence > s->journal.sequence ? s->sequence : s->journal.sequence,
		.slot = 1 - s->slot,
		.result = s->result};
	struct journal_position empty = {.generation = info.generation};
	uint64_t word = codec_encode_slot_word(info.generation, info.slot);

	checkpoint_write(media, &s->super, &s->meta, &info, &s->order);
	media_publish(media, GM_SLOT_WORD_A_OFFSET, word);
	media_fence(media);
	media_publish(media, GM_SLOT_WORD_B_OFFSET, word);
	media_fence(media);
	journal_reset(media, &empty);
}

/*
 * Superblocks go first: they say where everything is, and what told it so far may be in the slot
 * that is written next. With them the pool is refused as it was without, until a slot word names
 * the new image.
 */
void salvage_write(struct salvage *s, struct media *media)
{
	if (s->super_anew)
		write_supers(s, media);
	if (!s->whole)
		write_checkpoint(s, media);
}

/* ---- proof ---- */

static int check_copy(const struct salvage *s, struct problem *why)
{
	_cleanup_(fsck_report_deinit) struct fsck_report report = {.count = 0};
	const struct gm_stamp *stamps[2 * GM_REGIONS_MAX] = {NULL};
	uint64_t bytes[GM_REGIONS_MAX];
	struct fsck_input in = {.area = s->area,
		.area_bytes = s->in->area_bytes,
		.region_count = s->super.region_count,
		.region_bytes = bytes,
		.stamps = stamps};

	for (uint32_t r = 0; r < s->super.region_count; r++)
		bytes[r] = s->super.regions[r].blocks * GM_BLOCK_SIZE;
	if (fsck_run(&report, &in) < 0)
		return problem(why, ENOMEM, "out of memory");
	if (report.errors == 0)
		return 0;
	for (size_t n = 0; n < report.count; n++)
		if (report.findings[n].severity == FSCK_ERROR)
			return problem(why, EUCLEAN,
				"what can be kept does not make a clean pool (%.300s): nothing was "
				"changed",
				report.findings[n].text);
	return problem(why, EUCLEAN, "what can be kept does not make a clean pool");
}

/* On the copy, where it may go wrong. */
static int rehearse(struct salvage *s, struct problem *why)
{
	struct media media = {.ops = &media_memory_ops, .base = s->area, .size = s->in->area_bytes};

	salvage_write(s, &media);
	return check_copy(s, why);
}

/* ---- the whole ---- */

/* What recovery, a mount and fsck take is not looked into further. */
static bool is_whole(struct salvage *s)
{
	struct media media = {.ops = &media_memory_ops, .base = s->area, .size = s->in->area_bytes};
	struct store *store = NULL;
	bool whole;

	if (store_open(&store, &media, &s->super, NULL) < 0)
		return false;
	memcpy(s->token, store_meta(store)->token, sizeof(s->token));
	whole = store_check_numbers(store, NULL) == 0;
	store_close(store);
	return whole && check_copy(s, NULL) == 0;
}

static int look(struct salvage *s, struct problem *why)
{
	struct media copy = {.ops = &media_memory_ops, .size = s->in->area_bytes};
	int r = 0;

	if (s->super.plan.meta_blocks * GM_BLOCK_SIZE > s->in->area_bytes)
		return problem(why, EUCLEAN, "the metadata area does not fit the region");
	s->area = malloc(s->in->area_bytes);
	if (!s->area || make_room(s) < 0)
		return problem(why, ENOMEM, "out of memory");
	memcpy(s->area, s->in->area, s->in->area_bytes);
	copy.base = s->area;
	if (s->super_anew) /* as it will be: fsck reads them */
		write_supers(s, &copy);
	s->whole = is_whole(s);
	if (!s->whole)
		r = build(s, why);
	if (r == 0 && salvage_is_needed(s))
		r = rehearse(s, why);
	return r;
}

int salvage_new(struct salvage **ret, const struct salvage_input *in,
	const struct store_super *super, bool super_anew, struct salvage_report *report,
	struct problem *why)
{
	struct salvage *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return problem(why, ENOMEM, "out of memory");
	s->in = in;
	s->report = report;
	s->super = *super;
	s->super_anew = super_anew;
	r = look(s, why);
	if (r < 0) {
		salvage_free(s);
		return r;
	}
	if (!s->whole)
		salvage_report_paths(report, 0, &s->meta);
	*ret = s;
	return 0;
}

struct salvage *salvage_free(struct salvage *s)
{
	if (!s)
		return NULL;
	for (uint32_t r = 0; r < s->super.region_count; r++)
		free(s->named[r]);
	if (s->meta.alloc)
		meta_deinit(&s->meta);
	checkpoint_order_deinit(&s->order);
	free(s->claims);
	free(s->item);
	free(s->area);
	free(s);
	return NULL;
}

bool salvage_is_needed(const struct salvage *s)
{
	return !s->whole || s->super_anew;
}

const uint8_t *salvage_token(const struct salvage *s)
{
	return s->token;
}
