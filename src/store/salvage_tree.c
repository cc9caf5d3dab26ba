// SPDX-License-Identifier: MIT
/*
 * The tree: an entry for each inode and an inode for each entry, no rings, and link counts that say
 * so. What has lost its name gets one in the directory lost+found of the root.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/codec.h"
#include "store/dir.h"
#include "store/salvage_internal.h"
#include "util/cleanup.h"

#define FOUND "lost+found"

static int put_attr(struct salvage *s, const struct inode_attr *a, struct problem *why)
{
	struct txn t = TXN_INIT(GM_RECORD_SETATTR, 0);

	txn_put_inode(&t, a);
	return salvage_apply(s, &t, why);
}

static int remove_entry(struct salvage *s, const struct dirent *d, struct problem *why)
{
	struct txn t = TXN_INIT(GM_RECORD_UNLINK, 0);

	txn_remove_dirent(&t, d->parent, d->cookie);
	return salvage_apply(s, &t, why);
}

/* Behind all that are there. The inode's links are counted at the end. */
static int add_entry(struct salvage *s, uint64_t parent, const struct inode *child,
	const char *name, struct problem *why)
{
	struct inode *dir = meta_inode(&s->meta, parent);
	uint64_t cookie = dir_last_cookie(dir) + 1;
	struct txn t = TXN_INIT(GM_RECORD_LINK, 0);

	if (cookie < dir->attr.next_cookie)
		cookie = dir->attr.next_cookie;
	txn_add_dirent(&t, parent, child->attr.ino, cookie, (uint8_t)(child->attr.mode >> 12), name,
		strlen(name));
	return salvage_apply(s, &t, why);
}

/* ---- lost+found ---- */

/* `name`, or with a number behind it, that the directory does not have. */
static void free_name(const struct salvage *s, uint64_t parent, const char *name, char text[64])
{
	(void)snprintf(text, 64, "%s", name);
	for (unsigned n = 1; meta_lookup(&s->meta, parent, text, strlen(text)); n++)
		(void)snprintf(text, 64, "%.40s.%u", name, n);
}

static int find_lost_and_found(struct salvage *s, struct problem *why)
{
	const struct dirent *d = meta_lookup(&s->meta, GM_ROOT_INO, FOUND, strlen(FOUND));
	const struct inode *dir = d ? meta_inode(&s->meta, d->ino) : NULL;
	uint64_t ino = s->meta.next_ino;
	char name[64];
	int r;

	if (s->lost_and_found)
		return 0;
	/* One that others may look into or change is not for what was in a closed directory. */
	if (dir && inode_is_dir(dir) && (dir->attr.mode & 07777) == 0700 &&
		dir->attr.uid == meta_inode(&s->meta, GM_ROOT_INO)->attr.uid) {
		s->lost_and_found = d->ino;
		return 0;
	}
	free_name(s, GM_ROOT_INO, FOUND, name);
	r = salvage_make_inode(s, ino, S_IFDIR | 0700, 0, 0, why);
	if (r == 0)
		r = add_entry(s, GM_ROOT_INO, meta_inode(&s->meta, ino), name, why);
	if (r == 0)
		s->lost_and_found = ino;
	return r;
}

int salvage_add_found(struct salvage *s, uint64_t ino, const char *name, struct problem *why)
{
	int r = find_lost_and_found(s, why);
	struct inode_attr a = meta_inode(&s->meta, ino)->attr;
	char text[64];

	if (r < 0)
		return r;
	free_name(s, s->lost_and_found, name, text);
	r = add_entry(s, s->lost_and_found, meta_inode(&s->meta, ino), text, why);
	if (r == 0 && S_ISDIR(a.mode)) {
		a.parent = s->lost_and_found;
		r = put_attr(s, &a, why);
	}
	return r;
}

/* ---- entries ---- */

/* All entries, or all inodes, as they are now: what is done to them changes the tables. */
static void *list_table(const struct table *t, size_t *count)
{
	void **list = calloc(t->count + 1, sizeof(*list)), *p;
	size_t n = 0;

	for (size_t c = 0; list && (p = table_each(t, &c));)
		list[n++] = p;
	*count = n;
	return list;
}

static const char *find_fault(const struct salvage *s, const struct dirent *d)
{
	const struct inode *child = meta_inode(&s->meta, d->ino);

	if (!child)
		return "is lost";
	if (d->ino == GM_ROOT_INO)
		return "is the root";
	if (d->type != (child->attr.mode & S_IFMT) >> 12)
		return "is of another type";
	return inode_is_contents(child) ? "is the content store" : NULL;
}

