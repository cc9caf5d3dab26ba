// SPDX-License-Identifier: MIT
/* The control socket: what is asked in the right form is answered with the right numbers, all else
 * with an errno. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuse/control.h"
#include "fuse/grants.h"
#include "fuse/tickets.h"
#include "proto/control.h"
#include "proto/link.h"
#include "store_fixture.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/le.h"
#include "util/memfd.h"
#include "util/packet.h"

static char directory[64], path[96];
static struct fixture fixture;
static struct namespace ns;
static struct pool pool;
static struct tickets *tickets;
static struct grants *grants;
static struct status status;
static struct control *control;
static struct control_answer answer;

static void on_unexported(void *data, uint64_t ino, int error)
{
	(void)data;
	if (control)
		control_take_unexported(control, ino, error);
}

static void on_holder(void *data, const struct link_holder *h)
{
	(void)data;
	if (control)
		control_take_holder(control, h);
}

static void setup(void)
{
	struct grants_config config = {
		.ns = &ns, .unexported = on_unexported, .holder = on_holder, .scrub_rate = 5 << 20};
	struct problem why = PROBLEM_INIT;

	(void)snprintf(directory, sizeof(directory), "/tmp/gm-control-XXXXXX");
	cr_assert_not_null(mkdtemp(directory));
	(void)snprintf(path, sizeof(path), "%s/control.sock", directory);
	fixture_init(&fixture, 64);
	ns_init(&ns, fixture.store);
	tickets = config.tickets = tickets_new(0, NULL);
	cr_assert_eq(grants_new(&grants, &config), 0);
	pool = (struct pool){.count = 1};
	pool.regions[0] = (struct region){.kind = GM_REGION_FILE,
		.name = (char *)"/the/region",
		.fd = -1,
		.size = fixture.region_bytes};
	status = (struct status){.name = "vm",
		.mount_path = "/mnt/vm",
		.pool = &pool,
		.ns = &ns,
		.grants = grants,
		.supervisor_pid = 11,
		.keeper_pid = 13,
		.helper_pid = 12};
	int listener = packet_listen(path, 0600);
	cr_assert_geq(listener, 0, "%s", why.text);
	cr_assert_eq(control_new(&control, listener, geteuid(), &status, &ns, grants, &why), 0,
		"%s", why.text);
}

static void teardown(void)
{
	control = control_free(control);
	cr_assert_eq(unlink(path), 0);
	grants = grants_free(grants);
	tickets = tickets_free(tickets);
	fixture_deinit(&fixture);
	cr_assert_eq(rmdir(directory), 0);
}

TestSuite(control, .init = setup, .fini = teardown);

static const struct ns_request nobody = {.unique = 0};

static uint64_t make_file(uint64_t parent, const char *name, uint64_t size)
{
	struct ns_change change = {.set = NS_SET_SIZE, .size = size};
	struct stat st;

	cr_assert_eq(ns_create(&ns, &nobody, parent, name, strlen(name), 0640, &st), 0);
	cr_assert_eq(ns_setattr(&ns, &nobody, st.st_ino, &change, &st), 0);
	return st.st_ino;
}

/* Sends a packet and gives the JSON that comes back; NULL with an error in `answer`. */
static struct json_object *exchange(int sock, const void *request, size_t size)
{
	_cleanup_fd_ int memfd = -1;
	size_t nfds = 1;
	struct json_object *o;

	cr_assert_eq(packet_send(sock, request, size, NULL, 0, false), 0);
	control_serve(control, clock_milliseconds()); /* takes the connection */
	control_serve(control, clock_milliseconds()); /* and the request */
	cr_assert_eq(packet_receive(sock, &answer, sizeof(answer), &memfd, &nfds, false),
		(ssize_t)sizeof(answer));
	cr_assert_eq(get_le32(answer.size), sizeof(answer));
	cr_assert_eq(get_le32(answer.error) == 0, nfds == 1);
	if (nfds == 0)
		return NULL;
	cr_assert_eq(fcntl(memfd, F_GET_SEALS) & ~MEMFD_SEAL_EXEC,
		F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	char *text = mmap(NULL, get_le64(answer.length), PROT_READ, MAP_SHARED, memfd, 0);
	cr_assert_neq(text, MAP_FAILED);
	char *copy = strndup(text, get_le64(answer.length));
	o = json_tokener_parse(copy);
	cr_assert_not_null(o, "%s", copy);
	free(copy);
	(void)munmap(text, get_le64(answer.length));
	return o;
}

static struct json_object *ask(uint32_t opcode, uint64_t ino)
{
	struct control_request m = {
		.size = put_le32(sizeof(m)),
		.version = put_le32(CONTROL_VERSION),
		.opcode = put_le32(opcode),
		.ino = put_le64(ino),
	};
	_cleanup_fd_ int sock = packet_connect(path);

