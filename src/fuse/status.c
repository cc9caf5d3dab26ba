// SPDX-License-Identifier: MIT
#include "fuse/status.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuse/grants.h"
#include "fuse/origin.h"
#include "fuse/tree.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/le.h"

/*
 * An object or array that is being made. A value that there was no memory for, its own or for its
 * place, spoils the whole: finish() gives it up.
 */
struct maker {
	struct json_object *o;
	bool failed;
};

static struct maker make_object(void)
{
	struct json_object *o = json_object_new_object();

	return (struct maker){.o = o, .failed = !o};
}

static struct maker make_array(void)
{
	struct json_object *o = json_object_new_array();

	return (struct maker){.o = o, .failed = !o};
}

static struct json_object *finish(struct maker *m)
{
	if (!m->failed)
		return m->o;
	json_object_put(m->o);
	return NULL;
}

static void put(struct maker *m, const char *key, struct json_object *value)
{
	if (m->failed || !value || json_object_object_add(m->o, key, value) < 0) {
		json_object_put(value);
		m->failed = true;
	}
}

static void append(struct maker *m, struct json_object *value)
{
	if (m->failed || !value || json_object_array_add(m->o, value) < 0) {
		json_object_put(value);
		m->failed = true;
	}
}

static void put_number(struct maker *m, const char *key, uint64_t value)
{
	put(m, key, json_object_new_uint64(value));
}

static void put_text(struct maker *m, const char *key, const char *value)
{
	put(m, key, json_object_new_string(value));
}

static void put_bool(struct maker *m, const char *key, bool value)
{
	put(m, key, json_object_new_boolean(value));
}

/* json-c's null is a NULL pointer: not a lack of memory here. */
static void put_text_or_null(struct maker *m, const char *key, const char *text)
{
	if (text)
		put_text(m, key, text);
	else if (!m->failed)
		m->failed = json_object_object_add(m->o, key, NULL) < 0;
}

static void put_path(struct maker *m, const char *path)
{
	put_text_or_null(m, "path", path);
}

/* ---- status ---- */

static struct json_object *make_pids(const struct status *s)
{
	struct maker m = make_object();

	put_number(&m, "supervisor", (uint64_t)s->supervisor_pid);
	put_number(&m, "keeper", (uint64_t)s->keeper_pid);
	put_number(&m, "worker", (uint64_t)getpid());
	put_number(&m, "helper", (uint64_t)s->helper_pid);
	return finish(&m);
}

static struct json_object *make_region(const struct status *s, uint32_t i)
{
	const struct store_super *super = store_get_super(s->ns->store);
	const struct region *r = &s->pool->regions[i];
	struct maker m = make_object();

	put_number(&m, "index", i);
	put_text(&m, "kind", region_kind_name(r->kind));
	put_text(&m, "name", r->name);
	put_number(&m, "size", r->size);
	put_number(&m, "blocks", super->regions[i].blocks);
	put_number(&m, "data_blocks", super->data_blocks[i]);
	return finish(&m);
}

static struct json_object *make_regions(const struct status *s)
{
	struct maker m = make_array();

	for (uint32_t i = 0; i < s->pool->count; i++)
		append(&m, make_region(s, i));
	return finish(&m);
}

static struct json_object *make_blocks(const struct status *s, const struct alloc_stats *stats)
{
	struct maker m = make_object();

	put_number(&m, "size", GM_BLOCK_SIZE);
	put_number(&m, "data", stats->data);
	put_number(&m, "free", stats->free);
	put_number(&m, "free_dirty", stats->free_dirty);
	put_number(&m, "used", stats->used);
	put_number(&m, "used_dirty", stats->used_dirty);
	put_number(&m, "quarantined", stats->quarantined);
	put_number(&m, "poisoned", stats->poisoned);
	put_number(&m, "free_groups", stats->free_groups);
	put_number(&m, "granule", alloc_granule(store_meta(s->ns->store)->alloc));
	put_number(&m, "spare", ns_spare_blocks(s->ns));
	return finish(&m);
}

static struct json_object *make_pair(const char *first, uint64_t a, const char *second, uint64_t b)
{
	struct maker m = make_object();

	put_number(&m, first, a);
	if (second)
		put_number(&m, second, b);
	return finish(&m);
}

/* One name for each holder's file, if it still has one: in the order of the holders; each is owned.
 */
static int find_paths(
	const struct status *s, const struct link_holder *holders, size_t count, char **paths)
{
	_cleanup_(tree_deinit) struct tree t;
	const struct inode *inode;
	const char *path;
	int r = tree_init(&t, store_meta(s->ns->store));

	while (r == 0 && (r = tree_next(&t, &path, &inode)) == 1) {
		r = 0;
		if (!inode_is_held(inode))
			continue;
		for (size_t i = 0; i < count && r == 0; i++) {
			if (paths[i] || get_le64(holders[i].ino) != inode->attr.ino)
				continue;
			paths[i] = strdup(path);
			r = paths[i] ? 0 : -ENOMEM;
		}
	}
	return r;
}

