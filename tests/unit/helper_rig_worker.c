// SPDX-License-Identifier: MIT
/* What a test says and hears as the worker. */
#include "helper_rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

void rig_send(const struct rig *r, void *message, size_t size, uint16_t opcode, uint64_t id)
{
	const struct link_header h = {
		.size = put_le32((uint32_t)size), .opcode = put_le16(opcode), .id = put_le64(id)};

	memcpy(message, &h, sizeof(h));
	cr_assert_eq(packet_send(r->worker, message, size, NULL, 0, true), 0);
}

void rig_send_plain(const struct rig *r, uint16_t opcode, uint64_t id)
{
	struct link_plain m;

	rig_send(r, &m, sizeof(m), opcode, id);
}

void rig_expect(const struct rig *r, void *message, size_t size, uint16_t opcode)
{
	uint8_t buffer[1024];
	struct link_header h;
	ssize_t n = rig_receive(r->worker, buffer, sizeof(buffer), NULL, NULL);

	cr_assert_geq(n, (ssize_t)sizeof(h), "the link is closed");
	memcpy(&h, buffer, sizeof(h));
	cr_assert_eq(get_le16(h.opcode), opcode, "%u instead of %u", get_le16(h.opcode), opcode);
	cr_assert_eq((size_t)n, size);
	cr_assert_eq(get_le32(h.size), size);
	memcpy(message, buffer, size);
}

void rig_expect_nothing(const struct rig *r, int milliseconds)
{
	struct pollfd p = {.fd = r->worker, .events = POLLIN};

	cr_assert_eq(poll(&p, 1, milliseconds), 0, "something came");
}

void rig_expect_link_closed(const struct rig *r)
{
	char byte;
	ssize_t n = rig_receive(r->worker, &byte, sizeof(byte), NULL, NULL);

	cr_assert(n == 0 || n == -ECONNRESET, "%zd", n);
}

void rig_send_extents(const struct rig *r, uint64_t id, uint64_t ino,
	const struct rig_extent *extents, size_t count)
{
	while (count > 0) {
		struct link_extents m = {.ino = put_le64(ino)};
		size_t n = count < LINK_EXTENTS_MAX ? count : LINK_EXTENTS_MAX;
		m.count = put_le32((uint32_t)n);
		for (size_t i = 0; i < n; i++)
			m.extents[i] = (struct gm_extent){.ino = put_le64(ino),
				.file_block = put_le64(extents[i].file_block),
				.block = put_le64(extents[i].block),
				.count = put_le32(extents[i].count)};
		rig_send(r, &m, link_extents_size((uint32_t)n), LINK_EXTENTS, id);
		extents += n;
		count -= n;
	}
}

void rig_send_held(const struct rig *r, uint64_t ino, uint64_t epoch,
	const struct rig_extent *extents, size_t count)
{
	struct link_held m = {
		.ino = put_le64(ino), .epoch = put_le64(epoch), .extent_count = put_le64(count)};

	rig_send(r, &m, sizeof(m), LINK_HELD, 0);
	rig_send_extents(r, 0, ino, extents, count);
}

void rig_resume(const struct rig *r, uint64_t ino, const struct rig_extent *held, size_t count)
{
	if (count > 0)
		rig_send_held(r, ino, r->epoch, held, count);
	rig_send_plain(r, LINK_RESUMED, 0);
}

uint64_t rig_size(const struct rig_extent *extents, size_t count)
{
	uint64_t end = 1;

	for (size_t i = 0; i < count; i++)
		if (extents[i].file_block + extents[i].count > end)
			end = extents[i].file_block + extents[i].count;
	return end * GM_BLOCK_SIZE - 12345;
}

struct link_redeem rig_grant(struct rig *r, uint64_t ino, uint32_t access,
	const struct rig_extent *extents, size_t count)
{
	struct link_redeem asked;

	rig_expect(r, &asked, sizeof(asked), LINK_REDEEM);
	uint64_t id = get_le64(asked.header.id);
	struct link_grant m = {.ino = put_le64(ino),
		.epoch = put_le64(++r->epoch),
		.size = put_le64(rig_size(extents, count)),
		.extent_count = put_le64(count),
		.access = put_le32(access),
		.owner = put_le32(r->owner)};
	rig_send(r, &m, sizeof(m), LINK_GRANT, id);
	rig_send_extents(r, id, ino, extents, count);
	return asked;
}

int rig_scrub(const struct rig *r, uint64_t block, uint32_t count)
{
	struct link_scrub m = {.block = put_le64(block), .count = put_le32(count)};
	struct link_done done;

	rig_send(r, &m, sizeof(m), LINK_SCRUB, 77);
	rig_expect(r, &done, sizeof(done), LINK_DONE);
	cr_assert_eq(get_le64(done.header.id), 77);
	return (int)get_le32(done.error);
}

struct link_check rig_check(const struct rig *r, uint64_t ino)
{
	return rig_check_flags(r, ino, 0);
}

struct link_check rig_check_flags(const struct rig *r, uint64_t ino, unsigned flags)
{
	static uint64_t id = 1000;
	struct link_check m = {
		.ino = put_le64(ino), .epoch = put_le64(r->epoch), .flags = put_le32(flags)};

	rig_send(r, &m, sizeof(m), LINK_CHECK, ++id);
	do /* an unasked FREE may meet the question */
		cr_assert_eq(rig_receive(r->worker, &m, sizeof(m), NULL, NULL), (ssize_t)sizeof(m));
	while (get_le16(m.header.opcode) == LINK_FREE && get_le64(m.header.id) == 0);
	cr_assert_eq(get_le64(m.header.id), id);
	cr_assert_eq(get_le64(m.ino), ino);
	return m;
}

void rig_expect_free(const struct rig *r, uint64_t ino, uint64_t epoch)
{
	struct link_check m;

	rig_expect(r, &m, sizeof(m), LINK_FREE);
	cr_assert_eq(get_le64(m.header.id), 0);
	cr_assert_eq(get_le64(m.ino), ino);
	cr_assert_eq(get_le64(m.epoch), epoch);
}

void rig_fill(const struct rig *r, uint64_t block, int byte)
{
	_cleanup_free_ uint8_t *data = malloc(GM_BLOCK_SIZE);
	_cleanup_fd_ int fd = open(r->region, O_WRONLY | O_CLOEXEC);

	memset(data, byte, GM_BLOCK_SIZE);
	cr_assert_eq(pwrite(fd, data, GM_BLOCK_SIZE, (off_t)(block * GM_BLOCK_SIZE)),
		(ssize_t)GM_BLOCK_SIZE);
}

bool rig_is_filled(const struct rig *r, uint64_t block, int byte)
{
	_cleanup_free_ uint8_t *data = malloc(GM_BLOCK_SIZE);
	_cleanup_fd_ int fd = open(r->region, O_RDONLY | O_CLOEXEC);

	cr_assert_eq(pread(fd, data, GM_BLOCK_SIZE, (off_t)(block * GM_BLOCK_SIZE)),
		(ssize_t)GM_BLOCK_SIZE);
	for (size_t i = 0; i < GM_BLOCK_SIZE; i++)
		if (data[i] != (uint8_t)byte)
			return false;
	return true;
}
