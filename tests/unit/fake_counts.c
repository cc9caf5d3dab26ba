// SPDX-License-Identifier: MIT
/*
 * In place of the process that reads the kernel's counts, and of what is kept in /run: what the
 * test has written into the table of fake_soft.h.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fake_soft.h"
#include "soft_wraps.h"
#include "util/cleanup.h"

struct counts {
	int pair[2]; /* the other end is the process's */
};

int __wrap_counts_start(struct counts **ret, const char *program, struct problem *why)
{
	struct counts *c;

	(void)program;
	if (fake_soft->no_counts)
		return problem(why, EOPNOTSUPP, "the test wants that there are none");
	c = calloc(1, sizeof(*c));
	if (!c || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, c->pair) < 0)
		abort();
	*ret = c;
	return 0;
}

struct counts *__wrap_counts_stop(struct counts *c)
{
	if (!c)
		return NULL;
	close(c->pair[0]);
	close(c->pair[1]);
	free(c);
	return NULL;
}

int __wrap_counts_get_fd(const struct counts *c)
{
	return c->pair[0];
}

static bool is_in(const struct counts_range *ranges, size_t count, uint64_t address)
{
	for (size_t i = 0; i < count; i++)
		if (address >= ranges[i].start && address - ranges[i].start < ranges[i].size)
			return true;
	return false;
}

static void count_pages(const struct fake_device *d, const struct counts_range *ranges,
	size_t count, struct counts_reading *ret)
{
	uint64_t pinned = FAKE_START + ((uint64_t)d->pinned << GM_BLOCK_SHIFT);

	ret->page_min = ret->page_max = fake_soft->idle_page;
	if (d->pinned == 0 || !is_in(ranges, count, pinned))
		return;
	ret->page_max += 2;
	ret->busy_pages = 1;
	ret->first_busy = pinned;
}

int __wrap_counts_read(struct counts *c, int device_fd, const struct counts_range *ranges,
	size_t count, uint64_t align, const struct counts_idle *idle, struct counts_reading *ret,
	struct problem *why)
{
	const struct fake_device *d = fake_soft_find(fake_soft_id(device_fd));
	int fail = atomic_load(&fake_soft->counts_fail);

	(void)close_fd(device_fd);
	fake_soft->readings++;
	if (fail == -EPIPE)
		shutdown(c->pair[1], SHUT_RDWR);
	if (fail < 0)
		return problem(why, -fail, "the test wants this to fail");
	if (!d || !d->bound || d->align != align)
		abort();
	*ret = (struct counts_reading){.cdev = fake_soft->idle_cdev + d->open_elsewhere};
	if (atomic_load(&fake_soft->passing) > 0) {
		atomic_fetch_sub(&fake_soft->passing, 1);
		ret->cdev++;
	}
	count_pages(d, ranges, count, ret);
	if (!idle)
		ret->busy_pages = 0;
	return 0;
}

int __wrap_counts_close(struct counts *c, const dev_t *devices, size_t count, struct problem *why)
{
	(void)c;
	atomic_store(&fake_soft->closed, 0);
	if (count == 0)
		return 0;
	if (count > 1)
		abort();
	fake_soft->closings++;
	if (fake_soft->no_gate)
		return problem(why, EOPNOTSUPP, "the test wants that there is no gate");
	if (atomic_load(&fake_soft->late) > 0) {
		atomic_fetch_sub(&fake_soft->late, 1);
		return problem(why, EAGAIN, "the test wants somebody to be on his way");
	}
	struct fake_device *d = (struct fake_device *)fake_soft_find(minor(devices[0]));
	atomic_fetch_add(&d->open_elsewhere, atomic_exchange(&fake_soft->arrivals, 0));
	atomic_store(&fake_soft->closed, d->id);
	return 0;
}

/* ---- what is kept ---- */

int __wrap_soft_idle_load(struct soft_idle *ret, uint64_t region_start, struct problem *why)
{
	(void)region_start, (void)why;
	*ret = fake_soft->idle;
	return 0;
}

int __wrap_soft_idle_store(const struct soft_idle *idle, uint64_t region_start, struct problem *why)
{
	(void)region_start, (void)why;
	fake_soft->idle = *idle;
	return 0;
}
