// SPDX-License-Identifier: MIT
#include "fuse/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "region/region.h"
#include "util/cleanup.h"
#include "util/reserve.h"

#define NOBODY 65534U /* /proc/sys/kernel/overflowuid, on every system that has not changed it */

enum {
	OPTION_REGION = 256,
	OPTION_NAME,
	OPTION_SOCKET,
	OPTION_FORMAT,
	OPTION_GROW,
	OPTION_TRUSTED_GROUP,
	OPTION_USER,
	OPTION_TRUST_MEMORY,
	OPTION_SCRUB_RATE,
	OPTION_REUSE,
	OPTION_HELP,
	OPTION_VERSION,
};

static const struct option long_options[] = {
	{"region", required_argument, NULL, OPTION_REGION},
	{"name", required_argument, NULL, OPTION_NAME},
	{"socket", required_argument, NULL, OPTION_SOCKET},
	{"format", required_argument, NULL, OPTION_FORMAT},
	{"grow", no_argument, NULL, OPTION_GROW},
	{"trusted-group", required_argument, NULL, OPTION_TRUSTED_GROUP},
	{"user", required_argument, NULL, OPTION_USER},
	{"trust-memory", no_argument, NULL, OPTION_TRUST_MEMORY},
	{"scrub-rate", required_argument, NULL, OPTION_SCRUB_RATE},
	{"reuse", required_argument, NULL, OPTION_REUSE},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

void options_print_help(void)
{
	(void)fputs("Usage: guestmemfs-fuse [OPTION]... [--region SPEC]... MOUNTPOINT\n"
		    "Mounts a filesystem whose files are memory that outlives the processes that "
		    "use it.\n"
		    "\n"
		    "  --region SPEC          the memory, one of\n"
		    "                           soft:auto, soft:0xSTART       soft-reserved RAM\n"
		    "                           pmem:auto, pmem:/dev/daxX.Y   reserved RAM or "
		    "persistent memory as devdax\n"
		    "                           file:PATH[,size=SIZE]         a file on tmpfs, "
		    "hugetlbfs or a disk; with\n"
		    "                                                         size= it is created "
		    "if it is not there\n"
		    "                         May be given several times; metadata lies in the "
		    "first. Default: soft:auto\n"
		    "                         where there is such memory, else pmem:auto\n"
		    "  --format=WHEN          never  only a region that has just been created (the "
		    "default)\n"
		    "                         blank  also one whose metadata area is all zero\n"
		    "                         force  whatever is there: everything in it is LOST\n"
		    "  --grow                 take what the regions have grown by since the format "
		    "into use\n"
		    "  --name NAME            of this instance: its sockets are in "
		    "/run/guestmemfs/NAME, for a plain\n"
		    "                         user in $XDG_RUNTIME_DIR/guestmemfs/NAME or\n"
		    "                         /tmp/guestmemfs-UID/NAME. Default: the mount point's "
		    "last component\n"
		    "  --socket PATH          where clients find the helper, in place of "
		    "NAME/grant.sock\n"
		    "  --trusted-group GROUP  its members may map memory, besides root and the "
		    "user of the mount\n"
		    "  --user NAME            whom the worker becomes, which deals with all names "
		    "and sizes and needs\n"
		    "                         no privilege: a user that nothing else runs as. Root "
		    "only. Default:\n"
		    "                         guestmemfs if there is such a user, else nobody\n"
		    "  --trust-memory         mount reserved memory although nothing shows that it "
		    "kept its contents\n"
		    "                         since the last mount (this boot came from firmware, "
		    "or the kernel before\n"
		    "                         did not pass on guestmemfs.succession=)\n"
		    "  --scrub-rate RATE      bytes a second that are zeroed in the background, as "
		    "512M; none: no limit.\n"
		    "                         Default: 2G. What a grant waits for is zeroed as "
		    "fast as it goes\n"
		    "  --reuse=WHEN           on soft regions, when the memory of a removed file "
		    "may be another file's\n"
		    "                         without a new boot in between:\n"
		    "                         shown  once the kernel's own counts show that nobody "
		    "reaches it any more\n"
		    "                                (the default)\n"
		    "                         same-owner  before that too, for a file of the same "
		    "user, if only his\n"
		    "                                processes had it\n"
		    "                         trusting  before that too, for any file\n"
		    "                         never  not at all\n"
		    "  -o LIST                mount options: ro, rw, exec, noexec, atime, noatime. "
		    "nosuid, nodev\n"
		    "                         and default_permissions are always in force, "
		    "allow_other for root\n"
		    "  -f                     stay in the foreground; messages go to stderr, and "
		    "systemd is told when the\n"
		    "                         mount serves (Type=notify). Without it the command "
		    "returns then, and\n"
		    "                         messages go to syslog from then on\n"
		    "  -d                     tell every detail; implies -f\n"
		    "  --help, --version\n"
		    "\n"
		    "Exit code: 0 done, 1 failed, 2 wrong usage. SIGTERM ends the instance in good "
		    "order; the memory and\n"
		    "its files stay for the next start. SIGHUP is guestmemfs upgrade: worker, "
		    "helper and keeper are replaced by\n"
		    "the programs that are installed now. If this process is killed, mount and "
		    "grants go on, and a start\n"
		    "with the same arguments takes over from it.\n"
		    "\n"
		    "  guestmemfs-fuse --region file:/dev/shm/gm,size=1G /mnt/gm\n",
		stdout);
}

bool options_is_name(const char *name)
{
	size_t length = strlen(name);

	if (length == 0 || length > OPTIONS_NAME_MAX || name[0] == '.' || name[0] == '-')
		return false;
	for (const char *c = name; *c; c++) {
		bool good = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
			    (*c >= '0' && *c <= '9') || strchr("._-", *c);

		if (!good)
			return false;
	}
	return true;
}

int options_default_name(const char **ret, const char *mount_path, struct problem *why)
{
	const char *slash = strrchr(mount_path, '/');
	const char *name = slash ? slash + 1 : mount_path;

	if (!options_is_name(name))
		return problem(why, EINVAL,
			"the mount point's last component, \"%s\", can't be the name of the "
			"instance; give one with --name (letters, digits, '.', '_', '-')",
			name);
	*ret = name;
	return 0;
}

static int add_region(struct options *o, const char *spec, struct problem *why)
{
	if (o->region_count == GM_REGIONS_MAX)
		return problem(why, EINVAL, "more than %u regions", GM_REGIONS_MAX);
	o->regions[o->region_count++] = spec;
	return 0;
}

static int parse_format(enum options_format *ret, const char *text, struct problem *why)
{
	static const char *const words[] = {"never", "blank", "force"};

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(text, words[i]) == 0) {
			*ret = (enum options_format)i;
			return 0;
		}
	return problem(why, EINVAL, "--format=%s: say never, blank or force", text);
}

