/* SPDX-License-Identifier: MIT */
/*
 * The cross-references of one checkpoint image. Shares only the decoders with recovery: it builds
 * no metadata in memory but sorts what it reads and compares, and goes on after each finding.
 */
#ifndef GM_STORE_FSCK_IMAGE_H
#define GM_STORE_FSCK_IMAGE_H

#include "store/checkpoint.h"
#include "store/fsck.h"

/* Adds a finding. After FSCK_FINDINGS_MAX only the counts go on. */
#define FSCK_FINDINGS_MAX 10000U
void fsck_report(struct fsck_report *r, enum fsck_severity severity, const char *code,
	const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The inode of this number in an image's section. False: it is not there, or is not one. They stand
 * by ascending number; where they don't, that is a finding of its own. */
bool fsck_find_inode(const struct checkpoint_section *inodes, uint64_t ino, struct inode_attr *ret);

/* 0 when the check could be made; -ENOMEM. */
int fsck_check_image(struct fsck_report *r, const struct store_super *super,
	const struct gm_checkpoint *header,
	const struct checkpoint_section sections[CHECKPOINT_SECTIONS]);

/* Its attributes, which may be none at all (bytes NULL); part of fsck_check_image(). */
void fsck_check_xattrs(struct fsck_report *r, const struct checkpoint_section *xattrs,
	const struct checkpoint_section *inodes);

/* Its pieces, likewise. 0 when the check could be made; -ENOMEM. */
int fsck_check_pieces(
	struct fsck_report *r, const struct checkpoint_section sections[CHECKPOINT_SECTIONS]);

#endif
