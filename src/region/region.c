// SPDX-License-Identifier: MIT
/*
 * What all kinds of regions share: opening, adopting, locking, mapping. A struct region owns its
 * descriptor and name.
 */
#include "region/region.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <time.h>

#include "region/ops.h"
#include "util/cleanup.h"

#define LOCK_STEP_MS 5U

static int region_init(struct region *r, const struct region_ops *ops, int fd, const char *name,
	struct problem *why)
{
	*r = (struct region){.ops = ops, .kind = ops->kind, .fd = fd, .node = GM_NODE_NONE};
	r->name = strdup(name);
	if (!r->name)
		return problem_errno(why, ENOMEM, "region %s", name);
	int e = ops->describe(r, why);
	if (e == 0 && r->reach == 0)
		r->reach = r->size;
	return e;
}

static int region_check_size(const struct region *r, uint64_t wanted, struct problem *why)
{
	char is[REGION_SIZE_TEXT];
	char was[REGION_SIZE_TEXT];

	if (wanted == 0 || wanted == r->size)
		return 0;
	return problem(why, EINVAL,
		"region %s is there already and is %s, not %s: leave size= out, or remove it if "
		"nothing in it is needed",
		r->name, region_format_size(is, r->size), region_format_size(was, wanted));
}

uint64_t region_peek_size(const struct region_spec *spec)
{
	return spec->ops->peek_size ? spec->ops->peek_size(spec) : 0;
}

int region_open(struct region *ret, const struct region_spec *spec, unsigned flags, bool *created,
	struct problem *why)
{
	_cleanup_(region_close) struct region region = REGION_NULL;
	_cleanup_free_ char *name = NULL;
	bool made = false;
	int fd = spec->ops->open(spec, flags, &made, &name, why);

	if (fd < 0)
		return fd;
	int r = region_init(&region, spec->ops, fd, name, why);
	if (r >= 0)
		r = region_check_size(&region, spec->size, why);
	if (r < 0) {
		if (made)
			spec->ops->discard(name);
		return r;
	}
	*ret = region;
	region = REGION_NULL;
	if (created)
		*created = made;
	return 0;
}

int region_adopt(
	struct region *ret, enum gm_region_kind kind, int fd, const char *name, struct problem *why)
{
	_cleanup_(region_close) struct region region = REGION_NULL;
	const struct region_ops *ops = region_ops_of(kind);

	region.fd = fd;
	if (!ops)
		return problem(why, EINVAL,
			"region %s is of kind %u, which this build does not know", name,
			(unsigned)kind);
	int r = region_init(&region, ops, fd, name, why);
	if (r < 0)
		return r;
	*ret = region;
	region = REGION_NULL;
	return 0;
}

void region_close(struct region *r)
{
	r->fd = close_fd(r->fd);
	free(r->name);
	*r = REGION_NULL;
}

void region_discard(const struct region *r)
{
	if (r->ops->discard)
		r->ops->discard(r->name);
}

int region_allocate(struct region *r, struct problem *why)
{
	return r->ops->allocate ? r->ops->allocate(r, why) : 0;
}

int region_reach(struct region *r, uint64_t bytes, struct problem *why)
{
	if (!r->ops->reach || r->reach == r->size) /* one that was cut reaches all of it */
		return 0;
	if (bytes == 0 || bytes % GM_BLOCK_SIZE || bytes >= r->size)
		return problem(why, EINVAL, "region %s has no first %" PRIu64 " bytes to be mapped",
			r->name, bytes);
	return bytes == r->reach ? 0 : r->ops->reach(r, bytes, why);
}

int region_cut(struct region *r, uint64_t bytes, struct problem *why)
{
	int e = region_reach(r, bytes, why);

	if (e == 0)
		r->size = r->reach = bytes;
	return e;
}

