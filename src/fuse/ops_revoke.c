// SPDX-License-Identifier: MIT
/*
 * GM_IOC_REVOKE: the open file brings the question here, from whoever can open it; who may ask is
 * root and the file's owner, as the kernel says who they are. The helper answers later.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/grants.h"
#include "fuse/ops_internal.h"
#include "util/cleanup.h"
#include "util/le.h"

static int check(fuse_req_t req, uint64_t ino, const struct gm_revoke *m)
{
	const struct ops *o = ops_of(req);
	uid_t uid = fuse_req_ctx(req)->uid;
	struct stat st;
	int r = ns_getattr(o->ns, ino, &st);

	if (r < 0)
		return r;
	if (!S_ISREG(st.st_mode))
		return -ENOTTY;
	if (ns_has_content(o->ns, ino))
		return -EMEDIUMTYPE;
	if (uid != 0 && uid != st.st_uid)
		return -EPERM;
	if (get_le32(m->flags) & ~GM_REVOKE_KILL)
		return -EINVAL;
	if (store_is_frozen(o->ns->store))
		return -EBUSY;
	return o->revokes.count < REVOKES_MAX ? 0 : -EAGAIN;
}

static int ask_helper(struct ops *o, struct revoke *v)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(v->req);
	const struct asker asker = {ctx->pid, ctx->uid};

	return grants_revoke(
		o->grants, v->ino, get_le32(v->answer.flags) & GM_REVOKE_KILL, &asker, &v->id);
}

int ops_begin_revoke(fuse_req_t req, uint64_t ino, const struct gm_revoke *m)
{
	struct ops *o = ops_of(req);
	int r = check(req, ino, m);

	if (r < 0)
		return r;
	_cleanup_free_ struct revoke *v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->req = req;
	v->ino = ino;
	v->answer.flags = m->flags;
	r = ask_helper(o, v);
	if (r < 0 && !(r == -EAGAIN && o->revokes.wait_until))
		return r;
	LIST_INSERT_HEAD(&o->revokes.list, v, link);
	o->revokes.count++;
	(void)steal_pointer(v);
	return 0;
}

static void note_holder(struct gm_revoke *answer, const struct link_holder *h)
{
	uint32_t n = get_le32(answer->count);

	/* A killed one that has not ended yet is told of twice. */
	for (uint32_t i = 0; i < n; i++)
		if (get_le32(answer->holders[i].pid) == get_le32(h->pid))
			return;
	if (n == GM_REVOKE_HOLDERS) {
		answer->more = put_le32(get_le32(answer->more) + 1);
		return;
	}
	struct gm_holder *to = &answer->holders[n];
	to->pid = h->pid;
	to->uid = h->uid;
	to->access = h->access;
	to->flags = h->flags;
	memcpy(to->command, h->command, sizeof(to->command));
	memcpy(to->cgroup, h->cgroup, sizeof(to->cgroup));
	answer->count = put_le32(n + 1);
}

static void finish(struct ops *o, struct revoke *v, int state)
{
	v->answer.state = put_le32((uint32_t)state);
	if (state < 0)
		reply_error(v->req, state);
	else
		fuse_reply_ioctl(v->req, 0, &v->answer, sizeof(v->answer));
	LIST_REMOVE(v, link);
	o->revokes.count--;
	free(v);
}

void ops_take_revoked(struct ops *o, uint64_t id, const struct link_holder *h, int state)
{
	struct revoke *v, *next;

	for (v = LIST_FIRST(&o->revokes.list); v; v = next) {
		next = LIST_NEXT(v, link);
		if (id != 0 && v->id != id)
			continue;
		if (h)
			note_holder(&v->answer, h);
		else
			finish(o, v, state);
	}
}

void ops_ask_revokes(struct ops *o)
{
	struct revoke *v, *next;

	o->revokes.wait_until = 0;
	for (v = LIST_FIRST(&o->revokes.list); v; v = next) {
		int r = v->id == 0 ? ask_helper(o, v) : 0;

		next = LIST_NEXT(v, link);
		if (r < 0)
			finish(o, v, r);
	}
}

void ops_expect_helper(struct ops *o, uint64_t until)
{
	o->revokes.wait_until = until;
}
