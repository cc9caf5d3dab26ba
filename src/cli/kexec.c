// SPDX-License-Identifier: MIT
/*
 * guestmemfs kexec: into the next kernel with the guests' memory. Everything is checked before
 * anything changes; the freeze comes last; whatever goes wrong undoes what was done.
 */
#include "cli/kexec.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/interrupt.h"
#include "doctor/doctor.h"
#include "util/cleanup.h"
#include "util/log.h"

#define LOCK "/run/guestmemfs-kexec.lock"

/* ---- checks ---- */

/* Its token and its holders are not known. */
static int check_silent(const struct instances *all, struct problem *why)
{
	if (all->silent == 0)
		return 0;
	return problem(why, EBUSY,
		"%u mounted pool(s) can't be asked, so that nobody knows whose memory they hold "
		"(%.300s); %s",
		all->silent, all->silence.text, instances_remedy(all->error));
}

static int check_pools(const struct instances *all, struct problem *why)
{
	for (size_t n = 0; n < all->count; n++) {
		if (instance_has_kind(&all->list[n], "file"))
			return problem(why, EINVAL,
				"the pool mounted at %s is on a file, which does not survive a "
				"kexec; unmount it first, or give --force and lose it",
				query_text(all->list[n].status, "/mount_point"));
	}
	return 0;
}

/* What --force lets pass is said all the same. */
static int allow(const struct kexec_options *o, int r, const struct problem *why)
{
	if (r >= 0 || !o->force)
		return r;
	log_warning("going on by --force: %s", why->text);
	return 0;
}

static int check_next(const char *command_line, struct problem *why)
{
	_cleanup_(doctor_report_deinit) struct doctor_report report = DOCTOR_REPORT_NULL;
	int r = doctor_check_next(&report, command_line, why);

	if (r < 0)
		return r;
	for (size_t n = 0; n < report.count; n++) {
		const struct doctor_finding *f = &report.findings[n];

		if (f->level == DOCTOR_DANGER)
			return problem(why, EINVAL,
				"the guests' memory would not live through this kexec: %s. %s",
				f->text, f->remedy);
	}
	return 0;
}

static int check_all(const struct kexec_options *o, struct instances *all, const char *command_line,
	struct problem *why)
{
	int r = allow(o, check_pools(all, why), why);

	if (r == 0 && kexec_is_loaded(o->panic) && !o->panic)
		r = allow(o,
			problem(why, EBUSY,
				"a kernel is loaded already, nobody knows by which call; unload it "
				"with kexec -u"),
			why);
	if (r == 0)
		r = check_next(command_line, why); /* no --force: there is no such thing as a kernel
						      that may eat guests */
	if (r == 0 && !o->panic && !o->load_only)
		r = kexec_check_systemd(why);
	/* A crash kernel is loaded while the guests run. */
	if (r == 0 && !o->panic)
		r = allow(o, kexec_find_holders(all, why), why);
	return r;
}

/* ---- all of it ---- */

/*
 * Two at once would undo each other's freeze, and one would unload what the other is about to jump
 * into. The lock ends with the process.
 */
static int lock_kexec(int *ret, struct problem *why)
{
	int fd = open(LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return problem_errno(why, errno, "opening %s", LOCK);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		(void)close_fd(fd);
		return problem(why, EBUSY, "another guestmemfs kexec is under way");
	}
	*ret = fd;
	return 0;
}

static int check_interrupted(struct problem *why)
{
	return interrupt_held() ? problem(why, EINTR, "interrupted") : 0;
}

/* Once nobody gets memory any more a look for holders tells the truth. 1: systemd jumps. */
static int jump(const struct kexec_options *o, struct instances *all, struct problem *why)
{
	int r = kexec_freeze_all(all, why);

	if (r == 0)
		r = allow(o, kexec_find_holders(all, why), why);
	if (r == 0)
		r = check_interrupted(why);
	if (r == 0)
		r = kexec_run(why);
	if (r < 0)
		kexec_thaw_all(all);
	return r;
}

