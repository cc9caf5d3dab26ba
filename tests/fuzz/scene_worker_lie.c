// SPDX-License-Identifier: MIT
/* What no worker says: messages whose fields are what the input chooses. */
#include "scene.h"
#include "scene_worker.h"
#include "util/le.h"

static uint64_t take_number(struct bytes *b)
{
	uint8_t n = bytes_take(b);

	switch (n % 4) {
	case 0:
		return first_redeem();
	case 1:
		return 2 + n / 4 % FILES;
	case 2:
		return n / 4;
	default:
		return n == 255 ? bytes_take_64(b) : worker.files[n / 4 % FILES].epoch;
	}
}

void worker_lie(struct bytes *b)
{
	static const uint16_t sizes[] = {[LINK_CONFIG] = sizeof(struct link_config),
		[LINK_HELD] = 40,
		[LINK_RESUMED] = 16,
		[LINK_GRANT] = 56,
		[LINK_REFUSE] = 24,
		[LINK_EXTENTS] = 64,
		[LINK_SCRUB] = 32,
		[LINK_ZERO] = 32,
		[LINK_CHECK] = 40,
		[LINK_HOLDERS] = 16,
		[LINK_EXPORT] = 64,
		[LINK_NODE] = 64,
		[LINK_UNEXPORT] = 64,
		[LINK_REVOKE] = 32,
		[LINK_HAND_OVER] = 48,
		[LINK_CONTENTS] = 48};
	union {
		struct link_header header;
		uint64_t numbers[128];
		uint8_t bytes[1024];
	} m = {.bytes = {0}};
	uint8_t how = bytes_take(b), fields = bytes_take(b);
	unsigned opcode = 1 + how % 16 * 2U;
	size_t size = sizes[opcode];
	uint64_t id = how & 16 ? take_number(b) : 0;

	if (worker.link < 0)
		connect_link();
	for (unsigned n = 2; n < 2 + fields % 7U; n++)
		m.numbers[n] = take_number(b);
	if (how >= 240) {
		size = bytes_take_16(b) % sizeof(m);
		opcode = how & 1 ? opcode : bytes_take(b);
		size_t room = sizeof(m) - sizeof(m.header);
		bytes_copy(b, m.bytes + sizeof(m.header), size < room ? size : room);
	}
	uint64_t *redeem = find_redeem(id);
	if (redeem && id != 0 && (opcode == LINK_GRANT || opcode == LINK_REFUSE))
		*redeem = 0;
	say(&m, size, opcode, id);
}
