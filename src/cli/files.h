/* SPDX-License-Identifier: MIT */
/* The choice of files that `guestmemfs ls` makes. Pure. */
#ifndef GM_CLI_FILES_H
#define GM_CLI_FILES_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Of all files (the array of CONTROL_FILES) those that `ls` of inode ino shows, sorted by path: for
 * the root every one, for another directory what is below it, for a file its own names. *ret is a
 * new array. -ENOMEM.
 */
int files_select(struct json_object *all, uint64_t ino, bool is_dir, struct json_object **ret);

#endif