/*
 * glibc's look-up ends the process by a signal where it has no memory, so it gets a reserve. What
 * could not be looked up is not taken for a user, or group, that is not there.
 */
static int end_look_up(bool found, const char *what, const char *name, struct problem *why)
{
	if (!found && (errno == ENOMEM || errno == EMFILE || errno == ENFILE))
		return problem_errno(why, errno, "looking up the %s %s", what, name);
	return 0;
}

/* *ret is NULL where there is no such user. */
static int find_user(const struct passwd **ret, const char *name, struct problem *why)
{
	_cleanup_free_ void *reserve = reserve_memory();

	errno = reserve ? 0 : ENOMEM;
	*ret = reserve ? getpwnam(name) : NULL;
	return end_look_up(*ret, "user", name, why);
}

static int find_group(const struct group **ret, const char *name, struct problem *why)
{
	_cleanup_free_ void *reserve = reserve_memory();

	errno = reserve ? 0 : ENOMEM;
	*ret = reserve ? getgrnam(name) : NULL;
	return end_look_up(*ret, "group", name, why);
}

static int parse_group(gid_t *ret, const char *text, struct problem *why)
{
	const struct group *g;
	char *end;
	int r = find_group(&g, text, why);

	if (r < 0)
		return r;
	if (g) {
		*ret = g->gr_gid;
		return 0;
	}
	errno = 0;
	unsigned long number = strtoul(text, &end, 10);
	/* The last number stands for "no group" in the kernel's interfaces. */
	if (!isdigit((unsigned char)text[0]) || *end || errno || number >= UINT32_MAX)
		return problem(why, EINVAL, "--trusted-group %s: there is no such group", text);
	*ret = (gid_t)number;
	return 0;
}

