// SPDX-License-Identifier: MIT
/*
 * Memory that goes bad most often turns one bit over. A checksum of 64 bits proves which: turning
 * each bit back and looking takes milliseconds for a few KiB.
 */
#include <string.h>

#include "store/codec.h"
#include "store/salvage_internal.h"

/* The time goes with the square of it: half a second. */
#define MEND_BYTES_MAX (16ULL << 10)

static void turn(uint8_t *bytes, uint64_t bit)
{
	bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
}

bool salvage_mend_sealed(uint8_t *structure, size_t size, int64_t *bit)
{
	*bit = -1;
	if (codec_seal_holds(structure, size))
		return true;
	for (uint64_t n = 0; n < size * 8; n++) {
		turn(structure, n);
		if (codec_seal_holds(structure, size)) {
			*bit = (int64_t)n;
			return true;
		}
		turn(structure, n);
	}
	return false;
}

bool salvage_mend_bytes(uint8_t *bytes, uint64_t length, uint64_t checksum, int64_t *bit)
{
	*bit = -1;
	if (codec_checksum(bytes, length) == checksum)
		return true;
	for (uint64_t n = 0; length <= MEND_BYTES_MAX && n < length * 8; n++) {
		turn(bytes, n);
		if (codec_checksum(bytes, length) == checksum) {
			*bit = (int64_t)n;
			return true;
		}
		turn(bytes, n);
	}
	return false;
}

/* What its own header says, if that can be: it may be what is damaged. */
static uint64_t record_length(const uint8_t *bytes, uint64_t room)
{
	struct gm_record r;
	uint64_t length;

	memcpy(&r, bytes, sizeof(r));
	length = get_le32(r.length);
	return length >= sizeof(r) && length <= room && length <= MEND_BYTES_MAX ? length
										 : sizeof(r);
}

bool salvage_mend_record(
	uint8_t *bytes, uint64_t room, const struct journal_position *p, int64_t *bit)
{
	struct gm_record r;

	*bit = -1;
	if (!journal_check_record(bytes, room, p, &r))
		return true;
	if (room < sizeof(r))
		return false;
	for (uint64_t n = 0; n < record_length(bytes, room) * 8; n++) {
		turn(bytes, n);
		if (!journal_check_record(bytes, room, p, &r)) {
			*bit = (int64_t)n;
			return true;
		}
		turn(bytes, n);
	}
	return false;
}
