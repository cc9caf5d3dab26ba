// SPDX-License-Identifier: MIT
/*
 * What a helper grants or refuses arrives as it was meant; what it must not say is refused whole.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

#include "fake_helper.h"
#include "guestmemfs/guestmemfs.h"
#include "util/cleanup.h"
#include "util/le.h"

#define RW     (GM_ACCESS_READ | GM_ACCESS_WRITE)
#define BLOCKS FAKE_BLOCKS
#define SEALS  (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* ---- what is good ---- */

Test(client, says_exactly_what_the_protocol_asks_for)
{
	struct gm_attachment *a;
	struct fake f;

	fake_grant_short(&f);
	cr_assert_eq(fake_redeem(&f, &a), 0, "%s", gm_last_problem());
	gm_detach(a);
	cr_assert_eq(get_le32(f.hello.header.size), sizeof(f.hello));
	cr_assert_eq(get_le16(f.hello.header.opcode), GM_OP_HELLO);
	cr_assert_eq(get_le16(f.hello.header.reserved), 0);
	cr_assert_eq(get_le32(f.hello.version_min), 1);
	cr_assert_eq(get_le32(f.hello.version_max), 1);
	cr_assert_eq(get_le64(f.hello.flags), 0);
	cr_assert_eq(get_le32(f.attach.header.size), sizeof(f.attach));
	cr_assert_eq(get_le16(f.attach.header.opcode), GM_OP_ATTACH);
	cr_assert_eq(get_le16(f.attach.header.reserved), 0);
	cr_assert_neq(get_le64(f.attach.header.serial), get_le64(f.hello.header.serial));
	cr_assert_arr_eq(f.attach.ticket.bytes, fake_ticket.bytes, sizeof(fake_ticket.bytes));
	cr_assert_eq(get_le64(f.attach.flags), 0);
	fake_deinit(&f);
}

Test(client, inline_grant_becomes_an_attachment_that_owns_its_fds)
{
	size_t before = count_open_fds();
	struct gm_attachment *a;
	struct gm_extent_info e;
	struct fake f;

	fake_grant_short(&f);
	f.answer.grant.size = put_le64(11 * GM_BLOCK_SIZE - 12345);
	cr_assert_eq(fake_redeem(&f, &a), 0, "%s", gm_last_problem());
	fake_deinit(&f);
	cr_assert_eq(gm_ino(a), 7);
	cr_assert_eq(gm_size(a), 11 * GM_BLOCK_SIZE - 12345);
	cr_assert_eq(gm_access(a), RW);
	cr_assert_eq(gm_align(a), GM_BLOCK_SIZE);
	cr_assert_eq(gm_extent_count(a), 3);
	cr_assert_eq(gm_extent(a, 2, &e), 0);
	cr_assert_eq(e.file_offset, 10 * GM_BLOCK_SIZE);
	cr_assert_eq(e.length, GM_BLOCK_SIZE);
	cr_assert_eq(e.device_offset, 3 * GM_BLOCK_SIZE);
	cr_assert_eq(e.device, 0);
	cr_assert_eq(gm_extent(a, 3, &e), -ERANGE);
	cr_assert_eq(fcntl(gm_device_fd(a, 0), F_GETFD), FD_CLOEXEC);
	cr_assert_eq(fcntl(gm_device_fd(a, 1), F_GETFD), FD_CLOEXEC);
	cr_assert_eq(gm_device_fd(a, 2), -ERANGE);
	cr_assert_eq(count_open_fds(), before + 2);
	gm_detach(a);
	gm_detach(NULL);
	cr_assert_eq(count_open_fds(), before);
}

