// SPDX-License-Identifier: MIT
/*
 * Operations that are not in the table get ENOSYS from libfuse. That is the right answer for flush,
 * fsyncdir and access: the kernel remembers it, does what is due by itself (nothing; or
 * EOPNOTSUPP to the caller) and asks no more. FORGET needs
 * no answer and is nothing to us: nodes are not counted.
 */
#include "fuse/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/grants.h"
#include "fuse/ops_internal.h"
#include "fuse/tickets.h"
#include "guestmemfs/protocol.h"
#include "util/clock.h"
#include "util/cleanup.h"
#include "util/log.h"

/*
 * File handles: of a file the access mode (O_ACCMODE), of a directory the place behind the last
 * entry that it had when it was opened. A listing ends there, so that one that renames what it
 * finds, each time to a new place at the end, ends at all. PLACE_NEWER is in the places of a
 * listing that began, or began again (rewinddir), when there were newer entries: it must show them.
 */
#define PLACE_NEWER (1ULL << 62)

/* ---- names ---- */

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param none = {.ino = 0, .entry_timeout = CACHE_SECONDS};
	struct stat st;
	int r = ns_lookup(ops_of(req)->ns, parent, name, strlen(name), &st);

	if (r == -ENOENT)
		fuse_reply_entry(req, &none); /* "not there" is remembered too */
	else
		ops_reply_entry(req, r, &st);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct ns_request rq = request_of(req);
	struct ops *o = ops_of(req);
	struct stat st;
	int r = o->applied ? ns_lookup(o->ns, parent, name, strlen(name), &st)
			   : ns_mkdir(o->ns, &rq, parent, name, strlen(name), mode, &st);

	ops_reply_entry(req, r, &st);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct ns_request rq = request_of(req);
	struct ops *o = ops_of(req);

	reply_error(req, o->applied ? 0 : ns_unlink(o->ns, &rq, parent, name, strlen(name)));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct ns_request rq = request_of(req);
	struct ops *o = ops_of(req);

	reply_error(req, o->applied ? 0 : ns_rmdir(o->ns, &rq, parent, name, strlen(name)));
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
	const char *newname, unsigned flags)
{
	struct ns_request rq = request_of(req);
	struct ns_name from = {.parent = parent, .name = name, .length = strlen(name)};
	struct ns_name to = {.parent = newparent, .name = newname, .length = strlen(newname)};

	reply_error(
		req, ops_of(req)->applied ? 0 : ns_rename(ops_of(req)->ns, &rq, &from, &to, flags));
}

/* ---- open files ---- */

static void release_inode(struct ops *o, uint64_t ino)
{
	int r = ns_release(o->ns, ino, o->unique);

	if (r < 0)
		log_error("inode %llu has no name and no user any more, but removing it failed: %s;"
			  " the next close of a file will, or the next mount",
			(unsigned long long)ino, strerror(-r));
}

/* The open(2) was interrupted: no RELEASE will come. But of an open that an earlier worker may have
 * answered one may. */
static void undo_open(struct ops *o, uint64_t ino)
{
	if (o->again && !o->unwanted)
		return;
	o->unique = 0; /* which has counted it */
	release_inode(o, ino);
}

/*
 * The handle is all that is ever known of an open file. Where there is content, the page cache may
 * keep it for ever: nobody but this mount changes it. Without content, direct I/O keeps the page
 * cache out of it, so that the kernel refuses a shared mmap; and without a flush nobody waits for
 * us when closing (with one, the kernel writes out what was written through a mapping). A file that
 * got its content mark while it was open is opened like that by all, as long as one of those before
 * the mark may be left: what they write past the page cache must not be hidden by it.
 */
static void fill_handle(const struct ops *o, uint64_t ino, struct fuse_file_info *fi)
{
	bool cached = ns_may_be_cached(o->ns, ino);

	fi->fh = (uint64_t)(fi->flags & O_ACCMODE);
	fi->direct_io = !cached;
	fi->keep_cache = cached;
	fi->noflush = !cached;
}

static void op_create(
	fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct ns_request rq = request_of(req);
	struct ops *o = ops_of(req);
	struct fuse_entry_param e;
	struct stat st;
	int r = o->applied ? ns_lookup(o->ns, parent, name, strlen(name), &st)
			   : ns_create(o->ns, &rq, parent, name, strlen(name), mode, &st);

	if (r == 0)
		r = ns_open(o->ns, st.st_ino, o->unique);
	if (r < 0) {
		reply_error(req, r);
		return;
	}
	fill_handle(o, st.st_ino, fi);
	e = ops_entry_of(&st);
	if (fuse_reply_create(req, &e, fi) == -ENOENT)
		undo_open(o, st.st_ino);
}

