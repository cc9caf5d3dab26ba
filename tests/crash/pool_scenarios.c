// SPDX-License-Identifier: MIT
#include "pool_scenarios.h"

#include "random_bytes.h"
#include "util/cleanup.h"

/* ---- how they begin ---- */

static const uint64_t small[POOL_REGIONS] = {5, 4};

static int make_blank(struct pool_world *w, struct problem *why)
{
	(void)why;
	pool_world_resize(w, small);
	return 0;
}

static int make_formatted(struct pool_world *w, struct problem *why)
{
	pool_world_resize(w, small);
	random_bytes_restart(10);
	return pool_world_format(w, why);
}

static int make_used(struct pool_world *w, struct problem *why)
{
	int r = make_formatted(w, why);

	if (r == 0)
		r = pool_world_mount(w, why);
	return r < 0 ? r : pool_world_change(w, why);
}

static int make_rebooted(struct pool_world *w, struct problem *why)
{
	int r = make_used(w, why);

	w->boot_id[0]++;
	return r;
}

static int make_larger(struct pool_world *w, struct problem *why)
{
	static const uint64_t larger[POOL_REGIONS] = {7, 6};
	int r = make_used(w, why);

	pool_world_resize(w, larger);
	return r;
}

static int make_second_larger(struct pool_world *w, struct problem *why)
{
	static const uint64_t larger[POOL_REGIONS] = {5, 8};
	int r = make_used(w, why);

	pool_world_resize(w, larger);
	return r;
}

const struct pool_scenario pool_scenarios[] = {
	{"format of blank regions", make_blank, pool_world_format, true, false},
	{"format over a pool", make_used, pool_world_format, true, false},
	{"the first mount", make_formatted, pool_world_mount, false, false},
	{"a mount after a boot", make_rebooted, pool_world_mount, false, false},
	{"growing both regions", make_larger, pool_world_grow, true, true},
	{"growing the second region", make_second_larger, pool_world_grow, true, true},
};
const size_t pool_scenario_count = ARRAY_SIZE(pool_scenarios);

/* ---- broken on purpose ---- */

#define LAST_REGION (POOL_REGIONS - 1)

static bool is_super(uint64_t at)
{
	return at == GM_SUPER_A_OFFSET || at == GM_SUPER_B_OFFSET;
}

static bool is_stamp(uint64_t at)
{
	return at % GM_BLOCK_SIZE == GM_STAMP_OFFSET;
}

static bool is_first_stamp(uint64_t at)
{
	return is_stamp(at) && at % pool_world_offset(1, 0) < GM_BLOCK_SIZE;
}

static bool is_wiping(uint64_t at, const void *from)
{
	return is_stamp(at) && *(const char *)from == '\0';
}

static void supers_after_first_stamps(
	struct recorder *r, uint64_t at, const void *from, uint64_t length)
{
	if (is_super(at)) {
		fault_hold(r, at, from, length);
		return;
	}
	recorder_copy(r, at, from, length);
	recorder_flush(r, at, length);
	if (is_first_stamp(at) && at > pool_world_offset(LAST_REGION, 0))
		fault_let_go(r);
}

static void supers_after_wiping(struct recorder *r, uint64_t at, const void *from, uint64_t length)
{
	if (is_super(at) || is_first_stamp(at)) {
		fault_hold(r, at, from, length);
		return;
	}
	recorder_copy(r, at, from, length);
	recorder_flush(r, at, length);
	if (is_wiping(at, from) && at > pool_world_offset(LAST_REGION, 0))
		fault_let_go(r);
}

static void last_stamps_after_supers(
	struct recorder *r, uint64_t at, const void *from, uint64_t length)
{
	if (is_first_stamp(at))
		fault_let_go(r);
	if (is_stamp(at) && !is_first_stamp(at) && !is_wiping(at, from))
		fault_hold(r, at, from, length);
	else
		recorder_copy(r, at, from, length);
}

static void no_flush_of_stamps(struct recorder *r, uint64_t at, uint64_t length)
{
	if (!is_stamp(at))
		recorder_flush(r, at, length);
}

static void no_stamp_of_second_region(
	struct recorder *r, uint64_t at, const void *from, uint64_t length)
{
	if (!is_stamp(at) || at < pool_world_offset(LAST_REGION, 0))
		recorder_copy(r, at, from, length);
}

const struct pool_fault pool_faults[] = {
	{"growing both regions", {"first stamps of the new size before the superblocks", NULL,
					 "done again it fails", .copy = supers_after_first_stamps}},
	{"growing both regions", {"the old last stamps wiped before the superblocks", NULL,
					 "done again it fails", .copy = supers_after_wiping}},
	{"growing both regions", {"superblocks before the new last stamps", NULL,
					 "done again it fails", .copy = last_stamps_after_supers}},
	{"a mount after a boot",
		{"stamps that are not written back", NULL, "stamp", .flush = no_flush_of_stamps}},
	{"a mount after a boot", {"a region whose stamps are forgotten", NULL, "stamp",
					 .copy = no_stamp_of_second_region}},
};
const size_t pool_fault_count = ARRAY_SIZE(pool_faults);
