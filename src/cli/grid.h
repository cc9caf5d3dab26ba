/* SPDX-License-Identifier: MIT */
/*
 * A table on a terminal: cells are added row by row, columns get as wide as their widest cell.
 * Running out of memory is remembered and reported by grid_print().
 */
#ifndef GM_CLI_GRID_H
#define GM_CLI_GRID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct grid_column {
	const char *head;
	bool right; /* numbers stand to the right */
};

struct grid {
	const struct grid_column *columns; /* not owned */
	size_t column_count;
	char **cells; /* row after row; owned */
	size_t count;
	size_t capacity;
	bool failed;
};

#define GRID_INIT(c) ((struct grid){.columns = (c), .column_count = ARRAY_SIZE(c)})

void grid_add(struct grid *g, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What others have chosen: made safe to print. */
void grid_add_text(struct grid *g, const char *text);

/* The heads and every full row. 0 or -ENOMEM. */
int grid_print(const struct grid *g, FILE *out);

void grid_deinit(struct grid *g);

#endif
