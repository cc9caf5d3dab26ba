// SPDX-License-Identifier: MIT
#include "helper/audits.h"

#include <inttypes.h>
#include <stdio.h>

#include "helper/server.h"
#include "util/cgroup.h"
#include "util/clock.h"
#include "util/log.h"

static const char *reason_name(enum gm_reason reason)
{
	static const char *const names[] = {"none", "version", "ticket", "trust", "limit",
		"extents", "scrub", "record", "starting", "memory", "gone", "space", "frozen",
		"device", "rate"};

	return (size_t)reason < ARRAY_SIZE(names) ? names[reason] : "unknown";
}

void audits_add_ranges(struct audit *a, const struct record_extent *extents, size_t count)
{
	char text[AUDITS_RANGES_SHOWN * 48] = "";
	size_t n = 0;

	for (size_t i = 0; i < count && i < AUDITS_RANGES_SHOWN; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%u:%" PRIu64 "+%" PRIu32,
			i ? "," : "", extents[i].region, extents[i].block, extents[i].count);
	audit_add(a, "ranges", "%zu", count);
	if (count > 0)
		audit_add(a, "first", "%s", text);
}

void audits_add_process(struct audit *a, const struct process *p)
{
	struct audit before = *a;

	audit_add_process(a, p->pid, p->uid);
	if (!process_has_ended(p))
		return;
	/* Its number may have been another's by then. */
	*a = before;
	audit_add(a, "pid", "%d", (int)p->pid);
	audit_add(a, "uid", "%u", p->uid);
}

/* ---- grants and refusals ---- */

static void own_up_grants(unsigned left_out, const struct user *u)
{
	if (left_out > 0)
		log_warning(
			"%u more grants to user %u were not logged one by one", left_out, u->uid);
}

/* Who attaches again and again is one process, or many of one user. */
static bool may_log_grant(struct server *s, struct process *p)
{
	struct user *u = p->user;
	uint64_t now = clock_milliseconds();
	unsigned left_out, none;

	own_up_grants(limiter_own_up(&u->grant_noise, now), u);
	bool allowed = limiter_allow(&p->grant_noise, AUDITS_GRANT_LINES, now, &none);
	if (!allowed)
		u->grant_noise.left_out++;
	else
		allowed = limiter_allow(&u->grant_noise, AUDITS_LINES, now, &left_out);
	s->users.restless |= !allowed;
	return allowed;
}

void audits_grant(struct server *s, struct process *p, const struct grant_order *o,
	const struct record_extent *extents, size_t count, unsigned devices)
{
	struct audit a;

	if (!may_log_grant(s, p))
		return;
	audit_begin(&a, AUDIT_GRANT);
	audits_add_process(&a, p);
	audit_add(&a, "ino", "%" PRIu64, o->ino);
	audit_add(&a, "access", "%s", o->access & GM_ACCESS_WRITE ? "rw" : "r");
	audits_add_ranges(&a, extents, count);
	audit_add(&a, "devices", "%u", devices);
	audit_add(&a, "epoch", "%" PRIu64, o->epoch);
	audit_send(&a);
}

void audits_contents(const struct record_inode *inode, size_t devices)
{
	struct audit a;

	audit_begin(&a, AUDIT_GRANT);
	audit_add(&a, "of", "worker");
	audit_add(&a, "ino", "%" PRIu64, inode->ino);
	audit_add(&a, "access", "rw");
	audits_add_ranges(&a, inode->extents, inode->extent_count);
	audit_add(&a, "devices", "%zu", devices);
	audit_add(&a, "epoch", "%" PRIu64, inode->epoch);
	audit_send(&a);
}

static void own_up(unsigned left_out, const struct user *u)
{
	if (left_out > 0)
		log_warning(
			"%u more refusals of user %u were not logged one by one", left_out, u->uid);
}

void audits_own_up(struct user *u, uint64_t now)
{
	own_up(limiter_own_up(&u->noise, now), u);
	own_up_grants(limiter_own_up(&u->grant_noise, now), u);
}

bool audits_may_log(struct server *s, struct user *u)
{
	uint64_t now = clock_milliseconds();
	unsigned left_out, none;
	bool allowed = limiter_allow(&u->noise, AUDITS_USER_LINES, now, &left_out);

	own_up(left_out, u);
	if (allowed && !limiter_allow(&s->noise, AUDITS_LINES, now, &none)) {
		u->noise.left_out++;
		allowed = false;
	}
	s->users.restless |= !allowed;
	return allowed;
}

void audits_refusal(struct server *s, struct user *u, pid_t pid, const struct process *process,
	uint64_t ino, int error, enum gm_reason reason, const char *what)
{
	struct audit a;

	if (!audits_may_log(s, u))
		return;
	audit_begin(&a, AUDIT_REFUSAL);
	if (process)
		audits_add_process(&a, process);
	else
		audit_add_process(&a, pid, u->uid);
	audit_add(&a, "ino", "%" PRIu64, ino);
	audit_add(&a, "errno", "%d", error);
	audit_add(&a, "reason", "%s", reason_name(reason));
	audit_add(&a, "what", "%s", what);
	audit_send(&a);
}

