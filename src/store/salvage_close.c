// SPDX-License-Identifier: MIT
/*
 * Files of which it is not known whose bytes they show. Where changes are lost that nothing names,
 * a block that a file still has may have been given back and to another tenant since; where it is
 * lost which blocks were clean, one may hold what its last owner left. Such bytes can't be zeroed,
 * for they may be the file's own: so until the operator has looked, nobody else opens the file.
 */
#include <inttypes.h>
#include <string.h>

#include "store/acl.h"
#include "store/salvage_internal.h"
#include "store/xattrs.h"

static bool is_in_doubt(const struct salvage *s, const struct inode *i)
{
	if (!inode_is_file(i) || inode_is_contents(i) || i->extent_count == 0)
		return false;
	return s->moved || (s->clean_lost && inode_has_memory(i));
}

static bool is_closed(const struct inode_attr *a, const struct inode_attr *root)
{
	return a->uid == root->uid && (a->mode & 077) == 0;
}

static int close_file(struct salvage *s, const struct inode *i, const struct inode_attr *root,
	struct problem *why)
{
	struct txn t = TXN_INIT(GM_RECORD_SETATTR, 0);
	struct inode_attr a = i->attr;

	salvage_lost(s, a.ino,
		"inode %" PRIu64 ": that uid %" PRIu32 " and gid %" PRIu32
		" may open it with mode %04o: it may show what others wrote; once you have looked, "
		"give it back with chown and chmod",
		a.ino, a.uid, a.gid, a.mode & 07777);
	a.uid = root->uid;
	a.gid = root->gid;
	a.mode = S_IFREG | 0600;
	if (XATTRS_GET(&s->meta, a.ino, ACL_ACCESS_NAME))
		txn_remove_xattr(&t, a.ino, ACL_ACCESS_NAME, strlen(ACL_ACCESS_NAME));
	txn_put_inode(&t, &a);
	return salvage_apply(s, &t, why);
}

int salvage_close_files(struct salvage *s, struct problem *why)
{
	const struct inode_attr root = meta_inode(&s->meta, GM_ROOT_INO)->attr;
	const struct inode *i;
	int r = 0;

	for (size_t c = 0; r == 0 && (i = meta_each_inode(&s->meta, &c));)
		if (is_in_doubt(s, i) && !is_closed(&i->attr, &root))
			r = close_file(s, i, &root, why);
	return r;
}
