/* SPDX-License-Identifier: MIT */
/*
 * Little-endian integers as they stand on media and on the wire. They are structs, so that they
 * can't be mixed up with natural integers; convert with htole64() and friends of <endian.h>.
 */
#ifndef GUESTMEMFS_TYPES_H
#define GUESTMEMFS_TYPES_H

#include <stdint.h>

typedef struct {
	uint16_t raw;
} gm_le16;

typedef struct {
	uint32_t raw;
} gm_le32;

typedef struct {
	uint64_t raw;
} gm_le64;

#define GM_BLOCK_SHIFT      21U /* 2 MiB: a PMD's reach, the unit of allocation */
#define GM_BLOCK_SIZE       (1ULL << GM_BLOCK_SHIFT)
#define GM_GROUP_SHIFT      30U /* 1 GiB: a PUD's reach */
#define GM_GROUP_SIZE       (1ULL << GM_GROUP_SHIFT)
#define GM_BLOCKS_PER_GROUP (1U << (GM_GROUP_SHIFT - GM_BLOCK_SHIFT))

#define GM_NAME_MAX    255U
#define GM_REGIONS_MAX 32U

#endif
