// SPDX-License-Identifier: MIT
#include "fuse/instance.h"

#include <stdlib.h>
#include <unistd.h>

#include "fuse/mount.h"
#include "fuse/mountpoint.h"
#include "region/ledger.h"
#include "util/cleanup.h"

struct specs {
	struct region_spec list[GM_REGIONS_MAX];
	uint32_t count;
};

static void specs_deinit(struct specs *s)
{
	for (uint32_t i = 0; i < s->count; i++)
		region_spec_deinit(&s->list[i]);
	s->count = 0;
}

/* Something is made of a raw namespace only where a format is asked for. */
static unsigned open_flags(const struct options *o)
{
	unsigned flags = REGION_OPEN_CREATE;

	if (o->format != OPTIONS_FORMAT_NEVER)
		flags |= REGION_OPEN_NAMESPACE;
	if (o->format == OPTIONS_FORMAT_FORCE)
		flags |= REGION_OPEN_FORCE;
	return flags;
}

static int open_regions(struct instance *i, struct problem *why)
{
	_cleanup_(specs_deinit) struct specs specs = {.count = 0};
	const struct options *o = i->options;
	int r;

	for (size_t n = 0; n < o->region_count; n++) {
		r = region_spec_parse(&specs.list[n], o->regions[n], why);
		if (r < 0)
			return r;
		specs.count++;
	}
	if (specs.count == 0) {
		r = region_find_default(&specs.list[0], why);
		if (r < 0)
			return r;
		specs.count++;
	}
	return pool_open(&i->pool, specs.list, specs.count, open_flags(o), why);
}

static bool all_created(const struct pool *pool)
{
	for (uint32_t i = 0; i < pool->count; i++)
		if (!pool->created[i])
			return false;
	return true;
}

/* Whatever is not formatted here is the worker's to read, and to refuse. */
static int format_where_asked(struct instance *i, struct problem *why)
{
	struct pool_format format = {
		.root_uid = geteuid(),
		.root_gid = getegid(),
		.force = i->options->format == OPTIONS_FORMAT_FORCE,
		.force_option = "--format=force",
	};
	int r;

	if (!format.force && !all_created(&i->pool)) {
		struct problem what = PROBLEM_INIT;

		if (i->options->format == OPTIONS_FORMAT_NEVER)
			return 0;
		r = pool_is_blank(&i->pool, 0, &what);
		if (r < 0 && why)
			*why = what;
		if (r <= 0)
			return r;
	}
	return pool_format(&i->pool, &format, why);
}

static int name_it(struct instance *i, struct problem *why)
{
	const struct options *o = i->options;
	int r;

	i->privileged = geteuid() == 0;
	r = mountpoint_resolve(&i->mount_path, o->mount_point, why);
	if (r < 0)
		return r;
	i->name = o->name;
	return i->name ? 0 : options_default_name(&i->name, i->mount_path, why);
}

int instance_name(struct instance *ret, const struct options *options, struct problem *why)
{
	struct instance i = INSTANCE_NULL;
	int r;

	i.options = options;
	r = name_it(&i, why);
	if (r == 0)
		r = runtime_name(&i.runtime, i.name, options->socket, why);
	if (r < 0) {
		instance_forget(&i);
		return r;
	}
	*ret = i;
	return 0;
}

static int open_all(struct instance *i, unsigned lock_ms, struct problem *why)
{
	const struct options *o = i->options;
	int r = name_it(i, why);

	if (r == 0)
		r = mount_check_machine(i->privileged, why);
	if (r == 0)
		r = open_regions(i, why);
	if (r == 0)
		r = pool_lock(&i->pool, false, lock_ms, why);
	/* Only now: before, the mount there may have been a predecessor's that is just ending. */
	if (r == 0)
		r = mountpoint_prepare(i->mount_path, why);
	if (r == 0)
		r = runtime_make(&i->runtime, i->name, o->socket, why);
	if (r == 0)
		r = runtime_listen(&i->runtime, why);
	if (r == 0)
		r = format_where_asked(i, why);
	if (r == 0 && o->grow)
		r = pool_grow(&i->pool, why);
	/* The worker takes the regions as they are open here. */
	if (r == 0)
		r = pool_prepare(&i->pool, why);
	return r;
}

int instance_open(
	struct instance *ret, const struct options *options, unsigned lock_ms, struct problem *why)
{
	struct instance i = INSTANCE_NULL;
	int r;

	i.options = options;
	r = open_all(&i, lock_ms, why);
	if (r < 0) {
		instance_discard(&i);
		instance_close(&i);
		return r;
	}
	*ret = i;
	return 0;
}

void instance_discard(struct instance *i)
{
	pool_discard_created(&i->pool);
}

void instance_close(struct instance *i)
{
	for (uint32_t n = 0; i->runtime.base && n < i->pool.count; n++)
		ledger_tidy(&i->pool.regions[n], i->runtime.base);
	runtime_remove(&i->runtime);
	instance_forget(i);
}

void instance_forget(struct instance *i)
{
	runtime_deinit(&i->runtime);
	/* Last: with it goes the lock, for which a successor may be waiting. */
	pool_close(&i->pool);
	free(i->mount_path);
	*i = INSTANCE_NULL;
}
