/* SPDX-License-Identifier: MIT */
/*
 * The private links: worker <-> helper, supervisor <-> worker, supervisor <-> helper. SOCK_SEQPACKET socketpairs that
 * the supervisor makes; one message a packet, exact sizes, integers little-endian, reserved fields zero. Of the
 * supervisor's ends the keeper has copies (proto/keeper.h), by which it sends LINK_SUPERVISOR.
 * docs/protocol.md describes every message. Both sides check all that they are told.
 */
#ifndef GM_PROTO_LINK_H
#define GM_PROTO_LINK_H

#include <stddef.h>

#include "guestmemfs/format.h"
#include "guestmemfs/protocol.h"
#include "util/le.h"

#define LINK_VERSION 1U

struct link_header {
	gm_le32 size; /* of the whole message */
	gm_le16 opcode;
	gm_le16 reserved;
	gm_le64 id; /* ties an answer to its question */
};
static_assert(sizeof(struct link_header) == 16, "link");

static inline struct link_header link_header_make(size_t size, unsigned opcode, uint64_t id)
{
	return (struct link_header){.size = put_le32((uint32_t)size),
		.opcode = put_le16((uint16_t)opcode),
		.id = put_le64(id)};
}

/* ---- worker -> helper ---- */

enum link_worker_opcode {
	/*
	 * The first message on every link. The helper keeps the first one of its life and refuses (closes the link
	 * on) one that contradicts it.
	 */
	LINK_CONFIG = 1,
	/*
	 * After CONFIG: one HELD with its EXTENTS for each inode that was granted in this boot, then RESUMED.
	 * Until RESUMED the helper scrubs, zeroes and releases nothing.
	 */
	LINK_HELD = 3,
	LINK_RESUMED = 5,
	/* Answers to REDEEM, same id. GRANT is followed by its EXTENTS. */
	LINK_GRANT = 7,
	LINK_REFUSE = 9,
	/* Follows HELD or GRANT until extent_count extents have come, LINK_EXTENTS_MAX or fewer a message. */
	LINK_EXTENTS = 11,
	LINK_SCRUB = 13,  /* zero whole blocks -> DONE */
	LINK_ZERO = 15,	  /* zero bytes of one block -> DONE */
	LINK_CHECK = 17,  /* can anybody still reach this inode's memory? -> FREE or BUSY */
	LINK_HOLDERS = 19, /* -> HOLDER for each, then HOLDERS_END */
	/*
	 * Soft regions. EXPORT, followed by the inode's EXTENTS: one 2 MiB device over all of them, its node with the
	 * file's owner and mode -> EXPORTED. NODE: owner and mode of an export have changed; no answer. UNEXPORT:
	 * the node is root's, mode 0000, from now on -> DONE.
	 */
	LINK_EXPORT = 21,
	LINK_NODE = 23,
	LINK_UNEXPORT = 25,
	/* Who holds this inode? -> HOLDER for each, then REVOKED. With KILL they are killed first. */
	LINK_REVOKE = 27,
	/* Soft regions: the memory of a removed inode that SPARE named is another inode's, as it is; no answer. */
	LINK_HAND_OVER = 29,
	/*
	 * Soft regions, followed by the inode's EXTENTS: the content store, whose memory is the worker's own. The same
	 * inode as long as the boot lasts -> PART for each run of it, then CONTENTS_GIVEN.
	 */
	LINK_CONTENTS = 31,
};

struct link_config {
	struct link_header header;
	gm_le32 version; /* LINK_VERSION */
	gm_le32 region_count;
	uint8_t uuid[16];
	struct {
		gm_le64 first_data; /* blocks */
		gm_le64 data_blocks;
	} regions[GM_REGIONS_MAX];
};
static_assert(sizeof(struct link_config) == 16 + 24 + 512, "link");

struct link_held {
	struct link_header header; /* id: 0 */
	gm_le64 ino;
	gm_le64 epoch; /* number of the inode's last grant, see FREE */
	gm_le64 extent_count;
};
static_assert(sizeof(struct link_held) == 40, "link");

