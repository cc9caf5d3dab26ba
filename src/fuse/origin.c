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

int origin_read(struct origin_texts *ret, struct problem *why)
{
	int r = read_text(
		"/proc/sys/kernel/random/boot_id", ret->boot_id, sizeof(ret->boot_id), why);

	if (r == 0)
		r = read_text("/proc/cmdline", ret->cmdline, sizeof(ret->cmdline), why);
	/* Not there on other architectures than x86: nothing shows a kexec then. */
	if (r == 0 && read_text("/proc/sys/kernel/bootloader_type", ret->loader,
			      sizeof(ret->loader), NULL) < 0)
		ret->loader[0] = '\0';
	return r;
}

int origin_judge(struct store_origin *ret, const struct origin_texts *texts,
	const uint8_t wanted[16], struct problem *why)
{
	struct store_origin o = {.by_kexec = strtoul(texts->loader, NULL, 10) == BOOTLOADER_KEXEC};
	int r = parse_boot_id(o.boot_id, texts->boot_id, why);

	if (r < 0)
		return r;
	o.after_panic = origin_is_crash_kernel(texts->cmdline);
	o.has_token = origin_find_token(texts->cmdline, wanted, o.token);
	*ret = o;
	return 0;
}
