// SPDX-License-Identifier: MIT
/* What an attachment says of itself, and its end. */
#include "client/client.h"

#include <errno.h>
#include <stdlib.h>

#include "util/cleanup.h"

void gm_detach(struct gm_attachment *a)
{
	if (!a)
		return;
	for (uint32_t i = 0; i < a->device_count; i++)
		close_fd(a->devices[i].fd);
	free(a->extents);
	free(a);
}

uint64_t gm_size(const struct gm_attachment *a)
{
	return a->size;
}

uint64_t gm_ino(const struct gm_attachment *a)
{
	return a->ino;
}

uint32_t gm_access(const struct gm_attachment *a)
{
	return a->access;
}

uint64_t gm_align(const struct gm_attachment *a)
{
	return a->align;
}

size_t gm_extent_count(const struct gm_attachment *a)
{
	return a->extent_count;
}

int gm_extent(const struct gm_attachment *a, size_t index, struct gm_extent_info *ret)
{
	if (index >= a->extent_count)
		return problem(last_problem(), ERANGE,
			"extent %zu was asked for, but the file has %zu", index, a->extent_count);
	*ret = a->extents[index];
	return 0;
}

int gm_device_fd(const struct gm_attachment *a, uint32_t device)
{
	if (device >= a->device_count)
		return problem(last_problem(), ERANGE,
			"device %u was asked for, but the file lies on %u", device,
			a->device_count);
	return a->devices[device].fd;
}