static void open_inode(fuse_req_t req, uint64_t ino, struct fuse_file_info *fi)
{
	struct ops *o = ops_of(req);
	int r = ns_open(o->ns, ino, o->unique);

	if (r < 0) {
		reply_error(req, r);
		return;
	}
	if (fuse_reply_open(req, fi) == -ENOENT)
		undo_open(o, ino);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fill_handle(ops_of(req), ino, fi);
	open_inode(req, ino, fi);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	int r = ns_dir_end(ops_of(req)->ns, ino, &fi->fh);

	if (r < 0)
		reply_error(req, r);
	else
		open_inode(req, ino, fi);
}

void ops_close(struct ops *o, uint64_t ino)
{
	release_inode(o, ino);
}

/* RELEASE and RELEASEDIR. */
static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi;
	ops_close(ops_of(req), ino);
	fuse_reply_err(req, 0);
}

/* ---- directories ---- */

struct listing {
	fuse_req_t req;
	char *buf;
	size_t size, used;
	uint64_t end;   /* places from here on are not listed */
	uint64_t newer; /* PLACE_NEWER or 0 */
	bool plus;
};

/* False if the entry does not fit any more. */
static bool add_entry(struct listing *l, const struct ns_entry *entry)
{
	char *at = l->buf + l->used, name[GM_NAME_MAX + 1];
	struct stat st = {.st_ino = entry->ino, .st_mode = entry->type};
	size_t room = l->size - l->used, length;
	off_t place = (off_t)(entry->cookie | l->newer);
	struct fuse_entry_param e;

	memcpy(name, entry->name, entry->length);
	name[entry->length] = '\0';
	if (l->plus) {
		(void)ns_getattr(ops_of(l->req)->ns, entry->ino, &st);
		e = ops_entry_of(&st);
		length = fuse_add_direntry_plus(l->req, at, room, name, &e, place);
	} else {
		length = fuse_add_direntry(l->req, at, room, name, &st, place);
	}
	if (length > room)
		return false;
	l->used += length;
	return true;
}

static int fill_listing(struct listing *l, uint64_t dir, uint64_t after)
{
	const struct namespace *ns = ops_of(l->req)->ns;
	struct ns_entry entry;
	uint64_t end;
	int r = ns_dir_end(ns, dir, &end);

	if (r < 0)
		return r;
	if (after == 0 && end != l->end)
		l->newer = PLACE_NEWER;
	if (l->newer)
		l->end = end;
	while ((r = ns_next_entry(ns, dir, after, &entry)) > 0) {
		if (entry.cookie >= l->end || !add_entry(l, &entry))
			return 0;
		after = entry.cookie;
	}
	return r;
}

static void list_directory(fuse_req_t req, uint64_t dir, size_t size, off_t place,
	struct fuse_file_info *fi, bool plus)
{
	_cleanup_free_ char *buf = malloc(size);
	struct listing l = {
		.req = req,
		.buf = buf,
		.size = size,
		.end = fi->fh,
		.newer = (uint64_t)place & PLACE_NEWER,
		.plus = plus,
	};
	int r = buf ? fill_listing(&l, dir, (uint64_t)place & ~PLACE_NEWER) : -ENOMEM;

	if (r < 0)
		reply_error(req, r);
	else
		fuse_reply_buf(req, buf, l.used);
}

static void op_readdir(
	fuse_req_t req, fuse_ino_t ino, size_t size, off_t place, struct fuse_file_info *fi)
{
	list_directory(req, ino, size, place, fi, false);
}

static void op_readdirplus(
	fuse_req_t req, fuse_ino_t ino, size_t size, off_t place, struct fuse_file_info *fi)
{
	list_directory(req, ino, size, place, fi, true);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st;

	ns_statfs_at(ops_of(req)->ns, ino, &st);
	fuse_reply_statfs(req, &st);
}

/* ---- attributes ---- */

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	reply_attr(req, ns_getattr(ops_of(req)->ns, ino, &st), &st);
}

/* ---- what is ours: tickets ---- */

static int access_of(uint64_t handle, uint32_t *ret)
{
	switch (handle) {
	case O_RDONLY:
		*ret = GM_ACCESS_READ;
		return 0;
	case O_RDWR:
		*ret = GM_ACCESS_READ | GM_ACCESS_WRITE;
		return 0;
	default:
		return -EACCES; /* memory can't be mapped without reading */
	}
}

static int issue_ticket(const struct ops *o, fuse_ino_t ino, uid_t uid,
	const struct fuse_file_info *fi, struct gm_ticket *ret)
{
	uint32_t access = 0;
	struct stat st;
	int r = ns_getattr(o->ns, ino, &st);

	if (r == 0 && !S_ISREG(st.st_mode))
		r = -ENOTTY;
	if (r == 0 && ns_has_content(o->ns, ino))
		r = -EMEDIUMTYPE; /* it has no memory of its own to be granted */
	if (r == 0 && store_is_frozen(o->ns->store))
		r = -EBUSY;
	if (r == 0)
		r = access_of(fi->fh, &access);
	return r < 0 ? r : tickets_issue(o->tickets, ino, uid, access, ret);
}

