// SPDX-License-Identifier: MIT
/*
 * The beginning of a mount: is the memory what it was when another kernel had it, and the one
 * record with which boot, mount and token begin. The first stores to the media are made here.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#include "store/codec.h"
#include "store/store_internal.h"
#include "store/super.h"
#include "util/cleanup.h"
#include "util/log.h"

static void heal(struct store *s)
{
	static const uint64_t offset[2] = {GM_SUPER_A_OFFSET, GM_SUPER_B_OFFSET};

	for (int k = 0; k < 2; k++) {
		struct gm_super super;

		if (!s->super.copy_bad[k])
			continue;
		if (!store_can_store(s, offset[k], sizeof(super))) {
			log_warning(
				"the %s superblock is damaged, and its memory can't be written; "
				"the other one is used",
				k ? "second" : "first");
			continue;
		}
		log_warning("the %s superblock was damaged; it is written anew from the other one",
			k ? "second" : "first");
		super_encode(&super, &s->super);
		media_copy(s->media, offset[k], &super, sizeof(super));
		media_fence(s->media);
		s->super.copy_bad[k] = false;
	}
	if (s->words_differ && store_can_publish_slot(s)) {
		store_publish_slot_words(s);
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
			"kernel that did not know the pool ran in between";
	else if (!o->stamps_agree)
		wrong = "a stamp bears another succession token than the pool's metadata: a region "
			"was used for something else in between";
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
	/* Also where the pool is frozen: it is no change of the operator's. */
	r = store_commit_always(s, &t);
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
