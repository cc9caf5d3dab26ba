/* SPDX-License-Identifier: MIT */
/*
 * The checks of guestmemfs doctor, which guestmemfs kexec obeys too: what this host, and the
 * command line of its next kernel, would do to memory that guests live in. A finding is one check
 * with what came out of it; a report owns its findings.
 */
#ifndef GM_DOCTOR_DOCTOR_H
#define GM_DOCTOR_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "util/problem.h"

struct doctor_facts;
struct doctor_regions;

enum doctor_level {
	DOCTOR_OK,
	DOCTOR_WARNING, /* something will not work, or costs more than it has to */
	DOCTOR_DANGER,  /* guests may lose their memory */
};

struct doctor_finding {
	const char *id; /* "reservation": see docs/boot.md */
	enum doctor_level level;
	char text[600];   /* what is so; no full stop */
	char remedy[400]; /* what to do about it; empty if there is nothing to be done */
};

struct doctor_report {
	struct doctor_finding *findings; /* owned */
	size_t count;
	struct doctor_finding spare; /* takes what there was no memory for */
	bool failed;                 /* there was no memory for some finding: don't rely on this */
};

#define DOCTOR_REPORT_NULL ((struct doctor_report){.findings = NULL})

void doctor_report_deinit(struct doctor_report *r);

/* Adds a finding without a remedy. Never NULL; id is kept, not copied. */
struct doctor_finding *doctor_report_add(struct doctor_report *r, const char *id,
	enum doctor_level level, const char *format, ...) __attribute__((format(printf, 4, 5)));
void doctor_finding_remedy(struct doctor_finding *f, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

enum doctor_level doctor_report_worst(const struct doctor_report *r);

/* "ok", "warning", "danger". */
const char *doctor_level_name(enum doctor_level level);

/* What the running host is like, its command line apart. Pure. 0 or -ENOMEM. */
int doctor_check_host(struct doctor_report *report, const struct doctor_facts *facts,
	const struct doctor_regions *regions);

/*
 * A kernel command line against the regions that are in use: the running one's, or, with next true,
 * that of a kernel to be started by kexec on this host. Pure. 0 or -ENOMEM.
 */
int doctor_check_cmdline(struct doctor_report *report, const struct doctor_facts *facts,
	const struct doctor_regions *regions, const char *cmdline, bool next);

/* What a kexec with this command line would lose: by the line, or because kmem has the memory
 * already. Pure. 0 or -ENOMEM. */
int doctor_check_handover(struct doctor_report *report, const struct doctor_facts *facts,
	const struct doctor_regions *regions, const char *cmdline);

/*
 * The same on this host, whose regions in use are looked for anew. No danger found means that no
 * region in use is lost to it. Negative errno with a sentence if that could not be found out.
 */
int doctor_check_next(struct doctor_report *report, const char *cmdline, struct problem *why);

#endif
