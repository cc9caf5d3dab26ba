/* SPDX-License-Identifier: MIT */
/* What the files of the steps share. A step gets its words; args[0] is its name. */
#ifndef GM_TESTS_CRASH_WORLD_STEPS_H
#define GM_TESTS_CRASH_WORLD_STEPS_H

#include "world.h"

/* A path is "name" or "directory/name". The directory must be there; the name need not. */
int world_find_name(const struct world *w, const char *path, struct ns_name *ret);
/* Also of what is remembered (open, hold) and has no name any more. */
int world_find_ino(const struct world *w, const char *path, uint64_t *ret);
struct inode *world_find_file(const struct world *w, const char *path); /* NULL: there is none */

/* A change that a FUSE request asked for is remembered with its number, if it was one. Returns r.
 */
int world_asked(struct world *w, int r);

int world_step_chmod(struct world *w, char *const args[]);
int world_step_chown(struct world *w, char *const args[]);

/* ---- world_links.c ---- */

int world_step_link(struct world *w, char *const args[]);
int world_step_symlink(struct world *w, char *const args[]);
int world_step_mknod(struct world *w, char *const args[]);

/* ---- world_bytes.c ---- */

int world_make_memory(struct world *w);
void world_note_bytes(struct world *w, struct trace_state *s); /* s->view is there */

/* ---- world_content.c ---- */

int world_step_mark(struct world *w, char *const args[]);
int world_step_unmark(struct world *w, char *const args[]);
int world_step_contents(struct world *w, char *const args[]);
int world_step_room(struct world *w, char *const args[]);
int world_step_write(struct world *w, char *const args[]);
int world_step_cut(struct world *w, char *const args[]);
int world_step_punch_units(struct world *w, char *const args[]);
int world_step_trim(struct world *w, char *const args[]);

/* ---- world_special.c ---- */

int world_step_brink(struct world *w, char *const args[]);
int world_step_huge(struct world *w, char *const args[]);
int world_step_rot(struct world *w, char *const args[]);
int world_step_chmod_in_two_records(struct world *w, char *const args[]);
int world_step_chmod_later(struct world *w, char *const args[]);
int world_step_chown_two_in_one_record(struct world *w, char *const args[]);
int world_step_mount_in_two_records(struct world *w, char *const args[]);
int world_step_write_in_two_records(struct world *w, char *const args[]);
int world_step_hand_over_in_two_records(struct world *w, char *const args[]);

/* ---- world_mounts.c ---- */

int world_step_mount(struct world *w, char *const args[]);
int world_step_replace(struct world *w, char *const args[]);
int world_step_crash_kernel(struct world *w, char *const args[]);
int world_step_reboot(struct world *w, char *const args[]);

/* ---- world_spares.c ---- */

int world_step_spare(struct world *w, char *const args[]);
int world_step_keep_spare(struct world *w, char *const args[]);

/* world_xattrs.c: access lists, user attributes, quota and page size. */
int world_step_attribute(struct world *w, char *const args[]);
int world_step_no_attribute(struct world *w, char *const args[]);

#endif
