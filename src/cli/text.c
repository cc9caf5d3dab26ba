// SPDX-License-Identifier: MIT
#include "cli/text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "util/cleanup.h"

const char *text_size(char buffer[TEXT_SIZE], uint64_t bytes)
{
	static const char units[] = " KMGTPE";
	unsigned unit = 0;
	uint64_t scale = 1;

	while (bytes / scale >= 1024) {
		scale *= 1024;
		unit++;
	}
	/* A size that is exact in a smaller unit, as 1025M is, says more than a rounded 1.0G. */
	if (unit > 1 && bytes % scale != 0 && bytes % (scale / 1024) == 0 &&
		bytes / (scale / 1024) < 10000) {
		scale /= 1024;
		unit--;
	}
	if (unit == 0)
		(void)snprintf(buffer, TEXT_SIZE, "%" PRIu64, bytes);
	else if (bytes % scale == 0)
		(void)snprintf(buffer, TEXT_SIZE, "%" PRIu64 "%c", bytes / scale, units[unit]);
	else
		(void)snprintf(
			buffer, TEXT_SIZE, "%.1f%c", (double)bytes / (double)scale, units[unit]);
	return buffer;
}

static char text_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return '-';
	case S_IFDIR:
		return 'd';
	case S_IFLNK:
		return 'l';
	case S_IFIFO:
		return 'p';
	case S_IFSOCK:
		return 's';
	case S_IFCHR:
		return 'c';
	case S_IFBLK:
		return 'b';
	default:
		return '?';
	}
}

const char *text_mode(char buffer[TEXT_MODE], uint32_t mode)
{
	static const char letters[] = "rwxrwxrwx";
	static const struct {
		uint32_t bit;
		uint32_t below;
		unsigned at;
		char with;
		char without;
	} special[] = {
		{S_ISUID, S_IXUSR, 3, 's', 'S'},
		{S_ISGID, S_IXGRP, 6, 's', 'S'},
		{S_ISVTX, S_IXOTH, 9, 't', 'T'},
	};

	buffer[0] = text_type(mode);
	for (unsigned i = 0; i < 9; i++)
		buffer[1 + i] = mode & (0400U >> i) ? letters[i] : '-';
	for (size_t i = 0; i < ARRAY_SIZE(special); i++)
		if (mode & special[i].bit)
			buffer[special[i].at] =
				mode & special[i].below ? special[i].with : special[i].without;
	buffer[10] = '\0';
	return buffer;
}

static bool text_is_unsafe(unsigned char c)
{
	return c < 0x20 || c == 0x7f || c == '\\';
}

void text_write_escaped(FILE *out, const char *name)
{
	for (; *name; name++) {
		unsigned char c = (unsigned char)*name;

		if (text_is_unsafe(c))
			fprintf(out, "\\%03o", c);
		else
			fputc(c, out);
	}
}

char *text_escape(const char *name)
{
	char *copy = malloc(strlen(name) * 4 + 1);
	char *at = copy;

	for (; copy && *name; name++) {
		unsigned char c = (unsigned char)*name;
		if (text_is_unsafe(c))
			at += sprintf(at, "\\%03o", c);
		else
			*at++ = (char)c;
	}
	if (copy)
		*at = '\0';
	return copy;
}

/*
 * Bytes of the valid UTF-8 sequence at text, 0 if there is none (RFC 3629: no
 * overlong form, no surrogate).
 */
static size_t text_sequence(const unsigned char *text, size_t left)
{
	static const struct {
		unsigned char from, to;  /* the first byte */
		unsigned char low, high; /* what the second may be */
		unsigned char length;
	} forms[] = {
		{0x00, 0x7f, 0x00, 0xff, 1},
		{0xc2, 0xdf, 0x80, 0xbf, 2},
		{0xe0, 0xe0, 0xa0, 0xbf, 3},
		{0xe1, 0xec, 0x80, 0xbf, 3},
		{0xed, 0xed, 0x80, 0x9f, 3},
		{0xee, 0xef, 0x80, 0xbf, 3},
		{0xf0, 0xf0, 0x90, 0xbf, 4},
		{0xf1, 0xf3, 0x80, 0xbf, 4},
		{0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		if (text[0] < forms[i].from || text[0] > forms[i].to)
			continue;
		if (forms[i].length > left ||
			(forms[i].length > 1 &&
				(text[1] < forms[i].low || text[1] > forms[i].high)))
			return 0;
		for (size_t n = 2; n < forms[i].length; n++)
			if ((text[n] & 0xc0) != 0x80)
				return 0;
		return forms[i].length;
	}
	return 0;
}

void text_write_utf8(FILE *out, const char *text, size_t length)
{
	for (size_t at = 0; at < length;) {
		size_t n = text_sequence((const unsigned char *)text + at, length - at);
		if (n == 0)
			fputs("\xef\xbf\xbd", out);
		else
			fwrite(text + at, 1, n, out);
		at += n ? n : 1;
	}
}

size_t text_width(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}
