// SPDX-License-Identifier: MIT
/*
 * The supervisor's and the worker's ends of their links to the helper. The worker says what it may
 * say, about files of a few blocks that it makes up.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "scene.h"
#include "scene_worker.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

#define FOLLOWERS_MAX 20U /* of a worker, at the end of an input */

struct scene_worker worker = {.supervisor = -1, .helper = -1, .link = -1};

void worker_begin(void)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		scene_die("socketpair", strerror(errno));
	memset(&worker, 0, sizeof(worker));
	worker.supervisor = ends[0];
	worker.helper = ends[1];
	worker.link = -1;
	for (unsigned n = 0; n < SCENE_REGIONS; n++)
		worker.data[n].first = SCENE_BLOCKS;
}

void worker_end(void)
{
	worker.supervisor = close_fd(worker.supervisor);
	worker.link = close_fd(worker.link);
}

int worker_supervisor_end(void)
{
	return steal_fd(&worker.helper);
}

void worker_close_supervisor(void)
{
	worker.supervisor = close_fd(worker.supervisor);
}

/* ---- saying ---- */

void say(void *message, size_t size, unsigned opcode, uint64_t id)
{
	const struct link_header h = {.size = put_le32((uint32_t)size),
		.opcode = put_le16((uint16_t)opcode),
		.id = put_le64(id)};

	memcpy(message, &h, size < sizeof(h) ? size : sizeof(h));
	worker_tamper(message, size);
	if (worker.link >= 0 && packet_send(worker.link, message, size, NULL, 0, false) == 0)
		worker_note_said(message, size);
	worker.lies = false;
}

static struct question *ask(void *message, size_t size, unsigned opcode)
{
	for (unsigned n = 0; n < ASKS && worker.link >= 0; n++)
		if (worker.asks[n].opcode == 0) {
			worker.asks[n] =
				(struct question){.opcode = opcode, .id = ++worker.last_id};
			say(message, size, opcode, worker.last_id);
			return &worker.asks[n];
		}
	return NULL;
}

static void say_extents(uint64_t ino, const struct told *t, uint64_t id)
{
	struct link_extents m = {.ino = put_le64(ino), .count = put_le32(t->count)};

	memcpy(m.extents, t->extents, t->count * sizeof(t->extents[0]));
	for (unsigned n = 0; n < t->count; n++)
		m.extents[n].ino = put_le64(ino);
	if (t->count > 0)
		say(&m, link_extents_size(t->count), LINK_EXTENTS, id);
}

static void say_config(void)
{
	struct link_config m = {
		.version = put_le32(LINK_VERSION), .region_count = put_le32(SCENE_REGIONS)};

	for (unsigned n = 0; n < SCENE_REGIONS; n++) {
		m.regions[n].first_data = put_le64(SCENE_FIRST_DATA);
		m.regions[n].data_blocks = put_le64(SCENE_DATA);
	}
	say(&m, sizeof(m), LINK_CONFIG, 0);
}

static void say_held(uint64_t ino, const struct told *t)
{
	struct link_held m = {.ino = put_le64(ino),
		.epoch = put_le64(t->epoch),
		.extent_count = put_le64(t->count)};

	say(&m, sizeof(m), LINK_HELD, 0);
	say_extents(ino, t, 0);
}

void forget_link(void)
{
	for (unsigned r = 0; r < SCENE_REGIONS; r++)
		for (unsigned b = 0; b < SCENE_BLOCKS; b++)
			worker.blocks[r][b].zeroings = 0;
	worker.link = close_fd(worker.link);
	worker.ready = false;
	worker.deaf = worker.reads_late = false;
	worker.announced = 0;
	memset(worker.granted, 0, sizeof(worker.granted));
	for (unsigned n = 0; n < FILES; n++)
		worker.files[n].spare = false;
	memset(worker.asks, 0, sizeof(worker.asks));
	memset(worker.redeems, 0, sizeof(worker.redeems));
}

