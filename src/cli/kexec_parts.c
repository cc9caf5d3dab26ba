// SPDX-License-Identifier: MIT
#include "cli/kexec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/interrupt.h"
#include "cli/tool.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/words.h"

#define TOKEN_WORD        "guestmemfs.succession="
#define CRASH_WORD        "elfcorehdr=" /* a crash kernel's, and not its successor's */
#define SYSTEMD_BEGINS_MS 120000U       /* logind's inhibitors may hold it up */

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

static bool systemd_runs(void)
{
	return access("/run/systemd/system", F_OK) == 0;
}

int kexec_check_systemd(struct problem *why)
{
	static const char *const signs[] = {
		"/run/systemd/container", "/.dockerenv", "/run/.containerenv"};

	for (size_t n = 0; systemd_runs() && n < ARRAY_SIZE(signs); n++)
		if (access(signs[n], F_OK) == 0)
			return problem(why, EINVAL,
				"systemd takes this machine for a container, by %s, and would "
				"reboot it through the firmware instead of going into the kernel "
				"that is loaded; remove that file",
				signs[n]);
	return 0;
}

/* From then on nothing that it does is ours to undo. Empty if it can't be asked: it is about to be
 * gone. */
static const char *state_of_systemd(char *words, size_t size)
{
	static char *const argv[] = {(char *)"systemctl", (char *)"is-system-running", NULL};

	return tool_run(argv, words, size, false) < 0 ? "" : words;
}

static bool runs_on(const char *state)
{
	static const char *const states[] = {
		"initializing", "starting", "running", "degraded", "maintenance"};

	for (size_t n = 0; n < ARRAY_SIZE(states); n++)
		if (strcmp(state, states[n]) == 0)
			return true;
	return false;
}

/*
 * systemd has taken the order, and ends this process when its turn comes. To undo anything then
 * would be the end of the guests: it would find no kernel loaded, and reboot. So a signal counts as
 * that as long as it is on its way. 1, or -ECANCELED if it is not any more.
 */
static int wait_for_systemd(struct problem *why)
{
	const struct timespec pause = {.tv_nsec = 200 * 1000000L};
	uint64_t until = clock_milliseconds() + SYSTEMD_BEGINS_MS;
	char words[64] = "";
	bool seen = false;

	for (;;) {
		if (!runs_on(state_of_systemd(words, sizeof(words)))) {
			seen = true;
			if (interrupt_held())
				return 1;
		} else if (seen || clock_milliseconds() >= until) {
			return problem(why, ECANCELED,
				"systemd does not go into the next kernel: its job was cancelled "
				"or has failed, see systemctl list-jobs and journalctl");
		}
		(void)nanosleep(&pause, NULL);
	}
}

/* systemd stops its units first and then jumps into the image that is loaded already; it loads none
 * over it. Its client is not interrupted: nobody could tell then whether systemd has the order. */
int kexec_run(struct problem *why)
{
	static char *const by_systemd[] = {(char *)"systemctl", (char *)"kexec", NULL};
	static char *const by_itself[] = {(char *)"kexec", (char *)"-e", NULL};
	bool systemd = systemd_runs();
	char words[400] = "";
	int r;

	sync();
	r = tool_run(systemd ? by_systemd : by_itself, words, sizeof(words), !systemd);
	if (r == 0 && systemd)
		return wait_for_systemd(why);
	if (interrupt_held())
		return problem(why, EINTR, "interrupted");
	return problem(why, EIO, "%s failed: %s", systemd ? "systemctl kexec" : "kexec -e",
		*words  ? words
		: r < 0 ? strerror(-r)
			: "it does not say why");
}
