/* SPDX-License-Identifier: MIT */
/*
 * The real helper, helper_run() from its start to its end, in the target's own thread, and all that
 * it meets: supervisor, worker, clients, /proc, and devices that are numbers. It waits for events
 * in epoll_wait(2), which stands in the target: there the next step of the input is taken when
 * nothing has happened. Its background threads' jobs are done when the input says so. Nothing of
 * the machine's is touched but one directory.
 *
 * What must hold, whatever worker and clients do: no block is reached by the clients of two inodes,
 * none that a client reaches is zeroed, or its inode said to be free, and who asks is answered or
 * sent away.
 */
#ifndef GM_TESTS_FUZZ_SCENE_H
#define GM_TESTS_FUZZ_SCENE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bytes.h"
#include "guestmemfs/protocol.h"
#include "helper/helper.h"
#include "helper/work.h"
#include "region/procscan.h"

#define SCENE_REGIONS    2U
#define SCENE_BLOCKS     64U /* of each */
#define SCENE_FIRST_DATA 4U
#define SCENE_DATA       58U
#define SCENE_PERSONS    6U
#define SCENE_DEVICES    64U
#define SCENE_SOFT_START (4ULL << 30)
#define SCENE_PID        0x10000000 /* no process has such a number */

/* A process that is none: what it reaches, and whether it lives. */
struct person {
	bool lives;
	uid_t uid;
	int life[2];                                  /* a pipe whose end is the process's */
	bool has_open[SCENE_REGIONS + SCENE_DEVICES]; /* a region; behind them, a device */
	struct {
		uint64_t ino; /* 0: it does not reach it */
		bool mapped;
	} blocks[SCENE_REGIONS][SCENE_BLOCKS];
};

struct scene {
	bool soft;
	bool hands_on; /* --reuse: memory goes on to another file with who reaches it */
	struct person persons[SCENE_PERSONS];
	struct bytes input;
	bool ending;  /* the input is at its end: what is asked is answered */
	bool strict;  /* the worker keeps to the protocol */
	uint64_t now; /* ms */
	const char *directory;
	char socket[96];
	int memory[SCENE_REGIONS]; /* of the regions */
};

extern struct scene scene;

/* One input: its first byte chooses the regions, --reuse and what a helper before has left; step()
 * takes what it wants of the others, until there are none. strict: the worker keeps to the
 * protocol. */
typedef void scene_step_fn(struct bytes *b);
void scene_run_input(const uint8_t *data, size_t size, scene_step_fn *step, bool strict);

/* What a step may be whatever the input is for: a job is done, time goes by, or the kernel's
 * devices are other than they were. */
void scene_step(uint8_t what, struct bytes *b);

_Noreturn void scene_die(const char *what, const char *why);

/* Time goes by. */
void scene_pass(uint64_t milliseconds);

/* Does the next job of a thread, if there is one; fails: not well. */
bool scene_work(unsigned thread, bool fails);

/* ---- persons (scene_persons.c) ---- */

void persons_init(void);
void persons_deinit(void);
void person_end(struct person *p);
pid_t person_pid(const struct person *p);

/* Who has the number, and lives; NULL. */
struct person *person_of(pid_t pid);

/* He has been given these blocks of the inode. */
void person_reaches(struct person *p, uint64_t ino, unsigned region, uint64_t block);

/* He maps what he has, closes what he has open, gives up his mappings. */
void person_map(struct person *p);
void person_close(struct person *p);
void person_unmap(struct person *p);

/* Another one has all that he has from now on, too. */
void person_pass(const struct person *p, struct person *to);

/* Does anybody who lives reach it? */
bool persons_reach_block(unsigned region, uint64_t block);
bool persons_reach_inode(uint64_t ino);
bool person_has_device(const struct person *p, unsigned id);

/* What a look into /proc finds. */
void persons_scan(const struct scan_options *o, struct scan_result *ret);

/* ---- clients (scene_clients.c) ---- */

void scene_clients_begin(void);
void scene_clients_end(void);

/* One that keeps to the protocol, and one that does not. */
void clients_step(struct bytes *b);
void clients_lie(struct bytes *b);

/* Takes what the helper has sent, but for grants that nobody has read yet; all: those as well. */
void clients_read(bool all);

/* How many ask for a grant, with no answer and a connection that is there. */
unsigned clients_waiting(void);

/* The last one of this input, in words; NULL: there was none. */
const char *clients_last_refusal(void);

/* Whose connection the helper accepts now. */
struct person *clients_next_peer(void);

/* A grant for the inode lies in a living process's connection. */
bool clients_have_unread(uint64_t ino);

/* How many descriptors of the device lie in connections. */
unsigned clients_unread_of_device(unsigned id);

/* ---- devices (scene_devices.c) ---- */

#define SCENE_LEFT_WINDOW 1U /* that memory was zeroed through */
#define SCENE_LEFT_DEVICE 2U /* of a file, over two blocks */
#define SCENE_LEFT_SPARE  4U /* it is */
#define SCENE_LEFT_STORES 4U /* alone: both were the worker's own, as no helper leaves it */

/* left: what a helper before has left. */
void scene_devices_begin(unsigned left);
void scene_devices_end(void);

/* Somebody takes one away, or what is asked next of the kernel about any of them fails. */
void devices_step(struct bytes *b);

/* Was it of one that somebody has taken away? Nobody reaches anything by it any more. */
bool scene_devices_was_taken(int fd);

/* The one that the descriptor is of, and the block at its offset. False: it is no device. */
bool scene_devices_find(int fd, unsigned *id);
bool scene_devices_block(unsigned id, uint64_t offset, unsigned *region, uint64_t *block);

/* ---- supervisor and worker (scene_worker*.c) ---- */

void worker_begin(void);
void worker_end(void);
int worker_supervisor_end(void); /* for the helper */
void worker_close_supervisor(void);

void worker_step(struct bytes *b); /* what a worker may say */
void worker_lie(struct bytes *b);
void worker_read(void);
bool worker_answer(void);
bool worker_says_data(unsigned region, uint64_t block); /* what lies before, it can write itself */
bool worker_lost_link(void); /* the helper has ended one that the worker still had */
unsigned worker_waits(void); /* questions to the helper without an answer */

#endif
