// SPDX-License-Identifier: MIT
/* The namespace and the model of it, side by side: whatever can be seen of both is the same. */
#include "namespace_model.h"

#include "util/cleanup.h"

bool find_block(const struct inode *i, uint64_t file_block, uint64_t *ret)
{
	for (uint32_t n = 0; n < i->extent_count; n++)
		if (file_block - i->extents[n].file_block < i->extents[n].count) {
			*ret = i->extents[n].block + (file_block - i->extents[n].file_block);
			return true;
		}
	return false;
}

uint64_t block_at(const struct inode *i, uint64_t file_block)
{
	uint64_t block = 0;

	cr_assert(find_block(i, file_block, &block), "a hole");
	return block;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

void compare_node(int k)
{
	const struct node *n = &nodes[k];
	unsigned long ino = n->ino;
	const struct inode *i;
	struct stat st;

	cr_assert_eq(ns_getattr(&pool.ns, n->ino, &st), 0, "inode %lu", ino);
	i = pool_inode(&pool, n->ino);
	cr_assert_eq(st.st_mode, n->mode | n->type, "inode %lu", ino);
	cr_assert_eq(st.st_rdev, n->rdev, "inode %lu", ino);
	if (n->type == S_IFLNK) {
		const char *target;

		cr_assert_eq(ns_readlink(&pool.ns, n->ino, &target), 0);
		cr_assert_str_eq(target, n->target);
	}
	cr_assert(st.st_uid == n->uid && st.st_gid == n->gid, "inode %lu", ino);
	cr_assert_eq(st.st_nlink, model_links(k), "inode %lu", ino);
	cr_assert_eq((uint64_t)st.st_size, n->size, "inode %lu", ino);
	cr_assert_eq((uint64_t)st.st_blocks, model_owned(n) * 4096, "inode %lu", ino);
	cr_assert(same_time(st.st_atim, n->atime), "inode %lu", ino);
	cr_assert(same_time(st.st_mtim, n->mtime), "inode %lu", ino);
	cr_assert(same_time(st.st_ctim, n->ctime), "inode %lu", ino);
	cr_assert_eq(!!(i->attr.flags & GM_INODE_HELD), n->held, "inode %lu", ino);
	cr_assert_eq(i->opens, n->opens, "inode %lu", ino);
}

static void compare_listing(int dir)
{
	unsigned found = 0;
	uint64_t after = 2;
	struct ns_entry e;
	struct stat st;
	int r;

	while ((r = ns_next_entry(&pool.ns, nodes[dir].ino, after, &e)) == 1) {
		char name[GM_NAME_MAX + 1] = "";
		int n;

		memcpy(name, e.name, e.length);
		n = model_find(dir, name);
		cr_assert(n >= 0 && nodes[n].ino == e.ino, "\"%s\"", name);
		cr_assert_eq(e.type, nodes[n].type);
		cr_assert_gt(e.cookie, after);
		after = e.cookie;
		found++;
	}
	cr_assert_eq(r, 0);
	cr_assert_eq(found, model_count_children(dir, false));
	cr_assert_eq(ns_lookup(&pool.ns, nodes[dir].ino, "..", 2, &st), 0);
	cr_assert_eq(st.st_ino, nodes[model_parent(dir)].ino);
}

void compare_all(void)
{
	static bool owned[MEMORY_BLOCKS];
	uint64_t used = 0, orphans = 0;

	memset(owned, 0, sizeof(owned));
	for (int n = 0; n < NODES; n++) {
		const struct inode *i;

		if (!nodes[n].used)
			continue;
		used++;
		orphans += model_links(n) == 0;
		compare_node(n);
		if (model_dir_error(n) == 0)
			compare_listing(n);
		i = pool_inode(&pool, nodes[n].ino);
		for (uint64_t b = 0, at = 0; b < FILE_BLOCKS && !nodes[n].is_dir; b++) {
			cr_assert_eq(find_block(i, b, &at), nodes[n].owned[b],
				"inode %lu block %lu", (unsigned long)nodes[n].ino,
				(unsigned long)b);
			if (!nodes[n].owned[b])
				continue;
			cr_assert(!owned[at], "two owners");
			owned[at] = true;
		}
	}
	cr_assert_eq(store_meta(pool.store)->inode_count, used);
	cr_assert_eq(pool.ns.orphans, orphans);
	cr_assert_eq(pool_stats(&pool).used, model_blocks_in_use());
	cr_assert_eq(pool_stats(&pool).free, DATA_BLOCKS - model_blocks_in_use());
}
