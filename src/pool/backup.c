// SPDX-License-Identifier: MIT
#include "pool/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "pool/area.h"
#include "pool/internal.h"
#include "store/codec.h"
#include "util/le.h"

#define MAGIC   "GMFSCOPY"
#define VERSION 1U

const char *backup_name(char buffer[BACKUP_NAME], const uint8_t uuid[16], int64_t now)
{
	char text[POOL_UUID_TEXT], date[32] = "";
	time_t t = (time_t)now;
	struct tm tm;

	if (gmtime_r(&t, &tm))
		(void)strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", &tm);
	(void)snprintf(buffer, BACKUP_NAME, "guestmemfs-%.8s-%s.metadata",
		pool_format_uuid(text, uuid), date);
	return buffer;
}

/* ---- writing the file ---- */

static int write_all(int fd, const void *bytes, uint64_t length)
{
	const uint8_t *from = bytes;

	while (length > 0) {
		ssize_t n = write(fd, from, length < 1U << 30 ? length : 1U << 30);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		from += n;
		length -= (uint64_t)n;
	}
	return 0;
}

/* The name is to be on the disk as well as the bytes. */
static int sync_directory(const char *path)
{
	_cleanup_free_ char *copy = strdup(path);
	_cleanup_fd_ int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (!copy)
		return -ENOMEM;
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int write_file(
	const char *path, const struct backup_head *head, const uint8_t *area, struct problem *why)
{
	_cleanup_fd_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return problem_errno(why, errno,
			"keeping a copy of the metadata in %s; nothing was changed", path);
	r = write_all(fd, head, sizeof(*head));
	if (r == 0)
		r = write_all(fd, area, get_le64(head->area_bytes));
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0)
		r = sync_directory(path);
	if (r == 0)
		return 0;
	(void)unlink(path);
	return problem_errno(
		why, -r, "keeping a copy of the metadata in %s; nothing was changed", path);
}

static int read_stamps(struct backup_head *head, const struct pool *pool, struct problem *why)
{
	for (uint32_t i = 0; i < pool->count; i++) {
		head->region_blocks[i] = put_le64(pool->regions[i].size / GM_BLOCK_SIZE);
		for (enum gm_stamp_position k = GM_STAMP_FIRST; k <= GM_STAMP_LAST; k++) {
			int r = pool_read_stamp(&pool->regions[i], k, &head->stamps[i][k], why);

			if (r < 0 && r != -EIO)
				return r;
		}
	}
	return 0;
}

static int copy_area(
	struct pool_copy *ret, struct pool *pool, uint64_t area_bytes, struct problem *why)
{
	struct media area;
	int r = pool_reach(pool, area_bytes / GM_BLOCK_SIZE, why);

	if (r == 0)
		r = pool_map_area(pool, area_bytes, false, &area, why);
	if (r < 0)
		return r;
	r = pool_copy_area(ret, &area, 0, 0, why);
	region_unmap(&pool->regions[0], area.base, area.size);
	return r;
}

int backup_write(struct pool *pool, const uint8_t uuid[16], uint64_t area_bytes, const char *path,
	int64_t now, struct problem *why)
{
	_cleanup_(pool_copy_deinit) struct pool_copy copy = POOL_COPY_NULL;
	_cleanup_free_ struct backup_head *head = calloc(1, sizeof(*head));
	int r;

	if (!head)
		return problem_errno(why, ENOMEM, "keeping a copy of the metadata");
	r = copy_area(&copy, pool, area_bytes, why);
	if (r == 0)
		r = read_stamps(head, pool, why);
	if (r < 0)
		return r;
	memcpy(head->magic, MAGIC, sizeof(head->magic));
	head->version = put_le32(VERSION);
	head->region_count = put_le32(pool->count);
	memcpy(head->uuid, uuid, sizeof(head->uuid));
	head->created = put_le64((uint64_t)now);
	head->area_bytes = put_le64(area_bytes);
	head->area_checksum = put_le64(codec_checksum(copy.bytes, area_bytes));
	head->checksum = codec_seal(head, sizeof(*head));
	return write_file(path, head, copy.bytes, why);
}

/* ---- reading it ---- */

/* 0, or -EINVAL where the file ends before. */
static int read_all(int fd, void *bytes, uint64_t length)
{
	uint8_t *to = bytes;

	while (length > 0) {
		ssize_t n = read(fd, to, length < 1U << 30 ? length : 1U << 30);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EINVAL;
		to += n;
		length -= (uint64_t)n;
	}
	return 0;
}

