// SPDX-License-Identifier: MIT
/* Opening, committing, checkpointing: the order in which stores reach the media is decided here and
 * in journal.c. */
#include "store/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "store/checkpoint.h"
#include "store/codec.h"
#include "store/dir.h"
#include "store/extents.h"
#include "store/journal.h"
#include "store/super.h"
#include "store/xattrs.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/log.h"

/* Users can make the pool full as often as they like; the log hears of it once a minute. */
#define FULL_LOG_INTERVAL_MS 60000U

struct store {
	struct media *media; /* the caller's */
	struct store_super super;
	struct meta meta;
	struct journal_position journal;
	struct checkpoint_order order;
	struct gm_result result; /* of the last change that a request asked for */
	unsigned slot;
	uint64_t replayed;
	bool keeps_held;         /* store_continue_mount() */
	bool words_differ;       /* the two slot words do not say the same: to be mended at mount */
	uint64_t full_logged_at; /* clock_milliseconds() of the last line about it; 0: none yet */
};

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
	};
}

/* ---- checkpoints ---- */

/*
 * Word A, then word B, then the journal's new tail. A crash after A: the new slot is in force, the
 * tail is of the generation before, so the journal is empty; the same after B. Nothing is
 * journalled in the new generation until all three are there.
 */
static void publish_slot_words(struct store *s)
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
	s->journal.generation = info.generation;
	s->journal.sequence = sequence;
	publish_slot_words(s);
	journal_reset(s->media, &s->journal);
}

