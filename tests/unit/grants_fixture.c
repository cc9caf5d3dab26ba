// SPDX-License-Identifier: MIT
#include "grants_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "util/cleanup.h"
#include "util/packet.h"

struct fixture fixture;
struct namespace ns;
struct tickets *tickets;
struct grants *grants;
int helper = -1;

struct checked checked;
struct holders holders;
struct exported exported;
struct unexported unexported;
struct revoked revoked;
struct zeroed zeroed;

struct came came;
union link_from_worker got;
uint64_t free_epoch;
const struct ns_request nobody = {.unique = 0};
const struct asker root = {.pid = 1, .uid = 0};
const struct asker somebody = {.pid = 4711, .uid = 1000};

/* ---- what is called back ---- */

void on_checked(void *data, uint64_t ino, bool busy)
{
	(void)data;
	checked.count++;
	checked.ino = ino;
	checked.busy = busy;
}

void on_holder(void *data, const struct link_holder *h)
{
	(void)data;
	holders.count += h != NULL;
	holders.ends += h == NULL;
	if (h)
		holders.pid = get_le32(h->pid);
}

static void on_exported(
	void *data, uint64_t ino, int error, enum gm_reason reason, const char *node)
{
	(void)data, (void)reason;
	exported.count++;
	exported.ino = ino;
	exported.error = error;
	(void)snprintf(exported.node, sizeof(exported.node), "%s", node ? node : "");
}

static void on_unexported(void *data, uint64_t ino, int error)
{
	(void)data;
	unexported.count++;
	unexported.ino = ino;
	unexported.error = error;
}

static void on_revoked(void *data, uint64_t id, const struct link_holder *h, int state)
{
	(void)data;
	revoked.holders += h != NULL;
	revoked.ends += h == NULL;
	revoked.id = id;
	revoked.state = state;
}

static void on_contents_part(void *data, const struct grants_part *part, int fd)
{
	_cleanup_fd_ int device = fd;

	(void)data;
	cr_expect_geq(fcntl(device, F_GETFD), 0, "it comes with a descriptor");
	came.parts++;
	came.last = *part;
}

static void on_contents_given(void *data, int error)
{
	(void)data;
	came.given++;
	came.error = error;
}

static void on_cleaned(void *data, int error, const struct alloc_extent *blocks)
{
	(void)data;
	came.cleaned++;
	came.error = error;
	came.failed = blocks ? *blocks : (struct alloc_extent){.count = 0};
}

static void on_zeroed(void *data, uint64_t id, int error)
{
	(void)data;
	zeroed.count++;
	zeroed.id = id;
	zeroed.error = error;
}

/* ---- the helper ---- */

bool pump(void)
{
	bool there = grants_serve(grants, EPOLLIN | EPOLLOUT);

	grants_advance(grants);
	return there;
}

unsigned next(void)
{
	ssize_t n;

	memset(&got, 0, sizeof(got));
	n = packet_receive(helper, &got, sizeof(got), NULL, NULL, false);
	if (n == -EAGAIN)
		return 0;
	cr_assert_geq(n, (ssize_t)sizeof(got.header));
	cr_assert_eq(get_le32(got.header.size), n);
	cr_assert_eq(get_le16(got.header.reserved), 0);
	return get_le16(got.header.opcode);
}

void say_with(void *message, size_t size, unsigned opcode, uint64_t id, int fd)
{
	struct link_header header = {
		.size = put_le32((uint32_t)size),
		.opcode = put_le16((uint16_t)opcode),
		.id = put_le64(id),
	};

	memcpy(message, &header, sizeof(header));
	cr_assert_eq(packet_send(helper, message, size, &fd, fd >= 0 ? 1 : 0, false), 0);
}

void say(void *message, size_t size, unsigned opcode, uint64_t id)
{
	say_with(message, size, opcode, id, -1);
}

void say_plain(unsigned opcode)
{
	struct link_plain m;

	say(&m, sizeof(m), opcode, 0);
}

void say_done(uint64_t id, int error)
{
	struct link_done m = {.error = put_le32((uint32_t)error)};

	say(&m, sizeof(m), LINK_DONE, id);
}

void say_free(uint64_t ino, uint64_t epoch)
{
	struct link_check m = {.ino = put_le64(ino), .epoch = put_le64(epoch)};

	say(&m, sizeof(m), LINK_FREE, 0);
}

void say_redeem(uint64_t id, const struct gm_ticket *t)
{
	struct link_redeem m = {.ticket = *t};

	say(&m, sizeof(m), LINK_REDEEM, id);
}