static int parse_rate(uint64_t *ret, const char *text, struct problem *why)
{
	if (strcmp(text, "none") == 0) {
		*ret = 0;
		return 0;
	}
	if (region_parse_size(text, ret) < 0 || *ret < OPTIONS_SCRUB_RATE_MIN)
		return problem(why, EINVAL,
			"--scrub-rate %s: say how many bytes a second, 2M or more, or none for no "
			"limit",
			text);
	return 0;
}

static void set_user(struct options *o, uid_t user, gid_t group)
{
	o->has_user = true;
	o->user = user;
	o->user_group = group;
}

static int parse_user(struct options *o, const char *name, bool privileged, struct problem *why)
{
	const struct passwd *p;
	int r;

	if (!privileged)
		return problem(why, EINVAL,
			"--user %s: only root's processes can become another user; yours stay "
			"yours",
			name);
	r = find_user(&p, name, why);
	if (r < 0)
		return r;
	if (!p)
		return problem(why, EINVAL, "--user %s: there is no such user", name);
	if (p->pw_uid == 0)
		return problem(why, EINVAL,
			"--user %s: the worker is to have no privileges, and this user has them "
			"all",
			name);
	set_user(o, p->pw_uid, p->pw_gid);
	return 0;
}

/* "nobody" is there also where no list of users says so: the kernel has a number for it. */
static int choose_user(struct options *o, struct problem *why)
{
	static const char *const names[] = {"guestmemfs", "nobody"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct passwd *p;
		int r = find_user(&p, names[i], why);

		if (r < 0)
			return r;
		if (p && p->pw_uid != 0) {
			set_user(o, p->pw_uid, p->pw_gid);
			return 0;
		}
	}
	set_user(o, NOBODY, NOBODY);
	return 0;
}

/* How each option of -o is answered. */
enum mount_option_kind {
	FOR_THE_KERNEL,
	ALWAYS_ON,
	ROOT_ALWAYS_ON,
	NEVER,
};

static const struct mount_option {
	const char *word;
	enum mount_option_kind kind;
} mount_options[] = {
	{"ro", FOR_THE_KERNEL},
	{"rw", FOR_THE_KERNEL},
	{"exec", FOR_THE_KERNEL},
	{"noexec", FOR_THE_KERNEL},
	{"atime", FOR_THE_KERNEL},
	{"noatime", FOR_THE_KERNEL},
	{"nosuid", ALWAYS_ON},
	{"nodev", ALWAYS_ON},
	{"default_permissions", ALWAYS_ON},
	{"allow_other", ROOT_ALWAYS_ON},
	{"dev", NEVER},
	{"suid", NEVER},
};

static int check_mount_option(const char *word, bool privileged, bool *pass_on, struct problem *why)
{
	for (size_t i = 0; i < ARRAY_SIZE(mount_options); i++) {
		enum mount_option_kind kind = mount_options[i].kind;

		if (strcmp(word, mount_options[i].word) != 0)
			continue;
		if (kind == NEVER)
			return problem(why, EINVAL,
				"-o %s is refused: guestmemfs holds guest memory only, and is "
				"always mounted nodev,nosuid",
				word);
		if (kind == ROOT_ALWAYS_ON && !privileged)
			return problem(why, EINVAL,
				"-o %s: a mount made by a user other than root is for that user "
				"alone",
				word);
		*pass_on = kind == FOR_THE_KERNEL;
		return 0;
	}
	return problem(
		why, EINVAL, "-o %s: unknown mount option; --help lists the known ones", word);
}

/* Checks the words of one -o and appends those that the kernel is to see. */
static int add_mount_options(
	struct options *o, const char *list, bool privileged, struct problem *why)
{
	_cleanup_free_ char *copy = strdup(list);
	char *rest = copy, *word;

