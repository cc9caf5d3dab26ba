/* SPDX-License-Identifier: MIT */
/* What control.c and the files beside it share, and nobody else sees. */
#ifndef GM_FUSE_CONTROL_INTERNAL_H
#define GM_FUSE_CONTROL_INTERNAL_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fuse/control.h"
#include "fuse/namespace.h"
#include "fuse/refusals.h"
#include "fuse/status.h"
#include "proto/control.h"
#include "proto/link.h"

struct control_client {
	int fd; /* -1: the place is free */
	struct asker asker;
	uint32_t opcode; /* of the last request */
	uint64_t ino;
	bool wants_holders;
	uint64_t wants_export;   /* inode; 0: none */
	uint64_t wants_unexport; /* likewise */
	uint64_t deadline;
};

struct control {
	const struct status *status;
	struct namespace *ns;
	struct grants *grants;
	struct refusals refusals;
	uid_t owner; /* of the mount: who started the instance */
	int listen;
	int epoll; /* over the listening socket and the clients; the worker's loop watches this one
		    */
	struct control_client clients[CONTROL_CLIENTS_MAX];
	struct link_holder *holders; /* as far as they have come */
	size_t holder_count;
	size_t holder_room;
	int upgrade; /* who wants one, until control_take_upgrade(); -1 */
	bool asked;
	bool cut_short;        /* there was no memory for all of them */
	uint64_t paused_until; /* no connection is taken before; 0: they are */
};

/* ---- control.c: connections and answers ---- */

/* Its connection ends, and what it waited for is nobody's. */
void control_drop(struct control_client *c);

/* error: positive. */
void control_refuse(struct control *k, const struct control_client *c, int error, const char *text);

/* Takes o; NULL: there was no memory for it. */
void control_reply(struct control *k, struct control_client *c, struct json_object *o);

/* ---- control_requests.c ---- */

/* Answers, or notes what the client waits for. */
void control_take_request(
	struct control *k, struct control_client *c, const struct control_request *m, uint64_t now);

/* ---- control_holders.c: the status, with what the helper tells of holders ---- */

void control_ask_holders(struct control *k, struct control_client *c, uint64_t now);

/* To all who wait. whole: the helper has told of everybody. */
void control_reply_holders(struct control *k, bool whole);

/* ---- control_export.c: device nodes, which the helper makes ---- */

void control_ask_export(struct control *k, struct control_client *c, uint64_t ino, uint64_t now);
void control_ask_unexport(struct control *k, struct control_client *c, uint64_t ino, uint64_t now);

#endif
