// SPDX-License-Identifier: MIT
/*
 * Opening, committing, checkpointing: the order in which stores reach the media is decided here and
 * in journal.c. store_room.c says whether a change fits, store_faults.c whether its memory can be
 * reached, store_mount.c begins a mount, store_grow.c takes more memory into the pool.
 */
#include "store/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "store/codec.h"
#include "store/store_internal.h"
#include "store/super.h"
#include "util/cleanup.h"
#include "util/log.h"

/* ---- opening ---- */

/* Of the two words the valid one with the higher generation is in force. */
static int read_slot_words(struct store *s, struct problem *why)
{
	uint64_t a = codec_read_word(s->media->base + GM_SLOT_WORD_A_OFFSET);
	uint64_t b = codec_read_word(s->media->base + GM_SLOT_WORD_B_OFFSET);
	struct codec_word word[2] = {0};
	bool good_a = codec_decode_slot_word(a, &word[0]),
	     good_b = codec_decode_slot_word(b, &word[1]);
	const struct codec_word *best =
		&word[good_b && (!good_a || word[1].generation > word[0].generation)];

	if (!good_a && !good_b)
		return problem(why, EUCLEAN,
			"both slot words (at 0x%x and 0x%x of the region) are damaged",
			GM_SLOT_WORD_A_OFFSET, GM_SLOT_WORD_B_OFFSET);
	if (best->generation > CODEC_GENERATIONS_MAX)
		return problem(why, EUCLEAN,
			"the slot words are of generation %" PRIu64 ", which can't be",
			best->generation);
	s->words_differ = a != b;
	s->slot = (unsigned)best->value;
	s->journal.generation = best->generation;
	return 0;
}

static int recover(struct store *s, struct problem *why)
{
	struct checkpoint_info info = {.slot = 0};
	int r = read_slot_words(s, why);

	if (r < 0)
		return r;
	info.slot = s->slot;
	info.generation = s->journal.generation;
	r = checkpoint_load(&s->meta, s->media, &s->super, &info, why);
	if (r < 0)
		return r;
	s->journal.sequence = info.sequence;
	s->result = info.result;
	s->image_bytes = meta_image_bytes(&s->meta);
	r = journal_replay(
		&s->meta, s->media, &s->super.plan, &s->journal, &s->replayed, &s->result, why);
	if (r == 0)
		r = meta_verify(&s->meta, why);
	if (r == 0 && quotas_init(&s->meta) < 0)
		r = problem(why, ENOMEM, "out of memory");
	if (r == 0 && meta_image_bytes(&s->meta) > s->super.plan.slot_size)
		r = problem(why, EUCLEAN,
			"the metadata have grown to %" PRIu64 " bytes, more than the %" PRIu64
			" of a checkpoint slot",
			meta_image_bytes(&s->meta), s->super.plan.slot_size);
	return r;
}

int store_open(
	struct store **ret, struct media *m, const struct store_super *super, struct problem *why)
{
	struct store *s = calloc(1, sizeof(*s));
	struct alloc *a = NULL;
	int r;

