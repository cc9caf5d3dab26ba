/* SPDX-License-Identifier: MIT */
/* Ownership by scope (cleanup.h), of streams and of open directories. */
#ifndef GM_UTIL_CLEANUP_FILE_H
#define GM_UTIL_CLEANUP_FILE_H

#include <dirent.h>
#include <stdio.h>

#include "util/cleanup.h"

static inline void close_filep(FILE **f)
{
	if (*f)
		(void)fclose(*f);
}

static inline void close_dirp(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

#define _cleanup_file_ _cleanup_(close_filep)
#define _cleanup_dir_  _cleanup_(close_dirp)

#endif
