// SPDX-License-Identifier: MIT
#include "cli/program.h"

#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "util/cleanup.h"

#define PROGRAM_HEADERS_MAX 256U

static bool program_is_executable(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

char *program_find(const char *name)
{
	const char *path = getenv("PATH");
	_cleanup_free_ char *dirs = strdup(path ? path : "/bin:/usr/bin");
	char *rest = dirs;
	char *dir = NULL;

	if (strchr(name, '/'))
		return program_is_executable(name) ? strdup(name) : NULL;
	while (rest && (dir = strsep(&rest, ":"))) {
		_cleanup_free_ char *candidate = NULL;

		if (asprintf(&candidate, "%s/%s", *dir ? dir : ".", name) < 0)
			return NULL;
		if (program_is_executable(candidate))
			return steal_pointer(candidate);
	}
	return NULL;
}

/* True if it is a 64-bit ELF file whose headers can be read and name no interpreter. Scripts and
 * the rest: false. */
static bool program_is_static(int fd)
{
	Elf64_Ehdr header;
	Elf64_Phdr segment;

	if (pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
		memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
		header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(segment) ||
		header.e_phnum > PROGRAM_HEADERS_MAX)
		return false;
	for (unsigned i = 0; i < header.e_phnum; i++) {
		off_t at = (off_t)(header.e_phoff + i * sizeof(segment));

		if (pread(fd, &segment, sizeof(segment), at) != (ssize_t)sizeof(segment) ||
			segment.p_type == PT_INTERP)
			return false;
	}
	return true;
}

/* What makes the kernel set AT_SECURE; harmless for root, to whom a set-uid root program brings
 * nothing new. */
static bool program_is_secure(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	if ((st.st_mode & S_ISUID) && st.st_uid != geteuid())
		return true;
	if ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) && st.st_gid != getegid())
		return true;
	return geteuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0;
}

enum program_preload program_check(const char *path)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return PROGRAM_PRELOADS;
	if (program_is_secure(fd))
		return PROGRAM_SECURE;
	return program_is_static(fd) ? PROGRAM_STATIC : PROGRAM_PRELOADS;
}
