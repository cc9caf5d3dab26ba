// SPDX-License-Identifier: MIT
/*
 * What the helper says to the worker: answers to what is open, when the input says so, and things
 * that no helper would say.
 */
#include <string.h>

#include "rig.h"
#include "rig_helper.h"
#include "rig_record.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

/* ---- what the helper says ---- */

#define FULL_MAX 1000U

/* What does not fit in the socket any more waits for the worker to read. */
static void send_message(const void *message, size_t size, int fd)
{
	for (unsigned n = 0; side.fd >= 0; n++) {
		if (packet_send(side.fd, message, size, &fd, fd >= 0, false) != -EAGAIN)
			return;
		if (n == FULL_MAX)
			rig_die("the worker reads nothing", "");
		rig_hear();
		rig_helper_read();
	}
}

static void note_done(uint64_t id)
{
	struct ask *scrub = find_ask(LINK_SCRUB, id), *a = scrub ? scrub : find_ask(LINK_ZERO, id);

	if (!a) {
		note_early(id, 0);
		return;
	}
	record_end_zeroing(a->region, a->block, a->count);
	a->opcode = 0;
}

static void note_free(const struct link_check *m)
{
	uint64_t ino = get_le64(m->ino), epoch = get_le64(m->epoch);
	const struct record_entry *e = record_of(ino);

	if (e && e->epoch == epoch)
		record_let_go(ino);
	else if (epoch != 0)
		note_early(ino, epoch);
}

static void note_spare(const struct link_spare *m)
{
	struct record_entry *e = record_of(get_le64(m->ino));

	if (e)
		e->spare = true;
}

/* If the worker believes it, it is so. */
static void note_lie(const void *message, size_t size)
{
	struct link_header h;
	struct link_check check;
	struct link_spare spare;

	memcpy(&h, message, sizeof(h));
	if (get_le16(h.opcode) == LINK_DONE)
		note_done(get_le64(h.id));
	if (get_le16(h.opcode) == LINK_FREE && size == sizeof(check)) {
		memcpy(&check, message, sizeof(check));
		note_free(&check);
	}
	if (get_le16(h.opcode) == LINK_SPARE && size == sizeof(spare)) {
		memcpy(&spare, message, sizeof(spare));
		note_spare(&spare);
	}
}

/* Makes something else of a message, if the input has ordered that. The place that a descriptor is
 * said to be at stays: it is believed. */
static bool tamper(void *message, size_t size, unsigned opcode)
{
	if (side.tamper.after == 0 || --side.tamper.after > 0 || side.tamper.at >= size)
		return false;
	if (opcode == LINK_PART && side.tamper.at >= sizeof(struct link_header) &&
		side.tamper.at % 8 != 7 && (side.tamper.at != 32 || side.tamper.value != 0))
		return false; /* but that it is too far, or empty */
	((uint8_t *)message)[side.tamper.at] = side.tamper.value;
	rig.lied_to = true;
	return true;
}

/* True if it was said as it is. */
static bool say_with(void *message, size_t size, unsigned opcode, uint64_t id, int fd)
{
	const struct link_header h = {.size = put_le32((uint32_t)size),
		.opcode = put_le16((uint16_t)opcode),
		.id = put_le64(id)};
	bool other;

	memcpy(message, &h, sizeof(h));
	other = tamper(message, size, opcode);
	if (other)
		note_lie(message, size);
	send_message(message, size, fd);
	return !other;
}

static bool say(void *message, size_t size, unsigned opcode, uint64_t id)
{
	return say_with(message, size, opcode, id, -1);
}

static void say_ready(void)
{
	struct link_plain m;

	if (side.owes_ready)
		(void)say(&m, sizeof(m), LINK_READY, 0);
	side.owes_ready = false;
}

static void say_checked(unsigned opcode, uint64_t ino)
{
	const struct record_entry *e = record_of(ino);
	struct link_check m = {.ino = put_le64(ino), .epoch = put_le64(e ? e->epoch : 0)};

	if (say(&m, sizeof(m), opcode, 0) && opcode == LINK_FREE)
		record_let_go(ino);
}

static bool may_be_free(uint64_t ino)
{
	const struct record_entry *e = record_of(ino);

	return !e || !e->exported;
}

static void offer_spare(uint64_t ino, bool any)
{
	struct record_entry *e = record_of(ino);
	struct link_spare m = {.ino = put_le64(ino), .uid = put_le32(0), .flags = put_le32(any)};
	uint64_t first, count;

	if (!e || !record_find_run(ino, &first, &count))
		return;
	m.epoch = put_le64(e->epoch);
	m.blocks = put_le64(count);
	m.file_block = put_le64(first);
	if (say(&m, sizeof(m), LINK_SPARE, 0))
		e->spare = true;
}