static struct json_object *make_grant(const struct link_holder *h, const char *path)
{
	uint32_t flags = get_le32(h->flags);
	struct maker m = make_object();

	put_number(&m, "ino", get_le64(h->ino));
	put_path(&m, path);
	put_number(&m, "pid", get_le32(h->pid));
	put_number(&m, "uid", get_le32(h->uid));
	put_text(&m, "access", get_le32(h->access) & GM_ACCESS_WRITE ? "rw" : "r");
	put_text(&m, "state",
		flags & LINK_HOLDER_DEAD      ? "dead"
		: flags & LINK_HOLDER_ADOPTED ? "adopted"
					      : "live");
	put_text_or_null(&m, "command", h->command[0] ? h->command : NULL);
	put_text_or_null(&m, "cgroup", h->cgroup[0] ? h->cgroup : NULL);
	return finish(&m);
}

static struct json_object *make_grants(
	const struct status *s, const struct link_holder *holders, size_t count)
{
	char **paths = calloc(count + 1, sizeof(*paths));
	struct maker m = make_array();

	if (!paths || find_paths(s, holders, count, paths) < 0)
		m.failed = true;
	for (size_t i = 0; i < count && !m.failed; i++)
		append(&m, make_grant(&holders[i], paths[i]));
	for (size_t i = 0; paths && i < count; i++)
		free(paths[i]);
	free(paths);
	return finish(&m);
}

static void put_uuid(struct maker *m, const char *key, const uint8_t uuid[16])
{
	char text[POOL_UUID_TEXT];

	put_text(m, key, pool_format_uuid(text, uuid));
}

static void put_store(struct maker *m, const struct status *s)
{
	const struct store_super *super = store_get_super(s->ns->store);
	const struct meta *meta = store_meta(s->ns->store);
	struct store_stats stats;

	store_get_stats(s->ns->store, &stats);
	put_uuid(m, "uuid", super->uuid);
	put_text(m, "label", super->label);
	put_uuid(m, "boot_id", meta->boot_id);
	put_bool(m, "frozen", store_is_frozen(s->ns->store));
	put_number(m, "mount_number", meta->mount_number);
	put_number(m, "generation", stats.generation);
	put_number(m, "sequence", stats.sequence);
	put(m, "files", make_pair("count", meta->inode_count, "max", super->plan.max_files));
	put(m, "journal", make_pair("used", stats.journal_used, "size", stats.journal_size));
	put(m, "checkpoint", make_pair("bytes", stats.image_bytes, "capacity", stats.slot_size));
	put_text_or_null(m, "metadata_fault", stats.fault);
}

/*
 * On soft regions what was granted is not given out again in this boot: the blocks of removed files
 * stay theirs, as held orphans, until the next boot. For the operator they are in quarantine.
 */
static void count_quarantine(const struct status *s, struct alloc_stats *stats)
{
	const struct meta *meta = store_meta(s->ns->store);
	const struct inode *inode;
	size_t cursor = 0;

	if (s->pool->regions[0].kind != GM_REGION_SOFT || s->ns->orphans == 0)
		return;
	while ((inode = meta_each_inode(meta, &cursor))) {
		if (!inode_is_held_orphan(inode))
			continue;
		stats->used -= inode_blocks(inode);
		stats->quarantined += inode_blocks(inode);
	}
}

/* What files with content take: blocks that are theirs together, and bytes in them. */
static struct json_object *make_contents(const struct meta *meta)
{
	const struct units *u = &meta->units;
	struct maker m = make_object();

	put_number(&m, "blocks", u->there);
	put_number(&m, "used_bytes", (u->there * GM_UNITS_PER_BLOCK - u->free) * GM_UNIT_SIZE);
	return finish(&m);
}

static struct json_object *make_scrub(const struct status *s, const struct alloc_stats *stats)
{
	struct maker m = make_object();
	struct grants_scrub scrub;

	grants_get_scrub(s->grants, clock_milliseconds(), &scrub);
	put_number(&m, "pending_blocks", stats->free_dirty + stats->used_dirty);
	put_number(&m, "done_blocks", scrub.done);
	put_number(&m, "bytes_per_second", scrub.speed);
	put_number(&m, "background_limit", scrub.limit);
	return finish(&m);
}

struct json_object *status_make(
	const struct status *s, const struct link_holder *holders, size_t count, bool whole)
{
	struct maker m = make_object();
	struct alloc_stats stats;

	alloc_get_stats(store_meta(s->ns->store)->alloc, &stats);
	count_quarantine(s, &stats);
	put_text(&m, "name", s->name);
	put_text(&m, "mount_point", s->mount_path);
	put_store(&m, s);
	put(&m, "pids", make_pids(s));
	put(&m, "regions", make_regions(s));
	put(&m, "blocks", make_blocks(s, &stats));
	put(&m, "contents", make_contents(store_meta(s->ns->store)));
	put(&m, "grants", make_grants(s, holders, count));
	put(&m, "grants_complete", json_object_new_boolean(whole));
	put_number(&m, "retired_devices", grants_retired(s->grants));
	put_number(&m, "orphans", s->ns->orphans);
	put(&m, "scrub", make_scrub(s, &stats));
	return finish(&m);
}