void new_link(void)
{
	int ends[2];

	(void)close_fd(helper);
	cr_assert_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	helper = ends[1];
	cr_assert_eq(grants_set_link(grants, ends[0]), 0);
}

void connect_helper(void)
{
	new_link();
	while (next() != LINK_RESUMED)
		cr_assert_neq(get_le16(got.header.opcode), 0);
	say_plain(LINK_READY);
	cr_assert(pump());
	cr_assert(grants_is_ready(grants));
}

uint64_t scrub_until_other(unsigned *opcode)
{
	uint64_t blocks = 0;

	while ((*opcode = next()) == LINK_SCRUB) {
		cr_assert_leq(get_le32(got.scrub.count), LINK_SCRUB_MAX);
		blocks += get_le32(got.scrub.count);
		say_done(get_le64(got.header.id), 0);
		cr_assert(pump());
	}
	return blocks;
}

void redeem(uint64_t id, uint64_t ino, uint32_t access)
{
	struct gm_ticket t;

	cr_assert_eq(tickets_issue(tickets, ino, 0, access, &t), 0);
	say_redeem(id, &t);
	cr_assert(pump());
}

uint64_t grant_now(uint64_t id, uint64_t ino)
{
	redeem(id, ino, GM_ACCESS_READ);
	cr_assert_eq(next(), LINK_GRANT);
	free_epoch = get_le64(got.grant.epoch);
	for (uint64_t left = get_le64(got.grant.extent_count); left > 0;
		left -= get_le32(got.extents.count))
		cr_assert_eq(next(), LINK_EXTENTS);
	return free_epoch;
}

/* ---- files ---- */

uint64_t make_file(const char *name)
{
	struct stat st;

	cr_assert_eq(ns_create(&ns, &nobody, GM_ROOT_INO, name, strlen(name), 0600, &st), 0);
	return st.st_ino;
}

void resize(uint64_t ino, uint64_t size)
{
	struct ns_change change = {.set = NS_SET_SIZE, .size = size};
	struct stat st;

	cr_assert_eq(ns_setattr(&ns, &nobody, ino, &change, &st), 0);
}

uint64_t make_dirty_file(const char *name, uint64_t blocks)
{
	uint64_t ino = make_file(name);

	resize(ino, blocks * BLOCK);
	return ino;
}

uint64_t make_clean_file(const char *name, uint64_t blocks)
{
	uint64_t ino = make_dirty_file(name, blocks);

	cr_assert_eq(fixture_scrub(&fixture, ino), 0);
	return ino;
}

const struct inode *inode_of(uint64_t ino)
{
	return meta_inode(store_meta(fixture.store), ino);
}

bool is_held(uint64_t ino)
{
	return inode_of(ino)->attr.flags & GM_INODE_HELD;
}

struct alloc_stats stats(void)
{
	struct alloc_stats s;

	alloc_get_stats(store_meta(fixture.store)->alloc, &s);
	return s;
}

void clean_everything(void)
{
	const struct alloc *a = store_meta(fixture.store)->alloc;
	struct alloc_extent e;
	uint64_t cursor = 0;

	while (alloc_next_dirty(a, &cursor, 64, &e))
		cr_assert_eq(ns_blocks_clean(&ns, &e, 1), 0);
}

void mark_dirty(uint64_t ino, uint64_t first, uint64_t end)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SCRUB, 0);
	const struct inode *i = inode_of(ino);

	for (uint32_t n = 0; n < i->extent_count; n++)
		for (uint32_t k = 0; k < i->extents[n].count; k++) {
			uint64_t at = i->extents[n].file_block + k;
			struct alloc_extent e = {i->extents[n].block + k, 0, 1};

			if (at >= first && at < end)
				txn_set_blocks(&t, &e, GM_BLOCKS_DIRTY);
		}
	cr_assert_eq(store_commit(fixture.store, &t), 0);
}

void grants_setup(void)
{
	struct grants_config config = {.ns = &ns,
		.checked = on_checked,
		.holder = on_holder,
		.exported = on_exported,
		.unexported = on_unexported,
		.revoked = on_revoked,
		.zeroed = on_zeroed,
		.cleaned = on_cleaned,
		.contents_part = on_contents_part,
		.contents_given = on_contents_given};

	fixture_init(&fixture, 64);
	ns_init(&ns, fixture.store);
	tickets = config.tickets = tickets_new(0, NULL);
	cr_assert_eq(grants_new(&grants, &config), 0);
}

void grants_teardown(void)
{
	grants = grants_free(grants);
	tickets = tickets_free(tickets);
	helper = close_fd(helper);
	fixture_deinit(&fixture);
}
