/* SPDX-License-Identifier: MIT */
/* Requests in the kernel's form, for rig_requests.c; rig_kernel.c sends them. */
#ifndef GM_TESTS_FUZZ_RIG_REQUESTS_H
#define GM_TESTS_FUZZ_RIG_REQUESTS_H

#include <stddef.h>
#include <stdint.h>

#define DATA_MAX     8192U
#define FIRST_UNIQUE 2U /* each request's number is two more */

struct part {
	const void *bytes;
	size_t size;
};

#define PART(x) ((struct part){&(x), sizeof(x)})
#define NOTHING ((struct part){NULL, 0})

extern uint32_t request_uid; /* who asks */

/* Both parts follow the kernel's header. Nothing is sent once an input has sent too many. */
void request_send(uint32_t opcode, uint64_t ino, struct part fixed, struct part rest);

#endif
