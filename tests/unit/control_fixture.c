// SPDX-License-Identifier: MIT
#include "control_fixture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/link.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/le.h"
#include "util/memfd.h"
#include "util/packet.h"

static void on_unexported(void *data, uint64_t ino, int error)
{
	struct control_fixture *s = data;

	if (s->control)
		control_take_unexported(s->control, ino, error);
}

static void on_holder(void *data, const struct link_holder *h)
{
	struct control_fixture *s = data;

	if (s->control)
		control_take_holder(s->control, h);
}

void control_fixture_init(struct control_fixture *s)
{
	struct grants_config config = {.ns = &s->ns,
		.unexported = on_unexported,
		.holder = on_holder,
		.data = s,
		.scrub_rate = 5 << 20};
	struct problem why = PROBLEM_INIT;

	(void)snprintf(s->directory, sizeof(s->directory), "/tmp/gm-control-XXXXXX");
	cr_assert_not_null(mkdtemp(s->directory));
	(void)snprintf(s->path, sizeof(s->path), "%s/control.sock", s->directory);
	fixture_init(&s->store, 64);
	ns_init(&s->ns, s->store.store);
	s->tickets = config.tickets = tickets_new(0, NULL);
	cr_assert_eq(grants_new(&s->grants, &config), 0);
	s->pool = (struct pool){.count = 1};
	s->pool.regions[0] = (struct region){.kind = GM_REGION_FILE,
		.name = (char *)"/the/region",
		.fd = -1,
		.size = s->store.region_bytes};
	s->status = (struct status){.name = "vm",
		.mount_path = "/mnt/vm",
		.pool = &s->pool,
		.ns = &s->ns,
		.grants = s->grants,
		.supervisor_pid = 11,
		.keeper_pid = 13,
		.helper_pid = 12};
	int listener = packet_listen(s->path, 0600);
	cr_assert_geq(listener, 0);
	cr_assert_eq(
		control_new(&s->control, listener, geteuid(), &s->status, &s->ns, s->grants, &why),
		0, "%s", why.text);
}

void control_fixture_deinit(struct control_fixture *s)
{
	s->control = control_free(s->control);
	cr_assert_eq(unlink(s->path), 0);
	s->grants = grants_free(s->grants);
	s->tickets = tickets_free(s->tickets);
	fixture_deinit(&s->store);
	cr_assert_eq(rmdir(s->directory), 0);
}

const struct ns_request control_nobody = {.unique = 0};

uint64_t control_fixture_make_file(
	struct control_fixture *s, uint64_t parent, const char *name, uint64_t size)
{
	struct ns_change change = {.set = NS_SET_SIZE, .size = size};
	struct stat st;

	cr_assert_eq(ns_create(&s->ns, &control_nobody, parent, name, strlen(name), 0640, &st), 0);
	cr_assert_eq(ns_setattr(&s->ns, &control_nobody, st.st_ino, &change, &st), 0);
	return st.st_ino;
}

struct json_object *control_fixture_exchange(
	struct control_fixture *s, int sock, const void *request, size_t size)
{
	_cleanup_fd_ int memfd = -1;
	size_t nfds = 1;
	struct json_object *o;

	cr_assert_eq(packet_send(sock, request, size, NULL, 0, false), 0);
	control_serve(s->control, clock_milliseconds()); /* takes the connection */
	control_serve(s->control, clock_milliseconds()); /* and the request */
	cr_assert_eq(packet_receive(sock, &s->answer, sizeof(s->answer), &memfd, &nfds, false),
		(ssize_t)sizeof(s->answer));
	cr_assert_eq(get_le32(s->answer.size), sizeof(s->answer));
	cr_assert_eq(get_le32(s->answer.error) == 0, nfds == 1);
	if (nfds == 0)
		return NULL;
	cr_assert_eq(fcntl(memfd, F_GET_SEALS) & ~MEMFD_SEAL_EXEC,
		F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	char *text = mmap(NULL, get_le64(s->answer.length), PROT_READ, MAP_SHARED, memfd, 0);
	cr_assert_neq(text, MAP_FAILED);
	char *copy = strndup(text, get_le64(s->answer.length));
	o = json_tokener_parse(copy);
	cr_assert_not_null(o, "%s", copy);
	free(copy);
	(void)munmap(text, get_le64(s->answer.length));
	return o;
}

struct json_object *control_fixture_ask(struct control_fixture *s, uint32_t opcode, uint64_t ino)
{
	struct control_request m = {
		.size = put_le32(sizeof(m)),
		.version = put_le32(CONTROL_VERSION),
		.opcode = put_le32(opcode),
		.ino = put_le64(ino),
	};
	_cleanup_fd_ int sock = packet_connect(s->path);

	cr_assert_geq(sock, 0);
	return control_fixture_exchange(s, sock, &m, sizeof(m));
}

struct json_object *json_at(struct json_object *o, const char *pointer)
{
	struct json_object *found = NULL;

	cr_assert_eq(json_pointer_get(o, pointer, &found), 0, "%s", pointer);
	return found;
}

uint64_t json_number(struct json_object *o, const char *pointer)
{
	return json_object_get_uint64(json_at(o, pointer));
}

const char *json_text_at(struct json_object *o, const char *pointer)
{
	return json_object_get_string(json_at(o, pointer));
}
