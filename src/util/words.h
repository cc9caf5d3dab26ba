/* SPDX-License-Identifier: MIT */
/* Words of a kernel command line, as the kernel splits it (lib/cmdline.c, next_arg()). */
#ifndef GM_UTIL_WORDS_H
#define GM_UTIL_WORDS_H

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Where the next word begins: at the end of the text if there is none. */
static inline const char *words_skip_blanks(const char *at)
{
	while (isspace((unsigned char)*at))
		at++;
	return at;
}

/* The length of the word that begins here. Blanks between double quotes are part of it. */
static inline size_t words_length(const char *word)
{
	bool quoted = false;
	size_t n = 0;

	for (; word[n] && (quoted || !isspace((unsigned char)word[n])); n++)
		if (word[n] == '"')
			quoted = !quoted;
	return n;
}

/* True if the word is a parameter whose name with the equals sign is `name`; the quote that may
 * stand before it does not count. */
static inline bool words_is(const char *word, const char *name)
{
	return strncmp(word + (*word == '"'), name, strlen(name)) == 0;
}

#endif
