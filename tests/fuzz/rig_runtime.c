// SPDX-License-Identifier: MIT
/*
 * What a worker leaves the next one beside the media, as the runtime table has it: tickets, what is
 * open, and the request that its death has left without an answer.
 */
#include <string.h>

#include "rig.h"

/* Of one kernel's time, whatever worker there is. */
static struct tickets_shared tickets;
static struct open_entry opens[RIG_REQUESTS]; /* each request opens one file at the most */
static uint64_t opens_used;

static struct open_table table;

/* When the last request was answered, or the worker began, and whether others have changed
 * something since. */
static uint64_t sequence;
static bool is_past;

static uint64_t get_sequence(void)
{
	struct store_stats stats;

	store_get_stats(rig.store, &stats);
	return stats.sequence;
}

void rig_runtime_forget(void)
{
	if (tickets.issued)
		memset(&tickets, 0, sizeof(tickets));
	memset(opens, 0, opens_used * sizeof(opens[0]));
	opens_used = 0;
	is_past = true;
}

void rig_runtime_adopt(void)
{
	open_table_init(&table, opens, &opens_used, RIG_REQUESTS);
	if (open_table_adopt(&table, store_meta(rig.store)) < 0)
		rig_die("no memory", "");
}

void rig_runtime_begin(void)
{
	rig.ns.opens = &table;
	rig.tickets = tickets_new(0, &tickets);
	sequence = get_sequence();
}

void rig_runtime_end(void)
{
	is_past = is_past || get_sequence() != sequence;
	open_table_deinit(&table);
}

void rig_runtime_note_reply(void)
{
	sequence = get_sequence();
	is_past = false;
}

bool rig_runtime_may_ask_again(void)
{
	return !is_past && get_sequence() == sequence;
}
