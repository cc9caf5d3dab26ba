/* SPDX-License-Identifier: MIT */
/*
 * The control socket: listens, answers the operator's command. Clients are few, and none can hold
 * up the worker: each has its time.
 */
#ifndef GM_FUSE_CONTROL_H
#define GM_FUSE_CONTROL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fuse/status.h"
#include "guestmemfs/protocol.h"
#include "util/problem.h"

struct control;
struct grants;

#define CONTROL_CLIENTS_MAX 16U
#define CONTROL_IDLE_MS     10000U  /* a client that says nothing, or does not take its answer */
#define CONTROL_EXPORT_MS   600000U /* the file is zeroed first, if it is new */
#define CONTROL_UNEXPORT_MS 60000U  /* the helper has but to change the node */
#define CONTROL_HOLDERS_MS  10000U  /* for the list of holders; what comes later is left out */

/* Takes listen over, also on failure. status and grants outlive it. Root may ask, and owner. */
int control_new(struct control **ret, int listen, uid_t owner, const struct status *status,
	struct namespace *ns, struct grants *grants, struct problem *why);
struct control *control_free(struct control *k); /* NULL is fine; returns NULL */

/* A descriptor that becomes readable when there is something to do: control_serve(). now:
 * clock_milliseconds(). */
int control_fd(const struct control *k);
void control_serve(struct control *k, uint64_t now);

/* A holder, or NULL after the last one, or if no more will come: grants_ask_holders() was called
 * from here. */
void control_take_holder(struct control *k, const struct link_holder *h);

/* The answer to an export that was asked for here; as in struct grants_config. */
void control_take_exported(
	struct control *k, uint64_t ino, int error, enum gm_reason reason, const char *node);

/* The answer to the end of one, likewise. */
void control_take_unexported(struct control *k, uint64_t ino, int error);

/* The connection of who has asked for an upgrade, for the supervisor; the caller's. -1: nobody. */
int control_take_upgrade(struct control *k);

/* True while somebody's answer waits for the helper. */
bool control_is_busy(const struct control *k);

/* Ends what has had its time; and when there will be more of that. False: nothing is waited for. */
void control_expire(struct control *k, uint64_t now);
bool control_next_deadline(const struct control *k, uint64_t *ret);

#endif
