/* SPDX-License-Identifier: MIT */
/*
 * Grants and exports of inodes on soft regions, from the moment when the record has let them pass:
 * what devices are still needed is planned and made in the background, then the grant is handed out
 * or the node opened up. Those that come meanwhile for the same inode wait; all others don't.
 */
#ifndef GM_HELPER_DELIVER_H
#define GM_HELPER_DELIVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "helper/audits.h"
#include "helper/grants.h"
#include "helper/record.h"

struct server;
struct work_job;

struct delivery {
	uint64_t ino;
	struct record_extent *extents; /* what is to be delivered; owned */
	size_t count;
	struct redeem *redeem; /* whose answer it is, owned; NULL: an export */
	struct grant_order order;
	/* an export: */
	uint64_t id;
	uint64_t link_serial;
	uid_t uid;
	gid_t gid;
	mode_t mode;
	struct audits_asker asker;
	bool tried; /* the devices that are in its way were to be taken away */
	TAILQ_ENTRY(delivery) entry;
};

TAILQ_HEAD(deliveries, delivery);

struct delivery *delivery_new(uint64_t ino, const struct record_extent *extents, size_t count);

/* Takes it over. The inode must be in the record. */
void deliver(struct server *s, struct delivery *d);

/* Devices were made, or could not be. */
void deliver_take_made(struct server *s, struct work_job *job);

/* No job has to do with the inode's devices any more: who waited for that goes on. */
void deliver_resume(struct server *s, uint64_t ino);

/* Refuses the grants of the inode that wait for devices: its tickets are void. */
void deliveries_refuse(struct server *s, uint64_t ino);

void deliveries_free_all(struct server *s);

#endif