	cr_assert_geq(sock, 0);
	return exchange(sock, &m, sizeof(m));
}

static struct json_object *at(struct json_object *o, const char *pointer)
{
	struct json_object *found = NULL;

	cr_assert_eq(json_pointer_get(o, pointer, &found), 0, "%s", pointer);
	return found;
}

static uint64_t number(struct json_object *o, const char *pointer)
{
	return json_object_get_uint64(at(o, pointer));
}

static const char *text(struct json_object *o, const char *pointer)
{
	return json_object_get_string(at(o, pointer));
}

Test(control, only_its_owner_may_connect)
{
	struct stat st;

	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0600);
}

Test(control, status_has_the_stores_numbers)
{
	struct alloc_stats stats;
	struct json_object *o;

	(void)make_file(GM_ROOT_INO, "a", 5 * GM_BLOCK_SIZE);
	alloc_get_stats(store_meta(fixture.store)->alloc, &stats);
	o = ask(CONTROL_STATUS, 0);
	cr_assert_not_null(o, "%s", answer.text);
	cr_assert_str_eq(text(o, "/name"), "vm");
	cr_assert_str_eq(text(o, "/mount_point"), "/mnt/vm");
	cr_assert_eq(number(o, "/pids/supervisor"), 11);
	cr_assert_eq(number(o, "/pids/worker"), (uint64_t)getpid());
	cr_assert_eq(number(o, "/pids/helper"), 12);
	cr_assert_eq(number(o, "/pids/keeper"), 13);
	cr_assert_eq(number(o, "/blocks/size"), GM_BLOCK_SIZE);
	cr_assert_eq(number(o, "/blocks/used"), 5);
	cr_assert_eq(number(o, "/blocks/free"), stats.free);
	cr_assert_eq(number(o, "/blocks/data"), stats.data);
	cr_assert_eq(number(o, "/scrub/pending_blocks"), stats.free_dirty + stats.used_dirty);
	cr_assert_eq(number(o, "/scrub/done_blocks"), 0);
	cr_assert_eq(number(o, "/scrub/bytes_per_second"), 0);
	cr_assert_eq(number(o, "/scrub/background_limit"), 5 << 20);
	cr_assert_eq(number(o, "/files/count"), 2);
	cr_assert_eq(number(o, "/files/max"), 64);
	cr_assert_eq(number(o, "/orphans"), 0);
	cr_assert_str_eq(text(o, "/regions/0/kind"), "file");
	cr_assert_str_eq(text(o, "/regions/0/name"), "/the/region");
	cr_assert_not(json_object_get_boolean(at(o, "/frozen")));
	cr_assert_eq(json_object_array_length(at(o, "/grants")), 0);
	json_object_put(o);
}

