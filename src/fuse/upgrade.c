// SPDX-License-Identifier: MIT
#include "fuse/upgrade.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/control_answer.h"
#include "fuse/supervisor_internal.h"
#include "proto/control.h"
#include "proto/link.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/packet.h"
#include "util/log.h"

#define TRY_MS    5000U  /* for a program to say its version */
#define END_MS    15000U /* for a process to end what it is in the middle of */
#define START_MS  20000U /* for a new one to serve */
#define KEEPER_MS 5000U  /* for a keeper, which is never in the middle of anything, to obey */

/*
 * For so long who has asked waits. The longest way is the one on which all three are replaced, each
 * step at its last moment: both programs are tried, worker and helper end and start, the keeper
 * starts, the old one ends and the new one hears it. An old program that is started again has less
 * time than the keepers, which it spares.
 */
static_assert(2 * TRY_MS + 2 * (END_MS + START_MS) + START_MS + 2 * KEEPER_MS <
		      CONTROL_UPGRADE_SECONDS * 1000U,
	"an upgrade takes longer than its command waits");

#define SPARE_FDS (SPAWN_FDS_MAX + 16U) /* to start a process takes fewer */

/* ---- its end ---- */

static void reset(struct upgrade *u)
{
	if (u->probe.pid) {
		int status;

		process_kill(&u->probe);
		(void)process_wait(&u->probe, -1, &status);
	}
	(void)close_fd(u->client);
	*u = UPGRADE_NULL;
}

static void fail(struct supervisor *s, const struct problem *why)
{
	log_error("upgrade: %s", why->text);
	if (s->upgrade.client >= 0)
		(void)control_answer_refuse(s->upgrade.client, ECANCELED, why->text);
	reset(&s->upgrade);
}

/* The file at the path from which this process was started. */
static bool is_installed(const struct supervisor *s)
{
	struct stat own, there;

	return stat("/proc/self/exe", &own) == 0 && stat(s->own_path, &there) == 0 &&
	       own.st_dev == there.st_dev && own.st_ino == there.st_ino;
}

static void succeed(struct supervisor *s)
{
	const struct upgrade *u = &s->upgrade;
	bool old = !is_installed(s);
	char text[512];
	int n = snprintf(text, sizeof(text),
		"{\"worker\": {\"pid\": %d, \"outage_ms\": %" PRIu64
		"}, \"helper\": {\"pid\": %d, \"outage_ms\": %" PRIu64
		"}, \"keeper\": {\"pid\": %d}, \"supervisor\": {\"pid\": %d, \"outdated\": %s}}",
		(int)s->worker.process.pid, u->outages[0], (int)s->helper.process.pid,
		u->outages[1], (int)s->keeper.process.pid, (int)getpid(), old ? "true" : "false");

	log_info("upgraded: the worker is process %d (%" PRIu64
		 " ms without one), the helper process %d (%" PRIu64
		 " ms), the keeper process %d; the supervisor goes on%s",
		(int)s->worker.process.pid, u->outages[0], (int)s->helper.process.pid,
		u->outages[1], (int)s->keeper.process.pid,
		old ? " with the program that it was started with, which is not what is installed "
		      "now"
		    : "");
	if (u->client >= 0 && control_answer_send(u->client, text, (size_t)n) < 0)
		log_warning("who has asked for the upgrade does not take the answer");
	reset(&s->upgrade);
}

void upgrade_abandon(struct supervisor *s)
{
	if (s->upgrade.client >= 0)
		(void)control_answer_refuse(s->upgrade.client, ECANCELED, "the instance ends");
	reset(&s->upgrade);
}

/* ---- the programs are tried ---- */

static const char *path_of(const struct supervisor *s, const struct child *c)
{
	return c == &s->worker ? s->own_path : s->helper_path;
}

