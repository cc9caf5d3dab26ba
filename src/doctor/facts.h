/* SPDX-License-Identifier: MIT */
/*
 * What the running host says of itself, gathered once and then only read. Everything is read below
 * a root directory, "" for the host itself. What can't be read is not an error here: the facts say
 * that it is not known, and the checks say what that means. But where memory or descriptors ran out
 * there are no facts: they would not be true.
 */
#ifndef GM_DOCTOR_FACTS_H
#define GM_DOCTOR_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "doctor/e820.h"
#include "util/problem.h"

enum fact {
	FACT_UNKNOWN,
	FACT_NO,
	FACT_YES,
};

struct fact_iomem {          /* a line of /proc/iomem */
	uint64_t start, end; /* bytes; end is the first one behind */
	unsigned depth;      /* 0: inside nothing else */
	char name[48];
};

struct fact_device {     /* of /sys/bus/dax */
	char name[24];   /* "dax0.1" */
	char region[64]; /* the directory that it shares with the others of its region */
	char driver[24]; /* "device_dax", "kmem", or empty */
	bool soft;       /* its region can be cut into devices */
	bool retired;    /* exported in this boot, without memory now */
	uint64_t start;  /* physical, of its first byte; UINT64_MAX: not known */
	uint64_t size, align;
	uint64_t region_size;
	struct e820_map ranges; /* its mappings, untyped; owned */
	bool has_node;
	mode_t mode; /* of the node */
	uid_t uid;
	enum fact pool; /* its first block is a pool region's first; unknown too if it does not
			   begin its region */
};

enum module_state {
	MODULE_UNKNOWN,
	MODULE_MISSING,
	MODULE_AVAILABLE, /* not loaded */
	MODULE_LOADED,    /* or built in */
};

enum fact_module {
	FACT_FUSE,
	FACT_DAX_HMEM,
	FACT_DEVICE_DAX,
	FACT_KMEM,
	FACT_ND_E820,
	FACT_ND_PMEM,
	FACT_DAX_PMEM,
	FACT_MODULES,
};

extern const char *const fact_module_names[FACT_MODULES];

struct doctor_facts {
	char *cmdline;    /* owned; empty if it can't be read */
	char release[72]; /* of the kernel */
	unsigned major, minor;
	enum fact kaslr_built_in; /* CONFIG_RANDOMIZE_BASE */
	enum fact kexec_file;     /* CONFIG_KEXEC_FILE */

	struct e820_map firmware; /* its map; no entries if it can't be read */
	struct fact_iomem *iomem; /* owned; no entries without the right to see addresses */
	size_t iomem_count;
	struct fact_device *devices; /* owned */
	size_t device_count;
	uint64_t ram; /* MemTotal, bytes; 0 if not known */

	enum module_state modules[FACT_MODULES];
	bool kmem_blacklisted; /* in modprobe's configuration */

	bool root;           /* uid 0 */
	bool sees_addresses; /* CAP_SYS_ADMIN */
	bool fuse_node;
	long bootloader; /* /proc/sys/kernel/bootloader_type; -1 if not known */

	enum fact image, crash_image; /* loaded; unknown: the kernel has no kexec */
	bool kexec_disabled;          /* for the rest of this boot */
	char kexec_version[24];       /* empty: there is no kexec */
	enum fact kexec_by_file;      /* kexec -l without -s asks the kernel (kexec_file_load) */
	bool systemd;                 /* runs the host */
	bool load_at_reboot;          /* Debian's kexec-load is there and LOAD_KEXEC=true */

	enum fact counts;    /* the kernel's reference counts can be read */
	char counts_no[256]; /* why they can't */
	char gate_no[256];   /* why devices that were exported can't be closed; empty: they can */
};

#define DOCTOR_FACTS_NULL ((struct doctor_facts){.cmdline = NULL})

/* -ENOMEM, -EMFILE, -ENFILE or -EAGAIN with a sentence. */
int facts_gather(struct doctor_facts *ret, const char *root, struct problem *why);

/*
 * Has the program at path (guestmemfs-counts, below root like all else) try whether it works. A
 * part of its own: it takes a second, and is of use only where a region is soft. Not known without
 * root. Errors as above.
 */
int facts_gather_counts(
	struct doctor_facts *f, const char *root, const char *path, struct problem *why);

void facts_deinit(struct doctor_facts *f);

#endif