void connect_link(void)
{
	struct link_plain peer = {
		.header = {.size = put_le32(sizeof(peer)), .opcode = put_le16(LINK_PEER)}};
	struct link_plain resumed;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		scene_die("socketpair", strerror(errno));
	/* Has room for a few messages only, so that the helper must keep some. */
	(void)setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int));
	(void)packet_send(worker.supervisor, &peer, sizeof(peer), &ends[1], 1, false);
	(void)close_fd(ends[1]);
	forget_link();
	worker.link = ends[0];
	say_config();
	/* Who has lied would have to go on, and lose his link for it. */
	for (unsigned n = 0; n < FILES && (scene.strict || !scene.ending); n++)
		if (worker.files[n].epoch != 0)
			say_held(2 + n, &worker.files[n]);
	say(&resumed, sizeof(resumed), LINK_RESUMED, 0);
}

/* ---- files ---- */

static bool is_free(unsigned region, uint64_t block)
{
	const struct worker_block *at = &worker.blocks[region][block];

	return block < SCENE_FIRST_DATA + SCENE_DATA && at->file == 0 && at->zeroings == 0;
}

/* Some more blocks behind those that it has. */
static void make_extents(unsigned file, struct bytes *b)
{
	struct told *t = &worker.files[file];
	unsigned count = bytes_take(b) % (EXTENTS + 1);
	uint64_t at = 0;

	for (unsigned n = 0; n < t->count; n++)
		at = get_le64(t->extents[n].file_block) + get_le32(t->extents[n].count);
	while (t->count < count) {
		uint8_t where = bytes_take(b);
		unsigned region = where % 3 == 0, length = 0;
		uint64_t block = SCENE_FIRST_DATA + where % SCENE_DATA;

		for (; length < 1U + where / SCENE_DATA; length++) {
			if (scene.strict && (!is_free(region, block + length) ||
						    worker.blocks[region][block + length].dirty))
				break;
			if (block + length < SCENE_BLOCKS)
				worker.blocks[region][block + length].file = file + 1;
		}
		if (length == 0)
			break;
		t->extents[t->count++] = (struct gm_extent){.file_block = put_le64(at),
			.block = put_le64(block),
			.count = put_le32(length),
			.region = put_le16((uint16_t)region)};
		at += length;
	}
}

void drop_file(unsigned file)
{
	worker.files[file] = (struct told){.epoch = 0};
	for (unsigned r = 0; r < SCENE_REGIONS; r++)
		for (unsigned b = 0; b < SCENE_BLOCKS; b++)
			if (worker.blocks[r][b].file == file + 1) {
				worker.blocks[r][b].file = 0;
				worker.blocks[r][b].dirty = true;
			}
}

static uint64_t size_of_file(const struct told *t)
{
	const struct gm_extent *last = t->count ? &t->extents[t->count - 1] : NULL;

	return last ? (get_le64(last->file_block) + get_le32(last->count)) * GM_BLOCK_SIZE : 0;
}

uint64_t *find_redeem(uint64_t id)
{
	for (unsigned n = 0; n < REDEEMS; n++)
		if (worker.redeems[n] == id)
			return &worker.redeems[n];
	return NULL;
}

uint64_t first_redeem(void)
{
	for (unsigned n = 0; n < REDEEMS; n++)
		if (worker.redeems[n] != 0)
			return worker.redeems[n];
	return 0;
}

static void say_grant(uint64_t id, struct bytes *b)
{
	unsigned file = bytes_take(b) % FILES;
	struct told *t = &worker.files[file];
	struct link_grant m = {.ino = put_le64(2 + file), .access = put_le32(3)};

	make_extents(file, b);
	t->epoch = ++worker.epoch;
	t->spare = t->inherited = false;
	m.epoch = put_le64(t->epoch);
	m.size = put_le64(size_of_file(t));
	m.extent_count = put_le64(t->count);
	say(&m, sizeof(m), LINK_GRANT, id);
	say_extents(2 + file, t, id);
}

