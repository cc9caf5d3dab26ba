// SPDX-License-Identifier: MIT
#include "cli/kexec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/tool.h"
#include "util/cleanup.h"
#include "util/words.h"

#define TOKEN_WORD "guestmemfs.succession="
#define CRASH_WORD "elfcorehdr=" /* a crash kernel's, and not its successor's */

/* ---- the command line ---- */

char *kexec_strip_tokens(const char *cmdline)
{
	char *to = malloc(strlen(cmdline) + 1), *at = to;

	if (!to)
		return NULL;
	for (const char *word = words_skip_blanks(cmdline); *word; word = words_skip_blanks(word)) {
		size_t length = words_length(word);

		if (!words_is(word, TOKEN_WORD) && !words_is(word, CRASH_WORD)) {
			if (at > to)
				*at++ = ' ';
			memcpy(at, word, length);
			at += length;
		}
		word += length;
	}
	*at = '\0';
	return to;
}

static int read_running(char *text, size_t size, struct problem *why)
{
	_cleanup_fd_ int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (n < 0)
		return problem_errno(why, errno, "reading /proc/cmdline");
	text[n] = '\0';
	return 0;
}

static int append_token(char **line, const struct instance *i, struct problem *why)
{
	_cleanup_(json_object_putp) struct json_object *o = NULL;
	char *longer;
	int r = query_socket(i->socket, CONTROL_TOKEN, 0, &o, why);

	if (r < 0)
		return r;
	if (query_text(o, "/token")[0] == '-')
		return 0;
	if (asprintf(&longer, "%s%s" TOKEN_WORD "%s", *line, **line ? " " : "",
		    query_text(o, "/token")) < 0)
		return problem_errno(why, ENOMEM, "making the command line");
	free(*line);
	*line = longer;
	return 0;
}

int kexec_command_line(
	char **ret, const struct kexec_options *o, const struct instances *all, struct problem *why)
{
	_cleanup_free_ char *line = NULL;
	char running[8192];
	int r = 0;

	if (!o->command_line)
		r = read_running(running, sizeof(running), why);
	if (r < 0)
		return r;
	line = kexec_strip_tokens(o->command_line ? o->command_line : running);
	if (!line)
		return problem_errno(why, ENOMEM, "making the command line");
	for (size_t n = 0; n < all->count && r == 0; n++)
		r = append_token(&line, &all->list[n], why);
	if (r == 0)
		*ret = steal_pointer(line);
	return r;
}

/* ---- kexec(8) ---- */

bool kexec_is_loaded(bool panic)
{
	_cleanup_fd_ int fd =
		open(panic ? "/sys/kernel/kexec_crash_loaded" : "/sys/kernel/kexec_loaded",
			O_RDONLY | O_CLOEXEC);
	char c = '0';

	return fd >= 0 && read(fd, &c, 1) == 1 && c == '1';
}

/* -s, always: the other call, kexec_load, picks its room from a map that does not know of the
 * region (docs/boot.md). */
int kexec_load(const struct kexec_options *o, const char *command_line, struct problem *why)
{
	_cleanup_free_ char *initrd = NULL, *line = NULL;
	char words[400] = "";
	char *argv[8];
	size_t n = 0;
	int r;

	if (asprintf(&line, "--command-line=%s", command_line) < 0)
		return problem_errno(why, ENOMEM, "loading %s", o->kernel);
	if (o->initrd && asprintf(&initrd, "--initrd=%s", o->initrd) < 0)
		return problem_errno(why, ENOMEM, "loading %s", o->kernel);
	argv[n++] = (char *)"kexec";
	argv[n++] = (char *)"-s";
	argv[n++] = (char *)(o->panic ? "-p" : "-l");
	argv[n++] = (char *)o->kernel;
	if (initrd)
		argv[n++] = initrd;
	argv[n++] = line;
	argv[n] = NULL;
	r = tool_run(argv, words, sizeof(words), false);
	if (r == -ENOENT)
		return problem(why, ENOENT, "there is no kexec program: install kexec-tools");
	if (r < 0)
		return problem_errno(why, -r, "running kexec");
	if (r > 0)
		return problem(why, EIO, "kexec -s could not load %s: %s", o->kernel,
			*words ? words : "it does not say why");
	if (!kexec_is_loaded(o->panic))
		return problem(why, EIO, "kexec says that %s is loaded, but the kernel does not",
			o->kernel);
	return 0;
}

void kexec_unload(void)
{
	static char *const argv[] = {(char *)"kexec", (char *)"-s", (char *)"-u", NULL};
	char words[200];

	(void)tool_run(argv, words, sizeof(words), false);
}