static void try_program(struct supervisor *s, const struct child *c, enum upgrade_step step)
{
	char version[] = "--version";
	char path[PATH_MAX];
	char *argv[] = {path, version, NULL};
	const struct spawn spawn = {.path = path, .argv = argv, .quiet = true};
	struct problem why = PROBLEM_INIT;
	int r;

	(void)snprintf(path, sizeof(path), "%s", path_of(s, c));
	s->upgrade.step = step;
	s->upgrade.due = clock_milliseconds() + TRY_MS;
	r = spawn_process(&s->upgrade.probe, &spawn, &why);
	if (r == 0)
		r = supervisor_watch(s, s->upgrade.probe.pidfd, SOURCE_PROBE_END);
	if (r < 0) {
		problem_prefix(&why, r, "nothing is changed: the %s that is installed can't be run",
			c->name);
		fail(s, &why);
	}
}

static bool is_ready(const struct child *c)
{
	return c->serving && c->process.pid != 0;
}

/* Without descriptors nobody could be started in the place of the one that ends, not even the
 * program from before. */
static int check_descriptors(void)
{
	int fds[SPARE_FDS], r = 0;
	unsigned count = 0;

	while (count < SPARE_FDS && r == 0) {
		fds[count] = spawn_copy_fd(STDERR_FILENO, 0);
		r = fds[count] < 0 ? fds[count] : 0;
		count += r == 0;
	}
	while (count > 0)
		(void)close_fd(fds[--count]);
	return r;
}

static int check_ready(const struct child *c, struct problem *why)
{
	int r;

	if (!is_ready(c))
		return problem(why, EAGAIN,
			"the %s has just died and is started again: try again then", c->name);
	r = check_descriptors();
	return r < 0 ? problem_errno(why, -r, "starting a new %s", c->name) : 0;
}

static void tell_to_yield(struct supervisor *s, const struct child *c, enum upgrade_step step)
{
	struct problem why = PROBLEM_INIT;
	int r = check_ready(c, &why);

	if (r < 0) {
		(void)problem_prefix(&why, r,
			step == UPGRADE_END_WORKER ? "nothing is changed"
						   : "the worker is replaced, the helper is not");
		fail(s, &why);
		return;
	}
	s->upgrade.step = step;
	s->upgrade.due = clock_milliseconds() + END_MS;
	child_send(c, LINK_YIELD, 0, -1);
}

void upgrade_take_probe(struct supervisor *s)
{
	struct upgrade *u = &s->upgrade;
	bool worker = u->step == UPGRADE_TRY_WORKER;
	struct problem why = PROBLEM_INIT;
	int status = 0;

	if (process_wait(&u->probe, 0, &status) < 0)
		return;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		(void)problem(&why, ENOEXEC,
			"nothing is changed: %s does not say its version (%s %d)",
			path_of(s, worker ? &s->worker : &s->helper),
			WIFEXITED(status) ? "exit code" : "signal",
			WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
		fail(s, &why);
	} else if (worker) {
		try_program(s, &s->helper, UPGRADE_TRY_HELPER);
	} else {
		tell_to_yield(s, &s->worker, UPGRADE_END_WORKER);
	}
}

/* ---- one process after the other ---- */

static bool is_ending(const struct supervisor *s, const struct child *c)
{
	return s->upgrade.step == (c == &s->worker ? UPGRADE_END_WORKER : UPGRADE_END_HELPER);
}

static bool is_starting(const struct supervisor *s, const struct child *c)
{
	return s->upgrade.step == (c == &s->worker ? UPGRADE_START_WORKER : UPGRADE_START_HELPER);
}

/* The program that served before is opened still. */
static void fall_back(struct supervisor *s, struct child *c, const struct problem *reason)
{
	struct problem why = PROBLEM_INIT;

	s->upgrade.fell_back = true;
	s->upgrade.due = clock_milliseconds() + START_MS;
	if (s->upgrade.reason.text[0] == '\0')
		s->upgrade.reason = *reason;
	/* It was the new program that could not go on with the connection. */
	s->unfit = false;
	log_error("upgrade: %s; the %s that served before is started again", s->upgrade.reason.text,
		c->name);
	supervisor_discard(s, c);
	if (!supervisor_start_again(s, c, &why))
		supervisor_fail(s, &why);
}

