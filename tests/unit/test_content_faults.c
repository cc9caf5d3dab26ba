// SPDX-License-Identifier: MIT
/* Content whose memory is bad, or gone: who meets it has an error, and nobody is given it again. */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "content_fixture.h"
#include "util/sigbus.h"

#define ROOT GM_ROOT_INO
#define UNIT ((uint64_t)GM_UNIT_SIZE)

static struct content c;
static int memory = -1;    /* a file, as long as the blocks that are there */
static uint8_t *mapped[8]; /* where a block of the content store is */
static char out[4096], unit[4096];

static int map_file(
	void *data, const struct file_extent *gap, uint64_t file_block, struct content_window *ret)
{
	(void)data, (void)gap;
	cr_assert(file_block < 8);
	*ret = (struct content_window){.file_block = file_block, .count = 1};
	ret->address = mmap(NULL, GM_BLOCK_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory,
		(off_t)(file_block * GM_BLOCK_SIZE));
	cr_assert_neq(ret->address, MAP_FAILED);
	mapped[file_block] = ret->address;
	return 0;
}

static void unmap_file(void *data, const struct content_window *w)
{
	(void)data;
	mapped[w->file_block] = NULL;
	(void)munmap(w->address, GM_BLOCK_SIZE);
}

static void make_memory(void)
{
	const struct content_source source = {
		.map = map_file, .unmap = unmap_file, .ops = &media_memory_ops};

	c.memory = content_memory_free(c.memory);
	cr_assert_eq(content_memory_new(&c.memory, store_meta(c.pool.store), &source), 0);
	c.pool.ns.memory = c.memory;
}

static void start(void)
{
	content_init(&c, 8);
	memory = memfd_create("content", MFD_CLOEXEC);
	cr_assert(memory >= 0 && ftruncate(memory, 8 * GM_BLOCK_SIZE) == 0);
	make_memory();
	cr_assert_eq(sigbus_init(), 0);
	memset(unit, 'u', sizeof(unit));
}

static void end(void)
{
	content_deinit(&c);
	(void)close(memory);
}

TestSuite(content_faults, .init = start, .fini = end);

static const struct units *units(void)
{
	return &store_meta(c.pool.store)->units;
}

/* As the kernel does for a memory error that nobody has touched yet. */
static void break_memory(void *address)
{
	siginfo_t info = {.si_signo = SIGBUS, .si_code = BUS_MCEERR_AO};

	info.si_addr = address;
	info.si_addr_lsb = 12;
	cr_assert_eq(syscall(SYS_rt_sigqueueinfo, getpid(), SIGBUS, &info), 0);
}

Test(content_faults, memory_that_is_gone_is_an_error_and_no_poison)
{
	uint64_t f = content_create(&c, "f");
	struct ns_fault fault;

	cr_assert_eq(content_write(&c, f, 0, unit, UNIT), 0);
	cr_expect_not(ns_next_fault(&c.pool.ns, &fault));
	cr_assert_eq(ftruncate(memory, 0), 0);
	cr_expect_eq(content_write(&c, f, 10, "x", 1), -EIO);
	cr_assert(ns_next_fault(&c.pool.ns, &fault));
	cr_expect_not(fault.poisoned);
	cr_expect_not(ns_next_fault(&c.pool.ns, &fault), "told once");
	content_memory_probe(c.memory, mapped[0] + 5, 10);
	cr_assert(ns_next_fault(&c.pool.ns, &fault), "what the kernel could not read");
	cr_expect_eq(content_write(&c, f, UNIT, "x", 1), -EIO, "a new unit");
	cr_expect_eq(pool_stat(&c.pool, f).st_size, (off_t)UNIT);
	cr_assert_eq(ftruncate(memory, 8 * GM_BLOCK_SIZE), 0);
	cr_expect_eq(content_write(&c, f, UNIT, "x", 1), 0);
	cr_expect_eq(pool_stats(&c.pool).poisoned, 0);
}

