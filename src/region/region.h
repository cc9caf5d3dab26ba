/* SPDX-License-Identifier: MIT */
/*
 * Regions: ranges of memory that outlive our processes. A region specification is what the operator
 * gives with --region; each kind has its table of operations. Only this directory knows kinds;
 * everybody else goes through region_*().
 */
#ifndef GM_REGION_REGION_H
#define GM_REGION_REGION_H

#include <stdbool.h>
#include <stdint.h>

#include "guestmemfs/format.h"
#include "util/problem.h"
#include "util/write_back.h"

struct region_ops;

/* "KIND:PATH[,OPTION=VALUE...]", taken apart:
 *	file:PATH[,size=SIZE]
 *	pmem:auto[,align=2M|1G]  pmem:/dev/daxX.Y
 *	soft:auto  soft:0xSTART
 */
struct region_spec {
	const struct region_ops *ops;
	char *path;     /* what stands behind the colon: a path, "auto", a physical start; owned */
	uint64_t size;  /* bytes; 0 if not given */
	uint64_t align; /* bytes; 0 if not given */
	uint64_t
		reach; /* bytes that will be reached at its beginning, as far as can be guessed: a
			  right guess saves making a soft region's metadata device twice; 0: none */
};

#define REGION_SPEC_NULL ((struct region_spec){.ops = NULL})

/* -EINVAL with a sentence for what can't be understood; -ENOMEM. */
int region_spec_parse(struct region_spec *ret, const char *text, struct problem *why);
void region_spec_deinit(struct region_spec *spec);

/*
 * What is taken where no --region is given: the soft region if there is one, else the pmem region.
 * -ENODEV with a sentence that says how to get one (boot parameters), or to try it without.
 */
int region_find_default(struct region_spec *ret, struct problem *why);

struct region {
	const struct region_ops *ops;
	enum gm_region_kind kind;
	char *name;     /* path of the file or node, or "0x100000000"; owned */
	int fd;         /* open for reading and writing; owned. soft: of the metadata device */
	uint64_t size;  /* bytes, a multiple of GM_BLOCK_SIZE */
	uint64_t align; /* page size of its mappings, bytes */
	uint64_t physical_start; /* bytes; 0 for files */
	uint64_t reach; /* fd reaches these first bytes, and the last block; see region_reach() */
	bool reserved_ram; /* kept from the kernel by its command line alone: GM_REGION_RESERVED_RAM
			    */
	uint32_t node;     /* GM_NODE_NONE if unknown */
	write_back_fn *write_back; /* persistent memory: how stores get there; NULL: they do */
};

#define REGION_NULL ((struct region){.fd = -1})

/* Bytes, without opening it; 0 if that is not to be had so (only soft regions say it). */
uint64_t region_peek_size(const struct region_spec *spec);

enum region_open_flags {
	REGION_OPEN_CREATE =
		1 << 0, /* a file: make it if it is not there; then spec->size is needed */
	REGION_OPEN_READ_ONLY =
		1 << 1, /* for fsck: fd is O_RDONLY, nothing can be changed through it */
	REGION_OPEN_NAMESPACE =
		1 << 2,             /* pmem: make the devdax namespace where there is a raw one */
	REGION_OPEN_FORCE = 1 << 3, /* with NAMESPACE: whatever the present one holds */
};

/*
 * Opens the region. *created says whether it was made just now, in which case it is allocated in
 * full and zero. Sentences: not there (-ENOENT), not a region (-EINVAL: a directory, a device of
 * another kind, a size that is not a multiple of 2 MiB), too small for the size asked for, no
 * permission (-EACCES), no space to allocate it (-ENOSPC; then nothing is left behind).
 */
int region_open(struct region *ret, const struct region_spec *spec, unsigned flags, bool *created,
	struct problem *why);
void region_close(struct region *r);

/*
 * Lets fd reach the first `bytes` of the region and its last block, and on soft regions nothing
 * else. A freshly opened soft region reaches its first block, or what its metadata device covers
 * since an earlier start in this boot; elsewhere all is reached always and nothing is done. The
 * region must be locked and nothing of it be mapped: fd may become another device's, locked like
 * the one before. -EBUSY with a sentence: another device is over these blocks, or somebody else
 * uses the metadata device.
 */
int region_reach(struct region *r, uint64_t bytes, struct problem *why);

/*
 * From now on the region is its first `bytes`, as if it had never been larger; fd reaches all of
 * them. Conditions and errors of region_reach(). What is open alone changes: the next region_open()
 * finds it as large as it is.
 */
int region_cut(struct region *r, uint64_t bytes, struct problem *why);

/* Removes a region that region_open() has just made, because what it was made for has failed. Close
 * it besides. */
void region_discard(const struct region *r);

/*
 * Makes sure that every page of the region has memory behind it, so that no client meets SIGBUS
 * later; called at format. -ENOSPC with a sentence.
 */
int region_allocate(struct region *r, struct problem *why);

/*
 * Locks the region against other instances and offline commands for as long as r->fd or a
 * descriptor inherited or duplicated from it is open (flock(2)). Tries again until timeout_ms have
 * passed. -EWOULDBLOCK with a sentence.
 */
int region_lock(struct region *r, bool shared, unsigned timeout_ms, struct problem *why);

/*
 * Makes a struct region from a descriptor of one that region_open() opened in another process
 * (takes fd over, also on failure). *name is for messages.
 */
int region_adopt(struct region *ret, enum gm_region_kind kind, int fd, const char *name,
	struct problem *why);

/*
 * Opens the region's device anew, so that the result shares neither lock nor access mode with
 * r->fd; access is O_RDONLY or O_RDWR. The descriptor is the caller's. Negative errno.
 */
int region_reopen(const struct region *r, int access);

/*
 * Maps [offset, offset + length), both multiples of GM_BLOCK_SIZE, MAP_SHARED. NULL with errno in
 * *err, ERANGE if fd does not reach it. region_unmap() takes what this gave.
 */
void *region_map(const struct region *r, uint64_t offset, uint64_t length, bool writable, int *err);
void region_unmap(const struct region *r, void *address, uint64_t length);

/* "soft", "pmem", "file". */
const char *region_kind_name(enum gm_region_kind kind);

/* The kind that is called by these `length` bytes. False, and *ret is as it was: none is. */
bool region_kind_find(enum gm_region_kind *ret, const char *name, size_t length);

/* True if a client's fd of the region reaches more than its own file, so that only trusted users
 * may have one. */
bool region_needs_trust(enum gm_region_kind kind);

/* Bytes with K, M, G, T (powers of 1024) behind, or none: "512M". -EINVAL, -ERANGE. */
int region_parse_size(const char *text, uint64_t *ret);

/* The inverse, exact: "512M", "4097K", "1234" (bytes). Returns buffer. */
#define REGION_SIZE_TEXT 24
const char *region_format_size(char buffer[REGION_SIZE_TEXT], uint64_t bytes);

#endif