Test(control, files_have_every_name_with_its_whole_path)
{
	struct stat directory_stat;
	struct json_object *o, *files;
	uint64_t gone;
	unsigned seen = 0;

	cr_assert_eq(ns_mkdir(&ns, &nobody, GM_ROOT_INO, "d", 1, 0755, &directory_stat), 0);
	(void)make_file(directory_stat.st_ino, "in", 3 * GM_BLOCK_SIZE);
	gone = make_file(GM_ROOT_INO, "gone", GM_BLOCK_SIZE);
	cr_assert_eq(ns_open(&ns, gone, 0), 0);
	cr_assert_eq(ns_unlink(&ns, &nobody, GM_ROOT_INO, "gone", 4), 0);

	o = ask(CONTROL_FILES, 0);
	cr_assert_not_null(o, "%s", answer.text);
	files = at(o, "/files");
	cr_assert_eq(json_object_array_length(files), 4);
	for (size_t i = 0; i < 4; i++) {
		struct json_object *f = json_object_array_get_idx(files, i);
		const char *name = text(f, "/path");

		if (!name) {
			cr_assert_eq(number(f, "/ino"), gone);
			cr_assert_eq(number(f, "/links"), 0);
			seen |= 1;
		} else if (strcmp(name, "/") == 0) {
			cr_assert_str_eq(text(f, "/type"), "directory");
			seen |= 2;
		} else if (strcmp(name, "/d") == 0) {
			cr_assert_eq(number(f, "/ino"), directory_stat.st_ino);
			seen |= 4;
		} else if (strcmp(name, "/d/in") == 0) {
			cr_assert_str_eq(text(f, "/type"), "file");
			cr_assert_eq(number(f, "/size"), 3 * GM_BLOCK_SIZE);
			cr_assert_eq(number(f, "/blocks"), 3);
			cr_assert_eq(number(f, "/mode"), S_IFREG | 0640);
			cr_assert_not(json_object_get_boolean(at(f, "/held")));
			seen |= 8;
		}
	}
	cr_assert_eq(seen, 15);
	json_object_put(o);
}

Test(control, extents_are_those_of_the_file)
{
	uint64_t ino = make_file(GM_ROOT_INO, "a", 2 * GM_BLOCK_SIZE);
	const struct inode *inode = meta_inode(store_meta(fixture.store), ino);
	struct json_object *o = ask(CONTROL_EXTENTS, ino);

	cr_assert_not_null(o, "%s", answer.text);
	cr_assert_eq(number(o, "/ino"), ino);
	cr_assert_eq(number(o, "/size"), 2 * GM_BLOCK_SIZE);
	cr_assert_eq(number(o, "/extents/0/file_offset"), 0);
	cr_assert_eq(number(o, "/extents/0/length"), 2 * GM_BLOCK_SIZE);
	cr_assert_eq(
		number(o, "/extents/0/region_offset"), inode->extents[0].block * GM_BLOCK_SIZE);
	cr_assert_not(json_object_get_boolean(at(o, "/extents/0/clean")));
	json_object_put(o);
}

Test(control, refuses_what_is_no_request)
{
	static const struct {
		struct control_request m;
		size_t size;
		uint32_t error;
	} cases[] = {
		{{{24}, {2}, {CONTROL_STATUS}, {0}, {0}}, 24, EPROTONOSUPPORT},
		{{{24}, {1}, {99}, {0}, {0}}, 24, EINVAL},
		{{{24}, {1}, {0}, {0}, {0}}, 24, EINVAL},
		{{{23}, {1}, {CONTROL_STATUS}, {0}, {0}}, 24, EINVAL},
		{{{24}, {1}, {CONTROL_STATUS}, {1}, {0}}, 24, EINVAL},
		{{{24}, {1}, {CONTROL_STATUS}, {0}, {5}}, 24, EINVAL},
		{{{24}, {1}, {CONTROL_FILES}, {0}, {5}}, 24, EINVAL},
		{{{24}, {1}, {CONTROL_EXTENTS}, {0}, {999}}, 24, ENOENT},
		{{{24}, {1}, {CONTROL_EXTENTS}, {0}, {GM_ROOT_INO}}, 24, EINVAL},
		{{{24}, {1}, {CONTROL_STATUS}, {0}, {0}}, 23, EINVAL},
	};
	_cleanup_fd_ int sock = packet_connect(path);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cr_assert_null(exchange(sock, &cases[i].m, cases[i].size), "case %zu", i);
		cr_assert_eq(get_le32(answer.error), cases[i].error, "case %zu: %u", i,
			get_le32(answer.error));
		cr_assert_neq(answer.text[0], '\0', "case %zu", i);
	}
}

