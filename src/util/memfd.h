/* SPDX-License-Identifier: MIT */
/* Memory with a descriptor, that nobody can execute and that can be sealed. Both give the
 * descriptor, which is the caller's, or a negative errno. */
#ifndef GM_UTIL_MEMFD_H
#define GM_UTIL_MEMFD_H

#include <stddef.h>

/* Closed by exec. Also where vm.memfd_noexec allows no other kind, and on kernels that know none
 * of that. */
int memfd_make(const char *name);

/* One with these bytes in it, and nothing else ever: who gets it may read it without a copy, for
 * nobody can change or cut it behind his back. */
int memfd_make_sealed(const char *name, const void *bytes, size_t size);

#define MEMFD_SEAL_EXEC 0x0020 /* which it has on kernels since 6.3 */

#endif
