// SPDX-License-Identifier: MIT
#include "fuse/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/log.h"

/* The kernel takes no error beyond. */
#define ERRNO_MAX 511

/* One is read while all others wait. */
static_assert(PARKED_MAX + REVOKES_MAX < SLOTS_MAX, "every request that waits has a slot");

static bool is_answered(const struct fuse_in_header *request)
{
	return request->opcode != FUSE_FORGET && request->opcode != FUSE_BATCH_FORGET &&
	       request->opcode != FUSE_INTERRUPT &&
	       request->opcode != FUSE_NOTIFY_REPLY; /* from an enemy: we never ask for it */
}

static bool is_close(const struct fuse_in_header *request)
{
	return request->opcode == FUSE_RELEASE || request->opcode == FUSE_RELEASEDIR;
}

/* Whoever made it goes on meanwhile, and mostly makes another one. */
static bool is_waited_for(const struct fuse_in_header *request)
{
	return is_answered(request) && !is_close(request);
}

/* ---- between libfuse and the kernel ---- */

static ssize_t read_request(int fd, void *buf, size_t size, void *userdata)
{
	(void)userdata;
	return read(fd, buf, size < SLOT_REQUEST_MAX ? size : SLOT_REQUEST_MAX);
}

static size_t gather(uint8_t *to, size_t room, const struct iovec *iov, int count)
{
	size_t length = 0;

	for (int n = 0; n < count; n++) {
		if (iov[n].iov_len > room - length)
			return 0;
		memcpy(to + length, iov[n].iov_base, iov[n].iov_len);
		length += iov[n].iov_len;
	}
	return length;
}

/* Whether it is the one that the kernel has. */
static void compare_init_reply(struct connection *c, const struct iovec *iov, int count)
{
	const struct runtime_header *h = c->table.header;
	uint8_t reply[RUNTIME_TABLE_INIT_MAX];
	size_t length = gather(reply, sizeof(reply), iov, count);

	c->unfit = length != h->init_reply_size || memcmp(reply, h->init_reply, length) != 0;
}

/* For those to come. */
static void keep_init_reply(struct connection *c, const struct fuse_in_header *request,
	const struct iovec *iov, int count)
{
	struct runtime_header *h = c->table.header;
	uint8_t reply[RUNTIME_TABLE_INIT_MAX];
	size_t length = gather(reply, sizeof(reply), iov, count);

	if (length == 0 || request->len > sizeof(h->init_request))
		return; /* then the next worker can't go on with this connection */
	memcpy(h->init_request, request, request->len);
	h->init_request_size = request->len;
	memcpy(h->init_reply, reply, length);
	__atomic_store_n(&h->init_reply_size, (uint32_t)length, __ATOMIC_RELEASE);
}

/* Once the caller may know of it, no other worker may come to another end. */
static void note_refusal(struct connection *c, uint32_t slot, int error)
{
	if (error > 0 && error <= UINT16_MAX)
		__atomic_store_n(
			&c->slots.shared->states[slot].refused, (uint16_t)error, __ATOMIC_RELEASE);
}

/* What counts an open file, and is answered at once. */
static bool is_open(const struct connection *c, uint32_t slot)
{
	uint32_t opcode = slots_request(&c->slots, slot)->opcode;

	return opcode == FUSE_OPEN || opcode == FUSE_OPENDIR || opcode == FUSE_CREATE;
}

static bool is_unwanted(const struct connection *c, uint32_t slot)
{
	return is_open(c, slot) && c->slots.shared->states[slot].unwanted;
}

/*
 * The kernel pins each part of what is written by itself, so one part is cheaper than two. But what
 * a read answers with is not touched here: it may be in memory that can't be reached, and the
 * kernel says so where we would die of it.
 */
static ssize_t send_reply(
	struct connection *c, int fd, const struct iovec *iov, int count, bool ours)
{
	size_t length = ours ? gather(c->reply, sizeof(c->reply), iov, count) : 0;

	return length > 0 ? write(fd, c->reply, length) : writev(fd, iov, count);
}

/*
 * libfuse says ENOMEM by itself to what it has no memory for, and no operation says that to a
 * close. The kernel would take it for the end of the matter, and the file would count as open for
 * ever: so it is carried out here, which takes no memory.
 */
static void close_past_libfuse(struct connection *c, uint32_t slot, struct fuse_out_header *header)
{
	if (header->error != -ENOMEM || !is_close(slots_request(&c->slots, slot)))
		return;
	ops_close(c->ops, slots_request(&c->slots, slot)->nodeid);
	header->error = 0;
}

/*
 * Neither the first request, with which the mount stands and falls, nor one that is carried out
 * already is answered with ENOMEM, unless that was said before. The worker ends, and the next one
 * answers.
 */
