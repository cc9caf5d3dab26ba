/* SPDX-License-Identifier: MIT */
/* Finding a program as execvp(3) does, and whether a preload library will work in it. */
#ifndef GM_CLI_PROGRAM_H
#define GM_CLI_PROGRAM_H

enum program_preload {
	PROGRAM_PRELOADS, /* nothing speaks against it */
	PROGRAM_STATIC,   /* has no dynamic loader */
	PROGRAM_SECURE, /* runs with other rights than its caller: the loader ignores LD_PRELOAD */
};

/* The file that execvp(name) would run; free() it. NULL if there is none. */
char *program_find(const char *name);

enum program_preload program_check(const char *path);

#endif
