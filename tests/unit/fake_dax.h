/* SPDX-License-Identifier: MIT */
/*
 * A /dev, /run and /sys of the test's own, with a soft region in it whose attributes are files:
 * what was written to them shows what the kernel would have been told. The region has one device of
 * ours.
 */
#ifndef GM_TESTS_FAKE_DAX_H
#define GM_TESTS_FAKE_DAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "region/soft_device.h"

#define START  (4ULL << 30)
#define BLOCK  (2ULL << 20)
#define REGION "/sys/devices/fake" /* of the number 7 */
#define BUS    "/sys/bus/dax"

extern const struct soft_range two[2];   /* of the device that is there */
extern const struct soft_range other[1]; /* as many blocks, but others */

extern struct soft_device device; /* dax7.3, as it was found */
extern char node[SOFT_DEVICE_NODE];

/* For a TestSuite, each test in a mount namespace where nobody else sees it; skips where that can't
 * be. */
void fake_dax_set_up(void);
void fake_dax_tear_down(void);

/* ---- the kernel's files ---- */

void write_file(const char *path, const char *text);
void write_number(const char *directory, const char *name, uint64_t number);

/* Does the file say this, and nothing else? */
bool was_written(const char *path, const char *wanted);

void remove_tree(const char *path);

/* ---- devices dax7.<id> ---- */

/* As daxctl or we make it, not bound; count: of its ranges. */
void make_device(unsigned id, const struct soft_range *ranges, size_t count);
void remove_device(unsigned id);

/* A further range of one, at so many blocks from its start. */
void add_mapping(unsigned id, unsigned number, const struct soft_range *r, uint64_t at);

void bind_device(unsigned id);
void unbind_device(unsigned id);

/* Notes it as one that we have made. */
void note_ours(unsigned id);

/* A device as a list shows it; its ranges are the test's to free. */
struct soft_device find(unsigned id);

#endif
