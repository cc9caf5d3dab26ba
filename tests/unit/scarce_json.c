// SPDX-License-Identifier: MIT
/*
 * json-c without memory: its functions that take some are among the calls that scarce_begin()
 * counts. What they leave behind then is what json-c 0.16 leaves; a text lacks what there was no
 * room for, and errno is all that says so.
 */
#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "scarce.h"

struct json_object *__real_json_object_new_object(void);
struct json_object *__real_json_object_new_array(void);
struct json_object *__real_json_object_new_boolean(json_bool b);
struct json_object *__real_json_object_new_int64(int64_t i);
struct json_object *__real_json_object_new_uint64(uint64_t i);
struct json_object *__real_json_object_new_string(const char *s);
struct json_object *__real_json_object_new_string_len(const char *s, int length);
int __real_json_object_object_add(
	struct json_object *o, const char *key, struct json_object *value);
int __real_json_object_array_add(struct json_object *o, struct json_object *value);
const char *__real_json_object_to_json_string_length(
	struct json_object *o, int flags, size_t *length);

struct json_object *__wrap_json_object_new_object(void);
struct json_object *__wrap_json_object_new_array(void);
struct json_object *__wrap_json_object_new_boolean(json_bool b);
struct json_object *__wrap_json_object_new_int64(int64_t i);
struct json_object *__wrap_json_object_new_uint64(uint64_t i);
struct json_object *__wrap_json_object_new_string(const char *s);
struct json_object *__wrap_json_object_new_string_len(const char *s, int length);
int __wrap_json_object_object_add(
	struct json_object *o, const char *key, struct json_object *value);
int __wrap_json_object_array_add(struct json_object *o, struct json_object *value);
const char *__wrap_json_object_to_json_string_length(
	struct json_object *o, int flags, size_t *length);

struct json_object *__wrap_json_object_new_object(void)
{
	return scarce_fails() ? NULL : __real_json_object_new_object();
}

struct json_object *__wrap_json_object_new_array(void)
{
	return scarce_fails() ? NULL : __real_json_object_new_array();
}

struct json_object *__wrap_json_object_new_boolean(json_bool b)
{
	return scarce_fails() ? NULL : __real_json_object_new_boolean(b);
}

struct json_object *__wrap_json_object_new_int64(int64_t i)
{
	return scarce_fails() ? NULL : __real_json_object_new_int64(i);
}

struct json_object *__wrap_json_object_new_uint64(uint64_t i)
{
	return scarce_fails() ? NULL : __real_json_object_new_uint64(i);
}

struct json_object *__wrap_json_object_new_string(const char *s)
{
	return scarce_fails() ? NULL : __real_json_object_new_string(s);
}

struct json_object *__wrap_json_object_new_string_len(const char *s, int length)
{
	return scarce_fails() ? NULL : __real_json_object_new_string_len(s, length);
}

/* The value stays the caller's. */
int __wrap_json_object_object_add(struct json_object *o, const char *key, struct json_object *value)
{
	return scarce_fails() ? -1 : __real_json_object_object_add(o, key, value);
}

int __wrap_json_object_array_add(struct json_object *o, struct json_object *value)
{
	return scarce_fails() ? -1 : __real_json_object_array_add(o, value);
}

const char *__wrap_json_object_to_json_string_length(
	struct json_object *o, int flags, size_t *length)
{
	const char *text = __real_json_object_to_json_string_length(o, flags, length);

	if (scarce_fails()) {
		*length /= 2;
		errno = ENOMEM;
	}
	return text;
}
