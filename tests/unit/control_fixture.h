/* SPDX-License-Identifier: MIT */
/*
 * A control socket over a small pool, and who asks there. The worker's part of it is the test's
 * own process: it serves when it is told to.
 */
#ifndef GM_TESTS_CONTROL_FIXTURE_H
#define GM_TESTS_CONTROL_FIXTURE_H

#include <json-c/json.h>

#include "fuse/control.h"
#include "fuse/grants.h"
#include "fuse/tickets.h"
#include "proto/control.h"
#include "store_fixture.h"

struct control_fixture {
	char directory[64];
	char path[96]; /* of the socket */
	struct fixture store;
	struct namespace ns;
	struct pool pool;
	struct tickets *tickets;
	struct grants *grants;
	struct status status;
	struct control *control;
	struct control_answer answer; /* the last one */
};

void control_fixture_init(struct control_fixture *s);
void control_fixture_deinit(struct control_fixture *s);

/* A request of nobody in particular. */
extern const struct ns_request control_nobody;

/* Makes a file with memory. Its inode. */
uint64_t control_fixture_make_file(
	struct control_fixture *s, uint64_t parent, const char *name, uint64_t size);

/* Sends a packet and gives the JSON that comes back; NULL with an error in s->answer. */
struct json_object *control_fixture_exchange(
	struct control_fixture *s, int sock, const void *request, size_t size);

/* The same over a connection of its own, with this request. */
struct json_object *control_fixture_ask(struct control_fixture *s, uint32_t opcode, uint64_t ino);

/* What is there, by a JSON pointer. */
struct json_object *json_at(struct json_object *o, const char *pointer);
uint64_t json_number(struct json_object *o, const char *pointer);
const char *json_text_at(struct json_object *o, const char *pointer);

#endif
