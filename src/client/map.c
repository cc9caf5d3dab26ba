// SPDX-License-Identifier: MIT
/*
 * One contiguous range of addresses over the extents of a file: first reserved as a whole,
 * then filled piece by piece. Nothing in the address space changes before everything that
 * can be checked has been.
 */
#include "client/client.h"

#include <errno.h>
#include <unistd.h>

#define FLAGS_KNOWN                                                                                \
	(MAP_SHARED | MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_LOCKED | MAP_POPULATE | MAP_NORESERVE)

/* What becomes one mmap(2): bytes that are neighbours in the file and on the device. */
struct piece {
	uint64_t file_offset;
	uint64_t length;
	uint64_t device_offset;
	uint32_t device;
	size_t next; /* extent that comes after it */
};

/* The extent that holds offset, or that would come after it. */
static size_t find_extent(const struct gm_attachment *a, uint64_t offset)
{
	size_t low = 0, high = a->extent_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct gm_extent_info *e = &a->extents[middle];
		if (e->file_offset + e->length <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The piece at offset, not beyond end, that begins in extent index; false if there is a hole. */
static bool get_piece(struct piece *ret, const struct gm_attachment *a, size_t index,
	uint64_t offset, uint64_t end)
{
	const struct gm_extent_info *e = &a->extents[index];

	if (index >= a->extent_count || e->file_offset > offset)
		return false;
	uint64_t skipped = offset - e->file_offset;
	*ret = (struct piece){
		.file_offset = offset,
		.length = e->length - skipped,
		.device_offset = e->device_offset + skipped,
		.device = e->device,
		.next = index + 1,
	};
	for (; ret->next < a->extent_count && offset + ret->length < end; ret->next++) {
		e = &a->extents[ret->next];
		if (e->device != ret->device || e->file_offset != offset + ret->length ||
			e->device_offset != ret->device_offset + ret->length)
			break;
		ret->length += e->length;
	}
	if (ret->length > end - offset)
		ret->length = end - offset;
	return true;
}

/* The page size of the device that holds the byte at offset; the system's where there is a hole. */
static uint64_t page_at(const struct gm_attachment *a, uint64_t offset)
{
	size_t index = find_extent(a, offset);

	if (index >= a->extent_count || a->extents[index].file_offset > offset)
		return (uint64_t)sysconf(_SC_PAGESIZE);
	return a->devices[a->extents[index].device].align;
}

/*
 * 0 if every byte of the range has memory behind it and, where the caller chose the address, every
 * piece would come to lie at a multiple of its device's page size.
 */
static int check_pieces(const struct gm_attachment *a, const void *addr, bool fixed,
	uint64_t offset, uint64_t end, struct problem *why)
{
	struct piece p = {.next = find_extent(a, offset)};

	for (uint64_t at = offset; at < end; at = p.file_offset + p.length) {
		if (!get_piece(&p, a, p.next, at, end))
			return problem(why, ENXIO, "the file has a hole at offset %#llx",
				(unsigned long long)at);
		if (fixed && ((uintptr_t)addr + (at - offset)) % a->devices[p.device].align != 0)
			return problem(why, EINVAL,
				"address %p does not suit pages of %#llx bytes at file offset "
				"%#llx",
				addr, (unsigned long long)a->devices[p.device].align,
				(unsigned long long)at);
	}
	return 0;
}

static int check_flags(const struct gm_attachment *a, int prot, int flags, struct problem *why)
{
	if (flags & ~FLAGS_KNOWN)
		return problem(why, EINVAL, "flags %#x can't be honoured",
			(unsigned)(flags & ~FLAGS_KNOWN));
	if (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC))
		return problem(why, EINVAL, "protection %#x can't be honoured", (unsigned)prot);
	if ((prot & PROT_WRITE) && !(a->access & GM_ACCESS_WRITE))
		return problem(
			why, EACCES, "the file was opened for reading only: use O_RDWR to write");
	return 0;
}

/* Sets *end to the end of the range, rounded up to the page that it ends in. */
static int check_range(const struct gm_attachment *a, uint64_t offset, uint64_t length,
	uint64_t *end, struct problem *why)
{
	uint64_t page = page_at(a, offset);

	if (length == 0)
		return problem(why, EINVAL, "a mapping of no bytes was asked for");
	if (offset % page != 0)
		return problem(why, EINVAL, "offset %#llx is not a multiple of the page size %#llx",
			(unsigned long long)offset, (unsigned long long)page);
	if (offset > INT64_MAX || length > INT64_MAX - offset)
		goto past;
	page = page_at(a, offset + length - 1);
	*end = round_up(offset + length, page);
	if (*end <= round_up(a->size, page))
		return 0;
past:
	return problem(why, ENXIO,
		"%llu bytes from offset %#llx reach past the end of a file of %llu bytes",
		(unsigned long long)length, (unsigned long long)offset,
		(unsigned long long)a->size);
}

static void *reserve_at(void *addr, size_t length, int flags)
{
	return mmap(addr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags,
		-1, 0);
}

/* Reserves more than is needed and gives back what lies before and behind the aligned range. */
static void *reserve_aligned(uint64_t offset, size_t length, size_t alignment)
{
	if (length > SIZE_MAX - alignment) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	char *start = reserve_at(NULL, length + alignment, 0);
	if (start == MAP_FAILED)
		return MAP_FAILED;
	size_t head = (size_t)(offset - (uintptr_t)start) & (alignment - 1);
	if (head > 0)
		(void)munmap(start, head);
	(void)munmap(start + head + length, alignment - head);
	/* cppcheck-suppress deallocret ; of the range, only what is around this part was given back
	 */
	return start + head;
}

static void *reserve(
	const struct gm_attachment *a, void *addr, uint64_t offset, size_t length, int flags)
{
	const size_t least = a->align > GM_BLOCK_SIZE ? a->align : GM_BLOCK_SIZE;

	if (flags & MAP_FIXED_NOREPLACE)
		return reserve_at(addr, length, MAP_FIXED_NOREPLACE);
	if (flags & MAP_FIXED)
		return reserve_at(addr, length, MAP_FIXED);
	if (addr && ((uintptr_t)addr - offset) % a->align == 0) {
		void *wish = reserve_at(addr, length, MAP_FIXED_NOREPLACE);
		if (wish != MAP_FAILED)
			return wish;
	}
	return reserve_aligned(offset, length, length >= GM_GROUP_SIZE ? GM_GROUP_SIZE : least);
}

/* *done tells how many bytes are mapped, also on failure. */
static int map_pieces(const struct gm_attachment *a, char *base, uint64_t offset, uint64_t end,
	int prot, int flags, size_t *done)
{
	const int passed_on = flags & (MAP_LOCKED | MAP_POPULATE | MAP_NORESERVE);
	struct piece p = {.next = find_extent(a, offset)};

	for (*done = 0; offset + *done < end; *done += p.length) {
		(void)get_piece(&p, a, p.next, offset + *done, end);
		if (mmap(base + *done, p.length, prot, MAP_SHARED | MAP_FIXED | passed_on,
			    a->devices[p.device].fd, (off_t)p.device_offset) == MAP_FAILED)
			return -errno;
	}
	return 0;
}

/*
 * Takes back what map_pieces() did of a range. Where it failed because the process has too many
 * mappings, nothing that would need one more succeeds, not even cutting one in two: so the pieces,
 * which are whole, go first. Where the caller chose the place, the range stays reserved, so that
 * nobody else slips in.
 */
static void undo(char *base, size_t done, size_t length, int flags)
{
	if ((flags & MAP_FIXED) && reserve_at(base, length, MAP_FIXED) != MAP_FAILED)
		return;
	if (done > 0)
		(void)munmap(base, done);
	if (flags & MAP_FIXED)
		(void)reserve_at(base, length, MAP_FIXED);
	else
		(void)munmap(base + done, length - done);
}

static int failed(const struct gm_attachment *a, int err, size_t length, struct problem *why)
{
	if (err == EEXIST)
		return problem(why, err, "something is mapped there already");
	if (err == ENOMEM)
		return problem(why, err,
			"no room for %zu bytes in %zu extents: the limits are vm.max_map_count, "
			"RLIMIT_AS and the address space",
			length, a->extent_count);
	return problem_errno(why, err, "mapping %zu bytes", length);
}

static int map(const struct gm_attachment *a, void **addr, uint64_t offset, size_t length, int prot,
	int flags, struct problem *why)
{
	const bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
	uint64_t end = 0;

	int r = check_flags(a, prot, flags, why);
	if (r == 0)
		r = check_range(a, offset, length, &end, why);
	if (r == 0)
		r = check_pieces(a, *addr, fixed, offset, end, why);
	if (r < 0)
		return r;
	length = end - offset;
	void *base = reserve(a, *addr, offset, length, flags);
	if (base == MAP_FAILED)
		return failed(a, errno, length, why);
	size_t done;
	r = map_pieces(a, base, offset, end, prot, flags, &done);
	if (r < 0) {
		undo(base, done, length, flags);
		return failed(a, -r, length, why);
	}
	*addr = base;
	return 0;
}

void *gm_map(
	struct gm_attachment *a, void *addr, uint64_t offset, size_t length, int prot, int flags)
{
	int r = map(a, &addr, offset, length, prot, flags, last_problem());

	if (r < 0) {
		errno = -r;
		return MAP_FAILED;
	}
	return addr;
}
