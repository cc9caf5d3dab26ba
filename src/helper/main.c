// SPDX-License-Identifier: MIT
/* guestmemfs-helper: the command line. It is started by guestmemfs-fuse, not by hand. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "config.h"
#include "helper/helper.h"
#include "region/region.h"
#include "util/audit.h"
#include "util/cleanup.h"
#include "util/log.h"

enum option_number {
	OPTION_LINK_FD = 256,
	OPTION_REGION,
	OPTION_LISTEN_FD,
	OPTION_NOTES,
	OPTION_TRUSTED_GROUP,
	OPTION_REUSE,
	OPTION_HELP,
	OPTION_VERSION,
};

static const struct option long_options[] = {
	{"link-fd", required_argument, NULL, OPTION_LINK_FD},
	{"region", required_argument, NULL, OPTION_REGION},
	{"listen-fd", required_argument, NULL, OPTION_LISTEN_FD},
	{"notes", required_argument, NULL, OPTION_NOTES},
	{"trusted-group", required_argument, NULL, OPTION_TRUSTED_GROUP},
	{"reuse", required_argument, NULL, OPTION_REUSE},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

static const char usage[] =
	"usage: guestmemfs-helper --link-fd N --region KIND:FD:NAME [--region ...]\n"
	"                         --listen-fd N --notes DIRECTORY [--trusted-group GID]\n"
	"                         [--reuse WHEN]\n"
	"\n"
	"Hands out the memory of a guestmemfs mount. guestmemfs-fuse starts it; it is of no use\n"
	"by itself.\n"
	"\n"
	"  --link-fd N            descriptor of the socket to the supervisor\n"
	"  --region KIND:FD:NAME  a region that is open as descriptor FD; its kind and its name\n"
	"  --listen-fd N          descriptor of the socket where clients connect\n"
	"  --notes DIRECTORY      where it notes what it grants, for the helper after it\n"
	"  --trusted-group GID    whose members may have memory of regions that are not cut up\n"
	"                         for each file, besides root and the helper's own user\n"
	"  --reuse WHEN           when memory of a soft region may be another file's in the same\n"
	"                         boot: shown, same-owner, trusting or never\n"
	"  --help, --version\n";

static int __attribute__((format(printf, 1, 2))) usage_error(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)fprintf(stderr, "guestmemfs-helper: ");
	(void)vfprintf(stderr, format, ap);
	(void)fprintf(stderr, "\nguestmemfs-helper --help says more\n");
	va_end(ap);
	return -EINVAL;
}

/* A decimal number up to max that ends where end is. */
static int parse_number(const char *text, const char *end, unsigned long max, unsigned long *ret)
{
	char *stop;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	unsigned long n = strtoul(text, &stop, 10);
	if (errno != 0 || stop != end || n > max)
		return -EINVAL;
	*ret = n;
	return 0;
}

static int parse_region(struct helper_options *o, const char *text)
{
	const char *colon = strchr(text, ':');
	const char *second = colon ? strchr(colon + 1, ':') : NULL;
	struct helper_region region;
	unsigned long fd;

	if (o->region_count == GM_REGIONS_MAX)
		return usage_error("--region %s is one too many", text);
	if (!second || !region_kind_find(&region.kind, text, (size_t)(colon - text)) ||
		parse_number(colon + 1, second, INT_MAX, &fd) < 0 || second[1] == '\0')
		return usage_error("--region %s is not KIND:FD:NAME", text);
	region.fd = (int)fd;
	region.name = second + 1;
	o->regions[o->region_count++] = region;
	return 0;
}

static int parse_descriptor(int *ret, const char *option, const char *text)
{
	unsigned long n;

	if (parse_number(text, text + strlen(text), INT_MAX, &n) < 0)
		return usage_error("%s %s is not a descriptor", option, text);
	*ret = (int)n;
	return 0;
}

static int parse_option(struct helper_options *o, int option, const char *text)
{
	unsigned long n = 0;

	switch (option) {
	case OPTION_LINK_FD:
		return parse_descriptor(&o->link_fd, "--link-fd", text);
	case OPTION_REGION:
		return parse_region(o, text);
	case OPTION_LISTEN_FD:
		return parse_descriptor(&o->listen_fd, "--listen-fd", text);
	case OPTION_NOTES:
		o->notes_directory = text;
		return 0;
	case OPTION_TRUSTED_GROUP:
		if (parse_number(text, text + strlen(text), UINT_MAX - 1UL, &n) < 0)
			return usage_error("--trusted-group %s is not the number of a group", text);
		o->trusted_group = (gid_t)n;
		o->has_trusted_group = true;
		return 0;
	case OPTION_REUSE:
		if (!reuse_policy_parse(&o->reuse, text))
			return usage_error("--reuse %s: say " REUSE_POLICIES, text);
		return 0;
	default:
		return -EINVAL; /* getopt has said why */
	}
}

static int check_options(const struct helper_options *o)
{
	if (o->link_fd < 0)
		return usage_error("--link-fd is missing");
	if (o->region_count == 0)
		return usage_error("--region is missing");
	if (o->listen_fd < 0)
		return usage_error("--listen-fd is missing");
	if (!o->notes_directory)
		return usage_error("--notes is missing");
	return 0;
}

int main(int argc, char *argv[])
{
	struct helper_options options = {
		.link_fd = -1, .listen_fd = -1, .counts_program = GM_COUNTS_PATH};
	int option;

	/* Else it would have the number of the descriptor by which it may have been executed. */
	(void)prctl(PR_SET_NAME, "guestmemfs-help");
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == OPTION_HELP)
			return printf("%s", usage) < 0;
		if (option == OPTION_VERSION)
			return printf("guestmemfs-helper %s\n", GM_VERSION) < 0;
		if (parse_option(&options, option, optarg) < 0)
			return 2;
	}
	if (optind < argc) {
		(void)usage_error("%s is not expected", argv[optind]);
		return 2;
	}
	if (check_options(&options) < 0)
		return 2;
	log_init("guestmemfs-helper", LOG_LEVEL_INFO);
	log_never_wait();
	if (log_reaches_journal())
		audit_to_journal(AUDIT_JOURNAL);
	return helper_run(&options);
}
