// SPDX-License-Identifier: MIT
/* The steps of a script. Each is one change, or one that fails, as the worker or a command makes
 * it. */
#include "world_steps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/le.h"

/* ---- paths: "name" or "directory/name" ---- */

static void remember(struct world *w, const char *path, uint64_t ino)
{
	for (unsigned n = 0; n < WORLD_REMEMBER; n++)
		if (w->remembered[n].ino == 0 || strcmp(w->remembered[n].path, path) == 0) {
			(void)snprintf(
				w->remembered[n].path, sizeof(w->remembered[n].path), "%s", path);
			w->remembered[n].ino = ino;
			return;
		}
}

int world_find_name(const struct world *w, const char *path, struct ns_name *ret)
{
	const char *slash = strchr(path, '/');
	struct stat st;
	int r;

	*ret = (struct ns_name){.parent = GM_ROOT_INO, .name = path, .length = strlen(path)};
	if (!slash)
		return 0;
	r = ns_lookup(&w->ns, GM_ROOT_INO, path, (size_t)(slash - path), &st);
	*ret = (struct ns_name){
		.parent = st.st_ino, .name = slash + 1, .length = strlen(slash + 1)};
	return r;
}

int world_find_ino(const struct world *w, const char *path, uint64_t *ret)
{
	struct ns_name name;
	struct stat st;
	int r = world_find_name(w, path, &name);

	if (r == 0)
		r = ns_lookup(&w->ns, name.parent, name.name, name.length, &st);
	if (r == 0) {
		*ret = st.st_ino;
		return 0;
	}
	for (unsigned n = 0; n < WORLD_REMEMBER; n++)
		if (w->remembered[n].ino && strcmp(w->remembered[n].path, path) == 0) {
			*ret = w->remembered[n].ino;
			return 0;
		}
	return r;
}

struct inode *world_find_file(const struct world *w, const char *path)
{
	uint64_t ino;
	struct inode *i =
		world_find_ino(w, path, &ino) == 0 ? meta_inode(store_meta(w->store), ino) : NULL;

	return i && inode_is_file(i) ? i : NULL;
}

/* A change that a FUSE request world_asked for is remembered with its number, if it was one. */
int world_asked(struct world *w, int r)
{
	struct store_stats stats;

	store_get_stats(w->store, &stats);
	if (r == 0 && stats.sequence != w->sequence)
		w->unique = w->rq.unique;
	return r;
}

/* ---- names ---- */

static int step_create(struct world *w, char *const args[])
{
	struct ns_name n;
	struct stat st;
	int r = world_find_name(w, args[1], &n);

	return r < 0 ? r
		     : world_asked(
			       w, ns_create(&w->ns, &w->rq, n.parent, n.name, n.length, 0640, &st));
}

static int step_mkdir(struct world *w, char *const args[])
{
	struct ns_name n;
	struct stat st;
	int r = world_find_name(w, args[1], &n);

	return r < 0 ? r
		     : world_asked(
			       w, ns_mkdir(&w->ns, &w->rq, n.parent, n.name, n.length, 0750, &st));
}

static int step_unlink(struct world *w, char *const args[])
{
	struct ns_name n;
	int r = world_find_name(w, args[1], &n);

	return r < 0 ? r : world_asked(w, ns_unlink(&w->ns, &w->rq, n.parent, n.name, n.length));
}

static int step_rmdir(struct world *w, char *const args[])
{
	struct ns_name n;
	int r = world_find_name(w, args[1], &n);

	return r < 0 ? r : world_asked(w, ns_rmdir(&w->ns, &w->rq, n.parent, n.name, n.length));
}

static int rename_with(struct world *w, char *const args[], unsigned flags)
{
	struct ns_name from, to;
	int r = world_find_name(w, args[1], &from);

	if (r == 0)
		r = world_find_name(w, args[2], &to);
	return r < 0 ? r : world_asked(w, ns_rename(&w->ns, &w->rq, &from, &to, flags));
}

static int step_rename(struct world *w, char *const args[])
{
	return rename_with(w, args, 0);
}

static int step_exchange(struct world *w, char *const args[])
{
	return rename_with(w, args, RENAME_EXCHANGE);
}

static int step_noreplace(struct world *w, char *const args[])
{
	return rename_with(w, args, RENAME_NOREPLACE);
}