struct link_plain { /* RESUMED, HOLDERS, and the supervisor's messages without a body */
	struct link_header header;
};
static_assert(sizeof(struct link_plain) == 16, "link");

struct link_grant {
	struct link_header header;
	gm_le64 ino;
	gm_le64 epoch; /* greater than that of any grant before */
	gm_le64 size;  /* of the file, bytes */
	gm_le64 extent_count;
	gm_le32 access; /* GM_ACCESS_* */
	gm_le32 owner;	/* uid of the file */
};
static_assert(sizeof(struct link_grant) == 56, "link");

struct link_refuse {
	struct link_header header;
	gm_le32 error;	/* positive errno */
	gm_le32 reason; /* enum gm_reason */
};
static_assert(sizeof(struct link_refuse) == 24, "link");

#define LINK_EXTENTS_MAX 256U

struct link_extents {
	struct link_header header; /* id: as in HELD or GRANT */
	gm_le64 ino;
	gm_le32 count; /* of extents[]: the message ends behind them, see link_extents_size() */
	gm_le32 reserved;
	struct gm_extent extents[LINK_EXTENTS_MAX]; /* by ascending file_block */
};
static_assert(sizeof(struct link_extents) == 32 + 32 * LINK_EXTENTS_MAX, "link");

static inline size_t link_extents_size(uint32_t count)
{
	return offsetof(struct link_extents, extents) + count * sizeof(struct gm_extent);
}

struct link_scrub {
	struct link_header header;
	gm_le64 block;
	gm_le32 count; /* at most LINK_SCRUB_MAX */
	gm_le32 region;
};
static_assert(sizeof(struct link_scrub) == 32, "link");

#define LINK_SCRUB_MAX 64U /* blocks of one order, so that an urgent one never waits long: 128 MiB */

struct link_zero {
	struct link_header header;
	gm_le64 offset; /* bytes from the start of the region */
	gm_le32 length; /* bytes; stays within one block */
	gm_le32 region;
};
static_assert(sizeof(struct link_zero) == 32, "link");

/*
 * CHECK, of soft regions: the inode's devices are to be taken away as soon as nobody is known to hold it and the
 * kernel's counts show that nobody reaches them. Without TAKE the answer is FREE only if there are none.
 */
#define LINK_CHECK_TAKE 1U
#define LINK_CHECK_KEEP 2U /* with TAKE: the inode is removed; if not now, then later, and FREE comes unasked */
#define LINK_CHECK_FLAGS (LINK_CHECK_TAKE | LINK_CHECK_KEEP)

struct link_check { /* CHECK, FREE and BUSY */
	struct link_header header;
	gm_le64 ino;
	gm_le64 epoch; /* FREE, BUSY: of the last grant or HELD that the helper knows; a FREE with an older one is void */
	gm_le32 pid;   /* BUSY: one process that holds it; 0 if none can be named */
	gm_le32 flags; /* CHECK: LINK_CHECK_*; else 0 */
};
static_assert(sizeof(struct link_check) == 40, "link");

struct link_export { /* EXPORT, NODE (extent_count and epoch 0), UNEXPORT (all but ino 0) */
	struct link_header header;
	gm_le64 ino;
	gm_le64 epoch; /* as in GRANT */
	gm_le64 extent_count;
	gm_le32 uid;
	gm_le32 gid;
	gm_le32 mode; /* permission bits */
	gm_le32 reserved;
	gm_le32 asker_pid; /* EXPORT, UNEXPORT: who asked, as the kernel says; 0: nobody in particular */
	gm_le32 asker_uid;
};
static_assert(sizeof(struct link_export) == 64, "link");

#define LINK_REVOKE_KILL 1U /* kill who holds it, then take its memory back */

struct link_revoke {
	struct link_header header;
	gm_le64 ino;
	gm_le32 flags; /* LINK_REVOKE_* */
	gm_le32 uid;   /* of who asks, as the kernel says: whom he could not kill himself is spared */
};
static_assert(sizeof(struct link_revoke) == 32, "link");

