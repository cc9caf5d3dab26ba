/* SPDX-License-Identifier: MIT */
/*
 * A kernel command line, read as the kernel reads it (lib/cmdline.c, arch/x86/kernel/e820.c):
 * quotes around blanks, "--" ends it, '-' and '_' in names are the same, the last word on a single
 * setting counts and every memmap= does. Pure.
 */
#ifndef GM_DOCTOR_CMDLINE_H
#define GM_DOCTOR_CMDLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* COMMAND_LINE_SIZE on x86: what is longer is cut off, with its NUL. */
#define CMDLINE_MAX 2047U

enum cmdline_form {
	CMDLINE_RAM,      /* N@S */
	CMDLINE_ACPI,     /* N#S */
	CMDLINE_RESERVED, /* N$S */
	CMDLINE_PRAM,     /* N!S: comes up as pmem */
	CMDLINE_CONVERT,  /* N%S[-FROM][+TO] */
	CMDLINE_LIMIT,    /* N, or mem=N: no RAM above */
	CMDLINE_EXACT,    /* exactmap: the firmware's map is forgotten */
	CMDLINE_BAD,      /* the kernel can't understand it either */
};

#define CMDLINE_NO_PARAMETER UINT32_MAX

struct cmdline_memmap {
	enum cmdline_form form;
	uint64_t size;
	uint64_t start;     /* 0 where the form has none */
	uint32_t from, to;  /* CMDLINE_CONVERT; 0 if not given */
	uint32_t parameter; /* which memmap= it stood in; CMDLINE_NO_PARAMETER for mem= */
	char text[48];      /* as it was written, cut short if need be */
};

struct cmdline_module {
	char name[56]; /* with '_' for '-' */
	bool refused;  /* by module_blacklist=: not even by name; else modprobe.blacklist= */
};

#define CMDLINE_TOKEN_TEXT 33

struct cmdline {
	size_t length;                  /* of the text, without a line end */
	struct cmdline_memmap *memmaps; /* in the order of the text; owned */
	size_t memmap_count;
	struct cmdline_module *blacklist; /* owned */
	size_t blacklist_count;
	char (*tokens)[CMDLINE_TOKEN_TEXT]; /* of guestmemfs.succession=, well-formed ones; owned */
	size_t token_count;
	uint32_t memmap_parameters;
	bool nokaslr;
	bool region_idle; /* dax_hmem.region_idle */
	bool crashkernel;
	uint64_t crash_size, crash_start; /* 0: the kernel chooses */
};

#define CMDLINE_NULL ((struct cmdline){.memmaps = NULL})

/* 0 or -ENOMEM. Nothing that a text can hold is an error here. */
int cmdline_parse(struct cmdline *ret, const char *text);
void cmdline_deinit(struct cmdline *c);

/* NULL if the module is on no blacklist; with '_' for '-'. */
const struct cmdline_module *cmdline_find_blacklisted(const struct cmdline *c, const char *module);

/* A number as the kernel's memparse() takes it: 0x.., 0.. (octal) or decimal, K M G T P E behind.
 * False if there is none, or it is more than 64 bits. *end is the first character not taken. */
bool cmdline_parse_number(const char *text, const char **end, uint64_t *ret);

#endif
