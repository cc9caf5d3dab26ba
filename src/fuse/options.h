/* SPDX-License-Identifier: MIT */
/*
 * The command line of guestmemfs-fuse, taken apart and checked as far as it can be without touching
 * anything.
 */
#ifndef GM_FUSE_OPTIONS_H
#define GM_FUSE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "guestmemfs/types.h"
#include "proto/reuse.h"
#include "util/problem.h"

enum options_action {
	OPTIONS_MOUNT,
	OPTIONS_HELP,    /* asked for --help: options_print_help() */
	OPTIONS_VERSION, /* asked for --version */
};

enum options_format {
	OPTIONS_FORMAT_NEVER, /* but a region that was created just now */
	OPTIONS_FORMAT_BLANK, /* also one whose metadata area is all zero */
	OPTIONS_FORMAT_FORCE, /* whatever is there */
};

#define OPTIONS_NAME_MAX 63U

/*
 * Bytes a second of what is scrubbed in the background: a part of one memory channel's, so that
 * guests don't notice, and a terabyte within nine minutes.
 */
#define OPTIONS_SCRUB_RATE     (2ULL << 30)
#define OPTIONS_SCRUB_RATE_MIN GM_BLOCK_SIZE

struct options {
	enum options_action action;
	enum options_format format;
	const char *regions[GM_REGIONS_MAX]; /* specifications as given; argv's */
	size_t region_count;                 /* 0: region_find_default() */
	const char *mount_point;             /* as given; argv's */
	const char *name;                    /* argv's; NULL if not given: options_default_name() */
	const char *socket;                  /* argv's; NULL if not given */
	char *mount_options; /* of -o, for the kernel, joined by commas; "" if none; owned */
	/* Whom the worker becomes; only where root starts it. */
	bool has_user;
	uid_t user;
	gid_t user_group;
	gid_t trusted_group;
	bool has_trusted_group;
	enum reuse_policy reuse;
	bool trust_memory;   /* mount reserved RAM although nothing shows that it survived */
	uint64_t scrub_rate; /* bytes a second in the background; 0: no limit */
	bool grow;           /* what regions have grown by is taken into use */
	bool foreground;
	bool debug;
};

#define OPTIONS_NULL ((struct options){.action = OPTIONS_MOUNT, .scrub_rate = OPTIONS_SCRUB_RATE})

/*
 * -EINVAL with a sentence for what can't be understood (exit code 2 then); -ENOMEM. privileged: the
 * caller is root, whose mounts are for everybody. ret refers to argv, and is to be given to
 * options_deinit() on success.
 */
int options_parse(
	struct options *ret, int argc, char *const argv[], bool privileged, struct problem *why);
void options_deinit(struct options *o);

/* The name of an instance goes into paths and into the mount table: letters, digits, '.', '_', '-'.
 */
bool options_is_name(const char *name);

/*
 * The name that follows from where the mount is: the last component of its resolved path, not
 * owned. -EINVAL with a sentence if that can't be a name.
 */
int options_default_name(const char **ret, const char *mount_path, struct problem *why);

void options_print_help(void);

#endif
