/* SPDX-License-Identifier: MIT */
/* What orders.c and the files beside it share, and nobody else sees. All return as orders_take().
 */
#ifndef GM_HELPER_ORDERS_INTERNAL_H
#define GM_HELPER_ORDERS_INTERNAL_H

#include "helper/orders.h"

/* ---- orders_config.c ---- */

int orders_take_config(struct server *s, const struct link_config *m, struct problem *why);
int orders_take_resumed(struct server *s, struct problem *why);

/* ---- orders_extents.c: what counts once all its EXTENTS have come ---- */

int orders_take_held(struct server *s, const struct link_held *m, struct problem *why);
int orders_take_grant(struct server *s, const struct link_grant *m, struct problem *why);
int orders_take_contents(struct server *s, const struct link_contents *m, struct problem *why);
int orders_take_extents(struct server *s, const struct link_extents *m, struct problem *why);

/* EXPORT, and NODE and UNEXPORT, which have no extents. */
int orders_take_export(struct server *s, const struct link_export *m, struct problem *why);

/* ---- orders_zero.c ---- */

int orders_take_scrub(struct server *s, const struct link_scrub *m, struct problem *why);
int orders_take_zero(struct server *s, const struct link_zero *m, struct problem *why);

#endif