static int check_head(
	const struct backup_head *head, uint64_t file_bytes, const char *path, struct problem *why)
{
	uint64_t bytes = get_le64(head->area_bytes);

	if (!codec_seal_holds(head, sizeof(*head)) || bytes == 0 || bytes % GM_BLOCK_SIZE != 0 ||
		get_le32(head->region_count) == 0 || get_le32(head->region_count) > GM_REGIONS_MAX)
		return problem(why, EUCLEAN, "%s is damaged; nothing was changed", path);
	if (get_le32(head->version) != VERSION)
		return problem(
			why, EINVAL, "%s was made by a newer guestmemfs; use that one", path);
	if (bytes != file_bytes - sizeof(*head))
		return problem(why, EUCLEAN,
			"%s is not whole: it has %" PRIu64 " bytes, and should have %" PRIu64
			"; nothing was changed",
			path, file_bytes, (uint64_t)(bytes + sizeof(*head)));
	return 0;
}

static int read_area(struct backup *b, int fd, const char *path, struct problem *why)
{
	uint64_t bytes = get_le64(b->head.area_bytes);
	int r;

	b->area = malloc(bytes);
	if (!b->area)
		return problem_errno(why, ENOMEM, "reading %s", path);
	r = read_all(fd, b->area, bytes);
	if (r < 0)
		return problem_errno(why, -r, "reading %s", path);
	if (codec_checksum(b->area, bytes) != get_le64(b->head.area_checksum))
		return problem(why, EUCLEAN, "%s is damaged; nothing was changed", path);
	return 0;
}

int backup_read(struct backup *ret, const char *path, struct problem *why)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return problem_errno(why, errno, "opening %s", path);
	r = S_ISREG(st.st_mode) ? read_all(fd, &ret->head, sizeof(ret->head)) : -EINVAL;
	if (r < 0 && r != -EINVAL)
		return problem_errno(why, -r, "reading %s", path);
	if (r < 0 || memcmp(ret->head.magic, MAGIC, sizeof(ret->head.magic)) != 0)
		return problem(why, EINVAL,
			"%s is no copy of metadata that guestmemfs fsck has made", path);
	r = check_head(&ret->head, (uint64_t)st.st_size, path, why);
	return r < 0 ? r : read_area(ret, fd, path, why);
}

void backup_deinit(struct backup *b)
{
	free(b->area);
	*b = BACKUP_NULL;
}

/* ---- is it this pool's? ---- */

/* 1 if the stamp shows that it is, 0 if it shows nothing. */
static int check_stamp(const struct backup *b, const struct region *r, uint32_t i,
	enum gm_stamp_position position, struct problem *why)
{
	struct gm_stamp stamp;
	int e = pool_read_stamp(r, position, &stamp, why);

	if (e == -EIO || (e == 0 && !store_stamp_is_whole(&stamp)))
		return 0;
	if (e == 0)
		e = store_check_stamp(&stamp, b->head.uuid, i, position,
			get_le64(b->head.region_blocks[i]), NULL, why);
	return e < 0 ? problem_prefix(why, e, "the copy is not of region %s", r->name) : 1;
}

/* What it has grown by since is not the pool's yet: a stamp of another size would say so. */
static int take_size(struct region *r, uint64_t blocks, struct problem *why)
{
	if (blocks == r->size / GM_BLOCK_SIZE)
		return 0;
	if (blocks > 0 && blocks < r->size / GM_BLOCK_SIZE)
		return region_cut(r, blocks * GM_BLOCK_SIZE, why);
	return problem(why, EUCLEAN,
		"region %s has %" PRIu64 " MiB, and had %" PRIu64
		" MiB when the copy was made; nothing was changed",
		r->name, r->size >> 20, blocks * 2);
}

static int check_sizes(const struct backup *b, struct pool *pool, struct problem *why)
{
	uint32_t count = get_le32(b->head.region_count);

	if (pool->count != count)
		return problem(why, EINVAL,
			"the copy is of a pool with %" PRIu32 " region(s) and %" PRIu32
			" are named: name every one, in the order of the format",
			count, pool->count);
	for (uint32_t i = 0; i < count; i++) {
		int r = take_size(&pool->regions[i], get_le64(b->head.region_blocks[i]), why);

		if (r < 0)
			return r;
	}
	if (get_le64(b->head.area_bytes) >= pool->regions[0].size)
		return problem(
			why, EUCLEAN, "the copy does not fit region %s", pool->regions[0].name);
	return 0;
}

