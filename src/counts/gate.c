// SPDX-License-Identifier: MIT
#include "counts/gate.h"

#include <assert.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#include "util/cleanup.h"

/* The object file that clang has made of gate.bpf.c, as the array gate_object. */
#include "counts/gate_object.h"

#define ROOT_INODE 1U /* of the group that all processes are in */

#define PAUSE_MS   5L
#define PAUSES_MAX 400U /* two seconds */

/* ---- making it ---- */

/* A group of this one's, in a container say, would let others pass. */
static int open_root_group(struct problem *why)
{
	static const char *const places[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
	struct statfs fs;
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		_cleanup_fd_ int fd = open(places[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC &&
			fstat(fd, &st) == 0 && st.st_ino == ROOT_INODE)
			return steal_fd(&fd);
	}
	return problem(why, EOPNOTSUPP,
		"the root of the control groups (cgroup2) is not at /sys/fs/cgroup");
}

static int find_program(const struct counts_gate *g, const char *name, struct problem *why)
{
	struct bpf_program *program = bpf_object__find_program_by_name(g->object, name);

	if (!program)
		return problem(why, EOPNOTSUPP,
			"the BPF programs of this build are not as they should be");
	return bpf_program__fd(program);
}

static int map_job(struct counts_gate *g, struct problem *why)
{
	struct bpf_map *map = bpf_object__find_map_by_name(g->object, ".bss");
	void *memory;

	if (!map || bpf_map__value_size(map) != sizeof(struct counts_gate_job))
		return problem(why, EOPNOTSUPP,
			"the BPF programs of this build are not as they should be");
	memory = mmap(NULL, sizeof(struct counts_gate_job), PROT_READ | PROT_WRITE, MAP_SHARED,
		bpf_map__fd(map), 0);
	if (memory == MAP_FAILED)
		return problem_errno(why, EOPNOTSUPP, "the BPF programs' memory");
	g->job = memory;
	return 0;
}

static int find_programs(struct counts_gate *g, int *may_open, int *stay, struct problem *why)
{
	int r = g->grace_fd = find_program(g, "read_grace", why);

	if (r >= 0)
		r = g->pass_fd = find_program(g, "pass", why);
	if (r >= 0)
		r = *stay = find_program(g, "stay", why);
	if (r >= 0)
		r = *may_open = find_program(g, "may_open", why);
	return r;
}

static int attach(struct counts_gate *g, int may_open, int stay, struct problem *why)
{
	_cleanup_fd_ int root = open_root_group(why);

	if (root < 0)
		return root;
	g->link = bpf_link_create(may_open, root, BPF_CGROUP_DEVICE, NULL);
	if (g->link < 0)
		return problem_errno(why, EOPNOTSUPP,
			"the root of the control groups takes no program for devices");
	g->stay = bpf_raw_tracepoint_open(NULL, stay);
	if (g->stay < 0)
		return problem_errno(
			why, EOPNOTSUPP, "no BPF program can be attached to a function");
	return 0;
}

static int run(struct counts_gate *g, int fd, struct problem *why)
{
	struct bpf_test_run_opts options = {.sz = sizeof(options)};
	int r;

	g->job->status = COUNTS_GATE_UNDONE;
	r = bpf_prog_test_run_opts(fd, &options);
	if (r < 0)
		return problem_errno(why, EOPNOTSUPP, "running a BPF program");
	if (g->job->status != COUNTS_GATE_DONE)
		return problem(why, EOPNOTSUPP,
			"the kernel does not tell of its grace periods for tasks "
			"(CONFIG_TASKS_RCU)");
	return 0;
}

/* What read_grace needs to know and only somebody with privileges is told. */
static int find_grace(struct counts_gate *g, struct problem *why)
{
	const struct bpf_map *found = bpf_object__find_map_by_name(g->object, "rcu_tasks");
	int fd = find_program(g, "find_grace", why);
	int r = fd < 0 ? fd : run(g, fd, why);

	if (r == 0 && bpf_map_freeze(bpf_map__fd(found)) < 0)
		return problem_errno(why, EOPNOTSUPP, "closing a map of the BPF programs");
	return r;
}

/* The number of the present grace period. */
static int read_grace(struct counts_gate *g, uint64_t *ret, struct problem *why)
{
	int r = run(g, g->grace_fd, why);

	if (r == 0)
		*ret = g->job->grace;
	return r;
}

static int load(struct counts_gate *g, struct problem *why)
{
	int r, may_open = -1, stay = -1;
	uint64_t now = 0;

	g->object = bpf_object__open_mem(gate_object, sizeof(gate_object), NULL);
	if (!g->object)
		return problem_errno(why, EOPNOTSUPP, "the BPF programs of this build");
	r = bpf_object__load(g->object);
	if (r < 0)
		return problem(why, EOPNOTSUPP, "the kernel does not take the BPF programs (%s)",
			strerror(-r));
	r = find_programs(g, &may_open, &stay, why);
	if (r >= 0)
		r = map_job(g, why);
	if (r >= 0)
		r = find_grace(g, why);
	if (r >= 0)
		r = read_grace(g, &now, why);
	return r < 0 ? r : attach(g, may_open, stay, why);
}

void counts_gate_load(struct counts_gate *ret)
{
	*ret = COUNTS_GATE_NULL;
	ret->why = PROBLEM_INIT;
	if (load(ret, &ret->why) < 0) {
		struct problem why = ret->why;

		counts_gate_unload(ret);
		ret->why = why;
	}
}

void counts_gate_unload(struct counts_gate *g)
{
	g->link = close_fd(g->link);
	g->stay = close_fd(g->stay);
	if (g->job)
		(void)munmap(g->job, sizeof(*g->job));
	bpf_object__close(g->object);
	*g = COUNTS_GATE_NULL;
}

/* ---- using it ---- */

/* Gives the kernel a reason for one more grace period. */
static int ask_for_grace(const struct counts_gate *g, struct problem *why)
{
	int fd = bpf_raw_tracepoint_open(NULL, g->pass_fd);

	if (fd < 0)
		return problem_errno(why, -fd, "attaching a BPF program to a function");
	(void)close_fd(fd);
	return 0;
}

/* One that began after now is over when the number is this: one that is under way does not count,
 * and the state is in the two lowest bits. */
static uint64_t end_of_next(uint64_t now)
{
	return (now + 7) & ~UINT64_C(3);
}

static int wait_for_grace(struct counts_gate *g, struct problem *why)
{
	const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
	uint64_t begin = 0, now = 0;
	int r = read_grace(g, &begin, why);

	if (r == 0)
		r = ask_for_grace(g, why);
	for (unsigned i = 0; i < PAUSES_MAX && r == 0; i++) {
		(void)nanosleep(&pause, NULL);
		r = read_grace(g, &now, why);
		if (r == 0 && (int64_t)(now - end_of_next(begin)) >= 0)
			return 0;
	}
	if (r < 0)
		return r;
	return problem(why, EAGAIN,
		"a process that has been kept from running for long may be about to open a device");
}

int counts_gate_close(struct counts_gate *g, const struct counts_gate_device *devices,
	uint32_t count, struct problem *why)
{
	assert(count <= COUNTS_GATE_DEVICES);
	if (!g->job) {
		*why = g->why;
		return -EOPNOTSUPP;
	}
	counts_gate_open(g);
	for (uint32_t i = 0; i < count; i++)
		g->job->closed[i] = devices[i];
	atomic_thread_fence(memory_order_seq_cst);
	g->job->count = count;
	atomic_thread_fence(memory_order_seq_cst);
	int r = wait_for_grace(g, why);
	if (r < 0)
		counts_gate_open(g);
	return r;
}

void counts_gate_open(struct counts_gate *g)
{
	if (g->job)
		g->job->count = 0;
	atomic_thread_fence(memory_order_seq_cst);
}
