/* SPDX-License-Identifier: MIT */
/*
 * The memory of the content store (GM_INODE_CONTENTS) as the worker reaches it: windows over parts
 * of its file, mapped when they are first wanted. Where they come from is the source's affair; here
 * is only which there are. Units are those of gm_piece: of the content store's file, 4 KiB each.
 *
 * Nothing here waits. Memory that is not there yet is -EINPROGRESS; the source says so when it is.
 */
#ifndef GM_FUSE_CONTENT_MEMORY_H
#define GM_FUSE_CONTENT_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/media.h"
#include "store/meta.h"

struct content_memory;

/* Blocks of the content store's file that lie side by side in memory. */
struct content_window {
	uint64_t file_block;
	uint64_t count;
	void *address;
	write_back_fn *write_back; /* as in struct media */
	uint32_t tag;              /* the source's own */
};

struct content_source {
	/*
	 * Maps memory around a block of the content store's file: `gap` is the part of one of its
	 * extents that has no window yet, and file_block lies in it. The window must contain
	 * file_block and lie in the gap. 0; -EINPROGRESS it is being fetched (or zeroed first), and
	 * content_memory_arrived() will be called; another negative errno. The memory must hold no
	 * former owner's bytes, and nobody may be zeroing it any more.
	 */
	int (*map)(void *data, const struct file_extent *gap, uint64_t file_block,
		struct content_window *ret);
	/* Takes what map() gave. */
	void (*unmap)(void *data, const struct content_window *window);
	const struct media_ops *ops; /* by which it is stored to */
	void *data;
};

/* meta and what the source needs outlive it. -ENOMEM. */
int content_memory_new(
	struct content_memory **ret, const struct meta *meta, const struct content_source *source);
struct content_memory *content_memory_free(
	struct content_memory *cm); /* NULL is fine; returns NULL */

/*
 * Memory that has come without map(), from whoever map() has asked: it becomes the content
 * memory's, to be unmapped like the rest. None of its blocks may have a window. -ENOMEM.
 */
int content_memory_add(struct content_memory *cm, const struct content_window *window);

/* The first of [first, end) of the content store's blocks without a window, and in *count how many
 * there are from there on; end: each has one. */
uint64_t content_memory_missing(
	const struct content_memory *cm, uint64_t first, uint64_t end, uint64_t *count);

/* Sees to it that these units, which the content store owns, are mapped. 0 they are; -EINPROGRESS;
 * another negative errno: they can't be. */
int content_memory_want(struct content_memory *cm, uint64_t unit, uint64_t count);

/*
 * Where a unit lies, and in *count (in: wanted) how many from there on lie behind each other. They
 * must have been wanted with success since the content store gave back blocks the last time.
 */
const void *content_memory_at(const struct content_memory *cm, uint64_t unit, uint64_t *count);

/*
 * Stores bytes from `skip` of a unit on, of data or (NULL) zeros, as many as lie behind each other:
 * *length in: wanted, out: stored. Wanted as above. -EIO: not all of them; the block that could not
 * take them is a fault.
 */
int content_memory_store(struct content_memory *cm, uint64_t unit, uint64_t skip, const void *data,
	uint64_t *length);

/* Touches memory that the kernel could not read: the block that can't be is a fault. */
void content_memory_probe(struct content_memory *cm, const void *at, size_t size);

/* A block of the content store's file that can't be reached, although it is mapped. */
struct content_fault {
	uint64_t file_block;
	bool poisoned; /* its memory is bad; else it is gone: its region was cut short, or its
			  device was taken away */
};

/* Whoever hears of errors that the kernel has told of and that lie in no window. Without one they
 * are a line in the log. */
struct sigbus;
void content_memory_on_stray(struct content_memory *cm,
	void (*stray)(void *data, const struct sigbus *what), void *data);

/* The next that has come up, by an access or because the kernel told so; false: none (any more). */
bool content_memory_next_fault(struct content_memory *cm, struct content_fault *ret);

/* What was stored is on the media before anything that is stored from here on. NULL is fine: then
 * nothing was. */
void content_memory_fence(const struct content_memory *cm);

/* The content store has given back blocks: what has no owner any more is unmapped. */
void content_memory_trim(struct content_memory *cm);

/* Calls arrived(data): what was -EINPROGRESS is worth another try, whether it came or failed. For
 * sources. */
void content_memory_arrived(struct content_memory *cm);
void content_memory_on_arrival(struct content_memory *cm, void (*arrived)(void *data), void *data);

#endif