/* The nth; each second one is told twice. */
static void say_holder(const struct ask *a, unsigned n)
{
	struct link_holder m = {.ino = put_le64(a->ino),
		.pid = put_le32(77 + n / 2),
		.access = put_le32(3),
		.command = "vmm",
		.cgroup = "/vm.slice"};

	(void)say(&m, sizeof(m), LINK_HOLDER, a->id);
}

/* Seldom more than anybody has room for. */
static unsigned count_holders(unsigned how)
{
	return how < 248 ? how % 4 : 3 * GM_REVOKE_HOLDERS;
}

static void answer_check(const struct ask *a, unsigned how)
{
	if (how % 3 == 0 && may_be_free(a->ino)) {
		say_checked(LINK_FREE, a->ino);
		return;
	}
	if (how % 3 == 1 && (a->flags & LINK_CHECK_KEEP))
		offer_spare(a->ino, how & 4);
	say_checked(LINK_BUSY, a->ino);
}

static void answer_revoke(const struct ask *a, unsigned how)
{
	struct link_revoked m = {.state = put_le32(LINK_REVOKED_HELD)};

	for (unsigned n = count_holders(how); n > 0; n--)
		say_holder(a, n);
	if (how % 8 >= 4 && may_be_free(a->ino)) {
		say_checked(LINK_FREE, a->ino);
		m.state = put_le32(LINK_REVOKED_FREE);
	}
	(void)say(&m, sizeof(m), LINK_REVOKED, a->id);
}

static void answer_holders(const struct ask *a, unsigned how)
{
	struct link_holders_end m = {.retired = put_le32(how)};

	for (unsigned n = count_holders(how); n > 0; n--)
		say_holder(a, n);
	(void)say(&m, sizeof(m), LINK_HOLDERS_END, 0);
}

static void answer_export(const struct ask *a, unsigned how)
{
	struct record_entry *e = record_of(a->ino);
	struct link_exported m = {.node = "/dev/dax0.1"};

	if (how % 4 == 3)
		m = (struct link_exported){
			.error = put_le32(EBUSY), .reason = put_le32(GM_REASON_DEVICE)};
	else if (e)
		e->exported = true;
	(void)say(&m, sizeof(m), LINK_EXPORTED, a->id);
}

static void answer_done(const struct ask *a, unsigned how)
{
	struct link_done m = {.error = put_le32(how % 4 == 3 ? EIO : 0)};
	struct record_entry *e = record_of(a->ino);

	if (a->opcode != LINK_UNEXPORT)
		record_end_zeroing(a->region, a->block, a->count);
	else if (e && how % 4 != 3)
		e->exported = false;
	(void)say(&m, sizeof(m), LINK_DONE, a->id);
}

/* The device is all of the region. */
static void answer_contents(const struct ask *a, unsigned how)
{
	struct link_contents_given given = {.error = put_le32(how % 4 == 3 ? EBUSY : 0)};

	for (unsigned n = 0; n < side.contents_count && how % 4 != 3; n++) {
		const struct gm_extent *e = &side.contents[n];
		struct link_part m = {.file_block = e->file_block,
			.device_block = e->block,
			.count = put_le64(get_le32(e->count))};

		(void)say_with(&m, sizeof(m), LINK_PART, a->id, rig_region_fd(get_le16(e->region)));
	}
	(void)say(&given, sizeof(given), LINK_CONTENTS_GIVEN, a->id);
}

static void answer(struct ask *at, unsigned how)
{
	const struct ask a = *at;

	at->opcode = 0;
	switch (a.opcode) {
	case LINK_CHECK:
		answer_check(&a, how);
		break;
	case LINK_REVOKE:
		answer_revoke(&a, how);
		break;
	case LINK_HOLDERS:
		answer_holders(&a, how);
		break;
	case LINK_EXPORT:
		answer_export(&a, how);
		break;
	case LINK_CONTENTS:
		answer_contents(&a, how);
		break;
	default:
		answer_done(&a, how);
	}
}

static struct ask *nth_ask(unsigned n)
{
	unsigned count = 0;

	for (unsigned k = 0; k < ASKS_MAX; k++)
		count += side.asks[k].opcode != 0 && side.asks[k].opcode != LINK_REDEEM;
	if (count == 0)
		return NULL;
	n %= count;
	for (unsigned k = 0;; k++)
		if (side.asks[k].opcode != 0 && side.asks[k].opcode != LINK_REDEEM && n-- == 0)
			return &side.asks[k];
}

static unsigned count_redeems(void)
{
	unsigned count = 0;

	for (unsigned n = 0; n < ASKS_MAX; n++)
		count += side.asks[n].opcode == LINK_REDEEM;
	return count;
}

