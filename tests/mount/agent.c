// SPDX-License-Identifier: MIT
/*
 * A client that does what it is told: the mount tests drive it over stdin and stdout, one command a
 * line, one answer a line, "ok ..." or "error ERRNAME sentence". It uses the public library only,
 * and plain mmap(2) where the preload library is to be tried. Words are separated by single spaces;
 * numbers are C's. Slots are never used again, so that an id means one thing for as long as the
 * agent runs.
 *
 *   open PATH r|rw|w               -> ID
 *   dup ID                         -> ID
 *   close ID                          closes the file, keeps its attachment
 *   attach ID                      -> SIZE EXTENTS
 *   extents ID                     -> FILE_OFFSET:LENGTH:DEVICE:DEVICE_OFFSET ...
 *   detach ID
 *   ticket ID                      -> HEX
 *   redeem SOCKET HEX              -> ID SIZE EXTENTS
 *   map ID OFFSET LENGTH r|rw [fixed]           -> MAP ADDRESS    gm_map()
 *   pmap ID OFFSET LENGTH r|rw [fixed]          -> MAP ADDRESS    mmap() of the file, MAP_SHARED
 *   rawmap ID DEVICE OFFSET LENGTH r|rw         -> MAP ADDRESS    mmap() of an attachment's device
 *   unmap MAP
 *   fill MAP SEED                     a pattern by file offset and seed
 *   check MAP SEED                    EILSEQ with the first wrong offset
 *   zero-check MAP
 *   fill-part MAP OFFSET LENGTH SEED            as fill, from an offset of the file on; multiples
 * of
 *                                     8. SEED may be "zero", for bytes that are
 *   check-part MAP OFFSET LENGTH SEED...        as check; each word may be of any of the patterns
 *   hash MAP                       -> XXH3-64 of the bytes, hex
 *   peek MAP OFFSET                -> the 8 bytes there, hex; OFFSET is the file's
 *   poke MAP OFFSET VALUE
 *   fork-check MAP SEED               as check, in a child that inherited the mapping
 *   fork-pmap ID OFFSET LENGTH SEED   a child maps the inherited file by mmap() and checks it
 *   fork-hold SECONDS              -> PID of a child that keeps all mappings, even after the agent
 *   private-touch ID               -> the signal that a child gets that maps the file MAP_PRIVATE
 *                                     and reads it
 *   fds                            -> number of open descriptors
 *   sleep MILLISECONDS
 *   quit
 */
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WORDS_MAX 8

struct agent agent;

/* ---- answers ---- */

void ok(const char *format, ...)
{
	va_list ap;

	fputs("ok ", stdout);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
}

void done(void)
{
	puts("ok");
}

void failed(int err, const char *sentence)
{
	const char *name = strerrorname_np(err);

	printf("error %s %s\n", name ? name : "?", sentence);
}

void failed_errno(void)
{
	failed(errno, strerror(errno));
}

/* ---- what the words mean ---- */

uint64_t number(const char *word)
{
	return strtoull(word, NULL, 0);
}

struct file *get_file(const char *word)
{
	uint64_t id = number(word);

	if (id < agent.file_count)
		return &agent.files[id];
	failed(EINVAL, "no such ID");
	return NULL;
}

struct gm_attachment *get_attachment(const char *word)
{
	struct file *f = get_file(word);

	if (f && !f->attachment)
		failed(EINVAL, "not attached");
	return f ? f->attachment : NULL;
}

struct mapping *get_mapping(const char *word)
{
	uint64_t id = number(word);

	if (id < agent.mapping_count && agent.mappings[id].start)
		return &agent.mappings[id];
	failed(EINVAL, "no such MAP");
	return NULL;
}

int get_prot(const char *word)
{
	return strcmp(word, "rw") == 0 ? PROT_READ | PROT_WRITE : PROT_READ;
}

bool full(size_t count)
{
	if (count < SLOTS)
		return false;
	failed(ENFILE, "the agent has no slots left");
	return true;
}

/* ---- the rest ---- */

static void do_fds(char **words)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	(void)words;
	if (!d) {
		failed_errno();
		return;
	}
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	ok("%zu", n - 1); /* without the one that looked */
}

static void do_sleep(char **words)
{
	uint64_t ms = number(words[1]);
	struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&t, NULL);
	done();
}

static void do_quit(char **words)
{
	(void)words;
	done();
	fflush(stdout);
	exit(0);
}

static const struct command {
	const char *name;
	int words;     /* with the name */
	int words_max; /* with what is optional */
	void (*run)(char **words);
} commands[] = {
	{"open", 3, 3, do_open},
	{"dup", 2, 2, do_dup},
	{"close", 2, 2, do_close},
	{"attach", 2, 2, do_attach},
	{"extents", 2, 2, do_extents},
	{"detach", 2, 2, do_detach},
	{"ticket", 2, 2, do_ticket},
	{"redeem", 3, 3, do_redeem},
	{"map", 5, 6, do_map},
	{"pmap", 5, 6, do_pmap},
	{"rawmap", 6, 6, do_rawmap},
	{"unmap", 2, 2, do_unmap},
	{"fill", 3, 3, do_fill},
	{"check", 3, 3, do_check},
	{"zero-check", 2, 2, do_zero_check},
	{"fill-part", 5, 5, do_fill_part},
	{"check-part", 5, 8, do_check_part},
	{"hash", 2, 2, do_hash},
	{"peek", 3, 3, do_peek},
	{"poke", 4, 4, do_poke},
	{"fork-check", 3, 3, do_fork_check},
	{"fork-pmap", 5, 5, do_fork_pmap},
	{"fork-hold", 2, 2, do_fork_hold},
	{"private-touch", 2, 2, do_private_touch},
	{"fds", 1, 1, do_fds},
	{"sleep", 2, 2, do_sleep},
	{"end-leader", 1, 1, do_end_leader},
	{"quit", 1, 1, do_quit},
};

static void run(char *line)
{
	char *words[WORDS_MAX + 1] = {NULL}, *rest = NULL;
	int count = 0;

	for (char *w = strtok_r(line, " \n", &rest); w && count < WORDS_MAX;
		w = strtok_r(NULL, " \n", &rest))
		words[count++] = w;
	for (size_t i = 0; count > 0 && i < sizeof(commands) / sizeof(commands[0]); i++) {
		const struct command *c = &commands[i];
		if (strcmp(words[0], c->name) == 0 && count >= c->words && count <= c->words_max) {
			c->run(words);
			return;
		}
	}
	failed(EINVAL, "no such command, or not so many words");
}

int serve(void)
{
	char *line = NULL;
	size_t room = 0;

	while (getline(&line, &room, stdin) > 0) {
		run(line);
		fflush(stdout);
	}
	free(line);
	return 0;
}

int main(void)
{
	return serve();
}
