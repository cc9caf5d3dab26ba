// SPDX-License-Identifier: MIT
#include "cli/instances.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup_file.h"

#define RUNTIME "/run/guestmemfs"

int instance_ask(struct instance *i, struct problem *why)
{
	struct json_object *status = NULL;
	int r = query_socket(i->socket, CONTROL_STATUS, 0, &status, why);

	if (r < 0)
		return r;
	json_object_put(i->status);
	i->status = status;
	return 0;
}

bool instance_has_kind(const struct instance *i, const char *kind)
{
	struct json_object *regions = query_array(i->status, "/regions");

	for (size_t n = 0; regions && n < json_object_array_length(regions); n++)
		if (strcmp(query_text(json_object_array_get_idx(regions, n), "/kind"), kind) == 0)
			return true;
	return false;
}

static void note_silent(struct instances *all, const char *name, int error, struct problem *why)
{
	if (all->silent++ > 0)
		return;
	all->error = problem_prefix(why, error, "instance %s", name);
	all->silence = *why;
}

/* A start would find it running: it helps none of these. */
const char *instances_remedy(int error)
{
	switch (-error) {
	case ETIMEDOUT:
		return "kill -CONT lets a worker (guestmemfs-worker) that was stopped go on; after "
		       "kill -9 of one that hangs its supervisor (guestmemfs-fuse) starts another "
		       "one";
	case EACCES:
		return "ask as root";
	default:
		return "try again";
	}
}

static int add_instance(struct instances *all, const char *name, struct problem *why)
{
	struct instance *more = reallocarray(all->list, all->count + 1, sizeof(*more));
	struct problem silence = PROBLEM_INIT;
	struct instance *i;
	int r;

	if (!more)
		return problem_errno(why, ENOMEM, "looking for instances");
	all->list = more;
	i = &all->list[all->count];
	*i = (struct instance){.status = NULL};
	(void)snprintf(i->socket, sizeof(i->socket), RUNTIME "/%s/control.sock", name);
	r = instance_ask(i, &silence);
	if (r == 0)
		all->count++;
	else if (r != -ENOENT && r != -ECONNREFUSED) /* it has ended */
		note_silent(all, name, r, &silence);
	return 0;
}

int instances_find(struct instances *ret, struct problem *why)
{
	_cleanup_dir_ DIR *d = opendir(RUNTIME);
	struct instances all = INSTANCES_NULL;
	struct dirent *e;
	int r = 0;

	if (!d && errno != ENOENT)
		return problem_errno(why, errno, "reading " RUNTIME);
	while (d && r == 0 && (e = readdir(d)))
		if (e->d_name[0] != '.')
			r = add_instance(&all, e->d_name, why);
	if (r < 0) {
		instances_deinit(&all);
		return r;
	}
	*ret = all;
	return 0;
}

void instances_deinit(struct instances *i)
{
	for (size_t n = 0; n < i->count; n++)
		json_object_put(i->list[n].status);
	free(i->list);
	*i = INSTANCES_NULL;
}