/* ---- attributes and sizes ---- */

static int change(struct world *w, const char *path, const struct ns_change *c)
{
	struct stat st;
	uint64_t ino;
	int r = world_find_ino(w, path, &ino);

	return r < 0 ? r : world_asked(w, ns_setattr(&w->ns, &w->rq, ino, c, &st));
}

int world_step_chmod(struct world *w, char *const args[])
{
	const struct ns_change c = {.set = NS_SET_MODE, .mode = w->rq.unique & 0777};

	return change(w, args[1], &c);
}

int world_step_chown(struct world *w, char *const args[])
{
	const struct ns_change c = {
		.set = NS_SET_UID | NS_SET_GID, .uid = (uint32_t)w->rq.unique, .gid = 5};

	return change(w, args[1], &c);
}

static int step_times(struct world *w, char *const args[])
{
	const struct ns_change c = {.set = NS_SET_ATIME | NS_SET_MTIME,
		.atime = {.tv_sec = -5, .tv_nsec = 999999999},
		.mtime = {.tv_nsec = UTIME_NOW}};

	return change(w, args[1], &c);
}

/* What scripts count in: GiBs where memory is given out by those. */
static uint64_t unit_of(const struct world *w)
{
	return w->shape == WORLD_GROUPS ? GM_GROUP_SIZE : GM_BLOCK_SIZE;
}

/* size PATH BLOCKS [BYTES more] */
static int step_size(struct world *w, char *const args[])
{
	const struct ns_change c = {.set = NS_SET_SIZE,
		.size = strtoull(args[2], NULL, 10) * unit_of(w) +
			(args[3] ? strtoull(args[3], NULL, 10) : 0)};

	return change(w, args[1], &c);
}

/* NAME PATH FIRST COUNT */
static int change_space(struct world *w, char *const args[], enum ns_space what, uint64_t unit)
{
	uint64_t ino;
	int r = world_find_ino(w, args[1], &ino);
	const struct ns_range range = {
		strtoull(args[2], NULL, 10) * unit, strtoull(args[3], NULL, 10) * unit};

	/* The content store would grow, in a record before. */
	if (r == 0 && what != NS_PUNCH && ns_has_content(&w->ns, ino) &&
		range.length / GM_UNIT_SIZE > store_meta(w->store)->units.free)
		r = -ENOSPC;
	return r < 0 ? r : world_asked(w, ns_change_space(&w->ns, &w->rq, ino, what, &range));
}

static int step_allocate(struct world *w, char *const args[])
{
	return change_space(w, args, NS_ALLOCATE, unit_of(w));
}

static int step_keep(struct world *w, char *const args[])
{
	return change_space(w, args, NS_ALLOCATE_KEEP, unit_of(w));
}

static int step_punch(struct world *w, char *const args[])
{
	return change_space(w, args, NS_PUNCH, unit_of(w));
}

/* Of 2 MiB in any case, so that parts of a GiB are emptied and not freed. */
static int step_punch_blocks(struct world *w, char *const args[])
{
	return change_space(w, args, NS_PUNCH, GM_BLOCK_SIZE);
}

/* ---- users of a file ---- */

static int step_open(struct world *w, char *const args[])
{
	uint64_t ino;
	int r = world_find_ino(w, args[1], &ino);

	if (r == 0)
		remember(w, args[1], ino);
	return r < 0 ? r : ns_open(&w->ns, ino, 0);
}

static int step_close(struct world *w, char *const args[])
{
	uint64_t ino;
	int r = world_find_ino(w, args[1], &ino);

	return r < 0 ? r : ns_release(&w->ns, ino, 0);
}

static int step_hold(struct world *w, char *const args[])
{
	uint64_t ino;
	int r = world_find_ino(w, args[1], &ino);

	if (r == 0)
		remember(w, args[1], ino);
	return r < 0 ? r : ns_hold(&w->ns, ino);
}

static int step_unhold(struct world *w, char *const args[])
{
	uint64_t ino;
	int r = world_find_ino(w, args[1], &ino);

	return r < 0 ? r : ns_unhold(&w->ns, ino);
}

static int step_export(struct world *w, char *const args[])
{
	uint64_t ino;
	int r = world_find_ino(w, args[1], &ino);

	return r < 0 ? r : ns_set_exported(&w->ns, ino, true);
}

