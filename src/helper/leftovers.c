// SPDX-License-Identifier: MIT
#include "helper/leftovers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "helper/server.h"
#include "region/soft_range.h"
#include "util/log.h"

void leftovers_init(struct leftovers *l)
{
	*l = (struct leftovers){.windows = DEVICE_LIST_NULL};
	STAILQ_INIT(&l->waiting);
}

void leftovers_deinit(struct leftovers *l)
{
	struct work_job *job;

	while ((job = STAILQ_FIRST(&l->waiting))) {
		STAILQ_REMOVE_HEAD(&l->waiting, entry);
		work_job_free(job);
	}
	device_list_deinit(&l->windows);
}

static int find_targets(struct work_targets *t, const struct device_list *windows)
{
	char node[SOFT_DEVICE_NODE];

	t->at = calloc(windows->count, sizeof(*t->at));
	if (!t->at)
		return -ENOMEM;
	for (size_t i = 0; i < windows->count; i++) {
		const struct soft_device *d = &windows->at[i].soft;
		procscan_identify_device(&t->at[i], d->rdev, soft_device_node(node, d));
	}
	t->count = windows->count;
	return 0;
}

int leftovers_begin(struct server *s, struct device_list *windows)
{
	if (windows->count == 0)
		return 0;
	struct work_job *job = work_job_new(WORK_SEEK);
	if (!job || device_list_copy(&job->devices, windows) < 0 ||
		find_targets(&job->targets, windows) < 0) {
		work_job_free(job);
		return -ENOMEM;
	}
	s->leftovers.windows = *windows;
	*windows = DEVICE_LIST_NULL;
	work_submit(s->scanning, job);
	return 0;
}

bool leftovers_hold_back(struct server *s, struct work_job *job)
{
	const uint64_t first = job->offset >> GM_BLOCK_SHIFT;
	const uint64_t last = (job->offset + job->length - 1) >> GM_BLOCK_SHIFT;
	const struct soft_range range = {.block = first, .count = (uint32_t)(last - first + 1)};
	uint64_t block;

	for (size_t i = 0; i < s->leftovers.windows.count; i++) {
		const struct device *d = &s->leftovers.windows.at[i];
		if (d->region != job->region ||
			!soft_ranges_meet(&range, 1, d->soft.ranges, d->soft.range_count, &block))
			continue;
		STAILQ_INSERT_TAIL(&s->leftovers.waiting, job, entry);
		return true;
	}
	return false;
}

void leftovers_take_sought(struct server *s, struct work_job *job)
{
	struct work_job *removal = job->error < 0 ? NULL : work_job_new(WORK_REMOVE);

	if (!removal) {
		log_error("what a helper that ended has left stays: looking for who has it open "
			  "fails: %s",
			strerror(job->error < 0 ? -job->error : ENOMEM));
		leftovers_end(s);
		return;
	}
	removal->sought = true;
	removal->devices = job->devices;
	removal->scan = job->scan;
	job->devices = DEVICE_LIST_NULL;
	job->scan = SCAN_RESULT_NULL;
	work_submit(s->zeroing, removal);
}

/* Those that stay are in the way of what is submitted now, which fails and says so. */
void leftovers_end(struct server *s)
{
	struct leftovers *l = &s->leftovers;
	struct work_job *job;

	device_list_deinit(&l->windows);
	while ((job = STAILQ_FIRST(&l->waiting))) {
		STAILQ_REMOVE_HEAD(&l->waiting, entry);
		work_submit(s->zeroing, job);
	}
}
