// SPDX-License-Identifier: MIT
/* The sentences: one for each reason that a helper may give, and the last one of each thread. */
#include "client/client.h"

#include "util/cleanup.h"

/* The library's only state. */
static _Thread_local struct problem problem_of_thread;

struct problem *last_problem(void)
{
	return &problem_of_thread;
}

const char *gm_last_problem(void)
{
	return problem_of_thread.text;
}

static const char *const sentences[] = {
	[GM_REASON_NONE] = "no reason was given",
	[GM_REASON_VERSION] = "client and helper have no version of the protocol in common; use "
			      "libraries and daemons of the same release",
	[GM_REASON_TICKET] = "the ticket is used up, too old or was never given out; ask for a new "
			     "one on the open file and redeem it within 5 seconds",
	[GM_REASON_TRUST] = "a descriptor of this kind of region reaches all of its files, so only "
			    "root, the mount's own user and members of --trusted-group get one",
	[GM_REASON_LIMIT] = "this user has too many connections or grants; end some of the "
			    "processes that use the mount",
	[GM_REASON_EXTENTS] = "the file lies on more devices than one grant can carry; copy it to "
			      "a new file",
	[GM_REASON_SCRUB] = "blocks of the file could not be zeroed; the helper's log has the "
			    "place, and a new file will get other blocks",
	[GM_REASON_RECORD] = "the helper's own record contradicts what the daemon says of this "
			     "file, and memory in doubt is not handed out; see the helper's log",
	[GM_REASON_STARTING] = "the daemon is being started; try again in a moment",
	[GM_REASON_MEMORY] = "the helper lacks memory or descriptors; see its log",
	[GM_REASON_GONE] = "the file was removed meanwhile",
	[GM_REASON_SPACE] = "the grant could not be noted in the mount's journal for lack of "
			    "space; see the daemon's log",
	[GM_REASON_FROZEN] = "the pool is frozen for a kexec; guestmemfs thaw ends that",
	[GM_REASON_DEVICE] = "no device could be made over the file's blocks, or it could not be "
			     "opened; the helper's log says why",
	[GM_REASON_RATE] = "this user's processes ask too often; wait a second and try again",
};

const char *gm_strreason(uint32_t reason)
{
	if (reason >= ARRAY_SIZE(sentences))
		return "for a reason that this version of the library does not know";
	return sentences[reason];
}
