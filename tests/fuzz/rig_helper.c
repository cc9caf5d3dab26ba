// SPDX-License-Identifier: MIT
/*
 * The helper's side of the link: what the worker says is noted and checked, and what it asks is
 * answered when the input says so.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/link.h"
#include "rig.h"
#include "rig_record.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

#define ASKS_MAX 256U
#define TICKETS  8U

struct ask {             /* a question of the worker's, or a ticket of ours that it has */
	unsigned opcode; /* 0: the place is free; LINK_REDEEM: ours */
	uint64_t id;
	uint64_t ino;
	uint64_t epoch;
	uint64_t block;
	uint64_t count;
	uint32_t region;
	uint32_t flags;
};

static struct {
	int fd;
	bool owes_ready;
	uint64_t last_id;
	struct ask asks[ASKS_MAX];
	struct ask pending; /* its extents are coming */
	uint64_t extents_left;
	struct gm_extent contents[LINK_EXTENTS_MAX]; /* of the last CONTENTS */
	unsigned contents_count;
	struct gm_ticket tickets[TICKETS];
	unsigned ticket_count;
} side = {.fd = -1};

void rig_helper_forget(void)
{
	side.fd = close_fd(side.fd);
	side.owes_ready = false;
	side.ticket_count = 0;
	memset(side.asks, 0, sizeof(side.asks));
	record_forget();
}

void rig_helper_take_ticket(const struct gm_ticket *t)
{
	side.tickets[side.ticket_count++ % TICKETS] = *t;
}

void rig_helper_connect(void)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		rig_die("socketpair", strerror(errno));
	(void)close_fd(side.fd);
	side.fd = ends[1];
	side.owes_ready = false;
	rig.lied_to = false;
	side.extents_left = 0;
	memset(side.asks, 0, sizeof(side.asks));
	record_begin_telling();
	if (grants_set_link(rig.grants, ends[0]) < 0)
		rig_die("no memory", "");
	rig_helper_read();
}

/* ---- what the worker says ---- */

static void note_ask(const struct ask *a)
{
	for (unsigned n = 0; n < ASKS_MAX; n++)
		if (side.asks[n].opcode == 0) {
			side.asks[n] = *a;
			return;
		}
	rig_die("more is asked than anybody can answer", "");
}

static struct ask *find_ask(unsigned opcode, uint64_t id)
{
	for (unsigned n = 0; n < ASKS_MAX; n++)
		if (side.asks[n].opcode == opcode && side.asks[n].id == id)
			return &side.asks[n];
	return NULL;
}

static void end_redeem(uint64_t id)
{
	struct ask *a = find_ask(LINK_REDEEM, id);

	if (!a)
		rig_die("an answer to what was not asked", "");
	a->opcode = 0;
}

static void finish_pending(void)
{
	const struct ask *p = &side.pending;

	if (side.extents_left > 0)
		return;
	if (p->opcode == LINK_EXPORT || p->opcode == LINK_CONTENTS)
		note_ask(p);
}

static void begin_pending(const struct ask *a, uint64_t extents)
{
	const struct record_entry *known = record_of(a->ino);

	if (a->opcode != LINK_HELD && known && a->epoch <= known->epoch)
		rig_die("a grant with the number of one before", "");
	(void)record_add(a->ino, a->epoch);
	side.pending = *a;
	side.extents_left = extents;
	side.contents_count = a->opcode == LINK_CONTENTS ? 0 : side.contents_count;
	finish_pending();
}

static void take_extents(const struct link_extents *m)
{
	uint32_t count = get_le32(m->count);

	if (get_le64(m->ino) != side.pending.ino || count == 0 || count > side.extents_left)
		rig_die("extents that do not belong there", "");
	for (uint32_t n = 0; n < count; n++) {
		record_hold_blocks(&m->extents[n], side.pending.opcode != LINK_HELD);
		if (side.pending.opcode == LINK_CONTENTS && side.contents_count < LINK_EXTENTS_MAX)
			side.contents[side.contents_count++] = m->extents[n];
	}
	side.extents_left -= count;
	finish_pending();
}

