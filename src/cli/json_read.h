/* SPDX-License-Identifier: MIT */
/*
 * JSON as the worker writes it, into objects of json-c: null, true, false, whole numbers, strings,
 * arrays and objects. json-c's own reader is not used since it does not survive a lack of memory:
 * that of Debian 12 (0.16) dereferences NULL, or leaves out a member without a word. jansson (2.14)
 * is no way out: its reader drops characters then, or aborts, and its writer drops names of
 * members; nor does it take names that are not UTF-8, or numbers above 2^63 - 1.
 */
#ifndef GM_CLI_JSON_READ_H
#define GM_CLI_JSON_READ_H

#include <json-c/json.h>
#include <stddef.h>

/*
 * text is written over. The object or array is the caller's. -EPROTO: this is no JSON, or has a
 * fraction, a surrogate or more than 32 levels in it; -ENOMEM.
 */
int json_read(struct json_object **ret, char *text, size_t length);

#endif
