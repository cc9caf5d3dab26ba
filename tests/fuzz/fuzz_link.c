// SPDX-License-Identifier: MIT
/*
 * The worker's end of its link to the helper: what it is told may be anything, in any order. It may
 * give the link up, and must keep its files, and grant nothing twice (rig.h). The first byte
 * chooses the pool; each step is a byte and what it takes.
 */
#include <string.h>
#include <sys/epoll.h>

#include "fuzz.h"
#include "rig.h"

static bool given_up;

const char *fuzz_refusal(void)
{
	return given_up ? "the link is given up" : NULL;
}

static void step(struct bytes *b)
{
	uint8_t what = bytes_take(b);

	switch (what % 8) {
	case 0:
		if (what / 8 < 2)
			rig_restart(what / 8 == 1);
		else
			rig_pass(50U << bytes_take(b) % 12);
		break;
	case 1:
	case 2:
		rig_kernel_ask(b);
		break;
	case 3:
	case 4:
		rig_helper_say(b);
		break;
	default:
		rig_helper_lie(b);
	}
	if (what & 128)
		return;
	if (grants_fd(rig.grants) >= 0 && !grants_serve(rig.grants, EPOLLIN | EPOLLOUT))
		given_up = true;
	rig_settle();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = {data, size};

	given_up = false;
	rig_begin(bytes_take(&b));
	while (b.left > 0)
		step(&b);
	rig_helper_connect(); /* the last one is honest */
	rig_end();
	return 0;
}
