/* SPDX-License-Identifier: MIT */
/*
 * Writing lines of the processor's caches back to memory, for memory that survives a loss of power
 * as it is behind the caches: NVDIMMs. Ordinary and reserved RAM needs none of it.
 */
#ifndef GM_UTIL_WRITE_BACK_H
#define GM_UTIL_WRITE_BACK_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Starts writing back every line that has a byte of [p, p + size). It is done at the next fence
 * (SFENCE, MFENCE or a locked instruction; __ATOMIC_SEQ_CST makes one of the latter two).
 */
typedef void write_back_fn(const void *p, size_t size);

struct write_back_way {
	const char *name; /* "clwb" */
	write_back_fn *run;
};

struct write_back_features { /* of a processor */
	bool clflush;
	bool clflushopt;
	bool clwb;
};

struct write_back_features write_back_detect(void);

/* The cheapest way that there is; NULL: none is known for this processor. */
const struct write_back_way *write_back_way_of(const struct write_back_features *f);

/* Of the processor that this runs on; NULL as above. For callers that keep it: asking takes long in
 * a virtual machine. */
write_back_fn *write_back_choose(void);

#endif
