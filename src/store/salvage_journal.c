// SPDX-License-Identifier: MIT
/*
 * The journal up to where it is torn. A record happens whole or not at all, and none after one that
 * is lost: what came after it may build on it. Those that can still be read are told one by one,
 * and the blocks that they give to files are named.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/codec.h"
#include "store/salvage_internal.h"

static const char *type_name(unsigned type)
{
	static const char *const names[] = {[GM_RECORD_MOUNT] = "mount",
		[GM_RECORD_CREATE] = "create",
		[GM_RECORD_MKDIR] = "mkdir",
		[GM_RECORD_UNLINK] = "unlink",
		[GM_RECORD_RMDIR] = "rmdir",
		[GM_RECORD_RENAME] = "rename",
		[GM_RECORD_SETATTR] = "setattr",
		[GM_RECORD_GRANT] = "grant",
		[GM_RECORD_RELEASE] = "release",
		[GM_RECORD_SCRUB] = "scrub",
		[GM_RECORD_ORPHAN] = "orphan",
		[GM_RECORD_LINK] = "link",
		[GM_RECORD_SYMLINK] = "symlink",
		[GM_RECORD_MKNOD] = "mknod",
		[GM_RECORD_XATTR] = "xattr",
		[GM_RECORD_FALLOCATE] = "fallocate",
		[GM_RECORD_WRITE] = "write",
		[GM_RECORD_CONTENTS] = "content store"};

	return type < sizeof(names) / sizeof(names[0]) && names[type] ? names[type] : "unknown";
}

/* Blocks, or units of the content store, that somebody was given, as a record says that has no
 * effect. */