/* One entry for each directory: the one in the parent that it has itself, else the first. */
static bool is_second_of_directory(const struct salvage *s, const struct dirent *d)
{
	struct inode *child = meta_inode(&s->meta, d->ino);

	if (!inode_is_dir(child))
		return false;
	return child->attr.parent != d->parent || child->seen++ > 0;
}

static int mend_entry(struct salvage *s, const struct dirent *d, struct problem *why)
{
	const char *wrong = find_fault(s, d);

	if (!wrong && is_second_of_directory(s, d))
		wrong = "is a directory that has its place elsewhere";
	if (!wrong)
		return 0;
	salvage_lost(s, d->parent, "entry \"%.*s\" in inode %" PRIu64 ": inode %" PRIu64 " %s",
		d->name_len, d->name, d->parent, d->ino, wrong);
	return remove_entry(s, d, why);
}

/* A directory whose own record says another parent than its only entry, as one that was made anew:
 * the entry is right. */
static int mend_parents(
	struct salvage *s, struct dirent *const *entries, size_t count, struct problem *why)
{
	int r = 0;

	for (size_t n = 0; n < count; n++) {
		struct inode *i = meta_inode(&s->meta, entries[n]->ino);

		if (i && inode_is_dir(i) && i->attr.parent == entries[n]->parent)
			i->seen = 1;
	}
	for (size_t n = 0; n < count && r == 0; n++) {
		struct inode *i = meta_inode(&s->meta, entries[n]->ino);
		struct inode_attr a;

		if (!i || !inode_is_dir(i) || i->seen || entries[n]->ino == GM_ROOT_INO)
			continue;
		a = i->attr;
		a.parent = entries[n]->parent;
		r = put_attr(s, &a, why);
		meta_inode(&s->meta, a.ino)->seen = 1;
	}
	return r;
}

static void forget_seen(const struct salvage *s)
{
	struct inode *i;

	for (size_t c = 0; (i = meta_each_inode(&s->meta, &c));)
		i->seen = 0;
}

static int mend_entries(struct salvage *s, struct problem *why)
{
	size_t count;
	_cleanup_free_ struct dirent **entries = list_table(&s->meta.dirents, &count);
	int r;

	if (!entries)
		return problem(why, ENOMEM, "out of memory");
	forget_seen(s);
	r = mend_parents(s, entries, count, why);
	forget_seen(s);
	for (size_t n = 0; n < count && r == 0; n++)
		r = mend_entry(s, entries[n], why);
	return r;
}

/* ---- inodes ---- */

/* A symlink without its text is nothing. Its entries go first. */
static int remove_symlinks(struct salvage *s, struct problem *why)
{
	size_t count;
	_cleanup_free_ struct inode **inodes = list_table(&s->meta.inodes, &count);
	int r = 0;

	if (!inodes)
		return problem(why, ENOMEM, "out of memory");
	for (size_t n = 0; n < count && r == 0; n++) {
		struct txn t = TXN_INIT(GM_RECORD_ORPHAN, 0);
		const struct inode *i = inodes[n];

		if (!inode_is_symlink(i) || i->target)
			continue;
		salvage_lost(s, 0, "symlink inode %" PRIu64 ": its target; the symlink is removed",
			i->attr.ino);
		txn_remove_inode(&t, i->attr.ino);
		r = salvage_apply(s, &t, why);
	}
	return r;
}

enum way_up { WAY_TO_THE_ROOT, WAY_TO_WHAT_IS_GONE, WAY_ROUND };

static enum way_up find_way_up(const struct salvage *s, const struct inode *dir)
{
	uint64_t steps = 0;

	while (dir && inode_is_dir(dir) && dir->attr.ino != GM_ROOT_INO &&
		steps++ <= s->meta.inode_count)
		dir = meta_inode(&s->meta, dir->attr.parent);
	if (!dir)
		return WAY_TO_WHAT_IS_GONE;
	return dir->attr.ino == GM_ROOT_INO ? WAY_TO_THE_ROOT : WAY_ROUND;
}

/* A ring of directories is cut at one of its entries. What hangs from a directory that has lost its
 * name, and what held it, stays there: that one gets a name with all that is in it. */
