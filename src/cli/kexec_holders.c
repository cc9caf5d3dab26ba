// SPDX-License-Identifier: MIT
/*
 * Who is in the way of a kexec. What counts is who has a devdax device open or mapped, by whatever
 * node: the workers' lists of grants tell which file it is, and that alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/kexec.h"
#include "region/dax_sysfs.h"
#include "region/procscan.h"
#include "util/cleanup_file.h"
#include "util/clock.h"

#define COMPLETE_MS 20000U /* for a helper that is just being started anew */

/* ---- the sentence ---- */

/* One for all: "vm0 by process 12 (qemu-system-x86), ..." */
struct list {
	char text[700];
	size_t length;
	unsigned count;
};

static void note(struct list *l, const char *what, long pid)
{
	char path[64], name[32] = "?";
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		ssize_t n = read(fd, name, sizeof(name) - 1);

		if (n > 0)
			name[n - 1] = '\0';
		(void)close_fd(fd);
	}
	l->count++;
	if (l->length > sizeof(l->text) - 128)
		return;
	l->length += (size_t)snprintf(l->text + l->length, sizeof(l->text) - l->length,
		"%s%.40s by process %ld (%s)", l->length ? ", " : "", what, pid, name);
}

/* ---- the devices of this host, and who has them ---- */

struct devices {
	struct scan_target *targets;
	char (*names)[32];
	unsigned count, room;
};

static void devices_deinit(struct devices *d)
{
	free(d->targets);
	free(d->names);
}

static int add_device(struct devices *d, struct dax_id id)
{
	unsigned patience = DAX_PATIENCE;
	dev_t rdev = 0;
	int r;

	while ((r = dax_get_rdev(id, &rdev)) < 0) {
		r = dax_wait_passing(id, r, &patience);
		if (r <= 0)
			return r; /* 0: taken away meanwhile */
	}
	if (d->count == d->room) {
		unsigned room = d->room ? 2 * d->room : 64;
		struct scan_target *targets = reallocarray(d->targets, room, sizeof(*targets));

		if (!targets)
			return -ENOMEM;
		d->targets = targets;
		void *names = reallocarray(d->names, room, sizeof(*d->names));
		if (!names)
			return -ENOMEM;
		d->names = names;
		d->room = room;
	}
	(void)snprintf(d->names[d->count], sizeof(*d->names), "/dev/dax%u.%u", id.region, id.id);
	procscan_identify_device(&d->targets[d->count], rdev, d->names[d->count]);
	d->count++;
	return 0;
}

static int find_devices(struct devices *d)
{
	_cleanup_free_ struct dax_id *all = NULL;
	size_t count = 0;
	int r = dax_list(&all, &count);

	for (size_t i = 0; i < count && r == 0; i++)
		r = add_device(d, all[i]);
	return r;
}

static bool is_ours(const struct instances *all, long pid)
{
	static const char *const keys[] = {
		"/pids/supervisor", "/pids/keeper", "/pids/worker", "/pids/helper"};

	for (size_t n = 0; n < all->count; n++)
		for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
			if (query_number(all->list[n].status, keys[k]) == (uint64_t)pid)
				return true;
	return false;
}

static bool has_device(const struct scan_result *found, long pid)
{
	for (size_t n = 0; n < found->use_count; n++)
		if (found->uses[n].pid == pid)
			return true;
	return false;
}

/* ---- what the workers know ---- */

static bool has_grant(const struct instances *all, long pid)
{
	for (size_t n = 0; n < all->count; n++) {
		struct json_object *grants = query_array(all->list[n].status, "/grants");

		for (size_t i = 0; grants && i < json_object_array_length(grants); i++)
			if (query_number(json_object_array_get_idx(grants, i), "/pid") ==
				(uint64_t)pid)
				return true;
	}
	return false;
}

/*
 * A grant of this boot does not tell that its process has not let go of it since: on soft regions
 * one stands as long as the process lives.
 */
static void note_grants(struct list *l, const struct instance *i, const struct scan_result *found)
{
	struct json_object *grants = query_array(i->status, "/grants");
	bool file = instance_has_kind(i, "file");

	for (size_t n = 0; grants && n < json_object_array_length(grants); n++) {
		struct json_object *g = json_object_array_get_idx(grants, n);
		long pid = (long)query_number(g, "/pid");

		if (strcmp(query_text(g, "/state"), "dead") != 0 &&
			(file || has_device(found, pid)))
			note(l, query_text(g, "/path"), pid);
	}
}

/* Each process once: the uses of one stand together. */
static void note_others(struct list *l, const struct instances *all, const struct devices *d,
	const struct scan_result *found)
{
	pid_t last = 0;

	for (size_t n = 0; n < found->use_count; n++) {
		const struct scan_use *use = &found->uses[n];

		if (use->pid != last && !is_ours(all, use->pid) && !has_grant(all, use->pid))
			note(l, d->names[use->target], use->pid);
		last = use->pid;
	}
}

/*
 * A list of grants that is cut short would hide who holds memory of a pool on a file, which is no
 * device. A helper that is started anew has none for a moment.
 */
static int ask_until_complete(struct instances *all, struct problem *why)
{
	const struct timespec pause = {.tv_nsec = 100 * 1000000L};
	uint64_t until = clock_milliseconds() + COMPLETE_MS;
	int r = 0;

	for (size_t n = 0; n < all->count && r == 0; n++) {
		struct instance *i = &all->list[n];

		while (r == 0 && !query_true(i->status, "/grants_complete")) {
			if (clock_milliseconds() >= until)
				return problem(why, EBUSY,
					"the helper of the pool mounted at %s does not tell who "
					"holds its memory",
					query_text(i->status, "/mount_point"));
			(void)nanosleep(&pause, NULL);
			r = instance_ask(i, why);
		}
	}
	return r;
}

int kexec_find_holders(struct instances *all, struct problem *why)
{
	_cleanup_(devices_deinit) struct devices devices = {.count = 0};
	_cleanup_(scan_result_deinit) struct scan_result found = SCAN_RESULT_NULL;
	struct list l = {.count = 0};
	int r = ask_until_complete(all, why);

	if (r < 0)
		return r;
	r = find_devices(&devices);
	if (r == 0)
		r = procscan_run(&(struct scan_options){.targets = devices.targets,
					 .target_count = devices.count},
			&found);
	if (r < 0)
		return problem_errno(why, -r, "looking for holders of guest memory in /proc");
	for (size_t n = 0; n < all->count; n++)
		note_grants(&l, &all->list[n], &found);
	note_others(&l, all, &devices, &found);
	if (found.blind)
		note(&l, "something that can't be looked at", found.blind);
	if (l.count == 0)
		return 0;
	return problem(why, EBUSY,
		"guest memory is in use: %s%s; end or migrate these first, or give --force and "
		"lose what they have not saved",
		l.text, l.length > sizeof(l.text) - 128 ? ", and more" : "");
}