static int checkpoint(struct store *s)
{
	int r = checkpoint_order_reserve(&s->order, s->meta.inode_count);

	if (r == 0)
		write_checkpoint(s, s->journal.sequence);
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
	for (size_t at = 0; at < t->size;) {
		const struct gm_item *item =
			(const struct gm_item *)(const void *)(t->items + sizeof(struct gm_record) +
							       at);
		int r = fn(s, reserve, item);

		if (r < 0)
			return r;
		at += get_le32(item->length);
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

/* Removing a part from the middle of an extent or a piece leaves two of it. */
static bool splits(const struct meta *m, const struct gm_item *item)
{
	const struct inode *file;
	struct file_extent e;
	const char *wrong = "it is neither";
	uint64_t ino = 0;

	if (get_le16(item->type) == GM_ITEM_EXTENT_REMOVED)
		wrong = codec_decode_extent(&ino, &e, (const struct gm_extent *)(item + 1));
	else if (get_le16(item->type) == GM_ITEM_PIECE_REMOVED)
		wrong = codec_decode_piece(&ino, &e, (const struct gm_piece *)(item + 1));
	file = wrong ? NULL : meta_inode(m, ino);
	return file && inode_is_file(file) && extents_would_split(file, &e);
}

/* The bytes of an attribute that this one replaces. */
static uint64_t replaced_bytes(const struct meta *m, const struct gm_item *item)
{
	struct codec_xattr x;
	const struct xattr *old = NULL;

	if (!codec_decode_xattr(&x, item + 1, get_le32(item->length) - sizeof(*item), false))
		old = xattrs_find(m, x.ino, x.name, x.name_len);
	return old ? codec_xattr_bytes(old->name_len, old->value_len) : 0;
}

static uint64_t removed_entry_bytes(const struct meta *m, const struct gm_item *item)
{
	const struct gm_dirent_key *key = (const struct gm_dirent_key *)(item + 1);
	const struct inode *dir = meta_inode(m, get_le64(key->parent));
	const struct dirent *d =
		dir && inode_is_dir(dir) ? dir_find(dir, get_le64(key->cookie)) : NULL;

	return d ? codec_dirent_bytes(d->name_len) : 0;
}

struct growth { /* by how much the items of a change can make the image grow at the most */
	uint64_t bytes;
	uint64_t inodes;
	uint64_t xattr_bytes; /* these two are counted in bytes as well */
	uint64_t piece_bytes;
};

static void measure_growth(const struct store *s, const struct txn *t, struct growth *g)
{
	uint64_t removed = 0; /* so that a name can become a shorter one whatever is full */

	*g = (struct growth){.bytes = 0};
	for (size_t at = 0; at < t->size;) {
		const struct gm_item *item =
			(const struct gm_item *)(const void *)(t->items + sizeof(struct gm_record) +
							       at);
		uint32_t length = get_le32(item->length);
		unsigned type = get_le16(item->type);

		if (type == GM_ITEM_INODE &&
			!meta_inode(&s->meta, get_le64(((const struct gm_inode *)(item + 1))->ino)))
			g->inodes++;
		else if (type == GM_ITEM_PIECE ||
			 (type == GM_ITEM_PIECE_REMOVED && splits(&s->meta, item)))
			g->piece_bytes += length - sizeof(*item);
		else if (type == GM_ITEM_DIRENT || type == GM_ITEM_TARGET ||
			 type == GM_ITEM_EXTENT || splits(&s->meta, item))
			g->bytes += length - sizeof(*item);
		else if (type == GM_ITEM_DIRENT_REMOVED)
			removed += removed_entry_bytes(&s->meta, item);
		else if (type == GM_ITEM_XATTR) {
			uint64_t more = length - sizeof(*item),
				 less = replaced_bytes(&s->meta, item);

			g->xattr_bytes += more > less ? more - less : 0;
		}
		at += length;
	}
	g->bytes += g->xattr_bytes + g->piece_bytes + g->inodes * sizeof(struct gm_inode);
	g->bytes -= removed < g->bytes ? removed : g->bytes;
}

static void log_full(struct store *s, const char *full)
{
	uint64_t now = clock_milliseconds();

	if (s->full_logged_at && now - s->full_logged_at < FULL_LOG_INTERVAL_MS)
		return;
	s->full_logged_at = now;
	log_warning("no space: %s (%" PRIu64 " files of %" PRIu64 ")", full, s->meta.inode_count,
		s->super.plan.max_files);
}

/* Attributes and pieces may have a part of the metadata area each, so that they can't keep files
 * from being made. */
static const char *find_full(const struct store *s, const struct growth *g)
{
	uint64_t slot = s->super.plan.slot_size;
	uint64_t pieces = s->meta.piece_count * sizeof(struct gm_piece);

	if (g->inodes > 0 && s->meta.inode_count + g->inodes > s->super.plan.max_files)
		return "the number of files has reached the limit that was set at format "
		       "(--max-files)";
	if (g->xattr_bytes > 0 && s->meta.xattr_bytes + g->xattr_bytes > slot / STORE_XATTR_SHARE)
		return "extended attributes have taken their quarter of the metadata area; a "
		       "format with more --max-files makes room";
	if (g->piece_bytes > 0 && pieces + g->piece_bytes > slot / STORE_PIECE_SHARE)
		return "the pieces of files with content have taken their quarter of the metadata "
		       "area; fewer holes, or a format with more --max-files, make room";
	if (g->bytes > 0 && meta_image_bytes(&s->meta) + g->bytes > slot)
		return "the metadata area is full; fewer or shorter names, or a format with more "
		       "--max-files, make room";
	return NULL;
}

static int check_room(struct store *s, const struct growth *g)
{
	const char *full = find_full(s, g);

	if (!full)
		return 0;
	log_full(s, full);
	return -ENOSPC;
}

int store_check_pieces(struct store *s, uint64_t count)
{
	uint64_t bytes = count * sizeof(struct gm_piece);

	return check_room(s, &(struct growth){.bytes = bytes, .piece_bytes = bytes});
}

/*
 * Everything that can fail comes first; then the change is applied in memory and journalled. Nobody
 * looks at meta in between: there is one thread. A record too large for half the journal is
 * committed by a checkpoint instead, which is just as atomic.
 */
static int commit_reserved(
	struct store *s, struct txn *t, struct meta_reserve *reserve, uint64_t new_inodes)
{
	uint64_t length = journal_record_bytes(t->size);
	bool large = length > s->super.plan.journal_size - s->journal.tail;
	int r = for_each_item(s, t, reserve, reserve_one);

	if (r == 0 && large)
		r = checkpoint_order_reserve(&s->order, s->meta.inode_count + new_inodes);
	if (r < 0)
		return r;
	(void)for_each_item(s, t, reserve, apply_one);
	if (t->unique)
		s->result = (struct gm_result){.mount_number = put_le64(s->meta.mount_number),
			.unique = put_le64(t->unique),
			.ino = put_le64(t->result)};
	if (large) {
		write_checkpoint(s, s->journal.sequence + 1);
		return 0;
	}
	journal_seal(t, &s->journal, s->meta.mount_number);
	journal_append(s->media, &s->super.plan, &s->journal, t);
	return 0;
}

static int commit(struct store *s, struct txn *t)
{
	struct meta_reserve reserve;
	struct growth growth;
	int r;

	if (t->failed)
		return -ENOMEM;
	assert(t->size > 0);
	r = quotas_check(&s->meta, t);
	if (r < 0)
		return r;
	measure_growth(s, t, &growth);
	meta_reserve_init(&reserve);
	r = check_room(s, &growth);
	if (r == 0)
		r = commit_reserved(s, t, &reserve, growth.inodes);
	meta_reserve_deinit(&reserve);
	if (r < 0) {
		quotas_undo(&s->meta);
		return r;
	}
	quotas_refresh(&s->meta);
	/* The change is safe already; should memory be short for the checkpoint now, the next
	 * change tries again. */
	if (s->journal.tail > s->super.plan.journal_size / 2 && checkpoint(s) < 0)
		log_warning("out of memory for a checkpoint; the journal is at %" PRIu64
			    " of %" PRIu64 " bytes",
			s->journal.tail, s->super.plan.journal_size);
	return 0;
}

int store_commit(struct store *s, struct txn *t)
{
	return s->meta.frozen ? -EBUSY : commit(s, t);
}

/* ---- beginning a mount ---- */

static void heal(struct store *s)
{
	static const uint64_t offset[2] = {GM_SUPER_A_OFFSET, GM_SUPER_B_OFFSET};

	for (int k = 0; k < 2; k++) {
		struct gm_super super;

		if (!s->super.copy_bad[k])
			continue;
		log_warning("the %s superblock was damaged; it is written anew from the other one",
			k ? "second" : "first");
		super_encode(&super, &s->super);
		media_copy(s->media, offset[k], &super, sizeof(super));
		media_fence(s->media);
		s->super.copy_bad[k] = false;
	}
	if (s->words_differ) {
		publish_slot_words(s);
		s->words_differ = false;
	}
}

/* Files that were unlinked while in use, and whose users are gone. */
static void remove_orphans(const struct meta *m, struct txn *t, bool other_boot)
{
	struct inode *i;

	for (size_t c = 0; (i = meta_each_inode(m, &c));) {
		if (i->attr.links > 0 || i->opens > 0 || (!other_boot && inode_is_held(i)) ||
			inode_is_contents(i))
			continue;
		txn_remove_extents(t, i);
		txn_remove_inode(t, i->attr.ino);
	}
}

static bool asks_for_token(const struct store *s)
{
	for (uint32_t r = 0; r < s->super.region_count; r++)
		if (s->super.regions[r].reserved_ram)
			return true;
	return false;
}

static bool was_mounted_by(const struct store *s, const uint8_t boot_id[16])
{
	return memcmp(boot_id, s->meta.boot_id, sizeof(s->meta.boot_id)) == 0;
}

int store_check_origin(const struct store *s, const struct store_origin *o, struct problem *why)
{
	const char *wrong = NULL;

	if (!asks_for_token(s) || s->meta.mount_number == 0 || was_mounted_by(s, o->boot_id))
		return 0;
	if (!o->by_kexec)
		wrong = "this boot came from firmware, not by a kexec";
	else if (!o->has_token)
		wrong = "this boot came by a kexec without guestmemfs.succession= on its command "
			"line";
	else if (memcmp(o->token, s->meta.token, sizeof(o->token)) != 0)
		wrong = "the kernel command line bears another succession token than the pool: a "
			"kernel "
			"that did not know the pool ran in between";
	else if (!o->stamps_agree)
		wrong = "a stamp bears another succession token than the pool's metadata: a region "
			"was "
			"used for something else in between";
	if (!wrong)
		return 0;
	return problem(why, ESTALE,
		"%s; nothing shows that the guests' memory is what it was. If you know that it is, "
		"--trust-memory mounts it; nothing was changed",
		wrong);
}

/* Files ask for none; a restart under the same kernel keeps the one that its successor may have
 * been promised. */
static int choose_token(const struct store *s, const uint8_t boot_id[16], uint8_t token[16])
{
	memcpy(token, s->meta.token, 16);
	if (!asks_for_token(s) || (s->meta.mount_number > 0 && was_mounted_by(s, boot_id)))
		return 0;
	return getrandom(token, 16, 0) == 16 ? 0 : -EIO;
}

/*
 * What counts up for ever must be far from where recovery refuses it: a mount whose changes came
 * there would leave a pool that can't be opened any more. Only an enemy has written such a number.
 */
int store_check_numbers(const struct store *s, struct problem *why)
{
	const struct inode *i;

	if (s->meta.mount_number >= CODEC_MOUNTS_MAX)
		return problem(why, EUCLEAN,
			"the pool was mounted %" PRIu64 " times, which can't be",
			s->meta.mount_number);
	if (s->journal.generation > CODEC_GENERATIONS_MAX / 2 ||
		s->meta.next_ino > CODEC_NUMBERS_MAX / 2)
		return problem(why, EUCLEAN,
			"the checkpoint's generation is %" PRIu64
			" and the next inode number %" PRIu64 ", which can't be",
			s->journal.generation, s->meta.next_ino);
	for (size_t c = 0; (i = meta_each_inode(&s->meta, &c));)
		if (i->attr.next_cookie > CODEC_NUMBERS_MAX / 2)
			return problem(why, EUCLEAN,
				"inode %" PRIu64 ": its next cookie is %" PRIu64 ", which can't be",
				i->attr.ino, i->attr.next_cookie);
	return 0;
}

int store_begin_mount(struct store *s, const uint8_t boot_id[16], struct problem *why)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_MOUNT, 0);
	uint8_t token[16];
	int r = store_check_numbers(s, why);

	if (r < 0)
		return r;
	r = choose_token(s, boot_id, token);
	if (r < 0)
		return problem_errno(why, -r, "making a succession token");
	heal(s);
	txn_boot(&t, boot_id, token, s->meta.mount_number + 1);
	remove_orphans(&s->meta, &t, !was_mounted_by(s, boot_id));
	r = commit(s, &t); /* also where the pool is frozen: it is no change of the operator's */
	if (r < 0)
		return problem_errno(why, -r, "the mount could not be recorded in the journal");
	return 0;
}

