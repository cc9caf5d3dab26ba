// SPDX-License-Identifier: MIT
/*
 * The supervisor's and the worker's ends of their links to the helper. The worker says what it may
 * say, about files of a few blocks that it makes up, or lies.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/link.h"
#include "scene.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

#define FILES   6U
#define EXTENTS 3U
#define ASKS    64U
#define REDEEMS 32U

struct told {
	uint64_t epoch; /* 0: not held */
	bool exported;
	unsigned count;
	struct gm_extent extents[EXTENTS];
};

struct question {
	unsigned opcode; /* 0: the place is free */
	uint64_t id;
	uint64_t ino;    /* CHECK */
	uint32_t region; /* SCRUB, ZERO */
	uint64_t block;
	uint64_t count;
};

/* What a worker that keeps to the protocol knows of a block. */
struct worker_block {
	unsigned file; /* and one more; 0: it is nobody's */
	bool dirty;    /* to be scrubbed before anybody is granted it */
	unsigned zeroings;
};

static struct {
	int supervisor, helper; /* both ends of one link; the helper's is given away */
	int link;
	bool ready;
	bool lost;
	uint64_t announced; /* extents that are still to come on this link, as the helper knows it
			     */
	uint64_t epoch;
	uint64_t last_id;
	struct told files[FILES]; /* inode 2 and on */
	struct worker_block blocks[SCENE_REGIONS][SCENE_BLOCKS];
	struct question asks[ASKS];
	uint64_t redeems[REDEEMS]; /* 0: the place is free */
} w = {.supervisor = -1, .helper = -1, .link = -1};

void worker_begin(void)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		scene_die("socketpair", strerror(errno));
	memset(&w, 0, sizeof(w));
	w.supervisor = ends[0];
	w.helper = ends[1];
	w.link = -1;
}

void worker_end(void)
{
	w.supervisor = close_fd(w.supervisor);
	w.link = close_fd(w.link);
}

int worker_supervisor_end(void)
{
	return steal_fd(&w.helper);
}

void worker_close_supervisor(void)
{
	w.supervisor = close_fd(w.supervisor);
}

/* ---- saying ---- */

static uint64_t count_announced(const void *message, unsigned opcode)
{
	switch (opcode) {
	case LINK_HELD:
		return get_le64(((const struct link_held *)message)->extent_count);
	case LINK_GRANT:
		return get_le64(((const struct link_grant *)message)->extent_count);
	case LINK_EXPORT:
		return get_le64(((const struct link_export *)message)->extent_count);
	case LINK_CONTENTS:
		return get_le64(((const struct link_contents *)message)->extent_count);
	default:
		return 0;
	}
}

/* What is not as it must be ends the link, and all that was announced on it. */
static void note_announced(const void *message, unsigned opcode)
{
	uint32_t count;

	if (opcode != LINK_EXTENTS) {
		w.announced = count_announced(message, opcode);
		return;
	}
	count = get_le32(((const struct link_extents *)message)->count);
	w.announced -= count < w.announced ? count : w.announced;
}

static void say(void *message, size_t size, unsigned opcode, uint64_t id)
{
	const struct link_header h = {.size = put_le32((uint32_t)size),
		.opcode = put_le16((uint16_t)opcode),
		.id = put_le64(id)};

	memcpy(message, &h, size < sizeof(h) ? size : sizeof(h));
	if (w.link >= 0 && packet_send(w.link, message, size, NULL, 0, false) == 0)
		note_announced(message, opcode);
}

