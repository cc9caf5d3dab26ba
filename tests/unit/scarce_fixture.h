/* SPDX-License-Identifier: MIT */
/*
 * What an operation must be when memory runs out in it: done, or refused with ENOMEM and without a
 * trace. Every call that asks for memory fails once, alone and with all calls after it.
 */
#ifndef GM_TESTS_SCARCE_FIXTURE_H
#define GM_TESTS_SCARCE_FIXTURE_H

#include <stdint.h>

#include "scarce.h"
#include "store/store.h"

/* The state: equal digests, equal trees, attributes, extents, pieces and block maps. */
uint64_t scarce_digest(struct store *store);

/* fsck finds no error in what is on the media, and recovery makes the state of that digest of it.
 */
void scarce_check_media(
	const struct media *media, uint64_t region_bytes, uint64_t digest, const char *what);

#endif
