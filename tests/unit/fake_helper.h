/* SPDX-License-Identifier: MIT */
/*
 * A helper with prepared answers: a thread that serves one client over a real socket.
 * A test changes the answers before it starts the thread, and looks at what the
 * client said when it has ended.
 */
#ifndef GM_TESTS_FAKE_HELPER_H
#define GM_TESTS_FAKE_HELPER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "guestmemfs/guestmemfs.h"
#include "util/packet.h"

enum fake_end { /* where the helper hangs up */
	FAKE_END_NEVER,
	FAKE_END_AT_CONNECT,
	FAKE_END_AFTER_HELLO,
	FAKE_END_AFTER_ATTACH,
	FAKE_END_AFTER_ANSWER,    /* most often before the client has read it */
	FAKE_END_REFUSING,        /* at connect, sending the answer with serial 0 */
	FAKE_END_REFUSING_UNREAD, /* the same, when the hello has come but was not read */
};

struct fake_answer {
	union {
		struct gm_header header;
		struct gm_welcome welcome;
		struct gm_grant grant;
		struct gm_refused refused;
		char bytes[2048];
	};
	size_t size;             /* that is sent */
	uint64_t serial_error;   /* added to the client's serial */
	int fds[PACKET_FDS_MAX]; /* owned */
	size_t nfds;
};

struct fake {
	char directory[64];
	char path[80];
	int listener;
	pthread_t thread;
	enum fake_end end;
	struct fake_answer welcome;
	struct fake_answer answer;
	struct gm_grant_extent table[64]; /* goes into a memfd, see fake_seal_table() */
	/* what the client said */
	struct gm_hello hello;
	struct gm_attach attach;
};

/* Listens, with a good welcome and an empty, otherwise valid grant of access prepared. */
void fake_init(struct fake *f, uint32_t access);
void fake_deinit(struct fake *f);

/* A memfd of that many bytes, opened as access says. */
int fake_region(uint64_t size, uint32_t access);

/* The same memory through another descriptor. */
int fake_reopen(int fd, int flags);

/* Adds a device to the grant; fd is the fake's from then on. */
void fake_add_device(struct fake *f, int fd, uint64_t size, uint64_t align);

/* Adds an extent at the end of the file, which grows to hold it; at most GM_GRANT_INLINE_MAX. */
void fake_add_extent(struct fake *f, uint32_t device, uint64_t device_block, uint64_t blocks);

/* Puts count extents into a memfd with these seals and sends it last. */
void fake_seal_table(struct fake *f, const struct gm_grant_extent *table, size_t count, int seals);

/* Prepares a refusal in place of the grant. */
void fake_refuse(struct fake *f, int error, uint32_t reason);

void fake_start(struct fake *f);
void fake_join(struct fake *f);

/* gm_redeem() with the thread around it. */
int fake_redeem(struct fake *f, struct gm_attachment **ret);
extern const struct gm_ticket fake_ticket;

#define FAKE_BLOCKS 64U /* of the first device of these */

/* fake_init() with two devices and three extents, not in the devices' order. */
void fake_grant_short(struct fake *f);

/*
 * fake_init() with 40 extents of one block, descending on the device; f->table has
 * them and is not yet sent.
 */
void fake_grant_long(struct fake *f);

size_t count_open_fds(void);

#endif