static int invite(const struct ops *o, fuse_ino_t ino, uid_t uid, const struct fuse_file_info *fi,
	struct gm_invitation *ret)
{
	size_t length = strlen(o->grant_socket);

	if (length >= sizeof(ret->socket))
		return -ENAMETOOLONG;
	memcpy(ret->socket, o->grant_socket, length);
	return issue_ticket(o, ino, uid, fi, &ret->ticket);
}

static void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg,
	struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size, size_t out_size)
{
	struct ops *o = ops_of(req);
	const struct asker asker = {fuse_req_ctx(req)->pid, fuse_req_ctx(req)->uid};
	struct gm_invitation answer = {.socket = ""}; /* begins with the ticket */
	size_t size = _IOC_SIZE(cmd);
	const char *request = "ticket";
	int r = -ENOTTY;

	(void)arg;
	if (cmd == GM_IOC_REVOKE && !(flags & FUSE_IOCTL_DIR) && in_size == size &&
		out_size >= size) {
		request = "revoke";
		r = ops_begin_revoke(req, ino, in);
		if (r == 0)
			return;
	} else if (!(flags & FUSE_IOCTL_DIR) && out_size >= size) {
		if (cmd == GM_IOC_TICKET)
			r = issue_ticket(o, ino, asker.uid, fi, &answer.ticket);
		else if (cmd == GM_IOC_INVITATION)
			r = invite(o, ino, asker.uid, fi, &answer);
	}
	if (r < 0 && r != -ENOTTY) /* that is none of our questions, or none about a file */
		refusals_audit(&o->refusals, &asker, request, ino, r, NULL, clock_milliseconds());
	if (r < 0)
		reply_error(req, r);
	else
		fuse_reply_ioctl(req, 0, &answer, size);
}

/* ---- the session ---- */

#define WRITE_MAX (1U << 20) /* what a slot has room for (slots.h) */

/*
 * Only what is asked for here. A symlink's target never changes, so the kernel may keep it. Locks
 * are the kernel's alone (nobody else has this mount). No write-back cache: what is answered is
 * safe. No splicing: bytes are copied once, between request and memory. The kernel clears
 * set-user-ID bits and truncates for O_TRUNC by setattr, as it does for filesystems that have no
 * such wishes. It checks access control lists, and leaves the umask to us, because a directory's
 * default list takes its place.
 */
static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	conn->want = conn->capable &
		     (FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
			     FUSE_CAP_IOCTL_DIR | FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_POSIX_ACL |
			     FUSE_CAP_DONT_MASK | FUSE_CAP_ASYNC_READ);
	conn->time_gran = 1;
	if (conn->max_write > WRITE_MAX)
		conn->max_write = WRITE_MAX;
}

const struct fuse_lowlevel_ops ops_table = {
	.init = op_init,
	.lookup = op_lookup,
	.getattr = op_getattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.setattr = op_setattr,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.fsync = op_fsync,
	.release = op_release,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_release,
	.statfs = op_statfs,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.setxattr = op_setxattr,
	.removexattr = op_removexattr,
	.create = op_create,
	.ioctl = op_ioctl,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
};

void ops_init(struct ops *o)
{
	o->unique = 0;
	parked_list_init(&o->parked);
	LIST_INIT(&o->revokes.list);
	o->revokes.count = 0;
	o->revokes.wait_until = 0;
}

void ops_deinit(struct ops *o)
{
	ops_expire(o, UINT64_MAX);
	ops_take_revoked(o, 0, NULL, -EAGAIN);
}

/* What frees content may leave blocks of the content store empty. Not while a request has chosen
 * some and waits for them. */
static void trim_contents(struct ops *o)
{
	struct ns_request rq = {.unique = 0};
	int r;

	if (!ns_has_freed_content(o->ns) || parked_next_for_memory(&o->parked, NULL) ||
		store_is_frozen(o->ns->store))
		return;
	clock_gettime(CLOCK_REALTIME, &rq.now);
	r = ns_trim_contents(o->ns, &rq, false);
	if (r < 0)
		log_warning("empty blocks of the content store could not be given back: %s",
			strerror(-r));
}

void ops_process(struct ops *o, struct fuse_session *se, const struct fuse_buf *buf)
{
	struct fuse_in_header header;

	if (!(buf->flags & FUSE_BUF_IS_FD) && buf->size >= sizeof(header)) {
		memcpy(&header, buf->mem, sizeof(header));
		o->unique = header.unique;
	}
	o->session = se;
	ops_note_serving(o, o->unique, 0);
	fuse_session_process_buf(se, buf);
	ops_note_serving(o, 0, 0);
	o->unique = 0;
	if (o->ns->left)
		grants_check(o->grants, o->ns->left, LINK_CHECK_TAKE | LINK_CHECK_KEEP);
	o->ns->left = 0;
	ops_note_faults(o);
	trim_contents(o);
}