Test(control, silent_clients_are_dropped_and_too_many_refused)
{
	int socks[CONTROL_CLIENTS_MAX + 1];
	uint64_t deadline = 0;
	char byte;

	for (unsigned i = 0; i <= CONTROL_CLIENTS_MAX; i++) {
		socks[i] = packet_connect(path);
		cr_assert_geq(socks[i], 0);
		control_serve(control, 1000);
	}
	cr_assert_eq(packet_receive(socks[CONTROL_CLIENTS_MAX], &answer, sizeof(answer), NULL, NULL,
			     false),
		(ssize_t)sizeof(answer));
	cr_assert_eq(get_le32(answer.error), EUSERS);
	cr_assert(control_next_deadline(control, &deadline));
	cr_assert_eq(deadline, 1000 + CONTROL_IDLE_MS);
	control_expire(control, deadline - 1);
	cr_assert_eq(packet_receive(socks[0], &byte, 1, NULL, NULL, false), -EAGAIN);
	control_expire(control, deadline);
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		cr_assert_eq(packet_receive(socks[i], &byte, 1, NULL, NULL, false), 0);
	cr_assert_not(control_next_deadline(control, &deadline));
	for (unsigned i = 0; i <= CONTROL_CLIENTS_MAX; i++)
		(void)close(socks[i]);
}

Test(control, a_frozen_pool_says_so_and_refuses_changes_until_it_is_thawed)
{
	struct ns_change change = {.set = NS_SET_MODE, .mode = 0600};
	uint64_t ino = make_file(GM_ROOT_INO, "file", GM_BLOCK_SIZE);
	struct stat st;

	json_object_put(ask(CONTROL_FREEZE, 0));
	cr_assert_eq(get_le32(answer.error), 0);
	struct json_object *o = ask(CONTROL_STATUS, 0);
	cr_assert(json_object_get_boolean(at(o, "/frozen")));
	json_object_put(o);
	cr_assert_eq(ns_setattr(&ns, &nobody, ino, &change, &st), -EBUSY);
	cr_assert_eq(ns_create(&ns, &nobody, GM_ROOT_INO, "new", 3, 0600, &st), -EBUSY);
	json_object_put(ask(CONTROL_THAW, 0));
	cr_assert_eq(get_le32(answer.error), 0);
	cr_assert_eq(ns_setattr(&ns, &nobody, ino, &change, &st), 0);
	o = ask(CONTROL_STATUS, 0);
	cr_assert_not(json_object_get_boolean(at(o, "/frozen")));
	json_object_put(o);
}

Test(control, thawing_removes_what_lost_its_last_user_meanwhile)
{
	uint64_t ino = make_file(GM_ROOT_INO, "file", GM_BLOCK_SIZE);

	cr_assert_eq(ns_open(&ns, ino, 0), 0);
	cr_assert_eq(ns_unlink(&ns, &nobody, GM_ROOT_INO, "file", 4), 0);
	json_object_put(ask(CONTROL_FREEZE, 0));
	cr_expect_eq(ns_release(&ns, ino, 0), -EBUSY);
	cr_assert_not_null(meta_inode(store_meta(fixture.store), ino));
	json_object_put(ask(CONTROL_THAW, 0));
	cr_assert_null(meta_inode(store_meta(fixture.store), ino));
	cr_assert_eq(ns.orphans, 0);
}

Test(control, files_have_no_token_and_no_exports)
{
	uint64_t ino = make_file(GM_ROOT_INO, "file", GM_BLOCK_SIZE);
	struct json_object *o = ask(CONTROL_TOKEN, 0);

	cr_assert_null(at(o, "/token"));
	json_object_put(o);
	cr_assert_null(ask(CONTROL_EXPORT, ino));
	cr_assert_eq(get_le32(answer.error), EOPNOTSUPP);
	cr_assert_null(ask(CONTROL_UNEXPORT, ino));
	cr_assert_eq(get_le32(answer.error), ENOENT);
}

/* ---- with a helper ---- */

static int helper = -1;

static void say(void *message, size_t size, unsigned opcode, uint64_t id)
{
	const struct link_header header = {.size = put_le32((uint32_t)size),
		.opcode = put_le16((uint16_t)opcode),
		.id = put_le64(id)};

	memcpy(message, &header, sizeof(header));
	cr_assert_eq(packet_send(helper, message, size, NULL, 0, false), 0);
	cr_assert(grants_serve(grants, EPOLLIN | EPOLLOUT));
}

