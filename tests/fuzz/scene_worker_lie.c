// SPDX-License-Identifier: MIT
/* What no worker says: messages whose fields are what the input chooses, and true ones with a byte
 * changed. And what a supervisor says. */
#include "scene.h"
#include "scene_worker.h"
#include "util/le.h"
#include "util/packet.h"

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

void worker_tamper(void *message, size_t size)
{
	if (worker.tamper.after == 0 || --worker.tamper.after > 0 || worker.tamper.at >= size)
		return;
	((uint8_t *)message)[worker.tamper.at] = worker.tamper.value;
	worker.lies = true;
}

void supervisor_say(uint8_t how, struct bytes *b)
{
	static const uint16_t opcodes[] = {LINK_SUPERVISOR, LINK_KEEPER};
	struct {
		struct link_plain plain;
		uint8_t more[16];
	} m = {.plain.header = {.size = put_le32(sizeof(m.plain)),
		       .opcode = put_le16(opcodes[how % 2]),
		       .id = put_le64(SCENE_PID - 1)}};
	size_t size = sizeof(m.plain);
	bool brings = false;

	if (how & 128) {
		uint8_t at = bytes_take(b) % 32, value = bytes_take(b);

		size = how & 64 ? bytes_take(b) % sizeof(m) : size;
		brings = how & 32;
		if (at < 16) /* else it is as it should be */
			((uint8_t *)&m)[at] = value;
		else if (at % 2)
			m.plain.header.opcode = put_le16(LINK_YIELD);
	}
	if (worker.supervisor >= 0 && size > 0)
		(void)packet_send(worker.supervisor, &m, size, &worker.supervisor, brings, false);
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

	if (how >= 224 && how < 240) { /* a true one that is to come, with something else in it */
		worker.tamper.after = how - 224 + 1U;
		worker.tamper.at = fields;
		worker.tamper.value = bytes_take(b);
		return;
	}
	if (how >= 192 && how < 196) {
		supervisor_say(128 | fields, b);
		return;
	}
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
	worker.lies = true;
	say(&m, size, opcode, id);
}
