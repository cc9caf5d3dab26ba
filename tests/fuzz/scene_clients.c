// SPDX-License-Identifier: MIT
/* Connections of persons to the helper's socket: what they say, and what they are given. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scene.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

#define CLIENTS   12U
#define PEERS     64U
#define GRANT_FDS (GM_GRANT_DEVICES_MAX + 1)

struct scene_client {
	int fd; /* -1: the place is free */
	struct person *person;
	unsigned attaches;                      /* without an answer */
	bool unread;                            /* a grant lies in the socket, of the memory of: */
	uint64_t ino;                           /* 0: of none, as that of an empty file */
	unsigned devices[GM_GRANT_DEVICES_MAX]; /* of soft regions; 0 behind the last */
};

static struct scene_client clients[CLIENTS];
static struct person *peers[PEERS]; /* of connections that the helper has not accepted yet */
static unsigned first_peer, last_peer;
static const char *last_refusal;

void scene_clients_begin(void)
{
	for (unsigned n = 0; n < CLIENTS; n++)
		clients[n] = (struct scene_client){.fd = -1};
	first_peer = last_peer = 0;
	last_refusal = NULL;
}

const char *clients_last_refusal(void)
{
	return last_refusal;
}

static void drop(struct scene_client *c)
{
	c->fd = close_fd(c->fd);
	*c = (struct scene_client){.fd = -1};
}

void scene_clients_end(void)
{
	for (unsigned n = 0; n < CLIENTS; n++)
		drop(&clients[n]);
}

struct person *clients_next_peer(void)
{
	return first_peer == last_peer ? NULL : peers[first_peer++ % PEERS];
}

unsigned clients_waiting(void)
{
	unsigned n = 0;

	for (unsigned k = 0; k < CLIENTS; k++)
		n += clients[k].attaches;
	return n;
}

bool clients_have_unread(uint64_t ino)
{
	for (unsigned n = 0; n < CLIENTS; n++)
		if (clients[n].unread && clients[n].person->lives && clients[n].ino == ino)
			return true;
	return false;
}

/* ---- what is given ---- */

static unsigned find_region(int fd)
{
	struct stat is, memory;

	(void)fstat(fd, &is);
	for (unsigned r = 0; r < SCENE_REGIONS; r++)
		if (fstat(scene.memory[r], &memory) == 0 && memory.st_ino == is.st_ino)
			return r;
	scene_die("a descriptor of no region", "");
}

/* Where an offset of the nth descriptor leads. */
static void find_block(int fd, uint64_t offset, unsigned *region, uint64_t *block)
{
	unsigned id;

	if (!scene.soft) {
		*region = find_region(fd);
		*block = offset / GM_BLOCK_SIZE;
	} else if (!scene_devices_find(fd, &id) ||
		   !scene_devices_block(id, offset, region, block)) {
		scene_die("a grant of what is in no device", "");
	}
	if (!worker_says_data(*region, *block))
		scene_die("a grant of what is no data block", "");
}

static void take_extent(struct person *p, uint64_t ino, const struct gm_grant_extent *e,
	const int *fds, size_t count)
{
	uint64_t length = get_le64(e->length), offset = get_le64(e->device_offset);

	if (get_le32(e->device) >= count || length == 0 || length % GM_BLOCK_SIZE != 0 ||
		offset % GM_BLOCK_SIZE != 0 || get_le64(e->file_offset) % GM_BLOCK_SIZE != 0)
		scene_die("an extent that is none", "");
	if (scene.soft && scene_devices_was_taken(fds[get_le32(e->device)]))
		return;
	for (uint64_t at = 0; at < length; at += GM_BLOCK_SIZE) {
		unsigned region;
		uint64_t block;

		find_block(fds[get_le32(e->device)], offset + at, &region, &block);
		person_reaches(p, ino, region, block);
	}
}

static void note_open(struct person *p, int fd)
{
	unsigned id;

	if (!scene.soft)
		p->has_open[find_region(fd)] = true;
	else if (scene_devices_find(fd, &id))
		p->has_open[SCENE_REGIONS + id] = true;
}

static void take_grant(struct scene_client *c, const struct gm_grant *m, int *fds, size_t count)
{
	uint64_t extents = get_le64(m->extent_count), devices = get_le32(m->device_count);
	uint64_t inline_count = sizeof(m->extents) / sizeof(m->extents[0]);

	if (devices > GM_GRANT_DEVICES_MAX || count != devices + (extents > inline_count))
		scene_die("a grant with other descriptors than it says", "");
	for (unsigned n = 0; n < devices; n++)
		note_open(c->person, fds[n]);
	for (uint64_t n = 0; n < extents; n++) {
		struct gm_grant_extent e;

		if (extents <= inline_count)
			e = m->extents[n];
		else if (pread(fds[devices], &e, sizeof(e), (off_t)(n * sizeof(e))) != sizeof(e))
			scene_die("extents that can't be read", "");
		take_extent(c->person, get_le64(m->ino), &e, fds, devices);
	}
}

