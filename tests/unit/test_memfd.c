// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "util/cleanup.h"
#include "util/memfd.h"

#define NOEXEC_SEAL 0x0008U

static int error_with,
	error_without; /* of a call with and without the flag; 0: it is the kernel's */

int __real_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags);

int __wrap_memfd_create(const char *name, unsigned flags)
{
	int error = flags & NOEXEC_SEAL ? error_with : error_without;

	cr_expect_eq(flags | NOEXEC_SEAL, MFD_CLOEXEC | MFD_ALLOW_SEALING | NOEXEC_SEAL);
	if (error == 0)
		return __real_memfd_create(name, flags & ~NOEXEC_SEAL);
	errno = error;
	return -1;
}

static void expect_memfd(void)
{
	_cleanup_fd_ int fd = memfd_make("test");

	cr_assert_geq(fd, 0);
	cr_expect_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	cr_expect_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL), 0);
}

Test(memfd, an_old_kernel_knows_no_such_flag)
{
	error_with = EINVAL;
	expect_memfd();
}

Test(memfd, where_an_executable_one_is_forbidden_it_is_none)
{
	error_without = EACCES;
	expect_memfd();
}

Test(memfd, what_the_kernel_says_otherwise_is_said)
{
	error_with = EMFILE;
	cr_expect_eq(memfd_make("test"), -EMFILE);
	error_with = EINVAL;
	error_without = ENOMEM;
	cr_expect_eq(memfd_make("test"), -ENOMEM);
}
