// SPDX-License-Identifier: MIT
#include "helper/work.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>

#include "helper/device_work.h"
#include "helper/scrub.h"
#include "util/cleanup.h"

STAILQ_HEAD(work_queue, work_job);

struct work {
	const struct region *regions;
	unsigned region_count;
	const struct scan_options *scan;
	struct reuse *reuse;
	int event; /* eventfd: results wait */
	pthread_t thread;
	atomic_bool stop;
	pthread_mutex_t lock; /* of the queues */
	pthread_cond_t wake;
	struct work_queue pending;
	struct work_queue done;
};

struct work_job *work_job_new(enum work_kind kind)
{
	struct work_job *job = calloc(1, sizeof(*job));

	if (job)
		job->kind = kind;
	return job;
}

void work_job_free(struct work_job *job)
{
	if (!job)
		return;
	scan_result_deinit(&job->scan);
	device_list_deinit(&job->devices);
	device_plan_deinit(&job->plan);
	free(job->targets.at);
	free(job->targets.ino);
	free(job);
}

/* Zeroes within one block, through a mapping of that block alone. */
static int work_zero_block(const struct region *region, uint64_t offset, uint64_t length)
{
	uint64_t block = offset & ~(GM_BLOCK_SIZE - 1);
	int err = 0;
	char *p = region_map(region, block, GM_BLOCK_SIZE, true, &err);

	if (!p)
		return -err;
	int r;
	if (length == GM_BLOCK_SIZE) {
		/*
		 * Where pages are small, faulting them in one by one takes three times as long as
		 * zeroing them. Asked for reading, because then the kernel maps many at a time; on
		 * shared memory they are writable all the same. If it fails, the stores say why.
		 */
		(void)madvise(p, GM_BLOCK_SIZE, MADV_POPULATE_READ);
		r = scrub_stream(p, GM_BLOCK_SIZE);
	} else {
		r = scrub_piece(p + (offset - block), length, region->write_back);
	}
	region_unmap(region, p, GM_BLOCK_SIZE);
	return r;
}

static int work_zero(struct work *w, struct work_job *job)
{
	const struct region *region = &w->regions[job->region];
	uint64_t at = job->offset, end = job->offset + job->length;

	if (region->kind == GM_REGION_SOFT)
		return device_work_zero(w->regions, job->region, job->offset, job->length,
			&job->devices, w->reuse, &w->stop, &job->why);
	while (at < end) {
		uint64_t next = (at & ~(GM_BLOCK_SIZE - 1)) + GM_BLOCK_SIZE;
		if (next > end)
			next = end;
		int r = work_zero_block(region, at, next - at);
		if (r < 0)
			return r;
		at = next;
		if (atomic_load(&w->stop))
			return -ECANCELED;
	}
	return 0;
}

static int work_scan(struct work *w, struct work_job *job)
{
	const struct scan_options devices = {.targets = job->targets.at,
		.target_count = (unsigned)job->targets.count,
		.ours = w->scan->ours};

	return procscan_run(job->targets.at ? &devices : w->scan, &job->scan);
}

static int work_run(struct work *w, struct work_job *job)
{
	switch (job->kind) {
	case WORK_SCRUB:
	case WORK_ZERO:
		return work_zero(w, job);
	case WORK_SCAN:
	case WORK_SEEK:
		return work_scan(w, job);
	case WORK_MAKE:
		return device_work_make(w->regions, &job->plan, w->reuse, &job->devices, &job->why);
	case WORK_LIST:
		return device_work_list(
			w->regions, w->region_count, &job->devices, &job->lost, &job->why);
	case WORK_REMOVE:
		device_work_remove(
			w->regions, &job->devices, job->sought ? &job->scan : NULL, w->reuse);
		return 0;
	case WORK_TAKE:
		return reuse_take(w->reuse, w->regions, &job->devices, &job->why);
	}
	assert(false); /* a job of no kind */
	return -EINVAL;
}

/* Waits for a job; NULL: the end. */
static struct work_job *work_next(struct work *w)
{
	struct work_job *job = NULL;

	pthread_mutex_lock(&w->lock);
	while (!atomic_load(&w->stop) && STAILQ_EMPTY(&w->pending))
		pthread_cond_wait(&w->wake, &w->lock);
	if (!atomic_load(&w->stop)) {
		job = STAILQ_FIRST(&w->pending);
		STAILQ_REMOVE_HEAD(&w->pending, entry);
	}
	pthread_mutex_unlock(&w->lock);
	return job;
}

static void *work_thread(void *argument)
{
	struct work *w = argument;
	struct work_job *job;

	while ((job = work_next(w))) {
		job->error = work_run(w, job);
		pthread_mutex_lock(&w->lock);
		STAILQ_INSERT_TAIL(&w->done, job, entry);
		pthread_mutex_unlock(&w->lock);
		(void)eventfd_write(w->event, 1);
	}
	return NULL;
}

/* Signals are the event loop's thread's; SIGBUS and SIGSYS are raised by what a thread does itself
 * and stay open. */
static int work_start_thread(struct work *w)
{
	sigset_t all, old;

	(void)sigfillset(&all);
	(void)sigdelset(&all, SIGBUS);
	(void)sigdelset(&all, SIGSYS);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	int r = pthread_create(&w->thread, NULL, work_thread, w);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}

int work_new(struct work **ret, const struct region *regions, unsigned region_count,
	const struct scan_options *scan, struct reuse *reuse)
{
	_cleanup_free_ struct work *w = calloc(1, sizeof(*w));
	_cleanup_fd_ int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (!w)
		return -ENOMEM;
	if (event < 0)
		return -errno;
	w->regions = regions;
	w->region_count = region_count;
	w->scan = scan;
	w->reuse = reuse;
	w->event = event;
	STAILQ_INIT(&w->pending);
	STAILQ_INIT(&w->done);
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_cond_init(&w->wake, NULL);
	int r = work_start_thread(w);
	if (r < 0)
		return r;
	(void)steal_fd(&event);
	*ret = steal_pointer(w);
	return 0;
}

static void work_free_queue(struct work_queue *q)
{
	struct work_job *job;

	while ((job = STAILQ_FIRST(q))) {
		STAILQ_REMOVE_HEAD(q, entry);
		work_job_free(job);
	}
}

#define WORK_JOIN_SECONDS 5

static bool work_join(struct work *w)
{
	struct timespec deadline;

	(void)clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += WORK_JOIN_SECONDS;
	return pthread_timedjoin_np(w->thread, NULL, &deadline) == 0;
}

struct work *work_free(struct work *w)
{
	if (!w)
		return NULL;
	pthread_mutex_lock(&w->lock);
	atomic_store(&w->stop, true);
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	if (!work_join(w))
		return NULL;
	work_free_queue(&w->pending);
	work_free_queue(&w->done);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	w->event = close_fd(w->event);
	free(w);
	return NULL;
}

int work_get_fd(const struct work *w)
{
	return w->event;
}

void work_submit(struct work *w, struct work_job *job)
{
	pthread_mutex_lock(&w->lock);
	STAILQ_INSERT_TAIL(&w->pending, job, entry);
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

struct work_job *work_take(struct work *w)
{
	eventfd_t ignored;

	/* Emptied before the queue is looked at: a result that comes in between wakes us once more,
	 * for nothing, rather than never. */
	(void)eventfd_read(w->event, &ignored);
	pthread_mutex_lock(&w->lock);
	struct work_job *job = STAILQ_FIRST(&w->done);
	if (job)
		STAILQ_REMOVE_HEAD(&w->done, entry);
	pthread_mutex_unlock(&w->lock);
	return job;
}
