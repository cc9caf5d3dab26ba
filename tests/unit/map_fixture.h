/* SPDX-License-Identifier: MIT */
/*
 * Attached files whose every word says where on its device it lies, and a look at
 * this process's mappings.
 */
#ifndef GM_TESTS_MAP_FIXTURE_H
#define GM_TESTS_MAP_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "guestmemfs/guestmemfs.h"

#define RO   GM_ACCESS_READ
#define RW   (GM_ACCESS_READ | GM_ACCESS_WRITE)
#define B    GM_BLOCK_SIZE
#define PAGE 4096U

/* Where each block of the file lies: device (or HOLE) and block in it. */
struct place {
	uint32_t device;
	uint32_t block;
};

#define HOLE UINT32_MAX

/*
 * A file of whole blocks at the given places, one extent a block, over two memfds whose every 8
 * bytes say where they are; attached through the fake helper.
 */
struct file {
	struct gm_attachment *a;
	int devices[2]; /* ours, writable */
};

struct vmas {
	size_t count;   /* that meet the range */
	size_t covered; /* bytes */
	size_t closed;  /* of these, bytes without any access */
};

void map_attach(struct file *file, const struct place *places, size_t blocks, uint64_t size,
	uint32_t access, uint64_t device_blocks);
void map_detach(struct file *file);

/* Writes a block's first and last word of every step bytes. */
void map_mark_block(int fd, uint32_t device, uint64_t block, uint64_t step);

/* The word that map_mark_block() writes at this offset of the device, and what the file has at this
 * offset of it. */
uint64_t map_word_at(uint32_t device, uint64_t offset);
uint64_t map_expected_word(const struct place *places, uint64_t offset);

/* All of this process's mappings, as text, in one of two buffers. */
char *map_read_all(int which);
struct vmas map_count_vmas(const void *start, size_t length);

/* Writable anonymous memory at a multiple of 2 MiB. */
char *map_reserve(size_t length);

#endif
