// SPDX-License-Identifier: MIT
/*
 * Pages of the metadata area that are gone under a store that is open: a mapping of a file without
 * a byte is put over them, so that each touch is a SIGBUS, as with memory that is bad. What was
 * answered must be there when it is opened again, and what was refused must have changed nothing.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store/store_internal.h"
#include "store_fixture.h"
#include "util/cleanup.h"
#include "util/sigbus.h"

#define PAGE  4096U
#define FILES 1000U

static struct fixture f;
static int memory = -1, nothing = -1; /* the area; a file without a byte */

static void *map_over(uint64_t offset, uint64_t length, int fd, uint64_t from)
{
	return mmap(f.media.base + offset, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		fd, (off_t)from);
}

/* The page that the offset lies in. */
static void lose_page(uint64_t offset)
{
	offset -= offset % PAGE;
	cr_assert_neq(map_over(offset, PAGE, nothing, 0), MAP_FAILED);
}

static void give_back_page(uint64_t offset)
{
	offset -= offset % PAGE;
	cr_assert_neq(map_over(offset, PAGE, memory, offset), MAP_FAILED);
}

/* The fixture's area, from now on in a file of its own. */
static void start(void)
{
	uint8_t *old;

	fixture_init(&f, FILES);
	old = f.media.base;
	memory = memfd_create("metadata", MFD_CLOEXEC);
	nothing = memfd_create("nothing", MFD_CLOEXEC);
	cr_assert(memory >= 0 && nothing >= 0);
	cr_assert_eq(ftruncate(memory, (off_t)f.media.size), 0);
	f.media.base = mmap(NULL, f.media.size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	cr_assert_neq((void *)f.media.base, MAP_FAILED);
	memcpy(f.media.base, old, f.media.size);
	free(old);
	cr_assert_eq(sigbus_init(), 0);
}

static void end(void)
{
	(void)munmap(f.media.base, f.media.size);
	f.media.base = NULL;
	fixture_deinit(&f);
	(void)close(memory);
	(void)close(nothing);
}

TestSuite(store_faults, .init = start, .fini = end);

static uint64_t journal_at(void)
{
	return f.super.plan.journal_offset + f.store->journal.tail;
}

static uint64_t other_slot(void)
{
	return f.super.plan.slot_offset[1 - f.store->slot];
}

static uint64_t generation(void)
{
	return f.store->journal.generation;
}

/* One change; what store_commit() says. */
static int change(unsigned n)
{
	char name[32];
	uint64_t ino;

	(void)snprintf(name, sizeof(name), "name-%u", n / 2);
	return n % 2 ? fixture_unlink(&f, GM_ROOT_INO, name, false)
		     : fixture_make(&f, GM_ROOT_INO, name, S_IFREG | 0600, &ino);
}

static const char *fault(void)
{
	struct store_stats stats;

	store_get_stats(f.store, &stats);
	return stats.fault ? stats.fault : "";
}

static void expect_changes(unsigned count)
{
	for (unsigned n = 0; n < count; n++)
		cr_assert_eq(change(n), 0, "change %u", n);
}

/* Not one of the lost pages is touched by that: outside of a guard it would be the end. */
static void expect_found_again(void)
{
	struct problem why = PROBLEM_INIT;
	uint64_t digest = fixture_digest(&f);

	cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
	cr_expect_eq(fixture_digest(&f), digest);
}

/* Refused, and nothing has changed: not in memory either. */
static void expect_refused(void)
{
	uint64_t digest = fixture_digest(&f), was = generation();
	uint64_t ino;

	cr_expect_eq(fixture_make(&f, GM_ROOT_INO, "refused", S_IFDIR | 0700, &ino), -EIO);
	cr_expect_eq(fixture_digest(&f), digest);
	cr_expect_eq(generation(), was);
	cr_expect_not_null(strstr(fault(), "changes are refused (EIO)"), "%s", fault());
}

Test(store_faults, a_lost_page_of_the_journal_is_gone_round)
{
	uint64_t was = generation();

	expect_changes(10);
	lose_page(journal_at() + 2UL * PAGE);
	expect_changes(200);
	cr_expect_not_null(strstr(fault(), "go into checkpoints"), "%s", fault());
	cr_expect_gt(generation(), was, "checkpoints have taken what would have gone there");
	expect_found_again();
	expect_changes(20);
	expect_found_again();
}

Test(store_faults, the_first_page_of_the_journal_too)
{
	expect_changes(4);
	cr_assert_eq(store_checkpoint(f.store), 0);
	lose_page(f.super.plan.journal_offset);
	expect_changes(40);
	cr_expect_eq(f.store->journal.tail, 0, "each of them is a checkpoint");
	cr_expect_not_null(strstr(fault(), "go into checkpoints"), "%s", fault());
	expect_found_again();
}

Test(store_faults, a_mount_begins_beside_a_lost_page)
{
	struct problem why = PROBLEM_INIT;

	expect_changes(5);
	cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
	lose_page(journal_at() + PAGE);
	lose_page(journal_at() - 1);
	f.store->super.copy_bad[1] = true; /* to be mended, but it can't be */
	lose_page(GM_SUPER_B_OFFSET);
	cr_assert_eq(store_begin_mount(f.store, fixture_boot, &why), 0, "%s", why.text);
	give_back_page(GM_SUPER_B_OFFSET);
	expect_found_again();
}

Test(store_faults, without_the_other_slot_the_journal_is_filled)
{
	unsigned n = 0;
	int r = 0;

	lose_page(other_slot() + PAGE);
	while (n < 100000 && (r = change(n)) == 0)
		n++;
	cr_expect_eq(r, -EIO, "after %u changes: %d", n, r);
	cr_expect_gt(f.store->journal.tail, f.super.plan.journal_size - PAGE);
	expect_refused();
	cr_expect_eq(store_checkpoint(f.store), -EIO);
	cr_expect_eq(store_freeze(f.store), -EIO);
	cr_expect_not(store_is_frozen(f.store));
	expect_found_again();
	expect_refused();
	give_back_page(other_slot() + PAGE);
	cr_expect_eq(change(n), 0, "once there is memory again, they are taken again");
	cr_expect_str_empty(fault());
	expect_found_again();
}

Test(store_faults, without_the_tail_word_nothing_is_taken)
{
	uint64_t digest;

	expect_changes(6);
	digest = fixture_digest(&f);
	lose_page(GM_TAIL_WORD_OFFSET);
	expect_refused();
	cr_expect_eq(store_checkpoint(f.store), -EIO);
	give_back_page(GM_TAIL_WORD_OFFSET);
	cr_expect_eq(fixture_digest(&f), digest);
	expect_found_again();
}

Test(store_faults, without_a_slot_word_the_journal_goes_on)
{
	static const uint64_t words[] = {GM_SLOT_WORD_A_OFFSET, GM_SLOT_WORD_B_OFFSET};

	for (size_t n = 0; n < ARRAY_SIZE(words); n++) {
		lose_page(words[n]);
		expect_changes(6);
		cr_expect_eq(store_checkpoint(f.store), -EIO);
		cr_expect_not_null(strstr(fault(), "no checkpoint can be written"), "%s", fault());
		give_back_page(words[n]);
		cr_expect_eq(store_checkpoint(f.store), 0);
		cr_expect_str_empty(fault());
		expect_found_again();
	}
}

/* ---- what the kernel tells before it is touched ---- */

Test(store_faults, what_is_in_force_is_saved_at_once)
{
	uint64_t was = generation(), slot = f.super.plan.slot_offset[f.store->slot];

	expect_changes(10);
	store_note_fault(f.store, slot, PAGE);
	cr_expect_eq(generation(), was + 1);
	cr_expect_not_null(strstr(fault(), "there is a memory error"), "%s", fault());
	lose_page(slot);
	expect_found_again();
	store_note_fault(f.store, slot, PAGE); /* as that one does not know it */
	cr_expect_eq(generation(), was + 1, "nothing in force lies there");

	expect_changes(10);
	store_note_fault(f.store, f.super.plan.journal_offset, PAGE);
	cr_expect_eq(generation(), was + 1, "there is no good place for a checkpoint left");
	expect_refused();
}

Test(store_faults, records_are_saved_at_once)
{
	uint64_t was = generation(), at = f.super.plan.journal_offset;

	expect_changes(10);
	store_note_fault(f.store, at, PAGE);
	cr_expect_eq(generation(), was + 1);
	lose_page(at);
	expect_changes(10);
	cr_expect_eq(generation(), was + 11, "no record is put there again");
	expect_found_again();
}

Test(store_faults, what_is_frozen_is_saved_and_stays_frozen)
{
	uint64_t slot;

	expect_changes(10);
	cr_assert_eq(store_freeze(f.store), 0);
	slot = f.super.plan.slot_offset[f.store->slot];
	store_note_fault(f.store, slot, PAGE);
	lose_page(slot);
	expect_found_again();
	cr_expect(store_is_frozen(f.store));
}

Test(store_faults, what_can_not_be_saved_is_refused)
{
	uint64_t was;

	lose_page(other_slot());
	expect_changes(10);
	was = generation();
	store_note_fault(f.store, f.super.plan.journal_offset, PAGE);
	cr_expect_eq(generation(), was);
	expect_refused();
	expect_found_again(); /* the memory is there, after all */
}

/* Of device-dax the kernel says no more than which large page it is. */
Test(store_faults, what_is_told_of_a_large_page_concerns_all_of_it)
{
	store_note_fault(f.store, 0, GM_BLOCK_SIZE);
	expect_refused();
	expect_found_again();
}

Test(store_faults, there_may_be_more_than_there_is_room_for)
{
	for (unsigned n = 0; n < 3 * STORE_FAULTS_MAX; n++)
		store_note_fault(f.store, other_slot() + 2UL * n * PAGE, PAGE);
	cr_expect_eq(f.store->faults.count, STORE_FAULTS_MAX);
	expect_changes(10);
	cr_expect_eq(store_checkpoint(f.store), -EIO);
	expect_found_again();
}