Test(client, long_grant_comes_from_a_sealed_memfd_which_is_not_kept)
{
	size_t before = count_open_fds();
	struct gm_attachment *a;
	struct fake f;

	fake_grant_long(&f);
	fake_seal_table(&f, f.table, 40, SEALS);
	cr_assert_eq(fake_redeem(&f, &a), 0, "%s", gm_last_problem());
	fake_deinit(&f);
	cr_assert_eq(gm_extent_count(a), 40);
	for (size_t i = 0; i < 40; i++) {
		struct gm_extent_info e;
		cr_assert_eq(gm_extent(a, i, &e), 0);
		cr_assert_eq(e.file_offset, i * GM_BLOCK_SIZE);
		cr_assert_eq(e.device_offset, (BLOCKS - 1 - i) * GM_BLOCK_SIZE);
	}
	cr_assert_eq(count_open_fds(), before + 1);
	gm_detach(a);
	cr_assert_eq(count_open_fds(), before);
}

Test(client, empty_file_is_granted_without_devices)
{
	struct gm_attachment *a;
	struct fake f;

	fake_init(&f, GM_ACCESS_READ);
	cr_assert_eq(fake_redeem(&f, &a), 0, "%s", gm_last_problem());
	cr_assert_eq(gm_size(a), 0);
	cr_assert_eq(gm_extent_count(a), 0);
	cr_assert_eq(gm_align(a), (uint64_t)sysconf(_SC_PAGESIZE));
	gm_detach(a);
	fake_deinit(&f);
}

/* ---- what is refused by the helper ---- */

static const struct {
	uint32_t reason;
	int error;
} reasons[] = {
	{GM_REASON_VERSION, EPROTONOSUPPORT}, {GM_REASON_TICKET, EKEYREJECTED},
	{GM_REASON_TRUST, EACCES}, {GM_REASON_LIMIT, EUSERS}, {GM_REASON_EXTENTS, EMFILE},
	{GM_REASON_SCRUB, EIO}, {GM_REASON_RECORD, EUCLEAN}, {GM_REASON_STARTING, EAGAIN},
	{GM_REASON_MEMORY, ENOMEM}, {GM_REASON_GONE, ESTALE}, {GM_REASON_SPACE, ENOSPC},
	{GM_REASON_FROZEN, EBUSY}, {GM_REASON_DEVICE, EBUSY},
	{GM_REASON_RATE, EAGAIN},
	{4711, EXDEV}, /* of a helper newer than this library */
};

Test(client, refusals_keep_their_errno_and_get_their_sentence)
{
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		struct gm_attachment *a;
		struct fake f;

		fake_init(&f, RW);
		fake_refuse(&f, reasons[i].error, reasons[i].reason);
		cr_assert_eq(
			fake_redeem(&f, &a), -reasons[i].error, "reason %u", reasons[i].reason);
		cr_assert_not_null(strstr(gm_last_problem(), gm_strreason(reasons[i].reason)));
		for (size_t k = 0; k < i; k++)
			cr_assert_str_neq(
				gm_strreason(reasons[k].reason), gm_strreason(reasons[i].reason));
		fake_deinit(&f);
	}
}

Test(client, a_refused_hello_is_a_refusal)
{
	struct gm_attachment *a;
	struct fake f;

	fake_init(&f, RW);
	fake_refuse(&f, EPROTONOSUPPORT, GM_REASON_VERSION);
	f.welcome = f.answer;
	cr_assert_eq(fake_redeem(&f, &a), -EPROTONOSUPPORT);
	fake_deinit(&f);
}

/* As a helper does that has too many connections: it reads nothing of this one. */
Test(client, a_refused_connection_is_a_refusal)
{
	static const enum fake_end ends[] = {FAKE_END_REFUSING, FAKE_END_REFUSING_UNREAD};

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		struct gm_attachment *a;
		struct fake f;

		fake_init(&f, RW);
		fake_refuse(&f, EUSERS, GM_REASON_LIMIT);
		f.end = ends[i];
		cr_assert_eq(fake_redeem(&f, &a), -EUSERS, "end %zu: %s", i, gm_last_problem());
		fake_deinit(&f);
	}
}

