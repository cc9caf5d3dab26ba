// SPDX-License-Identifier: MIT
#include "cli/window.h"

#include <errno.h>

#include "guestmemfs/types.h"

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

int window_open(struct window *ret, struct gm_attachment *a, uint64_t offset, uint64_t length,
	int prot, struct problem *why)
{
	/* Huge pages are mapped and unmapped whole; the file may end before a whole 1 GiB. */
	uint64_t align = gm_align(a);
	uint64_t begin = offset / align * align;
	uint64_t last = round_up(gm_size(a), align < GM_BLOCK_SIZE ? align : GM_BLOCK_SIZE);
	uint64_t end = round_up(offset + length, align);
	uint64_t whole = (end < last ? end : last) - begin;
	char *p = gm_map(a, NULL, begin, whole, prot, 0);

	if (p == MAP_FAILED)
		return problem(why, errno, "%s", gm_last_problem());
	*ret = (struct window){.data = p + (offset - begin), .base = p, .mapped = whole};
	return 0;
}

void window_close(struct window *w)
{
	if (w->base)
		(void)munmap(w->base, w->mapped);
	*w = (struct window){.data = NULL};
}

int window_attach(struct gm_attachment **ret, int fd, struct problem *why)
{
	int r = gm_attach(fd, ret);

	return r < 0 ? problem(why, -r, "%s", gm_last_problem()) : 0;
}