static void take_zeroing(const union link_from_worker *m)
{
	bool scrub = get_le16(m->header.opcode) == LINK_SCRUB;
	struct ask a = {.opcode = get_le16(m->header.opcode),
		.id = get_le64(m->header.id),
		.region = get_le32(scrub ? m->scrub.region : m->zero.region),
		.block =
			scrub ? get_le64(m->scrub.block) : get_le64(m->zero.offset) / GM_BLOCK_SIZE,
		.count = scrub ? get_le32(m->scrub.count) : 1};

	if (scrub ? a.count == 0 || a.count > LINK_SCRUB_MAX
		  : get_le32(m->zero.length) == 0 ||
				get_le32(m->zero.length) >
					GM_BLOCK_SIZE - get_le64(m->zero.offset) % GM_BLOCK_SIZE)
		rig_die("an order of another length than there are", "");
	record_begin_zeroing(a.region, a.block, a.count, scrub);
	note_ask(&a);
}

static void take_hand_over(const struct link_hand_over *m)
{
	uint64_t ino = get_le64(m->ino);

	if (record_of(ino))
		rig_die("a held file inherits", "");
	record_hand_over(get_le64(m->from), ino, get_le64(m->file_block));
	(void)record_add(ino, get_le64(m->epoch));
}

static void take_refuse(const struct link_refuse *m)
{
	if (get_le32(m->error) == 0 || get_le32(m->error) >= 4096)
		rig_die("a refusal without an error", "");
	end_redeem(get_le64(m->header.id));
}

static void take_message(const union link_from_worker *m)
{
	struct ask a = {.opcode = get_le16(m->header.opcode), .id = get_le64(m->header.id)};

	if ((side.extents_left > 0) != (a.opcode == LINK_EXTENTS))
		rig_die("extents are to come, and only then", "");
	switch ((enum link_worker_opcode)a.opcode) {
	case LINK_CONFIG:
	case LINK_NODE:
		return;
	case LINK_RESUMED:
		record_end_telling();
		side.owes_ready = true;
		return;
	case LINK_HELD:
		a.ino = get_le64(m->held.ino);
		a.epoch = get_le64(m->held.epoch);
		begin_pending(&a, get_le64(m->held.extent_count));
		return;
	case LINK_GRANT:
		end_redeem(a.id);
		a.ino = get_le64(m->grant.ino);
		a.epoch = get_le64(m->grant.epoch);
		begin_pending(&a, get_le64(m->grant.extent_count));
		return;
	case LINK_EXPORT:
		a.ino = get_le64(m->export.ino);
		a.epoch = get_le64(m->export.epoch);
		begin_pending(&a, get_le64(m->export.extent_count));
		return;
	case LINK_CONTENTS:
		a.ino = get_le64(m->contents.ino);
		a.epoch = get_le64(m->contents.epoch);
		begin_pending(&a, get_le64(m->contents.extent_count));
		return;
	case LINK_REFUSE:
		take_refuse(&m->refuse);
		return;
	case LINK_EXTENTS:
		take_extents(&m->extents);
		return;
	case LINK_SCRUB:
	case LINK_ZERO:
		take_zeroing(m);
		return;
	case LINK_HAND_OVER:
		take_hand_over(&m->hand_over);
		return;
	case LINK_CHECK:
		a.ino = get_le64(m->check.ino);
		a.flags = get_le32(m->check.flags);
		break;
	case LINK_REVOKE:
		a.ino = get_le64(m->revoke.ino);
		a.flags = get_le32(m->revoke.flags);
		break;
	case LINK_UNEXPORT:
		a.ino = get_le64(m->export.ino);
		break;
	case LINK_HOLDERS:
		break;
	}
	note_ask(&a);
}

void rig_helper_read(void)
{
	union link_from_worker m;

	while (side.fd >= 0) {
		ssize_t n = packet_receive(side.fd, &m, sizeof(m), NULL, NULL, false);

		if (n == -EAGAIN)
			return;
		if (n <= 0) { /* the worker has given us up */
			side.fd = close_fd(side.fd);
			memset(side.asks, 0, sizeof(side.asks));
			return;
		}
		if ((size_t)n < sizeof(m.header) || get_le32(m.header.size) != n ||
			get_le16(m.header.reserved) != 0)
			rig_die("a message whose header does not fit it", "");
		take_message(&m);
	}
}

/* ---- what the helper says ---- */

static void say_with(void *message, size_t size, unsigned opcode, uint64_t id, int fd)
{
	const struct link_header h = {.size = put_le32((uint32_t)size),
		.opcode = put_le16((uint16_t)opcode),
		.id = put_le64(id)};

	memcpy(message, &h, sizeof(h));
	if (side.fd >= 0) /* what the worker does not read any more is lost */
		(void)packet_send(side.fd, message, size, &fd, fd >= 0, false);
}

static void say(void *message, size_t size, unsigned opcode, uint64_t id)
{
	say_with(message, size, opcode, id, -1);
}