static void start_new(struct supervisor *s, struct child *c)
{
	struct problem why = PROBLEM_INIT;

	s->upgrade.step = c == &s->worker ? UPGRADE_START_WORKER : UPGRADE_START_HELPER;
	s->upgrade.ended_at = clock_milliseconds();
	s->upgrade.due = s->upgrade.ended_at + START_MS;
	if (supervisor_restart(s, c, path_of(s, c), &why) < 0)
		fall_back(s, c, &why);
}

bool upgrade_take_end(struct supervisor *s, struct child *c, const struct problem *why)
{
	if (is_ending(s, c))
		start_new(s, c);
	else if (is_starting(s, c) && !s->upgrade.fell_back)
		fall_back(s, c, why);
	else
		return false;
	return true;
}

/* serves: else it has had the time to, and may yet: from here on it is waited for, or tried again,
 * as after any death. */
static void tell_of_fall_back(struct supervisor *s, const struct child *c, bool serves)
{
	struct problem why = PROBLEM_INIT;
	char worker[64] = "", before[192];

	if (serves)
		(void)snprintf(
			before, sizeof(before), "serves again (process %d)", (int)c->process.pid);
	else if (c->process.pid)
		(void)snprintf(before, sizeof(before),
			"is started again, and waits for something too (process %d), as for a "
			"worker or helper that was stopped: kill -CONT lets that go on, kill -9 "
			"has it replaced",
			(int)c->process.pid);
	else
		(void)snprintf(before, sizeof(before),
			"could not be started again yet, and is tried again; the log says why");
	if (c == &s->helper)
		(void)snprintf(worker, sizeof(worker), "the worker is replaced (process %d), but ",
			(int)s->worker.process.pid);
	(void)problem(&why, ECANCELED,
		"%sthe new %s did not come to serve: %.300s; the one from before %s, and nothing "
		"is lost",
		worker, c->name, s->upgrade.reason.text, before);
	fail(s, &why);
}

/* ---- the keeper ---- */

static void fail_keeper(struct supervisor *s, const struct problem *reason)
{
	struct problem why = PROBLEM_INIT;

	(void)problem(&why, ECANCELED,
		"worker and helper are replaced (processes %d and %d), but the new keeper did not "
		"come to serve: %.300s; nothing is lost",
		(int)s->worker.process.pid, (int)s->helper.process.pid,
		*s->upgrade.reason.text ? s->upgrade.reason.text : reason->text);
	fail(s, &why);
}

static void start_keeper(struct supervisor *s)
{
	struct problem why = PROBLEM_INIT;

	s->upgrade.step = UPGRADE_START_KEEPER;
	s->upgrade.due = clock_milliseconds() + START_MS;
	if (keeping_start_next(s, s->own_path, &why) < 0)
		fail_keeper(s, &why);
}

void upgrade_take_keeper_ready(struct supervisor *s)
{
	if (s->upgrade.step != UPGRADE_START_KEEPER)
		return;
	s->upgrade.step = UPGRADE_END_KEEPER;
	s->upgrade.due = clock_milliseconds() + KEEPER_MS;
}

void upgrade_take_keeper_charge(struct supervisor *s)
{
	if (s->upgrade.step != UPGRADE_END_KEEPER)
		return;
	s->upgrade.step = UPGRADE_CHARGE_KEEPER;
	s->upgrade.due = clock_milliseconds() + KEEPER_MS;
}

static bool is_at_keeper(const struct supervisor *s)
{
	return s->upgrade.step >= UPGRADE_START_KEEPER;
}

void upgrade_lose_keeper(struct supervisor *s, const struct problem *reason)
{
	struct problem why = PROBLEM_INIT;

	if (!is_at_keeper(s))
		return;
	(void)problem(&why, ECANCELED,
		"worker and helper are replaced (processes %d and %d), but before the new keeper "
		"was ready the one from before was gone (%.300s): another one of its program is "
		"started, and nothing is lost",
		(int)s->worker.process.pid, (int)s->helper.process.pid, reason->text);
	fail(s, &why);
}

void upgrade_take_keeper(struct supervisor *s, const struct problem *why)
{
	if (!is_at_keeper(s))
		return;
	if (why)
		fail_keeper(s, why);
	else if (s->next_keeper.process.pid == 0) /* else it is the old one that has said it */
		succeed(s);
}

