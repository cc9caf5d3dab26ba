/* SPDX-License-Identifier: MIT */
/*
 * The journal: records one after the other from journal_offset on, valid up to the tail word.
 *
 *   store record   fence   publish tail   fence   reply
 *
 * A crash before the publish leaves the tail where it was: the change has not happened. After it:
 * it has, whole.
 */
#ifndef GM_STORE_JOURNAL_H
#define GM_STORE_JOURNAL_H

#include "store/store.h"

struct journal_position {
	uint64_t generation;
	uint64_t sequence; /* of the last record; the next one has sequence + 1 */
	uint64_t tail;     /* bytes from the start of the journal */
};

/* Bytes that a record with this many bytes of items takes in the journal. */
uint64_t journal_record_bytes(uint64_t item_bytes);

/*
 * Makes the record complete in the transaction's own buffer: header, padding, checksum. The buffer
 * has room (txn.c).
 */
void journal_seal(struct txn *t, const struct journal_position *p, uint64_t mount_number);

/* Stores a sealed record behind the tail, then publishes the new tail. It must fit. */
void journal_append(struct media *m, const struct store_plan *plan, struct journal_position *p,
	const struct txn *t);

/* Publishes an empty journal of p's generation. */
void journal_reset(struct media *m, struct journal_position *p);

/*
 * NULL if the bytes begin with the record that follows p, else why not; room: bytes that there are.
 * Its items are not looked at.
 */
const char *journal_check_record(
	const uint8_t *bytes, uint64_t room, const struct journal_position *p, struct gm_record *r);

/*
 * Applies every record of p->generation up to the published tail to meta, each with all its checks,
 * and moves p. *count: records that were there. -EUCLEAN with a sentence that names record, place
 * and reason; -ENOMEM.
 */
int journal_replay(struct meta *meta, const struct media *m, const struct store_plan *plan,
	struct journal_position *p, uint64_t *count, struct gm_result *last, struct problem *why);

#endif