int backup_check(const struct backup *b, struct pool *pool, struct problem *why)
{
	struct store_super super;
	unsigned shown = 0;
	int r = check_sizes(b, pool, why);

	for (uint32_t i = 0; i < pool->count && r >= 0; i++)
		for (enum gm_stamp_position k = GM_STAMP_FIRST; k <= GM_STAMP_LAST && r >= 0; k++) {
			r = check_stamp(b, &pool->regions[i], i, k, why);
			shown += r > 0;
		}
	if (r < 0)
		return r;
	if (pool_read_super(&pool->regions[0], &super, NULL) == 0) {
		if (memcmp(super.uuid, b->head.uuid, sizeof(super.uuid)) != 0)
			return problem(why, EUCLEAN,
				"the copy is of another pool than the one on region %s",
				pool->regions[0].name);
		shown++;
	}
	if (shown > 0)
		return 0;
	return problem(why, EUCLEAN,
		"nothing on the regions shows that the copy is of the pool that was there: no "
		"stamp is whole, and neither is a superblock; nothing was changed");
}

/* ---- putting it back ---- */

static void restore_area(const struct backup *b, struct media *m)
{
	static const uint64_t supers[2] = {GM_SUPER_A_OFFSET, GM_SUPER_B_OFFSET};
	static const struct gm_super none;
	uint64_t at = 0;

	for (int k = 0; k < 2; k++)
		media_copy(m, supers[k], &none, sizeof(none));
	media_fence(m);
	for (int k = 0; k < 2; k++) {
		media_copy(m, at, b->area + at, supers[k] - at);
		at = supers[k] + sizeof(none);
	}
	media_copy(m, at, b->area + at, m->size - at);
	media_fence(m);
	for (int k = 0; k < 2; k++) {
		media_copy(m, supers[k], b->area + supers[k], sizeof(none));
		media_fence(m);
	}
}

/* Region 0's first one lies in the area. */
static int restore_stamps(const struct backup *b, const struct pool *pool, struct problem *why)
{
	int r = 0;

	for (uint32_t n = 1; n < 2 * pool->count && r == 0; n++) {
		const struct region *region = &pool->regions[n / 2];
		void *block = NULL;

		r = pool_map_block(region, n % 2, true, &block, why);
		if (r < 0)
			return r;
		struct media m = pool_media(region, block, GM_BLOCK_SIZE);
		media_copy(&m, GM_STAMP_OFFSET, &b->head.stamps[n / 2][n % 2],
			sizeof(struct gm_stamp));
		media_fence(&m);
		region_unmap(region, block, GM_BLOCK_SIZE);
	}
	return r;
}

/* Whether a stamp that does not lie in the area shows whose the regions are. */
static bool has_stamp(const struct backup *b, const struct pool *pool)
{
	struct problem why = PROBLEM_INIT;

	for (uint32_t n = 1; n < 2 * pool->count; n++)
		if (check_stamp(b, &pool->regions[n / 2], n / 2, n % 2, &why) > 0)
			return true;
	return false;
}

struct restoring {
	const struct backup *backup;
	const struct pool *pool;
	struct media area;
	struct problem *why;
	int r;
};

static void do_restore(void *data)
{
	struct restoring *to = data;

	/* Whole stamps show whose the regions are for as long as no superblock does. Those on the
	 * regions do until the area is there: the copy's may lie elsewhere, if a region has grown.
	 */
	to->r = has_stamp(to->backup, to->pool) ? 0 : restore_stamps(to->backup, to->pool, to->why);
	if (to->r < 0)
		return;
	restore_area(to->backup, &to->area);
	to->r = restore_stamps(to->backup, to->pool, to->why);
}

int backup_restore(const struct backup *b, struct pool *pool, struct problem *why)
{
	uint64_t bytes = get_le64(b->head.area_bytes);
	struct restoring to = {.backup = b, .pool = pool, .why = why};
	int r = pool_reach(pool, bytes / GM_BLOCK_SIZE, why);

	if (r == 0)
		r = pool_map_area(pool, bytes, true, &to.area, why);
	if (r < 0)
		return r;
	r = pool_guard_writing(&pool->regions[0], &to.area, do_restore, &to, why);
	region_unmap(&pool->regions[0], to.area.base, to.area.size);
	return r < 0 ? r : to.r;
}