static int region_lock_once(
	const struct region *r, bool shared, unsigned *left_ms, struct problem *why)
{
	const struct timespec step = {.tv_nsec = LOCK_STEP_MS * 1000000L};

	while (flock(r->fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return problem_errno(why, errno, "locking region %s", r->name);
		if (*left_ms == 0)
			return problem(why, EWOULDBLOCK,
				"region %s is in use by another guestmemfs-fuse or guestmemfs "
				"command (its lock is taken); end that one first%s%s%s",
				r->name, r->name[0] == '/' ? ", fuser " : "",
				r->name[0] == '/' ? r->name : "",
				r->name[0] == '/' ? " names it" : "");
		(void)nanosleep(&step, NULL);
		*left_ms -= *left_ms < LOCK_STEP_MS ? *left_ms : LOCK_STEP_MS;
	}
	return 0;
}

int region_lock(struct region *r, bool shared, unsigned timeout_ms, struct problem *why)
{
	int e = 0;

	do {
		e = region_lock_once(r, shared, &timeout_ms, why);
		if (e == 0 && r->ops->renew)
			e = r->ops->renew(r, why);
	} while (e > 0);
	return e;
}

int region_reopen(const struct region *r, int access)
{
	char path[64];

	/* A path of /proc leads to the very same file, also if its name is gone or is another
	 * file's by now. */
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", r->fd);
	int fd = open(path, access | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Where in fd a range of the region is: the last block follows what is reached at the beginning. */
static int region_translate(const struct region *r, uint64_t offset, uint64_t length, uint64_t *ret)
{
	/* Beyond the end a mapping is possible too, and is SIGBUS when it is touched. */
	if (length == 0 || offset % GM_BLOCK_SIZE || length % GM_BLOCK_SIZE || offset > r->size ||
		length > r->size - offset)
		return -EINVAL;
	if (offset + length <= r->reach) {
		*ret = offset;
		return 0;
	}
	if (offset != r->size - GM_BLOCK_SIZE)
		return -ERANGE;
	*ret = r->reach;
	return 0;
}

/*
 * A device with pages of 1 GiB is mapped by whole pages only; what lies around the range comes
 * along. Mappings of such a device begin at a multiple of its page size, which is how
 * region_unmap() finds the beginning again.
 */
static uint64_t region_page(const struct region *r)
{
	return r->align > GM_BLOCK_SIZE ? r->align : GM_BLOCK_SIZE;
}

void *region_map(const struct region *r, uint64_t offset, uint64_t length, bool writable, int *err)
{
	int prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;
	uint64_t page = region_page(r);
	uint64_t at = 0;
	int e = region_translate(r, offset, length, &at);

	if (e < 0) {
		*err = -e;
		return NULL;
	}
	uint64_t before = at % page;
	uint64_t whole = (before + length + page - 1) / page * page;
	char *p = mmap(NULL, whole, prot, MAP_SHARED, r->fd, (off_t)(at - before));
	if (p == MAP_FAILED) {
		*err = errno;
		return NULL;
	}
	return p + before;
}

void region_unmap(const struct region *r, void *address, uint64_t length)
{
	uint64_t page = region_page(r);

	if (!address)
		return;
	uint64_t before = page > GM_BLOCK_SIZE ? (uintptr_t)address % page : 0;
	(void)munmap((char *)address - before, (before + length + page - 1) / page * page);
}

const char *region_kind_name(enum gm_region_kind kind)
{
	switch (kind) {
	case GM_REGION_FILE:
		return "file";
	case GM_REGION_PMEM:
		return "pmem";
	case GM_REGION_SOFT:
		return "soft";
	}
	return "unknown";
}

bool region_kind_find(enum gm_region_kind *ret, const char *name, size_t length)
{
	static const enum gm_region_kind kinds[] = {GM_REGION_FILE, GM_REGION_PMEM, GM_REGION_SOFT};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const char *known = region_kind_name(kinds[i]);

		if (strlen(known) == length && memcmp(known, name, length) == 0) {
			*ret = kinds[i];
			return true;
		}
	}
	return false;
}

bool region_needs_trust(enum gm_region_kind kind)
{
	const struct region_ops *ops = region_ops_of(kind);

	return !ops || ops->needs_trust;
}