struct link_hand_over {
	struct link_header header; /* id: 0 */
	gm_le64 from;		   /* the inode that SPARE named; it is gone */
	gm_le64 ino;		   /* whose its blocks are, in their order; held from now on */
	gm_le64 epoch;		   /* of that one */
	gm_le64 file_block;	   /* where in it they begin; they have no hole */
};
static_assert(sizeof(struct link_hand_over) == 48, "link");

struct link_contents {
	struct link_header header; /* id: not 0 */
	gm_le64 ino;
	gm_le64 epoch; /* as in GRANT */
	gm_le64 extent_count;
	gm_le64 from; /* file block: what lies before it the worker has mapped, and is not sent */
};
static_assert(sizeof(struct link_contents) == 48, "link");

/* Any of them, as large as the largest. */
union link_from_worker {
	struct link_header header;
	struct link_plain plain;
	struct link_config config;
	struct link_held held;
	struct link_grant grant;
	struct link_refuse refuse;
	struct link_extents extents;
	struct link_scrub scrub;
	struct link_zero zero;
	struct link_check check;
	struct link_export export;
	struct link_revoke revoke;
	struct link_hand_over hand_over;
	struct link_contents contents;
};

/* ---- helper -> worker ---- */

enum link_helper_opcode {
	LINK_READY = 2,	 /* plain; answer to CONFIG: the link is in use */
	LINK_REDEEM = 4, /* -> GRANT or REFUSE */
	LINK_DONE = 6,	 /* answer to SCRUB and ZERO */
	LINK_FREE = 8,	 /* answer to CHECK, or unasked: nobody reaches this inode's memory any more */
	LINK_BUSY = 10,	 /* answer to CHECK */
	LINK_HOLDER = 12,
	LINK_HOLDERS_END = 14,
	LINK_EXPORTED = 16, /* answer to EXPORT */
	LINK_REVOKED = 18,  /* answer to REVOKE */
	LINK_SPARE = 20,    /* before BUSY or unasked: what HAND_OVER may take as it is */
	LINK_PART = 22,	    /* with a descriptor: a run of the content store */
	LINK_CONTENTS_GIVEN = 24, /* answer to CONTENTS, after its PARTs */
};

struct link_part {
	struct link_header header; /* id: of CONTENTS */
	gm_le64 file_block;
	gm_le64 device_block; /* of the descriptor's device, where the run begins */
	gm_le64 count;
};
static_assert(sizeof(struct link_part) == 40, "link");

struct link_contents_given {
	struct link_header header;
	gm_le32 error; /* 0 or a positive errno */
	gm_le32 reserved;
};
static_assert(sizeof(struct link_contents_given) == 24, "link");

struct link_exported {
	struct link_header header;
	gm_le32 error;	/* 0 or a positive errno */
	gm_le32 reason; /* enum gm_reason, with error */
	char node[64];	/* "/dev/dax0.3", NUL-padded; empty with error */
};
static_assert(sizeof(struct link_exported) == 88, "link");

#define LINK_SPARE_ANY 1U /* for any file; else for one of this user, if the removed one was his */

struct link_spare {
	struct link_header header; /* id: 0 */
	gm_le64 ino;		   /* of a CHECK with KEEP */
	gm_le64 epoch;		   /* as in FREE */
	gm_le64 blocks;		   /* that its devices have: it must have no others that were granted */
	gm_le64 file_block;	   /* the first of them */
	gm_le32 uid;
	gm_le32 flags; /* LINK_SPARE_* */
};
static_assert(sizeof(struct link_spare) == 56, "link");

struct link_redeem {
	struct link_header header;
	struct gm_ticket ticket;
	gm_le32 pid; /* of the client, as the kernel says */
	gm_le32 uid;
	gm_le32 gid;
	gm_le32 reserved;
};
static_assert(sizeof(struct link_redeem) == 48, "link");

struct link_done {
	struct link_header header;
	gm_le32 error; /* 0 or a positive errno; EUCLEAN: refused, the order contradicts the helper's record */
	gm_le32 reserved;
};
static_assert(sizeof(struct link_done) == 24, "link");

