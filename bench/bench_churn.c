// SPDX-License-Identifier: MIT
/*
 * Years of VMs that come and go on 2 TiB, and how well their memory lies then: with our allocator,
 * and with two bitmaps, first fit and next fit, which is what one would write. The same VMs for
 * all three, nine years drawn anew, each after one year that fills the pool.
 *
 * Sizes and lifetimes are log-normal, as traces of clouds have them: 256 MiB to 512 GiB with a
 * median of 8 GiB, a median of a day but a mean of a week; every tenth VM is resized once. A third
 * of those of 1 GiB and more insist on 1 GiB pages. Nine tenths of the pool are asked for on
 * average, so that it is full at times: then a VM is turned away, by all three alike. An
 * allocation has failed if there was room for it, but not in the pages that it insisted on.
 */
#include <err.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/alloc.h"
#include "bench.h"
#include "util/cleanup.h"

#define GROUP       512UL
#define POOL_BLOCKS (2048U * GROUP)
#define VM_MIN      128U
#define VM_MAX      (512U * GROUP)
#define SIZE_MEDIAN (8.0 * GROUP)
#define SIZE_SIGMA  1.5
#define LIFE_MEDIAN 1.0 /* days */
#define LIFE_SIGMA  2.0
#define LOAD        0.9
#define DAYS_BEFORE 365.0
#define DAYS        (2 * 365.0)
#define LIVE_MAX    8192U

/* ---- ways to allocate ---- */

struct extents {
	struct alloc_extent *list; /* owned */
	size_t count;
};

struct policy {
	const char *name;
	struct alloc *alloc; /* ours; NULL: the bitmap */
	bool next_fit;
	uint32_t rover;
	uint8_t *used; /* a byte for each block */
	uint32_t free;
};

/* Behind the others; adjoining ones become one. */
static void add_extent(struct extents *x, uint64_t block, uint32_t count)
{
	struct alloc_extent *last = x->count > 0 ? &x->list[x->count - 1] : NULL;

	if (last && last->block + last->count == block) {
		last->count += count;
		return;
	}
	struct alloc_extent *list = reallocarray(x->list, x->count + 1, sizeof(*list));

	if (!list)
		err(EXIT_FAILURE, "extents");
	x->list = list;
	list[x->count++] = (struct alloc_extent){.block = block, .count = count};
}

static void mark(struct policy *p, uint64_t block, uint32_t count, bool used)
{
	memset(p->used + block, used, count);
	p->free = used ? p->free - count : p->free + count;
}

/* The first free run from *at on, at most max long; 0 if there is none before end. */
static uint32_t next_run(const struct policy *p, uint32_t *at, uint32_t end, uint32_t max)
{
	const uint8_t *from = memchr(p->used + *at, 0, end - *at), *to;
	uint32_t room;

	if (!from)
		return 0;
	*at = (uint32_t)(from - p->used);
	room = end - *at < max ? end - *at : max;
	to = memchr(from, 1, room);
	return to ? (uint32_t)(to - from) : room;
}

/* A run that takes all, in [at, end). */
static bool take_run(
	struct policy *p, uint32_t at, uint32_t end, uint32_t blocks, struct extents *x)
{
	uint32_t length;

	while (at < end && (length = next_run(p, &at, end, blocks)) > 0) {
		if (length == blocks) {
			add_extent(x, at, blocks);
			mark(p, at, blocks, true);
			p->rover = at + blocks;
			return true;
		}
		at += length;
	}
	return false;
}

/* Run by run, in [at, end); how much is left to be found. */
static uint32_t take_pieces(
	struct policy *p, uint32_t at, uint32_t end, uint32_t blocks, struct extents *x)
{
	uint32_t length;

	while (blocks > 0 && at < end && (length = next_run(p, &at, end, blocks)) > 0) {
		add_extent(x, at, length);
		mark(p, at, length, true);
		blocks -= length;
		at += length;
		p->rover = at;
	}
	return blocks;
}

/* Whole groups, one by one; false if there are too few. */
static bool take_groups(struct policy *p, uint32_t blocks, struct extents *x)
{
	uint32_t groups = POOL_BLOCKS / GROUP, first = p->next_fit ? p->rover / GROUP : 0,
		 found = 0;

	for (uint32_t n = 0; n < groups && found < blocks; n++) {
		uint32_t at = (first + n) % groups * GROUP;

		if (memchr(p->used + at, 1, GROUP))
			continue;
		add_extent(x, at, GROUP);
		found += GROUP;
	}
	if (found < blocks) {
		free_pointerp(&x->list);
		x->count = 0;
		return false;
	}
	for (size_t n = 0; n < x->count; n++)
		mark(p, x->list[n].block, x->list[n].count, true);
	return true;
}

