/* SPDX-License-Identifier: MIT */
/*
 * What the BPF program (counts.bpf.c) is asked and answers: one structure in memory that both
 * share. Some ranges of one device a run; a device with more takes several runs.
 */
#ifndef GM_COUNTS_JOB_H
#define GM_COUNTS_JOB_H

#include <stdint.h>

/* Ranges of one run. */
#define COUNTS_JOB_RANGES 256U
/* Pages (of the device's align) of one range: what bpf_loop() takes, 16 TiB of 2 MiB pages. */
#define COUNTS_JOB_PAGES (1U << 23)

enum counts_job_status {
	COUNTS_JOB_UNDONE, /* the program has not come to its end */
	COUNTS_JOB_DONE,
	COUNTS_JOB_NO_SYMBOL,    /* where the kernel's struct pages begin is not to be found */
	COUNTS_JOB_NO_LAYOUT,    /* this kernel's struct page is not one that we know */
	COUNTS_JOB_NO_DEVICE,    /* the descriptor is not that of an open character device */
	COUNTS_JOB_NO_PAGES,     /* there are no struct pages at .at */
	COUNTS_JOB_NOT_COMPOUND, /* those at .at are not one compound page of the align */
	COUNTS_JOB_UNREADABLE,   /* a structure of the kernel could not be read */
};

struct counts_job {
	/* The question. */
	int32_t fd; /* of the device, in the process that runs the program */
	uint32_t range_count;
	uint64_t page_size; /* the device's align, bytes; starts and sizes are multiples of it */
	uint32_t idle;      /* pages with more references than this are busy */
	/* The answer. */
	uint32_t status;
	uint64_t at;   /* physical address of the page looked at last */
	uint32_t cdev; /* references to the device: one more for each open file of it */
	uint32_t page_min, page_max;
	uint32_t reserved;
	uint64_t busy_pages;
	uint64_t first_busy;
	/* More of the question. */
	struct {
		uint64_t start, size; /* physical, bytes */
	} ranges[COUNTS_JOB_RANGES];
};

#endif