#define LINK_HOLDER_DEAD    1U /* the process is gone, but its memory is not shown free yet */
#define LINK_HOLDER_ADOPTED 2U /* found in /proc after a restart, not by a grant of this helper */
#define LINK_HOLDER_KILLED  4U /* by this REVOKE */

struct link_holder {
	struct link_header header; /* id: of HOLDERS or REVOKE */
	gm_le64 ino;
	gm_le32 pid;
	gm_le32 uid;
	gm_le32 access;
	gm_le32 flags; /* LINK_HOLDER_* */
	/* As the kernel says now, each cut off where it is too long and NUL-padded; empty once the process has ended. */
	char command[16];
	char cgroup[GM_REVOKE_CGROUP];
};
static_assert(sizeof(struct link_holder) == 40 + 16 + GM_REVOKE_CGROUP, "link");

struct link_holders_end {
	struct link_header header;
	gm_le32 retired; /* soft regions: devices of exports that have ended, which are empty until the next boot */
	gm_le32 reserved;
};
static_assert(sizeof(struct link_holders_end) == 24, "link");

enum link_revoked_state {
	LINK_REVOKED_FREE = 0, /* nobody reaches it; FREE was sent before */
	LINK_REVOKED_HELD = 1,
};

struct link_revoked {
	struct link_header header;
	gm_le32 state; /* LINK_REVOKED_* */
	gm_le32 reserved;
};
static_assert(sizeof(struct link_revoked) == 24, "link");

/* ---- the supervisor's links ---- */

enum link_supervisor_opcode {
	/* supervisor -> worker, with the fd of the mount: serve it. id: the mount's device number (st_dev) */
	LINK_FUSE_FD = 101,
	/* supervisor -> worker or helper, with one end of a new worker <-> helper link. id: the other's pid */
	LINK_PEER = 103,
	LINK_STOP = 105,      /* supervisor -> worker: checkpoint and end */
	/* supervisor -> worker or helper: another program takes your place. End what you are in the middle of, then
	 * yourself, and leave everything as it is */
	LINK_YIELD = 107,
	/* supervisor or keeper -> worker and helper. id: the pid of who supervises from now on; 0: nobody does */
	LINK_SUPERVISOR = 109,
	/* supervisor -> worker and helper. id: the pid of the keeper; 0: there is none at the moment */
	LINK_KEEPER = 111,
	LINK_RECOVERED = 102, /* worker -> supervisor: the metadata is in order, the mount may be made */
	/* worker, helper -> supervisor: ready for users. id: of a worker, how many requests it has answered that its
	 * predecessor had left; else 0 */
	LINK_SERVING = 104,
	LINK_FAILED = 106,    /* worker, helper -> supervisor: won't start; link_failed with the sentence */
	/* worker -> supervisor: the link to the helper has ended or broken the protocol. id: the helper's pid, as in PEER */
	LINK_BROKEN = 108,
	LINK_LOG = 110, /* worker -> supervisor: a line for the log, which the worker can't reach any more */
	/* worker -> supervisor, before FAILED: it can't go on with this connection to the kernel, but with a new one */
	LINK_UNFIT = 112,
	/* worker -> supervisor, with the connection of who asks for an upgrade: it is answered there */
	LINK_UPGRADE = 114,
	LINK_ENDED = 116, /* worker -> supervisor: it has ended in order, all is written and the mount is gone */
};

struct link_log {
	struct link_header header;
	gm_le32 level; /* as of syslog(3), 3 to 7 */
	gm_le32 reserved;
	char text[1024]; /* NUL-terminated */
};
static_assert(sizeof(struct link_log) == 16 + 8 + 1024, "link");

struct link_failed {
	struct link_header header;
	gm_le32 error; /* positive errno */
	gm_le32 reserved;
	char text[1024]; /* NUL-terminated */
};
static_assert(sizeof(struct link_failed) == 16 + 8 + 1024, "link");

#endif
