// SPDX-License-Identifier: MIT
/*
 * The helper's end of its link to the worker: it is told anything, in any order, while clients that
 * keep to the protocol ask for grants (scene.h has what must hold). The first byte chooses the
 * regions, --reuse and what a helper before has left; each step is a byte and what it takes.
 */
#include "fuzz.h"
#include "scene.h"

const char *fuzz_refusal(void)
{
	return worker_lost_link() ? "the helper has ended the link" : NULL;
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
		worker_step(b);
		break;
	case 4:
	case 5:
		worker_lie(b);
		break;
	default:
		scene_step(what, b);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	scene_run_input(data, size, step, false);
	return 0;
}
