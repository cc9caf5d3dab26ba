// SPDX-License-Identifier: MIT
/* The parts of the runtime table: slots, what is open, and which bytes can be a request. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/mman.h>

#include "fuse/request_check.h"
#include "fuse/runtime_table.h"
#include "pool_fixture.h"
#include "util/cleanup.h"
#include "util/memfd.h"

static struct runtime_table table;
static int populate_error; /* that the kernel has for MADV_POPULATE_WRITE */

int __real_madvise(void *address, size_t length, int advice);
int __wrap_madvise(void *address, size_t length, int advice);

int __wrap_madvise(void *address, size_t length, int advice)
{
	if (advice != MADV_POPULATE_WRITE || populate_error == 0)
		return __real_madvise(address, length, advice);
	errno = populate_error;
	return -1;
}

static void setup(void)
{
	struct problem why = PROBLEM_INIT;
	_cleanup_fd_ int fd = runtime_table_make(&why);

	cr_assert_geq(fd, 0, "%s", why.text);
	cr_expect_eq(fcntl(fd, F_GET_SEALS) & ~MEMFD_SEAL_EXEC,
		F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	cr_assert_eq(runtime_table_map(&table, fd, &why), 0, "%s", why.text);
	cr_assert(runtime_table_begin(&table));
}

static void teardown(void)
{
	runtime_table_unmap(&table);
}

TestSuite(runtime_table, .init = setup, .fini = teardown);

/* ---- slots ---- */

static struct slots slots;

static void begin_slots(void)
{
	slots_init(&slots, &table.header->slots, table.slots);
}

static uint32_t take(uint64_t unique, uint32_t opcode)
{
	uint32_t n = slots_next(&slots);

	cr_assert_neq(n, SLOTS_MAX);
	*slots_request(&slots, n) = (struct fuse_in_header){
		.len = sizeof(struct fuse_in_header), .opcode = opcode, .unique = unique};
	slots_take(&slots, n);
	return n;
}

Test(runtime_table, a_request_is_there_for_the_next_worker_until_it_is_answered)
{
	uint32_t list[SLOTS_MAX], third;

	begin_slots();
	(void)take(30, FUSE_STATFS);
	(void)take(10, FUSE_STATFS);
	third = take(20, FUSE_STATFS);
	table.header->slots.states[third].interrupted = 1;
	table.header->slots.serving.unique = 20;
	begin_slots();
	cr_assert_eq(slots_list(&slots, 20, list), 3);
	cr_expect_eq(slots_request(&slots, list[0])->unique, 20, "the one that was carried out");
	cr_expect_eq(slots_request(&slots, list[1])->unique, 10);
	cr_expect_eq(slots_request(&slots, list[2])->unique, 30);
	cr_expect_eq(slots_find(&slots, 20), third);
	cr_expect_eq(table.header->slots.states[third].interrupted, 1);
	cr_expect_eq(table.header->slots.states[third].deaths, 1);
	cr_expect_eq(table.header->slots.states[list[1]].deaths, 0);
	slots_free(&slots, third);
	begin_slots();
	cr_expect_eq(slots_list(&slots, 0, list), 2);
	cr_expect_eq(slots_find(&slots, 20), SLOTS_MAX);
	third = take(40, FUSE_STATFS);
	cr_expect_eq(table.header->slots.states[third].interrupted, 0);
}

static uint16_t deaths_after(uint32_t n, uint64_t step)
{
	table.header->slots.serving = (struct slots_serving){.unique = 20, .step = step};
	begin_slots();
	return table.header->slots.states[n].deaths;
}

/* A request that takes long is not to be given up because somebody kills workers all the time. */
Test(runtime_table, deaths_count_from_where_one_has_got_further)
{
	uint32_t n;

	begin_slots();
	n = take(20, FUSE_FALLOCATE);
	cr_expect_eq(deaths_after(n, 0), 1);
	cr_expect_eq(deaths_after(n, 0), 2);
	cr_expect_eq(deaths_after(n, 5), 1, "it has got to the fifth");
	cr_expect_eq(deaths_after(n, 4), 2, "another one has been there");
	cr_expect_eq(deaths_after(n, 5), 3);
	cr_expect_eq(deaths_after(n, 6), 1);
	cr_expect_eq(deaths_after(n, UINT64_MAX), 1);
	cr_expect_eq(deaths_after(n, UINT64_MAX), 2, "as far as can be counted");
	slots_free(&slots, n);
	n = take(20, FUSE_FALLOCATE);
	cr_expect_eq(deaths_after(n, 1), 1, "another request");
}

Test(runtime_table, slots_end_and_come_back)
{
	uint32_t list[SLOTS_MAX];

	begin_slots();
	for (uint32_t n = 0; n < SLOTS_MAX; n++)
		(void)take(2 * n + 2, FUSE_STATFS);
	cr_assert_eq(slots_next(&slots), SLOTS_MAX);
	begin_slots();
	cr_assert_eq(slots_next(&slots), SLOTS_MAX);
	cr_assert_eq(slots_list(&slots, 0, list), SLOTS_MAX);
	for (uint32_t n = 0; n < SLOTS_MAX; n++)
		slots_free(&slots, list[n]);
	for (uint32_t n = 0; n < SLOTS_MAX; n++)
		(void)take(2 * n + 2, FUSE_STATFS);
	cr_assert_eq(slots_next(&slots), SLOTS_MAX);
}

static size_t pages_of(uint32_t n)
{
	unsigned char there[SLOT_BYTES / 4096];
	size_t count = 0;

	cr_assert_eq(mincore(slots_request(&slots, n), SLOT_BYTES, there), 0);
	for (size_t i = 0; i < sizeof(there); i++)
		count += there[i] & 1;
	return count;
}

Test(runtime_table, what_waits_keeps_the_memory_of_its_request_and_no_more)
{
	uint32_t n, list[SLOTS_MAX];

	begin_slots();
	for (unsigned i = 1; i <= 8; i++)
		(void)take(2 * i, FUSE_SETATTR);
	for (uint32_t at = 0; at < slots_list(&slots, 0, list); at++) {
		slots_put_aside(&slots, list[at]);
		cr_expect_eq(pages_of(list[at]), 1);
		cr_expect_eq(slots_request(&slots, list[at])->unique, 2 * at + 2);
	}
	n = take(40, FUSE_WRITE);
	memset(slots_request(&slots, n) + 1, 1, 5000);
	slots_request(&slots, n)->len += 5000;
	slots_put_aside(&slots, n);
	cr_expect_eq(pages_of(n), 2);
	begin_slots(); /* another worker frees what it has not populated */
	for (uint32_t at = 0, count = slots_list(&slots, 0, list); at < count; at++)
		slots_free(&slots, list[at]);
	for (uint32_t at = 0; at < 9; at++)
		cr_expect_eq(pages_of(at), 0);
}

Test(runtime_table, the_next_slot_has_its_memory_also_on_a_kernel_that_can_not_be_asked_for_it)
{
	begin_slots();
	populate_error = EINVAL;
	cr_expect_eq(pages_of(slots_next(&slots)), SLOT_BYTES / 4096);
}

Test(runtime_table, memory_that_was_short_is_asked_for_again)
{
	uint32_t n;

	begin_slots();
	populate_error = ENOMEM;
	n = slots_next(&slots);
	cr_expect_eq(pages_of(n), 0);
	populate_error = 0;
	cr_expect_eq(slots_next(&slots), n);
	cr_expect_eq(pages_of(n), SLOT_BYTES / 4096);
}

/* ---- what is open ---- */

Test(runtime_table, what_is_open_is_counted_once_for_each_request)
{
	struct open_table t;
	struct inode a = {.attr.ino = 5}, b = {.attr.ino = 6};

	open_table_init(&t, table.opens, &table.header->opens_used, 1);
	cr_assert_eq(open_table_add(&t, &a, 10), 0);
	cr_assert_eq(open_table_add(&t, &a, 10), 0, "again");
	cr_expect_eq(a.opens, 1);
	cr_assert_eq(open_table_add(&t, &a, 0), 0);
	cr_assert_eq(open_table_add(&t, &a, 0), 0, "no request is not known again");
	cr_expect_eq(a.opens, 3);
	cr_expect_eq(open_table_add(&t, &b, 12), -ENFILE, "there is one place");
	cr_expect_eq(b.opens, 0);
	open_table_drop(&t, &a, 14);
	open_table_drop(&t, &a, 14);
	cr_expect_eq(a.opens, 2);
	open_table_drop(&t, &a, 16);
	open_table_drop(&t, &a, 18);
	cr_expect_eq(a.opens, 0);
	cr_expect_eq(open_table_add(&t, &b, 20), 0);
	a.opens = OPENS_COUNT_MAX;
	cr_expect_eq(open_table_add(&t, &a, 22), -ENFILE);
	open_table_deinit(&t);
}

Test(runtime_table, of_what_is_said_to_be_open_only_inodes_are_each_once)
{
	struct open_table t;
	struct pool pool;
	uint64_t f, count = 1ULL << 40;

	pool_init(&pool, 4, 100, true);
	f = pool_create(&pool, GM_ROOT_INO, "f");
	table.opens[0] = (struct open_entry){f, 3 * count};
	table.opens[1] = (struct open_entry){f, 7 * count};
	table.opens[2] = (struct open_entry){999, count};
	table.opens[3] = (struct open_entry){GM_ROOT_INO, count - 1}; /* a free one */
	table.header->opens_used = 4;
	open_table_init(&t, table.opens, &table.header->opens_used, RUNTIME_TABLE_OPENS);
	cr_expect_eq(open_table_adopt(&t, store_meta(pool.store)), 1);
	cr_expect_eq(pool_inode(&pool, f)->opens, 7, "the last one that says so");
	cr_expect_eq(pool_inode(&pool, GM_ROOT_INO)->opens, 0);
	cr_expect_eq(t.free_count, 3);
	pool.ns.opens = &t;
	for (unsigned n = 0; n < 7; n++)
		cr_assert_eq(ns_release(&pool.ns, f, 2 * n + 2), 0);
	for (unsigned n = 0; n < 4; n++)
		cr_expect_eq(table.opens[n].word >> 40, 0);
	open_table_deinit(&t);
	pool_deinit(&pool);
}

/* As in the next worker's memory. */
static void adopt_anew(struct pool *pool, struct open_table *t, uint64_t ino)
{
	struct inode *i = meta_inode(store_meta(pool->store), ino);

	i->opens = 0;
	i->open_place = 0;
	i->opened_unmarked = false;
	open_table_deinit(t);
	open_table_init(t, table.opens, &table.header->opens_used, RUNTIME_TABLE_OPENS);
	cr_assert_eq(open_table_adopt(t, store_meta(pool->store)), 1);
}

Test(runtime_table, what_was_open_before_its_content_mark_stays_known_as_that)
{
	const struct ns_xattr mark = {.name = "user.guestmemfs.io", .value = "1", .value_len = 1};
	struct open_table t;
	struct pool pool;
	uint64_t f;

	pool_init(&pool, 4, 100, true);
	f = pool_create(&pool, GM_ROOT_INO, "f");
	open_table_init(&t, table.opens, &table.header->opens_used, RUNTIME_TABLE_OPENS);
	pool.ns.opens = &t;
	cr_assert_eq(ns_open(&pool.ns, f, 2), 0);
	cr_assert_eq(ns_setxattr(&pool.ns, &pool.rq, f, &mark), 0);
	cr_expect_not(ns_may_be_cached(&pool.ns, f));
	adopt_anew(&pool, &t, f);
	cr_expect_not(ns_may_be_cached(&pool.ns, f), "the same open file writes past the cache");
	cr_assert_eq(ns_release(&pool.ns, f, 4), 0);
	cr_assert_eq(ns_open(&pool.ns, f, 6), 0);
	adopt_anew(&pool, &t, f);
	cr_expect(ns_may_be_cached(&pool.ns, f), "all have closed it once");
	open_table_deinit(&t);
	pool_deinit(&pool);
}

/* ---- requests ---- */

Test(runtime_table, a_request_has_all_that_it_says)
{
	static const struct {
		uint32_t opcode;
		size_t fixed; /* zeros, but for the first word */
		uint32_t word;
		const char *rest;
		size_t rest_size;
		bool sound;
	} cases[] = {
		{FUSE_STATFS, 0, 0, NULL, 0, true},
		{4711, 0, 0, NULL, 0, true},
		{FUSE_LOOKUP, 0, 0, "name", 5, true},
		{FUSE_LOOKUP, 0, 0, "name", 4, false},
		{FUSE_LOOKUP, 0, 0, NULL, 0, false},
		{FUSE_RENAME, 8, 0, "a\0b", 4, true},
		{FUSE_RENAME, 8, 0, "a\0b", 3, false},
		{FUSE_RENAME, 8, 0, "a", 2, false},
		{FUSE_RENAME, 4, 0, NULL, 0, false},
		{FUSE_SETXATTR, 8, 3, "user.n\0abc", 10, true},
		{FUSE_SETXATTR, 8, 4, "user.n\0abc", 10, false},
		{FUSE_SETXATTR, 8, UINT32_MAX, "user.n\0abc", 10, false},
		{FUSE_BATCH_FORGET, 8, 1, "0123456789abcdef", 16, true},
		{FUSE_BATCH_FORGET, 8, 2, "0123456789abcdef", 16, false},
		{FUSE_BATCH_FORGET, 8, UINT32_MAX, "0123456789abcdef", 16, false},
		{FUSE_WRITE, sizeof(struct fuse_write_in) - 1, 0, NULL, 0, false},
		{FUSE_WRITE, sizeof(struct fuse_write_in), 0, NULL, 0, true},
		{FUSE_IOCTL, sizeof(struct fuse_ioctl_in), 0, NULL, 0, true},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		_Alignas(8) uint8_t bytes[256] = {0};
		struct fuse_in_header h = {.opcode = cases[n].opcode};
		uint8_t *at = bytes + sizeof(h);

		h.len = (uint32_t)(sizeof(h) + cases[n].fixed + cases[n].rest_size);
		memcpy(bytes, &h, sizeof(h));
		if (cases[n].fixed >= 4)
			memcpy(at, &cases[n].word, 4);
		if (cases[n].rest_size)
			memcpy(at + cases[n].fixed, cases[n].rest, cases[n].rest_size);
		memset(at + cases[n].fixed + cases[n].rest_size, 'x', 8);
		cr_expect_eq(request_is_sound((void *)bytes, sizeof(bytes)), cases[n].sound,
			"case %zu", n);
		cr_expect_not(request_is_sound((void *)bytes, h.len - 1), "case %zu", n);
	}
}

Test(runtime_table, data_that_a_request_claims_is_in_it)
{
	_Alignas(8) uint8_t bytes[256] = {0};
	struct fuse_in_header h = {.opcode = FUSE_WRITE};
	struct fuse_write_in write = {.size = 10};
	struct fuse_ioctl_in ioctl = {.in_size = 10};

	for (uint32_t more = 9; more <= 11; more++) {
		h.opcode = FUSE_WRITE;
		h.len = (uint32_t)(sizeof(h) + sizeof(write) + more);
		memcpy(bytes, &h, sizeof(h));
		memcpy(bytes + sizeof(h), &write, sizeof(write));
		cr_expect_eq(request_is_sound((void *)bytes, sizeof(bytes)), more >= 10);
		h.opcode = FUSE_IOCTL;
		h.len = (uint32_t)(sizeof(h) + sizeof(ioctl) + more);
		memcpy(bytes, &h, sizeof(h));
		memcpy(bytes + sizeof(h), &ioctl, sizeof(ioctl));
		cr_expect_eq(request_is_sound((void *)bytes, sizeof(bytes)), more >= 10);
	}
}
