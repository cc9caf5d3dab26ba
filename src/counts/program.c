// SPDX-License-Identifier: MIT
#include "counts/program.h"

#include <assert.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/log.h"

#define BTF_PATH      "/sys/kernel/btf/vmlinux"
#define LOCKDOWN_PATH "/sys/kernel/security/lockdown"

/* The object file that clang has made of counts.bpf.c, as the array counts_object. */
#include "counts/counts_object.h"

/* What libbpf has to say is for those who look for a fault here: lines of the verifier, mostly. */
static int __attribute__((format(printf, 2, 0)))
print_debug(enum libbpf_print_level level, const char *format, va_list ap)
{
	char text[1024];

	if (level == LIBBPF_DEBUG)
		return 0;
	(void)vsnprintf(text, sizeof(text), format, ap);
	text[strcspn(text, "\n")] = '\0';
	log_debug("%s", text);
	return 0;
}

static bool kernel_is_locked_down(void)
{
	char text[128] = "";
	FILE *f = fopen(LOCKDOWN_PATH, "re");

	if (!f)
		return false;
	(void)!fgets(text, sizeof(text), f);
	(void)fclose(f);
	return strstr(text, "[confidentiality]");
}

/* r: why libbpf could not load it. */
static int explain_load(int r, struct problem *why)
{
	if (kernel_is_locked_down())
		return problem(why, EOPNOTSUPP,
			"the kernel is locked down (confidentiality): no BPF program may read its "
			"memory");
	if (access(BTF_PATH, R_OK) < 0)
		return problem_errno(why, EOPNOTSUPP,
			"the kernel does not describe its structures (no %s; "
			"CONFIG_DEBUG_INFO_BTF)",
			BTF_PATH);
	if (r == -EPERM)
		return problem(why, EOPNOTSUPP,
			"the kernel lets this process load no BPF program (CAP_BPF, CAP_PERFMON)");
	return problem(
		why, EOPNOTSUPP, "the kernel does not take the BPF program (%s)", strerror(-r));
}

static int map_job(struct counts_program *p, struct problem *why)
{
	struct bpf_map *map = bpf_object__find_map_by_name(p->object, ".bss");
	void *memory;

	if (!map || bpf_map__value_size(map) != sizeof(struct counts_job))
		return problem(
			why, EOPNOTSUPP, "the BPF program of this build is not as it should be");
	memory = mmap(NULL, sizeof(struct counts_job), PROT_READ | PROT_WRITE, MAP_SHARED,
		bpf_map__fd(map), 0);
	if (memory == MAP_FAILED)
		return problem_errno(why, EOPNOTSUPP, "the BPF program's memory");
	p->job = memory;
	return 0;
}

void counts_program_unload(struct counts_program *p)
{
	if (p->job)
		(void)munmap(p->job, sizeof(*p->job));
	bpf_object__close(p->object);
	*p = COUNTS_PROGRAM_NULL;
}

static int explain_status(const struct counts_job *job, struct problem *why)
{
	switch (job->status) {
	case COUNTS_JOB_DONE:
		return 0;
	case COUNTS_JOB_NO_SYMBOL:
		return problem(why, EOPNOTSUPP,
			"the kernel does not tell where its struct pages are (vmemmap_base in "
			"/proc/kallsyms; CONFIG_KALLSYMS_ALL, kernel.kptr_restrict below 2)");
	case COUNTS_JOB_NO_LAYOUT:
		return problem(
			why, EOPNOTSUPP, "the struct page of this kernel is not one that we know");
	case COUNTS_JOB_NO_DEVICE:
		return problem(why, ENODEV, "not an open character device");
	case COUNTS_JOB_NO_PAGES:
		return problem(
			why, EFAULT, "the kernel has no struct pages for 0x%" PRIx64, job->at);
	case COUNTS_JOB_NOT_COMPOUND:
		return problem(why, ENOTSUP,
			"the kernel does not count the references to the memory at 0x%" PRIx64
			" in one place",
			job->at);
	default:
		return problem(why, EIO, "the BPF program did not come to its end (status %u)",
			job->status);
	}
}

static int run(struct counts_program *p, int fd, struct problem *why)
{
	struct bpf_test_run_opts options = {.sz = sizeof(options)};
	int r;

	assert(p->job);
	p->job->status = COUNTS_JOB_UNDONE;
	r = bpf_prog_test_run_opts(fd, &options);
	if (r < 0)
		return problem_errno(why, r == -EPERM ? EOPNOTSUPP : -r, "running the BPF program");
	return explain_status(p->job, why);
}

int counts_program_run(struct counts_program *p, struct problem *why)
{
	return run(p, p->fd, why);
}

static int find_program(const struct counts_program *p, const char *name, struct problem *why)
{
	struct bpf_program *program = bpf_object__find_program_by_name(p->object, name);

	if (!program)
		return problem(
			why, EOPNOTSUPP, "the BPF program of this build is not as it should be");
	return bpf_program__fd(program);
}

/* What read_counts needs to know and only somebody with privileges is told. */
static int find_pages(struct counts_program *p, struct problem *why)
{
	const struct bpf_map *found = bpf_object__find_map_by_name(p->object, "pages_begin");
	int fd = find_program(p, "find_pages", why);
	int r = fd < 0 ? fd : run(p, fd, why);

	if (r == 0 && bpf_map_freeze(bpf_map__fd(found)) < 0)
		return problem_errno(why, EOPNOTSUPP, "closing a map of the BPF program");
	return r;
}

int counts_program_load(struct counts_program *ret, struct problem *why)
{
	_cleanup_(counts_program_unload) struct counts_program p = COUNTS_PROGRAM_NULL;
	int r;

	(void)libbpf_set_print(print_debug);
	p.object = bpf_object__open_mem(counts_object, sizeof(counts_object), NULL);
	if (!p.object)
		return explain_load(-errno, why);
	r = bpf_object__load(p.object);
	if (r < 0)
		return explain_load(r, why);
	r = p.fd = find_program(&p, "read_counts", why);
	if (r >= 0)
		r = map_job(&p, why);
	if (r >= 0)
		r = find_pages(&p, why);
	if (r < 0)
		return r;
	*ret = p;
	p = COUNTS_PROGRAM_NULL;
	return 0;
}
