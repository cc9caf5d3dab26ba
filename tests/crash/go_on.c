// SPDX-License-Identifier: MIT
#include "go_on.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fuse/namespace.h"

/* The first file in the root directory, or 0. */
static uint64_t find_file(const struct namespace *ns, struct ns_entry *ret)
{
	for (uint64_t after = 2; ns_next_entry(ns, GM_ROOT_INO, after, ret) == 1;
		after = ret->cookie)
		if (S_ISREG(ret->type))
			return ret->ino;
	return 0;
}

/* Changes of several kinds; whichever is refused must be refused for a good reason. */
static int change_something(struct namespace *ns)
{
	struct ns_request rq = {.now = {.tv_sec = 9000}, .unique = 77777, .uid = 1};
	const uint64_t granule = alloc_granule(store_meta(ns->store)->alloc);
	const struct ns_change size = {.set = NS_SET_SIZE | NS_SET_MODE,
		.size = granule > 1 ? GM_GROUP_SIZE : GM_BLOCK_SIZE + 5};
	struct ns_name to = {.parent = GM_ROOT_INO, .name = "renamed", .length = 7};
	struct ns_entry entry;
	struct stat st;
	int r = ns_create(ns, &rq, GM_ROOT_INO, "made later", 10, 0600, &st);

	if (r == -ENOSPC)
		return 0;
	if (r < 0)
		return r;
	r = ns_setattr(ns, &rq, st.st_ino, &size, &st);
	if (r == -ENOSPC)
		r = 0;
	if (r == 0 && find_file(ns, &entry)) {
		char name[GM_NAME_MAX];
		struct ns_name from = {.parent = GM_ROOT_INO, .name = name, .length = entry.length};

		memcpy(name, entry.name, entry.length);
		r = ns_rename(ns, &rq, &from, &to, 0);
		if (r == 0)
			r = ns_unlink(ns, &rq, GM_ROOT_INO, to.name, to.length);
	}
	return r;
}

int go_on(struct store *s, const uint8_t boot_id[16], bool checkpoint, struct problem *why)
{
	struct namespace ns;
	int r = store_begin_mount(s, boot_id, why);

	if (r == 0)
		r = store_thaw(s);
	if (r < 0)
		return r;
	ns_init(&ns, s);
	r = change_something(&ns);
	if (r == 0 && checkpoint)
		r = store_checkpoint(s);
	return r;
}
