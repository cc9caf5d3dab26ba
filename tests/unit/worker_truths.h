/* SPDX-License-Identifier: MIT */
/* Every message that a worker can send to its helper, as an honest one may send it. */
#ifndef GM_TESTS_WORKER_TRUTHS_H
#define GM_TESTS_WORKER_TRUTHS_H

#include <stddef.h>
#include <stdint.h>

#include "proto/link.h"

#define RW        (GM_ACCESS_READ | GM_ACCESS_WRITE)
#define GRANTED   9U  /* an inode that a client has */
#define EMPTY     10U /* another one, without memory */
#define LIED_ONLY 500 /* inodes from here on are what lies are about */

/* How far the talk is when a message comes. */
enum stage {
	STAGE_NEW,      /* nothing was said */
	STAGE_RESUMING, /* after CONFIG */
	STAGE_HELD,     /* after a HELD that announces extents */
	STAGE_UP,
	STAGE_ASKED,    /* a REDEEM waits for its answer */
	STAGE_GRANT,    /* after a GRANT that announces extents */
	STAGE_EXPORT,   /* after an EXPORT that announces extents */
	STAGE_CONTENTS, /* after a CONTENTS that does */
};

struct truth {
	uint16_t opcode;
	enum stage stage;
	size_t size;
	union link_from_worker m;
};

/* Without their headers, which rig_send() makes. */
struct truth true_config(void);
struct truth true_held(void);
struct truth true_resumed(void);
struct truth true_grant(void);
struct truth true_grant_of_nothing(void);
struct truth true_refuse(void);
struct truth true_scrub(void);
struct truth true_zero(void);
struct truth true_check(void);
struct truth true_revoke(void);
struct truth true_hand_over(void);
struct truth true_holders(void);
struct truth true_contents(void);
struct truth extents_of_held(void);
struct truth extents_of_grant(void);
struct truth extents_of_export(void);
struct truth extents_of_contents(void);
struct truth contents_of_nothing(void);
struct truth export_of_nothing(void);
struct truth make_export(void);
struct truth make_node(void);
struct truth make_unexport(void);

#endif
