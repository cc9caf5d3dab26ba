// SPDX-License-Identifier: MIT
#include "fuse/runtime_table.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuse/request_check.h"
#include "util/cleanup.h"
#include "util/memfd.h"

#define MAGIC 0x656c626174206d67ULL /* "gm table" */

/* Room for what later versions may want: nothing is there until it is written to. */
#define FILE_BYTES (4ULL << 30)

#define TICKETS_OFFSET RUNTIME_HEADER_BYTES
#define TICKETS_BYTES  ((sizeof(struct tickets_shared) + 4095) / 4096 * 4096)
#define OPENS_OFFSET   (TICKETS_OFFSET + TICKETS_BYTES)
#define SLOTS_OFFSET   (OPENS_OFFSET + RUNTIME_TABLE_OPENS * sizeof(struct open_entry))
#define MAP_BYTES      (SLOTS_OFFSET + (size_t)SLOTS_MAX * SLOT_BYTES)
static_assert(MAP_BYTES <= FILE_BYTES && SLOTS_OFFSET % 4096 == 0, "runtime table");

static int not_made(int error, struct problem *why)
{
	if (error == EFBIG)
		return problem(why, EFBIG,
			"making the workers' runtime table: no file may be larger than "
			"RLIMIT_FSIZE (ulimit -f), and this one is of %llu GiB, next to nothing of "
			"which is ever used",
			FILE_BYTES >> 30);
	return problem_errno(why, error, "making the workers' runtime table");
}

int runtime_table_make(struct problem *why)
{
	_cleanup_fd_ int fd = memfd_make("guestmemfs-runtime");

	if (fd < 0)
		return not_made(-fd, why);
	/* A worker must not be able to take the memory away under its successor. */
	if (ftruncate(fd, (off_t)FILE_BYTES) < 0 ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return not_made(errno, why);
	return steal_fd(&fd);
}

int runtime_table_map(struct runtime_table *ret, int fd, struct problem *why)
{
	uint8_t *at = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		return problem_errno(why, errno, "mapping the runtime table");
	(void)madvise(at, MAP_BYTES, MADV_DONTDUMP); /* it has other people's requests */
	*ret = (struct runtime_table){
		.header = (struct runtime_header *)(void *)at,
		.tickets = (struct tickets_shared *)(void *)(at + TICKETS_OFFSET),
		.opens = (struct open_entry *)(void *)(at + OPENS_OFFSET),
		.slots = at + SLOTS_OFFSET,
	};
	return 0;
}

void runtime_table_unmap(struct runtime_table *t)
{
	if (t->header)
		(void)munmap(t->header, MAP_BYTES);
	*t = RUNTIME_TABLE_NULL;
}

bool runtime_table_begin(struct runtime_table *t)
{
	struct runtime_header *h = t->header;

	if (h->magic == 0) {
		h->version = RUNTIME_TABLE_VERSION;
		__atomic_store_n(&h->magic, MAGIC, __ATOMIC_RELEASE);
	}
	return h->magic == MAGIC && h->version == RUNTIME_TABLE_VERSION;
}

bool runtime_table_has_init(const struct runtime_table *t)
{
	const struct runtime_header *h = t->header;
	const struct fuse_in_header *request = (const void *)h->init_request;

	return h->init_reply_size >= sizeof(struct fuse_out_header) &&
	       h->init_reply_size <= sizeof(h->init_reply) &&
	       h->init_request_size <= sizeof(h->init_request) &&
	       request->len == h->init_request_size && request->opcode == FUSE_INIT &&
	       request_is_sound(request, sizeof(h->init_request));
}
