/* SPDX-License-Identifier: MIT */
/*
 * The gate: while a device is closed, nobody opens it, by whatever node of it and with whatever
 * privilege (gate.bpf.c says how). It is open again when this process ends.
 *
 * Making it takes CAP_BPF, CAP_PERFMON, CAP_SYSLOG and CAP_NET_ADMIN (the kernel's condition for
 * programs of control groups); using it takes no privilege.
 */
#ifndef GM_COUNTS_GATE_H
#define GM_COUNTS_GATE_H

#include "counts/gate_job.h"
#include "util/problem.h"

struct bpf_object;

struct counts_gate {
	struct bpf_object *object;
	int grace_fd, pass_fd;       /* of programs, the object's */
	int link, stay;              /* attached as long as they are open */
	struct counts_gate_job *job; /* mapped; NULL: there is no gate */
	struct problem why;          /* then: for this reason */
};

#define COUNTS_GATE_NULL ((struct counts_gate){.link = -1, .stay = -1})

/* Where it can't be had, the gate is there all the same, and says why when it is to be closed. */
void counts_gate_load(struct counts_gate *ret);
void counts_gate_unload(struct counts_gate *g);

/*
 * Closes these and opens all others, and waits until everybody who was about to open one has done
 * so or given up; for at most two seconds. -EOPNOTSUPP there is no gate; -EAGAIN somebody may still
 * be on his way to one of them. Nothing is closed after an error.
 */
int counts_gate_close(struct counts_gate *g, const struct counts_gate_device *devices,
	uint32_t count, struct problem *why);
void counts_gate_open(struct counts_gate *g);

#endif
