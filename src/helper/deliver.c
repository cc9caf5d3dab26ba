// SPDX-License-Identifier: MIT
#include "helper/deliver.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "helper/exports.h"
#include "helper/server.h"
#include "util/log.h"

/* Why a delivery fails. */
struct obstacle {
	int error; /* positive */
	enum gm_reason reason;
	struct problem why;
};

struct delivery *delivery_new(uint64_t ino, const struct record_extent *extents, size_t count)
{
	struct delivery *d = calloc(1, sizeof(*d));
	struct record_extent *copy = calloc(count ? count : 1, sizeof(*copy));

	if (!d || !copy) {
		free(d);
		free(copy);
		return NULL;
	}
	if (count > 0)
		memcpy(copy, extents, count * sizeof(*copy));
	d->ino = ino;
	d->extents = copy;
	d->count = count;
	return d;
}

void delivery_free(struct delivery *d)
{
	free(d->extents);
	free(d);
}

void deliveries_free_all(struct server *s)
{
	struct delivery *d;

	while ((d = TAILQ_FIRST(&s->deliveries))) {
		TAILQ_REMOVE(&s->deliveries, d, entry);
		if (d->redeem)
			redeem_forget(d->redeem);
		delivery_free(d);
	}
}

static void delivery_fail(struct server *s, struct delivery *d, const struct obstacle *o)
{
	log_error("inode %" PRIu64 " gets no device: %s", d->ino, o->why.text);
	if (d->redeem)
		grants_fail(s, d->redeem, d->ino, o->error, o->reason);
	else if (d->contents)
		contents_answer(s, d, o->error);
	else
		exports_answer(s, d, o->error, o->reason, NULL);
	delivery_free(d);
}

static void delivery_finish(struct server *s, struct delivery *d)
{
	if (d->contents) {
		contents_finish(s, d);
		return;
	}
	if (d->redeem)
		grants_finish(s, d->redeem, &d->order, d->extents, d->count);
	else
		exports_finish(s, d);
	delivery_free(d);
}

/* ---- devices that somebody has taken away ---- */

/*
 * Root can do so. Whoever has it mapped gets SIGBUS; whoever has pages of it pinned still has them,
 * and no count shows that any more. So its blocks are the file's until the next boot. The file gets
 * a device over them anew once all have ended that are known to have had the one that is gone. What
 * stands under its name now is left alone.
 */
static int check_device(
	struct record_inode *inode, const struct device *device, bool *lost, struct obstacle *o)
{
	const struct holder *h = watch_find_live(inode->watch, true);
	struct problem why = PROBLEM_INIT;
	int r = soft_device_check(&device->soft, &why);

	/* Spare: whom it was given on from may be another than the owner by now. */
	*lost = r == -ESTALE && !h && !device->user.spare;
	if (r == 0)
		return 0;
	if (r == -ESTALE)
		record_overlay(inode);
	if (*lost) {
		log_error("inode %" PRIu64 " is to get a device anew, and its blocks stay its own "
			  "until the next boot: %s",
			inode->ino, why.text);
		return 0;
	}
	o->error = EIO;
	o->reason = GM_REASON_DEVICE;
	if (r == -ESTALE && h)
		return problem(&o->why, EIO, "%s, while process %d had it: end that one first",
			why.text, (int)h->process->pid);
	return problem(&o->why, EIO,
		"%s: remove it with daxctl if nobody has its memory any more, or boot anew",
		why.text);
}

static int drop_lost(struct record_inode *inode, struct obstacle *o)
{
	struct device_list *devices = &inode->devices->list;
	size_t i = 0;

	while (i < devices->count) {
		bool lost = false;
		int r = check_device(inode, &devices->at[i], &lost, o);
		if (r < 0)
			return r;
		if (lost)
			device_list_remove(devices, i);
		else
			i++;
	}
	return 0;
}

/* ---- planning ---- */

static int obstacle(struct obstacle *o, int error, enum gm_reason reason, const char *text)
{
	o->error = error;
	o->reason = reason;
	return problem(&o->why, error, "%s", text);
}

