/* SPDX-License-Identifier: MIT */
#ifndef GM_TESTS_CRASH_VIEW_PRINT_H
#define GM_TESTS_CRASH_VIEW_PRINT_H

#include <stdio.h>

#include "view.h"

/* A listing, one object a line, for people and for comparing. */
void view_print(FILE *to, const struct view *v);

#endif
