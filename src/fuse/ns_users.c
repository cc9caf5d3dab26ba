// SPDX-License-Identifier: MIT
/* Who still uses an inode (open, held), what happens when the last user goes, and which of its
 * blocks are zeroed. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fuse/ns_internal.h"
#include "util/cleanup.h"

/* One with memory, that is. */
static int find_file(const struct namespace *ns, uint64_t ino, struct inode **ret)
{
	int r = ns_find(ns, ino, ret);

	if (r < 0)
		return r;
	if (inode_is_dir(*ret))
		return -EISDIR;
	return inode_has_memory(*ret) ? 0 : -EINVAL;
}

/* Removes the inode if it has no name and no user. */
static int reap(struct namespace *ns, const struct inode *i)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_ORPHAN, 0);
	int r;

	if (i->attr.links > 0 || ns_in_use(i) || inode_is_contents(i))
		return 0;
	t.result = i->attr.ino;
	ns_drop_inode(&t, i);
	r = store_commit(ns->store, &t);
	if (r < 0)
		return r;
	ns->orphans--;
	return 0;
}

/* Every such inode. One removal ends the walk, so it starts anew. */
static int reap_all(struct namespace *ns)
{
	int r = 0;

	for (size_t cursor = 0, before = ns->orphans; r == 0 && before > 0;) {
		struct inode *i = meta_each_inode(ns_meta(ns), &cursor);

		if (!i)
			break;
		r = reap(ns, i);
		if (ns->orphans < before) {
			before = ns->orphans;
			cursor = 0;
		}
	}
	ns->reap_failed = r < 0;
	return r;
}

int ns_open(struct namespace *ns, uint64_t ino, uint64_t unique)
{
	struct inode *i;
	int r = ns_find(ns, ino, &i);

	return r < 0 ? r : open_table_add(ns->opens, i, unique);
}

int ns_release(struct namespace *ns, uint64_t ino, uint64_t unique)
{
	struct inode *i;
	int r;

	if (ns->reap_failed && !store_is_frozen(ns->store))
		(void)reap_all(ns);
	if (ns_find(ns, ino, &i) < 0 || i->opens == 0)
		return 0;
	open_table_drop(ns->opens, i, unique);
	if (i->opens == 0)
		i->opened_unmarked = false;
	ns_note_left(ns, i);
	r = reap(ns, i);
	ns->reap_failed |= r < 0;
	return r;
}

int ns_hold(struct namespace *ns, uint64_t ino)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_GRANT, 0);
	struct inode_attr attr;
	struct inode *i;
	int r = find_file(ns, ino, &i);

	if (r < 0)
		return r;
	attr = i->attr;
	attr.flags |= GM_INODE_HELD;
	attr.flags &= ~GM_INODE_INHERITED; /* all of it is clean now */
	if (attr.flags == i->attr.flags)
		return 0;
	t.result = ino;
	txn_put_inode(&t, &attr);
	return store_commit(ns->store, &t);
}

int ns_unhold(struct namespace *ns, uint64_t ino)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_RELEASE, 0);
	struct inode_attr attr;
	struct inode *i;
	bool drop;
	int r;

	if (find_file(ns, ino, &i) < 0 || !(i->attr.flags & GM_INODE_HELD))
		return 0;
	drop = inode_is_held_orphan(i);
	/* Of one that is removed the helper has closed the node for good before it says so. */
	if (!drop && (i->attr.flags & GM_INODE_EXPORTED))
		return -EBUSY;
	attr = i->attr;
	attr.flags &= ~GM_INODE_FLAGS_OF_BOOT;
	t.result = ino;
	txn_put_inode(&t, &attr); /* first: no block of a held inode is ever freed */
	if (drop)
		ns_drop_inode(&t, i);
	r = store_commit(ns->store, &t);
	if (r < 0)
		return r;
	ns->orphans -= drop;
	return 0;
}

int ns_set_exported(struct namespace *ns, uint64_t ino, bool exported)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_GRANT, 0);
	struct inode_attr attr;
	struct inode *i;
	int r = find_file(ns, ino, &i);

	if (r < 0)
		return r;
	attr = i->attr;
	if (exported) /* whoever opens the node from now on is not seen by us */
		attr.flags = GM_INODE_HELD | GM_INODE_EXPORTED;
	else
		attr.flags &= ~GM_INODE_EXPORTED;
	if (attr.flags == i->attr.flags)
		return 0;
	t.result = ino;
	txn_put_inode(&t, &attr);
	return store_commit(ns->store, &t);
}

int ns_thaw(struct namespace *ns)
{
	int r = store_thaw(ns->store);

	/* Inodes whose last user went while nothing could be changed. What can't be removed now is
	 * tried again later: the pool is thawed. */
	if (r == 0)
		(void)reap_all(ns);
	return r;
}

int ns_blocks_clean(struct namespace *ns, const struct alloc_extent *extents, size_t count)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SCRUB, 0);

	if (count == 0)
		return 0;
	for (size_t n = 0; n < count; n++)
		txn_set_blocks(&t, &extents[n], GM_BLOCKS_CLEAN);
	return store_commit(ns->store, &t);
}

int ns_stale_done(struct namespace *ns, uint64_t ino, uint64_t from)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SCRUB, 0);
	struct inode_attr attr;
	struct inode *i;

	if (from == 0 || ns_find(ns, ino, &i) < 0 || i->attr.stale_from != from)
		return 0;
	attr = i->attr;
	attr.stale_from = 0;
	t.result = ino;
	txn_put_inode(&t, &attr);
	return store_commit(ns->store, &t);
}

int ns_list_held_orphans(const struct namespace *ns, uint64_t beside, uint64_t **ret, size_t *count)
{
	const struct inode *other = beside ? meta_inode(ns_meta(ns), beside) : NULL;
	uint64_t *inos;
	size_t n = 0, cursor = 0;

	*ret = NULL;
	*count = 0;
	if (ns->orphans == 0)
		return 0;
	inos = malloc(ns->orphans * sizeof(*inos));
	if (!inos)
		return -ENOMEM;
	for (const struct inode *i; (i = meta_each_inode(ns_meta(ns), &cursor));)
		if (inode_is_held_orphan(i) && n < ns->orphans &&
			(!other || quotas_compete(ns_meta(ns), other, i)))
			inos[n++] = i->attr.ino;
	if (n == 0) {
		free(inos);
		return 0;
	}
	*ret = inos;
	*count = n;
	return 0;
}
