// SPDX-License-Identifier: MIT
#include "util/packet.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/cleanup.h"

/*
 * Room for one SCM_RIGHTS message; the union gives it the alignment that CMSG_FIRSTHDR() relies on.
 */
union control_buffer {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(PACKET_FDS_MAX * sizeof(int))];
};

int packet_send(int sock, const void *data, size_t size, const int *fds, size_t nfds, bool wait)
{
	/* sendmsg(2) only reads the data, but struct iovec has no const. */
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	union control_buffer control;

	if (nfds > PACKET_FDS_MAX)
		return -EINVAL;
	if (nfds > 0) {
		memset(&control, 0, sizeof(control));
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		assert(c); /* there is room for one */
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	for (;;) {
		if (sendmsg(sock, &message, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT)) >= 0)
			return 0;
		if (errno != EINTR)
			return -errno;
	}
}

/*
 * Collects the descriptors that the kernel has installed, at most room of them (the control buffer
 * had no room for more). True if something else than one set of descriptors came along.
 */
static bool collect_fds(struct msghdr *message, int *fds, size_t *count)
{
	bool odd = false;

	*count = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || *count > 0) {
			odd = true;
			continue;
		}
		*count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(c), *count * sizeof(int));
	}
	return odd;
}

static void close_fds(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		fds[i] = close_fd(fds[i]);
}

ssize_t packet_receive(int sock, void *data, size_t size, int *fds, size_t *nfds, bool wait)
{
	struct iovec iov = {.iov_base = data, .iov_len = size};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	union control_buffer control;
	int received[PACKET_FDS_MAX];
	size_t room = fds ? *nfds : 0, count = 0;
	bool odd = false;
	bool reset = false;
	ssize_t n;

	if (room > PACKET_FDS_MAX)
		room = PACKET_FDS_MAX;
	if (room > 0) {
		/* CMSG_LEN, not CMSG_SPACE: the padding of an odd number would let one more in. */
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_LEN(room * sizeof(int));
	}
	/*
	 * A peer that ends with something of ours unread leaves ECONNRESET, which the kernel tells
	 * once, and before what the peer had sent: its last words are read after it.
	 */
	do {
		n = recvmsg(sock, &message, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
		reset |= n < 0 && errno == ECONNRESET;
	} while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0)
		return -errno;
	if (n == 0 && reset)
		return -ECONNRESET;
	if (room > 0)
		odd = collect_fds(&message, received, &count);
	/* Descriptors for which there is no room the kernel drops itself and says MSG_CTRUNC: in
	 * the message, or among the numbers that the process may have. */
	int r = 0;
	if (odd || ((message.msg_flags & MSG_CTRUNC) && count == room))
		r = -EPROTO;
	else if (message.msg_flags & MSG_CTRUNC)
		r = -EMFILE;
	else if (message.msg_flags & MSG_TRUNC)
		r = -EMSGSIZE;
	else if (n == 0 && count > 0)
		r = -EPROTO;
	if (r < 0) {
		close_fds(received, count);
		return r;
	}
	if (count > 0)
		memcpy(fds, received, count * sizeof(int));
	if (nfds)
		*nfds = count;
	return n;
}

static int address_init(struct sockaddr_un *address, const char *path)
{
	size_t length = strlen(path);

	/* An empty name would make bind(2) choose an abstract one, which has no permissions. */
	if (length == 0)
		return -EINVAL;
	if (length >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(address->sun_path, path, length);
	return 0;
}

/* seconds: for the listener's queue to have room, and for what is sent; 0: as long as it takes. */
static int connect_address(const struct sockaddr_un *address, int type, int seconds)
{
	_cleanup_fd_ int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | type, 0);
	const struct timeval limit = {.tv_sec = seconds};

	if (sock < 0 || setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	while (connect(sock, (const struct sockaddr *)address, sizeof(*address)) < 0)
		if (errno != EINTR)
			return -errno;
	return steal_fd(&sock);
}

int packet_connect(const char *path)
{
	struct sockaddr_un address;
	int r = address_init(&address, path);

	return r < 0 ? r : connect_address(&address, 0, 0);
}

int packet_connect_within(const char *path, int seconds)
{
	struct sockaddr_un address;
	int r = address_init(&address, path);

	return r < 0 ? r : connect_address(&address, 0, seconds);
}

/*
 * Removes what stands at the address if it is a socket on which nobody listens. Two processes that
 * do this at once could remove each other's; the region's lock has let in only one of them.
 */
static int remove_stale(const struct sockaddr_un *address)
{
	struct stat st;

	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	/* Not waiting: a listener whose queue is full is alive. */
	int sock = connect_address(address, SOCK_NONBLOCK, 0);
	if (sock != -ECONNREFUSED) {
		close_fd(sock);
		return -EADDRINUSE;
	}
	if (unlink(address->sun_path) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

int packet_listen(const char *path, unsigned mode)
{
	struct sockaddr_un address;
	int r = address_init(&address, path);

	if (r < 0)
		return r;
	_cleanup_fd_ int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock < 0)
		return -errno;
	r = remove_stale(&address);
	if (r < 0)
		return r;
	/*
	 * bind(2) makes the node with the socket's mode less the umask: never
	 * more than was asked for.
	 */
	if (fchmod(sock, mode) < 0)
		return -errno;
	if (bind(sock, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	if (listen(sock, SOMAXCONN) < 0 || chmod(path, mode) < 0) {
		r = -errno;
		(void)unlink(path);
		return r;
	}
	return steal_fd(&sock);
}

bool packet_peer_is_gone(int sock)
{
	struct pollfd p = {.fd = sock, .events = 0};

	return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

int packet_get_peer(int sock, struct ucred *ret)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	if (size != sizeof(peer))
		return -EPROTO;
	*ret = peer;
	return 0;
}
