/* SPDX-License-Identifier: MIT */
/*
 * The kernel's dax devices as sysfs shows them (its Documentation/ABI/testing/sysfs-bus-dax), by
 * the numbers in their names: dax<region>.<id>. Nothing is remembered: each call asks the kernel,
 * and only for what it is about. 0 or a negative errno, without a sentence.
 */
#ifndef GM_REGION_DAX_SYSFS_H
#define GM_REGION_DAX_SYSFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct dax_id {
	unsigned region;
	unsigned id;
};

/* "dax0.3". Returns buffer. */
#define DAX_NAME 32
const char *dax_name(char buffer[DAX_NAME], struct dax_id d);

/*
 * All devices on the bus, in no order; to be freed. None at all where there is no such bus. Some
 * may be gone by then. dax_list_once() is quicker where there are many, but may leave some out
 * while others are removed (dir_names.h).
 */
int dax_list(struct dax_id **ret, size_t *count);
int dax_list_once(struct dax_id **ret, size_t *count);

/* 1, 0, or a negative errno if that can't be told. */
int dax_exists(struct dax_id d);

/*
 * A device's files go before its name does, and a moment later the name may be another one's
 * (device_del() and bus_remove_device(), drivers/base of Linux); a mapping's go by themselves. So
 * what could not be read is either gone, or can be read soon. 0: it is gone, or was a moment ago,
 * whatever has its name now. 1: it is to be read again; a moment has been waited, and *patience is
 * smaller. Else the error: it is of another kind, or there is no patience left. -EAGAIN, which the
 * kernel does not say, is for what was another one at the end of a reading than at its beginning.
 */
#define DAX_PATIENCE 200U /* moments of 10 ms */
int dax_wait_passing(struct dax_id d, int error, unsigned *patience);

/* The directory of the region that the device belongs to. */
#define DAX_PATH 512
int dax_region_path(char ret[DAX_PATH], struct dax_id d);
int dax_region_get(const char *region_path, const char *attribute, uint64_t *ret);

/* Makes a device in the region and says which one the kernel calls the last one made. */
int dax_region_create(const char *region_path, struct dax_id *ret);
int dax_region_delete(const char *region_path, struct dax_id d);

int dax_get(struct dax_id d, const char *attribute, uint64_t *ret);
int dax_get_node(struct dax_id d, int *ret); /* NUMA node, -1: none */
int dax_get_rdev(struct dax_id d, dev_t *ret);

/*
 * Names and device numbers come back; these do not, in this boot: sysfs gives no directory the
 * number of another one that was there before. The instance is that of the device, from its making
 * to its end, whatever is done to it. The identity changes with its ranges, size and page size too,
 * and whenever it gets a driver or loses one: then its pages get new counts. Neither is ever 0.
 */
int dax_get_instance(struct dax_id d, uint64_t *ret);
int dax_get_identity(struct dax_id d, uint64_t *ret);

int dax_put(struct dax_id d, const char *attribute, const char *text);

/* The name of its driver, "" if it has none. */
int dax_get_driver(struct dax_id d, char ret[DAX_NAME]);
int dax_bind(struct dax_id d); /* to device_dax; -ENOENT: there is no such driver */
int dax_unbind(struct dax_id d);

struct dax_mapping {
	uint64_t page_offset;
	uint64_t start; /* physical, bytes */
	uint64_t end;   /* the byte behind it */
};

/* In the order of the device's offsets; to be freed. */
int dax_get_mappings(struct dax_id d, struct dax_mapping **ret, size_t *count);

#endif