int store_continue_mount(struct store *s, const uint8_t boot_id[16], struct problem *why)
{
	uint8_t crashed[16];
	int r;

	memcpy(crashed, s->meta.mount_number > 0 ? s->meta.boot_id : boot_id, sizeof(crashed));
	r = store_begin_mount(s, crashed, why);
	s->keeps_held = r == 0;
	return r;
}

bool store_keeps_held(const struct store *s)
{
	return s->keeps_held;
}

/* ---- growing ---- */

/* By how much the block maps grow. */
static int plan_growth(
	struct store *s, struct store_super *to, const uint64_t *blocks, struct problem *why)
{
	uint64_t more = 0;

	for (uint32_t r = 0; r < to->region_count; r++) {
		uint64_t old = to->regions[r].blocks;

		if (blocks[r] < old)
			return problem(why, EINVAL,
				"region %" PRIu32 " has shrunk from %" PRIu64 " to %" PRIu64 " MiB",
				r, old * 2, blocks[r] * 2);
		more += ((blocks[r] + 63) / 64 - (old + 63) / 64) * 8 * 4;
		to->regions[r].blocks = blocks[r];
		super_data_blocks(
			&to->plan, &to->regions[r], r, &to->first_data[r], &to->data_blocks[r]);
	}
	if (meta_image_bytes(&s->meta) + more > to->plan.slot_size)
		return problem(why, EINVAL,
			"the metadata area was made for a smaller pool: it lacks %" PRIu64
			" KiB for the block maps of the new size; only a new format can make it "
			"larger",
			(meta_image_bytes(&s->meta) + more - to->plan.slot_size + 1023) / 1024);
	return 0;
}

/*
 * The superblock alone says how large the regions are; what the checkpoint's maps do not cover is
 * free and dirty. The copy that is not in force goes first, so that a crash leaves the old size or
 * the new one, also where one copy was damaged before.
 */
int store_grow(struct store *s, const uint64_t *blocks, struct problem *why)
{
	static const uint64_t offset[2] = {GM_SUPER_A_OFFSET, GM_SUPER_B_OFFSET};
	const unsigned first = s->super.copy_bad[0] ? 0 : 1;
	struct store_super to = s->super;
	struct gm_super super;
	int r = s->meta.frozen ? problem(why, EBUSY, "the pool is frozen")
			       : plan_growth(s, &to, blocks, why);

	if (r < 0)
		return r;
	to.sequence++;
	super_encode(&super, &to);
	for (int k = 0; k < 2; k++) {
		media_copy(s->media, offset[k ? 1 - first : first], &super, sizeof(super));
		media_fence(s->media);
	}
	return 0;
}