Test(client, a_helper_that_goes_away_is_noticed)
{
	static const enum fake_end ends[] = {
		FAKE_END_AT_CONNECT, FAKE_END_AFTER_HELLO, FAKE_END_AFTER_ATTACH};

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		struct gm_attachment *a;
		struct fake f;

		fake_grant_short(&f);
		f.end = ends[i];
		size_t before = count_open_fds();
		cr_assert_eq(fake_redeem(&f, &a), -ECONNRESET, "end %zu: %s", i, gm_last_problem());
		cr_assert_eq(count_open_fds(), before);
		fake_deinit(&f);
	}
}

/*
 * A helper that dies may leave a grant unread in the socket: its successor could not see it, and
 * the memory may be another file's by the time it is read. The client now and then reads faster
 * than the fake closes.
 */
Test(client, a_grant_of_a_helper_that_has_ended_is_not_used)
{
	unsigned refused = 0;

	for (unsigned i = 0; i < 30; i++) {
		struct gm_attachment *a;
		struct fake f;

		fake_grant_short(&f);
		f.end = FAKE_END_AFTER_ANSWER;
		size_t before = count_open_fds();
		int r = fake_redeem(&f, &a);
		if (r == 0)
			gm_detach(a);
		else
			cr_assert_eq(r, -ECONNRESET, "%s", gm_last_problem());
		cr_assert_eq(count_open_fds(), before);
		refused += r < 0;
		fake_deinit(&f);
	}
	cr_assert_gt(refused, 0, "30 grants of dead helpers were used");
}

Test(client, no_helper_at_all)
{
	struct gm_attachment *a;
	char longer[200];
	struct fake f;

	fake_init(&f, RW);
	f.listener = close_fd(f.listener);
	cr_assert_eq(gm_redeem(f.path, &fake_ticket, &a), -ECONNREFUSED);
	cr_assert_not_null(strstr(gm_last_problem(), f.path));
	unlink(f.path);
	cr_assert_eq(gm_redeem(f.path, &fake_ticket, &a), -ENOENT);
	cr_assert_not_null(strstr(gm_last_problem(), f.path));
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	cr_assert_eq(gm_redeem(longer, &fake_ticket, &a), -ENAMETOOLONG);
	fake_deinit(&f);
}

/* ---- files that are not ours ---- */

Test(client, other_files_are_told_apart_and_errno_is_kept)
{
	_cleanup_fd_ int file = fake_region(4096, RW);
	_cleanup_fd_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	_cleanup_fd_ int path = open("/", O_PATH | O_CLOEXEC);
	const int fds[] = {file, null, path};
	struct gm_attachment *a;
	struct gm_ticket t;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		errno = EXFULL;
		cr_assert_eq(gm_is_guestmemfs(fds[i]), 0);
		cr_assert_eq(errno, EXFULL);
		cr_assert_eq(gm_ticket(fds[i], &t), -ENOTTY);
		cr_assert_eq(gm_attach(fds[i], &a), -ENOTTY);
		cr_assert_not_null(strstr(gm_last_problem(), "not a file of a guestmemfs mount"));
	}
	cr_assert_eq(gm_is_guestmemfs(-1), 0);
	cr_assert_eq(gm_ticket(-1, &t), -EBADF);
	cr_assert_eq(gm_attach(-1, &a), -EBADF);
}

static void *fail_elsewhere(void *seen)
{
	struct gm_ticket t;

	*(bool *)seen = gm_last_problem()[0] != '\0';
	return gm_ticket(-1, &t) == -EBADF ? seen : NULL;
}

Test(client, each_thread_has_a_sentence_of_its_own)
{
	struct gm_attachment *a;
	pthread_t thread;
	void *result;
	bool seen;

	cr_assert_eq(gm_redeem("/nowhere/at/all", &fake_ticket, &a), -ENOENT);
	cr_assert_eq(pthread_create(&thread, NULL, fail_elsewhere, &seen), 0);
	cr_assert_eq(pthread_join(thread, &result), 0);
	cr_assert_eq(result, &seen);
	cr_assert_not(seen);
	cr_assert_not_null(strstr(gm_last_problem(), "/nowhere/at/all"));
}
