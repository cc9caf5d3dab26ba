// SPDX-License-Identifier: MIT
/*
 * The helper when memory runs out at any call for it, from a client's connection to its grant: the
 * client has a grant, a refusal or the end of its connection, never silence; the helper lives on,
 * and grants the same file afterwards.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "helper_rig.h"
#include "scarce.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

#define INO         42U
#define PATIENCE_MS 60000

static const struct rig_extent blocks[] = {{0, 10, 2}, {2, 30, 1}, {3, 50, 4}};

struct outcome {
	bool granted;
	bool refused;
	bool closed; /* the connection, without a word */
	bool link;   /* to the worker is still there */
	uint32_t error;
};

/* ---- words to somebody who may have hung up by now ---- */

static void tell(const struct rig *r, void *message, size_t size, uint16_t opcode, uint64_t id)
{
	const struct link_header h = {
		.size = put_le32((uint32_t)size), .opcode = put_le16(opcode), .id = put_le64(id)};

	memcpy(message, &h, sizeof(h));
	(void)packet_send(r->worker, message, size, NULL, 0, true);
}

static void tell_extents(const struct rig *r, uint64_t id)
{
	struct link_extents m = {.ino = put_le64(INO), .count = put_le32(ARRAY_SIZE(blocks))};

	for (size_t n = 0; n < ARRAY_SIZE(blocks); n++)
		m.extents[n] = (struct gm_extent){.ino = put_le64(INO),
			.file_block = put_le64(blocks[n].file_block),
			.block = put_le64(blocks[n].block),
			.count = put_le32(blocks[n].count)};
	tell(r, &m, link_extents_size(ARRAY_SIZE(blocks)), LINK_EXTENTS, id);
}

static void ask_for_file(int sock)
{
	const struct gm_hello hello = {.header = {.size = put_le32(sizeof(hello)),
					       .opcode = put_le16(GM_OP_HELLO),
					       .serial = put_le64(1)},
		.version_min = put_le32(1),
		.version_max = put_le32(1)};
	const struct gm_attach attach = {.header = {.size = put_le32(sizeof(attach)),
						 .opcode = put_le16(GM_OP_ATTACH),
						 .serial = put_le64(2)},
		.ticket = {{0xaa}}};

	(void)packet_send(sock, &hello, sizeof(hello), NULL, 0, true);
	(void)packet_send(sock, &attach, sizeof(attach), NULL, 0, true);
}

/* ---- from a connection to a grant ---- */

static void take_answer(int sock, struct outcome *o)
{
	union {
		struct gm_header header;
		struct gm_refused refused;
		struct gm_grant grant;
	} m;
	int fds[4];
	size_t count = ARRAY_SIZE(fds);
	ssize_t n = packet_receive(sock, &m, sizeof(m), fds, &count, false);

	if (n <= 0) {
		o->closed = true;
		return;
	}
	o->granted = get_le16(m.header.opcode) == GM_OP_GRANT;
	o->refused = get_le16(m.header.opcode) == GM_OP_REFUSED;
	o->error = o->refused ? get_le32(m.refused.error) : 0;
	while (count > 0)
		(void)close_fd(fds[--count]);
}

/* As the worker: what the helper asks is granted. False if it has ended the link. */
static bool take_question(struct rig *r)
{
	struct link_redeem asked;
	ssize_t n = packet_receive(r->worker, &asked, sizeof(asked), NULL, NULL, false);

	if (n == 0 || n == -ECONNRESET)
		return false;
	if (n != (ssize_t)sizeof(asked) || get_le16(asked.header.opcode) != LINK_REDEEM)
		return true; /* a FREE of what it could not hand out */
	struct link_grant m = {.ino = put_le64(INO),
		.epoch = put_le64(++r->epoch),
		.size = put_le64(rig_size(blocks, ARRAY_SIZE(blocks))),
		.extent_count = put_le64(ARRAY_SIZE(blocks)),
		.access = put_le32(GM_ACCESS_READ)};
	tell(r, &m, sizeof(m), LINK_GRANT, get_le64(asked.header.id));
	tell_extents(r, get_le64(asked.header.id));
	return true;
}

