// SPDX-License-Identifier: MIT
/*
 * The text of /proc/PID/maps (proc(5)):
 *   7f1c00000000-7f1c00200000 rw-s 00400000 00:1b 1234      /path, in which a newline is \012
 * Only what stands before the path is read, so no name can pretend to be a line.
 */
#include "region/maps.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

struct cursor {
	const char *at;
	const char *end;
};

static int digit_of(char c, unsigned base)
{
	int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

	return d >= 0 && (unsigned)d < base ? d : -1;
}

/* One number, at least one digit, no sign, no overflow. */
static bool take_number(struct cursor *c, unsigned base, uint64_t max, uint64_t *ret)
{
	const char *start = c->at;
	uint64_t n = 0;

	for (int d; c->at < c->end && (d = digit_of(*c->at, base)) >= 0; c->at++) {
		if (n > (max - (uint64_t)d) / base)
			return false;
		n = n * base + (uint64_t)d;
	}
	*ret = n;
	return c->at > start;
}

static bool take_char(struct cursor *c, char wanted)
{
	if (c->at == c->end || *c->at != wanted)
		return false;
	c->at++;
	return true;
}

/* "rwxp", each letter or a dash; the last one p or s. */
static bool take_permissions(struct cursor *c, bool *writable, bool *shared)
{
	static const char letters[] = "rwx";

	if (c->end - c->at < 4)
		return false;
	for (int i = 0; i < 3; i++)
		if (c->at[i] != letters[i] && c->at[i] != '-')
			return false;
	if (c->at[3] != 'p' && c->at[3] != 's')
		return false;
	*writable = c->at[1] == 'w';
	*shared = c->at[3] == 's';
	c->at += 4;
	return true;
}

int maps_parse_line(struct maps_line *ret, const char *text, size_t length)
{
	struct cursor c = {.at = text, .end = text + length};
	struct maps_line line;
	uint64_t major, minor;

	if (!take_number(&c, 16, UINT64_MAX, &line.start) || !take_char(&c, '-') ||
		!take_number(&c, 16, UINT64_MAX, &line.end) || !take_char(&c, ' ') ||
		!take_permissions(&c, &line.writable, &line.shared) || !take_char(&c, ' ') ||
		!take_number(&c, 16, UINT64_MAX, &line.offset) || !take_char(&c, ' ') ||
		!take_number(&c, 16, UINT_MAX, &major) || !take_char(&c, ':') ||
		!take_number(&c, 16, UINT_MAX, &minor) || !take_char(&c, ' ') ||
		!take_number(&c, 10, UINT64_MAX, &line.ino))
		return -EINVAL;
	if (c.at < c.end && *c.at != ' ')
		return -EINVAL;
	if (line.end <= line.start || line.offset > UINT64_MAX - (line.end - line.start))
		return -EINVAL;
	line.major = (unsigned)major;
	line.minor = (unsigned)minor;
	*ret = line;
	return 0;
}

int maps_read_line(struct maps_reader *m, const char **text, size_t *length, struct maps_line *ret)
{
	const char *newline = memchr(*text, '\n', *length);
	size_t piece = newline ? (size_t)(newline - *text) : *length;
	size_t room = sizeof(m->line) - m->length;
	size_t kept = piece < room ? piece : room;

	memcpy(m->line + m->length, *text, kept);
	m->length += kept;
	*text += piece + (newline ? 1 : 0);
	*length -= piece + (newline ? 1 : 0);
	if (!newline)
		return 0;
	int r = maps_parse_line(ret, m->line, m->length);
	m->length = 0;
	return r < 0 ? r : 1;
}
