// SPDX-License-Identifier: MIT
#include "helper/devices.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "helper/adoption.h"
#include "helper/server.h"
#include "util/cleanup.h"
#include "util/log.h"

struct inode_devices *devices_of(struct record_inode *inode)
{
	if (!inode->devices)
		inode->devices = calloc(1, sizeof(*inode->devices));
	return inode->devices;
}

void devices_forget(struct record_inode *inode)
{
	if (inode->devices)
		device_list_deinit(&inode->devices->list);
	free(inode->devices);
	inode->devices = NULL;
}

void devices_free_all(struct server *s)
{
	struct record_inode *inode;

	LIST_FOREACH (inode, &s->record.inodes, by_record)
		devices_forget(inode);
}

bool devices_are_ready(const struct server *s)
{
	return !s->soft || s->devices_state == DEVICES_READY;
}

int devices_begin(struct server *s)
{
	if (s->devices_state != DEVICES_UNKNOWN)
		return 0;
	struct work_job *job = work_job_new(WORK_LIST);
	if (!job)
		return -ENOMEM;
	s->devices_state = DEVICES_LISTING;
	work_submit(s->zeroing, job);
	return 0;
}

static void devices_finish(struct server *s)
{
	s->devices_state = DEVICES_READY;
	spare_adopt(s);
	if (s->link.state == LINK_STATE_ADOPTING)
		link_bring_up(s);
}

static int take_over(struct server *s, struct record_inode *inode, struct device *d)
{
	struct inode_devices *devices = devices_of(inode);
	char node[SOFT_DEVICE_NODE];

	if (!devices || device_list_reserve(&devices->list, 1) < 0)
		return -ENOMEM;
	log_info("%s is a device of inode %" PRIu64, soft_device_node(node, &d->soft), inode->ino);
	const unsigned id = d->soft.id;
	struct device *added = device_list_add(&devices->list, d->region, &d->soft);
	int r = soft_user_load(&added->user, s->regions[added->region].physical_start, id);
	if (r < 0)
		log_warning("whose %s was can't be read, so that it is never given on: %s", node,
			strerror(-r));
	if (added->user.users == SOFT_USERS_WORKER)
		contents_adopt(s, inode);
	return 0;
}

/* Somebody else's device is over memory of theirs: they are not free when their own are gone. */
static void overlay_owners(const struct record *record, const struct device *d)
{
	for (size_t i = 0; i < d->soft.range_count; i++) {
		uint64_t block = d->soft.ranges[i].block, end = block + d->soft.ranges[i].count;
		struct record_inode *inode;
		while ((inode = record_next_owner(record, d->region, &block, end)))
			record_overlay(inode);
	}
}

/* What is to go, if nobody has it. */
struct doomed {
	struct device_list orphans;
	struct device_list windows;
};

static void doomed_deinit(struct doomed *d)
{
	device_list_deinit(&d->orphans);
	device_list_deinit(&d->windows);
}

static int judge(struct server *s, struct device *d, struct doomed *doomed)
{
	char node[SOFT_DEVICE_NODE];
	struct problem reason = PROBLEM_INIT;
	struct record_inode *inode = NULL;

	switch (adoption_judge(&s->record, d->region, &d->soft, &inode, &reason)) {
	case ADOPTION_INODE:
		return take_over(s, inode, d);
	case ADOPTION_WINDOW:
		(void)device_list_add(&doomed->windows, d->region, &d->soft);
		return 0;
	case ADOPTION_ORPHAN:
		(void)device_list_add(&doomed->orphans, d->region, &d->soft);
		return 0;
	case ADOPTION_SYSTEM:
		s->takeback.reuse.retired += d->soft.retired;
		return 0;
	case ADOPTION_FOREIGN:
		log_warning("%s is left alone, and what is under it can't be granted: %s",
			soft_device_node(node, &d->soft), reason.text);
		overlay_owners(&s->record, d);
		return 0;
	}
	return 0;
}

static int judge_all(struct server *s, struct device_list *found, struct doomed *ret)
{
	int r = device_list_reserve(&ret->orphans, found->count);

	if (r >= 0)
		r = device_list_reserve(&ret->windows, found->count);
	for (size_t i = 0; r >= 0 && i < found->count; i++)
		r = judge(s, &found->at[i], ret);
	return r;
}

/*
 * Somebody has taken a device of theirs away, perhaps. That they have none, or one that is idle,
 * shows nothing then: none of them is free in this boot.
 */
static void keep_owners(struct server *s, uint32_t lost)
{
	struct record_inode *inode;

	if (lost == 0)
		return;
	log_warning("somebody has removed or changed devices of files in this boot: what is held "
		    "now stays held until the next boot");
	LIST_FOREACH (inode, &s->record.inodes, by_record)
		if (inode->regions & lost)
			record_overlay(inode);
}

static int remove_orphans(struct server *s, struct device_list *orphans)
{
	struct work_job *removal = work_job_new(WORK_REMOVE);

	if (!removal)
		return -ENOMEM;
	removal->devices = *orphans;
	*orphans = DEVICE_LIST_NULL;
	s->devices_state = DEVICES_CLEARING;
	work_submit(s->zeroing, removal);
	return 0;
}

int devices_take_list(struct server *s, struct work_job *job, struct problem *why)
{
	_cleanup_(doomed_deinit) struct doomed doomed = {
		.orphans = DEVICE_LIST_NULL, .windows = DEVICE_LIST_NULL};

	if (job->error < 0)
		return problem(why, -job->error, "%s", job->why.text);
	keep_owners(s, job->lost);
	int r = judge_all(s, &job->devices, &doomed);
	if (r >= 0)
		r = leftovers_begin(s, &doomed.windows);
	if (r >= 0 && doomed.orphans.count > 0)
		r = remove_orphans(s, &doomed.orphans);
	if (r < 0)
		return problem_errno(why, -r, "taking over %zu devices", job->devices.count);
	if (s->devices_state != DEVICES_CLEARING)
		devices_finish(s);
	return 0;
}

void devices_take_removed(struct server *s, const struct work_job *job)
{
	if (job->sought)
		leftovers_end(s);
	else
		devices_finish(s);
}
