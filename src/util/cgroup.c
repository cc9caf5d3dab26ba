// SPDX-License-Identifier: MIT
#include "util/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/cleanup.h"

/* A line is "hierarchy:controllers:path"; version 2 has number 0 and no controllers. */
static const char *find_path(const char *text, const char *prefix)
{
	size_t length = strlen(prefix);

	for (const char *line = text; line && *line;) {
		const char *end = strchr(line, '\n');
		const char *colon = strchr(line, ':');
		if (strncmp(line, prefix, length) == 0)
			return line + length;
		/* Version 1 numbers its hierarchies as it likes. */
		if (prefix[0] == ':' && colon && (!end || colon < end) &&
			strncmp(colon, prefix, length) == 0)
			return colon + length;
		line = end ? end + 1 : NULL;
	}
	return NULL;
}

int cgroup_parse(const char *text, char *ret, size_t size)
{
	const char *path = find_path(text, "0::");

	if (!path)
		path = find_path(text, ":name=systemd:");
	if (!path)
		return -ENOENT;
	size_t length = strcspn(path, "\n");
	if (length >= size)
		return -ENAMETOOLONG;
	memcpy(ret, path, length);
	ret[length] = '\0';
	return 0;
}

int cgroup_of(pid_t pid, char *ret, size_t size)
{
	char path[64], text[8192];
	size_t n = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	while (n < sizeof(text) - 1) {
		ssize_t k = read(fd, text + n, sizeof(text) - 1 - n);
		if (k < 0)
			return -errno;
		if (k == 0)
			break;
		n += (size_t)k;
	}
	text[n] = '\0';
	return cgroup_parse(text, ret, size);
}

/* "36 35 98:0 /root /mount/point options - type source more": spaces in paths are \040, which none
 * of ours has. */
static bool parse_mount(const char *line, char *ret, size_t size)
{
	char root[CGROUP_PATH_MAX], point[CGROUP_PATH_MAX];

	if (!strstr(line, " - cgroup2 ") ||
		sscanf(line, "%*s %*s %*s %1023s %1023s", root, point) != 2 ||
		strcmp(root, "/") != 0 || strlen(point) >= size)
		return false;
	memcpy(ret, point, strlen(point) + 1);
	return true;
}

int cgroup_find_mount_in(const char *path, char *ret, size_t size)
{
	FILE *f = fopen(path, "re");
	char line[4096];
	bool found = false;

	if (!f)
		return -errno;
	while (!found && fgets(line, sizeof(line), f))
		found = parse_mount(line, ret, size);
	(void)fclose(f);
	return found ? 0 : -ENOENT;
}

int cgroup_find_mount(char *ret, size_t size)
{
	return cgroup_find_mount_in("/proc/self/mountinfo", ret, size);
}
