// SPDX-License-Identifier: MIT
/* The succession token in the stamps, also where a crash tore the storing of it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pool/pool.h"
#include "region/ledger.h"
#include "util/cleanup.h"
#include "util/sigbus.h"

#define REGIONS 2
#define SIZE    (64ULL << 20)

/* The run directory is no affair of this test. */
int __wrap_ledger_forget(const struct region *region, struct problem *why);

int __wrap_ledger_forget(const struct region *region, struct problem *why)
{
	(void)region, (void)why;
	return 0;
}

/* Which copies of the superblock can't be read: bit 0 the first, bit 1 the second. */
static unsigned unreadable, copies_read;

int __real_sigbus_copy(void *to, const void *from, size_t length, struct sigbus *ret);
int __wrap_sigbus_copy(void *to, const void *from, size_t length, struct sigbus *ret);

int __wrap_sigbus_copy(void *to, const void *from, size_t length, struct sigbus *ret)
{
	if (length == sizeof(struct gm_super) && unreadable & 1U << copies_read++ % 2) {
		if (ret)
			*ret = (struct sigbus){.address = (uintptr_t)from, .poisoned = true};
		return -EIO;
	}
	return __real_sigbus_copy(to, from, length, ret);
}

static struct pool pool;
static int fds[REGIONS];

static void setup(void)
{
	const struct pool_format plain = {.force_option = "--force"};
	struct problem why = PROBLEM_INIT;

	for (int n = 0; n < REGIONS; n++) {
		fds[n] = memfd_create("region", MFD_CLOEXEC);
		cr_assert_geq(fds[n], 0);
		cr_assert_eq(ftruncate(fds[n], (off_t)SIZE), 0);
		cr_assert_eq(
			pool_adopt(&pool, GM_REGION_FILE, dup(fds[n]), n ? "1" : "0", &why), 0);
	}
	cr_assert_eq(pool_format(&pool, &plain, &why), 0, "%s", why.text);
}

static void teardown(void)
{
	pool_close(&pool);
	for (int n = 0; n < REGIONS; n++)
		(void)close(fds[n]);
}

TestSuite(pool_stamps, .init = setup, .fini = teardown);

static bool agree(const uint8_t token[16])
{
	bool yes;

	cr_assert_eq(pool_stamps_agree(&pool, token, &yes, NULL), 0);
	return yes;
}

/* Of the stamp in the first or last block the byte at `place` becomes another one. */
static void damage(int region, int position, uint64_t place)
{
	off_t at = (off_t)((position ? SIZE - GM_BLOCK_SIZE : 0) + GM_STAMP_OFFSET + place);
	uint8_t byte;

	cr_assert_eq(pread(fds[region], &byte, 1, at), 1);
	byte ^= 0x55;
	cr_assert_eq(pwrite(fds[region], &byte, 1, at), 1);
}

/* A mount that is killed while it stores a token must not cost the pool; but what is half of one is
 * no token. */
Test(pool_stamps, a_stamp_whose_token_is_torn_is_mended)
{
	static const uint64_t places[] = {40, 55, 120, 127}; /* token, checksum */
	const uint8_t token[16] = {1, 2, 3}, other[16] = {4};

	cr_assert_eq(pool_write_stamps(&pool, token, NULL), 0);
	cr_assert(agree(token));
	cr_expect_not(agree(other));
	for (int region = 0; region < REGIONS; region++)
		for (int position = 0; position < 2; position++)
			for (size_t n = 0; n < ARRAY_SIZE(places); n++) {
				struct problem why = PROBLEM_INIT;

				damage(region, position, places[n]);
				cr_expect_not(agree(token));
				cr_assert_eq(pool_load(&pool, true, &why), 0, "%s", why.text);
				cr_assert_eq(pool_write_stamps(&pool, token, &why), 0);
				cr_expect(agree(token));
			}
}

Test(pool_stamps, a_stamp_that_is_damaged_elsewhere_refuses_the_pool)
{
	static const uint64_t places[] = {0, 8, 24, 28, 32, 56, 119};

	for (int region = 0; region < REGIONS; region++)
		for (int position = 0; position < 2; position++)
			for (size_t n = 0; n < ARRAY_SIZE(places); n++) {
				struct problem why = PROBLEM_INIT;

				damage(region, position, places[n]);
				cr_expect_eq(pool_load(&pool, true, &why), -EUCLEAN);
				cr_expect(
					strstr(why.text, "is missing or damaged"), "%s", why.text);
				damage(region, position, places[n]);
			}
}

