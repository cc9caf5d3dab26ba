// SPDX-License-Identifier: MIT
#include "fuse/origin.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/words.h"

#define PARAMETER "guestmemfs.succession="
#define CRASH     "elfcorehdr=" /* kexec adds it to a crash kernel's command line */

/* Documentation/x86/boot: loader type 0xD is kexec-tools, and the kernel's own kexec_file_load; in
 * the upper digit. */
#define BOOTLOADER_KEXEC 208

/* A small file of /proc, NUL-terminated. */
static int read_text(const char *path, char *text, size_t size, struct problem *why)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (n < 0)
		return problem_errno(why, errno, "reading %s", path);
	text[n] = '\0';
	return 0;
}

static int parse_boot_id(uint8_t ret[16], const char *text, struct problem *why)
{
	unsigned at = 0;

	for (const char *c = text; *c && at < 16; c += 2) {
		unsigned byte;

		if (*c == '-')
			c++;
		if (sscanf(c, "%2x", &byte) != 1)
			break;
		ret[at++] = (uint8_t)byte;
	}
	return at == 16
		       ? 0
		       : problem(why, EINVAL, "the kernel's boot id can't be understood: %s", text);
}

static bool parse_token(const char *text, size_t length, uint8_t token[16])
{
	if (length != ORIGIN_TOKEN_TEXT - 1)
		return false;
	for (size_t n = 0; n < 16; n++) {
		unsigned byte;

		if (!isxdigit((unsigned char)text[2 * n]) ||
			!isxdigit((unsigned char)text[2 * n + 1]) ||
			sscanf(text + 2 * n, "%2x", &byte) != 1)
			return false;
		token[n] = (uint8_t)byte;
	}
	return true;
}

bool origin_find_token(const char *cmdline, const uint8_t wanted[16], uint8_t token[16])
{
	bool found = false;

	for (const char *word = words_skip_blanks(cmdline); *word; word = words_skip_blanks(word)) {
		size_t length = words_length(word);
		uint8_t here[16];

		if (length >= strlen(PARAMETER) &&
			memcmp(word, PARAMETER, strlen(PARAMETER)) == 0 &&
			parse_token(word + strlen(PARAMETER), length - strlen(PARAMETER), here)) {
			found = true;
			memcpy(token, here, sizeof(here));
			if (memcmp(here, wanted, sizeof(here)) == 0)
				break;
		}
		word += length;
	}
	return found;
}

bool origin_is_crash_kernel(const char *cmdline)
{
	const char *word = words_skip_blanks(cmdline);

	while (*word && !words_is(word, CRASH))
		word = words_skip_blanks(word + words_length(word));
	return *word;
}

const char *origin_format_token(char buffer[ORIGIN_TOKEN_TEXT], const uint8_t token[16])
{
	for (size_t n = 0; n < 16; n++)
		(void)snprintf(buffer + 2 * n, 3, "%02x", token[n]);
	return buffer;
}

int origin_read(struct store_origin *ret, const uint8_t wanted[16], struct problem *why)
{
	struct store_origin o = {.by_kexec = false};
	char text[8192];
	int r = read_text("/proc/sys/kernel/random/boot_id", text, sizeof(text), why);

	if (r == 0)
		r = parse_boot_id(o.boot_id, text, why);
	if (r == 0)
		r = read_text("/proc/cmdline", text, sizeof(text), why);
	if (r < 0)
		return r;
	o.after_panic = origin_is_crash_kernel(text);
	o.has_token = origin_find_token(text, wanted, o.token);
	/* Not there on other architectures than x86: nothing shows a kexec then. */
	if (read_text("/proc/sys/kernel/bootloader_type", text, sizeof(text), NULL) == 0)
		o.by_kexec = strtoul(text, NULL, 10) == BOOTLOADER_KEXEC;
	*ret = o;
	return 0;
}
