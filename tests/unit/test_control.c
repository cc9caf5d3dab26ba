// SPDX-License-Identifier: MIT
/* The control socket: what is asked in the right form is answered with the right numbers, all else
 * with an errno. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control_fixture.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/le.h"
#include "util/packet.h"

static struct control_fixture s;

static void setup(void)
{
	control_fixture_init(&s);
}

static void teardown(void)
{
	control_fixture_deinit(&s);
}

TestSuite(control, .init = setup, .fini = teardown);

Test(control, only_its_owner_may_connect)
{
	struct stat st;

	cr_assert_eq(stat(s.path, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0600);
}

Test(control, status_has_the_stores_numbers)
{
	struct alloc_stats stats;
	struct json_object *o;

	(void)control_fixture_make_file(&s, GM_ROOT_INO, "a", 5 * GM_BLOCK_SIZE);
	alloc_get_stats(store_meta(s.store.store)->alloc, &stats);
	o = control_fixture_ask(&s, CONTROL_STATUS, 0);
	cr_assert_not_null(o, "%s", s.answer.text);
	cr_assert_str_eq(json_text_at(o, "/name"), "vm");
	cr_assert_str_eq(json_text_at(o, "/mount_point"), "/mnt/vm");
	cr_assert_eq(json_number(o, "/pids/supervisor"), 11);
	cr_assert_eq(json_number(o, "/pids/worker"), (uint64_t)getpid());
	cr_assert_eq(json_number(o, "/pids/helper"), 12);
	cr_assert_eq(json_number(o, "/pids/keeper"), 13);
	cr_assert_eq(json_number(o, "/blocks/size"), GM_BLOCK_SIZE);
	cr_assert_eq(json_number(o, "/blocks/used"), 5);
	cr_assert_eq(json_number(o, "/blocks/free"), stats.free);
	cr_assert_eq(json_number(o, "/blocks/data"), stats.data);
	cr_assert_eq(json_number(o, "/scrub/pending_blocks"), stats.free_dirty + stats.used_dirty);
	cr_assert_eq(json_number(o, "/scrub/done_blocks"), 0);
	cr_assert_eq(json_number(o, "/scrub/bytes_per_second"), 0);
	cr_assert_eq(json_number(o, "/scrub/background_limit"), 5 << 20);
	cr_assert_eq(json_number(o, "/files/count"), 2);
	cr_assert_eq(json_number(o, "/files/max"), 64);
	cr_assert_eq(json_number(o, "/orphans"), 0);
	cr_assert_str_eq(json_text_at(o, "/regions/0/kind"), "file");
	cr_assert_str_eq(json_text_at(o, "/regions/0/name"), "/the/region");
	cr_assert_not(json_object_get_boolean(json_at(o, "/frozen")));
	cr_assert_eq(json_object_array_length(json_at(o, "/grants")), 0);
	json_object_put(o);
}

Test(control, files_have_every_name_with_its_whole_path)
{
	struct stat directory_stat;
	struct json_object *o, *files;
	uint64_t gone;
	unsigned seen = 0;

	cr_assert_eq(
		ns_mkdir(&s.ns, &control_nobody, GM_ROOT_INO, "d", 1, 0755, &directory_stat), 0);
	(void)control_fixture_make_file(&s, directory_stat.st_ino, "in", 3 * GM_BLOCK_SIZE);
	gone = control_fixture_make_file(&s, GM_ROOT_INO, "gone", GM_BLOCK_SIZE);
	cr_assert_eq(ns_open(&s.ns, gone, 0), 0);
	cr_assert_eq(ns_unlink(&s.ns, &control_nobody, GM_ROOT_INO, "gone", 4), 0);

	o = control_fixture_ask(&s, CONTROL_FILES, 0);
	cr_assert_not_null(o, "%s", s.answer.text);
	files = json_at(o, "/files");
	cr_assert_eq(json_object_array_length(files), 4);
	for (size_t i = 0; i < 4; i++) {
		struct json_object *f = json_object_array_get_idx(files, i);
		const char *name = json_text_at(f, "/path");

		if (!name) {
			cr_assert_eq(json_number(f, "/ino"), gone);
			cr_assert_eq(json_number(f, "/links"), 0);
			seen |= 1;
		} else if (strcmp(name, "/") == 0) {
			cr_assert_str_eq(json_text_at(f, "/type"), "directory");
			seen |= 2;
		} else if (strcmp(name, "/d") == 0) {
			cr_assert_eq(json_number(f, "/ino"), directory_stat.st_ino);
			seen |= 4;
		} else if (strcmp(name, "/d/in") == 0) {
			cr_assert_str_eq(json_text_at(f, "/type"), "file");
			cr_assert_eq(json_number(f, "/size"), 3 * GM_BLOCK_SIZE);
			cr_assert_eq(json_number(f, "/blocks"), 3);
			cr_assert_eq(json_number(f, "/mode"), S_IFREG | 0640);
			cr_assert_not(json_object_get_boolean(json_at(f, "/held")));
			seen |= 8;
		}
	}
	cr_assert_eq(seen, 15);
	json_object_put(o);
}

Test(control, extents_are_those_of_the_file)
{
	uint64_t ino = control_fixture_make_file(&s, GM_ROOT_INO, "a", 2 * GM_BLOCK_SIZE);
	const struct inode *inode = meta_inode(store_meta(s.store.store), ino);
	struct json_object *o = control_fixture_ask(&s, CONTROL_EXTENTS, ino);

	cr_assert_not_null(o, "%s", s.answer.text);
	cr_assert_eq(json_number(o, "/ino"), ino);
	cr_assert_eq(json_number(o, "/size"), 2 * GM_BLOCK_SIZE);
	cr_assert_eq(json_number(o, "/extents/0/file_offset"), 0);
	cr_assert_eq(json_number(o, "/extents/0/length"), 2 * GM_BLOCK_SIZE);
	cr_assert_eq(json_number(o, "/extents/0/region_offset"),
		inode->extents[0].block * GM_BLOCK_SIZE);
	cr_assert_not(json_object_get_boolean(json_at(o, "/extents/0/clean")));
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
	_cleanup_fd_ int sock = packet_connect(s.path);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cr_assert_null(control_fixture_exchange(&s, sock, &cases[i].m, cases[i].size),
			"case %zu", i);
		cr_assert_eq(get_le32(s.answer.error), cases[i].error, "case %zu: %u", i,
			get_le32(s.answer.error));
		cr_assert_neq(s.answer.text[0], '\0', "case %zu", i);
	}
}

Test(control, silent_clients_are_dropped_and_too_many_refused)
{
	int socks[CONTROL_CLIENTS_MAX + 1];
	uint64_t deadline = 0;
	char byte;

	for (unsigned i = 0; i <= CONTROL_CLIENTS_MAX; i++) {
		socks[i] = packet_connect(s.path);
		cr_assert_geq(socks[i], 0);
		control_serve(s.control, 1000);
	}
	cr_assert_eq(packet_receive(socks[CONTROL_CLIENTS_MAX], &s.answer, sizeof(s.answer), NULL,
			     NULL, false),
		(ssize_t)sizeof(s.answer));
	cr_assert_eq(get_le32(s.answer.error), EUSERS);
	cr_assert(control_next_deadline(s.control, &deadline));
	cr_assert_eq(deadline, 1000 + CONTROL_IDLE_MS);
	control_expire(s.control, deadline - 1);
	cr_assert_eq(packet_receive(socks[0], &byte, 1, NULL, NULL, false), -EAGAIN);
	control_expire(s.control, deadline);
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		cr_assert_eq(packet_receive(socks[i], &byte, 1, NULL, NULL, false), 0);
	cr_assert_not(control_next_deadline(s.control, &deadline));
	for (unsigned i = 0; i <= CONTROL_CLIENTS_MAX; i++)
		(void)close(socks[i]);
}

Test(control, a_frozen_pool_says_so_and_refuses_changes_until_it_is_thawed)
{
	struct ns_change change = {.set = NS_SET_MODE, .mode = 0600};
	uint64_t ino = control_fixture_make_file(&s, GM_ROOT_INO, "file", GM_BLOCK_SIZE);
	struct stat st;

	json_object_put(control_fixture_ask(&s, CONTROL_FREEZE, 0));
	cr_assert_eq(get_le32(s.answer.error), 0);
	struct json_object *o = control_fixture_ask(&s, CONTROL_STATUS, 0);
	cr_assert(json_object_get_boolean(json_at(o, "/frozen")));
	json_object_put(o);
	cr_assert_eq(ns_setattr(&s.ns, &control_nobody, ino, &change, &st), -EBUSY);
	cr_assert_eq(ns_create(&s.ns, &control_nobody, GM_ROOT_INO, "new", 3, 0600, &st), -EBUSY);
	json_object_put(control_fixture_ask(&s, CONTROL_THAW, 0));
	cr_assert_eq(get_le32(s.answer.error), 0);
	cr_assert_eq(ns_setattr(&s.ns, &control_nobody, ino, &change, &st), 0);
	o = control_fixture_ask(&s, CONTROL_STATUS, 0);
	cr_assert_not(json_object_get_boolean(json_at(o, "/frozen")));
	json_object_put(o);
}

Test(control, thawing_removes_what_lost_its_last_user_meanwhile)
{
	uint64_t ino = control_fixture_make_file(&s, GM_ROOT_INO, "file", GM_BLOCK_SIZE);

	cr_assert_eq(ns_open(&s.ns, ino, 0), 0);
	cr_assert_eq(ns_unlink(&s.ns, &control_nobody, GM_ROOT_INO, "file", 4), 0);
	json_object_put(control_fixture_ask(&s, CONTROL_FREEZE, 0));
	cr_expect_eq(ns_release(&s.ns, ino, 0), -EBUSY);
	cr_assert_not_null(meta_inode(store_meta(s.store.store), ino));
	json_object_put(control_fixture_ask(&s, CONTROL_THAW, 0));
	cr_assert_null(meta_inode(store_meta(s.store.store), ino));
	cr_assert_eq(s.ns.orphans, 0);
}

Test(control, files_have_no_token_and_no_exports)
{
	uint64_t ino = control_fixture_make_file(&s, GM_ROOT_INO, "file", GM_BLOCK_SIZE);
	struct json_object *o = control_fixture_ask(&s, CONTROL_TOKEN, 0);

	cr_assert_null(json_at(o, "/token"));
	json_object_put(o);
	cr_assert_null(control_fixture_ask(&s, CONTROL_EXPORT, ino));
	cr_assert_eq(get_le32(s.answer.error), EOPNOTSUPP);
	cr_assert_null(control_fixture_ask(&s, CONTROL_UNEXPORT, ino));
	cr_assert_eq(get_le32(s.answer.error), ENOENT);
}

Test(control, an_upgrade_is_handed_on_and_the_next_one_refused_until_then)
{
	struct control_request m = {
		.size = put_le32(sizeof(m)),
		.version = put_le32(CONTROL_VERSION),
		.opcode = put_le32(CONTROL_UPGRADE),
	};
	_cleanup_fd_ int sock = packet_connect(s.path);

	cr_assert_eq(control_take_upgrade(s.control), -1);
	cr_assert_eq(packet_send(sock, &m, sizeof(m), NULL, 0, false), 0);
	control_serve(s.control, clock_milliseconds());
	control_serve(s.control, clock_milliseconds());
	cr_assert_null(control_fixture_ask(&s, CONTROL_UPGRADE, 0));
	cr_expect_eq(get_le32(s.answer.error), EBUSY);
	_cleanup_fd_ int client = control_take_upgrade(s.control);
	cr_assert_geq(client, 0);
	cr_assert_eq(control_take_upgrade(s.control), -1);
	/* It is the supervisor's now: what comes over it is no question to the worker. */
	cr_assert_eq(packet_send(sock, &m, sizeof(m), NULL, 0, false), 0);
	control_serve(s.control, clock_milliseconds());
	cr_assert_eq(packet_receive(client, &m, sizeof(m), NULL, NULL, false), (ssize_t)sizeof(m));
}
