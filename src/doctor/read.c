// SPDX-License-Identifier: MIT
#include "doctor/read.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/cleanup_file.h"

void host_note(struct host *h, int error)
{
	switch (error) {
	case EAGAIN: /* processes */
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		if (!h->error)
			h->error = error;
		break;
	default:
		break;
	}
}

bool read_next(struct host *h, FILE *file, char **line, size_t *size)
{
	errno = 0;
	if (getline(line, size, file) >= 0)
		return true;
	host_note(h, errno);
	return false;
}

static void make_path(char buffer[PATH_MAX], const struct host *h, const char *format, va_list ap)
{
	size_t length = strlen(h->root);

	if (length >= PATH_MAX)
		length = PATH_MAX - 1;
	memcpy(buffer, h->root, length);
	(void)vsnprintf(buffer + length, PATH_MAX - length, format, ap);
}

const char *read_path(char buffer[PATH_MAX], const struct host *h, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	make_path(buffer, h, format, ap);
	va_end(ap);
	return buffer;
}

static FILE *open_file(struct host *h, const char *path)
{
	FILE *f = fopen(path, "re");

	if (!f)
		host_note(h, errno);
	return f;
}

FILE *read_open(struct host *h, const char *format, ...)
{
	char path[PATH_MAX];
	va_list ap;

	va_start(ap, format);
	make_path(path, h, format, ap);
	va_end(ap);
	return open_file(h, path);
}

/* By one read(2): a file of /proc/sys has no second one, and without memory stdio would read byte
 * by byte. */
static bool first_line(struct host *h, const char *path, char *text, size_t size)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (n < 0)
		host_note(h, errno);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return n > 0;
}

bool read_line(char *text, size_t size, struct host *h, const char *format, ...)
{
	char path[PATH_MAX];
	va_list ap;

	va_start(ap, format);
	make_path(path, h, format, ap);
	va_end(ap);
	return first_line(h, path, text, size);
}

bool read_number(uint64_t *ret, struct host *h, const char *format, ...)
{
	char path[PATH_MAX];
	char text[64];
	char *end = text;
	va_list ap;

	va_start(ap, format);
	make_path(path, h, format, ap);
	va_end(ap);
	if (!first_line(h, path, text, sizeof(text)))
		return false;
	uint64_t value = strtoull(text, &end, 0);
	if (end == text)
		return false;
	*ret = value;
	return true;
}

bool read_finds(const char *text, struct host *h, const char *format, ...)
{
	char path[PATH_MAX];
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	bool found = false;
	va_list ap;

	va_start(ap, format);
	make_path(path, h, format, ap);
	va_end(ap);
	_cleanup_file_ FILE *f = open_file(h, path);
	while (f && !found && read_next(h, f, &line, &size))
		found = strstr(line, text) != NULL;
	return found;
}

bool read_link(char *name, size_t size, struct host *h, const char *format, ...)
{
	char path[PATH_MAX];
	char target[PATH_MAX];
	va_list ap;

	va_start(ap, format);
	make_path(path, h, format, ap);
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

static int start_program(
	struct host *h, pid_t *pid, const char *path, const char *argument, int output)
{
	const char *slash = strrchr(path, '/');
	/* posix_spawn(3) writes to none of the strings, but has no const. */
	char *const argv[] = {
		(char *)(uintptr_t)(slash ? slash + 1 : path), (char *)(uintptr_t)argument, NULL};
	posix_spawn_file_actions_t actions;
	int r = posix_spawn_file_actions_init(&actions);

	if (r == 0) {
		r = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
		if (r == 0)
			r = posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
		if (r == 0)
			r = posix_spawn(pid, path, &actions, NULL, argv, environ);
		(void)posix_spawn_file_actions_destroy(&actions);
	}
	host_note(h, r);
	return r;
}

FILE *read_program(struct host *h, pid_t *pid, const char *path, const char *argument)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0) {
		host_note(h, errno);
		return NULL;
	}
	FILE *f = fdopen(ends[0], "r");
	if (!f) {
		host_note(h, errno);
		(void)close(ends[0]);
	}
	if (f && start_program(h, pid, path, argument, ends[1]) != 0) {
		(void)fclose(f);
		f = NULL;
	}
	(void)close(ends[1]);
	return f;
}