static bool is_for_next_worker(const struct connection *c, uint32_t slot, int error)
{
	if (error != -ENOMEM || slot == SLOTS_MAX)
		return error == -ENOMEM && c->replaying_init;
	return slots_request(&c->slots, slot)->opcode == FUSE_INIT ||
	       (c->ops->applied && !c->slots.shared->states[slot].refused);
}

/* Every reply comes through here, and so does what the kernel is told unasked (number 0). */
static ssize_t write_reply(int fd, struct iovec *iov, int count, void *userdata)
{
	struct connection *c = ((struct ops *)userdata)->connection;
	struct fuse_out_header header;
	uint32_t slot = SLOTS_MAX, opcode = FUSE_READ;
	ssize_t n;

	memcpy(&header, iov[0].iov_base, sizeof(header));
	if (header.unique != 0 && !c->replaying_init)
		slot = slots_find(&c->slots, header.unique);
	/* Without memory libfuse says so to every request, also where the kernel waits for no
	 * answer. */
	if (c->mute || (slot != SLOTS_MAX && !is_answered(slots_request(&c->slots, slot))))
		return (ssize_t)header.len;
	if (slot != SLOTS_MAX) {
		opcode = slots_request(&c->slots, slot)->opcode;
		close_past_libfuse(c, slot, &header);
		memcpy(iov[0].iov_base, &header, sizeof(header));
	}
	if (is_for_next_worker(c, slot, header.error)) {
		c->scarce = true;
		return (ssize_t)header.len;
	}
	if (c->replaying_init) {
		compare_init_reply(c, iov, count);
		return (ssize_t)header.len;
	}
	if (opcode == FUSE_INIT)
		keep_init_reply(c, slots_request(&c->slots, slot), iov, count);
	if (slot != SLOTS_MAX)
		note_refusal(c, slot, -header.error);
	n = send_reply(c, fd, iov, count, opcode != FUSE_READ);
	if (slot != SLOTS_MAX) {
		int error = errno;

		if (n < 0 && error == ENOENT && header.error == 0 && is_open(c, slot))
			c->slots.shared->states[slot].unwanted = 1; /* it is to be undone first */
		else
			slots_free(&c->slots, slot);
		errno = error;
	}
	return n;
}

void connection_mute(struct connection *c)
{
	c->mute = true;
}

int connection_fd(const struct connection *c)
{
	return fuse_session_fd(c->session);
}

bool connection_has_begun(const struct connection *c)
{
	return c->table.header->init_reply_size > 0;
}

int connection_open(struct connection *c, int fd, struct ops *ops, struct problem *why)
{
	static const struct fuse_custom_io io = {.writev = write_reply, .read = read_request};
	char *argv[] = {(char *)"guestmemfs-worker", NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	int r;

	c->ops = ops;
	ops->connection = c;
	ops->serving = &c->table.header->slots.serving;
	slots_init(&c->slots, &c->table.header->slots, c->table.slots);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
		r = problem_errno(why, errno, "preparing the mount's connection");
		(void)close_fd(fd);
		return r;
	}
	c->session = fuse_session_new(&args, &ops_table, sizeof(ops_table), ops);
	fuse_opt_free_args(&args);
	if (c->session && fuse_session_custom_io(c->session, &io, fd) == 0)
		return 0;
	(void)close_fd(fd);
	return problem(why, EIO, "libfuse does not take the mount's connection");
}

void connection_close(struct connection *c)
{
	if (c->session)
		fuse_session_destroy(c->session);
	c->session = NULL;
	runtime_table_unmap(&c->table);
}

/* ---- one request ---- */

static void process(struct connection *c, void *request, size_t length)
{
	const struct fuse_buf buf = {.mem = request, .size = length};

	ops_process(c->ops, c->session, &buf);
}

/* libfuse remembers it too, for as long as this worker lives. */
static void note_interrupt(struct connection *c, const struct fuse_in_header *request)
{
	struct fuse_interrupt_in in;
	uint32_t slot;

	memcpy(&in, request + 1, sizeof(in));
	slot = slots_find(&c->slots, in.unique);
	if (slot != SLOTS_MAX)
		c->slots.shared->states[slot].interrupted = 1;
}

static void serve_slot(struct connection *c, uint32_t slot)
{
	struct fuse_in_header *request = slots_request(&c->slots, slot);
	bool answered = is_answered(request);

	if (request->opcode == FUSE_INTERRUPT)
		note_interrupt(c, request);
	process(c, request, request->len);
	if (!answered)
		slots_free(&c->slots, slot);
	else if (request->len == 0 || c->scarce)
		return;
	else if (is_unwanted(c, slot))
		slots_free(&c->slots, slot);
	else
		slots_put_aside(&c->slots, slot);
}

