// SPDX-License-Identifier: MIT
#include "fuse/worker_contents.h"

#include <string.h>
#include <time.h>

#include "util/log.h"

static struct content_source make_source(struct worker_contents *c, struct pool *pool,
	const struct meta *meta, struct grants *grants)
{
	if (pool->regions[0].kind != GM_REGION_SOFT) {
		c->regions = (struct content_regions){.pool = pool, .grants = grants, .meta = meta};
		return content_regions_source(&c->regions);
	}
	c->soft = (struct content_soft){.meta = meta, .grants = grants};
	return content_soft_source(&c->soft);
}

int worker_contents_init(struct worker_contents *c, struct pool *pool, struct namespace *ns,
	struct grants *grants, void (*arrived)(void *data), void *data)
{
	const struct meta *meta = store_meta(ns->store);
	struct content_source source = make_source(c, pool, meta, grants);
	int r = content_memory_new(&c->memory, meta, &source);

	if (r < 0)
		return r;
	content_memory_on_arrival(c->memory, arrived, data);
	c->soft.memory = c->memory;
	ns->memory = c->memory;
	return 0;
}

void worker_contents_deinit(struct worker_contents *c)
{
	c->memory = content_memory_free(c->memory);
}

void worker_contents_take_cleaned(
	struct worker_contents *c, int error, const struct alloc_extent *blocks)
{
	content_regions_take_cleaned(&c->regions, error, blocks);
	c->came = true;
}

void worker_contents_take_part(struct worker_contents *c, const struct grants_part *part, int fd)
{
	content_soft_take_part(&c->soft, part, fd);
}

void worker_contents_take_given(struct worker_contents *c, int error)
{
	content_soft_take_given(&c->soft, error);
	c->came = true;
}

void worker_contents_settle(struct worker_contents *c, struct grants *grants)
{
	while (c->came) { /* each time fewer wait */
		c->came = false;
		content_memory_arrived(c->memory);
		content_regions_end_answer(&c->regions);
		grants_advance(grants);
	}
}

void worker_contents_give_back(struct namespace *ns)
{
	struct ns_request rq = {.unique = 0};
	int r;

	clock_gettime(CLOCK_REALTIME, &rq.now);
	r = ns_trim_contents(ns, &rq, true);
	if (r < 0)
		log_warning("empty blocks of the content store could not be given back: %s",
			strerror(-r));
}