Test(pool_stamps, one_whose_memory_is_gone_is_an_error)
{
	const uint8_t token[16] = {1, 2, 3};
	struct problem why = PROBLEM_INIT;
	bool yes;

	cr_assert_eq(sigbus_init(), 0);
	cr_assert_eq(pool_keep_stamps(&pool, &why), 0, "%s", why.text);
	cr_assert_eq(ftruncate(fds[1], (off_t)(SIZE - GM_BLOCK_SIZE)), 0);
	cr_expect_eq(pool_write_stamps(&pool, token, &why), -EIO);
	cr_expect_not_null(strstr(why.text, "the stamp in its last block can't be written: the "
					    "memory is not there any more"),
		"%s", why.text);
	cr_expect_eq(pool_stamps_agree(&pool, token, &yes, &why), -EIO);
	cr_expect_not_null(
		strstr(why.text, "can't be read at offset 0x3e03000: the memory"), "%s", why.text);
}

/* As when a worker is started anew: all is there, and nothing is written that might not be. */
Test(pool_stamps, what_is_stamped_is_not_written_to)
{
	const uint8_t token[16] = {1, 2, 3}, other[16] = {4};
	struct problem why = PROBLEM_INIT;

	cr_assert_eq(pool_keep_stamps(&pool, &why), 0, "%s", why.text);
	cr_assert_eq(pool_write_stamps(&pool, token, &why), 0, "%s", why.text);
	for (int n = 0; n < 2 * REGIONS; n++)
		cr_assert_eq(mprotect(pool.kept[n / 2][n % 2], GM_BLOCK_SIZE, PROT_READ), 0);
	cr_assert_eq(pool_write_stamps(&pool, token, &why), 0, "%s", why.text);
	for (int n = 0; n < 2 * REGIONS; n++)
		cr_assert_eq(
			mprotect(pool.kept[n / 2][n % 2], GM_BLOCK_SIZE, PROT_READ | PROT_WRITE),
			0);
	cr_assert_eq(pool_write_stamps(&pool, other, &why), 0, "%s", why.text);
	cr_expect(agree(other));
}

struct fault_row {
	uintptr_t at;
	size_t page;
	bool found;
	uint64_t offset, length;
};

static void expect_found(const struct fault_row *row)
{
	const struct sigbus what = {.address = row->at, .length = row->page};
	uint64_t offset = 0, length = 0;

	cr_expect_eq(pool_find_fault(&pool, &what, &offset, &length), row->found, "0x%lx",
		(unsigned long)row->at);
	cr_expect_eq(offset, row->offset);
	cr_expect_eq(length, row->length);
}

/* Of a large page the part counts that is metadata. */
Test(pool_stamps, a_memory_error_is_found_in_the_metadata)
{
	uintptr_t base = (uintptr_t)pool.media.base, size = pool.media.size;
	const struct fault_row rows[] = {
		{base + 0x2345, 4096, true, 0x2000, 4096},
		{base + 0x2345, 0, true, 0x2000, 4096},
		{base, 4096, true, 0, 4096},
		{base + size - 1, 4096, true, size - 4096, 4096},
		{base - 1, 4096, false, 0, 0},
		{base + size, 4096, false, 0, 0},
		{base + 5, (size_t)1 << 46, true, 0, size},
	};

	for (size_t n = 0; n < ARRAY_SIZE(rows); n++)
		expect_found(&rows[n]);
}

/* Where the blocks of the stamps are mapped, too: the first one is metadata there as well. */
Test(pool_stamps, a_memory_error_is_found_in_the_first_block)
{
	struct problem why = PROBLEM_INIT;

	cr_assert_eq(pool_keep_stamps(&pool, &why), 0, "%s", why.text);
	expect_found(
		&(struct fault_row){(uintptr_t)pool.kept[0][0] + 0x3000, 4096, true, 0x3000, 4096});
	expect_found(&(struct fault_row){(uintptr_t)pool.kept[0][1] + 0x3000, 4096, false, 0, 0});
}

Test(pool_stamps, a_superblock_that_can_not_be_read_is_a_damaged_one)
{
	for (unreadable = 0; unreadable < 4; unreadable++) {
		struct problem why = PROBLEM_INIT;
		int r = pool_load(&pool, true, &why);

		cr_expect_eq(r, unreadable < 3 ? 0 : -EIO, "%s", why.text);
		for (unsigned k = 0; k < 2 && r == 0; k++)
			cr_expect_eq(pool.super.copy_bad[k], (bool)(unreadable >> k & 1));
		if (r < 0)
			cr_expect_not_null(
				strstr(why.text, "can't be read at offset 0x0: the memory is bad"),
				"%s", why.text);
	}
}
