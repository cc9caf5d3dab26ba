// SPDX-License-Identifier: MIT
#include "doctor/read.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/cleanup_file.h"

static void make_path(char buffer[PATH_MAX], const char *root, const char *format, va_list ap)
{
	size_t length = strlen(root);

	if (length >= PATH_MAX)
		length = PATH_MAX - 1;
	memcpy(buffer, root, length);
	(void)vsnprintf(buffer + length, PATH_MAX - length, format, ap);
}

const char *read_path(char buffer[PATH_MAX], const char *root, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	make_path(buffer, root, format, ap);
	va_end(ap);
	return buffer;
}

FILE *read_open(const char *root, const char *format, ...)
{
	char path[PATH_MAX];
	va_list ap;

	va_start(ap, format);
	make_path(path, root, format, ap);
	va_end(ap);
	return fopen(path, "re");
}

static bool first_line(const char *path, char *text, size_t size)
{
	_cleanup_file_ FILE *f = fopen(path, "re");

	if (!f || !fgets(text, (int)size, f)) {
		*text = '\0';
		return false;
	}
	text[strcspn(text, "\n")] = '\0';
	return true;
}

bool read_line(char *text, size_t size, const char *root, const char *format, ...)
{
	char path[PATH_MAX];
	va_list ap;

	va_start(ap, format);
	make_path(path, root, format, ap);
	va_end(ap);
	return first_line(path, text, size);
}

bool read_number(uint64_t *ret, const char *root, const char *format, ...)
{
	char path[PATH_MAX];
	char text[64];
	char *end = text;
	va_list ap;

	va_start(ap, format);
	make_path(path, root, format, ap);
	va_end(ap);
	if (!first_line(path, text, sizeof(text)))
		return false;
	uint64_t value = strtoull(text, &end, 0);
	if (end == text)
		return false;
	*ret = value;
	return true;
}

bool read_finds(const char *text, const char *root, const char *format, ...)
{
	char path[PATH_MAX];
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	bool found = false;
	va_list ap;

	va_start(ap, format);
	make_path(path, root, format, ap);
	va_end(ap);
	_cleanup_file_ FILE *f = fopen(path, "re");
	while (f && !found && getline(&line, &size, f) >= 0)
		found = strstr(line, text) != NULL;
	return found;
}

bool read_link(char *name, size_t size, const char *root, const char *format, ...)
{
	char path[PATH_MAX];
	char target[PATH_MAX];
	va_list ap;

	va_start(ap, format);
	make_path(path, root, format, ap);
	va_end(ap);
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0) {
		*name = '\0';
		return false;
	}
	target[n] = '\0';
	const char *last = strrchr(target, '/');
	(void)snprintf(name, size, "%s", last ? last + 1 : target);
	return true;
}

FILE *read_program(pid_t *pid, const char *path, const char *argument)
{
	const char *slash = strrchr(path, '/');
	/* posix_spawn(3) writes to none of the strings, but has no const. */
	char *const argv[] = {
		(char *)(uintptr_t)(slash ? slash + 1 : path), (char *)(uintptr_t)argument, NULL};
	posix_spawn_file_actions_t actions;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return NULL;
	int r = posix_spawn_file_actions_init(&actions);
	if (r == 0) {
		if (posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO) != 0 ||
			posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO) != 0 ||
			posix_spawn(pid, path, &actions, NULL, argv, environ) != 0)
			r = -1;
		(void)posix_spawn_file_actions_destroy(&actions);
	}
	(void)close(ends[1]);
	FILE *f = r == 0 ? fdopen(ends[0], "r") : NULL;
	if (!f)
		(void)close(ends[0]);
	return f;
}
