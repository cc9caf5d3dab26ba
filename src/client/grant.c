// SPDX-License-Identifier: MIT
/*
 * Checks a grant as if an enemy had written it, and makes an attachment of it. Where something is
 * wrong nothing is kept; -EPROTO with a sentence that names the field.
 */
#include "client/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/le.h"

#define bad(why, ...) problem(why, EPROTO, __VA_ARGS__)

static bool is_zero(const void *data, size_t size)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < size; i++)
		if (p[i] != 0)
			return false;
	return true;
}

static bool is_power_of_two(uint64_t value)
{
	return value != 0 && (value & (value - 1)) == 0;
}

static void attachment_freep(struct gm_attachment **a)
{
	gm_detach(*a);
}

/* ---- the devices ---- */

/* What the kernel says of the descriptor must agree with what the helper says of the device. */
static int check_device_fd(
	uint32_t index, int fd, uint64_t size, uint32_t access, struct problem *why)
{
	int flags = fcntl(fd, F_GETFL);
	int wanted = access & GM_ACCESS_WRITE ? O_RDWR : O_RDONLY;
	struct stat st;

	if (flags < 0 || fstat(fd, &st) < 0)
		return problem_errno(why, errno, "looking at device %u", index);
	if ((flags & O_PATH) || (flags & O_ACCMODE) != wanted)
		return bad(why, "device %u is not open as its access says", index);
	if (S_ISCHR(st.st_mode)) /* devdax, which has no st_size */
		return 0;
	if (!S_ISREG(st.st_mode))
		return bad(why, "device %u is neither a file nor a character device", index);
	if ((uint64_t)st.st_size < size)
		return bad(why, "device %u ends before the size it is said to have", index);
	return 0;
}

static int decode_devices(struct gm_attachment *a, const struct gm_grant *grant, const int *fds,
	uint32_t count, struct problem *why)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (!is_zero(&grant->devices[count],
		    (GM_GRANT_DEVICES_MAX - count) * sizeof(struct gm_device)))
		return bad(why, "devices beyond the count are not zero");
	for (uint32_t i = 0; i < count; i++) {
		struct attachment_device *d = &a->devices[i];
		d->fd = -1;
		d->size = get_le64(grant->devices[i].size);
		d->align = get_le64(grant->devices[i].align);
		if (!is_power_of_two(d->align) || d->align < page || d->align > GM_GROUP_SIZE)
			return bad(why, "device %u has page size %#llx", i,
				(unsigned long long)d->align);
		if (d->size == 0 || d->size > INT64_MAX || d->size % d->align != 0)
			return bad(why, "device %u has size %#llx", i, (unsigned long long)d->size);
		int r = check_device_fd(i, fds[i], d->size, a->access, why);
		if (r < 0)
			return r;
		if (d->align > a->align)
			a->align = d->align;
	}
	return 0;
}

/* ---- the extents ---- */

static int decode_extent(struct gm_extent_info *ret, const struct gm_attachment *a,
	uint32_t devices, const struct gm_grant_extent *wire, struct problem *why)
{
	const struct gm_extent_info e = {
		.file_offset = get_le64(wire->file_offset),
		.length = get_le64(wire->length),
		.device_offset = get_le64(wire->device_offset),
		.device = get_le32(wire->device),
	};
	const uint64_t end = round_up(a->size, GM_BLOCK_SIZE);

	if (get_le32(wire->reserved) != 0)
		return bad(why, "reserved bytes are not zero");
	if (e.device >= devices)
		return bad(why, "there is no device %u", e.device);
	const struct attachment_device *d = &a->devices[e.device];
	const uint64_t unit = d->align > GM_BLOCK_SIZE ? d->align : GM_BLOCK_SIZE;
	if (e.length == 0 || ((e.file_offset | e.length | e.device_offset) & (unit - 1)) != 0)
		return bad(why, "a length of zero or something that is not a multiple of %#llx",
			(unsigned long long)unit);
	if (e.file_offset > end || e.length > end - e.file_offset)
		return bad(why, "it ends beyond the file's end");
	if (e.device_offset > d->size || e.length > d->size - e.device_offset)
		return bad(why, "it ends beyond the device's end");
	*ret = e;
	return 0;
}

static int by_place(const void *left, const void *right)
{
	const struct gm_extent_info *l = left, *r = right;

	if (l->device != r->device)
		return l->device < r->device ? -1 : 1;
	return (l->device_offset > r->device_offset) - (l->device_offset < r->device_offset);
}

/* Memory that appears at two places of one file would be a guest that overwrites itself. */
static int check_places(const struct gm_attachment *a, struct problem *why)
{
	bool ascending = true;

	for (size_t i = 1; i < a->extent_count && ascending; i++) {
		const struct gm_extent_info *e = &a->extents[i - 1];
		ascending = e[0].device == e[1].device &&
			    e[0].device_offset + e[0].length <= e[1].device_offset;
	}
	if (ascending)
		return 0;
	_cleanup_free_ struct gm_extent_info *sorted = calloc(a->extent_count, sizeof(*sorted));
	if (!sorted)
		return problem(why, ENOMEM, "no memory for %zu extents", a->extent_count);
	memcpy(sorted, a->extents, a->extent_count * sizeof(*sorted));
	qsort(sorted, a->extent_count, sizeof(*sorted), by_place);
	for (size_t i = 1; i < a->extent_count; i++) {
		const struct gm_extent_info *e = &sorted[i - 1];
		if (e[0].device == e[1].device &&
			e[0].device_offset + e[0].length > e[1].device_offset)
			return bad(why, "two extents share memory at %#llx of device %u",
				(unsigned long long)e[1].device_offset, e[1].device);
	}
	return 0;
}

