/* SPDX-License-Identifier: MIT */
/*
 * Whom a device of a soft region has been given to since it was made: nobody, processes of one
 * user, or of several, or the worker. It is noted before a descriptor leaves, in
 * /run/guestmemfs/.users-START, which goes with the boot as the devices do; so whoever takes the
 * device over knows it, whatever died. What is not noted is not known, and stays so as long as the
 * device is there.
 */
#ifndef GM_REGION_SOFT_USER_H
#define GM_REGION_SOFT_USER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum soft_users {
	SOFT_USERS_UNKNOWN,
	SOFT_USERS_NONE,
	SOFT_USERS_ONE,
	SOFT_USERS_SEVERAL,
	SOFT_USERS_WORKER, /* the pool's own worker, which keeps files' contents in it */
};

struct soft_user {
	uint8_t users; /* enum soft_users */
	bool spare;    /* its file is removed, and nobody has been given the device since */
	uid_t uid;     /* SOFT_USERS_ONE: whose processes */
};

#define SOFT_USER_NULL ((struct soft_user){.users = SOFT_USERS_UNKNOWN})

/* Of the region's device with this id; not known if nothing is noted. Negative errno. */
int soft_user_load(struct soft_user *ret, uint64_t region_start, unsigned id);

/* Never waits, and takes no room where there was a note before. Negative errno. */
int soft_user_note(const struct soft_user *u, uint64_t region_start, unsigned id);

#endif
