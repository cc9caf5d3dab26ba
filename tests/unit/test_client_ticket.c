// SPDX-License-Identifier: MIT
/*
 * What a mount may answer to the question for a ticket, with the linker in place of the kernel:
 * each error has its sentence, and no memory is taken that is another file's than the one that is
 * open.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "fake_helper.h"
#include "util/cleanup.h"
#include "util/le.h"

#define RW (GM_ACCESS_READ | GM_ACCESS_WRITE)

static int error; /* of the ioctl; 0: it gives the invitation */
static struct gm_invitation invitation;

int __wrap_ioctl(int fd, unsigned long request, ...);

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	struct gm_invitation *ret;
	va_list ap;

	(void)fd;
	cr_assert_eq(request, GM_IOC_INVITATION);
	va_start(ap, request);
	ret = va_arg(ap, struct gm_invitation *);
	va_end(ap);
	errno = error;
	if (error)
		return -1;
	*ret = invitation;
	return 0;
}

/* A file that could be of a mount: its filesystem has no device. */
static int make_file(void)
{
	return fake_region(GM_BLOCK_SIZE, RW);
}

Test(client_ticket, each_error_has_its_sentence)
{
	static const struct {
		int error, wanted;
		const char *sentence;
	} cases[] = {
		{ENOTTY, ENOTTY, "not a file of a guestmemfs mount"},
		{ENOSYS, ENOTTY, "not a file of a guestmemfs mount"},
		{EINVAL, ENOTTY, "not a file of a guestmemfs mount"},
		{EOPNOTSUPP, ENOTTY, "not a file of a guestmemfs mount"},
		{EMEDIUMTYPE, EMEDIUMTYPE, "it is a file with content"},
		{EBADF, EBADF, "opened with O_PATH"},
		{EACCES, EACCES, "opened for writing only"},
		{EAGAIN, EAGAIN, "too many tickets are outstanding"},
		{EBUSY, EBUSY, "the pool is frozen for a kexec; guestmemfs thaw ends that"},
		{ENOTCONN, ENOTCONN, "the mount's daemon has ended"},
		{EIO, EIO, "asking for a ticket: Input/output error"},
	};
	_cleanup_fd_ int fd = make_file();
	size_t before = count_open_fds();
	struct gm_attachment *a = NULL;

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		error = cases[n].error;
		cr_expect_eq(gm_attach(fd, &a), -cases[n].wanted, "%s", strerror(error));
		cr_expect_not_null(strstr(gm_last_problem(), cases[n].sentence), "%s: %s",
			strerror(error), gm_last_problem());
	}
	cr_expect_null(a);
	cr_expect_eq(count_open_fds(), before);
}

Test(client_ticket, a_socket_that_can_be_none)
{
	_cleanup_fd_ int fd = make_file();
	struct gm_attachment *a;

	strcpy(invitation.socket, "relative/grant.sock");
	cr_expect_eq(gm_attach(fd, &a), -EPROTO);
	memset(invitation.socket, '/', sizeof(invitation.socket));
	cr_expect_eq(gm_attach(fd, &a), -EPROTO);
	cr_expect_not_null(strstr(gm_last_problem(), "names no path of a socket"));
}

/* A helper that takes one file for another. */
Test(client_ticket, the_memory_of_another_file_is_not_taken)
{
	_cleanup_fd_ int fd = make_file();
	size_t before = count_open_fds();
	struct gm_attachment *a = NULL;
	struct stat st;
	struct fake f;

	cr_assert_eq(fstat(fd, &st), 0);
	for (unsigned other = 0; other < 2; other++) {
		fake_grant_short(&f);
		f.answer.grant.ino = put_le64(st.st_ino + other);
		invitation.ticket = fake_ticket;
		(void)snprintf(invitation.socket, sizeof(invitation.socket), "%s", f.path);
		fake_start(&f);
		int r = gm_attach(fd, &a);
		fake_join(&f);
		fake_deinit(&f);
		cr_expect_eq(r, other ? -EPROTO : 0, "%s", gm_last_problem());
		if (r == 0)
			gm_detach(a);
		cr_expect_eq(count_open_fds(), before);
	}
	cr_expect_not_null(strstr(gm_last_problem(), "granted the memory of another file"));
}
