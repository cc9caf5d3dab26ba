/* SPDX-License-Identifier: MIT */
/*
 * POSIX access control lists (acl(5)), in the form in which the kernel passes them on as extended
 * attributes, and in which they lie on the media: a version, then entries in a fixed order. Only
 * permissions ever change in one, never its length.
 */
#ifndef GM_STORE_ACL_H
#define GM_STORE_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACL_ACCESS_NAME "system.posix_acl_access"
/* Of directories: what comes into them gets it. */
#define ACL_DEFAULT_NAME "system.posix_acl_default"

/* Version, order, tags, permissions and qualifiers, as the kernel checks them. The functions below
 * take valid ones only. */
bool acl_is_valid(const void *acl, size_t size);

/* True if it says nothing that permission bits could not say. */
bool acl_is_minimal(const void *acl, size_t size);

/* The permission bits (0777) of a file with this list; the group's are the mask's if there is one.
 */
uint32_t acl_mode(const void *acl, size_t size);

/*
 * The same for a place where there are permission bits alone: nobody gets by them what the list
 * denies him. So the group has no more than itself and every named user, and the others no more
 * than anybody who is named.
 */
uint32_t acl_plain_mode(const void *acl, size_t size);

/* chmod(2): owner, mask (or group, where there is none) and others as in mode. */
void acl_set_mode(void *acl, size_t size, uint32_t mode);

/*
 * Makes a directory's default list the access list of something new in it, which was asked for with
 * this mode; the mode's permission bits become what the list allows of them.
 */
void acl_inherit(void *acl, size_t size, uint32_t *mode);

#endif