static bool take_from_bitmap(struct policy *p, uint32_t blocks, bool insists, struct extents *x)
{
	uint32_t from = p->next_fit ? p->rover % POOL_BLOCKS : 0;

	if (insists)
		return take_groups(p, blocks, x);
	if (take_run(p, from, POOL_BLOCKS, blocks, x) || take_run(p, 0, POOL_BLOCKS, blocks, x))
		return true;
	blocks = take_pieces(p, from, POOL_BLOCKS, blocks, x);
	return take_pieces(p, 0, POOL_BLOCKS, blocks, x) == 0;
}

static bool take(struct policy *p, uint32_t blocks, bool insists, struct extents *x)
{
	*x = (struct extents){.list = NULL};
	if (!p->alloc)
		return take_from_bitmap(p, blocks, insists, x);
	if (alloc_plan(p->alloc, blocks, insists ? ALLOC_UNIT_1G : ALLOC_UNIT_AUTO, &x->list,
		    &x->count) < 0)
		return false;
	for (size_t n = 0; n < x->count; n++)
		alloc_claim(p->alloc, &x->list[n]);
	p->free -= blocks;
	return true;
}

static void give(struct policy *p, const struct alloc_extent *e)
{
	if (p->alloc) {
		alloc_release(p->alloc, e);
		p->free += e->count;
	} else {
		mark(p, e->block, e->count, false);
	}
}

static void policy_init(struct policy *p)
{
	struct alloc_region r = {.blocks = POOL_BLOCKS, .data_blocks = POOL_BLOCKS};

	p->free = POOL_BLOCKS;
	p->rover = 0;
	if (strcmp(p->name, "ours") != 0) {
		p->used = calloc(POOL_BLOCKS, 1);
	} else {
		p->alloc = alloc_new();
		if (p->alloc && alloc_add_region(p->alloc, &r) < 0)
			p->alloc = alloc_free(p->alloc);
	}
	if (!p->used && !p->alloc)
		err(EXIT_FAILURE, "the pool");
}

static void policy_deinit(struct policy *p)
{
	p->alloc = alloc_free(p->alloc);
	free_pointerp(&p->used);
}

/* ---- VMs ---- */

struct vm {
	double ends, resized; /* days; resized: 0 never (again) */
	uint32_t blocks;
	bool insists;
	struct extents memory;
};

struct host {
	struct policy *policy;
	uint64_t random;
	struct vm live[LIVE_MAX];
	unsigned count;
	/* from DAYS_BEFORE on */
	uint64_t asked, failed, files, extents, blocks, on_groups;
};

static double next_uniform(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return ((double)(*random >> 11) + 0.5) / 9007199254740992.0;
}

static double next_normal(uint64_t *random)
{
	double radius = sqrt(-2.0 * log(next_uniform(random)));

	return radius * cos(2.0 * M_PI * next_uniform(random));
}

static uint32_t next_size(uint64_t *random)
{
	double size = SIZE_MEDIAN * exp(SIZE_SIGMA * next_normal(random));

	return (uint32_t)fmin(fmax(size, VM_MIN), VM_MAX);
}

static double mean_load(void)
{
	uint64_t random = 88172645463325252U; /* the mean of sizes that are clipped: counted */
	double sum = 0;

	for (unsigned n = 0; n < 100000; n++)
		sum += next_size(&random);
	return sum / 100000 * LIFE_MEDIAN * exp(LIFE_SIGMA * LIFE_SIGMA / 2) / POOL_BLOCKS;
}

/* Whole groups that lie in the file as they lie in memory, so that one page table entry maps each.
 */
static uint64_t blocks_on_groups(const struct vm *vm)
{
	uint64_t file_block = 0, sum = 0;

	for (size_t n = 0; n < vm->memory.count; n++) {
		const struct alloc_extent *e = &vm->memory.list[n];
		uint64_t first = (e->block + GROUP - 1) / GROUP * GROUP;
		uint64_t end = (e->block + e->count) / GROUP * GROUP;

		if (file_block % GROUP == e->block % GROUP && end > first)
			sum += end - first;
		file_block += e->count;
	}
	return sum;
}

static void take_stock(struct host *h)
{
	for (unsigned n = 0; n < h->count; n++) {
		h->files++;
		h->extents += h->live[n].memory.count;
		h->blocks += h->live[n].blocks;
		h->on_groups += blocks_on_groups(&h->live[n]);
	}
}

static void end_vm(struct host *h, unsigned n)
{
	for (size_t i = 0; i < h->live[n].memory.count; i++)
		give(h->policy, &h->live[n].memory.list[i]);
	free(h->live[n].memory.list);
	h->live[n] = h->live[--h->count];
}

static void shrink_vm(struct host *h, struct vm *vm, uint32_t blocks)
{
	for (struct extents *x = &vm->memory; vm->blocks > blocks;) {
		struct alloc_extent *last = &x->list[x->count - 1], piece = *last;
		uint32_t excess = vm->blocks - blocks;

		if (piece.count > excess) {
			piece.block += piece.count - excess;
			piece.count = excess;
		}
		last->count -= piece.count;
		x->count -= last->count == 0;
		vm->blocks -= piece.count;
		give(h->policy, &piece);
	}
}

