/* SPDX-License-Identifier: MIT */
/*
 * What the BPF programs of the gate (gate.bpf.c) and the process that runs them share: one
 * structure in memory.
 */
#ifndef GM_COUNTS_GATE_JOB_H
#define GM_COUNTS_GATE_JOB_H

#include <stdint.h>

/* Devices that can be closed at a time. */
#define COUNTS_GATE_DEVICES 16U

enum counts_gate_status {
	COUNTS_GATE_UNDONE,    /* the program has not come to its end */
	COUNTS_GATE_DONE,      /* .grace is what the kernel says now */
	COUNTS_GATE_NO_SYMBOL, /* grace periods of tasks are not to be found */
	COUNTS_GATE_UNREADABLE,
};

struct counts_gate_device { /* its number */
	uint32_t major, minor;
};

struct counts_gate_job {
	/* The order. */
	uint32_t count; /* of the devices that nobody opens: the first ones of .closed */
	/* The answer. */
	uint32_t status;
	uint64_t grace; /* the kernel's number of the grace period: state in the two lowest bits */
	/* More of the order. */
	struct counts_gate_device closed[COUNTS_GATE_DEVICES];
};

#endif
