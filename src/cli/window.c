// SPDX-License-Identifier: MIT
#include "cli/window.h"

#include <errno.h>

int window_open(struct window *ret, struct gm_attachment *a, uint64_t offset, uint64_t length,
	int prot, struct problem *why)
{
	uint64_t align = gm_align(a);
	/* munmap() of huge pages wants whole ones. */
	uint64_t whole = (length + align - 1) / align * align;
	void *p = gm_map(a, NULL, offset, whole, prot, 0);

	if (p == MAP_FAILED)
		return problem(why, errno, "%s", gm_last_problem());
	*ret = (struct window){.data = p, .mapped = whole};
	return 0;
}

void window_close(struct window *w)
{
	if (w->data)
		(void)munmap(w->data, w->mapped);
	*w = (struct window){.data = NULL};
}

int window_attach(struct gm_attachment **ret, int fd, const char *path, struct problem *why)
{
	int r = gm_attach(fd, ret);

	return r < 0 ? problem(why, -r, "%s: %s", path, gm_last_problem()) : 0;
}
