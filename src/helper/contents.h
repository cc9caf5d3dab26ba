/* SPDX-License-Identifier: MIT */
/*
 * Soft regions: the one inode whose devices are the worker's own, since it keeps in it the contents
 * of files that are read and written. No client ever has any of it, nor has the worker anything
 * else.
 *
 * That its devices are the worker's is noted before the first descriptor leaves
 * (region/soft_user.h), so that a helper that is to come knows it, whatever the worker tells that
 * one: what clients were given never becomes the worker's, nor the other way round. They stay as
 * long as the boot lasts.
 */
#ifndef GM_HELPER_CONTENTS_H
#define GM_HELPER_CONTENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "helper/deliver.h"
#include "helper/record.h"
#include "util/problem.h"

struct server;

struct contents {
	uint64_t ino;            /* of the content store; 0: not known yet */
	struct deliveries ready; /* whose devices are there: on their way to the worker, in turn */
	size_t extent;           /* how far the first of them is */
	uint64_t done;           /* blocks of that extent */
};

void contents_init(struct contents *c);

/* CONTENTS with its extents. */
void contents_take(struct server *s, const struct grant_order *order, uint64_t from,
	const struct record_extent *extents, size_t count);

/* Is the inode another than the content store, so that a client may have it? -EUCLEAN with a
 * sentence. */
int contents_check_other(const struct server *s, uint64_t ino, struct problem *why);

/* A helper before this one has given it to the worker. */
void contents_adopt(struct server *s, struct record_inode *inode);

/* ---- for deliver.c ---- */

/* Its devices are there. Takes the delivery over. */
void contents_finish(struct server *s, struct delivery *d);

/* Answers, unless who asked is gone. error: positive, or 0. */
void contents_answer(struct server *s, const struct delivery *d, int error);

/* ---- for link.c ---- */

/* Does anything wait for the socket to take it? contents_go_on() then sends what it takes. */
bool contents_are_waiting(const struct server *s);
void contents_go_on(struct server *s);

void contents_link_lost(struct server *s);

#endif
