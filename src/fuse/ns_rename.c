// SPDX-License-Identifier: MIT
/* Rename with its three forms: move (over what is there), move without replacing, exchange. */
#include <errno.h>
#include <stdio.h>

#include "fuse/ns_internal.h"
#include "util/cleanup.h"

struct rename_end {
	const struct ns_name *name;
	struct inode *dir;
	struct dirent *entry; /* NULL: the name is free */
	struct inode *inode;
};

static int find_end(const struct namespace *ns, const struct ns_name *name, struct rename_end *ret)
{
	struct rename_end e = {.name = name};
	int r = ns_find_dir(ns, name->parent, &e.dir);

	if (r < 0)
		return r;
	r = ns_check_name(name->name, name->length);
	if (r < 0)
		return r;
	if (ns_is_dot(name->name, name->length) || ns_is_dotdot(name->name, name->length))
		return -EBUSY;
	e.entry = meta_lookup(ns_meta(ns), name->parent, name->name, name->length);
	if (e.entry) {
		r = ns_find(ns, e.entry->ino, &e.inode);
		if (r < 0)
			return r;
	}
	*ret = e;
	return 0;
}

/* True if i is dir or holds it, at whatever depth. */
static bool is_above(const struct namespace *ns, const struct inode *i, const struct inode *dir)
{
	while (dir != i && dir->attr.ino != GM_ROOT_INO)
		dir = meta_inode(ns_meta(ns), dir->attr.parent);
	return dir == i;
}

static int check_flags(unsigned flags)
{
	bool known = flags == 0 || flags == RENAME_NOREPLACE || flags == RENAME_EXCHANGE;

	return known ? 0 : -EINVAL;
}

/* The rules of rename(2), in the order in which Linux applies them. 1: there is nothing to do. */
static int check_rules(const struct namespace *ns, const struct rename_end *from,
	const struct rename_end *to, unsigned flags)
{
	bool exchange = flags & RENAME_EXCHANGE;

	if (!from->entry || (exchange && !to->entry))
		return -ENOENT;
	if (to->entry && (flags & RENAME_NOREPLACE))
		return -EEXIST;
	if (is_above(ns, from->inode, to->dir))
		return -EINVAL;
	if (!to->entry)
		return 0;
	if (is_above(ns, to->inode, from->dir))
		return exchange ? -EINVAL : -ENOTEMPTY;
	if (from->inode == to->inode)
		return 1;
	if (exchange)
		return 0;
	if (inode_is_dir(from->inode) && !inode_is_dir(to->inode))
		return -ENOTDIR;
	if (!inode_is_dir(from->inode) && inode_is_dir(to->inode))
		return -EISDIR;
	return inode_is_dir(to->inode) && to->inode->entry_count > 0 ? -ENOTEMPTY : 0;
}

/* The two directories as they will be; one and the same for a rename within a directory. */
struct rename_dirs {
	struct inode_attr attr[2];
	struct inode_attr *from;
	struct inode_attr *to;
};

static void dirs_init(
	struct rename_dirs *d, const struct rename_end *from, const struct rename_end *to)
{
	d->attr[0] = from->dir->attr;
	d->attr[1] = to->dir->attr;
	d->from = &d->attr[0];
	d->to = from->dir == to->dir ? d->from : &d->attr[1];
}

static void put_dirs(struct txn *t, struct rename_dirs *d, const struct timespec *now)
{
	ns_set_changed(d->from, now);
	ns_set_changed(d->to, now);
	txn_put_inode(t, d->from);
	if (d->to != d->from)
		txn_put_inode(t, d->to);
}

/* i moves from one directory to the other: its own attributes and the directories' link counts. */
static void put_moved(struct txn *t, const struct inode *i, struct inode_attr *out,
	struct inode_attr *in, const struct timespec *now)
{
	struct inode_attr attr = i->attr;

	ns_set_ctime(&attr, now);
	if (inode_is_dir(i)) {
		attr.parent = in->ino;
		out->links--;
		in->links++;
	}
	txn_put_inode(t, &attr);
}

static void add_entry(
	struct txn *t, const struct inode *i, uint64_t cookie, const struct ns_name *name)
{
	txn_add_dirent(t, name->parent, i->attr.ino, cookie, (uint8_t)(i->attr.mode >> 12),
		name->name, name->length);
}

static int exchange_entries(struct namespace *ns, struct txn *t, const struct timespec *now,
	const struct rename_end *from, const struct rename_end *to)
{
	uint64_t to_cookie, from_cookie;
	struct rename_dirs d;

	dirs_init(&d, from, to);
	to_cookie = d.to->next_cookie++;
	from_cookie = d.from->next_cookie++;
	txn_remove_dirent(t, d.from->ino, from->entry->cookie);
	txn_remove_dirent(t, d.to->ino, to->entry->cookie);
	put_moved(t, from->inode, d.from, d.to, now);
	put_moved(t, to->inode, d.to, d.from, now);
	put_dirs(t, &d, now);
	add_entry(t, from->inode, to_cookie, to->name);
	add_entry(t, to->inode, from_cookie, from->name);
	return store_commit(ns->store, t);
}

static int move_entry(struct namespace *ns, struct txn *t, const struct timespec *now,
	const struct rename_end *from, const struct rename_end *to)
{
	struct rename_dirs d;
	bool orphan = false;
	uint64_t cookie;
	int r;

	dirs_init(&d, from, to);
	cookie = d.to->next_cookie++;
	txn_remove_dirent(t, d.from->ino, from->entry->cookie);
	if (to->entry) {
		txn_remove_dirent(t, d.to->ino, to->entry->cookie);
		d.to->links -= inode_is_dir(to->inode);
		orphan = ns_drop_name(t, to->inode, now);
	}
	put_moved(t, from->inode, d.from, d.to, now);
	put_dirs(t, &d, now);
	add_entry(t, from->inode, cookie, to->name);
	r = store_commit(ns->store, t);
	if (r < 0)
		return r;
	ns->orphans += orphan;
	if (orphan)
		ns_note_left(ns, to->inode);
	return 0;
}

int ns_rename(struct namespace *ns, const struct ns_request *rq, const struct ns_name *from,
	const struct ns_name *to, unsigned flags)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_RENAME, rq->unique);
	struct rename_end f, o;
	int r = check_flags(flags);

	if (r < 0)
		return r;
	r = find_end(ns, from, &f);
	if (r < 0)
		return r;
	r = find_end(ns, to, &o);
	if (r < 0)
		return r;
	r = check_rules(ns, &f, &o, flags);
	if (r != 0)
		return r < 0 ? r : 0;
	t.result = f.entry->ino;
	if (flags & RENAME_EXCHANGE)
		return exchange_entries(ns, &t, &rq->now, &f, &o);
	return move_entry(ns, &t, &rq->now, &f, &o);
}
