// SPDX-License-Identifier: MIT
#include "map_fixture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fake_helper.h"
#include "util/cleanup.h"
#include "util/le.h"

/* Static, because to map room for the text would change it. */
uint64_t map_word_at(uint32_t device, uint64_t offset)
{
	return (uint64_t)(device + 1) << 56 | offset;
}

static void write_word(int fd, uint32_t device, uint64_t offset)
{
	uint64_t word = map_word_at(device, offset);

	cr_assert_eq(pwrite(fd, &word, sizeof(word), (off_t)offset), (ssize_t)sizeof(word));
}

void map_mark_block(int fd, uint32_t device, uint64_t block, uint64_t step)
{
	for (uint64_t at = 0; at < B; at += step) {
		write_word(fd, device, block * B + at);
		write_word(fd, device, block * B + at + step - 8);
	}
}

static struct gm_grant_extent *make_table(const struct place *places, size_t blocks, size_t *count)
{
	struct gm_grant_extent *table = calloc(blocks, sizeof(*table));

	cr_assert_not_null(table);
	*count = 0;
	for (size_t i = 0; i < blocks; i++)
		if (places[i].device != HOLE)
			table[(*count)++] = (struct gm_grant_extent){
				.file_offset = put_le64(i * B),
				.length = put_le64(B),
				.device_offset = put_le64(places[i].block * B),
				.device = put_le32(places[i].device),
			};
	return table;
}

void map_attach(struct file *file, const struct place *places, size_t blocks, uint64_t size,
	uint32_t access, uint64_t device_blocks)
{
	struct fake f;
	size_t count;

	fake_init(&f, access);
	for (int i = 0; i < 2; i++) {
		file->devices[i] = fake_region(device_blocks * B, RW);
		fake_add_device(&f, fake_reopen(file->devices[i], access == RW ? O_RDWR : O_RDONLY),
			device_blocks * B, PAGE);
	}
	_cleanup_free_ struct gm_grant_extent *table = make_table(places, blocks, &count);
	f.answer.grant.size = put_le64(size);
	f.answer.grant.extent_count = put_le64(count);
	if (count > GM_GRANT_INLINE_MAX)
		fake_seal_table(&f, table, count, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
	else
		memcpy(f.answer.grant.extents, table, count * sizeof(*table));
	int r = fake_redeem(&f, &file->a);
	cr_assert_eq(r, 0, "%s", gm_last_problem());
	fake_deinit(&f);
}

void map_detach(struct file *file)
{
	gm_detach(file->a);
	close_fd(file->devices[0]);
	close_fd(file->devices[1]);
}

#define MAPS_ROOM (32U << 20)
static char maps_buffers[2][MAPS_ROOM];

char *map_read_all(int which)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	char *text = maps_buffers[which];
	size_t n = 0;
	ssize_t got;

	cr_assert_geq(fd, 0);
	while ((got = read(fd, text + n, MAPS_ROOM - n - 1)) > 0)
		n += (size_t)got;
	cr_assert_lt(n, MAPS_ROOM - 1);
	text[n] = '\0';
	close_fd(fd);
	return text;
}

struct vmas map_count_vmas(const void *start, size_t length)
{
	const uintptr_t from = (uintptr_t)start, to = from + length;
	struct vmas v = {0, 0, 0};
	char *text = map_read_all(0);

	for (char *line = text; line && *line;
		line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		char *rest;
		uintptr_t low = strtoul(line, &rest, 16), high = strtoul(rest + 1, &rest, 16);
		low = low < from ? from : low;
		high = high > to ? to : high;
		if (low >= high)
			continue;
		v.count++;
		v.covered += high - low;
		if (strncmp(rest, " ---", 4) == 0)
			v.closed += high - low;
	}
	return v;
}

uint64_t map_expected_word(const struct place *places, uint64_t offset)
{
	const struct place *p = &places[offset / B];

	return map_word_at(p->device, p->block * B + offset % B);
}

char *map_reserve(size_t length)
{
	char *p =
		mmap(NULL, length + B, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(p, MAP_FAILED);
	return (char *)(((uintptr_t)p + B - 1) & ~(B - 1));
}
