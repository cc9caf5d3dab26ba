/* SPDX-License-Identifier: MIT */
/*
 * Packets over SOCK_SEQPACKET sockets: whole messages, with or without descriptors. An empty packet
 * can't be told from the end of the connection, so nobody sends one.
 */
#ifndef GM_UTIL_PACKET_H
#define GM_UTIL_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#define PACKET_FDS_MAX 64

/*
 * Sends one packet, never raising SIGPIPE, never waiting (MSG_DONTWAIT) unless wait is true. nfds
 * may be 0. The fds stay the caller's. 0 or negative errno (-EAGAIN: the queue is full; -EPIPE,
 * -ECONNRESET: the peer is gone).
 */
int packet_send(int sock, const void *data, size_t size, const int *fds, size_t nfds, bool wait);

/*
 * Receives one packet into data (room for size bytes). Returns its length (0: end of file), or a
 * negative errno: -EAGAIN nothing there (only if !wait); -ECONNRESET end of file, and the peer has
 * not read all that it was sent; -EMSGSIZE longer than size; -EPROTO it brought descriptors, or
 * more than expected; -EMFILE those expected, for which this process has no numbers left. *nfds is
 * the room in fds on entry and the number received on return; with fds NULL none is accepted (and
 * the kernel is given no room for any, so that none is ever installed). On failure no descriptor is
 * kept.
 */
ssize_t packet_receive(int sock, void *data, size_t size, int *fds, size_t *nfds, bool wait);

/*
 * A listening SOCK_SEQPACKET socket at path. A stale socket (nobody listens) is replaced; anything
 * else there is -EADDRINUSE (somebody listens) or -EEXIST (not a socket). mode is the permission of
 * the node, whatever the umask. The socket is non-blocking: its users wait in an event loop.
 * Returns it or a negative errno.
 */
int packet_listen(const char *path, unsigned mode);

/* Connects to path (any length that sun_path takes; longer ones -ENAMETOOLONG). Returns the socket
 * or negative errno. */
int packet_connect(const char *path);

/* The same, but -EAGAIN when the listener has taken nobody off its full queue for so long. What is
 * sent over the socket waits no longer either. */
int packet_connect_within(const char *path, int seconds);

/* True if the other end is closed, whatever has come from there before. */
bool packet_peer_is_gone(int sock);

/* Who is at the other end, as the kernel noted when the connection was made (SO_PEERCRED, unix(7)).
 * 0 or negative errno. */
int packet_get_peer(int sock, struct ucred *ret);

#endif
