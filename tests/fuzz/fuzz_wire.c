// SPDX-License-Identifier: MIT
/*
 * The client protocol at the helper: connections of several users that say anything, beside such
 * that keep to it, and a worker that does (scene.h has what must hold). The first byte chooses the
 * regions, --reuse and what a helper before has left; each step is a byte and what it takes.
 */
#include "fuzz.h"
#include "scene.h"

const char *fuzz_refusal(void)
{
	return clients_last_refusal();
}

static void step(struct bytes *b)
{
	uint8_t what = bytes_take(b);

	switch (what % 8) {
	case 0:
	case 1:
		clients_step(b);
		break;
	case 2:
	case 3:
		clients_lie(b);
		break;
	case 4:
	case 5:
		worker_step(b);
		break;
	default:
		scene_step(what, b);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	scene_run_input(data, size, step, true);
	return 0;
}