static int step_unexport(struct world *w, char *const args[])
{
	uint64_t ino;
	int r = world_find_ino(w, args[1], &ino);

	return r < 0 ? r : ns_set_exported(&w->ns, ino, false);
}

/* ---- scrubbing, and states of blocks ---- */

static int step_clean(struct world *w, char *const args[])
{
	const struct inode *i = world_find_file(w, args[1]);
	struct alloc_extent e[VIEW_BLOCKS];
	size_t n = 0;

	for (; i && n < i->extent_count; n++)
		e[n] = (struct alloc_extent){.block = i->extents[n].block,
			.region = i->extents[n].region,
			.count = i->extents[n].count};
	return i ? ns_blocks_clean(&w->ns, e, n) : -ENOENT;
}

static int step_stale(struct world *w, char *const args[])
{
	const struct inode *i = world_find_file(w, args[1]);

	return i ? ns_stale_done(&w->ns, i->attr.ino, i->attr.stale_from) : -ENOENT;
}

/* The background scrubber's next run of free blocks. */
static int step_scrub(struct world *w, char *const args[])
{
	struct alloc_extent e;
	uint64_t cursor = 0;

	if (!alloc_next_dirty(
		    store_meta(w->store)->alloc, &cursor, (uint32_t)strtoul(args[1], NULL, 10), &e))
		return -ENOENT;
	return ns_blocks_clean(&w->ns, &e, 1);
}

static int set_blocks(struct world *w, const char *number, enum gm_block_state state)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_RELEASE, 0);
	const struct alloc *a = store_meta(w->store)->alloc;
	struct alloc_extent e = {
		.block = w->super.first_data[0] + strtoull(number, NULL, 10), .count = 1};

	if (!alloc_is_data(a, 0, e.block, 1) ||
		(state == GM_BLOCKS_QUARANTINED && !alloc_is_free(a, &e)) ||
		(state == GM_BLOCKS_RELEASED && !alloc_is_quarantined(a, &e)))
		return -EINVAL;
	txn_set_blocks(&t, &e, state);
	return store_commit(w->store, &t);
}

static int step_quarantine(struct world *w, char *const args[])
{
	return set_blocks(w, args[1], GM_BLOCKS_QUARANTINED);
}

static int step_release(struct world *w, char *const args[])
{
	return set_blocks(w, args[1], GM_BLOCKS_RELEASED);
}

static int step_poison(struct world *w, char *const args[])
{
	return set_blocks(w, args[1], GM_BLOCKS_POISONED);
}

static int step_dirty(struct world *w, char *const args[])
{
	return set_blocks(w, args[1], GM_BLOCKS_DIRTY);
}

/* ---- the pool ---- */

static int step_checkpoint(struct world *w, char *const args[])
{
	(void)args;
	return store_checkpoint(w->store);
}

static int step_freeze(struct world *w, char *const args[])
{
	(void)args;
	return store_freeze(w->store);
}

static int step_thaw(struct world *w, char *const args[])
{
	(void)args;
	return store_thaw(w->store);
}

/* What a thaw does to orphans whose last user went meanwhile; there is one at the most. */
static int step_reap(struct world *w, char *const args[])
{
	(void)args;
	return w->ns.orphans > 1 ? -EINVAL : ns_thaw(&w->ns);
}

/* ---- format and growth ---- */

static int step_blank(struct world *w, char *const args[])
{
	(void)w;
	(void)args;
	return 0;
}

static int step_format(struct world *w, char *const args[])
{
	struct problem why = PROBLEM_INIT;
	struct store_plan plan;
	struct store_format f = {.plan = &plan,
		.regions = w->regions,
		.region_count = w->region_count,
		.label = "crash",
		.uuid = {9, 9, ++w->formats},
		.now = 1000};

	(void)args;
	world_close(w);
	w->unique = 0;
	if (store_plan(&plan, w->regions, w->region_count, WORLD_FILES, &why) < 0 ||
		plan.meta_blocks * GM_BLOCK_SIZE != WORLD_AREA ||
		store_format(&w->recorder.media, &f, &why) < 0)
		return -EPROTO;
	return world_open(w);
}

