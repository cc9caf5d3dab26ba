/* SPDX-License-Identifier: MIT */
/* Reading the small files of /proc, /sys and /etc below a root directory. */
#ifndef GM_DOCTOR_READ_H
#define GM_DOCTOR_READ_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* root, then the path as printf makes it; opened for reading. NULL if that can't be. */
FILE *read_open(const char *root, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "root/path". Returns buffer. */
const char *read_path(char buffer[PATH_MAX], const char *root, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The first line, without its end; false and an empty text if there is none. */
bool read_line(char *text, size_t size, const char *root, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* A number, hex with 0x; false if there is none. */
bool read_number(uint64_t *ret, const char *root, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* True if some line of the file has the text in it. */
bool read_finds(const char *text, const char *root, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The target of a link, its last component. */
bool read_link(char *name, size_t size, const char *root, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * What the program at this path says, with one argument, on both of its outputs; NULL if it can't
 * be started. The caller waits for it. (Its name is that of the path.)
 */
FILE *read_program(pid_t *pid, const char *path, const char *argument);

#endif
