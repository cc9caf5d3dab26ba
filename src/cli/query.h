/* SPDX-License-Identifier: MIT */
/*
 * Asks the worker that serves a mount, over its control socket (proto/control.h), and reads the
 * JSON that comes back.
 */
#ifndef GM_CLI_QUERY_H
#define GM_CLI_QUERY_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "proto/control.h"
#include "util/problem.h"

/*
 * path is anything on the mount. *st (may be NULL) gets what stat(2) says of it. The object is the
 * caller's: json_object_put(); ret may be NULL for an order, whose answer has nothing to
 * say but that it is done. Sentences: no such file, not on a guestmemfs mount (-ENOTTY), nobody
 * serves it, no permission, the worker's own.
 */
int query_path(const char *path, enum control_opcode opcode, struct json_object **ret,
	struct stat *st, struct problem *why);

/* The same by the socket's path. ino: of CONTROL_EXTENTS, CONTROL_EXPORT and CONTROL_UNEXPORT; else
 * 0. */
int query_socket(const char *socket_path, enum control_opcode opcode, uint64_t ino,
	struct json_object **ret, struct problem *why);

/* Prints o to stdout, indented, always valid UTF-8: all of it or, for want of memory, nothing. */
int query_print(struct json_object *o, struct problem *why);

/* What pointer ("/blocks/free") leads to; 0, "-", false or NULL if it is not there or of another
 * type. None of them needs memory. */
uint64_t query_number(struct json_object *o, const char *pointer);
const char *query_text(struct json_object *o, const char *pointer);
bool query_true(struct json_object *o, const char *pointer);
struct json_object *query_array(struct json_object *o, const char *pointer);

static inline void json_object_putp(struct json_object **o)
{
	(void)json_object_put(*o);
}

#endif