static int cut_rings(struct salvage *s, struct problem *why)
{
	size_t count;
	_cleanup_free_ struct dirent **entries = list_table(&s->meta.dirents, &count);
	int r = 0;

	if (!entries)
		return problem(why, ENOMEM, "out of memory");
	for (size_t n = 0; n < count && r == 0; n++) {
		struct inode *i = meta_inode(&s->meta, entries[n]->ino);
		struct inode_attr a;

		if (!i || !inode_is_dir(i) || find_way_up(s, i) != WAY_ROUND)
			continue;
		a = i->attr;
		salvage_lost(s, a.ino,
			"directory inode %" PRIu64
			" hangs from itself; it is cut off where it is entry \"%.*s\" of inode "
			"%" PRIu64,
			a.ino, entries[n]->name_len, entries[n]->name, entries[n]->parent);
		r = remove_entry(s, entries[n], why);
		a.parent = GM_ROOT_INO; /* until it gets its name */
		if (r == 0)
			r = put_attr(s, &a, why);
	}
	return r;
}

static void count_names(const struct salvage *s)
{
	const struct dirent *d;

	forget_seen(s);
	for (size_t c = 0; (d = table_each(&s->meta.dirents, &c));)
		meta_inode(&s->meta, d->ino)->seen++;
}

/* What was unlinked while in use has no name by right; all else that has none has lost it. */
static bool has_lost_name(const struct inode *i)
{
	if (i->seen > 0 || i->attr.ino == GM_ROOT_INO || inode_is_contents(i))
		return false;
	return i->attr.links > 0 || (inode_is_dir(i) && i->entry_count > 0);
}

static int find_names(struct salvage *s, struct problem *why)
{
	size_t count;
	_cleanup_free_ struct inode **inodes = list_table(&s->meta.inodes, &count);
	int r = 0;

	if (!inodes)
		return problem(why, ENOMEM, "out of memory");
	count_names(s);
	for (size_t n = 0; n < count && r == 0; n++) {
		uint64_t ino = inodes[n]->attr.ino;
		char name[32];

		if (!has_lost_name(inodes[n]) || ino == s->lost_and_found)
			continue;
		(void)snprintf(name, sizeof(name), "#%" PRIu64, ino);
		r = salvage_add_found(s, ino, name, why);
		salvage_lost(s, ino, "inode %" PRIu64 ": its name", ino);
	}
	return r;
}

/* ---- links ---- */

static uint32_t count_links(const struct salvage *s, const struct inode *i, uint32_t names)
{
	uint32_t links = names;

	if (!inode_is_dir(i) || (names == 0 && i->attr.ino != GM_ROOT_INO))
		return links;
	links = 2;
	for (const struct dirent *d = dir_next(i, 0); d; d = dir_next(i, d->cookie))
		links += inode_is_dir(meta_inode(&s->meta, d->ino));
	return links;
}

static int mend_links(struct salvage *s, struct problem *why)
{
	size_t count;
	_cleanup_free_ struct inode **inodes = list_table(&s->meta.inodes, &count);
	int r = 0;

	if (!inodes)
		return problem(why, ENOMEM, "out of memory");
	count_names(s);
	for (size_t n = 0; n < count && r == 0; n++) {
		struct inode_attr a = inodes[n]->attr;

		a.links = count_links(s, inodes[n], inodes[n]->seen);
		/* Of what is removed nobody asks what held it, but whoever does comes to an end. */
		if (a.ino == GM_ROOT_INO ||
			(inode_is_dir(inodes[n]) && inodes[n]->seen == 0 &&
				find_way_up(s, inodes[n]) == WAY_ROUND))
			a.parent = GM_ROOT_INO;
		if (inode_is_dir(inodes[n]) && a.next_cookie <= dir_last_cookie(inodes[n]))
			a.next_cookie = dir_last_cookie(inodes[n]) + 1;
		if (a.links != inodes[n]->attr.links || a.parent != inodes[n]->attr.parent ||
			a.next_cookie != inodes[n]->attr.next_cookie)
			r = put_attr(s, &a, why);
	}
	return r;
}

int salvage_mend_tree(struct salvage *s, struct problem *why)
{
	int r = remove_symlinks(s, why);

	if (r == 0)
		r = mend_entries(s, why);
	if (r == 0)
		r = cut_rings(s, why);
	if (r == 0)
		r = find_names(s, why);
	if (r == 0)
		r = mend_links(s, why);
	forget_seen(s); /* it shares its place with a quota's number */
	return r;
}