static void take_answer(struct scene_client *c, const struct gm_header *h, int *fds, size_t count)
{
	bool attach = get_le16(h->opcode) == GM_OP_GRANT;

	if (attach && c->person->lives)
		take_grant(c, (const struct gm_grant *)h, fds, count);
	else if (!attach && count > 0)
		scene_die("descriptors without a grant", "");
	if (get_le16(h->opcode) == GM_OP_REFUSED) {
		attach = get_le64(h->serial) >= 1000;
		if (!scene.ending)
			last_refusal =
				strerror((int)get_le32(((const struct gm_refused *)h)->error));
	} else if (!attach && get_le16(h->opcode) != GM_OP_WELCOME)
		scene_die("an answer that is none", "");
	if (attach && c->attaches == 0)
		scene_die("an answer that nobody asked for", "");
	c->attaches -= attach;
}

/* Which devices its descriptors are of, as far as they are devices; they are closed again. */
static void note_devices(struct scene_client *c, const struct msghdr *m)
{
	struct cmsghdr *control = CMSG_FIRSTHDR(m);
	size_t count = control ? (control->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0, found = 0;

	memset(c->devices, 0, sizeof(c->devices));
	for (size_t n = 0; n < count; n++) {
		int fd;

		memcpy(&fd, CMSG_DATA(control) + n * sizeof(fd), sizeof(fd));
		if (scene.soft && found < GM_GRANT_DEVICES_MAX)
			found += scene_devices_find(fd, &c->devices[found]);
		(void)close_fd(fd);
	}
	if (found < GM_GRANT_DEVICES_MAX)
		c->devices[found] = 0;
}

/* What comes next, which stays there. */
static ssize_t peek(struct scene_client *c, struct gm_grant *m)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(GRANT_FDS * sizeof(int))];
	struct iovec part = {.iov_base = m, .iov_len = sizeof(*m)};
	struct msghdr message = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(c->fd, &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return -errno;
	note_devices(c, &message);
	return n;
}

unsigned clients_unread_of_device(unsigned id)
{
	unsigned count = 0;

	for (unsigned n = 0; n < CLIENTS; n++)
		for (unsigned k = 0;
			clients[n].unread && k < GM_GRANT_DEVICES_MAX && clients[n].devices[k] != 0;
			k++)
			count += clients[n].devices[k] == id;
	return count;
}

static void read_client(struct scene_client *c, bool all)
{
	int fds[GRANT_FDS];
	struct gm_grant m = {.ino = put_le64(0)};

	for (;;) {
		ssize_t n = c->unread && !all ? -EAGAIN : peek(c, &m);
		size_t count = GRANT_FDS;

		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			drop(c);
			return;
		}
		c->unread = get_le16(m.header.opcode) == GM_OP_GRANT;
		c->ino = get_le32(m.device_count) || get_le64(m.extent_count) ? get_le64(m.ino) : 0;
		if (c->unread && !all)
			return;
		n = packet_receive(c->fd, &m, sizeof(m), fds, &count, false);
		if (n < (ssize_t)sizeof(m.header) || get_le32(m.header.size) != n)
			scene_die("an answer whose header does not fit it", "");
		take_answer(c, &m.header, fds, count);
		for (size_t k = 0; k < count; k++)
			(void)close_fd(fds[k]);
		c->unread = false;
	}
}

void clients_read(bool all)
{
	struct pollfd p[CLIENTS];

	for (unsigned n = 0; n < CLIENTS; n++)
		p[n] = (struct pollfd){
			.fd = clients[n].unread && !all ? -1 : clients[n].fd, .events = POLLIN};
	if (poll(p, CLIENTS, 0) <= 0)
		return;
	for (unsigned n = 0; n < CLIENTS; n++)
		if (p[n].revents)
			read_client(&clients[n], all);
}

/* ---- what is said ---- */

static void send_to(struct scene_client *c, const void *m, size_t size, int fd)
{
	(void)packet_send(c->fd, m, size, &fd, fd >= 0, false);
}

static struct gm_header header(size_t size, unsigned opcode, uint64_t serial)
{
	return (struct gm_header){.size = put_le32((uint32_t)size),
		.opcode = put_le16((uint16_t)opcode),
		.serial = put_le64(serial)};
}

static struct gm_hello hello(void)
{
	return (struct gm_hello){.header = header(sizeof(struct gm_hello), GM_OP_HELLO, 1),
		.version_min = put_le32(1),
		.version_max = put_le32(1)};
}