static uid_t owner_of(const struct delivery *d)
{
	return d->redeem ? d->order.owner : d->uid;
}

/* An export is one device over the whole file, so that who opens its node finds all of the file at
 * the file's offsets. */
static int check_export(
	const struct delivery *d, const struct device_list *have, bool *serves, struct obstacle *o)
{
	*serves = false;
	for (size_t i = 0; i < d->count; i++) {
		uint64_t end = i == 0 ? 0 : d->extents[i - 1].file_block + d->extents[i - 1].count;
		if (d->extents[i].file_block != end)
			return obstacle(o, ENXIO, GM_REASON_DEVICE, "the file has a hole");
		if (d->extents[i].region != d->extents[0].region)
			return obstacle(o, EMFILE, GM_REASON_EXTENTS,
				"the file lies in more than one region");
	}
	if (d->count == 0)
		return obstacle(o, ENXIO, GM_REASON_DEVICE, "the file is empty");
	*serves = exports_is_whole(have, d->extents, d->count);
	if (!*serves && have->count > 0)
		return obstacle(o, EBUSY, GM_REASON_DEVICE,
			"it was granted before, the devices made then don't make up one of 2M "
			"pages over the whole file, and it is not shown that nobody reaches them");
	return 0;
}

static int plan(const struct server *s, const struct delivery *d, const struct device_list *have,
	struct device_plan *ret, struct obstacle *o)
{
	uint64_t start[GM_REGIONS_MAX];
	bool serves = false;

	*ret = DEVICE_PLAN_NULL;
	if (!spare_suits(s, record_find(&s->record, d->ino), owner_of(d)))
		return obstacle(o, EBUSY, GM_REASON_DEVICE,
			"its memory was that of a removed file whose user is not its owner, and it "
			"is not shown that nobody of his reaches it");
	if (delivery_is_export(d)) {
		int r = check_export(d, have, &serves, o);
		if (r < 0 || serves)
			return r;
	}
	for (unsigned i = 0; i < s->region_count; i++)
		start[i] = s->regions[i].physical_start;
	if (device_plan_init(ret, d->extents, d->count, have, start, !d->redeem) < 0)
		return obstacle(o, ENOMEM, GM_REASON_MEMORY, "no memory to plan its devices");
	if (!d->contents && have->count + ret->count > GM_GRANT_DEVICES_MAX) {
		device_plan_deinit(ret);
		return obstacle(o, EMFILE, GM_REASON_EXTENTS,
			"it has grown so often that it needs more devices than a grant can carry");
	}
	return 0;
}

/* ---- making ---- */

/* Takes the plan over. Room for what will be made is had before, so that nothing made is lost. */
static int start_making(struct server *s, uint64_t ino, struct inode_devices *devices,
	struct device_plan *plan, struct obstacle *o)
{
	struct work_job *job = work_job_new(WORK_MAKE);

	if (!job || device_list_reserve(&devices->list, plan->count) < 0) {
		work_job_free(job);
		device_plan_deinit(plan);
		return obstacle(o, ENOMEM, GM_REASON_MEMORY, "no memory to make its devices");
	}
	job->ino = ino;
	job->plan = *plan;
	*plan = DEVICE_PLAN_NULL;
	devices->working = true;
	work_submit(s->zeroing, job);
	return 0;
}

/* Devices that are another user's, or an export whose file has others than it needs: if nobody
 * reaches them, they go. */
static bool takes_away_first(
	struct server *s, struct delivery *d, const struct inode_devices *devices)
{
	struct record_inode *inode = record_find(&s->record, d->ino);

	if (d->tried || d->contents || devices->working || devices->list.count == 0)
		return false;
	if (spare_suits(s, inode, owner_of(d)) &&
		(d->redeem || exports_is_whole(&devices->list, d->extents, d->count)))
		return false;
	d->tried = true;
	return takeback_try(s, inode);
}

