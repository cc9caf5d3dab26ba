/* SPDX-License-Identifier: MIT */
/*
 * What a client is given: a descriptor for each device, opened anew for this grant, and the
 * extents, in the message or in a sealed memfd. The helper keeps no copy: a handout is sent and
 * then deinitialized.
 */
#ifndef GM_HELPER_HANDOUT_H
#define GM_HELPER_HANDOUT_H

#include "guestmemfs/protocol.h"
#include "helper/device_list.h"
#include "helper/record.h"
#include "region/region.h"

struct handout {
	struct gm_grant message;           /* its header is the sender's to fill */
	int fds[GM_GRANT_DEVICES_MAX + 1]; /* owned */
	size_t nfds;
};

/*
 * Opens and fills. access is a combination of GM_ACCESS_*; the extents have been checked. Negative
 * errno: the helper lacks memory or descriptors.
 */
int handout_init(struct handout *h, const struct region *regions,
	const struct record_extent *extents, size_t count, uint32_t access);

/*
 * The same for a file on devices of its own, of which those that the extents need are handed out.
 * -E2BIG more devices than a grant can carry, -ENXIO a block that no device has, -ESTALE and others
 * of open(2): a device that can't be opened.
 */
int handout_init_devices(struct handout *h, const struct device_list *devices,
	const struct record_extent *extents, size_t count, uint32_t access);
void handout_deinit(struct handout *h);

#endif