static void connect_helper(void)
{
	struct link_plain ready = {.header = {.size = {0}}};
	int ends[2];

	cr_assert_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	helper = ends[1];
	cr_assert_eq(grants_set_link(grants, ends[0]), 0);
	say(&ready, sizeof(ready), LINK_READY, 0);
}

/* The id of the message; what a link begins with comes before. */
static uint64_t expect_unexport(void)
{
	union {
		struct link_header header;
		struct link_extents extents;
	} m;

	cr_assert(grants_serve(grants, EPOLLOUT));
	do
		cr_assert_gt(packet_receive(helper, &m, sizeof(m), NULL, NULL, false), 0);
	while (get_le16(m.header.opcode) != LINK_UNEXPORT);
	return get_le64(m.header.id);
}

/* Asks, and has it read, at 1,000 ms. Returns where the answer comes. */
static int begin_to_ask(uint32_t opcode, uint64_t ino)
{
	const struct control_request m = {.size = put_le32(sizeof(m)),
		.version = put_le32(CONTROL_VERSION),
		.opcode = put_le32(opcode),
		.ino = put_le64(ino)};
	int sock = packet_connect(path);

	cr_assert_geq(sock, 0);
	cr_assert_eq(packet_send(sock, &m, sizeof(m), NULL, 0, false), 0);
	control_serve(control, 1000); /* takes the connection */
	control_serve(control, 1000); /* and the request */
	return sock;
}

static ssize_t receive(int sock)
{
	_cleanup_fd_ int memfd = -1;
	size_t nfds = 1;

	return packet_receive(sock, &answer, sizeof(answer), &memfd, &nfds, false);
}

static void expect_answer(int sock, int error)
{
	cr_assert_eq(receive(sock), (ssize_t)sizeof(answer));
	cr_assert_eq(get_le32(answer.error), (uint32_t)error, "%s", answer.text);
}

static uint64_t make_exported_file(void)
{
	uint64_t ino = make_file(GM_ROOT_INO, "file", GM_BLOCK_SIZE);

	cr_assert_eq(ns_set_exported(&ns, ino, true), 0);
	return ino;
}

Test(control, the_end_of_an_export_is_answered_when_the_helper_has_closed_the_node)
{
	uint64_t ino = make_exported_file();
	struct link_done done = {.error = {0}};

	cr_assert_null(ask(CONTROL_UNEXPORT, ino));
	cr_assert_eq(get_le32(answer.error), EAGAIN, "there is no helper");
	connect_helper();
	_cleanup_fd_ int first = begin_to_ask(CONTROL_UNEXPORT, ino),
			 second = begin_to_ask(CONTROL_UNEXPORT, ino);
	uint64_t node_id;

	cr_assert_eq(receive(first), -EAGAIN);
	node_id = expect_unexport();
	say(&done, sizeof(done), LINK_DONE, node_id);
	expect_answer(first, 0);
	expect_answer(second, 0);
	cr_assert_null(ask(CONTROL_UNEXPORT, ino));
	cr_assert_eq(get_le32(answer.error), ENOENT);
	helper = close_fd(helper);
}

Test(control, an_end_that_fails_or_loses_its_helper_says_that_the_export_goes_on)
{
	uint64_t ino = make_exported_file();
	struct link_done done = {.error = put_le32(EIO)};

	connect_helper();
	_cleanup_fd_ int first = begin_to_ask(CONTROL_UNEXPORT, ino);
	say(&done, sizeof(done), LINK_DONE, expect_unexport());
	expect_answer(first, EIO);
	cr_assert_neq(strstr(answer.text, "still exported"), NULL);
	_cleanup_fd_ int second = begin_to_ask(CONTROL_UNEXPORT, ino);
	helper = close_fd(helper);
	cr_assert_not(grants_serve(grants, EPOLLIN));
	expect_answer(second, EAGAIN);
}

Test(control, nobody_waits_for_ever_for_the_end_of_an_export)
{
	uint64_t deadline = 0;

	connect_helper();
	_cleanup_fd_ int sock = begin_to_ask(CONTROL_UNEXPORT, make_exported_file());
	cr_assert(control_next_deadline(control, &deadline));
	cr_assert_eq(deadline, 1000 + CONTROL_UNEXPORT_MS);
	control_expire(control, deadline);
	cr_assert_eq(receive(sock), 0);
	helper = close_fd(helper);
}

