// SPDX-License-Identifier: MIT
/* Steps for extended attributes: `attribute PATH WHICH [LETTERS]`, `no-attribute PATH WHICH`. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/le.h"
#include "world_steps.h"

#define ACL_BYTES (4 + 5 * 8)

/* owner, user 3, group, mask, others */
static void fill_list(uint8_t list[ACL_BYTES], uint64_t permissions)
{
	static const uint16_t tags[5] = {0x01, 0x02, 0x04, 0x10, 0x20};

	memset(list, 0, ACL_BYTES);
	list[0] = 2;
	for (unsigned n = 0; n < 5; n++) {
		uint8_t *at = list + 4 + 8 * n;

		at[0] = (uint8_t)tags[n];
		at[2] = (uint8_t)(permissions >> n & 7);
		memset(at + 4, n == 1 ? 0 : 0xff, 4);
		at[4] = n == 1 ? 3 : 0xff;
	}
}

static const struct {
	const char *word;
	const char *name;
} names[] = {
	{"acl", "system.posix_acl_access"},
	{"default", "system.posix_acl_default"},
	{"pages", "user.guestmemfs.pagesize"},
	{"quota", "user.guestmemfs.quota"},
	{"trusted", "trusted.overlay.opaque"},
	{"x", "user.x"},
	{"y", "user.y"},
};

static const char *name_of(const char *word)
{
	for (size_t n = 0; n < ARRAY_SIZE(names); n++)
		if (strcmp(names[n].word, word) == 0)
			return names[n].name;
	return NULL;
}

int world_step_attribute(struct world *w, char *const args[])
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
	uint8_t list[ACL_BYTES];
	struct ns_xattr x = {.name = name_of(args[2]), .value = letters};
	uint64_t ino;
	int r = world_find_ino(w, args[1], &ino);

	if (!x.name || r < 0)
		return r < 0 ? r : -ENOSYS;
	x.value_len = 1 + (size_t)(w->rq.unique % (sizeof(letters) - 1));
	if (strncmp(x.name, "system.", 7) == 0) {
		fill_list(list, w->rq.unique);
		x.value = list;
		x.value_len = sizeof(list);
	} else if (strcmp(args[2], "quota") == 0 || strcmp(args[2], "pages") == 0) {
		x.value = args[3] ? args[3] : "2M";
		x.value_len = strlen(x.value);
	}
	struct ns_request rq = w->rq;
	rq.uid = 0; /* quotas are root's to set */
	return world_asked(w, ns_setxattr(&w->ns, &rq, ino, &x));
}

int world_step_no_attribute(struct world *w, char *const args[])
{
	struct ns_request rq = w->rq;
	uint64_t ino;
	int r = world_find_ino(w, args[1], &ino);

	rq.uid = 0;
	if (r == 0 && !name_of(args[2]))
		r = -ENOSYS;
	return r < 0 ? r : world_asked(w, ns_removexattr(&w->ns, &rq, ino, name_of(args[2])));
}
