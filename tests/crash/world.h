/* SPDX-License-Identifier: MIT */
/*
 * A writer with its work: a pool in an image, changed through the namespace and the store as the
 * worker does, every store recorded. The work is a script of steps such as
 *
 *	mkdir d; create d/f | rename d/f g; unlink g
 *
 * What stands before the bar is not explored. A script begins with a fresh, mounted pool unless its
 * first step is "blank". The steps are listed in world_steps.c.
 */
#ifndef GM_TESTS_CRASH_WORLD_H
#define GM_TESTS_CRASH_WORLD_H

#include "fuse/namespace.h"
#include "trace.h"

#define WORLD_AREA (4ULL << 20) /* the metadata area of these pools */
#define WORLD_BYTES                                                                                \
	(8ULL << 20)       /* behind it in the image: the first blocks of the content store        \
			    */
#define WORLD_FILES    40U /* --max-files */
#define WORLD_REMEMBER 16U

enum world_shape {
	WORLD_FILE,     /* one region, an ordinary file, all clean */
	WORLD_RESERVED, /* two regions of reserved RAM, dirty, with a succession token */
	WORLD_GROUPS,   /* one that is mapped by whole GiBs only; sizes in scripts are in GiB */
	WORLD_SHAPES,
};

struct world {
	struct recorder recorder;
	enum world_shape shape;
	struct store_region regions[VIEW_REGIONS];
	uint32_t region_count;
	struct store_super super;
	struct store *store; /* NULL: no filesystem, or not open */
	struct namespace ns;
	struct content_memory *memory; /* of the store's; owned */
	struct ns_request rq;
	uint64_t unique;   /* of the last change that a request asked for */
	uint64_t sequence; /* of the last record before the present step */
	uint8_t boot_id[16];
	uint8_t formats;
	struct {
		char path[32];
		uint64_t ino;
	} remembered[WORLD_REMEMBER]; /* what stays reachable without its name */
	char wrong[256];
};

void world_init(struct world *w, enum world_shape shape, struct image *image, struct trace *trace);
void world_deinit(struct world *w);

/*
 * Runs the script, with the fault from the bar on. False: the script is no script, or a step did
 * what none may do (w->wrong says what).
 */
bool world_run(struct world *w, const char *script, const struct writer_fault *fault);

/* ---- for the steps ---- */

/* Opens what is on the media. Fills w->store and w->ns; 0 or the error. */
int world_open(struct world *w);
void world_close(struct world *w);
void world_state(struct world *w, struct trace_state *ret);

#define WORLD_WORDS 4U /* of a step: its name and at most three arguments */

/* The step's result: 0 or a negative errno; -ENOSYS: there is no such step. */
int world_step(struct world *w, char *const words[WORLD_WORDS]);

#endif
