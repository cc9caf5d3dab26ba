// SPDX-License-Identifier: MIT
#include "cli/grid.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "cli/text.h"

static bool grid_make_room(struct grid *g)
{
	if (g->count < g->capacity)
		return true;
	size_t capacity = g->capacity ? 2 * g->capacity : 64;
	char **cells = reallocarray(g->cells, capacity, sizeof(*cells));
	if (!cells)
		return false;
	g->cells = cells;
	g->capacity = capacity;
	return true;
}

void grid_add(struct grid *g, const char *format, ...)
{
	char *cell = NULL;
	va_list ap;

	va_start(ap, format);
	int n = vasprintf(&cell, format, ap);
	va_end(ap);
	if (n < 0) {
		g->failed = true;
	} else if (!grid_make_room(g)) {
		g->failed = true;
		free(cell);
	} else {
		g->cells[g->count++] = cell;
	}
}

void grid_add_text(struct grid *g, const char *text)
{
	char *safe = text_escape(text);

	if (safe)
		grid_add(g, "%s", safe);
	else
		g->failed = true;
	free(safe);
}

static size_t grid_column_width(const struct grid *g, size_t column)
{
	size_t width = text_width(g->columns[column].head);

	for (size_t i = column; i < g->count; i += g->column_count)
		if (text_width(g->cells[i]) > width)
			width = text_width(g->cells[i]);
	return width;
}

static void grid_print_cell(
	const struct grid *g, size_t column, size_t width, const char *text, FILE *out)
{
	bool last = column + 1 == g->column_count;
	int padding = (int)(width - text_width(text));

	if (g->columns[column].right)
		fprintf(out, "%*s%s", padding, "", text);
	else if (last)
		fputs(text, out);
	else
		fprintf(out, "%s%*s", text, padding, "");
	fputs(last ? "\n" : "  ", out);
}

int grid_print(const struct grid *g, FILE *out)
{
	if (g->failed)
		return -ENOMEM;
	size_t *widths = calloc(g->column_count, sizeof(*widths));
	if (!widths)
		return -ENOMEM;
	for (size_t c = 0; c < g->column_count; c++)
		widths[c] = grid_column_width(g, c);
	for (size_t c = 0; c < g->column_count; c++)
		grid_print_cell(g, c, widths[c], g->columns[c].head, out);
	for (size_t i = 0; i < g->count - g->count % g->column_count; i++)
		grid_print_cell(
			g, i % g->column_count, widths[i % g->column_count], g->cells[i], out);
	free(widths);
	return 0;
}

void grid_deinit(struct grid *g)
{
	for (size_t i = 0; i < g->count; i++)
		free(g->cells[i]);
	free(g->cells);
	*g = (struct grid){.columns = g->columns, .column_count = g->column_count};
}
