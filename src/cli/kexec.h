/* SPDX-License-Identifier: MIT */
/* The parts of guestmemfs kexec: the command line, who is in the way, the call of kexec(8), and the
 * jump. */
#ifndef GM_CLI_KEXEC_H
#define GM_CLI_KEXEC_H

#include <stdbool.h>

#include "cli/instances.h"

struct kexec_options { /* the texts are argv's */
	const char *kernel;
	const char *initrd;       /* NULL: none */
	const char *command_line; /* NULL: that of the running kernel */
	bool load_only;
	bool panic;
	bool force;
};

/*
 * The next kernel's command line: as given, or the running one without the tokens that it bears,
 * and the token of every pool that asks for one. *ret is malloc'ed.
 */
int kexec_command_line(char **ret, const struct kexec_options *o, const struct instances *all,
	struct problem *why);

/* Pure: cmdline without the words that are this boot's alone (guestmemfs.succession=, elfcorehdr=)
 * and without line ends. NULL: out of memory. */
char *kexec_strip_tokens(const char *cmdline);

/*
 * Is anybody in the way? Processes that have a devdax device open or mapped, by whatever node, or
 * hold memory of a pool on a file. -EBUSY with a sentence that names them, or the instance that
 * does not tell. The status of an instance may be asked anew.
 */
int kexec_find_holders(struct instances *all, struct problem *why);

/* Freezes what is not frozen yet, and asks for each status anew. On failure kexec_thaw_all() is
 * still due. */
int kexec_freeze_all(struct instances *all, struct problem *why);

/* Thaws what kexec_freeze_all() has frozen, or may have. What can't be thawed is logged. */
void kexec_thaw_all(struct instances *all);

/* True if a kernel is loaded (panic: as the crash kernel). */
bool kexec_is_loaded(bool panic);

/* kexec -s, with its own words in the sentence. Checks that the kernel says it is loaded. */
int kexec_load(const struct kexec_options *o, const char *command_line, struct problem *why);
void kexec_unload(void);

/*
 * Where systemd runs the host: would it jump? It has no way back by the time it finds that it does
 * not. -EINVAL with a sentence.
 */
int kexec_check_systemd(struct problem *why);

/*
 * Jumps. Returns only if that failed or was interrupted, with a sentence; or 1 if systemd, which
 * has the order and is on its way, ends this process: then all must stay as it is. To be called
 * under interrupt_hold().
 */
int kexec_run(struct problem *why);

#endif
