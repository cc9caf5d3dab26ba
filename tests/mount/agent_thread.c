// SPDX-License-Identifier: MIT
/* The agent goes on in another thread, and its first one ends: a process whose leader is a zombie
 * and that lives all the same. */
#include "agent.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void *serve_on(void *unused)
{
	(void)unused;
	exit(serve());
}

void do_end_leader(char **words)
{
	pthread_t thread;
	int r = pthread_create(&thread, NULL, serve_on, NULL);

	(void)words;
	if (r != 0) {
		failed(r, "the thread could not be made");
		return;
	}
	/* The answer comes before the end, for the end never returns: stdin is the other
	 * thread's from here on. */
	done();
	fflush(stdout);
	pthread_exit(NULL);
}
