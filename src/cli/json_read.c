// SPDX-License-Identifier: MIT
#include "cli/json_read.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define LEVELS_MAX 32U
#define DIGITS_MAX 20U     /* of the largest number, with its sign */
#define SURROGATE  0xd800U /* the first; the worker writes bytes, not these */
#define SURROGATES 0x800U

struct reader {
	char *at;
	const char *end;
	unsigned level;
};

static int read_value(struct reader *r, struct json_object **ret);

static void skip_blanks(struct reader *r)
{
	while (r->at < r->end &&
		(*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
		r->at++;
}

/* Whether c comes next; it is taken then. */
static bool take(struct reader *r, char c)
{
	skip_blanks(r);
	if (r->at == r->end || *r->at != c)
		return false;
	r->at++;
	return true;
}

static int own(struct json_object *o, struct json_object **ret)
{
	*ret = o;
	return o ? 0 : -ENOMEM;
}

/* ---- strings ---- */

static int read_hex(struct reader *r, unsigned *ret)
{
	unsigned code = 0;

	if (r->end - r->at < 4)
		return -EPROTO;
	for (unsigned n = 0; n < 4; n++, r->at++) {
		unsigned char c = (unsigned char)*r->at;

		if (!isxdigit(c))
			return -EPROTO;
		code = code * 16 + (unsigned)(isdigit(c) ? c - '0' : tolower(c) - 'a' + 10);
	}
	*ret = code;
	return 0;
}

/* At most three bytes, where six stood. */
static int read_code(struct reader *r, char **to)
{
	unsigned code;
	char *at = *to;

	if (read_hex(r, &code) < 0 || code - SURROGATE < SURROGATES)
		return -EPROTO;
	if (code < 0x80) {
		*at++ = (char)code;
	} else if (code < 0x800) {
		*at++ = (char)(0xc0 | code >> 6);
		*at++ = (char)(0x80 | (code & 0x3f));
	} else {
		*at++ = (char)(0xe0 | code >> 12);
		*at++ = (char)(0x80 | (code >> 6 & 0x3f));
		*at++ = (char)(0x80 | (code & 0x3f));
	}
	*to = at;
	return 0;
}

/* What follows a backslash. */
static int read_escape(struct reader *r, char **to)
{
	static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	const char *found;

	if (r->at == r->end)
		return -EPROTO;
	if (*r->at == 'u') {
		r->at++;
		return read_code(r, to);
	}
	found = memchr(letters, *r->at++, sizeof(letters) - 1);
	if (!found)
		return -EPROTO;
	*(*to)++ = meant[found - letters];
	return 0;
}

/* In place, where it is never longer; ended by a zero in the place of the quote at the latest. */
static int read_text(struct reader *r, char **ret, size_t *length)
{
	char *text, *to;

	if (!take(r, '"'))
		return -EPROTO;
	text = to = r->at;
	while (r->at < r->end && *r->at != '"') {
		char c = *r->at++;

		if (c != '\\')
			*to++ = c;
		else if (read_escape(r, &to) < 0)
			return -EPROTO;
	}
	if (r->at == r->end)
		return -EPROTO;
	r->at++;
	*to = '\0';
	*ret = text;
	*length = (size_t)(to - text);
	return 0;
}

static int read_string(struct reader *r, struct json_object **ret)
{
	size_t length;
	char *text;

	if (read_text(r, &text, &length) < 0 || length > INT_MAX)
		return -EPROTO;
	return own(json_object_new_string_len(text, (int)length), ret);
}

/* ---- numbers and words ---- */

static int read_number(struct reader *r, struct json_object **ret)
{
	char digits[DIGITS_MAX + 1];
	char *end;
	size_t n = 0;

	while (r->at < r->end && (isalnum((unsigned char)*r->at) || memchr("+-.", *r->at, 3))) {
		if (n == DIGITS_MAX)
			return -EPROTO;
		digits[n++] = *r->at++;
	}
	digits[n] = '\0';
	errno = 0;
	if (*digits == '-') {
		int64_t below = strtoimax(digits, &end, 10);

		return errno || *end || !digits[1] ? -EPROTO
						   : own(json_object_new_int64(below), ret);
	}
	uint64_t value = strtoumax(digits, &end, 10);
	return errno || *end || n == 0 || *digits == '+' ? -EPROTO
							 : own(json_object_new_uint64(value), ret);
}

static bool take_word(struct reader *r, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n) != 0)
		return false;
	r->at += n;
	return true;
}

static int read_word_or_number(struct reader *r, struct json_object **ret)
{
	if (take_word(r, "null"))
		return 0; /* json-c's null is a NULL pointer */
	if (take_word(r, "true"))
		return own(json_object_new_boolean(true), ret);
	if (take_word(r, "false"))
		return own(json_object_new_boolean(false), ret);
	return read_number(r, ret);
}

/* ---- arrays and objects ---- */

static int read_member(struct reader *r, struct json_object *o)
{
	struct json_object *value = NULL;
	size_t length;
	char *key;
	int error = read_text(r, &key, &length);

	if (error == 0 && !take(r, ':'))
		error = -EPROTO;
	if (error == 0)
		error = read_value(r, &value);
	if (error == 0 && json_object_object_add(o, key, value) < 0)
		error = -ENOMEM;
	if (error < 0)
		json_object_put(value);
	return error;
}

static int read_element(struct reader *r, struct json_object *list)
{
	struct json_object *value = NULL;
	int error = read_value(r, &value);

	if (error == 0 && json_object_array_add(list, value) < 0)
		error = -ENOMEM;
	if (error < 0)
		json_object_put(value);
	return error;
}

/* Its first bracket has been taken. */
static int read_members(struct reader *r, struct json_object *whole, char last,
	int (*read_one)(struct reader *, struct json_object *))
{
	if (take(r, last))
		return 0;
	do {
		int error = read_one(r, whole);

		if (error < 0)
			return error;
	} while (take(r, ','));
	return take(r, last) ? 0 : -EPROTO;
}

static int read_whole(struct reader *r, bool object, struct json_object **ret)
{
	struct json_object *whole = object ? json_object_new_object() : json_object_new_array();
	int error = whole ? 0 : -ENOMEM;

	if (error == 0 && r->level++ == LEVELS_MAX)
		error = -EPROTO;
	if (error == 0)
		error = read_members(
			r, whole, object ? '}' : ']', object ? read_member : read_element);
	if (error < 0) {
		json_object_put(whole);
		return error;
	}
	r->level--;
	*ret = whole;
	return 0;
}

static int read_value(struct reader *r, struct json_object **ret)
{
	if (take(r, '{'))
		return read_whole(r, true, ret);
	if (take(r, '['))
		return read_whole(r, false, ret);
	if (r->at < r->end && *r->at == '"')
		return read_string(r, ret);
	return read_word_or_number(r, ret);
}

int json_read(struct json_object **ret, char *text, size_t length)
{
	struct reader r = {.at = text, .end = text + length};
	struct json_object *value = NULL;
	int error = read_value(&r, &value);

	skip_blanks(&r);
	if (error == 0 && (!value || r.at != r.end))
		error = -EPROTO;
	if (error < 0) {
		json_object_put(value);
		return error;
	}
	*ret = value;
	return 0;
}
