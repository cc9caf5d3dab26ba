// SPDX-License-Identifier: MIT
/*
 * The worker's side of grants when memory runs out at any call for it: whoever asked has one
 * answer, or the link ends and the helper is started anew; and the same file is granted afterwards.
 */
#include <sys/socket.h>

#include "fuse/grants_internal.h"
#include "grants_fixture.h"
#include "scarce_fixture.h"
#include "util/cleanup.h"

#define ROUNDS 100U /* of orders and answers; each scenario takes a few */

static uint64_t file;

struct outcome {
	unsigned granted, refused;
	uint32_t error;
	bool link; /* it is still there */
};

/* What the helper would do, until nothing comes any more: it zeroes, and keeps the answers. */
static struct outcome serve(void)
{
	struct outcome o = {.link = true};

	for (unsigned round = 0; round < ROUNDS && o.link; round++) {
		unsigned opcode = next();

		if (opcode == LINK_SCRUB || opcode == LINK_ZERO)
			say_done(get_le64(got.header.id), 0);
		o.granted += opcode == LINK_GRANT;
		o.refused += opcode == LINK_REFUSE;
		if (opcode == LINK_REFUSE)
			o.error = get_le32(got.refuse.error);
		if (opcode == LINK_SCRUB || opcode == LINK_ZERO || opcode == 0)
			o.link = pump();
		if (opcode == 0 && o.granted + o.refused > 0)
			return o;
	}
	return o;
}

static void ask(uint64_t id)
{
	struct gm_ticket t;

	cr_assert_eq(tickets_issue(tickets, file, 0, GM_ACCESS_READ, &t), 0);
	say_redeem(id, &t);
}

static bool fails_at(unsigned long n, enum scarce how, void (*prepare)(void), struct outcome *o)
{
	bool failed;

	grants_setup();
	prepare();
	connect_helper();
	ask(7);
	scarce_begin(n, how);
	bool link = pump();
	if (link && how == SCARCE_ONCE)
		*o = serve();
	failed = scarce_end();
	if (link && how == SCARCE_SINCE)
		*o = serve();
	o->link &= link;
	return failed;
}

/* Memory is back: what was asked in vain is had now, on a new link if the old one has ended. */
static void expect_granted(const char *what, unsigned long n, bool link)
{
	if (!link)
		connect_helper();
	ask(8);
	(void)pump();
	const struct outcome o = serve();
	cr_assert(o.granted == 1 && o.refused == 0 && o.link, "%s, call %lu: not granted then",
		what, n);
	cr_assert(is_held(file));
	scarce_check_media(
		&fixture.media, fixture.region_bytes, scarce_digest(fixture.store), what);
}

static unsigned long try_all(const char *what, void (*prepare)(void))
{
	unsigned long most = 0;

	for (unsigned how = 0; how < SCARCE_MODES; how++) {
		bool failed = true;

		for (unsigned long n = 0; failed; n++) {
			struct outcome o = {.link = true};

			failed = fails_at(n, (enum scarce)how, prepare, &o);
			cr_assert(!o.link || o.granted + o.refused == 1,
				"%s, call %lu: %u grants, %u refusals", what, n, o.granted,
				o.refused);
			cr_assert(o.refused == 0 || (failed && o.error == ENOMEM),
				"%s, call %lu: %u", what, n, o.error);
			expect_granted(what, n, o.link);
			grants_teardown();
			most = failed && n + 1 > most ? n + 1 : most;
		}
	}
	return most;
}

static void prepare_clean(void)
{
	clean_everything();
	file = make_clean_file("a", 3);
}

static void prepare_dirty(void)
{
	file = make_dirty_file("a", 3);
}

static void prepare_stale(void)
{
	clean_everything();
	file = make_clean_file("a", 3);
	resize(file, 2 * BLOCK + 5);
	resize(file, 3 * BLOCK);
}

Test(memory_grants, whoever_asks_has_an_answer)
{
	cr_expect_geq(try_all("clean", prepare_clean), 3);
	cr_expect_geq(try_all("dirty", prepare_dirty), 5);
	cr_expect_geq(try_all("a stale end", prepare_stale), 4);
}

/* ---- letting go, and coming up ---- */

Test(memory_grants, a_file_that_can_not_be_let_go_stays_held)
{
	grants_setup();
	prepare_clean();
	connect_helper();
	uint64_t epoch = grant_now(1, file);
	scarce_begin(0, SCARCE_SINCE);
	say_free(file, epoch);
	cr_assert(pump());
	cr_assert(scarce_end());
	cr_expect(is_held(file));
	cr_expect(checked.count == 1 && checked.busy, "who waits for it is told");
	say_free(file, epoch);
	cr_assert(pump());
	cr_expect_not(is_held(file));
	cr_expect(checked.count == 2 && !checked.busy);
	grants_teardown();
}

Test(memory_grants, a_link_that_can_not_be_made_is_given_up)
{
	int ends[2];
	char byte;

	grants_setup();
	prepare_clean();
	cr_assert_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	scarce_begin(0, SCARCE_ONCE);
	cr_expect_eq(grants_set_link(grants, ends[0]), -ENOMEM);
	cr_assert(scarce_end());
	cr_expect_eq(recv(ends[1], &byte, 1, 0), 0, "the other end learns of it");
	(void)close_fd(ends[1]);
	expect_granted("a link", 0, false);
	grants_teardown();
}

/* The worker's requests to the helper by themselves. */
Test(memory_grants, what_is_asked_fails_alone)
{
	struct ns_range range = {0, 5};
	uint64_t id;

	grants_setup();
	prepare_clean();
	connect_helper();
	scarce_begin(0, SCARCE_ONCE);
	cr_expect_eq(grants_clean(grants, file), -ENOMEM);
	cr_assert(scarce_end());
	for (unsigned long n = 0; n < 3; n++) {
		scarce_begin(n, SCARCE_ONCE);
		int r = grants_export(grants, file, &root);
		bool failed = scarce_end();
		cr_assert_eq(r, failed ? -ENOMEM : 0);
		if (!failed)
			break;
		cr_assert_neq(n, 2, "an export takes that much memory?");
	}
	scarce_begin(0, SCARCE_ONCE);
	cr_expect_eq(grants_zero(grants, file, &range, 1, &id), -ENOMEM);
	cr_assert(scarce_end());
	cr_expect_not(grants_is_zeroing(grants, file));
	grants_teardown();
}
