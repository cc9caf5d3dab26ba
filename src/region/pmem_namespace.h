/* SPDX-License-Identifier: MIT */
/* Making the devdax namespace that a pmem region is used through. */
#ifndef GM_REGION_PMEM_NAMESPACE_H
#define GM_REGION_PMEM_NAMESPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "region/pmem_find.h"

/*
 * Turns a namespace ("namespace0.0") into devdax with mappings of align bytes and the struct pages
 * in ordinary RAM. Without force only a raw one whose first and last MiB are zero: -EEXIST with a
 * sentence about what there is. -EBUSY mounted or open. What was found of it before is void.
 */
int pmem_namespace_make(const char *name, uint64_t align, bool force, struct problem *why);

#endif