static void own_up_worker(unsigned left_out)
{
	if (left_out > 0)
		log_warning("%u more refusals of the worker were not logged one by one", left_out);
}

void audits_worker_refused(
	struct server *s, uint16_t opcode, uint64_t ino, int error, const char *what)
{
	unsigned left_out;
	bool allowed =
		limiter_allow(&s->worker_noise, AUDITS_USER_LINES, clock_milliseconds(), &left_out);
	struct audit a;

	own_up_worker(left_out);
	if (!allowed)
		return;
	audit_begin(&a, AUDIT_REFUSAL);
	audit_add(&a, "of", "worker");
	audit_add(&a, "message", "%u", opcode);
	audit_add(&a, "ino", "%" PRIu64, ino);
	audit_add(&a, "errno", "%d", error);
	audit_add(&a, "what", "%s", what);
	audit_send(&a);
}

static uint64_t next_own_up(const struct limiter *l)
{
	return l->left_out ? l->started + LIMITER_PERIOD : SERVER_NEVER;
}

static void own_up_exports(unsigned left_out)
{
	if (left_out > 0)
		log_warning("%u more exports were not logged one by one", left_out);
}

uint64_t audits_check_time(struct server *s, uint64_t now)
{
	own_up_worker(limiter_own_up(&s->worker_noise, now));
	own_up_exports(limiter_own_up(&s->export_noise, now));
	uint64_t worker = next_own_up(&s->worker_noise), exports = next_own_up(&s->export_noise);
	return worker < exports ? worker : exports;
}

/* ---- exports ---- */

static bool may_log_export(struct server *s, const struct record_inode *inode)
{
	uint64_t now = clock_milliseconds();
	unsigned left_out, none;

	own_up_exports(limiter_own_up(&s->export_noise, now));
	if (limiter_allow(&inode->devices->noise, AUDITS_GRANT_LINES, now, &none))
		return limiter_allow(&s->export_noise, AUDITS_LINES, now, &left_out);
	s->export_noise.left_out++;
	return false;
}

/* The worker knows no cgroups. Its process may have ended by now: then there is none. */
static void add_asker(struct audit *a, const struct audits_asker *asker)
{
	char cgroup[CGROUP_PATH_MAX];

	if (asker->pid == 0)
		return;
	audit_add(a, "by_pid", "%d", (int)asker->pid);
	audit_add(a, "by_uid", "%u", asker->uid);
	audit_add(a, "by_cgroup", "%s",
		cgroup_of(asker->pid, cgroup, sizeof(cgroup)) < 0 ? "?" : cgroup);
}

void audits_export(struct server *s, const struct record_inode *inode, const char *node,
	const struct audits_owner *owner, const struct audits_asker *asker)
{
	struct audit a;

	if (!may_log_export(s, inode))
		return;
	audit_begin(&a, AUDIT_EXPORT);
	add_asker(&a, asker);
	audit_add(&a, "ino", "%" PRIu64, inode->ino);
	audit_add(&a, "node", "%s", node);
	audit_add(&a, "uid", "%u", owner->uid);
	audit_add(&a, "gid", "%u", owner->gid);
	audit_add(&a, "mode", "%04o", owner->mode);
	audits_add_ranges(&a, inode->extents, inode->extent_count);
	audit_send(&a);
}

void audits_export_end(
	struct server *s, const struct record_inode *inode, const struct audits_asker *asker)
{
	struct audit a;

	if (!may_log_export(s, inode))
		return;
	audit_begin(&a, AUDIT_EXPORT);
	add_asker(&a, asker);
	audit_add(&a, "ino", "%" PRIu64, inode->ino);
	audit_add(&a, "ended", "yes");
	audit_send(&a);
}

/* ---- what is taken away ---- */

void audits_describe_revocation(struct audit *ret, const struct record_inode *inode,
	const struct process *process, const char *what)
{
	audit_begin(ret, AUDIT_REVOCATION);
	if (process)
		audits_add_process(ret, process);
	audit_add(ret, "ino", "%" PRIu64, inode->ino);
	audits_add_ranges(ret, inode->extents, inode->extent_count);
	audit_add(ret, "what", "%s", what);
}

void audits_quarantine(const struct record_inode *inode, const char *why)
{
	struct audit a;

	audit_begin(&a, AUDIT_QUARANTINE);
	audit_add(&a, "ino", "%" PRIu64, inode->ino);
	audits_add_ranges(&a, inode->extents, inode->extent_count);
	audit_add(&a, "why", "%s", why);
	audit_send(&a);
}
