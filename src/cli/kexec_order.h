/* SPDX-License-Identifier: MIT */
/* What becomes of an order for a kexec that systemd was given: by systemd's and logind's own signs.
 */
#ifndef GM_CLI_KEXEC_ORDER_H
#define GM_CLI_KEXEC_ORDER_H

#include <stdbool.h>
#include <stdint.h>

/* systemctl(1), is-system-running. One that can't be asked is about to be gone, or too busy. */
enum order_systemd { ORDER_SYSTEMD_SILENT, ORDER_SYSTEMD_GOES_ON, ORDER_SYSTEMD_STOPS };

/*
 * org.freedesktop.login1(5), PreparingForShutdown: true from when logind has the order to the jump,
 * also while inhibitors delay it; false if there is none, or none any more. Silent: no logind, or
 * no bus.
 */
enum order_logind { ORDER_LOGIND_SILENT, ORDER_LOGIND_IDLE, ORDER_LOGIND_PREPARES };

enum order_client {           /* how systemctl kexec has ended */
	ORDER_CLIENT_DONE,    /* the order was taken */
	ORDER_CLIENT_KILLED,  /* by systemd, or whoever: it can't tell */
	ORDER_CLIENT_REFUSED, /* it says so; but it may only have lost its connection */
};

enum order_fate { ORDER_WAITS, ORDER_GOES, ORDER_DROPPED };

struct order { /* zero, and then client and began */
	enum order_client client;
	uint64_t began;     /* milliseconds, as now below */
	uint64_t last_sign; /* 0: none yet */
	bool prepared;      /* logind has been seen to have it */
};

/*
 * Pure. systemd has been asked before logind was: if it goes on, and then logind prepares nothing,
 * there is no order any more. interrupted: a signal wants the end of this process, as systemd does
 * when its turn comes. ORDER_GOES: it is on its way, as far as anybody can tell.
 */
enum order_fate order_judge(struct order *o, enum order_systemd systemd, enum order_logind logind,
	bool interrupted, uint64_t now);

/* Asks and judges until it is no longer ORDER_WAITS. True: it goes. */
bool order_follow(enum order_client client);

#endif
