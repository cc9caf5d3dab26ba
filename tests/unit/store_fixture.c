// SPDX-License-Identifier: MIT
#include "store_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/checkpoint.h"
#include "store/codec.h"
#include "util/cleanup.h"

const uint8_t fixture_boot[16] = {1, 2, 3};

void fixture_init(struct fixture *f, uint64_t max_files)
{
	struct store_region region = {
		.kind = GM_REGION_FILE, .blocks = FIXTURE_MIB / 2, .node = GM_NODE_NONE};
	struct store_plan plan;
	struct problem why = PROBLEM_INIT;
	struct store_format format = {.plan = &plan,
		.regions = &region,
		.region_count = 1,
		.label = "fixture",
		.uuid = {7, 7, 7},
		.now = 1000};

	*f = (struct fixture){.region_bytes = region.blocks * GM_BLOCK_SIZE};
	cr_assert_eq(store_plan(&plan, &region, 1, max_files, &why), 0, "%s", why.text);
	f->media =
		(struct media){.ops = &media_memory_ops, .size = plan.meta_blocks * GM_BLOCK_SIZE};
	f->media.base = calloc(1, f->media.size);
	cr_assert(f->media.base);
	cr_assert_eq(store_format(&f->media, &format, &why), 0, "%s", why.text);
	cr_assert_eq(fixture_open(f, &why), 0, "%s", why.text);
	cr_assert_eq(store_begin_mount(f->store, fixture_boot, &why), 0, "%s", why.text);
}

void fixture_deinit(struct fixture *f)
{
	f->store = store_close(f->store);
	free(f->media.base);
	f->media.base = NULL;
}

int fixture_open(struct fixture *f, struct problem *why)
{
	int r = store_read_super(&f->super, f->media.base, f->region_bytes, why);

	return r < 0 ? r : store_open(&f->store, &f->media, &f->super, why);
}

int fixture_reopen(struct fixture *f, struct problem *why)
{
	f->store = store_close(f->store);
	return fixture_open(f, why);
}

void fixture_copy(struct fixture *to, const struct fixture *from)
{
	*to = *from;
	to->store = NULL;
	to->media.base = malloc(to->media.size);
	cr_assert(to->media.base);
	memcpy(to->media.base, from->media.base, to->media.size);
}

uint64_t fixture_digest(struct fixture *f)
{
	_cleanup_(checkpoint_order_deinit) struct checkpoint_order order = {.places = NULL};
	struct checkpoint_info info = {.generation = 1, .slot = 0};
	struct store_super at_zero = f->super;
	_cleanup_free_ uint8_t *image = calloc(1, f->super.plan.slot_size);
	struct media media = {
		.ops = &media_memory_ops, .base = image, .size = f->super.plan.slot_size};

	cr_assert(image);
	at_zero.plan.slot_offset[0] = 0;
	cr_assert_eq(checkpoint_order_reserve(&order, store_meta(f->store)->inode_count), 0);
	checkpoint_write(&media, &at_zero, store_meta(f->store), &info, &order);
	return codec_checksum(image, f->super.plan.slot_size);
}

static struct inode_attr attr_of(struct fixture *f, uint64_t ino)
{
	struct inode *i = meta_inode(store_meta(f->store), ino);

	cr_assert(i);
	return i->attr;
}

int fixture_make(struct fixture *f, uint64_t parent, const char *name, uint32_t mode, uint64_t *ino)
{
	struct inode_attr dir = attr_of(f, parent);
	struct inode_attr a = {
		.ino = store_meta(f->store)->next_ino, .mode = mode, .links = 1, .mtime = 5};
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_CREATE, 99);

	if (S_ISDIR(mode)) {
		a.links = 2;
		a.parent = parent;
		a.next_cookie = GM_FIRST_COOKIE;
		dir.links++;
	}
	txn_put_inode(&t, &a);
	txn_add_dirent(
		&t, parent, a.ino, dir.next_cookie++, (uint8_t)(mode >> 12), name, strlen(name));
	txn_put_inode(&t, &dir);
	*ino = a.ino;
	return store_commit(f->store, &t);
}

