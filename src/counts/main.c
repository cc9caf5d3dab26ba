// SPDX-License-Identifier: MIT
/* guestmemfs-counts: the command line. It is started by guestmemfs-helper; by hand it can be asked
 * whether it works. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "counts/server.h"
#include "util/log.h"

static const struct option long_options[] = {
	{"serve", no_argument, NULL, 's'},
	{"check", no_argument, NULL, 'c'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'v'},
	{NULL, 0, NULL, 0},
};

static const char usage[] =
	"usage: guestmemfs-counts --check | --serve\n"
	"\n"
	"Reads the kernel's reference counts of devdax devices, by BPF: they tell when memory\n"
	"that one file had can be given to another. And keeps everybody from opening devices\n"
	"that are to be taken back. guestmemfs-helper starts it.\n"
	"\n"
	"  --check            says whether that works on this host: exit status 0 or 1\n"
	"  --serve            answers the helper at the other end of descriptor 3, a socket\n"
	"  --help, --version\n";

static int check(void)
{
	struct problem why = PROBLEM_INIT, gate_why = PROBLEM_INIT;
	int gate = 0;

	if (counts_check(&why, &gate, &gate_why) < 0) {
		(void)printf("The kernel's reference counts can't be read: %s.\n", why.text);
		return 1;
	}
	(void)printf("The kernel's reference counts can be read.\n");
	if (gate < 0)
		(void)printf("Devices that were exported can't be closed: %s.\n", gate_why.text);
	return 0;
}

/* What goes wrong is for the helper to tell: it has been told. */
static int serve(void)
{
	struct problem why = PROBLEM_INIT;

	return counts_serve(&why) < 0;
}

static int wrong_usage(const char *what)
{
	(void)fprintf(stderr, "guestmemfs-counts: %s\nguestmemfs-counts --help says more\n", what);
	return 2;
}

int main(int argc, char **argv)
{
	int option = getopt_long(argc, argv, "", long_options, NULL);

	log_init("guestmemfs-counts", LOG_LEVEL_INFO);
	if (option == '?')
		return wrong_usage("no such option");
	if (option == -1 || optind != argc)
		return wrong_usage("one option is expected, and nothing else");
	switch (option) {
	case 's':
		return serve();
	case 'c':
		return check();
	case 'h':
		(void)fputs(usage, stdout);
		return 0;
	default:
		(void)puts("guestmemfs-counts " GM_VERSION);
		return 0;
	}
}
