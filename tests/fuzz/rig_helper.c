// SPDX-License-Identifier: MIT
/* The helper's side of the link: what the worker says is noted and checked. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"
#include "rig_helper.h"
#include "rig_record.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

struct rig_side side = {.fd = -1};

void rig_helper_forget(void)
{
	side.fd = close_fd(side.fd);
	side.owes_ready = false;
	side.tamper.after = 0;
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
	/* Has room for a few messages, so that the worker must keep some; and for the longest. */
	(void)setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &(int){8192}, sizeof(int));
	(void)close_fd(side.fd);
	side.fd = ends[1];
	side.tamper.after = 0;
	side.owes_ready = false;
	rig.lied_to = false;
	side.extents_left = 0;
	memset(side.asks, 0, sizeof(side.asks));
	memset(side.early, 0, sizeof(side.early));
	side.early_count = 0;
	record_begin_telling();
	if (grants_set_link(rig.grants, ends[0]) < 0)
		rig_die("no memory", "");
	rig_helper_read();
}

/* ---- what the worker says ---- */

void note_ask(const struct ask *a)
{
	for (unsigned n = 0; n < ASKS_MAX; n++)
		if (side.asks[n].opcode == 0) {
			side.asks[n] = *a;
			return;
		}
	rig_die("more is asked than anybody can answer", "");
}

struct ask *find_ask(unsigned opcode, uint64_t id)
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

void note_early(uint64_t number, uint64_t epoch)
{
	side.early[side.early_count++ % EARLY_MAX] = (struct early){number, epoch};
}

static bool was_early(uint64_t number, uint64_t epoch)
{
	for (unsigned n = 0; n < EARLY_MAX; n++)
		if (number != 0 && side.early[n].number == number && side.early[n].epoch == epoch) {
			side.early[n].number = 0;
			return true;
		}
	return false;
}

/* Nobody has held it: the worker was told so after it had sent this, and has believed it. */
static bool is_free_already(const struct ask *grant)
{
	const struct inode *i = meta_inode(store_meta(rig.store), grant->ino);

	return was_early(grant->ino, grant->epoch) && !(i && inode_is_held(i));
}

static void finish_pending(void)
{
	const struct ask *p = &side.pending;

	if (side.extents_left > 0)
		return;
	if (side.pending_is_free)
		record_let_go(p->ino);
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
	side.pending_is_free = a->opcode != LINK_HELD && is_free_already(a);
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
		if (!side.pending_is_free)
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
	if (was_early(a.id, 0)) /* the worker waits for it no more, and may grant its blocks */
		record_end_zeroing(a.region, a.block, a.count);
	else
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
