// SPDX-License-Identifier: MIT
/* Steps that make links, symlinks and nodes. */
#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "world_steps.h"

/* link OLD NEW */
int world_step_link(struct world *w, char *const args[])
{
	struct ns_name n;
	struct stat st;
	uint64_t ino;
	int r = world_find_ino(w, args[1], &ino);

	if (r == 0)
		r = world_find_name(w, args[2], &n);
	return r < 0 ? r : world_asked(w, ns_link(&w->ns, &w->rq, ino, &n, &st));
}

/* symlink PATH TARGET; a target "long" is as long as may be. */
int world_step_symlink(struct world *w, char *const args[])
{
	char target[GM_TARGET_MAX + 1] = {0};
	struct ns_name n;
	struct stat st;
	int r = world_find_name(w, args[1], &n);

	if (r < 0)
		return r;
	if (strcmp(args[2], "long") == 0)
		memset(target, 'x', GM_TARGET_MAX);
	else
		strncpy(target, args[2], GM_TARGET_MAX);
	return world_asked(w, ns_symlink(&w->ns, &w->rq, &n, target, &st));
}

/* mknod PATH TYPE: p, s, c, b or f */
int world_step_mknod(struct world *w, char *const args[])
{
	static const char letters[] = "pscbf";
	static const uint32_t types[] = {S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, S_IFREG};
	const char *letter = strchr(letters, args[2][0]);
	struct ns_name n;
	struct stat st;
	int r = world_find_name(w, args[1], &n);

	if (r < 0 || !letter || !*letter)
		return r < 0 ? r : -ENOSYS;
	return world_asked(w, ns_mknod(&w->ns, &w->rq, &n, types[letter - letters] | 0660,
				      makedev(259, 70000), &st));
}
