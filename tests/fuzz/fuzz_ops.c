// SPDX-License-Identifier: MIT
/*
 * The operation layer: sequences of FUSE requests through ops_process(), with a helper that is
 * slow and fails but does not lie, restarts and other kernels in between (rig.h has what must
 * hold). The first byte chooses the pool; each step is a byte and what it takes.
 */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "rig.h"

const char *fuzz_refusal(void)
{
	const struct rig_request *last = &rig.requests[rig.request_count - 1];

	return rig.request_count > 0 && last->error < 0 ? strerror(-last->error) : NULL;
}

static void step(struct bytes *b)
{
	uint8_t what = bytes_take(b);

	switch (what % 16) {
	case 0: /* rarely, since it ends what waits */
		if (what / 16 < 4)
			rig_restart(what / 16 == 2);
		if (what / 16 == 3)
			rig_kernel_ask_again();
		if (what / 16 == 4)
			rig_yield();
		if (what / 16 == 5) { /* its caller is gone by then */
			rig_restart(false);
			rig.refuse_reply = ENOENT;
			rig_kernel_ask_again();
			rig.refuse_reply = 0;
		}
		break;
	case 1:
		rig_pass(50U << bytes_take(b) % 12);
		break;
	case 2:
		if (what / 16 % 4 == 0)
			(void)store_freeze(rig.store);
		else if (what / 16 % 4 == 1 && ns_thaw(&rig.ns) == 0)
			grants_thawed(rig.grants);
		else
			(void)store_checkpoint(rig.store);
		break;
	case 3:
	case 4:
	case 5:
		rig_helper_say(b);
		if (what & 128)
			return; /* it has not been read yet */
		rig_hear();
		break;
	default:
		if (what & 128) /* what is unread comes in the same turn, and before it */
			rig_hear();
		rig_kernel_ask(b);
	}
	rig_settle();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = {data, size};

	rig_begin(bytes_take(&b));
	while (b.left > 0)
		step(&b);
	rig_end();
	return 0;
}
