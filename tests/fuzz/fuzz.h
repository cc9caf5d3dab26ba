/* SPDX-License-Identifier: MIT */
/*
 * A fuzz target is one function that takes any bytes and aborts on a fault. clang's libFuzzer calls
 * it in a build with -Dfuzz=true; everywhere else driver.c does, for the corpus and for some rounds
 * of chance.
 */
#ifndef GM_TESTS_FUZZ_FUZZ_H
#define GM_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Why the last input was refused; NULL if it was not. The driver asks: what is called should-fail-*
 * in the corpus must be refused, everything else taken. */
const char *fuzz_refusal(void);

struct dice;

/*
 * Targets whose rules bytes by chance hardly ever come near have this too: it writes an input that
 * is nearly a true one. Returns its size, at most room.
 */
__attribute__((weak)) size_t fuzz_invent(struct dice *d, uint8_t *bytes, size_t room);

#endif
