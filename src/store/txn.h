/* SPDX-License-Identifier: MIT */
/*
 * A transaction: the items of one change, on their way into one journal record. Building can't fail
 * visibly: running out of memory is remembered and reported by store_commit().
 *
 *	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_CREATE, unique);
 *	txn_put_inode(&t, &attr);
 *	txn_add_dirent(&t, parent, ino, cookie, type, name, length);
 *	r = store_commit(store, &t);
 */
#ifndef GM_STORE_TXN_H
#define GM_STORE_TXN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/meta.h"

struct txn {
	uint8_t *items; /* the record: room for its header, then the items */
	size_t size;    /* of the items alone */
	size_t capacity;
	uint64_t unique; /* of the FUSE request that asks for it; 0 if none does */
	uint64_t result; /* inode that the change made or changed, for the checkpoint's results */
	enum gm_record_type type;
	bool failed; /* out of memory, or an item is too long */
};

#define TXN_INIT(t, u) ((struct txn){.type = (t), .unique = (u)})

void txn_deinit(struct txn *t);

void txn_put_inode(struct txn *t, const struct inode_attr *a); /* made, or replaced whole */
void txn_remove_inode(struct txn *t, uint64_t ino);            /* after its extents and entries */
void txn_add_dirent(struct txn *t, uint64_t parent, uint64_t ino, uint64_t cookie, uint8_t type,
	const char *name, size_t length);
void txn_remove_dirent(struct txn *t, uint64_t parent, uint64_t cookie);

/* Made or replaced; after its inode. The attributes of an inode that is removed go with it. */
void txn_set_xattr(struct txn *t, uint64_t ino, const char *name, size_t name_len,
	const void *value, size_t value_len);
void txn_remove_xattr(struct txn *t, uint64_t ino, const char *name, size_t name_len);

/* text: length bytes, 1 to GM_TARGET_MAX, no NUL. After the symlink's inode. */
void txn_set_target(struct txn *t, uint64_t ino, const char *text, size_t length);

/* Free -> the file's; ino exists already. */
void txn_add_extent(struct txn *t, uint64_t ino, const struct file_extent *e);

/* All or part of one extent -> free, dirty. */
void txn_remove_extent(struct txn *t, uint64_t ino, const struct file_extent *e);

/* All extents or pieces of the inode, if it has any. */
void txn_remove_extents(struct txn *t, const struct inode *i);

/* Free units of the content store -> the file's; all or part of one piece -> free. */
void txn_add_piece(struct txn *t, uint64_t ino, const struct file_extent *e);
void txn_remove_piece(struct txn *t, uint64_t ino, const struct file_extent *e);

/* The item after `last`, the first one for NULL; NULL at the end. */
const struct gm_item *txn_next_item(const struct txn *t, const struct gm_item *last);

/* All items of the other one, behind those that are there. */
void txn_append(struct txn *t, const struct txn *from);

void txn_set_blocks(struct txn *t, const struct alloc_extent *e, enum gm_block_state state);
void txn_boot(
	struct txn *t, const uint8_t boot_id[16], const uint8_t token[16], uint64_t mount_number);

#endif