/* grow BLOCKS: every region, offline. */
static int step_grow(struct world *w, char *const args[])
{
	uint64_t blocks[VIEW_REGIONS] = {0}, more = strtoull(args[1], NULL, 10);
	struct problem why = PROBLEM_INIT;
	int r;

	for (uint32_t n = 0; n < w->region_count; n++)
		blocks[n] = w->regions[n].blocks + more;
	if (store_is_frozen(w->store) || blocks[0] > VIEW_BLOCKS)
		return -EBUSY;
	world_close(w);
	r = world_open(w);
	if (r == 0)
		r = store_grow(w->store, blocks, &why);
	for (uint32_t n = 0; r == 0 && n < w->region_count; n++)
		w->regions[n].blocks = blocks[n];
	world_close(w);
	return r < 0 || world_open(w) < 0 ? -EUCLEAN : 0;
}

/* ---- the table ---- */

static const struct {
	const char *name;
	unsigned arguments;
	int (*run)(struct world *w, char *const args[]);
} steps[] = {
	{"create", 1, step_create},
	{"mkdir", 1, step_mkdir},
	{"unlink", 1, step_unlink},
	{"rmdir", 1, step_rmdir},
	{"rename", 2, step_rename},
	{"exchange", 2, step_exchange},
	{"noreplace", 2, step_noreplace},
	{"link", 2, world_step_link},
	{"symlink", 2, world_step_symlink},
	{"mknod", 2, world_step_mknod},
	{"chmod", 1, world_step_chmod},
	{"chown", 1, world_step_chown},
	{"times", 1, step_times},
	{"attribute", 2, world_step_attribute},
	{"no-attribute", 2, world_step_no_attribute},
	{"size", 2, step_size},
	{"allocate", 3, step_allocate},
	{"keep", 3, step_keep},
	{"punch", 3, step_punch},
	{"punch-blocks", 3, step_punch_blocks},
	{"open", 1, step_open},
	{"close", 1, step_close},
	{"hold", 1, step_hold},
	{"unhold", 1, step_unhold},
	{"export", 1, step_export},
	{"unexport", 1, step_unexport},
	{"clean", 1, step_clean},
	{"stale", 1, step_stale},
	{"scrub", 1, step_scrub},
	{"quarantine", 1, step_quarantine},
	{"release", 1, step_release},
	{"poison", 1, step_poison},
	{"dirty", 1, step_dirty},
	{"checkpoint", 0, step_checkpoint},
	{"freeze", 0, step_freeze},
	{"thaw", 0, step_thaw},
	{"reap", 0, step_reap},
	{"mount", 0, world_step_mount},
	{"replace", 0, world_step_replace},
	{"reboot", 0, world_step_reboot},
	{"crash-kernel", 0, world_step_crash_kernel},
	{"blank", 0, step_blank},
	{"format", 0, step_format},
	{"grow", 1, step_grow},
	{"mark", 1, world_step_mark},
	{"unmark", 1, world_step_unmark},
	{"contents", 0, world_step_contents},
	{"room", 1, world_step_room},
	{"write", 3, world_step_write},
	{"cut", 2, world_step_cut},
	{"punch-units", 3, world_step_punch_units},
	{"trim", 0, world_step_trim},
	{"brink", 1, world_step_brink},
	{"huge", 1, world_step_huge},
	{"rot", 1, world_step_rot},
	{"spare", 1, world_step_spare},
	{"keep-spare", 3, world_step_keep_spare},
	{"chmod-in-two-records", 1, world_step_chmod_in_two_records},
	{"chmod-later", 1, world_step_chmod_later},
	{"chown-two-in-one-record", 2, world_step_chown_two_in_one_record},
	{"mount-in-two-records", 0, world_step_mount_in_two_records},
	{"write-in-two-records", 1, world_step_write_in_two_records},
	{"hand-over-in-two-records", 2, world_step_hand_over_in_two_records},
};

int world_step(struct world *w, char *const words[WORLD_WORDS])
{
	struct store_stats stats = {.sequence = 0};

	if (w->store)
		store_get_stats(w->store, &stats);
	w->sequence = stats.sequence;
	for (size_t n = 0; n < ARRAY_SIZE(steps); n++)
		if (strcmp(words[0], steps[n].name) == 0)
			return steps[n].arguments && !words[steps[n].arguments]
				       ? -ENOSYS
				       : steps[n].run(w, words);
	return -ENOSYS;
}