static int decode_extents(struct gm_attachment *a, const struct gm_grant_extent *wire, size_t count,
	uint32_t devices, struct problem *why)
{
	uint64_t end = 0;

	a->extents = calloc(count ? count : 1, sizeof(*a->extents));
	if (!a->extents)
		return problem(why, ENOMEM, "no memory for %zu extents", count);
	for (size_t i = 0; i < count; i++) {
		struct gm_extent_info *e = &a->extents[i];
		int r = decode_extent(e, a, devices, &wire[i], why);
		if (r < 0)
			return problem_prefix(why, r, "extent %zu", i);
		if (e->file_offset < end)
			return bad(why, "extent %zu begins before the end of the one before it", i);
		end = e->file_offset + e->length;
	}
	a->extent_count = count;
	return check_places(a, why);
}

/*
 * The table of a memfd. Sealed against writing, nobody can change it between check and use; sealed
 * against shrinking, nobody can make us die of SIGBUS.
 */
static int decode_memfd(
	struct gm_attachment *a, int fd, size_t count, uint32_t devices, struct problem *why)
{
	const int wanted = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
	const size_t size = count * sizeof(struct gm_grant_extent);
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & wanted) != wanted)
		return bad(why, "the table of extents is not in a sealed memfd");
	if (fstat(fd, &st) < 0)
		return problem_errno(why, errno, "looking at the table of extents");
	if ((uint64_t)st.st_size != size)
		return bad(why, "the table of extents has %lld bytes, not %zu",
			(long long)st.st_size, size);
	/* Private, because kernels before 6.7 refuse every shared mapping of a memfd that is sealed
	 * against writing. */
	void *table = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (table == MAP_FAILED)
		return problem_errno(why, errno, "mapping the table of extents");
	int r = decode_extents(a, table, count, devices, why);
	(void)munmap(table, size);
	return r;
}

/* ---- the whole ---- */

static int check_counts(const struct gm_grant *grant, size_t nfds, struct problem *why)
{
	const uint64_t size = get_le64(grant->size), extents = get_le64(grant->extent_count);
	const uint32_t devices = get_le32(grant->device_count), access = get_le32(grant->access);

	if (get_le64(grant->ino) == 0)
		return bad(why, "inode 0");
	if (access != GM_ACCESS_READ && access != (GM_ACCESS_READ | GM_ACCESS_WRITE))
		return bad(why, "access %#x", access);
	if (size > INT64_MAX - GM_BLOCK_SIZE)
		return bad(why, "a size of %#llx", (unsigned long long)size);
	/* Each extent is a block at least, so the size bounds their number, and with it what is
	 * allocated below. */
	if (extents > round_up(size, GM_BLOCK_SIZE) / GM_BLOCK_SIZE)
		return bad(why, "%llu extents are more than the file has blocks",
			(unsigned long long)extents);
	if (devices > GM_GRANT_DEVICES_MAX || (devices == 0 && extents > 0))
		return bad(why, "%u devices", devices);
	if (nfds != devices + (extents > GM_GRANT_INLINE_MAX ? 1U : 0U))
		return bad(why, "%zu descriptors came for %u devices and %llu extents", nfds,
			devices, (unsigned long long)extents);
	return 0;
}

int grant_decode(struct gm_attachment **ret, const struct gm_grant *grant, int *fds, size_t nfds,
	struct problem *why)
{
	int r = check_counts(grant, nfds, why);

	if (r < 0)
		return r;
	_cleanup_(attachment_freep) struct gm_attachment *a = calloc(1, sizeof(*a));
	if (!a)
		return problem(why, ENOMEM, "no memory for an attachment");
	const size_t extents = get_le64(grant->extent_count);
	const size_t inline_count = extents > GM_GRANT_INLINE_MAX ? 0 : extents;
	const uint32_t devices = get_le32(grant->device_count);
	a->ino = get_le64(grant->ino);
	a->size = get_le64(grant->size);
	a->access = get_le32(grant->access);
	a->align = (uint64_t)sysconf(_SC_PAGESIZE);
	r = decode_devices(a, grant, fds, devices, why);
	if (r < 0)
		return r;
	if (!is_zero(&grant->extents[inline_count],
		    (GM_GRANT_INLINE_MAX - inline_count) * sizeof(struct gm_grant_extent)))
		return bad(why, "extents beyond the count are not zero");
	if (inline_count < extents)
		r = decode_memfd(a, fds[devices], extents, devices, why);
	else
		r = decode_extents(a, grant->extents, extents, devices, why);
	if (r < 0)
		return r;
	a->device_count = devices;
	for (uint32_t i = 0; i < devices; i++)
		a->devices[i].fd = steal_fd(&fds[i]);
	*ret = steal_pointer(a);
	return 0;
}