/* A client connects and asks for the file. */
static struct outcome ask(struct rig *r)
{
	_cleanup_fd_ int sock = packet_connect(r->socket);
	struct outcome o = {.link = true};

	cr_assert_geq(sock, 0);
	ask_for_file(sock);
	while (!o.granted && !o.refused && !o.closed) {
		struct pollfd p[2] = {{.fd = sock, .events = POLLIN},
			{.fd = o.link ? r->worker : -1, .events = POLLIN}};

		cr_assert_geq(poll(p, 2, PATIENCE_MS), 1, "nobody says anything");
		if (p[1].revents)
			o.link = take_question(r);
		if (p[0].revents)
			take_answer(sock, &o);
	}
	return o;
}

static void expect_granted(struct rig *r, unsigned long n)
{
	struct outcome o = ask(r);

	cr_assert(o.granted, "call %lu: not granted afterwards: %s", n, strerror((int)o.error));
	cr_assert_eq(kill(r->helper, 0), 0, "call %lu: the helper has ended", n);
}

/* False: so many calls were not made. */
static bool fails_at(unsigned long n, enum scarce how)
{
	struct rig r;

	rig_init(&r);
	rig_start(&r);
	rig_bring_up(&r);
	scarce_begin_elsewhere(n, how);
	struct outcome o = ask(&r);
	bool failed = scarce_end_elsewhere();
	cr_assert(o.granted || failed, "refused with %u", o.error);
	cr_assert(!o.refused || o.error == ENOMEM || (!o.link && o.error == EAGAIN),
		"call %lu: errno %u", n, o.error);
	if (!o.link) {
		rig_meet(&r);
		rig_resume(&r, INO, blocks, o.granted ? ARRAY_SIZE(blocks) : 0);
	}
	expect_granted(&r, n);
	cr_assert_eq(rig_stop(&r), 0, "call %lu", n);
	rig_deinit(&r);
	return failed;
}

Test(memory_helper, a_client_always_has_an_answer)
{
	scarce_share();
	for (unsigned how = 0; how < SCARCE_MODES; how++) {
		unsigned long n = 0;

		while (fails_at(n, (enum scarce)how))
			n++;
		cr_expect_geq(n, how == SCARCE_ONCE ? 8 : 5, "only %lu calls could fail", n);
	}
}

/* ---- a worker's words ---- */

static void tell_held(struct rig *r)
{
	struct link_held held = {.ino = put_le64(INO),
		.epoch = put_le64(++r->epoch),
		.extent_count = put_le64(ARRAY_SIZE(blocks))};
	struct link_plain m;

	tell(r, &held, sizeof(held), LINK_HELD, 0);
	tell_extents(r, 0);
	tell(r, &m, sizeof(m), LINK_RESUMED, 0);
	tell(r, &m, sizeof(m), LINK_HOLDERS, 0); /* it answers, or the link has ended */
}

static bool resume_fails_at(unsigned long n)
{
	struct rig r;
	uint8_t answer[1024];

	rig_init(&r);
	rig_start(&r);
	rig_meet(&r);
	scarce_begin_elsewhere(n, SCARCE_ONCE);
	tell_held(&r);
	struct pollfd p = {.fd = r.worker, .events = POLLIN};
	cr_assert_eq(poll(&p, 1, PATIENCE_MS), 1, "call %lu: silence", n);
	bool link = packet_receive(r.worker, answer, sizeof(answer), NULL, NULL, false) > 0;
	bool failed = scarce_end_elsewhere();
	cr_assert(link || failed, "call %lu: the link has ended", n);
	if (!link) {
		rig_meet(&r);
		rig_resume(&r, INO, blocks, ARRAY_SIZE(blocks));
	}
	expect_granted(&r, n);
	cr_assert_eq(rig_stop(&r), 0, "call %lu", n);
	rig_deinit(&r);
	return failed;
}

Test(memory_helper, what_is_held_is_told_again)
{
	unsigned long n = 0;

	scarce_share();
	while (resume_fails_at(n))
		n++;
	cr_expect_geq(n, 4, "only %lu calls could fail", n);
}
