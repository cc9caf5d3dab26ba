/* SPDX-License-Identifier: MIT */
/*
 * The names in a directory of sysfs or of another filesystem that stands on kernfs. There
 * readdir(3) may leave out a name that was there all the time, while another one is removed: it
 * goes on from a name that is gone by the one that is next to it in a tree, before or behind, and
 * takes the one behind for read (kernfs_dir_pos() of Linux 6.1; seen at one removal in 500).
 */
#ifndef GM_UTIL_DIR_NAMES_H
#define GM_UTIL_DIR_NAMES_H

#include <stddef.h>

struct dir_names {
	char **names; /* owned; in the order of strcmp(3), each once; without "." and ".." */
	size_t count;
};

#define DIR_NAMES_NULL ((struct dir_names){.names = NULL})

/*
 * Reads the directory again and again until that shows no name that was not seen before, at least
 * twice. A name that comes or goes meanwhile may be among them. 0 or a negative errno.
 */
int dir_names_read(struct dir_names *ret, const char *path);
void dir_names_deinit(struct dir_names *n);

#endif
