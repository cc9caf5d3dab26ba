// SPDX-License-Identifier: MIT
#include "util/reserve.h"

#include <stddef.h>
#include <stdlib.h>

#define PIECES 32U
#define BYTES  65536U /* of each: malloc(3) takes larger ones from elsewhere */

void *reserve_memory(void)
{
	void *pieces[PIECES], *rest = NULL;
	size_t count = 0;

	while (count < PIECES && (pieces[count] = malloc(BYTES)))
		count++;
	/* What is left of the last one lies above the hole. */
	if (count == PIECES)
		rest = realloc(pieces[count - 1], 1);
	count -= rest != NULL;
	while (count > 0)
		free(pieces[--count]);
	return rest;
}
