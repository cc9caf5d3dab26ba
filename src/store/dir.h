/* SPDX-License-Identifier: MIT */
/*
 * A directory's entries in the order of their cookies. A slot is a pointer to the entry or, where
 * it was removed, (cookie << 1) | 1, so that a search still finds its way; when half are such holes
 * they are squeezed out. Cookies only grow, so a new entry always comes last.
 */
#ifndef GM_STORE_DIR_H
#define GM_STORE_DIR_H

#include "store/meta.h"

static_assert(sizeof(uintptr_t) == 8, "cookies of 63 bits need 64-bit slots");

/* Room for `more` further entries. 0 or -ENOMEM. */
int dir_reserve(struct inode *dir, uint32_t more);

/* There must be room, and the cookie must be greater than dir_last_cookie(). */
void dir_append(struct inode *dir, struct dirent *entry);

/* The entry with this cookie, or NULL. */
struct dirent *dir_find(const struct inode *dir, uint64_t cookie);

/* The entry with this cookie, which is there, leaves the directory; it is the caller's now. */
struct dirent *dir_take(struct inode *dir, uint64_t cookie);

/* The greatest cookie that is known to have been used; 0 if none is. */
uint64_t dir_last_cookie(const struct inode *dir);

/* The entry with the smallest cookie greater than after; NULL past the last. */
struct dirent *dir_next(const struct inode *dir, uint64_t after);

/* Each entry once, in order: start with *at = 0; NULL at the end. Nothing may change meanwhile. */
struct dirent *dir_each(const struct inode *dir, uint32_t *at);

#endif
