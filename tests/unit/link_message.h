/* SPDX-License-Identifier: MIT */
/* Every message of the worker's to the helper, as large as the largest. */
#ifndef GM_TESTS_LINK_MESSAGE_H
#define GM_TESTS_LINK_MESSAGE_H

#include "proto/link.h"

union message {
	struct link_header header;
	struct link_plain plain;
	struct link_config config;
	struct link_held held;
	struct link_grant grant;
	struct link_refuse refuse;
	struct link_extents extents;
	struct link_scrub scrub;
	struct link_zero zero;
	struct link_check check;
	struct link_hand_over hand_over;
	struct link_export export;
	struct link_revoke revoke;
	struct link_contents contents;
};

#endif
