// SPDX-License-Identifier: MIT
/*
 * Freezing every pool, and thawing what we froze. What the page cache has goes first. A worker may
 * have frozen its pool although no answer has come: then the pool is thawed too.
 */
#include <errno.h>
#include <time.h>

#include "cli/flush.h"
#include "cli/kexec.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/log.h"

#define THAW_MS 20000U /* for a worker that has died to be started anew */

static int ask(const struct instance *i, enum control_opcode opcode, struct problem *why)
{
	return query_socket(i->socket, opcode, 0, NULL, why);
}

static bool is_being_started(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED || r == -ECONNRESET;
}

static void thaw(struct instance *i)
{
	const struct timespec pause = {.tv_nsec = 100 * 1000000L};
	uint64_t until = clock_milliseconds() + THAW_MS;
	struct problem why = PROBLEM_INIT;
	int r;

	while (is_being_started(r = ask(i, CONTROL_THAW, &why)) && clock_milliseconds() < until)
		(void)nanosleep(&pause, NULL);
	if (r < 0)
		log_error("%s may be frozen still, see guestmemfs thaw: %s",
			query_text(i->status, "/mount_point"), why.text);
	else
		i->frozen_by_us = false;
}

static int ask_again(void *data, struct problem *why)
{
	return ask(data, CONTROL_STATUS, why);
}

int kexec_freeze_all(struct instances *all, struct problem *why)
{
	int r = 0;

	for (size_t n = 0; n < all->count && r == 0; n++) {
		struct instance *i = &all->list[n];

		if (query_true(i->status, "/frozen"))
			continue;
		r = flush_mount(query_text(i->status, "/mount_point"), ask_again, i, why);
		if (r < 0)
			break;
		i->frozen_by_us = true;
		r = ask(i, CONTROL_FREEZE, why);
	}
	for (size_t n = 0; n < all->count && r == 0; n++)
		r = instance_ask(&all->list[n], why);
	return r;
}

void kexec_thaw_all(struct instances *all)
{
	for (size_t n = 0; n < all->count; n++)
		if (all->list[n].frozen_by_us)
			thaw(&all->list[n]);
}