static struct question *ask(void *message, size_t size, unsigned opcode)
{
	for (unsigned n = 0; n < ASKS && w.link >= 0; n++)
		if (w.asks[n].opcode == 0) {
			w.asks[n] = (struct question){.opcode = opcode, .id = ++w.last_id};
			say(message, size, opcode, w.last_id);
			return &w.asks[n];
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

static void forget_link(void)
{
	for (unsigned r = 0; r < SCENE_REGIONS; r++)
		for (unsigned b = 0; b < SCENE_BLOCKS; b++)
			w.blocks[r][b].zeroings = 0;
	w.link = close_fd(w.link);
	w.ready = false;
	w.announced = 0;
	memset(w.asks, 0, sizeof(w.asks));
	memset(w.redeems, 0, sizeof(w.redeems));
}

/* From the supervisor, a new link, on which the worker begins. */
static void connect_link(void)
{
	struct link_plain peer = {
		.header = {.size = put_le32(sizeof(peer)), .opcode = put_le16(LINK_PEER)}};
	struct link_plain resumed;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		scene_die("socketpair", strerror(errno));
	(void)packet_send(w.supervisor, &peer, sizeof(peer), &ends[1], 1, false);
	(void)close_fd(ends[1]);
	forget_link();
	w.link = ends[0];
	say_config();
	/* Who has lied would have to go on, and lose his link for it. */
	for (unsigned n = 0; n < FILES && (scene.strict || !scene.ending); n++)
		if (w.files[n].epoch != 0)
			say_held(2 + n, &w.files[n]);
	say(&resumed, sizeof(resumed), LINK_RESUMED, 0);
}

/* ---- files ---- */

static bool is_free(unsigned region, uint64_t block)
{
	const struct worker_block *at = &w.blocks[region][block];

	return block < SCENE_FIRST_DATA + SCENE_DATA && at->file == 0 && at->zeroings == 0;
}

/* Some more blocks behind those that it has. */
static void make_extents(unsigned file, struct bytes *b)
{
	struct told *t = &w.files[file];
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
						    w.blocks[region][block + length].dirty))
				break;
			if (block + length < SCENE_BLOCKS)
				w.blocks[region][block + length].file = file + 1;
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

/* Nobody reaches it any more; what it had is dirty. */
static void drop_file(unsigned file)
{
	w.files[file] = (struct told){.epoch = 0};
	for (unsigned r = 0; r < SCENE_REGIONS; r++)
		for (unsigned b = 0; b < SCENE_BLOCKS; b++)
			if (w.blocks[r][b].file == file + 1) {
				w.blocks[r][b].file = 0;
				w.blocks[r][b].dirty = true;
			}
}

static uint64_t size_of_file(const struct told *t)
{
	const struct gm_extent *last = t->count ? &t->extents[t->count - 1] : NULL;

	return last ? (get_le64(last->file_block) + get_le32(last->count)) * GM_BLOCK_SIZE : 0;
}

static uint64_t *find_redeem(uint64_t id)
{
	for (unsigned n = 0; n < REDEEMS; n++)
		if (w.redeems[n] == id)
			return &w.redeems[n];
	return NULL;
}

static uint64_t first_redeem(void)
{
	for (unsigned n = 0; n < REDEEMS; n++)
		if (w.redeems[n] != 0)
			return w.redeems[n];
	return 0;
}

static void say_grant(uint64_t id, struct bytes *b)
{
	unsigned file = bytes_take(b) % FILES;
	struct told *t = &w.files[file];
	struct link_grant m = {.ino = put_le64(2 + file), .access = put_le32(3)};

	make_extents(file, b);
	t->epoch = ++w.epoch;
	m.epoch = put_le64(t->epoch);
	m.size = put_le64(size_of_file(t));
	m.extent_count = put_le64(t->count);
	*find_redeem(id) = 0;
	say(&m, sizeof(m), LINK_GRANT, id);
	say_extents(2 + file, t, id);
}

static void say_refuse(uint64_t id)
{
	struct link_refuse m = {
		.error = put_le32(EKEYREJECTED), .reason = put_le32(GM_REASON_TICKET)};

	*find_redeem(id) = 0;
	say(&m, sizeof(m), LINK_REFUSE, id);
}

/* ---- orders and questions ---- */

static void order_zeroing(struct bytes *b)
{
	uint8_t where = bytes_take(b), how = bytes_take(b);
	unsigned region = how % 2, count = 1;
	uint64_t block = SCENE_FIRST_DATA + where % SCENE_DATA;
	struct question *q;

	if (scene.strict && !is_free(region, block))
		return;
	while (count < 1U + where / SCENE_DATA && (!scene.strict || is_free(region, block + count)))
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
		w.blocks[region][block + n].zeroings++;
}

static void end_zeroing(const struct question *q, bool clean)
{
	for (uint64_t b = q->block; b < q->block + q->count && b < SCENE_BLOCKS; b++) {
		w.blocks[q->region][b].zeroings--;
		if (clean)
			w.blocks[q->region][b].dirty = false;
	}
}

static bool is_asked(unsigned opcode)
{
	for (unsigned n = 0; n < ASKS; n++)
		if (w.asks[n].opcode == opcode)
			return true;
	return false;
}

static void ask_about(struct bytes *b)
{
	uint8_t how = bytes_take(b);
	uint64_t ino = 2 + how % FILES;
	struct link_check check = {.ino = put_le64(ino),
		.epoch = put_le64(w.files[how % FILES].epoch),
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
	struct told *t = &w.files[how % FILES];
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
	t->epoch = ++w.epoch;
	m.epoch = put_le64(t->epoch);
	m.extent_count = put_le64(t->count);
	if (ask(&m, sizeof(m), LINK_EXPORT))
		say_extents(ino, t, w.last_id);
}

static void fetch_contents(struct bytes *b)
{
	const uint64_t ino = 2 + FILES - 1; /* always the same */
	struct told *t = &w.files[FILES - 1];
	struct link_contents m = {.ino = put_le64(ino)};

	if (!scene.soft)
		return;
	make_extents(FILES - 1, b);
	t->epoch = ++w.epoch;
	m.epoch = put_le64(t->epoch);
	m.extent_count = put_le64(t->count);
	if (ask(&m, sizeof(m), LINK_CONTENTS))
		say_extents(ino, t, w.last_id);
}

void worker_step(struct bytes *b)
{
	uint8_t what = bytes_take(b);
	uint64_t id = first_redeem();

	if (w.link < 0) {
		connect_link();
		return;
	}
	switch (what % 8) {
	case 0:
		if (what >= 192)
			connect_link();
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
		else if (w.ready)
			export(b);
		break;
	case 5:
		if (w.ready)
			order_zeroing(b);
		break;
	case 6:
		if (w.ready)
			ask_about(b);
		break;
	default:
		if (w.ready && what >= 128)
			fetch_contents(b);
	}
}

bool worker_answer(void)
{
	uint64_t id = first_redeem();

	/* It has stopped in the midst of what it tells: for that there is no end but its own. */
	if (w.link < 0 || w.announced > 0) {
		connect_link();
		return true;
	}
	if (id != 0)
		say_refuse(id);
	return id != 0;
}

/* ---- what the helper says ---- */

union answer {
	struct link_header header;
	struct link_check check;
	struct link_done done;
	uint8_t bytes[1024];
};

static void end_question(uint64_t id, bool well)
{
	for (unsigned n = 0; n < ASKS; n++)
		if (w.asks[n].opcode != 0 && w.asks[n].id == id) {
			if (w.asks[n].opcode == LINK_SCRUB || w.asks[n].opcode == LINK_ZERO)
				end_zeroing(&w.asks[n], well && w.asks[n].opcode == LINK_SCRUB);
			w.asks[n].opcode = 0;
			return;
		}
	if (scene.strict && id != 0)
		scene_die("an answer to what was not asked", "");
}

/* One answer is enough for all that ask the same. */
static void end_checks(uint64_t ino)
{
	for (unsigned n = 0; n < ASKS; n++)
		if (w.asks[n].opcode == LINK_CHECK && w.asks[n].ino == ino)
			w.asks[n].opcode = 0;
}

static void take_free(const struct link_check *m)
{
	uint64_t ino = get_le64(m->ino);
	struct told *t = ino >= 2 && ino < 2 + FILES ? &w.files[ino - 2] : NULL;

	if (!scene.hands_on && (persons_reach_inode(ino) || clients_have_unread(ino)))
		scene_die("somebody reaches what is said to be free", "");
	end_checks(ino);
	if (t && t->epoch == get_le64(m->epoch))
		drop_file((unsigned)ino - 2);
}

static void take_redeem(uint64_t id)
{
	uint64_t *place = find_redeem(0);

	if (!place)
		scene_die("more tickets than clients", "");
	*place = id;
}

static void take_message(const union answer *m)
{
	uint64_t id = get_le64(m->header.id);

	switch (get_le16(m->header.opcode)) {
	case LINK_READY:
		w.ready = true;
		break;
	case LINK_REDEEM:
		take_redeem(id);
		break;
	case LINK_FREE:
		take_free(&m->check);
		break;
	case LINK_DONE:
		end_question(id, m->done.error.raw == 0);
		break;
	case LINK_BUSY:
		end_checks(get_le64(m->check.ino));
		break;
	case LINK_HOLDERS_END:
	case LINK_EXPORTED:
	case LINK_REVOKED:
	case LINK_CONTENTS_GIVEN:
		end_question(id, true);
		break;
	case LINK_HOLDER:
	case LINK_SPARE:
	case LINK_PART:
		break;
	default:
		scene_die("a message that the helper does not have", "");
	}
}

void worker_read(void)
{
	union answer in;

	while (w.link >= 0) {
		int fd = -1;
		size_t count = 1;
		ssize_t n = packet_receive(w.link, &in, sizeof(in), &fd, &count, false);

		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			w.lost = true;
			forget_link();
			return;
		}
		if (n < (ssize_t)sizeof(in.header) || get_le32(in.header.size) != n)
			scene_die("a message whose header does not fit it", "");
		if (count == 1)
			(void)close_fd(fd);
		if ((count == 1) != (get_le16(in.header.opcode) == LINK_PART))
			scene_die("a descriptor where there is none", "");
		take_message(&in);
	}
}

bool worker_lost_link(void)
{
	return w.lost;
}

unsigned worker_waits(void)
{
	unsigned count = 0;

	for (unsigned n = 0; n < ASKS && scene.strict; n++)
		if (w.asks[n].opcode != 0) {
			(void)fprintf(stderr, "message %u has no answer\n", w.asks[n].opcode);
			count++;
		}
	return count;
}

/* ---- lies ---- */

static uint64_t take_number(struct bytes *b)
{
	uint8_t n = bytes_take(b);

	switch (n % 4) {
	case 0:
		return first_redeem();
	case 1:
		return 2 + n / 4 % FILES;
	case 2:
		return n / 4;
	default:
		return n == 255 ? bytes_take_64(b) : w.files[n / 4 % FILES].epoch;
	}
}

void worker_lie(struct bytes *b)
{
	static const uint16_t sizes[] = {[LINK_CONFIG] = sizeof(struct link_config),
		[LINK_HELD] = 40,
		[LINK_RESUMED] = 16,
		[LINK_GRANT] = 56,
		[LINK_REFUSE] = 24,
		[LINK_EXTENTS] = 64,
		[LINK_SCRUB] = 32,
		[LINK_ZERO] = 32,
		[LINK_CHECK] = 40,
		[LINK_HOLDERS] = 16,
		[LINK_EXPORT] = 64,
		[LINK_NODE] = 64,
		[LINK_UNEXPORT] = 64,
		[LINK_REVOKE] = 32,
		[LINK_HAND_OVER] = 48,
		[LINK_CONTENTS] = 48};
	union {
		struct link_header header;
		uint64_t numbers[128];
		uint8_t bytes[1024];
	} m = {.bytes = {0}};
	uint8_t how = bytes_take(b), fields = bytes_take(b);
	unsigned opcode = 1 + how % 16 * 2U;
	size_t size = sizes[opcode];
	uint64_t id = how & 16 ? take_number(b) : 0;

	if (w.link < 0)
		connect_link();
	for (unsigned n = 2; n < 2 + fields % 7U; n++)
		m.numbers[n] = take_number(b);
	if (how >= 240) {
		size = bytes_take_16(b) % sizeof(m);
		opcode = how & 1 ? opcode : bytes_take(b);
		size_t room = sizeof(m) - sizeof(m.header);
		bytes_copy(b, m.bytes + sizeof(m.header), size < room ? size : room);
	}
	uint64_t *redeem = find_redeem(id);
	if (redeem && id != 0 && (opcode == LINK_GRANT || opcode == LINK_REFUSE))
		*redeem = 0;
	say(&m, size, opcode, id);
}
