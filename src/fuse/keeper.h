/* SPDX-License-Identifier: MIT */
/*
 * The keeper: a process that has a copy of every descriptor by which a supervisor holds its
 * instance. So worker and helper don't notice that the supervisor died, and the next one gets what
 * it had (proto/keeper.h). It starts nothing, serves no client and looks at nothing that it keeps.
 *
 * While there is no supervisor it ends when the worker has ended in order; when the worker has died
 * otherwise, after KEEPER_LONELY_MS. With it goes the connection to the kernel, if that is open
 * nowhere else, so that nobody waits for ever; and the helper ends.
 *
 * In an upgrade there are two for a moment. One of them at the most is in charge: the new one is
 * told by the old one, with which that ends. So a supervisor that dies in the middle of it leaves
 * exactly one, which has all.
 */
#ifndef GM_FUSE_KEEPER_H
#define GM_FUSE_KEEPER_H

#define KEEPER_NAME      "guestmemfs-keeper"
#define KEEPER_LONELY_MS 10000U /* neither supervisor nor worker */

/* What main() does by that name. Descriptor SPAWN_FIRST_FD is the supervisor's, SPAWN_FIRST_FD + 1
 * the socket where the next one asks. */
int keeper_main(void);

#endif
