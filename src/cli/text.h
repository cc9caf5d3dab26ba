/* SPDX-License-Identifier: MIT */
/* Numbers and names as people read them. Pure. */
#ifndef GM_CLI_TEXT_H
#define GM_CLI_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* "512M", "1.5G": exact where it can be said in a unit, else one decimal. Returns buffer. */
#define TEXT_SIZE 24
const char *text_size(char buffer[TEXT_SIZE], uint64_t bytes);

/* "drwxr-xr-x", as ls(1) writes a mode, setuid and sticky bits included. Returns buffer. */
#define TEXT_MODE 11
const char *text_mode(char buffer[TEXT_MODE], uint32_t mode);

/*
 * A copy of name that is safe to print: control characters, which could steer a terminal, and
 * backslashes become \ooo. free() it; NULL without memory.
 */
char *text_escape(const char *name);

/* The same, written to out: that needs no memory. */
void text_write_escaped(FILE *out, const char *name);

/*
 * Writes length bytes to out, each byte that is not part of valid UTF-8 as
 * U+FFFD, so that JSON is JSON.
 */
void text_write_utf8(FILE *out, const char *text, size_t length);

/* How many columns a terminal needs for it: its code points. */
size_t text_width(const char *text);

#endif
