// SPDX-License-Identifier: MIT
/*
 * What a helper must not say is refused whole: one thing wrong at a time, each -EPROTO, no
 * descriptor leaked, nothing returned.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>

#include "fake_helper.h"
#include "util/cleanup.h"
#include "util/le.h"

#define RW    (GM_ACCESS_READ | GM_ACCESS_WRITE)
#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct spoil {
	const char *name;
	void (*apply)(struct fake *f);
};

#define GRANT     (f->answer.grant)
#define EXTENT(i) (f->answer.grant.extents[i])
#define SPOIL(what, ...)                                                                           \
	static void spoil_##what(struct fake *f)                                                   \
	{                                                                                          \
		__VA_ARGS__;                                                                       \
	}

static void replace_fd(struct fake *f, size_t index, int fd)
{
	cr_assert_geq(fd, 0);
	close_fd(f->answer.fds[index]);
	f->answer.fds[index] = fd;
}

static void replace_with_pipe(struct fake *f)
{
	int ends[2];

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	close_fd(ends[0]);
	replace_fd(f, 0, ends[1]);
}

static void drop_fd(struct fake *f)
{
	f->answer.nfds--;
	close_fd(f->answer.fds[f->answer.nfds]);
}

static void add_fd(struct fake_answer *a, size_t count)
{
	for (size_t i = 0; i < count; i++)
		a->fds[a->nfds++] = fake_region(GM_BLOCK_SIZE, RW);
}

SPOIL(header_size_small, f->answer.header.size = put_le32(sizeof(struct gm_grant) - 8))
SPOIL(header_size_large, f->answer.header.size = put_le32(UINT32_MAX))
SPOIL(shorter_than_header, f->answer.size = 8)
SPOIL(nothing_but_header, f->answer.size = 16; f->answer.header.size = put_le32(16))
SPOIL(one_byte_short, f->answer.size--;
	f->answer.header.size = put_le32(sizeof(struct gm_grant) - 1))
SPOIL(too_long, f->answer.size += 8; f->answer.header.size = put_le32(sizeof(struct gm_grant) + 8))
SPOIL(opcode_other, f->answer.header.opcode = put_le16(GM_OP_WELCOME))
SPOIL(opcode_request, f->answer.header.opcode = put_le16(GM_OP_ATTACH))
SPOIL(opcode_refused, f->answer.header.opcode = put_le16(GM_OP_REFUSED))
SPOIL(header_reserved, f->answer.header.reserved = put_le16(1))
SPOIL(serial, f->answer.serial_error = 1)
SPOIL(ino, GRANT.ino = put_le64(0))
SPOIL(size_zero, GRANT.size = put_le64(0))
SPOIL(size_negative, GRANT.size = put_le64(UINT64_MAX))
SPOIL(size_short, GRANT.size = put_le64(10 * GM_BLOCK_SIZE))
SPOIL(extents_hidden, GRANT.extent_count = put_le64(2))
SPOIL(extents_missing, GRANT.extent_count = put_le64(4))
SPOIL(extents_no_memfd, GRANT.extent_count = put_le64(33);
	GRANT.size = put_le64(64 * GM_BLOCK_SIZE))
SPOIL(extents_huge, GRANT.extent_count = put_le64(UINT64_MAX))
SPOIL(extents_wrap, GRANT.extent_count = put_le64(1ULL << 59))
SPOIL(access_none, GRANT.access = put_le32(0))
SPOIL(access_write_only, GRANT.access = put_le32(GM_ACCESS_WRITE))
SPOIL(access_unknown, GRANT.access = put_le32(RW | 4))
SPOIL(access_less_than_fds, GRANT.access = put_le32(GM_ACCESS_READ))
SPOIL(access_more_than_fd, replace_fd(f, 1, fake_reopen(f->answer.fds[1], O_RDONLY)))
SPOIL(fd_write_only, replace_fd(f, 1, fake_reopen(f->answer.fds[1], O_WRONLY)))
SPOIL(devices_none, GRANT.device_count = put_le32(0))
SPOIL(devices_fewer, GRANT.device_count = put_le32(1))
SPOIL(devices_more, GRANT.device_count = put_le32(3))
SPOIL(devices_beyond_array, GRANT.device_count = put_le32(33); add_fd(&f->answer, 31))
SPOIL(devices_huge, GRANT.device_count = put_le32(UINT32_MAX))
SPOIL(device_hidden_size, GRANT.devices[31].size = put_le64(1))
SPOIL(device_hidden_align, GRANT.devices[2].align = put_le64(4096))
SPOIL(device_size_zero, GRANT.devices[1].size = put_le64(0))
SPOIL(device_size_odd, GRANT.devices[1].size = put_le64(8 * GM_BLOCK_SIZE - 4096))
SPOIL(device_size_beyond_fd, GRANT.devices[1].size = put_le64(9 * GM_BLOCK_SIZE))
SPOIL(device_size_negative, GRANT.devices[1].size = put_le64(-GM_BLOCK_SIZE))
SPOIL(device_align_zero, GRANT.devices[0].align = put_le64(0))
SPOIL(device_align_odd, GRANT.devices[0].align = put_le64(3 * 4096))
SPOIL(device_align_small, GRANT.devices[0].align = put_le64(512))
SPOIL(device_align_large, GRANT.devices[0].align = put_le64(2 * GM_GROUP_SIZE))
SPOIL(fds_none, while (f->answer.nfds > 0) drop_fd(f))
SPOIL(fds_fewer, drop_fd(f))
SPOIL(fds_more, add_fd(&f->answer, 1))
SPOIL(fds_most, add_fd(&f->answer, 62))
SPOIL(fd_directory, replace_fd(f, 0, open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)))
SPOIL(fd_pipe, replace_with_pipe(f))
SPOIL(fd_path, replace_fd(f, 0, fake_reopen(f->answer.fds[0], O_PATH)))
SPOIL(extent_reserved, EXTENT(1).reserved = put_le32(1))
SPOIL(extent_device, EXTENT(1).device = put_le32(2))
SPOIL(extent_device_huge, EXTENT(1).device = put_le32(UINT32_MAX))
SPOIL(extent_file_offset_odd, EXTENT(2).file_offset = put_le64(10 * GM_BLOCK_SIZE + 4096))
SPOIL(extent_file_overlap, EXTENT(2).file_offset = put_le64(9 * GM_BLOCK_SIZE))
SPOIL(extent_file_order, EXTENT(2).file_offset = put_le64(0))
SPOIL(extent_file_beyond, EXTENT(2).file_offset = put_le64(11 * GM_BLOCK_SIZE))
SPOIL(extent_file_wraps, EXTENT(2).file_offset = put_le64(-GM_BLOCK_SIZE))
SPOIL(extent_length_zero, EXTENT(2).length = put_le64(0))
SPOIL(extent_length_odd, EXTENT(2).length = put_le64(GM_BLOCK_SIZE - 4096))
SPOIL(extent_length_beyond_file, EXTENT(2).length = put_le64(2 * GM_BLOCK_SIZE))
SPOIL(extent_length_wraps, EXTENT(2).length = put_le64(0 - 9 * GM_BLOCK_SIZE))
SPOIL(extent_device_offset_odd, EXTENT(0).device_offset = put_le64(4096))
SPOIL(extent_device_beyond, EXTENT(1).device_offset = put_le64(GM_BLOCK_SIZE))
SPOIL(extent_device_far, EXTENT(1).device_offset = put_le64(9 * GM_BLOCK_SIZE))
SPOIL(extent_device_wraps, EXTENT(1).device_offset = put_le64(0 - 8 * GM_BLOCK_SIZE))
SPOIL(extent_device_overlap, EXTENT(2).device_offset = put_le64(21 * GM_BLOCK_SIZE))
SPOIL(extent_device_twice, EXTENT(2).device_offset = put_le64(20 * GM_BLOCK_SIZE))
SPOIL(extent_below_device_align, GRANT.devices[0].align = put_le64(8 * GM_BLOCK_SIZE))
SPOIL(extent_hidden_last, EXTENT(31).reserved = put_le32(1))
SPOIL(refused_no_error, fake_refuse(f, 0, GM_REASON_TICKET))
SPOIL(refused_no_errno, fake_refuse(f, 4096, GM_REASON_TICKET))
SPOIL(refused_negative, fake_refuse(f, -EKEYREJECTED, GM_REASON_TICKET))
SPOIL(refused_no_reason, fake_refuse(f, EPERM, GM_REASON_NONE))
SPOIL(refused_long, fake_refuse(f, EPERM, GM_REASON_TICKET); f->answer.size += 8;
	f->answer.header.size = put_le32(sizeof(struct gm_refused) + 8))
SPOIL(refused_serial, fake_refuse(f, EPERM, GM_REASON_TICKET); f->answer.serial_error = 1)
SPOIL(refused_with_fd, fake_refuse(f, EPERM, GM_REASON_TICKET); add_fd(&f->answer, 1))
SPOIL(welcome_version_old, f->welcome.welcome.version = put_le32(0))
SPOIL(welcome_version_new, f->welcome.welcome.version = put_le32(2))
SPOIL(welcome_reserved, f->welcome.welcome.reserved = put_le32(1))
SPOIL(welcome_flags, f->welcome.welcome.flags = put_le64(1))
SPOIL(welcome_serial, f->welcome.serial_error = UINT64_MAX)
SPOIL(welcome_opcode, f->welcome.header.opcode = put_le16(GM_OP_HELLO))
SPOIL(welcome_is_grant, f->welcome.header.opcode = put_le16(GM_OP_GRANT))
SPOIL(welcome_short, f->welcome.size -= 8; f->welcome.header.size = put_le32(24))
SPOIL(welcome_with_fd, add_fd(&f->welcome, 1))

#define ROW(what)                                                                                  \
	{                                                                                          \
#what, spoil_##what                                                                \
	}

static const struct spoil short_spoils[] = {
	ROW(header_size_small),
	ROW(header_size_large),
	ROW(shorter_than_header),
	ROW(nothing_but_header),
	ROW(one_byte_short),
	ROW(too_long),
	ROW(opcode_other),
	ROW(opcode_request),
	ROW(opcode_refused),
	ROW(header_reserved),
	ROW(serial),
	ROW(ino),
	ROW(size_zero),
	ROW(size_negative),
	ROW(size_short),
	ROW(extents_hidden),
	ROW(extents_missing),
	ROW(extents_no_memfd),
	ROW(extents_huge),
	ROW(extents_wrap),
	ROW(access_none),
	ROW(access_write_only),
	ROW(access_unknown),
	ROW(access_less_than_fds),
	ROW(access_more_than_fd),
	ROW(fd_write_only),
	ROW(devices_none),
	ROW(devices_fewer),
	ROW(devices_more),
	ROW(devices_beyond_array),
	ROW(devices_huge),
	ROW(device_hidden_size),
	ROW(device_hidden_align),
	ROW(device_size_zero),
	ROW(device_size_odd),
	ROW(device_size_beyond_fd),
	ROW(device_size_negative),
	ROW(device_align_zero),
	ROW(device_align_odd),
	ROW(device_align_small),
	ROW(device_align_large),
	ROW(fds_none),
	ROW(fds_fewer),
	ROW(fds_more),
	ROW(fds_most),
	ROW(fd_directory),
	ROW(fd_pipe),
	ROW(fd_path),
	ROW(extent_reserved),
	ROW(extent_device),
	ROW(extent_device_huge),
	ROW(extent_file_offset_odd),
	ROW(extent_file_overlap),
	ROW(extent_file_order),
	ROW(extent_file_beyond),
	ROW(extent_file_wraps),
	ROW(extent_length_zero),
	ROW(extent_length_odd),
	ROW(extent_length_beyond_file),
	ROW(extent_length_wraps),
	ROW(extent_device_offset_odd),
	ROW(extent_device_beyond),
	ROW(extent_device_far),
	ROW(extent_device_wraps),
	ROW(extent_device_overlap),
	ROW(extent_device_twice),
	ROW(extent_below_device_align),
	ROW(extent_hidden_last),
	ROW(refused_no_error),
	ROW(refused_no_errno),
	ROW(refused_negative),
	ROW(refused_no_reason),
	ROW(refused_long),
	ROW(refused_serial),
	ROW(refused_with_fd),
	ROW(welcome_version_old),
	ROW(welcome_version_new),
	ROW(welcome_reserved),
	ROW(welcome_flags),
	ROW(welcome_serial),
	ROW(welcome_opcode),
	ROW(welcome_is_grant),
	ROW(welcome_short),
	ROW(welcome_with_fd),
};

#define TABLE(count, seals) fake_seal_table(f, f->table, count, seals)

SPOIL(memfd_missing, (void)f)
SPOIL(memfd_twice, TABLE(40, SEALS); TABLE(40, SEALS))
SPOIL(memfd_unsealed, TABLE(40, 0))
SPOIL(memfd_writable, TABLE(40, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
SPOIL(memfd_shrinkable, TABLE(40, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SEAL))
SPOIL(memfd_growable, TABLE(40, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_SEAL))
SPOIL(memfd_short, TABLE(39, SEALS))
SPOIL(memfd_long, TABLE(41, SEALS))
SPOIL(memfd_empty, TABLE(0, SEALS))
SPOIL(memfd_is_null, f->answer.fds[f->answer.nfds++] = open("/dev/null", O_RDWR | O_CLOEXEC))
SPOIL(memfd_order, f->table[39] = f->table[0]; TABLE(40, SEALS))
SPOIL(memfd_last_reserved, f->table[39].reserved = put_le32(1); TABLE(40, SEALS))
SPOIL(memfd_last_twice, f->table[39].device_offset = f->table[5].device_offset; TABLE(40, SEALS))
SPOIL(memfd_and_inline, EXTENT(0) = f->table[0]; TABLE(40, SEALS))
SPOIL(memfd_for_few, GRANT.extent_count = put_le64(32); TABLE(32, SEALS))

static const struct spoil long_spoils[] = {
	ROW(memfd_missing),
	ROW(memfd_twice),
	ROW(memfd_unsealed),
	ROW(memfd_writable),
	ROW(memfd_shrinkable),
	ROW(memfd_growable),
	ROW(memfd_short),
	ROW(memfd_long),
	ROW(memfd_empty),
	ROW(memfd_is_null),
	ROW(memfd_order),
	ROW(memfd_last_reserved),
	ROW(memfd_last_twice),
	ROW(memfd_and_inline),
	ROW(memfd_for_few),
};

static void refuse_spoiled(void (*grant)(struct fake *f), const struct spoil *s)
{
	struct gm_attachment *a = (void *)&a;
	struct fake f;

	grant(&f);
	s->apply(&f);
	size_t before = count_open_fds();
	int r = fake_redeem(&f, &a);
	cr_expect_eq(r, -EPROTO, "%s gave %d: %s", s->name, r, gm_last_problem());
	cr_expect_eq(count_open_fds(), before, "%s leaks", s->name);
	cr_expect_eq(a, (void *)&a, "%s changed the result", s->name);
	cr_expect_neq(gm_last_problem()[0], '\0', "%s has no sentence", s->name);
	fake_deinit(&f);
}

Test(client_hostile, every_wrong_field_of_a_short_grant_is_refused)
{
	for (size_t i = 0; i < ARRAY_SIZE(short_spoils); i++)
		refuse_spoiled(fake_grant_short, &short_spoils[i]);
}

Test(client_hostile, every_wrong_field_of_a_long_grant_is_refused)
{
	for (size_t i = 0; i < ARRAY_SIZE(long_spoils); i++)
		refuse_spoiled(fake_grant_long, &long_spoils[i]);
}
