/* SPDX-License-Identifier: MIT */
/*
 * What a writer did to the media: every store of 8 bytes, write-back and fence, in the order of the
 * program, between the moments at which an operation was begun and acknowledged; and the state
 * before and after each operation as the writer had it in memory. The recorder is a table of media
 * operations that writes into an image and into a trace.
 */
#ifndef GM_TESTS_CRASH_TRACE_H
#define GM_TESTS_CRASH_TRACE_H

#include <stdbool.h>

#include "image.h"
#include "store/media.h"
#include "view.h"

enum trace_kind {
	TRACE_STORE,
	TRACE_FLUSH,
	TRACE_FENCE,
	TRACE_BEGIN,
	TRACE_END,
};

struct trace_event {
	enum trace_kind kind;
	uint64_t offset; /* of store or flush; the operation's number at its begin and end */
	uint64_t word;   /* of a flush: how many bytes */
};

/*
 * Of each unit of a file with content these words are recorded and looked at, so that the states of
 * a long write are not those of its length: some that lie evenly, and such as `write` ends in.
 */
#define TRACE_UNIT_WORDS 16U
static inline uint64_t trace_unit_word(unsigned n)
{
	return n / 2 * 64 + (n % 2) * 51;
}

struct trace_bytes { /* which units of the trace */
	size_t first;
	size_t count;
};

struct trace_state {
	bool refused;    /* there is no filesystem */
	uint64_t unique; /* of the last change that a request asked for */
	uint64_t hash;
	struct view view;
	struct trace_bytes bytes; /* what the files with content hold */
};

struct trace_operation {
	char name[64];
	struct trace_state before;
	struct trace_state after;
	bool may_refuse; /* a crash in it may leave what is refused: a format */
	bool unexplored;
};

struct trace {
	struct trace_event *events;
	size_t count;
	size_t capacity;
	struct trace_operation *operations;
	size_t operation_count;
	size_t operation_capacity;
	struct trace_unit {
		uint64_t ino;
		uint64_t file_unit;
		uint64_t words[TRACE_UNIT_WORDS];
	} * units;
	size_t unit_count;
	size_t unit_capacity;
};

void trace_clear(struct trace *t); /* keeps the memory */
void trace_deinit(struct trace *t);

/* The operation that begins now; valid until the next one begins. */
struct trace_operation *trace_begin(struct trace *t, const char *name);
void trace_end(struct trace *t);
void trace_add_unit(struct trace *t, uint64_t ino, uint64_t file_unit, const uint64_t *unit);

/* Which part of the format an offset lies in. */
enum trace_place {
	PLACE_OTHER,
	PLACE_SUPER,
	PLACE_SLOT_WORD,
	PLACE_TAIL,
	PLACE_JOURNAL,
	PLACE_SLOT,
	PLACE_BYTES, /* behind the metadata: of files with content */
};

struct recorder {
	struct media media;
	struct image *image;
	struct trace *trace;              /* NULL: stores go to the image alone */
	const struct writer_fault *fault; /* NULL: none (faults.h) */
	uint64_t slot_offset[2];
	uint64_t slot_size;
	uint64_t last; /* offset of the last store */
	struct held {  /* stores that a faulty writer has put off */
		uint64_t offset;
		uint64_t word;
	} * held;
	size_t held_count;
	size_t held_capacity;
};

void recorder_init(struct recorder *r, struct image *image, struct trace *trace);
void recorder_deinit(struct recorder *r);

enum trace_place recorder_place(const struct recorder *r, uint64_t offset);

/* What the media operations do where no fault steps in. recorder_put(): store and flush. */
void recorder_put(struct recorder *r, uint64_t offset, uint64_t word);
void recorder_store(struct recorder *r, uint64_t offset, uint64_t word);
void recorder_copy(struct recorder *r, uint64_t offset, const void *from, uint64_t length);
void recorder_flush(struct recorder *r, uint64_t offset, uint64_t length);
void recorder_fence(struct recorder *r);

#endif