static void grow_vm(struct host *h, struct vm *vm, uint32_t blocks, bool counted)
{
	uint32_t more = blocks - vm->blocks;
	struct extents x;

	if (h->policy->free < more)
		return;
	h->asked += counted;
	if (!take(h->policy, more, vm->insists, &x)) {
		h->failed += counted;
		return;
	}
	for (size_t n = 0; n < x.count; n++)
		add_extent(&vm->memory, x.list[n].block, x.list[n].count);
	vm->blocks = blocks;
	free(x.list);
}

static void resize_vm(struct host *h, struct vm *vm, bool counted)
{
	double factor = exp((next_uniform(&h->random) - 0.5) * 2 * M_LN2); /* half to double */
	uint32_t blocks = (uint32_t)fmin(fmax(vm->blocks * factor, VM_MIN), VM_MAX);

	vm->resized = 0;
	if (vm->insists)
		blocks = (blocks + GROUP - 1) / GROUP * GROUP;
	if (blocks < vm->blocks)
		shrink_vm(h, vm, blocks);
	else if (blocks > vm->blocks)
		grow_vm(h, vm, blocks, counted);
}

static void begin_vm(struct host *h, double now, bool counted)
{
	struct vm vm = {.blocks = next_size(&h->random)};
	double life = LIFE_MEDIAN * exp(LIFE_SIGMA * next_normal(&h->random));

	vm.insists = next_uniform(&h->random) < 1.0 / 3 && vm.blocks >= GROUP;
	vm.ends = now + life;
	vm.resized = next_uniform(&h->random) < 0.1 ? now + life * next_uniform(&h->random) : 0;
	if (vm.insists)
		vm.blocks = (vm.blocks + GROUP - 1) / GROUP * GROUP;
	if (h->policy->free < vm.blocks || h->count == LIVE_MAX)
		return;
	h->asked += counted;
	if (take(h->policy, vm.blocks, vm.insists, &vm.memory))
		h->live[h->count++] = vm;
	else
		h->failed += counted;
}

static void live(struct host *h, double arrivals_a_day)
{
	double now = 0, stock = DAYS_BEFORE;

	while (now < DAYS) {
		bool counted = now >= DAYS_BEFORE;

		now += -log(next_uniform(&h->random)) / arrivals_a_day;
		for (unsigned n = h->count; n-- > 0;) {
			if (h->live[n].ends <= now)
				end_vm(h, n);
			else if (h->live[n].resized > 0 && h->live[n].resized <= now)
				resize_vm(h, &h->live[n], counted);
		}
		begin_vm(h, now, counted);
		if (now >= stock) {
			take_stock(h);
			stock += 1.0;
		}
	}
}

/* ---- reports ---- */

struct figures {
	double share[BENCH_REPEATS], extents[BENCH_REPEATS], failed[BENCH_REPEATS];
};

static void measure(struct policy *p, struct figures *f, unsigned n, double arrivals_a_day)
{
	struct host *h = calloc(1, sizeof(*h));

	if (!h)
		err(EXIT_FAILURE, "the host");
	policy_init(p);
	h->policy = p;
	h->random = 0x9e3779b97f4a7c15U * (n + 1);
	live(h, arrivals_a_day);
	f->share[n] = 100.0 * (double)h->on_groups / (double)h->blocks;
	f->extents[n] = (double)h->extents / (double)h->files;
	f->failed[n] = 100.0 * (double)h->failed / (double)h->asked;
	while (h->count > 0)
		end_vm(h, 0);
	policy_deinit(p);
	free(h);
}

static void report(const struct policy *p, const char *what, const char *unit, const double *sample)
{
	char name[96];
	struct bench b = {.suite = "churn", .name = name, .unit = unit};

	(void)snprintf(name, sizeof(name), "%s, %s", what, p->name);
	memcpy(b.sample, sample, sizeof(b.sample));
	bench_report(&b);
}

int main(void)
{
	struct policy policies[] = {
		{.name = "ours"}, {.name = "first fit"}, {.name = "next fit", .next_fit = true}};
	static struct figures figures[ARRAY_SIZE(policies)];
	double arrivals_a_day = LOAD / mean_load();

	for (size_t i = 0; i < ARRAY_SIZE(policies); i++)
		for (unsigned n = 0; n < BENCH_REPEATS; n++)
			measure(&policies[i], &figures[i], n, arrivals_a_day);
	for (size_t i = 0; i < ARRAY_SIZE(policies); i++)
		report(&policies[i], "bytes on 1 GiB units", "%", figures[i].share);
	for (size_t i = 0; i < ARRAY_SIZE(policies); i++)
		report(&policies[i], "extents of a file", "", figures[i].extents);
	for (size_t i = 0; i < ARRAY_SIZE(policies); i++)
		report(&policies[i], "failed of those there was room for", "%", figures[i].failed);
	return EXIT_SUCCESS;
}
