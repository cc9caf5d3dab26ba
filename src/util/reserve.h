/* SPDX-License-Identifier: MIT */
/*
 * Memory for a library that does not come through the want of it: a hole in the heap that what it
 * asks for fits into, so that it is there for certain.
 */
#ifndef GM_UTIL_RESERVE_H
#define GM_UTIL_RESERVE_H

/*
 * Makes a hole of 2 MiB. What it returns keeps the heap from giving the hole back and is freed when
 * the library has done its work; it is so small that this takes no system call. NULL: there is no
 * memory, and the library is not to be called.
 */
void *reserve_memory(void);

#endif
