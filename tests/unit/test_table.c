// SPDX-License-Identifier: MIT
/*
 * The table against a plain array: whatever the hashes do, what was put in is found, and only that.
 */
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdlib.h>

#include "store/table.h"

struct thing {
	uint64_t hash;
	bool in;
};

static bool holds(const struct table *t, const struct thing *x)
{
	size_t at = 0;

	for (void *p = table_first(t, x->hash, &at); p; p = table_next(t, x->hash, &at))
		if (p == x)
			return true;
	return false;
}

Test(table, random_insertions_and_removals_with_colliding_hashes)
{
	static struct thing things[500];
	const char *seed_text = getenv("GM_SEED");
	unsigned seed = seed_text ? (unsigned)strtoul(seed_text, NULL, 10) : 42;
	struct table t = TABLE_NULL;
	size_t count = 0;

	cr_log_info("seed %u", seed);
	srandom(seed);
	for (size_t n = 0; n < 500; n++)
		things[n].hash = (uint64_t)random() % 40 + ((uint64_t)random() % 3 << 60);
	for (unsigned step = 0; step < 20000; step++) {
		struct thing *x = &things[random() % 500];

		if (x->in) {
			table_remove(&t, x->hash, x);
			count--;
		} else {
			cr_assert_eq(table_reserve(&t, 1), 0);
			table_insert(&t, x->hash, x);
			count++;
		}
		x->in = !x->in;
		if (step % 100 != 0)
			continue;
		cr_assert_eq(t.count, count);
		for (size_t n = 0; n < 500; n++)
			cr_assert_eq(holds(&t, &things[n]), things[n].in, "thing %zu at step %u", n,
				step);
	}
	size_t seen = 0;
	for (size_t c = 0; table_each(&t, &c);)
		seen++;
	cr_assert_eq(seen, count);
	table_deinit(&t);
}

Test(table, room_that_was_reserved_is_there)
{
	static struct thing things[1000];
	struct table t = TABLE_NULL;

	cr_assert_eq(table_reserve(&t, 1000), 0);
	size_t capacity = t.capacity;
	for (size_t n = 0; n < 1000; n++)
		table_insert(&t, n, &things[n]);
	cr_assert_eq(t.capacity, capacity);
	table_deinit(&t);
}
