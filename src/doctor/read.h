/* SPDX-License-Identifier: MIT */
/*
 * Reading the small files of /proc, /sys and /etc below a root directory. What can't be read is not
 * there, for whoever asks; but what could not be read for want of memory or descriptors is noted.
 */
#ifndef GM_DOCTOR_READ_H
#define GM_DOCTOR_READ_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct host {
	const char *root; /* "" for this host itself */
	int error;        /* ENOMEM, EMFILE and the like: something was not read for want of it */
};

/* A call has failed with this errno. */
void host_note(struct host *h, int error);

/* The next line, as getline(3) has it. */
bool read_next(struct host *h, FILE *file, char **line, size_t *size);

/* root, then the path as printf makes it; opened for reading. NULL if that can't be. */
FILE *read_open(struct host *h, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "root/path". Returns buffer. */
const char *read_path(char buffer[PATH_MAX], const struct host *h, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The first line, without its end; false and an empty text if there is none. */
bool read_line(char *text, size_t size, struct host *h, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* A number, hex with 0x; false if there is none. */
bool read_number(uint64_t *ret, struct host *h, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* True if some line of the file has the text in it. */
bool read_finds(const char *text, struct host *h, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The target of a link, its last component. */
bool read_link(char *name, size_t size, struct host *h, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * What the program at this path says, with one argument, on both of its outputs; NULL if it can't
 * be started. The caller waits for it. (Its name is that of the path.)
 */
FILE *read_program(struct host *h, pid_t *pid, const char *path, const char *argument);

#endif
