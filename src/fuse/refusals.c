// SPDX-License-Identifier: MIT
/* The worker has no /proc, so it can't tell anybody's cgroup. */
#include "fuse/refusals.h"

#include <inttypes.h>
#include <string.h>

#include "util/audit.h"
#include "util/log.h"

static void own_up(unsigned left_out)
{
	if (left_out > 0)
		log_warning("%u more refusals by the worker were not logged one by one", left_out);
}

void refusals_audit(struct refusals *r, const struct asker *asker, const char *request,
	uint64_t ino, int error, const char *what, uint64_t now)
{
	unsigned left_out;
	bool allowed = limiter_allow(&r->limiter, REFUSALS_LINES, now, &left_out);
	struct audit a;

	own_up(left_out);
	if (!allowed)
		return;
	audit_begin(&a, AUDIT_REFUSAL);
	audit_add(&a, "by", "worker");
	audit_add(&a, "pid", "%d", (int)asker->pid);
	audit_add(&a, "uid", "%u", asker->uid);
	audit_add(&a, "request", "%s", request);
	audit_add(&a, "ino", "%" PRIu64, ino);
	audit_add(&a, "errno", "%d", -error);
	audit_add(&a, "what", "%s", what ? what : strerror(-error));
	audit_send(&a);
}

void refusals_expire(struct refusals *r, uint64_t now)
{
	own_up(limiter_own_up(&r->limiter, now));
}

bool refusals_next_deadline(const struct refusals *r, uint64_t *ret)
{
	if (r->limiter.left_out == 0)
		return false;
	*ret = r->limiter.started + LIMITER_PERIOD;
	return true;
}
