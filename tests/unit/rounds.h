/* SPDX-License-Identifier: MIT */
/* How often a test tries the same in another place. */
#ifndef GM_TESTS_UNIT_ROUNDS_H
#define GM_TESTS_UNIT_ROUNDS_H

#ifndef __has_feature
#define __has_feature(x) 0
#endif

/*
 * One of how many is tried: all; with ASan, which looks at how the code works and not at what comes
 * of it, one of n. Each try takes four to twenty times as long there, and a build without it tries
 * all.
 */
static inline unsigned rounds_one_of(unsigned n)
{
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
	return n;
#else
	(void)n;
	return 1;
#endif
}

#endif