static void say_redeem(unsigned n)
{
	struct link_redeem m = {.pid = put_le32(77)};
	struct ask a = {.opcode = LINK_REDEEM, .id = ++side.last_id};

	if (side.ticket_count > 0)
		m.ticket = side.tickets[n % TICKETS];
	if (!grants_is_ready(rig.grants) || side.fd < 0 || count_redeems() == REDEEMS_MAX)
		return;
	(void)say(&m, sizeof(m), LINK_REDEEM, a.id);
	a.id = get_le64(m.header.id);
	if (get_le16(m.header.opcode) == LINK_REDEEM && side.fd >= 0)
		note_ask(&a);
}

void rig_helper_say(struct bytes *b)
{
	uint8_t what = bytes_take(b), how = bytes_take(b);
	const struct record_entry *e;
	struct ask *a;

	if (side.fd < 0)
		rig_helper_connect();
	say_ready();
	switch (what % 8) {
	case 0:
		rig_helper_connect();
		break;
	case 1:
	case 2:
		say_redeem(how);
		break;
	case 3:
		e = record_nth(how);
		if (e && !e->exported && grants_is_ready(rig.grants))
			say_checked(LINK_FREE, e->ino);
		break;
	default:
		a = nth_ask(what / 8);
		if (a)
			answer(a, how);
	}
}

bool rig_helper_answer_all(void)
{
	bool any = side.owes_ready;
	struct ask *a;

	say_ready();
	while ((a = nth_ask(0))) {
		any = true;
		answer(a, 2); /* nothing fails, nothing is free */
		rig_helper_read();
	}
	return any;
}

bool rig_helper_is_asked(void)
{
	return side.owes_ready || nth_ask(0);
}

bool rig_helper_owes(void)
{
	return count_redeems() > 0;
}

/* ---- what no helper says ---- */

/* A true one for a lie to be made of: a number that is asked for, or one that is known. */
static uint64_t take_number(struct bytes *b)
{
	uint8_t n = bytes_take(b);
	const struct record_entry *e = record_nth(n / 4);
	const struct ask *a = nth_ask(n / 4);

	switch (n % 4) {
	case 0:
		return a ? a->id : 0;
	case 1:
		return e ? e->ino : rig.inodes[n / 4 % rig.inode_count];
	case 2:
		return e ? e->epoch : n;
	default:
		return n == 255 ? bytes_take_64(b) : n / 4;
	}
}

void rig_helper_lie(struct bytes *b)
{
	static const uint16_t sizes[] = {[LINK_READY] = 16,
		[LINK_REDEEM] = 48,
		[LINK_DONE] = 24,
		[LINK_FREE] = 40,
		[LINK_BUSY] = 40,
		[LINK_HOLDER] = sizeof(struct link_holder),
		[LINK_HOLDERS_END] = 24,
		[LINK_EXPORTED] = 88,
		[LINK_REVOKED] = 24,
		[LINK_SPARE] = 56,
		[LINK_PART] = 40,
		[LINK_CONTENTS_GIVEN] = 24};
	union {
		struct link_header header;
		uint64_t numbers[64];
		uint8_t bytes[512];
	} m = {.bytes = {0}};
	uint8_t how = bytes_take(b);
	unsigned opcode = how % 13 * 2U;
	size_t size = opcode < ARRAY_SIZE(sizes) ? sizes[opcode] : how;

	if (side.fd < 0)
		rig_helper_connect();
	if (how >= 96 && how < 104) { /* a true one that is to come, with something else in it */
		side.tamper.after = how - 96 + 1U;
		side.tamper.at = bytes_take(b);
		side.tamper.value = bytes_take(b);
		return;
	}
	if (how & 128)
		say_ready();
	uint64_t id = take_number(b);
	for (unsigned n = 2; n < 2 + how % 5U; n++)
		m.numbers[n] = take_number(b);
	if (how % 32 == 31) { /* nothing in it can be trusted, not even its size */
		size = bytes_take(b);
		opcode = bytes_take_16(b);
		bytes_copy(b, m.bytes + sizeof(m.header), size);
	}
	if (opcode == LINK_PART) /* its descriptor is believed to be what it says */
		return;
	if (opcode == LINK_REDEEM && count_redeems() == REDEEMS_MAX)
		return;
	rig.lied_to = true;
	size = size > sizeof(m) ? sizeof(m) : size;
	m.header.opcode = put_le16((uint16_t)opcode);
	m.header.id = put_le64(id);
	note_lie(&m, size);
	if (opcode == LINK_REDEEM)
		note_ask(&(struct ask){.opcode = LINK_REDEEM, .id = id});
	unsigned after = side.tamper.after;
	side.tamper.after = 0;
	(void)say(&m, size, opcode, id);
	side.tamper.after = after;
}
