/* SPDX-License-Identifier: MIT */
/* Memory with a descriptor, that nobody can execute and that can be sealed. */
#ifndef GM_UTIL_MEMFD_H
#define GM_UTIL_MEMFD_H

/*
 * Closed by exec. Also where vm.memfd_noexec allows no other kind, and on kernels that know none
 * of that. The descriptor, or a negative errno.
 */
int memfd_make(const char *name);

#define MEMFD_SEAL_EXEC 0x0020 /* which it has on kernels since 6.3 */

#endif
