// SPDX-License-Identifier: MIT
/*
 * The jump. Where systemd runs the host it is systemd that jumps, after it has stopped its units,
 * and this process is in one of them.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/interrupt.h"
#include "cli/kexec.h"
#include "cli/kexec_order.h"
#include "cli/tool.h"
#include "util/cleanup.h"

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
	if (order_follow(r == 0             ? ORDER_CLIENT_DONE
			 : r == TOOL_KILLED ? ORDER_CLIENT_KILLED
					    : ORDER_CLIENT_REFUSED))
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
