/* SPDX-License-Identifier: MIT */
/*
 * A plain model of a namespace: nodes and entries in two tables, slots that are in use or not, and
 * searches over all of them. Its functions say what the namespace must say to the same call, and
 * change what it must change. There is one for the process, beside the pool that it is compared to.
 */
#ifndef GM_TESTS_NAMESPACE_MODEL_H
#define GM_TESTS_NAMESPACE_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "pool_fixture.h"

enum {
	NODES = 200,
	ENTRIES = 400,
	MEMORY_BLOCKS = 4096, /* of the region, at the most */
	DATA_BLOCKS = 40,
	FILE_BLOCKS = 16,
	CELLS_PER_BLOCK = 16,
};

#define CELL (GM_BLOCK_SIZE / CELLS_PER_BLOCK)

struct node {
	bool used;
	bool is_dir;
	bool held;
	uint32_t type; /* of S_IFMT */
	dev_t rdev;
	char target[8];
	uint64_t ino;
	uint32_t mode, uid, gid;
	uint64_t size;
	struct timespec atime, mtime, ctime;
	unsigned opens;
	bool owned[FILE_BLOCKS]; /* blocks; others are holes, or past the end */
	uint32_t cells[FILE_BLOCKS * CELLS_PER_BLOCK];
};

extern struct pool pool;
extern struct node nodes[NODES]; /* 0 is the root; nodes are named by their numbers here */

/* Begins with the root alone, as the pool has it. */
void model_start(void);

/* ---- what there is ---- */

int model_find(int parent, const char *name); /* negative: nothing */
int model_parent(int n);                      /* of a directory, which has one name */
unsigned model_count_children(int parent, bool dirs_only);
unsigned model_links(int n);
uint64_t model_blocks(const struct node *n); /* up to its size */
uint64_t model_owned(const struct node *n);  /* without the holes */
uint64_t model_blocks_in_use(void);

/* Why it is no directory in which something can be looked up or made; 0: it is one. */
int model_dir_error(int n);

/* ---- what changes; 0 or the negative errno that is expected ---- */

/* Also the new node's number, which has no inode number yet. */
int model_make(int dir, const char *name, uint32_t type, uint32_t mode);
int model_link(int n, int dir, const char *name);
int model_remove(int dir, const char *name, bool is_dir);
int model_rename(int from, const char *x, int to, const char *y, unsigned flags);
int model_setattr(int node, const struct ns_change *c);
int model_space(struct node *n, enum ns_space what, uint64_t from, uint64_t to);

/* Where SEEK_DATA or SEEK_HOLE would find something. */
int64_t model_seek(const struct node *n, uint64_t from, bool data);

/* It goes, if nothing keeps it any more. */
void model_bury(int n);

/* ---- beside the namespace (namespace_model_compare.c) ---- */

/* The region's block that has this one of the file; false, or a failed assertion: a hole. */
bool find_block(const struct inode *i, uint64_t file_block, uint64_t *ret);
uint64_t block_at(const struct inode *i, uint64_t file_block);

/* One node, or the whole tree and its space: all that can be seen is the same. */
void compare_node(int k);
void compare_all(void);

#endif
