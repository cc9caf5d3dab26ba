/* SPDX-License-Identifier: MIT */
/*
 * An upgrade: the worker, then the helper and then the keeper are replaced by the programs that are
 * installed now. Both new programs are tried first (--version), so that a file that can't be run
 * harms nobody. Then each process is told to yield, its successor is started in its place, and if
 * that does not come to serve, the program that did so before is started again. The keeper's
 * successor is started beside it (keeping.h). This process goes on with its own program.
 */
#ifndef GM_FUSE_UPGRADE_H
#define GM_FUSE_UPGRADE_H

#include <stdbool.h>
#include <stdint.h>

#include "fuse/spawn.h"
#include "util/problem.h"

struct supervisor;
struct child;

enum upgrade_step {
	UPGRADE_NONE,
	UPGRADE_TRY_WORKER, /* its program is tried */
	UPGRADE_TRY_HELPER,
	UPGRADE_END_WORKER, /* the old one is to end */
	UPGRADE_START_WORKER,
	UPGRADE_END_HELPER,
	UPGRADE_START_HELPER,
	UPGRADE_START_KEEPER, /* all from here on: keepers */
	UPGRADE_END_KEEPER,
	UPGRADE_CHARGE_KEEPER, /* the old one has ended, and the new one is to have heard it */
};

struct upgrade {
	enum upgrade_step step;
	int client; /* who has asked; owned; -1: nobody waits for an answer */
	struct process probe;
	uint64_t due;        /* of this step, in clock_milliseconds(); UINT64_MAX: never */
	uint64_t ended_at;   /* when the process that is being replaced did */
	uint64_t outages[2]; /* milliseconds: of worker, helper */
	bool fell_back;      /* the old program is started again, because of: */
	struct problem reason;
};

#define UPGRADE_NULL ((struct upgrade){.client = -1, .probe = PROCESS_NULL})

/*
 * By a signal (client -1), or for who asks over a connection of the control socket, which is taken
 * over and answered in the end. What is not possible is refused there and in the log.
 */
void upgrade_begin(struct supervisor *s, int client);

/* A child has come to serve. */
void upgrade_take_serving(struct supervisor *s, const struct child *c);

/* A child has ended, as why says. True if that was to be, or its old program was started instead.
 */
bool upgrade_take_end(struct supervisor *s, struct child *c, const struct problem *why);

/* The next keeper has all, and the old one is told to yield. */
void upgrade_take_keeper_ready(struct supervisor *s);

/* The old keeper has ended, and it is the next one's turn. */
void upgrade_take_keeper_charge(struct supervisor *s);

/* The old keeper has ended, as reason says, before there was a next one. */
void upgrade_lose_keeper(struct supervisor *s, const struct problem *reason);

/* why NULL: there is a keeper that has said that it is ready; else how one has ended. */
void upgrade_take_keeper(struct supervisor *s, const struct problem *why);

/* The program that is being tried has ended. */
void upgrade_take_probe(struct supervisor *s);

/* Ends what takes too long. Milliseconds until the next such look; -1: none is needed. */
int upgrade_check_time(struct supervisor *s, uint64_t now);

/* The instance ends. */
void upgrade_abandon(struct supervisor *s);

#endif