static void say_refuse(uint64_t id)
{
	struct link_refuse m = {
		.error = put_le32(EKEYREJECTED), .reason = put_le32(GM_REASON_TICKET)};

	say(&m, sizeof(m), LINK_REFUSE, id);
}

/* ---- orders and questions ---- */

/* What was handed over is zeroed before it is granted anew. */
static bool may_be_zeroed(unsigned region, uint64_t block)
{
	unsigned file = block < SCENE_BLOCKS ? worker.blocks[region][block].file : 0;

	return file ? worker.files[file - 1].inherited : is_free(region, block);
}

static void order_zeroing(struct bytes *b)
{
	uint8_t where = bytes_take(b), how = bytes_take(b);
	unsigned region = how % 2, count = 1;
	uint64_t block = SCENE_FIRST_DATA + where % SCENE_DATA;
	struct question *q;

	if (scene.strict && !may_be_zeroed(region, block))
		return;
	while (count < 1U + where / SCENE_DATA &&
		(!scene.strict || may_be_zeroed(region, block + count)))
		count++;
	if (how & 2) {
		struct link_zero m = {.offset = put_le64(block * GM_BLOCK_SIZE + where),
			.length = put_le32(1 + where * 100U),
			.region = put_le32(region)};
		count = 1;
		q = ask(&m, sizeof(m), LINK_ZERO);
	} else {
		struct link_scrub m = {.block = put_le64(block),
			.count = put_le32(count),
			.region = put_le32(region)};
		q = ask(&m, sizeof(m), LINK_SCRUB);
	}
	if (!q)
		return;
	q->region = region;
	q->block = block;
	q->count = count;
	for (unsigned n = 0; n < count && block + n < SCENE_BLOCKS; n++)
		worker.blocks[region][block + n].zeroings++;
}

void end_zeroing(const struct question *q, bool clean)
{
	for (uint64_t b = q->block; b < q->block + q->count && b < SCENE_BLOCKS; b++) {
		worker.blocks[q->region][b].zeroings--;
		if (clean)
			worker.blocks[q->region][b].dirty = false;
	}
}

static bool is_asked(unsigned opcode)
{
	for (unsigned n = 0; n < ASKS; n++)
		if (worker.asks[n].opcode == opcode)
			return true;
	return false;
}

static void ask_about(struct bytes *b)
{
	uint8_t how = bytes_take(b);
	uint64_t ino = 2 + how % FILES;
	struct link_check check = {.ino = put_le64(ino),
		.epoch = put_le64(worker.files[how % FILES].epoch),
		.flags = put_le32(how & 64   ? LINK_CHECK_TAKE | LINK_CHECK_KEEP
				  : how & 32 ? LINK_CHECK_TAKE
					     : 0)};
	struct link_revoke revoke = {
		.ino = put_le64(ino), .flags = put_le32(how >= 192), .uid = put_le32(0)};
	struct link_plain holders;

	if (how & 8) {
		struct question *q = ask(&check, sizeof(check), LINK_CHECK);

		if (q)
			q->ino = ino;
	} else if (how & 16)
		(void)ask(&revoke, sizeof(revoke), LINK_REVOKE);
	else if (!is_asked(LINK_HOLDERS)) /* again only when it has its answer */
		(void)ask(&holders, sizeof(holders), LINK_HOLDERS);
}

