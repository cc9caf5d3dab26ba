// SPDX-License-Identifier: MIT
/*
 * Steps for files with content. Since a step is one record, the store is made and grown by steps of
 * their own.
 */
#include "world_steps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/ns_internal.h"
#include "util/cleanup.h"

/* mark PATH, unmark PATH */
int world_step_mark(struct world *w, char *const args[])
{
	const struct ns_xattr x = {.name = "user.guestmemfs.io", .value = "1", .value_len = 1};
	uint64_t ino;
	int r = world_find_ino(w, args[1], &ino);

	return r < 0 ? r : world_asked(w, ns_setxattr(&w->ns, &w->rq, ino, &x));
}

int world_step_unmark(struct world *w, char *const args[])
{
	uint64_t ino;
	int r = world_find_ino(w, args[1], &ino);

	return r < 0 ? r
		     : world_asked(w, ns_removexattr(&w->ns, &w->rq, ino, "user.guestmemfs.io"));
}

/* The content store itself. */
int world_step_contents(struct world *w, char *const args[])
{
	(void)args;
	return ns_make_contents(&w->ns, &w->rq);
}

/* room BLOCKS: so many more for it. */
int world_step_room(struct world *w, char *const args[])
{
	uint64_t blocks = strtoull(args[1], NULL, 10);

	if (!meta_contents(store_meta(w->store)) || blocks == 0)
		return -ENOENT;
	return ns_grow_contents(&w->ns, &w->rq, blocks * GM_UNITS_PER_BLOCK);
}

/* write PATH UNIT COUNT: but for the last 100 bytes. */
int world_step_write(struct world *w, char *const args[])
{
	struct ns_range range = {.offset = strtoull(args[2], NULL, 10) * GM_UNIT_SIZE,
		.length = strtoull(args[3], NULL, 10) * GM_UNIT_SIZE};
	_cleanup_free_ void *bytes = NULL;
	uint64_t ino;
	int r = world_find_ino(w, args[1], &ino);

	if (r < 0 || range.length == 0)
		return r;
	if (range.length / GM_UNIT_SIZE > store_meta(w->store)->units.free)
		return -ENOSPC; /* else the store might grow, in a record before */
	range.length -= 100;
	bytes = malloc(range.length);
	if (!bytes)
		return -ENOMEM;
	for (uint64_t n = 0; n < range.length; n++) /* no other write's bytes, and no zeros */
		((uint8_t *)bytes)[n] = (uint8_t)(image_mix(w->rq.unique, n / 8) | 1);
	return world_asked(w, ns_write(&w->ns, &w->rq, ino, &range, bytes));
}

/* cut PATH BYTES */
int world_step_cut(struct world *w, char *const args[])
{
	const struct ns_change c = {.set = NS_SET_SIZE, .size = strtoull(args[2], NULL, 10)};
	struct stat st;
	uint64_t ino;
	int r = world_find_ino(w, args[1], &ino);

	if (r == 0 && !ns_has_content(&w->ns, ino))
		r = -EINVAL;
	return r < 0 ? r : world_asked(w, ns_setattr(&w->ns, &w->rq, ino, &c, &st));
}

/* punch-units PATH UNIT COUNT */
int world_step_punch_units(struct world *w, char *const args[])
{
	const struct ns_range range = {.offset = strtoull(args[2], NULL, 10) * GM_UNIT_SIZE,
		.length = strtoull(args[3], NULL, 10) * GM_UNIT_SIZE};
	uint64_t ino;
	int r = world_find_ino(w, args[1], &ino);

	if (r == 0 && !ns_has_content(&w->ns, ino))
		r = -EINVAL;
	return r < 0 ? r : world_asked(w, ns_change_space(&w->ns, &w->rq, ino, NS_PUNCH, &range));
}

/* The store's empty blocks go. */
int world_step_trim(struct world *w, char *const args[])
{
	(void)args;
	return ns_trim_contents(&w->ns, &w->rq, true);
}
