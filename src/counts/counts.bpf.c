// SPDX-License-Identifier: MIT
/*
 * Reads, in the kernel, how many references there are to a devdax device and to each of its pages.
 * The order is what makes the answer good for something: the device's count first. If it says that
 * nobody has the device open, and nobody can open it, then no page can gain a reference any more,
 * and a page that is seen without one stays so.
 *
 * An open device counts once for each open file, wherever that file is: in a process, under a
 * mapping, in flight over a socket, registered with io_uring. A page's references are those of
 * whoever has pinned it: pipes, direct I/O, DMA.
 *
 * The structures name only the fields that are read; libbpf puts in where they lie in the running
 * kernel (CO-RE).
 */
#include <stdint.h>

/* What bpf_helpers.h takes for granted. */
typedef uint8_t __u8;
typedef uint16_t __u16, __be16;
typedef uint32_t __u32, __be32, __wsum;
typedef int32_t __s32;
typedef int64_t __s64;
typedef uint64_t __u64;

/* Of the kernel's interface (linux/bpf.h). */
#define BPF_MAP_TYPE_ARRAY 2
#define BPF_ANY            0

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "counts/job.h"

#define SMALL_PAGE_SHIFT 12
#define MODE_TYPE        0170000
#define MODE_CHARACTER   0020000

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	atomic_t refs;
} refcount_t;

struct kref {
	refcount_t refcount;
};

struct kobject {
	struct kref kref;
};

struct cdev {
	struct kobject kobj;
};

struct inode {
	unsigned short i_mode;
	struct cdev *i_cdev;
};

