// SPDX-License-Identifier: MIT
/* Finding a program, and telling those in which a preload library has no effect. */
#include <criterion/criterion.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/program.h"
#include "util/cleanup.h"

static char dir[64];

static void make_dir(void)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/gm-test-program-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(chmod(dir, 0755), 0);
}

static void remove_dir(void)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "/bin/rm -rf '%s'", dir);
	cr_expect_eq(system(command), 0);
}

TestSuite(cli_program, .init = make_dir, .fini = remove_dir);

static const char *make(const char *name, const void *data, size_t size, mode_t mode)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	_cleanup_fd_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0700);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, data, size), (ssize_t)size);
	cr_assert_eq(fchmod(fd, mode), 0);
	return path;
}

/* An ELF file with one program header of the given type. */
static const char *make_elf(const char *name, uint32_t type, mode_t mode)
{
	struct {
		Elf64_Ehdr header;
		Elf64_Phdr segment;
	} elf = {
		.header =
			{
				.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
					ELFDATA2LSB, EV_CURRENT},
				.e_type = ET_EXEC,
				.e_phoff = sizeof(Elf64_Ehdr),
				.e_phentsize = sizeof(Elf64_Phdr),
				.e_phnum = 1,
			},
		.segment = {.p_type = type},
	};

	return make(name, &elf, sizeof(elf), mode);
}

Test(cli_program, tells_static_ones)
{
	cr_expect_eq(program_check(make_elf("dynamic", PT_INTERP, 0755)), PROGRAM_PRELOADS);
	cr_expect_eq(program_check(make_elf("static", PT_LOAD, 0755)), PROGRAM_STATIC);
	cr_expect_eq(program_check(make("script", "#!/bin/sh\n", 10, 0755)), PROGRAM_PRELOADS);
	cr_expect_eq(program_check(make("short", ELFMAG, SELFMAG, 0755)), PROGRAM_PRELOADS);
	cr_expect_eq(program_check("/nowhere/at/all"), PROGRAM_PRELOADS);
	cr_expect_eq(program_check("/proc/self/exe"), PROGRAM_PRELOADS);
}

Test(cli_program, tells_those_with_other_rights)
{
	if (geteuid() != 0)
		cr_skip("only root can make a program of another user");
	const char *setuid_other = make_elf("setuid", PT_INTERP, 0755);
	const char *setuid_own = make_elf("own", PT_INTERP, 04755);

	cr_assert_eq(chown(setuid_other, 65534, 65534), 0);
	cr_assert_eq(chmod(setuid_other, 04755), 0);
	cr_expect_eq(program_check(setuid_other), PROGRAM_SECURE);
	cr_expect_eq(
		program_check(setuid_own), PROGRAM_PRELOADS, "its rights are the caller's anyway");
	cr_assert_eq(chmod(setuid_other, 02755), 0);
	cr_expect_eq(program_check(setuid_other), PROGRAM_SECURE);
	cr_assert_eq(chmod(setuid_other, 0755), 0);
	cr_expect_eq(program_check(setuid_other), PROGRAM_PRELOADS);
}

Test(cli_program, looks_where_execvp_would)
{
	char path[256];

	(void)make("here", "#!/bin/sh\n", 10, 0755);
	(void)make("plain", "#!/bin/sh\n", 10, 0644);
	(void)snprintf(path, sizeof(path), "/nowhere:%s", dir);
	cr_assert_eq(setenv("PATH", path, 1), 0);
	_cleanup_free_ char *here = program_find("here");
	(void)snprintf(path, sizeof(path), "%s/here", dir);
	cr_assert_not_null(here);
	cr_expect_str_eq(here, path);
	cr_expect_null(program_find("plain"), "it can't be executed");
	cr_expect_null(program_find("nothing"));
	cr_expect_null(program_find("/nowhere/here"));
	_cleanup_free_ char *direct = program_find(path);
	cr_expect_str_eq(direct, path);
	cr_assert_eq(chdir(dir), 0);
	cr_assert_eq(setenv("PATH", "/nowhere:", 1), 0);
	_cleanup_free_ char *empty = program_find("here");
	cr_expect_str_eq(empty, "./here");
}
