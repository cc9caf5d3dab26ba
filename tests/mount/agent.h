/* SPDX-License-Identifier: MIT */
/* What the files of the agent share: its slots, how it answers, and its commands. */
#ifndef GM_TESTS_AGENT_H
#define GM_TESTS_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guestmemfs/guestmemfs.h"

#define SLOTS 1024

struct file {
	int fd;
	struct gm_attachment *attachment;
};

struct mapping {
	char *start;
	uint64_t offset; /* of the file, or of the device for rawmap */
	size_t length;
};

struct agent {
	struct file files[SLOTS];
	size_t file_count;
	struct mapping mappings[SLOTS];
	size_t mapping_count;
};

/* A main's global, shared by its files. */
extern struct agent agent;

/* Does what stdin says until it ends; the exit code. */
int serve(void);

/* Each command answers with exactly one of these. */
void ok(const char *format, ...) __attribute__((format(printf, 1, 2)));
void done(void);
void failed(int err, const char *sentence);
void failed_errno(void);

/* What a word stands for. Where NULL or true comes back, the failure has been answered. */
uint64_t number(const char *word);
int get_prot(const char *word);
struct file *get_file(const char *word);
struct gm_attachment *get_attachment(const char *word);
struct mapping *get_mapping(const char *word);
bool full(size_t count);

/*
 * The position in the mapping of the first word that is not the pattern's; its
 * length or more if all are.
 */
size_t find_bad(const struct mapping *m, uint64_t seed);

/* The commands; words[0] is the name. */
void do_open(char **words);
void do_dup(char **words);
void do_close(char **words);
void do_attach(char **words);
void do_extents(char **words);
void do_detach(char **words);
void do_ticket(char **words);
void do_redeem(char **words);
void do_map(char **words);
void do_pmap(char **words);
void do_rawmap(char **words);
void do_unmap(char **words);
void do_fill(char **words);
void do_check(char **words);
void do_zero_check(char **words);
void do_fill_part(char **words);
void do_check_part(char **words);
void do_hash(char **words);
void do_peek(char **words);
void do_poke(char **words);
void do_fork_check(char **words);
void do_fork_pmap(char **words);
void do_fork_hold(char **words);
void do_private_touch(char **words);
void do_end_leader(char **words);

#endif
