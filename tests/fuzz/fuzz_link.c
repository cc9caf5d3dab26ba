// SPDX-License-Identifier: MIT
/*
 * The worker's end of its link to the helper: what it is told may be anything, in any order. It may
 * give the link up, and must keep its files, and grant nothing twice (rig.h). The first byte
 * chooses the pool; each step is a byte and what it takes.
 */
#include <string.h>

#include "fuzz.h"
#include "rig.h"

const char *fuzz_refusal(void)
{
	return rig.given_up ? "the link is given up" : NULL;
}

static void order(unsigned what, struct bytes *b)
{
	const struct asker asker = {77, 0};
	uint64_t ino = 0;

	if (what == 2 || what == 3)
		ino = rig.inodes[bytes_take(b) % rig.inode_count];
	switch (what) {
	case 0:
	case 1:
		rig_restart(what == 1);
		break;
	case 2: /* what the control socket asks for */
		(void)grants_export(rig.grants, ino, &asker);
		break;
	case 3:
		(void)grants_unexport(rig.grants, ino, &asker);
		break;
	case 4:
		(void)grants_ask_holders(rig.grants);
		break;
	case 5:
		(void)store_freeze(rig.store);
		break;
	case 6:
		if (ns_thaw(&rig.ns) == 0)
			grants_thawed(rig.grants);
		break;
	default:
		rig_pass(50U << bytes_take(b) % 12);
	}
}

static void step(struct bytes *b)
{
	uint8_t what = bytes_take(b);

	switch (what % 8) {
	case 0:
		order(what / 8, b);
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
	rig_hear();
	rig_settle();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = {data, size};

	rig_begin(bytes_take(&b));
	while (b.left > 0)
		step(&b);
	rig_helper_connect(); /* the last one is honest */
	rig_end();
	return 0;
}