struct file {
	struct inode *f_inode;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct task_struct {
	struct files_struct *files;
};

struct page {
	unsigned long compound_head; /* of a page after the first: the first one's address + 1 */
	atomic_t _refcount;
};

/* Newer kernels: the same word has another name, and may hold a mask in place of the address. Bit 0
 * is as ever. */
struct page___info {
	unsigned long compound_info;
};

#pragma clang attribute pop

/* What it lies in, with nothing else, is mapped by the process that runs these programs. */
struct counts_job job;

/* The address of the struct page of physical address 0. Unlike a variable it is never mapped, and
 * it is frozen when it is found: that process can't change it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, uint64_t);
} pages_begin SEC(".maps");

struct stretch {
	uint64_t start;
	uint64_t pages_begin;
};

static long stop(uint32_t status)
{
	job.status = status;
	return 1;
}

/* 0, or negative if nothing is there. */
static long read_compound_word(uint64_t *ret, uint64_t page)
{
	const struct page___info *info = (const void *)page;
	const struct page *known = (const void *)page;

	if (bpf_core_field_exists(known->compound_head))
		return bpf_probe_read_kernel(ret, sizeof(*ret), &known->compound_head);
	return bpf_probe_read_kernel(ret, sizeof(*ret), &info->compound_info);
}

/*
 * One count stands for the whole page only if the kernel keeps it as one: the struct page at its
 * end must belong to the one at its start. (Before Linux 5.17 each 4 KiB had its own.)
 */
static long check_compound(uint64_t head, uint64_t last)
{
	const struct page *known = (const void *)head;
	uint64_t first_word, last_word;

	if (read_compound_word(&first_word, head) < 0 || read_compound_word(&last_word, last) < 0)
		return stop(COUNTS_JOB_NO_PAGES);
	if ((first_word & 1) || !(last_word & 1))
		return stop(COUNTS_JOB_NOT_COMPOUND);
	if (bpf_core_field_exists(known->compound_head) && last_word != head + 1)
		return stop(COUNTS_JOB_NOT_COMPOUND);
	return 0;
}

static long look_at_page(uint32_t index, struct stretch *stretch)
{
	uint64_t at = stretch->start + index * job.page_size;
	uint64_t head =
		stretch->pages_begin + (at >> SMALL_PAGE_SHIFT) * bpf_core_type_size(struct page);
	uint64_t small = job.page_size >> SMALL_PAGE_SHIFT;
	const struct page *page = (const void *)head;
	uint32_t count;

	job.at = at;
	if (check_compound(head, head + (small - 1) * bpf_core_type_size(struct page)))
		return 1;
	if (bpf_probe_read_kernel(&count, sizeof(count), &page->_refcount.counter) < 0)
		return stop(COUNTS_JOB_NO_PAGES);
	if (count < job.page_min)
		job.page_min = count;
	if (count > job.page_max)
		job.page_max = count;
	if (count > job.idle && job.busy_pages++ == 0)
		job.first_busy = at;
	return 0;
}

static long look_at_range(uint32_t index, const uint64_t *begin)
{
	struct stretch stretch = {.pages_begin = *begin};

	if (index >= COUNTS_JOB_RANGES || job.page_size == 0)
		return stop(COUNTS_JOB_UNREADABLE);
	stretch.start = job.ranges[index].start;
	if (bpf_loop(job.ranges[index].size / job.page_size, look_at_page, &stretch, 0) < 0)
		return stop(COUNTS_JOB_UNREADABLE);
	return job.status != COUNTS_JOB_UNDONE;
}

/* The device that the process which runs us has open as job.fd. */
static long read_device(void)
{
	const struct task_struct *task = (const void *)bpf_get_current_task();
	const struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files = BPF_CORE_READ(table, fd);
	uint32_t fd = (uint32_t)job.fd;
	const struct inode *inode;
	const struct cdev *cdev;
	struct file *file;

	if (fd >= BPF_CORE_READ(table, max_fds) ||
		bpf_probe_read_kernel(&file, sizeof(file), files + fd) < 0 || !file)
		return stop(COUNTS_JOB_NO_DEVICE);
	inode = BPF_CORE_READ(file, f_inode);
	if ((BPF_CORE_READ(inode, i_mode) & MODE_TYPE) != MODE_CHARACTER)
		return stop(COUNTS_JOB_NO_DEVICE);
	cdev = BPF_CORE_READ(inode, i_cdev);
	if (!cdev || bpf_probe_read_kernel(&job.cdev, sizeof(job.cdev),
			     &cdev->kobj.kref.refcount.refs.counter) < 0)
		return stop(COUNTS_JOB_NO_DEVICE);
	return 0;
}

static long find_pages_begin(uint64_t *ret)
{
	const uint32_t first = 0;
	const uint64_t *found = bpf_map_lookup_elem(&pages_begin, &first);

	if (!found || *found == 0)
		return stop(COUNTS_JOB_NO_SYMBOL);
	*ret = *found;
	return 0;
}

static long check_layout(void)
{
	const struct page___info *info = 0;
	const struct page *known = 0;

	if (!bpf_core_field_exists(known->_refcount) ||
		(!bpf_core_field_exists(known->compound_head) &&
			!bpf_core_field_exists(info->compound_info)))
		return stop(COUNTS_JOB_NO_LAYOUT);
	return 0;
}

/*
 * Once, by whoever has CAP_SYSLOG. The kernel finds one symbol in a moment; what libbpf puts in for
 * a __ksym without a type it looks for in all of /proc/kallsyms.
 */
SEC("syscall")
int find_pages(void *unused)
{
	char name[] = "vmemmap_base";
	const uint32_t first = 0;
	uint64_t at = 0, begin = 0;

	(void)unused;
	job.status = COUNTS_JOB_NO_SYMBOL;
	if (bpf_kallsyms_lookup_name(name, sizeof(name), 0, &at) == 0 &&
		bpf_probe_read_kernel(&begin, sizeof(begin), (const void *)at) == 0 &&
		bpf_map_update_elem(&pages_begin, &first, &begin, BPF_ANY) == 0)
		job.status = COUNTS_JOB_DONE;
	return 0;
}

SEC("syscall")
int read_counts(void *unused)
{
	uint64_t begin = 0;

	(void)unused;
	job.status = COUNTS_JOB_UNDONE;
	job.busy_pages = 0;
	job.page_min = UINT32_MAX;
	job.page_max = 0;
	if (find_pages_begin(&begin) || check_layout() || read_device())
		return 0;
	if (bpf_loop(job.range_count, look_at_range, &begin, 0) < 0)
		stop(COUNTS_JOB_UNREADABLE);
	if (job.status == COUNTS_JOB_UNDONE)
		job.status = COUNTS_JOB_DONE;
	return 0;
}

/*
 * bpf_probe_read_kernel() is kept for programs that say one of a few words. Plain "MIT" is not
 * among them, although it lets everybody take this file under the GPL.
 */
char counts_license[] SEC("license") = "Dual MIT/GPL";
