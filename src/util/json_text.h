/* SPDX-License-Identifier: MIT */
/*
 * The text of a JSON object, or nothing. json-c (up to 0.18 at least) leaves out what there was no
 * memory for and gives the rest; the errno of its last malloc(3) is all that tells.
 */
#ifndef GM_UTIL_JSON_TEXT_H
#define GM_UTIL_JSON_TEXT_H

#include <errno.h>
#include <json-c/json.h>

/* The object's own, until it changes. NULL for want of memory, and for a NULL object. */
static inline const char *json_text(struct json_object *o, int flags, size_t *length)
{
	const char *text;

	errno = 0;
	text = o ? json_object_to_json_string_length(o, flags, length) : NULL;
	return errno == ENOMEM ? NULL : text;
}

#endif
