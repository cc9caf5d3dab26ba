// SPDX-License-Identifier: MIT
/*
 * If systemd has taken the order it ends this process when its turn comes. To undo anything then
 * would be the end of the guests: it would find no kernel loaded, and reboot. So an order that
 * waits for inhibitors, however long, is no failed one; and a signal counts as systemd's unless it
 * is seen that nobody has the order.
 */
#include "cli/kexec_order.h"

#include <string.h>
#include <time.h>

#include "cli/interrupt.h"
#include "cli/tool.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/log.h"

#define PAUSE_MS   200
#define HEARD_MS   10000U  /* for an order to be heard of, from who would know it at once */
#define UNHEARD_MS 120000U /* where nobody can be asked who may be delaying it */

/* ---- judging ---- */

static unsigned patience(const struct order *o, enum order_logind logind)
{
	switch (o->client) {
	case ORDER_CLIENT_DONE:
		return logind == ORDER_LOGIND_SILENT ? UNHEARD_MS : HEARD_MS;
	case ORDER_CLIENT_KILLED:
		return HEARD_MS;
	case ORDER_CLIENT_REFUSED:
		break;
	}
	return 0;
}

/* What logind prepares when it has refused ours is somebody else's. */
static bool has_order(const struct order *o, enum order_systemd systemd, enum order_logind logind)
{
	return systemd == ORDER_SYSTEMD_STOPS ||
	       (logind == ORDER_LOGIND_PREPARES && o->client != ORDER_CLIENT_REFUSED);
}

enum order_fate order_judge(struct order *o, enum order_systemd systemd, enum order_logind logind,
	bool interrupted, uint64_t now)
{
	bool goes_on = systemd == ORDER_SYSTEMD_GOES_ON;

	if (has_order(o, systemd, logind)) {
		o->last_sign = now;
		o->prepared |= logind == ORDER_LOGIND_PREPARES;
		return interrupted ? ORDER_GOES : ORDER_WAITS;
	}
	if (!goes_on && interrupted)
		return ORDER_GOES;
	/* A logind that has had it and does not answer may have it still. */
	if (goes_on && o->last_sign && (!o->prepared || logind == ORDER_LOGIND_IDLE))
		return ORDER_DROPPED;
	if (o->last_sign && !goes_on)
		return ORDER_WAITS;
	if (now - (o->last_sign ? o->last_sign : o->began) < patience(o, logind))
		return ORDER_WAITS;
	return !goes_on && o->client == ORDER_CLIENT_DONE ? ORDER_GOES : ORDER_DROPPED;
}

/* ---- asking ---- */

static enum order_systemd ask_systemd(void)
{
	static char *const argv[] = {(char *)"systemctl", (char *)"is-system-running", NULL};
	static const char *const states[] = {
		"initializing", "starting", "running", "degraded", "maintenance"};
	char words[64] = "";

	if (tool_run(argv, words, sizeof(words), false) < 0)
		return ORDER_SYSTEMD_SILENT;
	for (size_t n = 0; n < ARRAY_SIZE(states); n++)
		if (strcmp(words, states[n]) == 0)
			return ORDER_SYSTEMD_GOES_ON;
	return strcmp(words, "stopping") == 0 ? ORDER_SYSTEMD_STOPS : ORDER_SYSTEMD_SILENT;
}

/* It is not started for that: one that does not run has no order. */
static enum order_logind ask_logind(void)
{
	static char *const argv[] = {(char *)"busctl", (char *)"--system", (char *)"--timeout=5",
		(char *)"--auto-start=no", (char *)"get-property", (char *)"org.freedesktop.login1",
		(char *)"/org/freedesktop/login1", (char *)"org.freedesktop.login1.Manager",
		(char *)"PreparingForShutdown", NULL};
	char words[64] = "";

	if (tool_run(argv, words, sizeof(words), false) != 0)
		return ORDER_LOGIND_SILENT;
	if (strcmp(words, "b true") == 0)
		return ORDER_LOGIND_PREPARES;
	return strcmp(words, "b false") == 0 ? ORDER_LOGIND_IDLE : ORDER_LOGIND_SILENT;
}

static void tell_of_delay(
	bool *told, enum order_systemd systemd, enum order_logind logind, enum order_client client)
{
	if (*told || client == ORDER_CLIENT_REFUSED || systemd != ORDER_SYSTEMD_GOES_ON ||
		logind != ORDER_LOGIND_PREPARES)
		return;
	log_info("logind has the order, and waits for who delays it: see systemd-inhibit --list");
	*told = true;
}

bool order_follow(enum order_client client)
{
	const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
	struct order order = {.client = client, .began = clock_milliseconds()};
	bool told = false;

	for (;;) {
		enum order_systemd systemd = ask_systemd();
		enum order_logind logind = ask_logind();
		enum order_fate fate = order_judge(
			&order, systemd, logind, interrupt_held(), clock_milliseconds());

		if (fate != ORDER_WAITS)
			return fate == ORDER_GOES;
		tell_of_delay(&told, systemd, logind, client);
		(void)nanosleep(&pause, NULL);
	}
}
