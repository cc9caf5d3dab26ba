// SPDX-License-Identifier: MIT
/*
 * Memory of the metadata area that can't be reached any more, under a mount that runs. What is to
 * be stored to is touched first, while nothing has changed yet: so the error is that of one change,
 * and not the end of the process, which has in its own memory what the media can't show any more.
 *
 * A change that can't go into the journal goes into a checkpoint in the other slot; one that can't
 * go there either is refused with EIO, and so is one that recovery could not get to, since what is
 * in force before it is bad. So whatever was answered is found by the next mount, or by a repair.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "store/store_internal.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/sigbus.h"

#define PAGE_BYTES 4096ULL

/* It may come up with each change; the log hears of one place once a minute. */
#define FAULT_LOG_INTERVAL_MS 60000U

/* ---- what can be stored to ---- */

struct touching {
	uint8_t *first;
	uint8_t *end;
};

/* What a page has is stored to it again: on some memory only that shows whether it can be. */
static void touch(void *data)
{
	const struct touching *t = data;

	for (volatile uint8_t *at = t->first; at < t->end;
		at += PAGE_BYTES - (uintptr_t)at % PAGE_BYTES) {
		const uint8_t byte = *at;

		*at = byte;
	}
}

static bool is_noted(struct store *s, uint64_t offset, uint64_t length)
{
	struct store_faults *f = &s->faults;

	for (unsigned n = 0; n < f->count; n++) {
		const struct store_stretch *x = &f->noted[n];

		if (x->offset >= offset + length || x->offset + x->length <= offset)
			continue;
		f->place = x->offset;
		f->poisoned = true;
		return true;
	}
	return false;
}

bool store_can_store(struct store *s, uint64_t offset, uint64_t length)
{
	uint8_t *base = s->media->base;
	struct touching t = {.first = base + offset, .end = base + offset + length};
	struct sigbus what;

	if (is_noted(s, offset, length))
		return false;
	if (sigbus_guard(touch, &t, &what) == 0)
		return true;
	s->faults.place = (what.address - (uintptr_t)base) & ~(PAGE_BYTES - 1);
	s->faults.poisoned = what.poisoned;
	return false;
}

/* What recovery reads of the checkpoint in force and of the journal behind it. */
static bool is_in_force_bad(struct store *s)
{
	const struct store_plan *plan = &s->super.plan;

	return is_noted(s, plan->slot_offset[s->slot], s->image_bytes) ||
	       (s->journal.tail > 0 && is_noted(s, plan->journal_offset, s->journal.tail));
}

bool store_can_journal(struct store *s, uint64_t length)
{
	return !is_in_force_bad(s) &&
	       store_can_store(s, s->super.plan.journal_offset + s->journal.tail, length) &&
	       store_can_store(s, GM_TAIL_WORD_OFFSET, sizeof(uint64_t));
}

bool store_can_publish_slot(struct store *s)
{
	return store_can_store(s, GM_SLOT_WORD_A_OFFSET, sizeof(uint64_t)) &&
	       store_can_store(s, GM_SLOT_WORD_B_OFFSET, sizeof(uint64_t));
}

bool store_can_checkpoint(struct store *s, uint64_t image_bytes)
{
	uint64_t most = s->super.plan.slot_size;

	return store_can_publish_slot(s) &&
	       store_can_store(s, GM_TAIL_WORD_OFFSET, sizeof(uint64_t)) &&
	       store_can_store(s, s->super.plan.slot_offset[1 - s->slot],
		       image_bytes < most ? image_bytes : most);
}

/* ---- what is told ---- */

static void say(struct store *s, const char *what)
{
	struct store_faults *f = &s->faults;
	uint64_t now = clock_milliseconds();
	bool short_ago = f->said == what && f->said_place == f->place &&
			 now - f->said_at < FAULT_LOG_INTERVAL_MS;

	(void)snprintf(f->text, sizeof(f->text),
		"the metadata area can't be used at offset 0x%" PRIx64
		" of the first region: the memory %s; %s",
		f->place, f->poisoned ? "is bad" : "is not there any more", what);
	if (short_ago)
		return;
	f->said = what;
	f->said_place = f->place;
	f->said_at = now;
	log_error("%s", f->text);
}

void store_say_detour(struct store *s)
{
	say(s, "nothing is lost: changes that would go there go into checkpoints");
}

void store_say_no_checkpoint(struct store *s)
{
	say(s, "no checkpoint can be written: changes go on for as long as the journal takes them, "
	       "and are refused then (EIO)");
}

void store_say_refused(struct store *s)
{
	s->faults.refused = true;
	say(s, "changes are refused (EIO), and what was answered is kept. Guests and what is "
	       "granted go on; unmount it when they allow it, and then run guestmemfs fsck "
	       "--repair");
}

/* What can be used again is not told of any more; what the kernel has told of is bad for good. */
static void forget(struct store_faults *f)
{
	const struct store_stretch *last = &f->noted[f->count ? f->count - 1 : 0];

	f->refused = false;
	f->text[0] = '\0';
	if (f->count > 0)
		(void)snprintf(f->text, sizeof(f->text),
			"there is a memory error in the metadata area, at offset 0x%" PRIx64
			" of the first region%s",
			last->offset,
			last->offset < GM_BLOCK_SIZE
				? ": the next mount may need guestmemfs fsck --repair before it"
				: "");
}

void store_note_taken(struct store *s)
{
	if (s->faults.refused)
		forget(&s->faults);
}

void store_note_checkpoint(struct store *s)
{
	forget(&s->faults);
}

/* ---- what the kernel tells ---- */

static bool is_known(const struct store_faults *f, const struct store_stretch *x)
{
	for (unsigned n = 0; n < f->count; n++)
		if (f->noted[n].offset <= x->offset &&
			x->offset + x->length <= f->noted[n].offset + f->noted[n].length)
			return true;
	return false;
}

/* With no room for one more, all that lies between it and the last one counts as bad, too. */
static void note(struct store_faults *f, const struct store_stretch *x)
{
	struct store_stretch *last = &f->noted[STORE_FAULTS_MAX - 1];
	uint64_t end;

	if (f->count < STORE_FAULTS_MAX) {
		f->noted[f->count++] = *x;
		return;
	}
	end = last->offset + last->length;
	if (x->offset + x->length > end)
		end = x->offset + x->length;
	if (x->offset < last->offset)
		last->offset = x->offset;
	last->length = end - last->offset;
}

void store_note_fault(struct store *s, uint64_t offset, uint64_t length)
{
	const struct store_stretch x = {offset, length};
	int r;

	if (is_known(&s->faults, &x))
		return;
	note(&s->faults, &x);
	forget(&s->faults);
	log_error("%s", s->faults.text);
	if (!is_in_force_bad(s))
		return;
	r = store_write_checkpoint(s);
	if (r == 0)
		log_info("a checkpoint was written elsewhere: nothing is lost");
	else if (r == -EIO)
		store_say_refused(s);
	else
		log_warning("out of memory for a checkpoint elsewhere; the next change tries it "
			    "again");
}