/* ---- all of them ---- */

void upgrade_take_serving(struct supervisor *s, const struct child *c)
{
	struct upgrade *u = &s->upgrade;

	if (!is_starting(s, c))
		return;
	u->outages[c == &s->helper] = clock_milliseconds() - u->ended_at;
	if (u->fell_back)
		tell_of_fall_back(s, c, true);
	else if (c == &s->worker)
		tell_to_yield(s, &s->helper, UPGRADE_END_HELPER);
	else
		start_keeper(s);
}

/* Of this step. */
static const struct child *find_child(const struct supervisor *s)
{
	switch (s->upgrade.step) {
	case UPGRADE_END_WORKER:
	case UPGRADE_START_WORKER:
		return &s->worker;
	case UPGRADE_START_KEEPER:
		return s->next_keeper.process.pid ? &s->next_keeper : &s->keeper;
	case UPGRADE_END_KEEPER:
	case UPGRADE_CHARGE_KEEPER:
		return &s->keeper;
	default:
		return &s->helper;
	}
}

int upgrade_check_time(struct supervisor *s, uint64_t now)
{
	struct upgrade *u = &s->upgrade;
	const struct child *c = find_child(s);

	if (u->step == UPGRADE_NONE || u->due == UINT64_MAX)
		return -1;
	if (now < u->due)
		return (int)(u->due - now);
	u->due = UINT64_MAX;
	if (u->probe.pid) {
		process_kill(&u->probe);
		return -1;
	}
	if (u->fell_back) {
		tell_of_fall_back(s, c, false);
		return -1;
	}
	if (u->step == UPGRADE_CHARGE_KEEPER)
		(void)problem(&u->reason, ETIMEDOUT,
			"it did not take over from the old one within %u seconds",
			KEEPER_MS / 1000);
	else if (is_starting(s, c) || u->step == UPGRADE_START_KEEPER)
		(void)problem(&u->reason, ETIMEDOUT, "it did not serve within %u seconds",
			START_MS / 1000);
	else
		log_warning("upgrade: the %s does not end: it is killed", c->name);
	process_kill(&c->process);
	return -1;
}

/* ---- its beginning ---- */

/* The worker has looked already, but whom it lets in is not for it to say. */
static int check_asker(int fd, struct ucred *asker)
{
	int r = packet_get_peer(fd, asker);

	if (r < 0)
		return r;
	return asker->uid == 0 || asker->uid == geteuid() ? 0 : -EACCES;
}

static const char *find_obstacle(const struct supervisor *s)
{
	if (s->upgrade.step != UPGRADE_NONE)
		return "an upgrade is under way already";
	if (s->stopping)
		return "the instance ends";
	if (!s->serving || !is_ready(&s->worker) || !is_ready(&s->helper))
		return "worker or helper is just being started: try again";
	return NULL;
}

void upgrade_begin(struct supervisor *s, int client)
{
	_cleanup_fd_ int fd = client;
	struct ucred asker = {.pid = 0};
	const char *obstacle = find_obstacle(s);

	if (fd >= 0 && check_asker(fd, &asker) < 0)
		obstacle = "only root and the user of the mount may ask for an upgrade";
	/* Who waited for too long has been told that nothing is done. */
	if (fd >= 0 && !obstacle &&
		control_answer_refuse(fd, EINPROGRESS, "the upgrade has begun") < 0)
		obstacle = "who has asked for it has not waited";
	if (obstacle) {
		log_warning("upgrade refused (pid %d, uid %u): %s", (int)asker.pid, asker.uid,
			obstacle);
		if (fd >= 0)
			(void)control_answer_refuse(fd, EBUSY, obstacle);
		return;
	}
	if (fd >= 0)
		log_info("upgrade (pid %d, uid %u)", (int)asker.pid, asker.uid);
	else
		log_info("upgrade, by SIGHUP");
	s->upgrade.client = steal_fd(&fd);
	try_program(s, &s->worker, UPGRADE_TRY_WORKER);
}
