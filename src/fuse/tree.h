/* SPDX-License-Identifier: MIT */
/*
 * A walk over every name of the tree, each with its whole path. Nothing may change meanwhile.
 */
#ifndef GM_FUSE_TREE_H
#define GM_FUSE_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "store/meta.h"

struct tree_level {
	const struct inode *dir;
	uint64_t cookie; /* of the entry that was visited last */
	size_t length;   /* of the directory's path */
};

struct tree {
	const struct meta *meta;   /* not owned */
	struct tree_level *levels; /* from the root to where the walk is; owned */
	size_t depth;
	size_t capacity;
	char *path; /* of the current name, NUL-terminated; owned */
	size_t room;
};

/* -ENOMEM. */
int tree_init(struct tree *t, const struct meta *meta);
void tree_deinit(struct tree *t);

/*
 * The next name: 1 and its path ("/vm0", valid until the next call) and inode; 0 there are no more;
 * -ENOMEM. A directory comes before what is in it; the root itself does not come.
 */
int tree_next(struct tree *t, const char **path, const struct inode **inode);

#endif
