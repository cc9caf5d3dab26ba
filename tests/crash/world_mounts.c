// SPDX-License-Identifier: MIT
/* Steps that begin a mount: by the same kernel, by the next one, after a panic, by another worker.
 */
#include "world_steps.h"

#include <errno.h>

typedef int begin_fn(struct store *s, const uint8_t boot_id[16], struct problem *why);

static int begin_mount(struct world *w, begin_fn *begin)
{
	struct problem why = PROBLEM_INIT;

	if (begin(w->store, w->boot_id, &why) < 0)
		return -EUCLEAN; /* there is no good reason to fail */
	ns_init(&w->ns, w->store);
	w->ns.memory = w->memory;
	return 0;
}

static int open_and_mount(struct world *w, begin_fn *begin)
{
	world_close(w);
	return world_open(w) < 0 ? -EUCLEAN : begin_mount(w, begin);
}

int world_step_mount(struct world *w, char *const args[])
{
	(void)args;
	return open_and_mount(w, store_begin_mount);
}

/* What is open when a worker dies is open in the next one: its mount removes none of that. */
int world_step_replace(struct world *w, char *const args[])
{
	struct {
		uint64_t ino;
		uint32_t opens;
	} open[WORLD_REMEMBER];
	const struct inode *i;
	size_t count = 0;
	int r;

	(void)args;
	for (size_t c = 0; (i = meta_each_inode(store_meta(w->store), &c));)
		if (i->opens > 0 && count < WORLD_REMEMBER) {
			open[count].ino = i->attr.ino;
			open[count++].opens = i->opens;
		}
	world_close(w);
	r = world_open(w);
	while (r == 0 && count-- > 0)
		meta_inode(store_meta(w->store), open[count].ino)->opens =
			open[count].opens & INT32_MAX;
	return r == 0 ? begin_mount(w, store_begin_mount) : -EUCLEAN;
}

/* The kernel that a panic has left to: what the crashed boot held stays held. */
int world_step_crash_kernel(struct world *w, char *const args[])
{
	(void)args;
	return open_and_mount(w, store_continue_mount);
}

int world_step_reboot(struct world *w, char *const args[])
{
	(void)args;
	w->boot_id[0]++;
	return open_and_mount(w, store_begin_mount);
}