void deliver(struct server *s, struct delivery *d)
{
	struct record_inode *inode = record_find(&s->record, d->ino);
	struct inode_devices *devices = devices_of(inode);
	struct device_plan needed = DEVICE_PLAN_NULL;
	struct obstacle o = {.why = PROBLEM_INIT};
	int r = 0;

	if (!devices) {
		(void)obstacle(&o, ENOMEM, GM_REASON_MEMORY, "no memory to note its devices");
		delivery_fail(s, d, &o);
		return;
	}
	if (!devices->working)
		r = drop_lost(inode, &o);
	if (r >= 0 && takes_away_first(s, d, devices)) {
		TAILQ_INSERT_TAIL(&s->deliveries, d, entry);
		return;
	}
	if (r >= 0 && !devices->working)
		r = plan(s, d, &devices->list, &needed, &o);
	if (r >= 0 && needed.count > 0)
		r = start_making(s, d->ino, devices, &needed, &o);
	if (r < 0)
		delivery_fail(s, d, &o);
	else if (devices->working)
		TAILQ_INSERT_TAIL(&s->deliveries, d, entry);
	else
		delivery_finish(s, d);
}

static void log_made(const struct server *s, uint64_t ino, const struct device *d)
{
	char node[SOFT_DEVICE_NODE], size[REGION_SIZE_TEXT], align[REGION_SIZE_TEXT];

	log_info("device %s ino=%" PRIu64 " region=%s size=%s align=%s ranges=%zu",
		soft_device_node(node, &d->soft), ino, s->regions[d->region].name,
		region_format_size(size, d->soft.size), region_format_size(align, d->soft.align),
		d->soft.range_count);
}

static void keep_made(struct server *s, struct inode_devices *devices, struct work_job *job)
{
	for (size_t i = 0; i < job->devices.count; i++) {
		struct device *d = &job->devices.at[i];
		log_made(s, job->ino, d);
		device_list_add(&devices->list, d->region, &d->soft)->user = d->user;
	}
}

/* What waits for the inode, off the list: one that goes on may have to wait once more. */
static void take_waiting(struct server *s, uint64_t ino, struct deliveries *ret)
{
	struct delivery *d, *next;

	for (d = TAILQ_FIRST(&s->deliveries); d; d = next) {
		next = TAILQ_NEXT(d, entry);
		if (d->ino != ino)
			continue;
		TAILQ_REMOVE(&s->deliveries, d, entry);
		TAILQ_INSERT_TAIL(ret, d, entry);
	}
}

void deliver_resume(struct server *s, uint64_t ino)
{
	struct deliveries waiting = TAILQ_HEAD_INITIALIZER(waiting);
	struct delivery *d;

	take_waiting(s, ino, &waiting);
	while ((d = TAILQ_FIRST(&waiting))) {
		TAILQ_REMOVE(&waiting, d, entry);
		deliver(s, d);
	}
}

void deliver_take_made(struct server *s, struct work_job *job)
{
	struct inode_devices *devices = record_find(&s->record, job->ino)->devices;
	const struct obstacle o = {
		.error = -job->error, .reason = GM_REASON_DEVICE, .why = job->why};
	struct deliveries waiting = TAILQ_HEAD_INITIALIZER(waiting);
	struct delivery *d;

	devices->working = false;
	keep_made(s, devices, job);
	if (job->error == 0) {
		deliver_resume(s, job->ino);
		return;
	}
	take_waiting(s, job->ino, &waiting);
	while ((d = TAILQ_FIRST(&waiting))) {
		TAILQ_REMOVE(&waiting, d, entry);
		delivery_fail(s, d, &o);
	}
}

void deliveries_refuse(struct server *s, uint64_t ino)
{
	const struct obstacle o = {.error = EKEYREJECTED,
		.reason = GM_REASON_TICKET,
		.why = {.text = "its tickets have been revoked"}};
	struct deliveries waiting = TAILQ_HEAD_INITIALIZER(waiting);
	struct delivery *d;

	take_waiting(s, ino, &waiting);
	while ((d = TAILQ_FIRST(&waiting))) {
		TAILQ_REMOVE(&waiting, d, entry);
		delivery_fail(s, d, &o);
	}
}
