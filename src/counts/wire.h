/* SPDX-License-Identifier: MIT */
/*
 * Between a helper and its guestmemfs-counts: a SOCK_SEQPACKET socketpair, one message a packet,
 *exact sizes, integers little-endian, reserved fields zero. A message that is not as it should be,
 *or out of turn, ends the process.
 *
 *	counts -> helper	READY
 *	helper -> counts	DEVICE (with one descriptor), RANGES until range_count have come
 *	counts -> helper	READING or FAILED, once for each DEVICE
 *	helper -> counts	CLOSE
 *	counts -> helper	CLOSED or FAILED, once for each CLOSE
 *	counts -> helper	FAILED with the id 0, at any time: the process ends, for this reason
 */
#ifndef GM_COUNTS_WIRE_H
#define GM_COUNTS_WIRE_H

#include <assert.h>
#include <stdbool.h>

#include "counts/gate_job.h"
#include "counts/job.h"
#include "guestmemfs/types.h"

#define COUNTS_WIRE_VERSION 2U
#define COUNTS_FD           3          /* of the socket in the process */
#define COUNTS_RANGES_TOTAL (1U << 23) /* of a device, at most: a 16 TiB file of single blocks */

#define COUNTS_PHYSICAL_MAX (1ULL << 52) /* what a page table's entry of x86 has room for */

/* What both sides ask of a range. */
static inline bool counts_range_is_good(uint64_t start, uint64_t size, uint64_t align)
{
	return size > 0 && start % align == 0 && size % align == 0 && start < COUNTS_PHYSICAL_MAX &&
	       size <= COUNTS_PHYSICAL_MAX - start && size / align <= COUNTS_JOB_PAGES;
}

enum counts_opcode {
	COUNTS_DEVICE = 1,
	COUNTS_RANGES = 3,
	COUNTS_READY = 2,
	COUNTS_READING = 4,
	COUNTS_CLOSE = 5,
	COUNTS_FAILED = 6,
	COUNTS_CLOSED = 8,
};

struct counts_header {
	gm_le32 size; /* of the whole message */
	gm_le16 opcode;
	gm_le16 reserved;
	gm_le64 id; /* of the DEVICE or CLOSE, not 0; of READY, and of a process that ends: 0 */
};
static_assert(sizeof(struct counts_header) == 16, "wire");

struct counts_ready {
	struct counts_header header;
	gm_le32 version;
	gm_le32 reserved;
};
static_assert(sizeof(struct counts_ready) == 24, "wire");

struct counts_device { /* with the device's descriptor, open nowhere else */
	struct counts_header header;
	gm_le64 align;       /* bytes: 2 MiB or 1 GiB */
	gm_le32 range_count; /* 1 to COUNTS_RANGES_TOTAL */
	gm_le32 idle_page;   /* pages with more references are counted; UINT32_MAX: none */
};
static_assert(sizeof(struct counts_device) == 32, "wire");

struct counts_ranges {
	struct counts_header header;
	gm_le32 count; /* COUNTS_JOB_RANGES, in the last message what is left; the others are zero
			*/
	gm_le32 reserved;
	struct {
		gm_le64 start, size; /* physical, bytes, multiples of align */
	} ranges[COUNTS_JOB_RANGES];
};
static_assert(sizeof(struct counts_ranges) == 24 + 16 * COUNTS_JOB_RANGES, "wire");

struct counts_close { /* nobody opens these, until the next one of these messages */
	struct counts_header header;
	gm_le32 count; /* 0: everything is open again */
	gm_le32 reserved;
	struct {
		gm_le32 major, minor; /* of the device's number; behind the last: zero */
	} devices[COUNTS_GATE_DEVICES];
};
static_assert(sizeof(struct counts_close) == 24 + 8 * COUNTS_GATE_DEVICES, "wire");

struct counts_closed {
	struct counts_header header;
};
static_assert(sizeof(struct counts_closed) == 16, "wire");

struct counts_answer { /* READING */
	struct counts_header header;
	gm_le32 cdev;
	gm_le32 page_min, page_max;
	gm_le32 reserved;
	gm_le64 busy_pages;
	gm_le64 first_busy;
};
static_assert(sizeof(struct counts_answer) == 48, "wire");

struct counts_failed {
	struct counts_header header;
	gm_le32 error;
	gm_le32 reserved;
	char text[1000]; /* a sentence, ended by a zero byte */
};
static_assert(sizeof(struct counts_failed) == 1024, "wire");

#endif