int connection_serve(struct connection *c)
{
	uint32_t slot = slots_next(&c->slots);
	struct fuse_buf buf;
	bool waited_for;
	int n;

	if (slot == SLOTS_MAX)
		return -EAGAIN; /* can't be: see above */
	buf = (struct fuse_buf){.mem = slots_request(&c->slots, slot)};
	n = fuse_session_receive_buf(c->session, &buf);
	if (n <= 0) { /* if it broke off in the middle, the kernel has answered with an error */
		((struct fuse_in_header *)buf.mem)->len = 0;
		return n;
	}
	slots_take(&c->slots, slot);
	waited_for = is_waited_for(buf.mem);
	serve_slot(c, slot);
	if (c->scarce)
		return -ENOMEM;
	return waited_for ? CONNECTION_WAITED_FOR : CONNECTION_NOT_WAITED_FOR;
}

/* ---- what a predecessor has left ---- */

static int replay_init(struct connection *c, struct problem *why)
{
	struct runtime_header *h = c->table.header;
	_Alignas(8) uint8_t request[RUNTIME_TABLE_INIT_MAX + 4096] = {0};

	if (!runtime_table_has_init(&c->table))
		return problem(why, EPROTONOSUPPORT,
			"the first request of the connection to the kernel is not known");
	memcpy(request, h->init_request, h->init_request_size);
	c->replaying_init = true;
	process(c, request, h->init_request_size);
	c->replaying_init = false;
	if (c->unfit && !c->scarce)
		return problem(why, EPROTONOSUPPORT,
			"this version would have made another connection to the kernel than the "
			"one that is there");
	return 0;
}

/* The reply is all that the caller gets; what the request asks for is not done. */
static void refuse(struct connection *c, uint32_t slot, int error)
{
	struct fuse_in_header *request = slots_request(&c->slots, slot);
	struct fuse_out_header header = {
		.len = sizeof(header), .error = -error, .unique = request->unique};
	struct iovec iov = {.iov_base = &header, .iov_len = sizeof(header)};

	if (is_answered(request))
		(void)write_reply(connection_fd(c), &iov, 1, c->ops);
	else
		slots_free(&c->slots, slot);
}

static void give_up(struct connection *c, uint32_t slot)
{
	const struct fuse_in_header *request = slots_request(&c->slots, slot);

	log_error("%u workers have ended while they served request %" PRIu64
		  " (operation %u, inode %" PRIu64 ", of process %u): it is given up",
		c->slots.shared->states[slot].deaths, (uint64_t)request->unique, request->opcode,
		(uint64_t)request->nodeid, request->pid);
	refuse(c, slot, EIO);
}

/* It was told of to the predecessor. */
static void interrupt_again(struct connection *c, uint64_t unique)
{
	struct {
		struct fuse_in_header header;
		struct fuse_interrupt_in in;
	} m = {
		.header = {.len = sizeof(m), .opcode = FUSE_INTERRUPT, .unique = unique | 1},
		.in = {.unique = unique},
	};

	process(c, &m, sizeof(m));
}

static void serve_again(struct connection *c, uint32_t slot, uint64_t applied)
{
	struct fuse_in_header *request = slots_request(&c->slots, slot);
	const struct slot_state *state = &c->slots.shared->states[slot];
	uint64_t unique = request->unique;

	c->ops->applied = unique == applied;
	c->ops->unwanted = is_unwanted(c, slot);
	if (state->refused > 0 && state->refused <= ERRNO_MAX)
		refuse(c, slot, state->refused);
	else if (!c->ops->applied && state->deaths >= SLOT_DEATHS_MAX)
		give_up(c, slot);
	else
		serve_slot(c, slot);
	c->ops->applied = c->ops->unwanted = false;
	if (state->interrupted && slots_find(&c->slots, unique) == slot)
		interrupt_again(c, unique);
}

/* What another connection's request has changed, with the same number, is none of ours. */
static uint64_t find_applied(const struct connection *c, const struct store_result *last)
{
	uint64_t first = c->table.header->first_mount;

	return first != 0 && last->mount_number >= first ? last->unique : 0;
}

/* Nobody knows whether the reply that was kept has been sent. */
static bool is_answering_init(const struct connection *c, const uint32_t *list, uint32_t count)
{
	for (uint32_t n = 0; n < count; n++)
		if (slots_request(&c->slots, list[n])->opcode == FUSE_INIT)
			return true;
	return false;
}

int connection_resume(struct connection *c, const struct store_result *last, unsigned *answered,
	struct problem *why)
{
	uint64_t applied = find_applied(c, last);
	uint32_t list[SLOTS_MAX];
	uint32_t count = slots_list(&c->slots, applied, list);
	int r = 0;

	if (is_answering_init(c, list, count))
		c->table.header->init_reply_size = 0;
	else if (connection_has_begun(c))
		r = replay_init(c, why);
	if (r < 0)
		return r;
	c->ops->again = true;
	for (uint32_t n = 0; n < count && !c->scarce; n++)
		serve_again(c, list[n], applied);
	c->ops->again = false;
	*answered = count;
	return c->scarce ? problem_errno(why, ENOMEM, "going on with the mount") : 0;
}