	if (!copy)
		return problem_errno(why, ENOMEM, "-o");
	while ((word = strsep(&rest, ","))) {
		bool pass_on = false;
		char *joined;
		int r;

		if (!*word)
			continue;
		r = check_mount_option(word, privileged, &pass_on, why);
		if (r < 0)
			return r;
		if (!pass_on)
			continue;
		if (asprintf(&joined, "%s%s%s", o->mount_options, *o->mount_options ? "," : "",
			    word) < 0)
			return problem_errno(why, ENOMEM, "-o");
		free(o->mount_options);
		o->mount_options = joined;
	}
	return 0;
}

/* What getopt has just failed at: a letter of a word like -xf, or a whole word like --nonsense. */
static int bad_option(char *const argv[], const char *what, struct problem *why)
{
	if (optopt > 0 && optopt < OPTION_REGION)
		return problem(why, EINVAL, "-%c %s; see --help", optopt, what);
	return problem(why, EINVAL, "%s %s; see --help", argv[optind - 1], what);
}

static int take_option(
	struct options *o, int c, char *const argv[], bool privileged, struct problem *why)
{
	switch (c) {
	case OPTION_REGION:
		return add_region(o, optarg, why);
	case OPTION_NAME:
		if (!options_is_name(optarg))
			return problem(why, EINVAL,
				"--name %s: a name is up to %u letters, digits, '.', '_', '-', and "
				"begins with a letter, a digit or '_'",
				optarg, OPTIONS_NAME_MAX);
		o->name = optarg;
		return 0;
	case OPTION_SOCKET:
		o->socket = optarg;
		return *optarg ? 0 : problem(why, EINVAL, "--socket: the path is empty");
	case OPTION_FORMAT:
		return parse_format(&o->format, optarg, why);
	case OPTION_GROW:
		o->grow = true;
		return 0;
	case OPTION_TRUSTED_GROUP:
		o->has_trusted_group = true;
		return parse_group(&o->trusted_group, optarg, why);
	case OPTION_USER:
		return parse_user(o, optarg, privileged, why);
	case OPTION_TRUST_MEMORY:
		o->trust_memory = true;
		return 0;
	case OPTION_SCRUB_RATE:
		return parse_rate(&o->scrub_rate, optarg, why);
	case OPTION_REUSE:
		if (!reuse_policy_parse(&o->reuse, optarg))
			return problem(why, EINVAL, "--reuse=%s: say " REUSE_POLICIES, optarg);
		return 0;
	case 'o':
		return add_mount_options(o, optarg, privileged, why);
	case 'd':
		o->debug = true;
		o->foreground = true;
		return 0;
	case 'f':
		o->foreground = true;
		return 0;
	case ':':
		return bad_option(argv, "needs a value", why);
	default:
		return bad_option(argv, "is not an option", why);
	}
}

static int take_mount_point(struct options *o, int argc, char *const argv[], struct problem *why)
{
	if (optind == argc)
		return problem(why, EINVAL, "no mount point given; see --help");
	if (optind + 1 < argc)
		return problem(why, EINVAL, "one mount point, not \"%s\" and \"%s\"; see --help",
			argv[optind], argv[optind + 1]);
	o->mount_point = argv[optind];
	return 0;
}

int options_parse(
	struct options *ret, int argc, char *const argv[], bool privileged, struct problem *why)
{
	_cleanup_(options_deinit) struct options o = OPTIONS_NULL;
	int c, r;

	o.mount_options = strdup("");
	if (!o.mount_options)
		return problem_errno(why, ENOMEM, "reading the command line");
	opterr = 0;
	optind = 0; /* so that getopt begins anew, whoever used it before */
	for (;;) {
		c = getopt_long(argc, argv, ":o:fd", long_options, NULL);
		if (c < 0)
			break;
		if (c == OPTION_HELP || c == OPTION_VERSION) {
			o.action = c == OPTION_HELP ? OPTIONS_HELP : OPTIONS_VERSION;
			break;
		}
		r = take_option(&o, c, argv, privileged, why);
		if (r < 0)
			return r;
	}
	if (o.action == OPTIONS_MOUNT) {
		r = take_mount_point(&o, argc, argv, why);
		if (r < 0)
			return r;
		if (privileged && !o.has_user)
			r = choose_user(&o, why);
		if (r < 0)
			return r;
	}
	*ret = o;
	o = OPTIONS_NULL;
	return 0;
}

void options_deinit(struct options *o)
{
	free(o->mount_options);
	*o = OPTIONS_NULL;
}
