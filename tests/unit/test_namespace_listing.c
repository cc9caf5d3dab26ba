// SPDX-License-Identifier: MIT
/* Limits and listings: how many files, how much space, and what a directory shows. */
#include <errno.h>
#include <stdio.h>

#include "namespace_fixture.h"

TestSuite(namespace, .init = setup, .fini = teardown);

Test(namespace, refuses_more_files_than_it_was_made_for)
{
	uint64_t made = 0;
	struct statvfs v;
	struct stat st;
	char name[20];
	int r;

	teardown();
	pool_init(&pool, 16, 50, true);
	do {
		snprintf(name, sizeof(name), "f%lu", (unsigned long)made);
		r = ns_create(&pool.ns, &pool.rq, ROOT, name, strlen(name), 0600, &st);
		made += r == 0;
		ns_statfs(&pool.ns, &v);
		cr_expect_eq(v.f_ffree, 50 - 1 - made);
	} while (r == 0);
	cr_expect_eq(r, -ENOSPC);
	cr_expect_eq(made, 49, "the root is one of them");
	cr_expect_eq(pool_lookup(&pool, ROOT, name, &st), -ENOENT);
	cr_expect_eq(pool_rename(&pool, ROOT, "f0", ROOT, "g0", 0), 0);
	cr_expect_eq(pool_unlink(&pool, ROOT, "g0"), 0);
	cr_expect_eq(ns_mkdir(&pool.ns, &pool.rq, ROOT, "d", 1, 0700, &st), 0);
}

Test(namespace, tells_the_space_in_blocks)
{
	uint64_t f = pool_create(&pool, ROOT, "f");
	struct statvfs v;

	cr_assert_eq(pool_resize(&pool, f, 5 * MIB), 0);
	ns_statfs(&pool.ns, &v);
	cr_expect_eq(v.f_bsize, GM_BLOCK_SIZE);
	cr_expect_eq(v.f_frsize, GM_BLOCK_SIZE);
	cr_expect_eq(v.f_blocks, pool_stats(&pool).data);
	cr_expect_eq(v.f_bfree, v.f_blocks - 3);
	cr_expect_eq(v.f_bavail, v.f_bfree);
	cr_expect_eq(v.f_files, 1000);
	cr_expect_eq(v.f_ffree, 998);
	cr_expect_eq(v.f_namemax, 255);
}

Test(namespace, lists_each_entry_once_whatever_changes_meanwhile)
{
	enum { COUNT = 200 };
	bool seen[COUNT] = {false};
	uint64_t after = 0;
	struct ns_entry e;
	char name[20];
	unsigned step = 0;

	for (unsigned n = 0; n < COUNT; n++) {
		snprintf(name, sizeof(name), "%u", n);
		pool_create(&pool, ROOT, name);
	}
	cr_assert(ns_next_entry(&pool.ns, ROOT, 0, &e) == 1 && e.cookie == 1 && e.ino == ROOT);
	cr_assert(e.length == 1 && e.name[0] == '.' && e.type == S_IFDIR);
	cr_assert(ns_next_entry(&pool.ns, ROOT, 1, &e) == 1 && e.cookie == 2);
	cr_assert(e.length == 2 && memcmp(e.name, "..", 2) == 0 && e.type == S_IFDIR);
	after = 2;
	while (ns_next_entry(&pool.ns, ROOT, after, &e) == 1) {
		int n;

		memcpy(name, e.name, e.length);
		name[e.length] = '\0';
		cr_expect_gt(e.cookie, after);
		after = e.cookie;
		if (name[0] == 'n')
			continue; /* a new one: it may come or not */
		n = atoi(name);
		cr_expect(!seen[n], "%s comes twice", name);
		seen[n] = true;
		/* What was just read goes; so does one that is still to come; one is added; the
		 * store is reopened. */
		cr_assert_eq(pool_unlink(&pool, ROOT, name), 0);
		snprintf(name, sizeof(name), "%d", n + 50);
		if (step % 3 == 0 && n + 50 < COUNT && pool_unlink(&pool, ROOT, name) == 0)
			seen[n + 50] = true;
		snprintf(name, sizeof(name), "n%u", step++);
		if (step < 20)
			pool_create(&pool, ROOT, name);
		if (step % 50 == 0)
			pool_reopen(&pool, false);
	}
	for (unsigned n = 0; n < COUNT; n++)
		cr_expect(seen[n], "%u was left out", n);
	cr_expect_eq(ns_next_entry(&pool.ns, ROOT, INT64_MAX, &e), 0);
}

/* Wherever entries are missing, before a place, at it or behind it. */
Test(namespace, goes_on_from_any_place_whatever_was_removed)
{
	enum { COUNT = 61, STRIDE = 17 };
	uint64_t place[COUNT] = {0}, after = 2;
	struct ns_entry e;
	char name[20];

	for (unsigned n = 0; n < COUNT; n++) {
		snprintf(name, sizeof(name), "%u", n);
		pool_create(&pool, ROOT, name);
		cr_assert_eq(ns_next_entry(&pool.ns, ROOT, after, &e), 1);
		after = place[n] = e.cookie;
	}
	for (unsigned gone = 0; gone < COUNT; gone++) {
		unsigned victim = (gone + 1) * STRIDE % COUNT;

		snprintf(name, sizeof(name), "%u", victim);
		cr_assert_eq(pool_unlink(&pool, ROOT, name), 0);
		place[victim] = 0;
		for (uint64_t from = 2; from <= after + 1; from++) {
			unsigned next = 0;
			int r = ns_next_entry(&pool.ns, ROOT, from, &e);

			while (next < COUNT && place[next] <= from)
				next++;
			cr_assert_eq(r, next < COUNT, "%u removed, after %d", gone + 1, (int)from);
			cr_assert(r == 0 || e.cookie == place[next]);
		}
	}
}
