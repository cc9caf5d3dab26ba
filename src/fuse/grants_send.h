/* SPDX-License-Identifier: MIT */
/*
 * The messages of the worker to the helper, made from what they are about and put into the link's
 * outbox.
 */
#ifndef GM_FUSE_GRANTS_SEND_H
#define GM_FUSE_GRANTS_SEND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fuse/namespace.h"
#include "fuse/outbox.h"
#include "fuse/refusals.h"
#include "guestmemfs/protocol.h"
#include "store/store.h"

void grants_send_config(struct outbox *o, const struct store_super *super);
void grants_send_plain(struct outbox *o, unsigned opcode);

/* With the extents behind it. */
void grants_send_held(
	struct outbox *o, const struct inode *inode, const struct alloc *alloc, uint64_t epoch);
void grants_send_grant(
	struct outbox *o, const struct inode *inode, uint64_t epoch, uint64_t id, uint32_t access);

/* error: negative errno. */
void grants_send_refuse(struct outbox *o, uint64_t id, int error, enum gm_reason reason);
/* EXPORT (with the extents behind it), NODE or UNEXPORT, as opcode says; mode: ns_node_mode();
 * asker: who wants it, or NULL. */
void grants_send_export(struct outbox *o, unsigned opcode, const struct inode *inode, uint32_t mode,
	uint64_t epoch, uint64_t id, const struct asker *asker);
void grants_send_revoke(struct outbox *o, uint64_t ino, bool kill, uid_t uid, uint64_t id);
void grants_send_hand_over(struct outbox *o, const struct ns_heritage *h, uint64_t epoch);
void grants_send_check(struct outbox *o, uint64_t ino, uint64_t epoch, unsigned flags);

#endif
