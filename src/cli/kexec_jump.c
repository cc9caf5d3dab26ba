// SPDX-License-Identifier: MIT
/*
 * The jump. Where systemd runs the host it is systemd that jumps, after it has stopped its units,
 * and this process is in one of them.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/interrupt.h"
#include "cli/kexec.h"
#include "cli/tool.h"
#include "util/cleanup.h"
#include "util/clock.h"

#define BEGINS_MS 120000U /* logind's inhibitors may hold it up */
#define KILLED_MS 10000U  /* for an order whose client was killed to be heard of */
#define PAUSE_MS  200

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

/* systemctl(1), is-system-running. */
enum systemd_state { SYSTEMD_SILENT, SYSTEMD_GOES_ON, SYSTEMD_STOPS };

/* One that can't be asked is about to be gone, or too busy: that says nothing. */
static enum systemd_state ask_systemd(void)
{
	static char *const argv[] = {(char *)"systemctl", (char *)"is-system-running", NULL};
	static const char *const states[] = {
		"initializing", "starting", "running", "degraded", "maintenance"};
	char words[64] = "";

	if (tool_run(argv, words, sizeof(words), false) < 0)
		return SYSTEMD_SILENT;
	for (size_t n = 0; n < ARRAY_SIZE(states); n++)
		if (strcmp(words, states[n]) == 0)
			return SYSTEMD_GOES_ON;
	return strcmp(words, "stopping") == 0 ? SYSTEMD_STOPS : SYSTEMD_SILENT;
}

/*
 * If systemd has taken the order it ends this process when its turn comes. To undo anything then
 * would be the end of the guests: it would find no kernel loaded, and reboot. So a signal counts as
 * that unless systemd says that it goes on. True if it is on its way, as far as anybody can tell.
 */
static bool wait_for_systemd(bool taken, unsigned patience_ms)
{
	const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
	uint64_t until = clock_milliseconds() + patience_ms;
	bool begun = false;

	for (;;) {
		enum systemd_state state = ask_systemd();

		if (state == SYSTEMD_STOPS)
			begun = taken = true;
		if (state == SYSTEMD_GOES_ON && begun)
			return false;
		if (state != SYSTEMD_GOES_ON && interrupt_held())
			return true;
		if (!begun && clock_milliseconds() >= until)
			return state != SYSTEMD_GOES_ON && taken;
		(void)nanosleep(&pause, NULL);
	}
}

static int explain(const char *tool, const char *words, int r, struct problem *why)
{
	if (interrupt_held())
		return problem(why, EINTR, "interrupted");
	return problem(why, EIO, "%s failed: %s", tool,
		*words  ? words
		: r < 0 ? strerror(-r)
			: "it does not say why");
}

/*
 * systemd stops its units first and then jumps into the image that is loaded already; it loads none
 * over it. Its client is not interrupted by us; but systemd, quick as it is, may end it together
 * with us before it has seen the answer. So whether the order was taken only systemd can tell.
 */
static int jump_by_systemd(struct problem *why)
{
	static char *const argv[] = {(char *)"systemctl", (char *)"kexec", NULL};
	char words[400] = "";
	int r = tool_run(argv, words, sizeof(words), false);

	if (r < 0) /* it never ran */
		return explain("systemctl kexec", words, r, why);
	if (wait_for_systemd(r == 0, r == 0 ? BEGINS_MS : r == TOOL_KILLED ? KILLED_MS : 0))
		return 1;
	if (r != 0)
		return explain("systemctl kexec", words, r, why);
	return problem(why, ECANCELED,
		"systemd does not go into the next kernel: its job was cancelled or has failed, "
		"see systemctl list-jobs and journalctl");
}

static int jump_by_itself(struct problem *why)
{
	static char *const argv[] = {(char *)"kexec", (char *)"-e", NULL};
	char words[400] = "";
	int r = tool_run(argv, words, sizeof(words), true);

	return explain("kexec -e", words, r, why);
}

int kexec_run(struct problem *why)
{
	sync();
	return systemd_runs() ? jump_by_systemd(why) : jump_by_itself(why);
}