static void export(struct bytes *b)
{
	uint8_t how = bytes_take(b);
	uint64_t ino = 2 + how % FILES;
	struct told *t = &worker.files[how % FILES];
	struct link_export m = {.ino = put_le64(ino), .mode = put_le32(0600)};

	if (!scene.soft)
		return;
	if (how >= 192) {
		m.mode = put_le32(0);
		(void)ask(&m, sizeof(m), LINK_UNEXPORT);
		return;
	}
	if (how >= 160) {
		say(&m, sizeof(m), LINK_NODE, 0);
		return;
	}
	make_extents(how % FILES, b);
	t->epoch = ++worker.epoch;
	t->spare = false;
	m.epoch = put_le64(t->epoch);
	m.extent_count = put_le64(t->count);
	if (ask(&m, sizeof(m), LINK_EXPORT))
		say_extents(ino, t, worker.last_id);
}

static void fetch_contents(struct bytes *b)
{
	const uint64_t ino = 2 + FILES - 1; /* always the same */
	struct told *t = &worker.files[FILES - 1];
	struct link_contents m = {.ino = put_le64(ino)};

	if (!scene.soft)
		return;
	make_extents(FILES - 1, b);
	t->epoch = ++worker.epoch;
	m.epoch = put_le64(t->epoch);
	m.extent_count = put_le64(t->count);
	if (ask(&m, sizeof(m), LINK_CONTENTS))
		say_extents(ino, t, worker.last_id);
}

/* What a removed file had is another one's from now on. */
static void hand_over(struct bytes *b)
{
	unsigned from = bytes_take(b) % FILES, heir = bytes_take(b) % FILES;
	struct told *t = &worker.files[heir];
	struct link_hand_over m = {.from = put_le64(2 + from), .ino = put_le64(2 + heir)};
	uint64_t at = bytes_take(b);

	if (t->epoch != 0 || !worker.files[from].spare)
		return;
	*t = worker.files[from];
	worker.files[from] = (struct told){.epoch = 0};
	t->epoch = ++worker.epoch;
	t->spare = false;
	t->inherited = true;
	m.epoch = put_le64(t->epoch);
	m.file_block = put_le64(at);
	for (unsigned n = 0; n < t->count; n++) {
		t->extents[n].file_block = put_le64(at);
		at += get_le32(t->extents[n].count);
	}
	for (unsigned r = 0; r < SCENE_REGIONS; r++)
		for (unsigned k = 0; k < SCENE_BLOCKS; k++)
			if (worker.blocks[r][k].file == from + 1)
				worker.blocks[r][k].file = heir + 1;
	say(&m, sizeof(m), LINK_HAND_OVER, 0);
}

void worker_step(struct bytes *b)
{
	uint8_t what = bytes_take(b);
	uint64_t id = first_redeem();

	if (worker.link < 0) {
		connect_link();
		return;
	}
	switch (what % 8) {
	case 0:
		if (what >= 192)
			connect_link();
		else if (what >= 128)
			supervisor_say(what / 8 % 16, b);
		else if (what >= 64)
			worker.reads_late |= (worker.deaf = !worker.deaf);
		else if (what >= 32)
			forget_link(); /* it is gone, and there is no other yet */
		break;
	case 1:
	case 2:
	case 3:
		if (id != 0)
			say_grant(id, b);
		break;
	case 4:
		if (id != 0 && what >= 128)
			say_refuse(id);
		else if (worker.ready)
			export(b);
		break;
	case 5:
		if (worker.ready)
			order_zeroing(b);
		break;
	case 6:
		if (worker.ready)
			ask_about(b);
		break;
	default:
		if (worker.ready && what >= 128)
			fetch_contents(b);
		else if (worker.ready)
			hand_over(b);
	}
}

bool worker_answer(void)
{
	uint64_t id = first_redeem();

	/* It has stopped in the midst of what it tells: for that there is no end but its own. A
	 * helper that was told of other regions at first wants none of those that follow. */
	if (worker.link < 0 || worker.announced > 0) {
		if (worker.followers++ < FOLLOWERS_MAX) {
			connect_link();
			return true;
		}
		if (worker.link >= 0)
			forget_link();
		return false;
	}
	if (id != 0)
		say_refuse(id);
	return id != 0;
}
