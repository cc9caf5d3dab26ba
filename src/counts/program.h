/* SPDX-License-Identifier: MIT */
/*
 * The BPF program (counts.bpf.c) in the kernel, and the memory through which it is asked. Loading
 * takes CAP_BPF, CAP_PERFMON and CAP_SYSLOG; running it takes no privilege.
 */
#ifndef GM_COUNTS_PROGRAM_H
#define GM_COUNTS_PROGRAM_H

#include "counts/job.h"
#include "util/problem.h"

struct bpf_object;

struct counts_program {
	struct bpf_object *object;
	int fd;                 /* of the program, the object's */
	struct counts_job *job; /* mapped; in the kernel it lies by itself */
};

#define COUNTS_PROGRAM_NULL ((struct counts_program){.fd = -1})

/* -EOPNOTSUPP with the reason, as far as the kernel tells it. */
int counts_program_load(struct counts_program *ret, struct problem *why);
void counts_program_unload(struct counts_program *p);

/*
 * Runs it on p->job, of which the question is filled in. 0, or what is wrong, with a sentence:
 * -ENODEV, -EFAULT, -ENOTSUP as counts_read() has them, -EOPNOTSUPP if counts can't be read on this
 * machine at all.
 */
int counts_program_run(struct counts_program *p, struct problem *why);

#endif
