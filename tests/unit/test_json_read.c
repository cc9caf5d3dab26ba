// SPDX-License-Identifier: MIT
/* The JSON that a worker sends is read as json-c wrote it; whatever is none is refused. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/json_read.h"
#include "util/cleanup.h"

/* Of a copy that ends where its memory does. */
static int read_bytes(struct json_object **ret, const char *text, size_t length)
{
	_cleanup_free_ char *copy = malloc(length ? length : 1);

	cr_assert_not_null(copy);
	memcpy(copy, text, length);
	return json_read(ret, copy, length);
}

/* What json-c writes of what was read; free() it. */
static char *read_again(const char *text, size_t length)
{
	struct json_object *o;

	cr_assert_eq(read_bytes(&o, text, length), 0, "%s", text);
	char *again = strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
	return again;
}

Test(json_read, what_was_written_is_read)
{
	static const char *const texts[] = {
		"{}",
		"[]",
		"{\"a\":null,\"b\":true,\"c\":false,\"d\":[[],{},[{}]]}",
		"[0,1,18446744073709551615,-1,-9223372036854775808]",
		"[\"\",\"x\",\"\\\"\\\\\\/\\b\\f\\n\\r\\t\",\"\\u0001\\u001f\",\"\x80\xff\"]",
		"{\"path\":\"\\/a b\\n\",\"\":0}",
		"\"alone\"",
		"7",
	};

	for (size_t n = 0; n < ARRAY_SIZE(texts); n++) {
		_cleanup_free_ char *again = read_again(texts[n], strlen(texts[n]));

		cr_expect_str_eq(again, texts[n]);
	}
}

Test(json_read, blanks_and_other_ways_to_write)
{
	static const char *const texts[][2] = {
		{" \t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : { } } \n", "{\"a\":[1,2],\"b\":{}}"},
		{"[\"\\u0041\\u00e4\\u20AC\\uffff\"]", "[\"A\xc3\xa4\xe2\x82\xac\xef\xbf\xbf\"]"},
		{"{\"a\":1,\"a\":2}", "{\"a\":2}"},
		{"[-0,007]", "[0,7]"},
	};

	for (size_t n = 0; n < ARRAY_SIZE(texts); n++) {
		_cleanup_free_ char *again = read_again(texts[n][0], strlen(texts[n][0]));

		cr_expect_str_eq(again, texts[n][1]);
	}
}

Test(json_read, what_is_none_is_refused)
{
	static const char *const texts[] = {"", " ", "null", "nul", "tru", "{", "}", "[", "]", "[1",
		"[1,", "[1,]", "[,]", "[1 2]", "[}", "{]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}",
		"{a:1}", "{1:1}", "{\"a\":1 \"b\":2}", "\"", "\"\\", "\"\\\"", "\"\\x\"", "\"\\u\"",
		"\"\\u12\"", "\"\\u12g4\"", "\"\\ud800\"", "\"\\udfff\"", "+1", "-", "1.5", "1e3",
		"0x10", "--1", "1-", "18446744073709551616", "-9223372036854775809",
		"123456789012345678901234567890", "{} {}", "[1]x", "truefalse"};
	struct json_object *o;

	for (size_t n = 0; n < ARRAY_SIZE(texts); n++)
		cr_expect_eq(read_bytes(&o, texts[n], strlen(texts[n])), -EPROTO, "%s", texts[n]);
	cr_expect_eq(read_bytes(&o, "[1\0]", 4), -EPROTO);
}

Test(json_read, what_was_cut_short_is_refused)
{
	static const char text[] = "{\"a\":[true,null,-12,{\"b\":\"c\\u00e4\\\\\"}],\"d\":{\"e\":[]"
				   "},\"f\":18446744073709551615}";
	struct json_object *o;

	for (size_t length = 0; length < strlen(text); length++)
		cr_expect_eq(read_bytes(&o, text, length), -EPROTO, "%zu bytes", length);
}

Test(json_read, levels_have_an_end)
{
	struct json_object *o;
	char text[66];

	memset(text, '[', 33);
	memset(text + 33, ']', 33);
	cr_assert_eq(read_bytes(&o, text + 1, 64), 0);
	json_object_put(o);
	cr_assert_eq(read_bytes(&o, text, 66), -EPROTO);
	memset(text, '[', sizeof(text));
	cr_assert_eq(read_bytes(&o, text, sizeof(text)), -EPROTO);
}