/* Each part of the work that touches memory: what is not committed yet leaves nothing behind. */
Test(content_faults, an_error_before_the_record_changes_nothing)
{
	uint64_t f = content_create(&c, "f");
	const struct ns_range hole = {.offset = 1, .length = 2},
			      more = {.offset = 0, .length = 2 * UNIT};
	const struct ns_change longer = {.set = NS_SET_SIZE, .size = 100};
	struct stat st;

	cr_assert_eq(content_write(&c, f, 0, unit, 7), 0);
	cr_assert_eq(ftruncate(memory, 0), 0);
	cr_expect_eq(content_write(&c, f, 7, "x", 1), -EIO, "the rest of the last unit");
	cr_expect_eq(content_write(&c, f, 3 * UNIT, "x", 1), -EIO, "zeroed as the file grows");
	cr_expect_eq(ns_setattr(&c.pool.ns, &c.pool.rq, f, &longer, &st), -EIO);
	cr_expect_eq(ns_change_space(&c.pool.ns, &c.pool.rq, f, NS_ALLOCATE, &more), -EIO);
	cr_expect_eq(ns_change_space(&c.pool.ns, &c.pool.rq, f, NS_PUNCH, &hole), -EIO);
	cr_expect_eq(pool_stat(&c.pool, f).st_size, 7);
	cr_expect_eq(pool_stat(&c.pool, f).st_blocks, 8);
	cr_assert_eq(ftruncate(memory, 8 * GM_BLOCK_SIZE), 0);
	cr_expect_eq(content_read(&c, f, 0, out, UNIT), 7);
}

Test(content_faults, a_memory_error_is_remembered_and_the_block_avoided)
{
	uint64_t f = content_create(&c, "f"), g = content_create(&c, "g");
	struct ns_fault fault;

	cr_assert_eq(content_write(&c, f, 0, unit, UNIT), 0);
	break_memory(mapped[0] + 3 * UNIT);
	cr_assert(ns_next_fault(&c.pool.ns, &fault));
	cr_expect(fault.poisoned && fault.error == 0);
	cr_expect_eq(pool_stats(&c.pool).poisoned, 1);
	cr_expect_eq(content_read(&c, f, 0, out, UNIT), -EIO);
	cr_expect_eq(content_write(&c, f, 0, "x", 1), -EIO);
	cr_expect_eq(content_write(&c, g, 0, "g", 1), 0, "it is put elsewhere");
	cr_expect_eq(units()->there, 2);
	cr_expect_eq(content_write(&c, f, UNIT, "f", 1), 0);
	break_memory(mapped[0]);
	cr_assert(ns_next_fault(&c.pool.ns, &fault));
	cr_expect_eq(pool_stats(&c.pool).poisoned, 1, "once is enough");

	/* A worker that comes next knows it, from the journal or from a checkpoint. */
	for (int n = 0; n < 2; n++) {
		c.memory = content_memory_free(c.memory);
		pool_reopen(&c.pool, n == 1);
		make_memory();
		cr_expect_eq(units()->bad, 1);
		cr_expect_eq(content_read(&c, f, 0, out, UNIT), -EIO);
		cr_expect_eq(content_read(&c, g, 0, out, UNIT), 1);
		cr_assert_eq(store_checkpoint(c.pool.store), 0);
	}
	cr_assert_eq(pool_unlink(&c.pool, ROOT, "f"), 0);
	cr_assert_eq(ns_trim_contents(&c.pool.ns, &c.pool.rq, true), 0);
	cr_expect_eq(units()->bad, 0, "it is not the store's any more, and nobody's ever again");
	cr_expect_eq(pool_stats(&c.pool).poisoned, 1);
}

static void note_stray(void *data, const struct sigbus *what)
{
	*(struct sigbus *)data = *what;
}

/* Also where no file has content: the metadata's errors come by here. */
Test(content_faults, a_memory_error_elsewhere_is_no_block_of_content)
{
	struct sigbus stray = {.address = 0};
	struct ns_fault fault;

	content_memory_on_stray(c.memory, note_stray, &stray);
	for (int n = 0; n < 2; n++) {
		stray.address = 0;
		break_memory(out);
		cr_expect_not(ns_next_fault(&c.pool.ns, &fault));
		cr_expect_eq(stray.address, (uintptr_t)out & ~(uintptr_t)63);
		cr_expect_eq(stray.length, 4096);
		cr_expect(stray.poisoned);
		cr_assert_eq(
			content_write(&c, content_create(&c, n ? "g" : "f"), 0, unit, UNIT), 0);
	}
}
