/* SPDX-License-Identifier: MIT */
/*
 * A real helper in a process of its own, between a supervisor that does what a test says and a
 * worker that the test plays itself. The test process keeps the region closed: the helper counts
 * whoever has it open, and only its supervisor and worker may.
 */
#ifndef GM_TESTS_HELPER_RIG_H
#define GM_TESTS_HELPER_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "guestmemfs/protocol.h"
#include "proto/link.h"
#include "proto/reuse.h"

#define RIG_BLOCKS     2100U /* of the region; nothing of it is allocated until it is touched */
#define RIG_FIRST_DATA 4U
#define RIG_DATA       2090U

struct rig {
	char directory[64];
	char region[96];
	char socket[96];
	char log[96]; /* of the helper, unless GM_VERBOSE is set */
	enum gm_region_kind kind;
	enum reuse_policy reuse;
	pid_t supervisor;
	pid_t helper;
	int control;    /* the supervisor's end of its link to the helper */
	int worker;     /* the worker's end of its link to the helper; -1: none */
	uint64_t epoch; /* of the last grant */
	uid_t owner;    /* of the files that are granted */
};

/* Makes the region, too. */
void rig_init(struct rig *r);
void rig_deinit(struct rig *r);

/* Starts the helper and waits until it serves; ends it by closing its link and returns its exit
 * status. */
void rig_start(struct rig *r);
int rig_stop(struct rig *r);

/* Takes away what the helpers so far have noted of what they granted. */
void rig_forget_notes(const struct rig *r);

/* The helper itself, in this process; rig_start() calls it where it belongs. */
_Noreturn void rig_run_helper(const struct rig *r, int link);

/* Gives the helper a new link (r->worker); rig_meet() also goes through CONFIG and READY, where the
 * helper is told what is held, and rig_bring_up() through RESUMED. */
void rig_connect(struct rig *r);
void rig_meet(struct rig *r);
void rig_bring_up(struct rig *r);

/* A new helper in place of the one before, which must end in good order; it has been met. */
void rig_restart(struct rig *r);
void rig_send_config(const struct rig *r);
void rig_expect_ready(const struct rig *r);

/* How many lines of the helper's log contain all of this? With GM_VERBOSE: always 1. */
unsigned rig_count_log(const struct rig *r, const char *text);

/*
 * So many lines with the first text were written, or left out and owned up to in lines with the
 * second: waits until it is so, a little longer than LIMITER_PERIOD.
 */
void rig_expect_all_lines(
	const struct rig *r, const char *text, const char *left_out, unsigned wanted);

/* The next packet there, as packet_receive() has it. Fails after some seconds. */
ssize_t rig_receive(int sock, void *data, size_t size, int *fds, size_t *nfds);

/* ---- as the worker ---- */

/* Fills the header and sends. */
void rig_send(const struct rig *r, void *message, size_t size, uint16_t opcode, uint64_t id);

/* Sends a message of a header alone. */
void rig_send_plain(const struct rig *r, uint16_t opcode, uint64_t id);

/* The next message of the helper, which must have this opcode and size. Fails after some seconds.
 */
void rig_expect(const struct rig *r, void *message, size_t size, uint16_t opcode);
void rig_expect_nothing(const struct rig *r, int milliseconds);
void rig_expect_link_closed(const struct rig *r);

struct rig_extent {
	uint64_t file_block;
	uint64_t block;
	uint32_t count;
};

void rig_send_extents(const struct rig *r, uint64_t id, uint64_t ino,
	const struct rig_extent *extents, size_t count);
void rig_send_held(const struct rig *r, uint64_t ino, uint64_t epoch,
	const struct rig_extent *extents, size_t count);

/* The file is held under the last epoch, or nothing is (count 0), and that was all. */
void rig_resume(const struct rig *r, uint64_t ino, const struct rig_extent *held, size_t count);

/* A size that a file with these extents may have; its last block is not full. */
uint64_t rig_size(const struct rig_extent *extents, size_t count);

/* Takes the next REDEEM and answers it with a grant of the next epoch. Returns what was asked. */
struct link_redeem rig_grant(struct rig *r, uint64_t ino, uint32_t access,
	const struct rig_extent *extents, size_t count);

/* Orders to scrub and returns the error of DONE. */
int rig_scrub(const struct rig *r, uint64_t block, uint32_t count);

/* Asks, and returns the answer, FREE or BUSY; flags: LINK_CHECK_*. */
struct link_check rig_check(const struct rig *r, uint64_t ino);
struct link_check rig_check_flags(const struct rig *r, uint64_t ino, unsigned flags);

/* Expects an unasked FREE of the inode with this epoch. */
void rig_expect_free(const struct rig *r, uint64_t ino, uint64_t epoch);

/* Fills a block of the region with a byte; is it full of that byte? */
void rig_fill(const struct rig *r, uint64_t block, int byte);
bool rig_is_filled(const struct rig *r, uint64_t block, int byte);

/* ---- as a client ---- */

/* A connection that has been greeted. */
int rig_client(const struct rig *r);
void rig_send_hello(int sock, uint64_t serial);
void rig_send_attach(int sock, uint64_t serial);
void rig_expect_welcome(int sock, uint64_t serial);

/* What the helper answers; the descriptors are the caller's. */
size_t rig_expect_grant(int sock, uint64_t serial, struct gm_grant *grant, int *fds, size_t room);
void rig_expect_refused(int sock, uint64_t serial, int error, enum gm_reason reason);
void rig_expect_closed(int sock);

/* ---- other processes ---- */

/*
 * A process that connects, attaches and, once it has its grant, maps the first extent of it (and
 * closes the descriptor, unless keep_fd), says so and lives on until it is ended.
 */
struct rig_child {
	pid_t pid;
	int pipe; /* reads a byte when it has mapped, or is at what it was made for */
	int sock; /* a socket to it: what it is told, it does */
};

/* What a child can be told over its socket. */
enum rig_command {
	RIG_FORK = 'f',  /* have a child of its own that keeps the mapping; it answers with that
			    one's pid */
	RIG_UNMAP = 'u', /* give up the mapping; it answers with a byte */
	RIG_CLOSE = 'c', /* close the descriptor; it answers with a byte */
	RIG_PASS = 'p',  /* send the region's descriptor back over the socket */
};

/* It has asked for a grant when this returns; rig_child_wait() returns once it has mapped it. */
struct rig_child rig_child_start(const struct rig *r, bool keep_fd);
void rig_child_wait(const struct rig_child *c);
void rig_child_end(struct rig_child *c);

/* The same as user and group 65534, without other groups; false if we are not root. */
bool rig_become_nobody(void);

#endif
