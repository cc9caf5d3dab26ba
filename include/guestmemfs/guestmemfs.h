/* SPDX-License-Identifier: MIT */
/*
 * libguestmemfs: the memory of a file on a guestmemfs mount, mapped into this process.
 *
 *	int fd = open("/mnt/gm/vm0", O_RDWR | O_CLOEXEC);
 *	struct gm_attachment *a;
 *	int r = gm_attach(fd, &a);
 *	void *p = r < 0 ? NULL : gm_map(a, NULL, 0, gm_size(a), PROT_READ | PROT_WRITE, 0);
 *
 * Functions return 0 (or a pointer) on success. Those that return int give a negative errno;
 * gm_last_problem() then has a sentence for it. The library keeps no global state but that sentence
 * (one a thread), starts no threads, sets no signal handlers, and may be used from several threads
 * as long as each attachment is used by one at a time. The headers need C11 or C++11.
 */
#ifndef GUESTMEMFS_H
#define GUESTMEMFS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include "guestmemfs/protocol.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GM_API __attribute__((visibility("default")))

struct gm_attachment;

struct gm_extent_info {
	uint64_t file_offset;   /* bytes */
	uint64_t length;        /* bytes */
	uint64_t device_offset; /* bytes */
	uint32_t device;        /* index for gm_device_fd() */
};

/*
 * 1 if fd is a regular file (or the directory) of a guestmemfs mount, 0 if not. Never fails, never
 * hangs on other FUSE mounts longer than a getxattr there takes.
 */
GM_API int gm_is_guestmemfs(int fd);

/*
 * Asks for a ticket on an open file: whoever has it within GM_TICKET_SECONDS may redeem it once
 * with gm_redeem(). For a launcher that opens files and a sandboxed VMM that maps them.
 *
 * Errors: -ENOTTY fd is not a file of a guestmemfs mount; -EBADF; -EACCES opened O_WRONLY; -EAGAIN
 * too many tickets outstanding.
 */
GM_API int gm_ticket(int fd, struct gm_ticket *ticket);

/*
 * Redeems a ticket at the helper that listens on socket_path (see GM_XATTR_SOCKET). Waits
 * until the file's blocks are scrubbed, which for a new file may take as long as zeroing its
 * size. The attachment is the caller's: gm_detach().
 *
 * Errors: those of enum gm_reason; -ECONNREFUSED or -ENOENT no helper; -ECONNRESET it went away;
 * -EPROTO it did not speak the protocol; -ENOMEM; -EMFILE.
 */
GM_API int gm_redeem(
	const char *socket_path, const struct gm_ticket *ticket, struct gm_attachment **ret);

/*
 * gm_ticket() and gm_redeem() in one, the socket's path taken from fd; with a new ticket, twice at
 * the most, where the daemon that gave out the last one has died over it (GM_REASON_STARTING).
 */
GM_API int gm_attach(int fd, struct gm_attachment **ret);

/* Closes the attachment's fds and frees it. What gm_map() gave stays mapped, and stays this
 * process's. NULL is fine. */
GM_API void gm_detach(struct gm_attachment *a);

/*
 * The file's size in bytes when it was attached. A file that grew is attached
 * again to reach the new part.
 */
GM_API uint64_t gm_size(const struct gm_attachment *a);

/* The file's inode number, as st_ino. */
GM_API uint64_t gm_ino(const struct gm_attachment *a);

/* GM_ACCESS_READ, or GM_ACCESS_READ | GM_ACCESS_WRITE. */
GM_API uint32_t gm_access(const struct gm_attachment *a);

/* The largest page size that any of its devices has: mappings may begin and end at multiples of it,
 * and at the end. */
GM_API uint64_t gm_align(const struct gm_attachment *a);

/* The extents, by ascending file offset; gm_extent() fails with -ERANGE past the last one. */
GM_API size_t gm_extent_count(const struct gm_attachment *a);
GM_API int gm_extent(const struct gm_attachment *a, size_t index, struct gm_extent_info *ret);

/*
 * A device's fd, owned by the attachment, open as gm_access() says; -ERANGE if
 * there is no such device.
 */
GM_API int gm_device_fd(const struct gm_attachment *a, uint32_t device);

/*
 * Maps length bytes of the file from offset on, MAP_SHARED, as one contiguous range. With addr NULL
 * the range starts at an address that is congruent to offset modulo 1 GiB if it is at least that
 * long, else modulo 2 MiB, so that page tables can use the largest pages. With MAP_FIXED in flags
 * the range is placed at addr, over whatever is there; on failure addresses of it that were mapped
 * before may then be left unmapped (as PROT_NONE). With MAP_FIXED_NOREPLACE it is placed at addr if
 * nothing is there. Any other addr is a wish. flags may also have MAP_LOCKED, MAP_POPULATE and
 * MAP_NORESERVE; MAP_SHARED is implied. The range is rounded up to the page that it ends in, also
 * for the munmap() that ends the mapping; with pages larger than the system's (devdax, hugetlbfs) a
 * multiple of gm_align() always suits.
 *
 * MAP_FAILED with errno: EINVAL length 0, offset or fixed addr not a multiple of the page size
 * there, unknown flags; ENXIO the range reaches past the file's end (rounded up to a page) or into
 * a hole; EACCES PROT_WRITE on a read-only attachment; EEXIST MAP_FIXED_NOREPLACE over something;
 * ENOMEM; EAGAIN more than may be locked.
 */
GM_API void *gm_map(
	struct gm_attachment *a, void *addr, uint64_t offset, size_t length, int prot, int flags);

/* The sentence for the calling thread's last failure, in English; valid until its next call into
 * the library. */
GM_API const char *gm_last_problem(void);

/* The sentence for a reason of the protocol. Static. */
GM_API const char *gm_strreason(uint32_t reason);

#ifdef __cplusplus
}
#endif

#endif
