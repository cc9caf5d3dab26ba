/* SPDX-License-Identifier: MIT */
/*
 * The control socket: guestmemfs (the command) asks, the worker answers. SOCK_SEQPACKET; one fixed request, one fixed
 * answer, which brings a sealed memfd with a JSON text where there is one. The socket is open to root and to the
 * instance's own user only. docs/protocol.md describes the JSON.
 */
#ifndef GM_PROTO_CONTROL_H
#define GM_PROTO_CONTROL_H

#include "guestmemfs/protocol.h"

#define CONTROL_VERSION 1U

/* Within these an upgrade that has begun (EINPROGRESS) has its last answer. */
#define CONTROL_UPGRADE_SECONDS 120

enum control_opcode {
	CONTROL_STATUS = 1,  /* the state of the instance */
	CONTROL_FILES = 2,   /* every file and directory */
	CONTROL_EXTENTS = 3, /* the extents of inode `ino` */
	CONTROL_FREEZE = 4,   /* no change, ticket or grant from now on; a checkpoint is written. JSON: {} */
	CONTROL_THAW = 5,     /* JSON: {} */
	CONTROL_TOKEN = 6,    /* JSON: {"token": 32 hex digits, or null where none is asked for} */
	CONTROL_EXPORT = 7,   /* of inode `ino`. JSON: {"node": "/dev/dax0.3"} */
	CONTROL_UNEXPORT = 8, /* of inode `ino`. JSON: {} */
	CONTROL_UPGRADE = 9,  /* answered by the supervisor. JSON: pids and outages */
};

struct control_request {
	gm_le32 size;
	gm_le32 version; /* CONTROL_VERSION */
	gm_le32 opcode;
	gm_le32 reserved;
	gm_le64 ino; /* CONTROL_EXTENTS; else 0 */
};
static_assert(sizeof(struct control_request) == 24, "control");

struct control_answer {
	gm_le32 size;
	gm_le32 version;
	gm_le32 error; /* 0, then a memfd comes along; or a positive errno */
	gm_le32 reserved;
	gm_le64 length;	 /* bytes of JSON in the memfd */
	char text[1000]; /* with error: the sentence, NUL-terminated */
};
static_assert(sizeof(struct control_answer) == 1024, "control");

#endif
