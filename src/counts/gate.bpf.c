// SPDX-License-Identifier: MIT
/*
 * Keeps everybody from opening certain devices, by whatever node, and tells when those are through
 * who were about to. A node under /dev can be given a mode; a copy of it that somebody has made
 * with mknod has a mode of its own, and only the kernel's look at the device's number closes it.
 *
 * That look comes first in open(2), the device itself later. Who has passed the one and not come to
 * the other (because another process has the processor, for as long as it likes) is counted
 * nowhere. He is still on his way until he sleeps, or is back in his program; the kernel has a
 * notion for having waited for all such ways: a grace period of RCU Tasks. It counts them, and
 * begins one whenever something has to be freed that a task may be on its way through, such as the
 * trampoline by which a BPF program is called from a function. So one is attached and taken off
 * again, to a function that the kernel has for tests of just this and never calls.
 */
#include <stdint.h>

/* What bpf_helpers.h takes for granted. */
typedef uint8_t __u8;
typedef uint16_t __u16, __be16;
typedef uint32_t __u32, __be32, __wsum;
typedef int32_t __s32;
typedef int64_t __s64;
typedef uint64_t __u64;

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "counts/gate_job.h"

/* Of the kernel's interface (linux/bpf.h). */
#define BPF_MAP_TYPE_ARRAY 2
#define BPF_ANY            0
#define DEVICE_CHARACTER   2U
#define ACCESS_READ        2U
#define ACCESS_WRITE       4U

struct bpf_cgroup_dev_ctx {
	__u32 access_type; /* (access << 16) | type */
	__u32 major;
	__u32 minor;
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct rcu_tasks {
	unsigned long tasks_gp_seq;
};

#pragma clang attribute pop

/* What it lies in, with nothing else, is mapped by the process that runs these programs. */
struct counts_gate_job job;

/* Where the kernel's RCU Tasks are; as in counts.bpf.c. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, uint64_t);
} rcu_tasks SEC(".maps");

/* 0: no. Asked for each device that is opened or made, in the context of who does it. */
SEC("cgroup/dev")
int may_open(struct bpf_cgroup_dev_ctx *ctx)
{
	uint32_t access = ctx->access_type >> 16, type = ctx->access_type & 0xffff;

	if (type != DEVICE_CHARACTER || !(access & (ACCESS_READ | ACCESS_WRITE)))
		return 1;
	for (uint32_t i = 0; i < COUNTS_GATE_DEVICES; i++) {
		if (i >= job.count)
			break;
		if (job.closed[i].major == ctx->major && job.closed[i].minor == ctx->minor)
			return 0;
	}
	return 1;
}

/* Once, by whoever has CAP_SYSLOG (and not by a __ksym: counts.bpf.c says why). */
SEC("syscall")
int find_grace(void *unused)
{
	char name[] = "rcu_tasks";
	const struct rcu_tasks *tasks = 0;
	const uint32_t first = 0;
	uint64_t at = 0;

	(void)unused;
	job.status = COUNTS_GATE_NO_SYMBOL;
	if (bpf_kallsyms_lookup_name(name, sizeof(name), 0, &at) == 0 &&
		bpf_core_field_exists(tasks->tasks_gp_seq) &&
		bpf_map_update_elem(&rcu_tasks, &first, &at, BPF_ANY) == 0)
		job.status = COUNTS_GATE_DONE;
	return 0;
}

SEC("syscall")
int read_grace(void *unused)
{
	const uint32_t first = 0;
	const uint64_t *at = bpf_map_lookup_elem(&rcu_tasks, &first);
	const struct rcu_tasks *tasks = at ? (const void *)*at : 0;
	unsigned long number;

	(void)unused;
	if (!tasks || !bpf_core_field_exists(tasks->tasks_gp_seq)) {
		job.status = COUNTS_GATE_NO_SYMBOL;
		return 0;
	}
	if (bpf_probe_read_kernel(&number, sizeof(number), &tasks->tasks_gp_seq) < 0) {
		job.status = COUNTS_GATE_UNREADABLE;
		return 0;
	}
	job.grace = number;
	job.status = COUNTS_GATE_DONE;
	return 0;
}

/* Attached as long as the process lives, so that the trampoline is changed, not taken away: for
 * that the kernel makes whoever asks for it wait. */
SEC("fentry/bpf_fentry_test1")
int stay(void *unused)
{
	(void)unused;
	return 0;
}

SEC("fentry/bpf_fentry_test1")
int pass(void *unused)
{
	(void)unused;
	return 0;
}

/* As in counts.bpf.c. */
char gate_license[] SEC("license") = "Dual MIT/GPL";
