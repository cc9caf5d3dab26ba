/* SPDX-License-Identifier: MIT */
/*
 * Where what goes with the boot is kept, for all of a user's instances: /run/guestmemfs for root,
 * $XDG_RUNTIME_DIR/guestmemfs or /tmp/guestmemfs-UID for others.
 */
#ifndef GM_UTIL_RUN_DIRECTORY_H
#define GM_UTIL_RUN_DIRECTORY_H

/* malloc'ed; NULL for lack of memory. It need not be there. */
char *run_directory(void);

#endif
