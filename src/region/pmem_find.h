/* SPDX-License-Identifier: MIT */
/* pmem regions as libndctl shows them: reserved RAM (memmap=N!S), NVDIMMs, virtio-pmem. */
#ifndef GM_REGION_PMEM_FIND_H
#define GM_REGION_PMEM_FIND_H

#include <daxctl/libdaxctl.h>
#include <ndctl/libndctl.h>
#include <stdbool.h>

#include "util/problem.h"

struct pmem_place {
	struct ndctl_ctx *ctx; /* owned */
	void *reserve;         /* owned; as long as the libraries may be called */
	struct ndctl_bus *bus;
	struct ndctl_region *region;
	struct ndctl_namespace *ns;
	struct daxctl_dev *dev; /* the namespace's devdax device; NULL if it has none */
};

#define PMEM_PLACE_NULL ((struct pmem_place){.ctx = NULL})

/*
 * libndctl and libdaxctl end the process by a signal where they have no memory; so they have a
 * reserve (util/reserve.h).
 *
 * name is "/dev/dax0.0", "namespace0.0" or "auto": the only devdax namespace, or else the only raw
 * one. -ENODEV nothing of that name (says what there is), -EINVAL several (all named), -EACCES not
 * root.
 */
int pmem_find(struct pmem_place *ret, const char *name, struct problem *why);
void pmem_place_deinit(struct pmem_place *p);

/* How many namespaces there are that "auto" looks at; negative errno. */
int pmem_count(struct problem *why);

/* Nobody's info block makes anything of it: a block device over the whole of it, as the kernel has
 * made it. (Its mode is no guide: that is "fsdax" then on reserved RAM.) */
bool pmem_is_raw(const struct pmem_place *p);

/* Ordinary RAM that the kernel's command line has made a pmem region of. */
bool pmem_is_reserved_ram(const struct pmem_place *p);

#endif
