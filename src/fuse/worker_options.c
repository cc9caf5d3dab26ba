// SPDX-License-Identifier: MIT
#include "fuse/worker_options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "region/region.h"

enum {
	OPTION_NAME = 256,
	OPTION_MOUNT_POINT,
	OPTION_GRANT_SOCKET,
	OPTION_CONTROL_SOCKET,
	OPTION_REGION,
	OPTION_TRUST_MEMORY,
	OPTION_SCRUB_RATE,
	OPTION_USER,
	OPTION_TABLE,
	OPTION_CONTROL,
};

static const struct option long_options[] = {
	{"name", required_argument, NULL, OPTION_NAME},
	{"mount-point", required_argument, NULL, OPTION_MOUNT_POINT},
	{"grant-socket", required_argument, NULL, OPTION_GRANT_SOCKET},
	{"control-socket", required_argument, NULL, OPTION_CONTROL_SOCKET},
	{"region", required_argument, NULL, OPTION_REGION},
	{"trust-memory", no_argument, NULL, OPTION_TRUST_MEMORY},
	{"scrub-rate", required_argument, NULL, OPTION_SCRUB_RATE},
	{"user", required_argument, NULL, OPTION_USER},
	{"table", required_argument, NULL, OPTION_TABLE},
	{"control", required_argument, NULL, OPTION_CONTROL},
	{NULL, 0, NULL, 0},
};

/* A descriptor's number, and where it ends. */
static bool parse_fd(int *ret, const char *text, const char **end)
{
	char *after;
	long fd;

	errno = 0;
	fd = strtol(text, &after, 10);
	if (errno || after == text || fd < 0 || fd > INT_MAX)
		return false;
	*ret = (int)fd;
	*end = after;
	return true;
}

static int add_region(struct worker_options *o, const char *text, struct problem *why)
{
	struct worker_region *r = &o->regions[o->region_count];
	const char *colon = strchr(text, ':'), *end;

	if (o->region_count == GM_REGIONS_MAX || !colon ||
		!region_kind_find(&r->kind, text, (size_t)(colon - text)))
		return problem(why, EINVAL, "worker: bad region %s", text);
	if (!parse_fd(&r->fd, colon + 1, &end) || *end != ':')
		return problem(why, EINVAL, "worker: bad region %s", text);
	r->name = end + 1;
	o->region_count++;
	return 0;
}

static int set_fd(int *ret, const char *text, struct problem *why)
{
	const char *end;

	if (!parse_fd(ret, text, &end) || *end)
		return problem(why, EINVAL, "worker: bad descriptor %s", text);
	return 0;
}

static int set_user(struct worker_options *o, const char *text, struct problem *why)
{
	unsigned user, group;
	int end = 0;

	if (sscanf(text, "%u:%u%n", &user, &group, &end) != 2 || text[end] || user == 0)
		return problem(why, EINVAL, "worker: bad user %s", text);
	o->has_user = true;
	o->user = user;
	o->group = group;
	return 0;
}

static int set_rate(uint64_t *ret, const char *text, struct problem *why)
{
	if (region_parse_size(text, ret) < 0)
		return problem(why, EINVAL, "worker: bad scrub rate %s", text);
	return 0;
}

int worker_options_parse(
	struct worker_options *ret, int argc, char *const argv[], struct problem *why)
{
	struct worker_options o = {.table = -1, .control = -1};
	int c, r = 0;

	opterr = 0;
	optind = 0;
	while (r == 0 && (c = getopt_long(argc, argv, "", long_options, NULL)) >= 0) {
		if (c == OPTION_NAME)
			o.name = optarg;
		else if (c == OPTION_MOUNT_POINT)
			o.mount_path = optarg;
		else if (c == OPTION_GRANT_SOCKET)
			o.grant_socket = optarg;
		else if (c == OPTION_CONTROL_SOCKET)
			o.control_socket = optarg;
		else if (c == OPTION_REGION)
			r = add_region(&o, optarg, why);
		else if (c == OPTION_TRUST_MEMORY)
			o.trust_memory = true;
		else if (c == OPTION_SCRUB_RATE)
			r = set_rate(&o.scrub_rate, optarg, why);
		else if (c == OPTION_USER)
			r = set_user(&o, optarg, why);
		else if (c == OPTION_TABLE)
			r = set_fd(&o.table, optarg, why);
		else if (c == OPTION_CONTROL)
			r = set_fd(&o.control, optarg, why);
		else
			r = problem(why, EINVAL, "worker: bad option %s", argv[optind - 1]);
	}
	if (r == 0 &&
		(optind != argc || !o.name || !o.mount_path || !o.grant_socket ||
			!o.control_socket || o.table < 0 || o.control < 0 || o.region_count == 0))
		r = problem(why, EINVAL,
			"guestmemfs-worker is started by guestmemfs-fuse, never by hand");
	if (r == 0)
		*ret = o;
	return r;
}
