/* SPDX-License-Identifier: MIT */
/*
 * Conversions between natural integers and the little-endian types of include/guestmemfs/types.h.
 * The wrapping structs make a forgotten conversion a compile error.
 */
#ifndef GM_UTIL_LE_H
#define GM_UTIL_LE_H

#include <endian.h>

#include "guestmemfs/types.h"

static inline uint16_t get_le16(gm_le16 v)
{
	return le16toh(v.raw);
}

static inline uint32_t get_le32(gm_le32 v)
{
	return le32toh(v.raw);
}

static inline uint64_t get_le64(gm_le64 v)
{
	return le64toh(v.raw);
}

static inline gm_le16 put_le16(uint16_t v)
{
	return (gm_le16){.raw = htole16(v)};
}

static inline gm_le32 put_le32(uint32_t v)
{
	return (gm_le32){.raw = htole32(v)};
}

static inline gm_le64 put_le64(uint64_t v)
{
	return (gm_le64){.raw = htole64(v)};
}

#endif
