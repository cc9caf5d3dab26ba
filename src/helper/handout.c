// SPDX-License-Identifier: MIT
#include "helper/handout.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "helper/cover.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/memfd.h"

static_assert(GM_REGIONS_MAX <= GM_GRANT_DEVICES_MAX, "a grant has room for all regions");

#define NO_DEVICE UINT_MAX

static int access_mode(uint32_t access)
{
	return access & GM_ACCESS_WRITE ? O_RDWR : O_RDONLY;
}

static unsigned handout_add_device(struct handout *h, int fd, uint64_t size, uint64_t align)
{
	unsigned number = (unsigned)h->nfds;

	h->message.devices[number] =
		(struct gm_device){.size = put_le64(size), .align = put_le64(align)};
	h->fds[h->nfds++] = fd;
	h->message.device_count = put_le32(number + 1);
	return number;
}

/* ---- extents ---- */

/* The extents as the client gets them, those that adjoin in the file and in the device put
 * together.
 */
struct runs {
	struct gm_grant_extent *at; /* owned */
	size_t count;
	size_t room;
};

static void runs_deinit(struct runs *r)
{
	free(r->at);
}

static bool runs_extend(struct runs *r, const struct gm_grant_extent *next)
{
	struct gm_grant_extent *last = r->count > 0 ? &r->at[r->count - 1] : NULL;

	if (!last || get_le32(last->device) != get_le32(next->device))
		return false;
	uint64_t length = get_le64(last->length);
	if (get_le64(last->file_offset) + length != get_le64(next->file_offset) ||
		get_le64(last->device_offset) + length != get_le64(next->device_offset))
		return false;
	last->length = put_le64(length + get_le64(next->length));
	return true;
}

static int runs_add(
	struct runs *r, uint64_t file_block, unsigned device, uint64_t device_block, uint64_t count)
{
	const struct gm_grant_extent next = {.file_offset = put_le64(file_block << GM_BLOCK_SHIFT),
		.length = put_le64(count << GM_BLOCK_SHIFT),
		.device_offset = put_le64(device_block << GM_BLOCK_SHIFT),
		.device = put_le32(device)};

	if (runs_extend(r, &next))
		return 0;
	if (r->count == r->room) {
		size_t room = r->room ? r->room * 2 : GM_GRANT_INLINE_MAX;
		struct gm_grant_extent *at = reallocarray(r->at, room, sizeof(*at));
		if (!at)
			return -ENOMEM;
		r->at = at;
		r->room = room;
	}
	r->at[r->count++] = next;
	return 0;
}

static int write_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		ssize_t n = write(fd, at, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

/* Sealed, so that the client may read it without a copy: nobody can change or cut it behind its
 * back. */
static int make_sealed(const void *data, size_t size)
{
	_cleanup_fd_ int fd = memfd_make("guestmemfs-extents");

	if (fd < 0)
		return fd;
	int r = write_all(fd, data, size);
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return -errno;
	return steal_fd(&fd);
}

static int handout_put_extents(struct handout *h, const struct runs *runs)
{
	h->message.extent_count = put_le64(runs->count);
	if (runs->count <= GM_GRANT_INLINE_MAX) {
		if (runs->count > 0)
			memcpy(h->message.extents, runs->at, runs->count * sizeof(*runs->at));
		return 0;
	}
	int fd = make_sealed(runs->at, runs->count * sizeof(*runs->at));
	if (fd < 0)
		return fd;
	h->fds[h->nfds++] = fd;
	return 0;
}

/* ---- regions that are handed out as a whole ---- */

/* Their devices are the regions, numbered as they appear; the device's offset is the region's. */
static int handout_fill(struct handout *h, const struct region *regions,
	const struct record_extent *extents, size_t count, uint32_t access, struct runs *runs)
{
	unsigned device_of[GM_REGIONS_MAX];

	for (unsigned i = 0; i < GM_REGIONS_MAX; i++)
		device_of[i] = NO_DEVICE;
	for (size_t i = 0; i < count; i++) {
		const struct record_extent *e = &extents[i];
		const struct region *region = &regions[e->region];
		if (device_of[e->region] == NO_DEVICE) {
			int fd = region_reopen(region, access_mode(access));
			if (fd < 0)
				return fd;
			device_of[e->region] =
				handout_add_device(h, fd, region->size, region->align);
		}
		int r = runs_add(runs, e->file_block, device_of[e->region], e->block, e->count);
		if (r < 0)
			return r;
	}
	return 0;
}

int handout_init(struct handout *h, const struct region *regions,
	const struct record_extent *extents, size_t count, uint32_t access)
{
	_cleanup_(runs_deinit) struct runs runs = {.at = NULL};

	memset(h, 0, sizeof(*h));
	h->message.access = put_le32(access);
	int r = handout_fill(h, regions, extents, count, access, &runs);
	if (r >= 0)
		r = handout_put_extents(h, &runs);
	if (r < 0)
		handout_deinit(h);
	return r;
}

/* ---- regions that are cut into devices ---- */

static int open_device(struct handout *h, const struct device *d, uint32_t access, unsigned *number)
{
	if (h->nfds == GM_GRANT_DEVICES_MAX)
		return -E2BIG;
	int fd = soft_device_open(&d->soft, access_mode(access));
	if (fd < 0)
		return fd;
	*number = handout_add_device(h, fd, d->soft.size, d->soft.align);
	return 0;
}

static int handout_fill_extent(struct handout *h, const struct device_list *devices,
	const struct cover *cover, unsigned *number, const struct record_extent *e, uint32_t access,
	struct runs *runs)
{
	struct cover_piece piece;

	for (uint64_t done = 0; done < e->count; done += piece.count) {
		piece = cover_next(cover, e, done);
		if (!piece.range)
			return -ENXIO;
		size_t i = piece.range->device;
		int r = number[i] != NO_DEVICE
				? 0
				: open_device(h, &devices->at[i], access, &number[i]);
		if (r >= 0)
			r = runs_add(
				runs, piece.file_block, number[i], piece.device_block, piece.count);
		if (r < 0)
			return r;
	}
	return 0;
}

static int handout_fill_devices(struct handout *h, const struct device_list *devices,
	const struct record_extent *extents, size_t count, uint32_t access, struct runs *runs)
{
	_cleanup_(cover_deinit) struct cover cover = {.ranges = NULL};
	_cleanup_free_ unsigned *number = calloc(devices->count + 1, sizeof(*number));
	int r = number ? cover_init(&cover, devices) : -ENOMEM;

	for (size_t i = 0; r >= 0 && i < devices->count; i++)
		number[i] = NO_DEVICE;
	for (size_t i = 0; r >= 0 && i < count; i++)
		r = handout_fill_extent(h, devices, &cover, number, &extents[i], access, runs);
	return r;
}

int handout_init_devices(struct handout *h, const struct device_list *devices,
	const struct record_extent *extents, size_t count, uint32_t access)
{
	_cleanup_(runs_deinit) struct runs runs = {.at = NULL};

	memset(h, 0, sizeof(*h));
	h->message.access = put_le32(access);
	int r = handout_fill_devices(h, devices, extents, count, access, &runs);
	if (r >= 0)
		r = handout_put_extents(h, &runs);
	if (r < 0)
		handout_deinit(h);
	return r;
}

void handout_deinit(struct handout *h)
{
	while (h->nfds > 0) {
		h->nfds--;
		h->fds[h->nfds] = close_fd(h->fds[h->nfds]);
	}
}