static int claim(struct salvage *s, bool units, const void *from)
{
	struct salvage_claim c = {.ino = 0};
	struct salvage_claim *bigger;

	if (units ? codec_decode_piece(&c.ino, &c.extent, from) != NULL
		  : codec_decode_extent(&c.ino, &c.extent, from) ||
				!alloc_is_data(s->meta.alloc, c.extent.region, c.extent.block,
					c.extent.count))
		return 0;
	c.units = units;
	s->pieces_lost |= units;
	s->unsure = s->moved = true;
	if (s->claim_count == s->claim_capacity) {
		s->claim_capacity = s->claim_capacity ? s->claim_capacity * 2 : 64;
		bigger = reallocarray(s->claims, s->claim_capacity, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		s->claims = bigger;
	}
	s->claims[s->claim_count++] = c;
	return 0;
}

/* ---- what is replayed ---- */

/* On a damaged base an item may lack what it is about; the others of its record still hold. */
static int replay_items(
	struct salvage *s, const uint8_t *items, uint64_t bytes, struct problem *why)
{
	for (uint64_t at = 0, n = 0; at < bytes; n++) {
		const struct gm_item *item = (const struct gm_item *)(const void *)(items + at);
		const char *wrong = NULL;
		int r;

		if (!codec_item_payload(item, bytes - at, &wrong))
			return problem(why, EUCLEAN, "item %" PRIu64 ": %s", n, wrong);
		r = salvage_take_item(s, item, bytes - at, why);
		if (r == -EUCLEAN && !s->base_whole) {
			salvage_lost(s, 0, "a change of the journal (sequence %" PRIu64 "): %.300s",
				s->journal.sequence + 1, why->text);
			r = get_le16(item->type) == GM_ITEM_EXTENT ||
					    get_le16(item->type) == GM_ITEM_PIECE
				    ? claim(s, get_le16(item->type) == GM_ITEM_PIECE, item + 1)
				    : 0;
		}
		if (r < 0)
			return r;
		at += get_le32(item->length);
	}
	return 0;
}

static int replay_record(struct salvage *s, uint8_t *bytes, uint64_t room, struct problem *why)
{
	struct gm_record record;
	const char *wrong;
	int64_t bit;
	int r;

	if (salvage_mend_record(bytes, room, &s->journal, &bit) && bit >= 0)
		salvage_note_mended(s->report,
			"the journal record of sequence %" PRIu64 " is whole once bit %" PRId64
			" of byte 0x%" PRIx64 " of the region is turned back",
			s->journal.sequence + 1, bit % 8,
			(uint64_t)(bytes - s->area) + (uint64_t)bit / 8);
	wrong = journal_check_record(bytes, room, &s->journal, &record);
	if (wrong)
		return problem(why, EBADMSG, "%s", wrong);
	r = replay_items(s, bytes + sizeof(record), get_le32(record.item_bytes), why);
	if (r == 0 && s->base_whole && get_le64(record.mount_number) != s->meta.mount_number)
		r = problem(why, EUCLEAN, "it is of another mount");
	if (r < 0)
		return r;
	if (get_le64(record.unique) != 0)
		s->result = (struct gm_result){
			.mount_number = record.mount_number, .unique = record.unique};
	s->journal.sequence++;
	s->journal.tail += get_le32(record.length);
	return 0;
}

/* ---- what is lost ---- */

struct sentence {
	char text[300];
	size_t length;
};

__attribute__((format(printf, 2, 3))) static void add(struct sentence *to, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(to->text + to->length, sizeof(to->text) - to->length, format, ap);
	va_end(ap);
	if (n > 0)
		to->length += (size_t)n;
	if (to->length >= sizeof(to->text))
		to->length = sizeof(to->text) - 1;
}

/* Numbers that it has used are not used again, and the boot that it tells of has been. */
static int lose_item(
	struct salvage *s, const struct gm_item *item, const void *payload, struct sentence *to)
{
	size_t length = get_le32(item->length) - sizeof(*item);
	const struct gm_extent *e = payload;
	const struct gm_boot *b = payload;
	struct codec_dirent d;
	uint64_t ino;

	switch (get_le16(item->type)) {
	case GM_ITEM_INODE:
		ino = get_le64(((const struct gm_inode *)payload)->ino);
		if (ino >= s->meta.next_ino && ino < CODEC_NUMBERS_MAX / 2)
			s->meta.next_ino = ino + 1;
		add(to, ", inode %" PRIu64, ino);
		break;
	case GM_ITEM_DIRENT:
		if (!codec_decode_dirent(&d, payload, length))
			add(to, ", entry \"%.*s\" of inode %" PRIu64 " in inode %" PRIu64,
				d.name_len, d.name, d.ino, d.parent);
		break;
	case GM_ITEM_DIRENT_REMOVED:
		add(to, ", an entry of inode %" PRIu64 " removed",
			get_le64(((const struct gm_dirent_key *)payload)->parent));
		break;
	case GM_ITEM_INODE_REMOVED:
		add(to, ", inode %" PRIu64 " removed",
			get_le64(((const struct gm_ino *)payload)->ino));
		break;
	case GM_ITEM_EXTENT:
		add(to, ", %" PRIu32 " blocks of inode %" PRIu64 " at offset %" PRIu64,
			get_le32(e->count), get_le64(e->ino),
			(uint64_t)(get_le64(e->file_block) * GM_BLOCK_SIZE));
		return claim(s, false, e);
	case GM_ITEM_PIECE:
		return claim(s, true, payload);
	case GM_ITEM_BOOT:
		memcpy(s->meta.boot_id, b->boot_id, sizeof(s->meta.boot_id));
		memcpy(s->meta.token, b->token, sizeof(s->meta.token));
		break;
	default:
		break;
	}
	return 0;
}

static int lose_record(struct salvage *s, const uint8_t *bytes, const struct gm_record *r)
{
	struct sentence to = {.length = 0};
	const uint8_t *items = bytes + sizeof(*r);

	for (uint64_t at = 0; at < get_le32(r->item_bytes);) {
		const struct gm_item *item = (const struct gm_item *)(const void *)(items + at);
		const char *wrong = NULL;
		const void *payload =
			codec_item_payload(item, get_le32(r->item_bytes) - at, &wrong);

		if (!payload)
			break;
		if (lose_item(s, item, payload, &to) < 0)
			return -ENOMEM;
		at += get_le32(item->length);
	}
	if (get_le64(r->sequence) > s->sequence)
		s->sequence = get_le64(r->sequence);
	if (get_le64(r->mount_number) > s->meta.mount_number &&
		get_le64(r->mount_number) < CODEC_MOUNTS_MAX)
		s->meta.mount_number = get_le64(r->mount_number);
	salvage_lost(s, 0,
		"the change of sequence %" PRIu64 " (%s%s), which came after what is damaged",
		get_le64(r->sequence), type_name(get_le16(r->type)), to.text);
	return 0;
}

/* A record of this generation that is whole, whatever was before it. */
static bool is_record(const struct salvage *s, uint64_t at, uint64_t generation, uint64_t after,
	struct gm_record *r)
{
	const uint8_t *bytes = s->area + s->super.plan.journal_offset + at;
	struct journal_position p = {.generation = generation};

	if (s->journal_end - at < sizeof(*r))
		return false;
	memcpy(r, bytes, sizeof(*r));
	p.sequence = get_le64(r->sequence) - 1;
	return get_le32(r->magic) == GM_RECORD_MAGIC && get_le64(r->sequence) > after &&
	       p.sequence - after <= s->super.plan.journal_size / GM_TAIL_UNIT &&
	       !journal_check_record(bytes, s->journal_end - at, &p, r);
}

/* Where the damaged record ends, if its own header still says it: what lies in it is no record, but
 * may look like one. */
static uint64_t skip_damaged(const struct salvage *s, uint64_t at)
{
	struct gm_record r;
	uint64_t length;

	if (s->journal_end - at < sizeof(r))
		return s->journal_end;
	memcpy(&r, s->area + s->super.plan.journal_offset + at, sizeof(r));
	length = get_le32(r.length);
	if (get_le32(r.magic) == GM_RECORD_MAGIC &&
		get_le64(r.sequence) == s->journal.sequence + 1 && length % GM_TAIL_UNIT == 0 &&
		length >= sizeof(r) && length <= s->journal_end - at)
		return at + length;
	return at + GM_TAIL_UNIT;
}

/* *count: how many there are. */
static int lose_records(
	struct salvage *s, uint64_t from, uint64_t generation, bool tell, uint64_t *count)
{
	uint64_t after = s->journal.sequence;
	struct gm_record r;

	*count = 0;
	for (uint64_t at = from; at < s->journal_end;) {
		if (!is_record(s, at, generation, after, &r)) {
			at += GM_TAIL_UNIT;
			continue;
		}
		++*count;
		if (tell && lose_record(s, s->area + s->super.plan.journal_offset + at, &r) < 0)
			return -ENOMEM;
		after = get_le64(r.sequence);
		at += get_le32(r.length);
	}
	return 0;
}

/* Where nothing says how long the journal is, it ends where no further record of it is found. */
static bool is_end(struct salvage *s)
{
	uint64_t at = s->journal.tail, count;
	struct gm_record r;

	if (s->journal_exact)
		return at >= s->journal_end;
	if (s->journal_end - at < sizeof(r))
		return true;
	memcpy(&r, s->area + s->super.plan.journal_offset + at, sizeof(r));
	if (get_le64(r.generation) == s->journal.generation &&
		get_le64(r.sequence) == s->journal.sequence + 1)
		return false;
	(void)lose_records(s, at + GM_TAIL_UNIT, s->journal.generation, false, &count);
	return count == 0;
}

static int tear(struct salvage *s, const struct problem *reason, struct problem *why)
{
	uint64_t count, at = s->journal.tail;

	s->unsure = s->moved = true;
	salvage_lost(s, 0,
		"the journal is damaged at 0x%" PRIx64 " of the region (sequence %" PRIu64
		": %.200s); what came before is kept",
		s->super.plan.journal_offset + at, s->journal.sequence + 1, reason->text);
	if (lose_records(s, skip_damaged(s, at), s->journal.generation, true, &count) < 0)
		return problem(why, ENOMEM, "out of memory");
	return 0;
}

int salvage_replay(struct salvage *s, uint64_t limit, uint64_t *replayed, struct problem *why)
{
	uint8_t *journal = s->area + s->super.plan.journal_offset;
	struct problem reason = PROBLEM_INIT;
	uint64_t count;
	int r;

	*replayed = 0;
	if (s->later) {
		if (lose_records(s, 0, s->later, true, &count) < 0)
			return problem(why, ENOMEM, "out of memory");
		return 0;
	}
	for (; *replayed < limit; ++*replayed) {
		if (is_end(s))
			return 0;
		r = replay_record(
			s, journal + s->journal.tail, s->journal_end - s->journal.tail, &reason);
		if (r == -EUCLEAN) {
			(void)snprintf(
				s->contradiction, sizeof(s->contradiction), "%.199s", reason.text);
			return -EAGAIN;
		}
		if (r == -EBADMSG)
			break;
		if (r < 0)
			return problem(why, ENOMEM, "out of memory");
	}
	/* At the limit: it is the record that failed before. */
	if (*replayed == limit)
		(void)problem(&reason, EUCLEAN, "%s", s->contradiction);
	return is_end(s) ? 0 : tear(s, &reason, why);
}
