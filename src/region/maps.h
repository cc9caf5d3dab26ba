/* SPDX-License-Identifier: MIT */
/*
 * /proc/PID/maps, line by line.
 */
#ifndef GM_REGION_MAPS_H
#define GM_REGION_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A line of maps, as far as it matters here. */
struct maps_line {
	uint64_t start;
	uint64_t end;
	uint64_t offset;
	uint64_t ino;
	unsigned major;
	unsigned minor;
	bool writable;
	bool shared;
};

/* Takes one line apart (what follows the inode number may be cut off). -EINVAL: it is not such a
 * line. */
int maps_parse_line(struct maps_line *ret, const char *text, size_t length);

/* Collects lines from a stream of pieces; lines may be longer than any buffer. */
struct maps_reader {
	char line[128]; /* the beginning of the line at hand */
	size_t length;
};

/*
 * Consumes bytes of [*text, *text + *length) up to the end of the next line. 1: *ret is a line; 0:
 * more text is needed; -EINVAL: a line that is none.
 */
int maps_read_line(struct maps_reader *m, const char **text, size_t *length, struct maps_line *ret);

#endif
