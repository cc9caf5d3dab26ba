/* SPDX-License-Identifier: MIT */
/* A line on stderr that says how far a copy is; nothing at all where stderr is no terminal. */
#ifndef GM_CLI_PROGRESS_H
#define GM_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	bool shown;     /* stderr is a terminal */
	uint64_t total; /* bytes; 0 if not known */
	int64_t start_ms;
	int64_t last_ms; /* when the line was last written */
};

void progress_begin(struct progress *p, uint64_t total);
void progress_update(struct progress *p, uint64_t done);

/* The last word, on a line of its own. */
void progress_end(struct progress *p, uint64_t done);

#define PROGRESS_TEXT 96
/* "512M of 1G, 50 %, 1.2G/s". Returns buffer. Pure. */
const char *progress_format(
	char buffer[PROGRESS_TEXT], uint64_t done, uint64_t total, int64_t elapsed_ms);

#endif