static void say_ready(void)
{
	struct link_plain m;

	if (side.owes_ready)
		say(&m, sizeof(m), LINK_READY, 0);
	side.owes_ready = false;
}

static void say_checked(unsigned opcode, uint64_t ino)
{
	const struct record_entry *e = record_of(ino);
	struct link_check m = {.ino = put_le64(ino), .epoch = put_le64(e ? e->epoch : 0)};

	if (opcode == LINK_FREE)
		record_let_go(ino);
	say(&m, sizeof(m), opcode, 0);
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
	e->spare = true;
	m.epoch = put_le64(e->epoch);
	m.blocks = put_le64(count);
	m.file_block = put_le64(first);
	say(&m, sizeof(m), LINK_SPARE, 0);
}

static void say_holder(const struct ask *a)
{
	struct link_holder m = {.ino = put_le64(a->ino),
		.pid = put_le32(77),
		.access = put_le32(3),
		.command = "vmm",
		.cgroup = "/vm.slice"};

	say(&m, sizeof(m), LINK_HOLDER, a->id);
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

	for (unsigned n = how % 4; n > 0; n--)
		say_holder(a);
	if (how % 8 >= 4 && may_be_free(a->ino)) {
		say_checked(LINK_FREE, a->ino);
		m.state = put_le32(LINK_REVOKED_FREE);
	}
	say(&m, sizeof(m), LINK_REVOKED, a->id);
}

static void answer_holders(const struct ask *a, unsigned how)
{
	struct link_holders_end m = {.retired = put_le32(how)};

	for (unsigned n = how % 4; n > 0; n--)
		say_holder(a);
	say(&m, sizeof(m), LINK_HOLDERS_END, 0);
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
	say(&m, sizeof(m), LINK_EXPORTED, a->id);
}

static void answer_done(const struct ask *a, unsigned how)
{
	struct link_done m = {.error = put_le32(how % 4 == 3 ? EIO : 0)};
	struct record_entry *e = record_of(a->ino);

	if (a->opcode != LINK_UNEXPORT)
		record_end_zeroing(a->region, a->block, a->count);
	else if (e && how % 4 != 3)
		e->exported = false;
	say(&m, sizeof(m), LINK_DONE, a->id);
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

		say_with(&m, sizeof(m), LINK_PART, a->id, rig_region_fd(get_le16(e->region)));
	}
	say(&given, sizeof(given), LINK_CONTENTS_GIVEN, a->id);
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

static void say_redeem(unsigned n)
{
	struct link_redeem m = {.pid = put_le32(77)};
	struct ask a = {.opcode = LINK_REDEEM, .id = ++side.last_id};

	if (side.ticket_count > 0)
		m.ticket = side.tickets[n % TICKETS];
	if (!grants_is_ready(rig.grants) || side.fd < 0)
		return;
	note_ask(&a);
	say(&m, sizeof(m), LINK_REDEEM, a.id);
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

bool rig_helper_owes(void)
{
	for (unsigned n = 0; n < ASKS_MAX; n++)
		if (side.asks[n].opcode == LINK_REDEEM)
			return true;
	return false;
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

/* If the worker believes it, it is so. */
static void note_lie(unsigned opcode, const struct link_check *m)
{
	struct record_entry *e = record_of(get_le64(m->ino));
	struct ask *a;

	if (opcode == LINK_FREE && e && e->epoch == get_le64(m->epoch))
		record_let_go(e->ino);
	if (opcode == LINK_SPARE && e)
		e->spare = true;
	if (opcode == LINK_DONE)
		for (unsigned n = 0; n < 2; n++) {
			a = find_ask(n ? LINK_SCRUB : LINK_ZERO, get_le64(m->header.id));
			if (a) {
				record_end_zeroing(a->region, a->block, a->count);
				a->opcode = 0;
			}
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
		struct link_check check;
		uint64_t numbers[64];
		uint8_t bytes[512];
	} m = {.bytes = {0}};
	uint8_t how = bytes_take(b);
	unsigned opcode = how % 13 * 2U;
	size_t size = opcode < ARRAY_SIZE(sizes) ? sizes[opcode] : how;

	if (side.fd < 0)
		rig_helper_connect();
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
	m.header.id = put_le64(id);
	rig.lied_to = true;
	note_lie(opcode, &m.check);
	if (opcode == LINK_REDEEM)
		note_ask(&(struct ask){.opcode = LINK_REDEEM, .id = id});
	say(&m, size > sizeof(m) ? sizeof(m) : size, opcode, id);
}
