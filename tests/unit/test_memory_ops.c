// SPDX-License-Identifier: MIT
/*
 * The FUSE operations when memory runs out at any call for it: the kernel has exactly one answer to
 * each request, at once or when what it waits for has come, and the same request is served then.
 */
#include <linux/falloc.h>

#include "ops_fixture.h"
#include "scarce_fixture.h"
#include "util/cleanup.h"

TestSuite(memory_ops, .init = ops_setup, .fini = ops_teardown);

#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

static uint64_t file, held; /* made anew for each try */

static void request_create(void)
{
	struct {
		struct fuse_create_in in;
		char name[4];
	} m = {.in = {.mode = S_IFREG | 0600, .flags = O_RDWR}, .name = "new"};

	send_request(FUSE_CREATE, ROOT, &m.in, sizeof(m.in), m.name, sizeof(m.name));
}

static void request_mkdir(void)
{
	struct fuse_mkdir_in in = {.mode = 0700};

	send_request(FUSE_MKDIR, ROOT, &in, sizeof(in), "new", 4);
}

static void request_unlink(void)
{
	send_request(FUSE_UNLINK, ROOT, "file", 5, NULL, 0);
}

static void request_readdir(void)
{
	struct fuse_read_in in = {.size = 4096};

	send_request(FUSE_READDIR, ROOT, &in, sizeof(in), NULL, 0);
}

static void request_listxattr(void)
{
	struct fuse_getxattr_in in = {.size = 4096};

	send_request(FUSE_LISTXATTR, file, &in, sizeof(in), NULL, 0);
}

static void request_size(uint64_t ino, uint64_t size)
{
	struct fuse_setattr_in in = {.valid = FATTR_SIZE, .size = size};

	send_request(FUSE_SETATTR, ino, &in, sizeof(in), NULL, 0);
}

static void request_grow(void)
{
	request_size(file, 14 * MIB);
}

/* It waits for the helper's word that nobody has the file any more. */
static void request_shrink_held(void)
{
	request_size(held, MIB);
}

static void request_fallocate(void)
{
	struct fuse_fallocate_in in = {.length = 12 * MIB};

	send_request(FUSE_FALLOCATE, file, &in, sizeof(in), NULL, 0);
}

/* It waits until its ends are zeroed. */
static void request_punch(void)
{
	struct fuse_fallocate_in in = {.mode = PUNCH, .offset = MIB, .length = 2 * MIB};

	send_request(FUSE_FALLOCATE, file, &in, sizeof(in), NULL, 0);
}

static const struct request {
	const char *name;
	void (*send)(void);
	unsigned fewest; /* calls that could fail */
} requests[] = {
	{"create", request_create, 3},
	{"mkdir", request_mkdir, 3},
	{"unlink", request_unlink, 1},
	{"readdir", request_readdir, 1},
	{"listxattr", request_listxattr, 1},
	{"grow", request_grow, 2},
	{"shrink what is held", request_shrink_held, 1},
	{"fallocate", request_fallocate, 2},
	{"punch", request_punch, 1},
};

static void make_files(void)
{
	file = pool_create(&pool, ROOT, "file");
	cr_assert_eq(pool_resize(&pool, file, 4 * MIB), 0);
	pool_clean(&pool, file);
	held = make_held("held", 4 * MIB);
}

/* What the helper answers to whatever the request waits for. */
static void answer(void)
{
	if (reply.count == 0 && zeroed.count > 0)
		ops_take_zeroed(&ops, zeroed.count, 0);
	if (reply.count == 0 && checked_count > 0)
		ops_recheck(&ops, held, true);
	checked_count = 0;
}

static bool fails_at(const struct request *rq, unsigned long n, enum scarce how)
{
	make_files();
	scarce_begin(n, how);
	rq->send();
	answer();
	bool failed = scarce_end();
	answer();
	cr_assert_eq(reply.count, 1, "%s, call %lu: %u answers", rq->name, n, reply.count);
	cr_assert(reply.error == 0 || reply.error == -ENOMEM || rq->send == request_shrink_held,
		"%s, call %lu: %d", rq->name, n, reply.error);
	cr_assert(reply.error != -ENOMEM || failed, "%s", rq->name);
	if (reply.error == -ENOMEM) {
		rq->send();
		answer();
		cr_assert_eq(reply.count, 1, "%s, call %lu", rq->name, n);
		cr_assert_neq(reply.error, -ENOMEM, "%s, call %lu", rq->name, n);
	}
	return failed;
}

Test(memory_ops, the_kernel_has_one_answer)
{
	for (size_t k = 0; k < ARRAY_SIZE(requests); k++)
		for (unsigned how = 0; how < SCARCE_MODES; how++) {
			unsigned long n = 0;
			bool failed;

			do {
				failed = fails_at(&requests[k], n, (enum scarce)how);
				n += failed;
				ops_teardown();
				ops_setup();
			} while (failed);
			cr_expect_geq(n, requests[k].fewest, "%s: only %lu calls could fail",
				requests[k].name, n);
		}
}
