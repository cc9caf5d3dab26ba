// SPDX-License-Identifier: MIT
#include "cli/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "cli/text.h"
#include "util/clock.h"

#define PROGRESS_STEP_MS 200

const char *progress_format(
	char buffer[PROGRESS_TEXT], uint64_t done, uint64_t total, int64_t elapsed_ms)
{
	double rate = elapsed_ms > 0 ? (double)done * 1000 / (double)elapsed_ms : 0;
	/* 2^64 - 1 as a double is 2^64, which no uint64_t holds. */
	uint64_t speed_now = rate >= (double)UINT64_MAX ? UINT64_MAX : (uint64_t)rate;
	char have[TEXT_SIZE];
	char all[TEXT_SIZE];
	char speed[TEXT_SIZE];
	int n = snprintf(buffer, PROGRESS_TEXT, "%s", text_size(have, done));

	if (total)
		n += snprintf(buffer + n, PROGRESS_TEXT - (size_t)n, " of %s, %u %%",
			text_size(all, total),
			done >= total ? 100U : (unsigned)((double)done * 100 / (double)total));
	if (rate >= 1)
		(void)snprintf(buffer + n, PROGRESS_TEXT - (size_t)n, ", %s/s",
			text_size(speed, speed_now));
	return buffer;
}

static void progress_write(struct progress *p, uint64_t done, int64_t now, const char *end)
{
	char text[PROGRESS_TEXT];

	/* Carriage return, text, and erase what an older, longer line left behind (ECMA-48 EL). */
	fprintf(stderr, "\r%s\033[K%s", progress_format(text, done, p->total, now - p->start_ms),
		end);
	p->last_ms = now;
}

void progress_begin(struct progress *p, uint64_t total)
{
	*p = (struct progress){
		.shown = isatty(STDERR_FILENO),
		.total = total,
		.start_ms = (int64_t)clock_milliseconds(),
	};
	p->last_ms = p->start_ms;
}

void progress_update(struct progress *p, uint64_t done)
{
	int64_t now = p->shown ? (int64_t)clock_milliseconds() : 0;

	if (p->shown && now - p->last_ms >= PROGRESS_STEP_MS)
		progress_write(p, done, now, "");
}

void progress_end(struct progress *p, uint64_t done)
{
	if (p->shown)
		progress_write(p, done, (int64_t)clock_milliseconds(), "\n");
}