/* All zero stands for none: this pool asks for none. */
struct json_object *status_make_token(const struct status *s)
{
	static const uint8_t none[16];
	const uint8_t *token = store_meta(s->ns->store)->token;
	char text[ORIGIN_TOKEN_TEXT];
	struct maker m = make_object();

	if (memcmp(token, none, sizeof(none)) != 0)
		put_text(&m, "token", origin_format_token(text, token));
	else if (!m.failed)
		m.failed = json_object_object_add(m.o, "token", NULL) < 0;
	return finish(&m);
}

struct json_object *status_make_node(const char *node)
{
	struct maker m = make_object();

	put_text(&m, "node", node);
	return finish(&m);
}

/* ---- files ---- */

static const char *type_name(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	case S_IFCHR:
		return "character device";
	case S_IFBLK:
		return "block device";
	default:
		return "file";
	}
}

static struct json_object *make_file(const struct inode *inode, const char *path)
{
	const struct inode_attr *a = &inode->attr;
	struct maker m = make_object();

	put_path(&m, path);
	put_number(&m, "ino", a->ino);
	put_text(&m, "type", type_name(a->mode));
	put_number(&m, "mode", a->mode);
	put_number(&m, "uid", a->uid);
	put_number(&m, "gid", a->gid);
	put_number(&m, "links", a->links);
	put_number(&m, "size", a->size);
	put_number(&m, "blocks", inode_blocks(inode));
	put_number(&m, "extents", inode_has_memory(inode) ? inode->extent_count : 0);
	if (inode_has_content(inode))
		put_number(&m, "content_bytes", inode_units(inode) * GM_UNIT_SIZE);
	put_bool(&m, "held", inode_is_held(inode));
	put_bool(&m, "exported", a->flags & GM_INODE_EXPORTED);
	if (inode_is_symlink(inode))
		put_text(&m, "target", inode->target);
	if (S_ISCHR(a->mode) || S_ISBLK(a->mode)) {
		put_number(&m, "major", INODE_RDEV_MAJOR(a->rdev));
		put_number(&m, "minor", INODE_RDEV_MINOR(a->rdev));
	}
	return finish(&m);
}

static void append_tree(struct maker *m, const struct meta *meta)
{
	_cleanup_(tree_deinit) struct tree t;
	const struct inode *inode;
	const char *path;
	int r = tree_init(&t, meta);

	while (r == 0 && (r = tree_next(&t, &path, &inode)) == 1) {
		append(m, make_file(inode, path));
		r = 0;
	}
	if (r < 0)
		m->failed = true;
}

static void append_orphans(struct maker *m, const struct meta *meta)
{
	const struct inode *inode;
	size_t cursor = 0;

	while ((inode = meta_each_inode(meta, &cursor)))
		if (inode->attr.links == 0 && !inode_is_contents(inode))
			append(m, make_file(inode, NULL));
}

struct json_object *status_make_files(const struct status *s)
{
	const struct meta *meta = store_meta(s->ns->store);
	const struct inode *root = meta_inode(meta, GM_ROOT_INO);
	struct maker list = make_array();
	struct maker m = make_object();

	if (root)
		append(&list, make_file(root, "/"));
	append_tree(&list, meta);
	append_orphans(&list, meta);
	put(&m, "files", finish(&list));
	return finish(&m);
}

/* ---- extents ---- */

static bool is_clean(const struct meta *meta, const struct file_extent *f)
{
	struct alloc_extent e = {.block = f->block, .region = f->region, .count = f->count};
	bool clean;

	return alloc_clean_run(meta->alloc, &e, &clean) == f->count && clean;
}

static struct json_object *make_extent(const struct meta *meta, const struct file_extent *f)
{
	struct maker m = make_object();

	put_number(&m, "file_offset", f->file_block * GM_BLOCK_SIZE);
	put_number(&m, "length", f->count * GM_BLOCK_SIZE);
	put_number(&m, "region", f->region);
	put_number(&m, "region_offset", f->block * GM_BLOCK_SIZE);
	put_bool(&m, "clean", is_clean(meta, f));
	return finish(&m);
}

struct json_object *status_make_extents(const struct status *s, const struct inode *inode)
{
	const struct meta *meta = store_meta(s->ns->store);
	struct maker list = make_array();
	struct maker m = make_object();

	for (uint32_t i = 0; i < inode->extent_count; i++)
		append(&list, make_extent(meta, &inode->extents[i]));
	put_number(&m, "ino", inode->attr.ino);
	put_number(&m, "size", inode->attr.size);
	put(&m, "extents", finish(&list));
	return finish(&m);
}
