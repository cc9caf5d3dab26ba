// SPDX-License-Identifier: MIT
/*
 * The driver is there as a rule, and takes the device when it is told to. Where it is not, or wants
 * to be told first that such devices are its own, libdaxctl knows what to do; it takes its time,
 * since it reads all devices of the host for that.
 */
#include "region/soft_driver.h"

#include <daxctl/libdaxctl.h>
#include <errno.h>
#include <stdbool.h>
#include <syslog.h>

#include "util/cleanup.h"
#include "util/reserve.h"

#define LIBRARY_PATIENCE 4U

static struct daxctl_dev *find_device(struct daxctl_ctx *ctx, struct dax_id d)
{
	struct daxctl_region *region = NULL;
	struct daxctl_dev *dev = NULL;

	daxctl_region_foreach(ctx, region)
	{
		if ((unsigned)daxctl_region_get_id(region) != d.region)
			continue;
		daxctl_dev_foreach(region, dev)
		{
			if ((unsigned)daxctl_dev_get_id(dev) == d.id)
				return dev;
		}
	}
	return NULL;
}

/* Without memory it would end the process by a signal. */
static int bind_by_library_once(struct dax_id d, bool *seen)
{
	_cleanup_free_ void *reserve = reserve_memory();
	struct daxctl_ctx *ctx = NULL;
	int r = reserve ? daxctl_new(&ctx) : -ENOMEM;

	if (r < 0)
		return r;
	/* What it would say on stderr comes back as an error too, and then in a sentence. */
	daxctl_set_log_priority(ctx, LOG_EMERG);
	struct daxctl_dev *dev = find_device(ctx, d);
	*seen = dev != NULL;
	r = dev ? daxctl_dev_enable_devdax(dev) : -ENODEV;
	daxctl_unref(ctx);
	return r;
}

/* It looks at the host's devices once, and may miss this one while others go (dir_names.h). */
static int bind_by_library(struct dax_id d)
{
	unsigned patience = LIBRARY_PATIENCE;
	bool seen = false;
	int r;

	do
		r = bind_by_library_once(d, &seen);
	while (r == -ENODEV && !seen && dax_wait_passing(d, r, &patience) > 0);
	return r;
}

int soft_driver_bind(struct dax_id d, struct problem *why)
{
	char name[DAX_NAME];
	int r = dax_bind(d);

	if (r == -ENOENT || r == -ENODEV)
		r = bind_by_library(d);
	if (r < 0)
		return problem_errno(why, -r,
			"binding device %s to device_dax (is the module there?)",
			dax_name(name, d));
	return 0;
}