	if (!s || super_make_alloc(&a, super) < 0) {
		free(s);
		return problem(why, ENOMEM, "out of memory");
	}
	s->media = m;
	s->super = *super;
	r = meta_init(&s->meta, a);
	if (r < 0)
		(void)problem_errno(why, -r, "no random number for the names' hash");
	else if (m->size < super->plan.meta_blocks * GM_BLOCK_SIZE)
		r = problem(why, EUCLEAN, "the metadata area does not fit the region");
	else
		r = recover(s, why);
	if (r < 0) {
		store_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

struct store *store_close(struct store *s)
{
	if (!s)
		return NULL;
	checkpoint_order_deinit(&s->order);
	meta_deinit(&s->meta);
	free(s);
	return NULL;
}

struct meta *store_meta(struct store *s)
{
	return &s->meta;
}

const struct store_super *store_get_super(const struct store *s)
{
	return &s->super;
}

struct store_result store_last_result(const struct store *s)
{
	return (struct store_result){.mount_number = get_le64(s->result.mount_number),
		.unique = get_le64(s->result.unique)};
}

void store_get_stats(const struct store *s, struct store_stats *ret)
{
	*ret = (struct store_stats){
		.generation = s->journal.generation,
		.sequence = s->journal.sequence,
		.journal_used = s->journal.tail,
		.journal_size = s->super.plan.journal_size,
		.image_bytes = meta_image_bytes(&s->meta),
		.slot_size = s->super.plan.slot_size,
		.replayed = s->replayed,
		.fault = s->faults.text[0] ? s->faults.text : NULL,
	};
}

/* ---- checkpoints ---- */

__attribute__((noinline)) void store_publish_slot_words(struct store *s)
{
	uint64_t word = codec_encode_slot_word(s->journal.generation, s->slot);

	media_publish(s->media, GM_SLOT_WORD_A_OFFSET, word);
	media_fence(s->media);
	media_publish(s->media, GM_SLOT_WORD_B_OFFSET, word);
	media_fence(s->media);
}

/* The order has room. sequence: of the last record that the image contains. */
__attribute__((noinline)) static void write_checkpoint(struct store *s, uint64_t sequence)
{
	struct checkpoint_info info = {.generation = s->journal.generation + 1,
		.sequence = sequence,
		.slot = 1 - s->slot,
		.result = s->result};

	checkpoint_write(s->media, &s->super, &s->meta, &info, &s->order);
	s->slot = info.slot;
	s->image_bytes = meta_image_bytes(&s->meta);
	s->journal.generation = info.generation;
	s->journal.sequence = sequence;
	store_publish_slot_words(s);
	journal_reset(s->media, &s->journal);
}

/* For an image that is no larger than this, of a meta of so many inodes. */
static int prepare_checkpoint(struct store *s, uint64_t image_bytes, uint64_t inodes)
{
	int r = checkpoint_order_reserve(&s->order, inodes);

	return r < 0 || store_can_checkpoint(s, image_bytes) ? r : -EIO;
}

int store_write_checkpoint(struct store *s)
{
	int r = prepare_checkpoint(s, meta_image_bytes(&s->meta), s->meta.inode_count);

	if (r < 0)
		return r;
	write_checkpoint(s, s->journal.sequence);
	store_note_checkpoint(s);
	return 0;
}

/* The same, and why not goes into the log. */
static int checkpoint(struct store *s)
{
	int r = store_write_checkpoint(s);

	if (r == -EIO)
		store_say_no_checkpoint(s);
	return r;
}

int store_checkpoint(struct store *s)
{
	return s->meta.frozen ? -EBUSY : checkpoint(s);
}

/* The flag is in the checkpoint's header, so it changes in the same instant as the checkpoint is
 * named. */
static int set_frozen(struct store *s, bool frozen)
{
	int r;

	if (s->meta.frozen == frozen)
		return 0;
	s->meta.frozen = frozen;
	r = checkpoint(s);
	if (r < 0)
		s->meta.frozen = !frozen;
	return r;
}

int store_freeze(struct store *s)
{
	return set_frozen(s, true);
}

int store_thaw(struct store *s)
{
	return set_frozen(s, false);
}

bool store_is_frozen(const struct store *s)
{
	return s->meta.frozen;
}

/* ---- committing ---- */

typedef int item_fn(struct store *s, struct meta_reserve *reserve, const struct gm_item *item);

static int for_each_item(
	struct store *s, const struct txn *t, struct meta_reserve *reserve, item_fn *fn)
{
	const struct gm_item *item = NULL;

	while ((item = txn_next_item(t, item))) {
		int r = fn(s, reserve, item);

		if (r < 0)
			return r;
	}
	return 0;
}

static int reserve_one(struct store *s, struct meta_reserve *reserve, const struct gm_item *item)
{
	return meta_reserve_item(&s->meta, reserve, item);
}

/*
 * A change that contradicts what is there is a fault of ours. Better to die with it here, before it
 * reaches the media and while the last good state is safe, than to commit it.
 */
static int apply_one(struct store *s, struct meta_reserve *reserve, const struct gm_item *item)
{
	struct problem why = PROBLEM_INIT;

	if (meta_check(&s->meta, item, get_le32(item->length), &why) < 0) {
		log_error("internal error, stopping before any damage: %s", why.text);
		abort();
	}
	meta_apply(&s->meta, reserve, item);
	return 0;
}

/*
 * Everything that can fail comes first; then the change is applied in memory and journalled. Nobody
 * looks at meta in between: there is one thread. A record too large for half the journal, or whose
 * place there can't be reached, is committed by a checkpoint instead, which is just as atomic.
 */
static int commit_reserved(struct store *s, struct txn *t, struct meta_reserve *reserve,
	const struct store_growth *growth)
{
	uint64_t length = journal_record_bytes(t->size);
	bool large = length > s->super.plan.journal_size - s->journal.tail;
	bool detour = !large && !store_can_journal(s, length);
	int r = for_each_item(s, t, reserve, reserve_one);

	if (r == 0 && (large || detour))
		r = prepare_checkpoint(s, meta_image_bytes(&s->meta) + growth->bytes,
			s->meta.inode_count + growth->inodes);
	if (r == -EIO)
		store_say_refused(s);
	if (r < 0)
		return r;
	if (detour)
		store_say_detour(s);
	(void)for_each_item(s, t, reserve, apply_one);
	if (t->unique)
		s->result = (struct gm_result){.mount_number = put_le64(s->meta.mount_number),
			.unique = put_le64(t->unique),
			.ino = put_le64(t->result)};
	if (large || detour) {
		write_checkpoint(s, s->journal.sequence + 1);
		return 0;
	}
	journal_seal(t, &s->journal, s->meta.mount_number);
	journal_append(s->media, &s->super.plan, &s->journal, t);
	return 0;
}

int store_commit_always(struct store *s, struct txn *t)
{
	struct meta_reserve reserve;
	struct store_growth growth;
	int r;

	if (t->failed)
		return -ENOMEM;
	assert(t->size > 0);
	r = quotas_check(&s->meta, t);
	if (r < 0)
		return r;
	store_measure_growth(s, t, &growth);
	meta_reserve_init(&reserve);
	r = store_check_room(s, &growth);
	if (r == 0)
		r = commit_reserved(s, t, &reserve, &growth);
	meta_reserve_deinit(&reserve);
	if (r < 0) {
		quotas_undo(&s->meta);
		return r;
	}
	quotas_refresh(&s->meta);
	store_note_taken(s);
	/* The change is safe already; should memory be short for the checkpoint now, the next
	 * change tries again. */
	if (s->journal.tail > s->super.plan.journal_size / 2 && checkpoint(s) == -ENOMEM)
		log_warning("out of memory for a checkpoint; the journal is at %" PRIu64
			    " of %" PRIu64 " bytes",
			s->journal.tail, s->super.plan.journal_size);
	return 0;
}

int store_commit(struct store *s, struct txn *t)
{
	return s->meta.frozen ? -EBUSY : store_commit_always(s, t);
}