static void say_hello(struct scene_client *c)
{
	const struct gm_hello m = hello();

	send_to(c, &m, sizeof(m), -1);
}

static void say_attach(struct scene_client *c)
{
	struct gm_attach m = {.header = header(sizeof(m), GM_OP_ATTACH, 1000)};

	c->attaches++;
	send_to(c, &m, sizeof(m), -1);
}

/* A message as it should be, but for one byte; not of the serial, by which answers are told apart.
 */
static void say_nearly(struct scene_client *c, bool attach, uint8_t at, uint8_t value)
{
	struct gm_attach a = {.header = header(sizeof(a), GM_OP_ATTACH, 1000)};
	struct gm_hello h = hello();
	size_t size = attach ? sizeof(a) : sizeof(h);
	uint8_t *m = attach ? (uint8_t *)&a : (uint8_t *)&h;

	if (at >= size ||
		(at >= offsetof(struct gm_header, serial) && at < sizeof(struct gm_header)))
		return;
	m[at] = value;
	c->attaches += attach;
	send_to(c, m, size, -1);
}

static struct scene_client *come(struct bytes *b)
{
	struct person *p = &scene.persons[bytes_take(b) % SCENE_PERSONS];

	for (unsigned n = 0; n < CLIENTS; n++) {
		struct scene_client *c = &clients[n];

		if (c->fd >= 0)
			continue;
		if (!p->lives || last_peer - first_peer == PEERS)
			return NULL;
		c->fd = packet_connect(scene.socket);
		if (c->fd < 0)
			return NULL;
		(void)fcntl(c->fd, F_SETFL, O_NONBLOCK);
		c->person = p;
		peers[last_peer++ % PEERS] = p;
		return c;
	}
	return NULL;
}

static struct scene_client *choose(struct bytes *b)
{
	struct scene_client *c = &clients[bytes_take(b) % CLIENTS];

	return c->fd >= 0 ? c : NULL;
}

/* Of what is cut into devices the kernel's counts show who has them. Elsewhere whoever holds
 * anything is trusted with what others pass on to him (holders.h). */
static void pass(const struct person *p, struct person *to)
{
	if (scene.soft && p->lives && to->lives)
		person_pass(p, to);
}

void clients_step(struct bytes *b)
{
	uint8_t what = bytes_take(b);
	struct person *p = &scene.persons[what / 8 % SCENE_PERSONS];
	struct scene_client *c;

	switch (what % 8) {
	case 0:
	case 1:
		c = come(b);
		if (!c)
			break;
		say_hello(c);
		say_attach(c);
		break;
	case 2: /* the next one, on the same connection */
		c = choose(b);
		if (c && c->attaches == 0 && !c->unread)
			say_attach(c);
		break;
	case 3:
		c = choose(b);
		if (c)
			read_client(c, true);
		break;
	case 4:
		person_map(p);
		break;
	case 5:
		(what & 128 ? person_unmap : person_close)(p);
		break;
	case 6:
		c = choose(b);
		if (c)
			drop(c);
		break;
	default:
		if (what < 192) {
			pass(p, &scene.persons[(what / 8U + what / 48U + 1) % SCENE_PERSONS]);
			break;
		}
		person_end(p);
		for (unsigned n = 0; n < CLIENTS && what & 8; n++) /* else another has them */
			if (clients[n].person == p)
				drop(&clients[n]);
	}
}

/* Any message, with a header that is right or not. */
void clients_lie(struct bytes *b)
{
	static const uint8_t sizes[] = {16, 32, 40, 0, 24};
	uint8_t how = bytes_take(b), bytes[256];
	struct scene_client *c = how & 1 ? come(b) : choose(b);
	size_t size = how & 2 ? sizes[how / 16 % 5] : bytes_take(b);
	unsigned opcode = how & 4 ? bytes_take_16(b) : 1U + how / 16 % 4;

	if (c && size == 0 && (how & 10) == 10) {
		uint8_t at = bytes_take(b), value = bytes_take(b);

		if (at & 64) /* as it is */
			say_hello(c);
		say_nearly(c, at & 128, at % 64, value);
		return;
	}
	if (!c || size == 0) /* or it says nothing */
		return;
	bytes_copy(b, bytes, size);
	struct gm_header h = header(size, opcode, 1);
	if (how & 8)
		bytes_copy(b, &h, 8); /* all but the serial */
	if (get_le16(h.opcode) == GM_OP_ATTACH) {
		h.serial = put_le64(1000);
		c->attaches++;
	}
	memcpy(bytes, &h, size < sizeof(h) ? size : sizeof(h));
	send_to(c, bytes, size, how >= 240 ? c->fd : -1);
}
