// SPDX-License-Identifier: MIT
#include "fuse/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guestmemfs/format.h"

static int enter(struct tree *t, const struct inode *dir, size_t length)
{
	if (t->depth == t->capacity) {
		size_t capacity = t->capacity ? 2 * t->capacity : 16;
		struct tree_level *levels = reallocarray(t->levels, capacity, sizeof(*levels));

		if (!levels)
			return -ENOMEM;
		t->levels = levels;
		t->capacity = capacity;
	}
	t->levels[t->depth++] = (struct tree_level){.dir = dir, .length = length};
	return 0;
}

int tree_init(struct tree *t, const struct meta *meta)
{
	const struct inode *root = meta_inode(meta, GM_ROOT_INO);

	*t = (struct tree){.meta = meta};
	return root ? enter(t, root, 0) : 0;
}

void tree_deinit(struct tree *t)
{
	free(t->levels);
	free(t->path);
	*t = (struct tree){.meta = NULL};
}

/* Puts "/name" behind the path of its directory. Gives the length of the whole, or -ENOMEM. */
static ssize_t append(struct tree *t, size_t length, const struct dirent *d)
{
	size_t end = length + 1 + d->name_len;

	if (end + 1 > t->room) {
		char *path = realloc(t->path, 2 * (end + 1));

		if (!path)
			return -ENOMEM;
		t->path = path;
		t->room = 2 * (end + 1);
	}
	t->path[length] = '/';
	memcpy(t->path + length + 1, d->name, d->name_len);
	t->path[end] = '\0';
	return (ssize_t)end;
}

int tree_next(struct tree *t, const char **path, const struct inode **inode)
{
	const struct dirent *d = NULL;

	while (t->depth > 0) {
		struct tree_level *level = &t->levels[t->depth - 1];

		d = meta_next_entry(level->dir, level->cookie);
		if (d)
			break;
		t->depth--;
	}
	if (!d)
		return 0;

	struct tree_level *level = &t->levels[t->depth - 1];
	const struct inode *found = meta_inode(t->meta, d->ino);
	ssize_t length = append(t, level->length, d);

	level->cookie = d->cookie;
	if (length < 0 || (inode_is_dir(found) && enter(t, found, (size_t)length) < 0))
		return -ENOMEM;
	*path = t->path;
	*inode = found;
	return 1;
}