/* ---- who has a grant ---- */

static void expect_status(int sock, size_t grant_count, bool complete)
{
	_cleanup_fd_ int memfd = -1;
	size_t nfds = 1;

	cr_assert_eq(packet_receive(sock, &answer, sizeof(answer), &memfd, &nfds, false),
		(ssize_t)sizeof(answer));
	cr_assert_eq(nfds, 1);
	cr_assert_eq(lseek(memfd, 0, SEEK_SET), 0);
	struct json_object *o = json_object_from_fd(memfd);
	cr_assert_not_null(o);
	cr_expect_eq(json_object_array_length(at(o, "/grants")), grant_count);
	cr_expect_eq(json_object_get_boolean(at(o, "/grants_complete")), complete);
	if (complete)
		cr_expect_eq(number(o, "/retired_devices"), 3, "as the helper has said");
	json_object_put(o);
}

static void say_holder(void)
{
	struct link_holder m = {.ino = put_le64(5), .pid = put_le32(1)};

	say(&m, sizeof(m), LINK_HOLDER, 0);
}

static void say_that_was_all(void)
{
	struct link_holders_end end = {.retired = put_le32(3)};

	say(&end, sizeof(end), LINK_HOLDERS_END, 0);
}

Test(control, status_says_whether_the_helper_has_told_of_all)
{
	struct json_object *o = ask(CONTROL_STATUS, 0);

	cr_expect_not(json_object_get_boolean(at(o, "/grants_complete")), "there is no helper");
	json_object_put(o);
	connect_helper();
	_cleanup_fd_ int whole = begin_to_ask(CONTROL_STATUS, 0);
	say_holder();
	cr_assert_eq(receive(whole), -EAGAIN);
	say_that_was_all();
	expect_status(whole, 1, true);

	_cleanup_fd_ int lost = begin_to_ask(CONTROL_STATUS, 0);
	say_holder();
	helper = close_fd(helper);
	cr_assert_not(grants_serve(grants, EPOLLIN));
	expect_status(lost, 1, false);
}

Test(control, a_slow_helper_is_waited_for_and_then_no_more)
{
	uint64_t deadline = 0;

	connect_helper();
	_cleanup_fd_ int sock = begin_to_ask(CONTROL_STATUS, 0);
	say_holder();
	control_expire(control, 1000 + 9000);
	cr_assert_eq(receive(sock), -EAGAIN, "it may take longer than that on a busy host");
	cr_assert(control_next_deadline(control, &deadline));
	control_expire(control, deadline);
	expect_status(sock, 1, false);
	/* Who asks meanwhile shares the answer that comes in the end. */
	_cleanup_fd_ int next = begin_to_ask(CONTROL_STATUS, 0);
	say_holder();
	say_that_was_all();
	expect_status(next, 2, true);
	helper = close_fd(helper);
}

Test(control, an_upgrade_is_handed_on_and_the_next_one_refused_until_then)
{
	struct control_request m = {
		.size = put_le32(sizeof(m)),
		.version = put_le32(CONTROL_VERSION),
		.opcode = put_le32(CONTROL_UPGRADE),
	};
	_cleanup_fd_ int sock = packet_connect(path);

	cr_assert_eq(control_take_upgrade(control), -1);
	cr_assert_eq(packet_send(sock, &m, sizeof(m), NULL, 0, false), 0);
	control_serve(control, clock_milliseconds());
	control_serve(control, clock_milliseconds());
	cr_assert_null(ask(CONTROL_UPGRADE, 0));
	cr_expect_eq(get_le32(answer.error), EBUSY);
	_cleanup_fd_ int client = control_take_upgrade(control);
	cr_assert_geq(client, 0);
	cr_assert_eq(control_take_upgrade(control), -1);
	/* It is the supervisor's now: what comes over it is no question to the worker. */
	cr_assert_eq(packet_send(sock, &m, sizeof(m), NULL, 0, false), 0);
	control_serve(control, clock_milliseconds());
	cr_assert_eq(packet_receive(client, &m, sizeof(m), NULL, NULL, false), (ssize_t)sizeof(m));
}