int fixture_grow(struct fixture *f, uint64_t ino, uint64_t blocks)
{
	struct inode_attr a = attr_of(f, ino);
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SETATTR, 0);
	_cleanup_free_ struct alloc_extent *e = NULL;
	uint64_t at = a.size / GM_BLOCK_SIZE;
	size_t n;
	int r = alloc_plan(store_meta(f->store)->alloc, blocks, ALLOC_UNIT_AUTO, &e, &n);

	if (r < 0)
		return r;
	a.size += blocks * GM_BLOCK_SIZE;
	txn_put_inode(&t, &a);
	for (size_t k = 0; k < n; k++) {
		struct file_extent x = {.file_block = at,
			.block = e[k].block,
			.region = e[k].region,
			.count = e[k].count};

		txn_add_extent(&t, ino, &x);
		at += x.count;
	}
	return store_commit(f->store, &t);
}

int fixture_shrink(struct fixture *f, uint64_t ino)
{
	struct inode *i = meta_inode(store_meta(f->store), ino);
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SETATTR, 0);
	struct inode_attr a = i->attr;

	a.size = a.stale_from = 0;
	for (uint32_t k = 0; k < i->extent_count; k++)
		txn_remove_extent(&t, ino, &i->extents[k]);
	txn_put_inode(&t, &a);
	return store_commit(f->store, &t);
}

int fixture_unlink(struct fixture *f, uint64_t parent, const char *name, bool keep_inode)
{
	struct dirent *d = meta_lookup(store_meta(f->store), parent, name, strlen(name));
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_UNLINK, 0);
	struct inode *i = meta_inode(store_meta(f->store), d->ino);
	struct inode_attr a = i->attr, dir = attr_of(f, parent);

	txn_remove_dirent(&t, parent, d->cookie);
	if (inode_is_dir(i)) {
		dir.links--;
		txn_put_inode(&t, &dir);
		a.links--;
	}
	a.links--;
	if (keep_inode) {
		txn_put_inode(&t, &a);
	} else {
		for (uint32_t k = 0; !inode_is_dir(i) && k < i->extent_count; k++)
			txn_remove_extent(&t, d->ino, &i->extents[k]);
		txn_remove_inode(&t, d->ino);
	}
	return store_commit(f->store, &t);
}

int fixture_flags(struct fixture *f, uint64_t ino, uint64_t flags)
{
	struct inode_attr a = attr_of(f, ino);
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_GRANT, 0);

	a.flags = flags;
	txn_put_inode(&t, &a);
	return store_commit(f->store, &t);
}

int fixture_scrub(struct fixture *f, uint64_t ino)
{
	struct inode *i = meta_inode(store_meta(f->store), ino);
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SCRUB, 0);

	for (uint32_t k = 0; k < i->extent_count; k++) {
		struct alloc_extent e = {.block = i->extents[k].block,
			.region = i->extents[k].region,
			.count = i->extents[k].count};

		txn_set_blocks(&t, &e, GM_BLOCKS_CLEAN);
	}
	return store_commit(f->store, &t);
}

/*
 * Files f<n> in the root and in directories d<n>; every kind of item comes up within a dozen steps.
 */
int fixture_step(struct fixture *f, unsigned n)
{
	struct meta *m = store_meta(f->store);
	struct dirent *d;
	char name[32];
	uint64_t ino;

	(void)snprintf(name, sizeof(name), "f%u", n / 8);
	d = meta_lookup(m, GM_ROOT_INO, name, strlen(name));
	switch (n % 8) {
	case 0:
		return fixture_make(f, GM_ROOT_INO, name, S_IFREG | 0600, &ino);
	case 1:
		return fixture_grow(f, d->ino, 1 + n % 3);
	case 2:
		return fixture_scrub(f, d->ino);
	case 3:
		name[0] = 'd';
		return fixture_make(f, GM_ROOT_INO, name, S_IFDIR | 0755, &ino);
	case 4:
		return fixture_flags(f, d->ino, GM_INODE_HELD);
	case 5:
		return fixture_flags(f, d->ino, 0);
	case 6:
		name[0] = 'd';
		d = meta_lookup(m, GM_ROOT_INO, name, strlen(name));
		return fixture_make(f, d->ino, "inner", S_IFREG | 0644, &ino);
	default:
		return n % 16 == 7 ? fixture_unlink(f, GM_ROOT_INO, name, n % 32 == 7)
				   : fixture_shrink(f, d->ino);
	}
}
