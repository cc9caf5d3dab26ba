// SPDX-License-Identifier: MIT
#include "util/dir_names.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/cleanup_file.h"

/* As a rule there are two looks, and what is there is missing only if both have left it out. This
 * is for a directory that never rests. */
#define LOOKS_MAX 16

void dir_names_deinit(struct dir_names *n)
{
	for (size_t i = 0; i < n->count; i++)
		free(n->names[i]);
	free(n->names);
	*n = DIR_NAMES_NULL;
}

static int add(struct dir_names *n, const char *name)
{
	_cleanup_free_ char *copy = strdup(name);

	if (!copy)
		return -ENOMEM;
	/* Doubled whenever it is full. */
	if ((n->count & (n->count - 1)) == 0) {
		char **more =
			reallocarray(n->names, n->count ? 2 * n->count : 1, sizeof(*n->names));

		if (!more)
			return -ENOMEM;
		n->names = more;
	}
	n->names[n->count++] = steal_pointer(copy);
	return 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool has(const struct dir_names *sorted, const char *name)
{
	return sorted->count > 0 &&
	       bsearch(&name, sorted->names, sorted->count, sizeof(*sorted->names), compare);
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Those that n, sorted, does not have. */
static int read_others(struct dir_names *ret, const struct dir_names *n, const char *path)
{
	_cleanup_dir_ DIR *d = opendir(path);
	const struct dirent *e;
	int r = 0;

	if (!d)
		return -errno;
	for (errno = 0; r == 0 && (e = readdir(d)); errno = 0)
		if (!is_dots(e->d_name) && !has(n, e->d_name))
			r = add(ret, e->d_name);
	return r == 0 && errno != 0 ? -errno : r;
}

/* Adds the others; they are not in n yet, but one of them may be there twice. */
static int merge(struct dir_names *n, const struct dir_names *others)
{
	size_t kept = 0;

	for (size_t i = 0; i < others->count; i++) {
		int r = add(n, others->names[i]);

		if (r < 0)
			return r;
	}
	if (n->count > 0)
		qsort(n->names, n->count, sizeof(*n->names), compare);
	for (size_t i = 0; i < n->count; i++)
		if (kept > 0 && strcmp(n->names[kept - 1], n->names[i]) == 0)
			free(n->names[i]);
		else
			n->names[kept++] = n->names[i];
	n->count = kept;
	return 0;
}

int dir_names_read(struct dir_names *ret, const char *path)
{
	_cleanup_(dir_names_deinit) struct dir_names found = DIR_NAMES_NULL;

	for (unsigned look = 1; look <= LOOKS_MAX; look++) {
		_cleanup_(dir_names_deinit) struct dir_names others = DIR_NAMES_NULL;

		const size_t before = found.count;
		int r = read_others(&others, &found, path);
		if (r == 0)
			r = merge(&found, &others);
		if (r < 0)
			return r;
		if (look > 1 && found.count == before)
			break;
	}
	*ret = found;
	found = DIR_NAMES_NULL;
	return 0;
}
