// SPDX-License-Identifier: MIT
/* Steps for memory of removed files that somebody may still reach: handed over to another file
 * where that finds no other (`size`, `allocate`), or kept in part. */
#include <errno.h>
#include <stdlib.h>

#include "world_steps.h"

/* spare PATH: as the helper would say of it. It is removed and held; its path is remembered. */
int world_step_spare(struct world *w, char *const args[])
{
	struct ns_spare spare = {.uid = w->rq.uid};
	int r = world_find_ino(w, args[1], &spare.ino);

	return r < 0 ? r : ns_spare_add(&w->ns, &spare);
}

/* keep-spare PATH FIRST COUNT: of what the removed file inherited it has used these blocks alone.
 */
int world_step_keep_spare(struct world *w, char *const args[])
{
	uint64_t ino;
	int r = world_find_ino(w, args[1], &ino);

	return r < 0 ? r
		     : ns_spare_keep(&w->ns, ino, strtoull(args[2], NULL, 10),
			       strtoull(args[3], NULL, 10));
}
