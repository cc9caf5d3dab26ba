// SPDX-License-Identifier: MIT
/*
 * guestmemfs-fuse: the supervisor, which the operator starts; and, by another name in argv[0], the
 * worker and the keeper, which the supervisor starts.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config.h"
#include "fuse/keeper.h"
#include "fuse/options.h"
#include "fuse/supervisor.h"
#include "fuse/worker.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/sigbus.h"

#define EXIT_USAGE 2

/*
 * Descriptors 0 to 2 must be taken: else a region's could get one of them, and a
 * stray message its metadata.
 */
static bool have_stdio(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		return false;
	(void)close_fd(fd);
	return true;
}

/* What the processes that are started from here do with their messages. */
static void tell_children(const struct options *o)
{
	const char *words = o->debug ? "debug" : o->foreground ? "" : "syslog";

	(void)setenv(LOG_ENVIRONMENT, words, 1);
}

/* Waits until the daemon serves, or has told on our stderr why it does not. */
static int wait_for_daemon(int fd, pid_t daemon)
{
	char code;
	ssize_t n;
	int status;

	do
		n = read(fd, &code, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return code;
	while (waitpid(daemon, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		return WEXITSTATUS(status);
	(void)fprintf(stderr, "guestmemfs-fuse: the supervisor ended before it served\n");
	return EXIT_FAILURE;
}

static int run_daemon(const struct options *o)
{
	int ends[2];
	pid_t daemon;

	if (pipe2(ends, O_CLOEXEC) < 0 || (daemon = fork()) < 0) {
		(void)fprintf(
			stderr, "guestmemfs-fuse: going to the background: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	if (daemon == 0) {
		(void)close_fd(ends[0]);
		(void)setsid();
		return supervisor_run(o, GM_HELPER_PATH, ends[1]);
	}
	(void)close_fd(ends[1]);
	return wait_for_daemon(ends[0], daemon);
}

static int run_supervisor(int argc, char *argv[])
{
	_cleanup_(options_deinit) struct options o = OPTIONS_NULL;
	struct problem why = PROBLEM_INIT;

	int r = options_parse(&o, argc, argv, geteuid() == 0, &why);
	if (r < 0) {
		(void)fprintf(stderr, "guestmemfs-fuse: %s\n", why.text);
		return r == -ENOMEM || r == -EMFILE || r == -ENFILE ? EXIT_FAILURE : EXIT_USAGE;
	}
	if (o.action == OPTIONS_HELP) {
		options_print_help();
		return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	if (o.action == OPTIONS_VERSION)
		return printf("guestmemfs-fuse %s\n", GM_VERSION) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	log_init("guestmemfs-fuse", o.debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	(void)sigbus_init(); /* without it, memory that is bad ends the process without a word */
	tell_children(&o);
	if (o.foreground)
		log_never_wait();
	return o.foreground ? supervisor_run(&o, GM_HELPER_PATH, -1) : run_daemon(&o);
}

int main(int argc, char *argv[])
{
	if (!have_stdio())
		return EXIT_FAILURE;
	if (argc > 0 && strcmp(argv[0], "guestmemfs-worker") == 0)
		return worker_main(argc, argv);
	if (argc > 0 && strcmp(argv[0], KEEPER_NAME) == 0)
		return keeper_main();
	return run_supervisor(argc, argv);
}