static int do_kexec(const struct kexec_options *o, struct problem *why)
{
	_cleanup_(instances_deinit) struct instances all = INSTANCES_NULL;
	_cleanup_free_ char *command_line = NULL;
	_cleanup_fd_ int lock = -1;
	int r;

	if (geteuid() != 0)
		return problem(why, EPERM, "only root can load a kernel");
	r = lock_kexec(&lock, why);
	if (r == 0)
		r = instances_find(&all, why);
	if (r == 0)
		r = allow(o, check_silent(&all, why), why);
	if (r == 0 && all.count == 0)
		r = allow(o,
			problem(why, ENOENT,
				"no guestmemfs is mounted by root: there is no memory to be handed "
				"on"),
			why);
	if (r == 0)
		r = kexec_command_line(&command_line, o, &all, why);
	if (r == 0)
		r = check_all(o, &all, command_line, why);
	interrupt_hold(); /* from here on there is something to undo */
	if (r == 0)
		r = kexec_load(o, command_line, why);
	if (r == 0 && o->load_only && check_interrupted(why) < 0) {
		kexec_unload();
		r = -EINTR;
	}
	if (r < 0)
		return r;
	if (o->load_only || o->panic) {
		printf("%s is loaded%s, with the command line: %s\n", o->kernel,
			o->panic ? " as the crash kernel" : "", command_line);
		return 0;
	}
	r = jump(o, &all, why);
	if (r < 0)
		kexec_unload();
	else
		log_warning("systemd is on its way into the next kernel: the pools stay frozen, "
			    "and it stays loaded");
	return r;
}

enum {
	OPTION_INITRD = 256,
	OPTION_REUSE,
	OPTION_LINE,
	OPTION_LOAD_ONLY,
	OPTION_PANIC,
	OPTION_FORCE,
};

static bool take_option(struct kexec_options *o, bool *reuse, int c)
{
	switch (c) {
	case OPTION_INITRD:
		o->initrd = optarg;
		return true;
	case OPTION_REUSE:
		*reuse = true;
		return true;
	case OPTION_LINE:
		o->command_line = optarg;
		return true;
	case OPTION_LOAD_ONLY:
		o->load_only = true;
		return true;
	case OPTION_PANIC:
		o->panic = true;
		return true;
	case OPTION_FORCE:
		o->force = true;
		return true;
	default:
		return false;
	}
}

static int run_kexec(const struct cli_command *self, int argc, char **argv)
{
	static const struct option options[] = {
		{"initrd", required_argument, NULL, OPTION_INITRD},
		{"reuse-cmdline", no_argument, NULL, OPTION_REUSE},
		{"command-line", required_argument, NULL, OPTION_LINE},
		{"load-only", no_argument, NULL, OPTION_LOAD_ONLY},
		{"panic", no_argument, NULL, OPTION_PANIC},
		{"force", no_argument, NULL, OPTION_FORCE},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct kexec_options o = {.kernel = NULL};
	struct problem why = PROBLEM_INIT;
	bool reuse = false;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h')
			return cli_print_help(self);
		if (!take_option(&o, &reuse, c))
			return cli_usage_hint(self);
	}
	if (argc - optind != 1)
		return cli_usage_error(
			self, argc == optind ? "it needs a kernel" : "it takes one kernel");
	if (reuse && o.command_line)
		return cli_usage_error(
			self, "--reuse-cmdline and --command-line exclude each other");
	if (o.load_only && o.panic)
		return cli_usage_error(self, "--load-only and --panic exclude each other");
	o.kernel = argv[optind];
	c = do_kexec(&o, &why) < 0 ? cli_fail(&why) : CLI_DONE;
	interrupt_release();
	return c;
}

const struct cli_command cli_kexec = {
	.name = "kexec",
	.usage = "KERNEL [--initrd FILE] [--reuse-cmdline | --command-line TEXT] [--load-only | "
		 "--panic] [--force]",
	.summary = "go into another kernel with the guests' memory",
	.help = "Checks the next command line against the regions in use, as 'guestmemfs doctor "
		"--cmdline' does; adds the\n"
		"succession tokens; loads the kernel with kexec -s; freezes every pool; makes sure "
		"that nobody has guest memory\n"
		"open or mapped; and jumps (through systemd where that runs the host). If anything "
		"is wrong, or it is\n"
		"interrupted, nothing has changed.\n\n"
		"  --initrd FILE        the next kernel's initial RAM disk\n"
		"  --reuse-cmdline      the running kernel's command line (the default)\n"
		"  --command-line TEXT  this one\n"
		"  --load-only          load, checked; freeze nothing and do not jump\n"
		"  --panic              load, checked, as the crash kernel (kexec -s -p); guests "
		"may run on\n"
		"  --force              go on although guest memory is in use, a pool is on a file "
		"or can't be asked, or a\n"
		"                       kernel is loaded already. A command line that would lose "
		"guests is refused all the same\n"
		"  --help               print this",
	.run = run_kexec,
};
