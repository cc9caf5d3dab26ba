/* SPDX-License-Identifier: MIT */
/*
 * All that the event loop owns. Only its thread touches it; the background threads (work.h) see
 * their jobs alone. One event is handled at a time, so whoever handles it may free what other
 * events belong to.
 */
#ifndef GM_HELPER_SERVER_H
#define GM_HELPER_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "helper/audits.h"
#include "helper/clients.h"
#include "helper/contents.h"
#include "helper/deliver.h"
#include "helper/devices.h"
#include "helper/grants.h"
#include "helper/helper.h"
#include "helper/holders.h"
#include "helper/leftovers.h"
#include "helper/link.h"
#include "helper/lookout.h"
#include "helper/processes.h"
#include "helper/record.h"
#include "helper/revoke.h"
#include "helper/source.h"
#include "helper/spare.h"
#include "helper/takeback.h"
#include "helper/trust.h"
#include "helper/users.h"
#include "helper/work.h"
#include "region/ledger.h"
#include "region/region.h"
#include "util/limiter.h"

struct server {
	int epoll;
	struct source supervisor;
	struct source listener;
	struct source results[2]; /* their descriptors are the works' */
	struct region regions[GM_REGIONS_MAX];
	struct ledger ledgers[GM_REGIONS_MAX]; /* of the regions */
	unsigned region_count;
	uint64_t regions_born; /* CLOCK_BOOTTIME, ms: no process that is older can have been granted
				  anything; 0: not known */
	struct scan_target targets[GM_REGIONS_MAX];
	struct scan_options scan;
	struct scan_ours ours; /* read by the thread that scans */
	bool soft;             /* the regions are cut into devices; all or none */
	bool needs_trust;      /* a descriptor of some region reaches more than one file */
	struct trust trust;
	/* Two threads: a process can keep a look into /proc waiting for as long as it likes, and
	 * whoever waits for a grant must not wait for that. */
	struct work *zeroing;
	struct work *scanning;
	struct record record;
	struct link link;
	struct processes processes;
	struct clients clients;
	struct grants grants;
	struct holders holders;
	struct {
		uint64_t begun, ended; /* looks into /proc, by their numbers; one at a time */
	} looks;
	struct revocations revocations;
	struct lookout lookout; /* soft regions: */
	struct takeback takeback;
	enum devices_state devices_state;
	struct leftovers leftovers;
	struct contents contents;
	struct deliveries deliveries; /* that wait for devices; oldest first */
	struct users users;
	uint64_t yield_since;        /* ms: another helper is to come; 0: none is */
	struct limiter noise;        /* of log lines that all clients can cause at will */
	struct limiter worker_noise; /* or the worker */
	struct limiter export_noise; /* or who changes the owner or mode of an exported file */
};

/* Another helper takes over: as soon as nobody waits for an answer, this one ends. */
void server_yield(struct server *s);

/* What a check of the time returns when nothing will be due: later than any clock_milliseconds().
 */
#define SERVER_NEVER UINT64_MAX

#endif
