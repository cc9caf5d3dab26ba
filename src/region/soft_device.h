/* SPDX-License-Identifier: MIT */
/*
 * The devices of a soft region: memory that the kernel's dax_hmem holds, and that is cut at run
 * time into devdax devices over exactly the blocks that are asked for. The region is named by its
 * physical start. Everything goes through sysfs, not libdaxctl, which reads all devices of the host
 * whatever it is asked: what is made in the blackout of a kexec must not cost more the more there
 * is.
 *
 * The rules of the kernel that this file keeps, so that no caller can break them: a device gets its
 * ranges before it is bound and never again; it is bound once, and deleted, never bound anew (an
 * old descriptor would come back to life); starts are multiples of the align (the kernel checks
 * lengths only, and would reach another device's memory); every number is read back from the
 * kernel.
 *
 * The devices of a region are gone after every boot, the bytes are not.
 * /run/guestmemfs/.soft-START, which goes with them, says which ones are ours; it is also the lock
 * under which each of these functions works. The kernel's own first device of the region (seed)
 * can't be deleted and is never ours; whatever else others have made is listed and never changed.
 *
 * Root may remove a device of ours and make another, which has its name and number then; or change
 * its ranges; or unbind it and bind it again, so that its pages have new counts, whoever has them
 * pinned. So a device is never taken for ours, opened, given to somebody or taken away by its
 * name: what sysfs shows of it must be what it was made as (identity). The kernel takes orders by
 * name, too: each one is given right after a look at what has the name.
 *
 * Functions return 0 or a negative errno with a sentence. All of them may take a tenth of a second
 * and more (binding sets up the struct pages): not for an event loop.
 */
#ifndef GM_REGION_SOFT_DEVICE_H
#define GM_REGION_SOFT_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/problem.h"

struct soft_range { /* blocks of the region, in the order of the device's offsets */
	uint64_t block;
	uint32_t count;
};

struct soft_device {
	unsigned region_id, id; /* as in /dev/dax<region_id>.<id>; come back after a removal */
	uint64_t align;         /* page size of its mappings, bytes */
	uint64_t size;          /* bytes */
	dev_t rdev;             /* of its node */
	uint64_t instance;      /* this device and no other of its name (dax_sysfs.h) */
	uint64_t identity;      /* ... with these ranges, size, align, driver; 0: it was changing */
	bool bound;             /* to a driver: device_dax, or kmem */
	bool kmem;              /* its memory is the kernel's System RAM, or about to be */
	bool ours;              /* made by soft_device_create() in this boot, and as it was made */
	bool exported;          /* others could open its node in this boot: never removed in it */
	bool retiring;          /* exported once, and to be retired, or retired */
	bool retired;           /* unbound, without memory, of no more use */
	bool window;            /* no descriptor of it ever leaves who made it */
	bool seed;              /* the region's first device */
	bool metadata;          /* over the region's first or last block, which no file owns */
	/* Of a device that others made with another granule: the blocks that it touches. */
	struct soft_range *ranges; /* owned */
	size_t range_count;
};

#define SOFT_DEVICE_NULL ((struct soft_device){.ranges = NULL})

void soft_device_deinit(struct soft_device *d);

/*
 * Every device of the region, the metadata device and the seed among them, by ascending id; to be
 * given to soft_device_list_free(). What a crash has left half made, or half taken away, is removed
 * before: the one device that is noted to be, if it is not bound and has no other ranges than ours.
 * -ENODEV no such region.
 */
int soft_device_list(
	uint64_t region_start, struct soft_device **ret, size_t *count, struct problem *why);

/*
 * Has a device of ours gone since the boot, or become another one, without us? Then nobody can tell
 * by its counts any more who reaches the memory that it had. To be asked after soft_device_list(),
 * which finds it out. 1, 0 or a negative errno with a sentence.
 */
int soft_device_has_lost(uint64_t region_start, struct problem *why);

void soft_device_list_free(struct soft_device *list, size_t count);

/*
 * Makes a device over these ranges, in this order, and binds it to device_dax; its node is root's,
 * mode 0600. align is 2M or 1G; start (physical) and length of every range are multiples of it.
 * Ranges that follow each other count as one. -EINVAL unaligned, empty, outside the region or twice
 * the same blocks; -EBUSY another device is over some of the blocks (named); -EIO the kernel's
 * numbers are not those asked for. On failure nothing is left behind.
 */
int soft_device_create(uint64_t region_start, const struct soft_range *ranges, size_t range_count,
	uint64_t align, struct soft_device *ret, struct problem *why);

/*
 * Unbinds, empties and deletes it: mappings that are left get SIGBUS. Only when nobody reaches its
 * pages any more: the kernel does not wait for pins. Not for one that was exported: -EBUSY. So does
 * a device of that id that is not this one any more; -EPERM not ours.
 */
int soft_device_remove(uint64_t region_start, const struct soft_device *d, struct problem *why);

/*
 * The same for one that was exported, but it is not deleted: until the next boot it stays without a
 * driver and without memory, so that neither its name nor its number is another device's one day,
 * which somebody would open by a copy of the node. Only while nobody can open it, either: once it
 * is unbound a copy of the node opens nothing. -EBUSY, -EPERM as above; -EIO the kernel still gives
 * it memory or a driver.
 */
int soft_device_retire(uint64_t region_start, const struct soft_device *d, struct problem *why);

/*
 * Is it there as it was when d was read, and bound? -ESTALE somebody has removed it, put another in
 * its place, given it other ranges or bound it anew; -ENXIO somebody has unbound it; with a
 * sentence. Waits for whoever binds or unbinds it, and for nothing else.
 */
int soft_device_check(const struct soft_device *d, struct problem *why);

/*
 * Opens its node, access O_RDONLY or O_RDWR; what was opened is this device as d has it. A
 * descriptor or a negative errno; -ESTALE it is not there any more, or not as it was.
 */
int soft_device_open(const struct soft_device *d, int access);

/*
 * Notes, for this boot, that others can open its node from now on, or make a copy of it: before
 * soft_device_set_owner() lets them. Never waits. Negative errno.
 */
int soft_device_note_exported(uint64_t region_start, struct soft_device *d);

/*
 * Notes, for this boot, that no descriptor of it will ever leave the caller, so that it may be
 * removed when he has ended. Until that is noted it counts as any other. Never waits. Negative
 * errno.
 */
int soft_device_note_window(uint64_t region_start, struct soft_device *d);

/*
 * Owner and permission bits of its node. Negative errno; -ESTALE as above: nothing was changed. It
 * can be closed (mode 0) as long as it is there, whatever ranges or driver it has by now.
 */
int soft_device_set_owner(const struct soft_device *d, uid_t uid, gid_t gid, mode_t mode);

/* "/dev/dax0.3". Returns buffer. */
#define SOFT_DEVICE_NODE 64
const char *soft_device_node(char buffer[SOFT_DEVICE_NODE], const struct soft_device *d);

/* True if it is over exactly these blocks in this order, however they are cut into ranges. */
bool soft_device_covers(
	const struct soft_device *d, const struct soft_range *ranges, size_t range_count);

#endif
