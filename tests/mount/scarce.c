// SPDX-License-Identifier: MIT
/*
 * Memory that runs out in a whole program, its libraries and libc included: for LD_PRELOAD. The
 * other way than tests/unit/scarce.c, which reaches what is linked statically and works under
 * sanitizers.
 *
 * GM_SCARCE_REPORT=FILE: main() is run again and again, each time in a process of its own, in which
 * one call for memory fails, or that one and all after it; a line of FILE tells of each run.
 * Without faults it is run first: what it writes then is what every run must write that claims
 * success. Besides,
 *   GM_SCARCE_STEP=N: only at every N-th call;
 *   GM_SCARCE_MAKES=PATH: is removed before each run, and it is told whether it is there after it;
 *   GM_SCARCE_UNDO=WORD: before each run, one without faults with this as its first argument;
 *   GM_SCARCE_PROBE=PATH: after each run this directory is made and removed, and told with what
 *   errno.
 *
 * GM_SCARCE_SWITCH=FILE: a daemon; the test says in that file, of struct lever, what is to fail.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUN_SECONDS 60 /* a run that takes longer hangs */
#define SAID_MAX    400

#define SHOWN __attribute__((visibility("default")))

/* Whichever process of that name is started next: its calls from main() on. */
#define NEXT_WORKER     (-1)
#define NEXT_SUPERVISOR (-2)
#define NEXT_KEEPER     (-3)

/* Little numbers of the processor's own order: test and daemon are on one machine. */
struct lever {
	atomic_int pid;    /* whose calls count; 0: nobody's; or one of these */
	atomic_uint since; /* 1: all calls fail from that one on */
	atomic_ulong left; /* to be served */
	atomic_ulong failed;
};

static struct lever *lever;
static atomic_int self; /* the process whose calls may fail */

/* ---- the calls ---- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static bool fails(void)
{
	unsigned long n;

	if (!lever || atomic_load(&lever->pid) != atomic_load(&self) || atomic_load(&self) == 0)
		return false;
	do {
		n = atomic_load(&lever->left);
	} while (n > 0 && !atomic_compare_exchange_weak(&lever->left, &n, n - 1));
	if (n > 0)
		return false;
	if (!atomic_load(&lever->since))
		atomic_store(&lever->left, ULONG_MAX);
	atomic_fetch_add(&lever->failed, 1);
	errno = ENOMEM;
	return true;
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): the names in libc are reserved
 * ones */
SHOWN void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

SHOWN void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

SHOWN void *realloc(void *p, size_t size)
{
	return fails() ? NULL : __libc_realloc(p, size);
}

SHOWN void *aligned_alloc(size_t alignment, size_t size)
{
	return fails() ? NULL : __libc_memalign(alignment, size);
}

SHOWN int posix_memalign(void **ret, size_t alignment, size_t size)
{
	void *p = fails() ? NULL : __libc_memalign(alignment, size);

	if (!p)
		return ENOMEM;
	*ret = p;
	return 0;
}

/*
 * glibc's name service ends the process, by an assertion or a signal, where it has no memory: here
 * each of these is one call that fails or has all that it needs.
 */
/* NOLINTBEGIN(bugprone-macro-parentheses): types */
#define LOOK_UP(type, name, key)                                                                   \
	SHOWN type *name(key by)                                                                   \
	{                                                                                          \
		type *(*real)(key);                                                                \
		void *found = dlsym(RTLD_NEXT, #name);                                             \
		int mine = atomic_load(&self);                                                     \
		type *result;                                                                      \
                                                                                                   \
		if (fails())                                                                       \
			return NULL;                                                               \
		memcpy(&real, &found, sizeof(real));                                               \
		atomic_store(&self, 0);                                                            \
		result = real(by);                                                                 \
		atomic_store(&self, mine);                                                         \
		return result;                                                                     \
	}

/* NOLINTEND(bugprone-macro-parentheses) */
LOOK_UP(struct passwd, getpwuid, uid_t)
LOOK_UP(struct group, getgrgid, gid_t)
LOOK_UP(struct passwd, getpwnam, const char *)
LOOK_UP(struct group, getgrnam, const char *)
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */

/*
 * libseccomp ends by a signal or hangs where it has no memory for the program that it makes. What
 * it takes is there before it is asked (src/util/reserve.h): one call as well.
 */
SHOWN int seccomp_load(void *filter);
SHOWN int seccomp_load(void *filter)
{
	int (*real)(void *);
	void *found = dlsym(RTLD_NEXT, "seccomp_load");
	int mine = atomic_load(&self), r;

	if (fails())
		return -ENOMEM;
	memcpy(&real, &found, sizeof(real));
	atomic_store(&self, 0);
	r = real(filter);
	atomic_store(&self, mine);
	return r;
}

/* ---- a command, again and again ---- */

typedef int (*main_function)(int argc, char **argv, char **envp);

static struct {
	main_function main;
	int argc;
	char **argv, **envp;
	FILE *report;
	int output; /* of the run without faults */
} command;

struct run {
	int status; /* as waitpid(2) tells it */
	bool same;  /* it has written what it writes without faults */
	char said[SAID_MAX];
};

static void die(const char *what)
{
	fprintf(stderr, "scarce: %s: %s\n", what, strerror(errno));
	_exit(99);
}

static int make_file(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0)
		die("memfd_create");
	return fd;
}

/* In the process of the run; argv[1] is that word then. */
static int run_main(const char *word)
{
	if (word)
		command.argv[1] = strdup(word);
	return command.main(command.argc, command.argv, command.envp);
}

/* 0 in the new process, whose calls fail then. */
static pid_t start(int output, int said)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid > 0)
		return pid;
	(void)lseek(STDIN_FILENO, 0, SEEK_SET);
	if (dup2(output, STDOUT_FILENO) < 0 || dup2(said, STDERR_FILENO) < 0)
		die("dup2");
	(void)alarm(RUN_SECONDS);
	return 0;
}

static bool are_equal(int a, int b)
{
	struct stat one, other;

	if (fstat(a, &one) < 0 || fstat(b, &other) < 0)
		die("fstat");
	if (one.st_size != other.st_size)
		return false;
	for (off_t at = 0; at < one.st_size;) {
		char left[4096], right[4096];
		ssize_t n = pread(a, left, sizeof(left), at);

		if (n <= 0 || pread(b, right, sizeof(right), at) != n)
			die("pread");
		if (memcmp(left, right, (size_t)n) != 0)
			return false;
		at += n;
	}
	return true;
}

static void read_said(char said[SAID_MAX], int fd)
{
	ssize_t n = pread(fd, said, SAID_MAX - 1, 0);

	said[n > 0 ? n : 0] = '\0';
	for (char *c = said; *c; c++)
		if (*c == '\n' || *c == '\t')
			*c = ' ';
}

static void undo(void)
{
	const char *made = getenv("GM_SCARCE_MAKES"), *word = getenv("GM_SCARCE_UNDO");
	int status, null;
	pid_t pid;

	if (made && unlink(made) < 0 && errno != ENOENT)
		die(made);
	if (!word)
		return;
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	pid = start(null, null);
	if (pid == 0)
		exit(run_main(word));
	if (waitpid(pid, &status, 0) != pid || status != 0)
		die(word);
	(void)close(null);
}

/* False in the process of the run, which goes on to main(). */
static bool run_once(struct run *run, unsigned long n, bool since)
{
	int output = make_file("output"), said = make_file("said");
	pid_t pid;

	undo();
	pid = start(output, said);
	if (pid == 0) {
		atomic_store(&lever->failed, 0);
		atomic_store(&lever->since, since);
		atomic_store(&lever->left, n);
		atomic_store(&lever->pid, getpid());
		atomic_store(&self, getpid());
		return false;
	}
	if (waitpid(pid, &run->status, 0) != pid)
		die("waitpid");
	read_said(run->said, said);
	if (n == ULONG_MAX)
		command.output = output;
	run->same = are_equal(output, command.output);
	if (n != ULONG_MAX)
		(void)close(output);
	(void)close(said);
	return true;
}

static int probe(const char *path)
{
	if (!path)
		return 0;
	return mkdir(path, 0700) == 0 && rmdir(path) == 0 ? 0 : errno;
}

static void tell(const struct run *run, const char *mode, unsigned long n)
{
	const char *made = getenv("GM_SCARCE_MAKES");

	fprintf(command.report, "%s\t%lu\t%d\t%d\t%d\t%d\t%d\t%s\n", mode, n,
		WIFEXITED(run->status) ? WEXITSTATUS(run->status) : -1,
		WIFSIGNALED(run->status) ? WTERMSIG(run->status) : 0, run->same,
		made && access(made, F_OK) == 0, probe(getenv("GM_SCARCE_PROBE")), run->said);
	(void)fflush(command.report); /* no process of a run has lines of its own to write */
}

/* False in the process of a run. */
static bool run_all(unsigned long step)
{
	static const char *const modes[] = {"once", "since"};
	struct run run;

	if (!run_once(&run, ULONG_MAX, false))
		return false;
	tell(&run, "whole", 0);
	for (unsigned since = 0; since < 2; since++)
		for (unsigned long n = 0;; n += step) {
			if (!run_once(&run, n, since))
				return false;
			if (atomic_load(&lever->failed) == 0)
				break;
			tell(&run, modes[since], n);
		}
	return true;
}

static int wrapped_main(int argc, char **argv, char **envp)
{
	const char *text = getenv("GM_SCARCE_STEP");
	unsigned long step = text ? strtoul(text, NULL, 10) : 1;

	command.argc = argc;
	command.argv = argv;
	command.envp = envp;
	(void)unsetenv("LD_PRELOAD"); /* what it starts is another program */
	command.report = fopen(getenv("GM_SCARCE_REPORT"), "we");
	lever = mmap(
		NULL, sizeof(*lever), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!command.report || lever == MAP_FAILED)
		die("GM_SCARCE_REPORT");
	if (!run_all(step > 0 ? step : 1))
		return run_main(NULL);
	(void)fclose(command.report);
	return 0;
}

/* ---- how it comes in ---- */

static void map_switch(const char *path)
{
	const char *name = program_invocation_short_name;
	int next = strcmp(name, "guestmemfs-worker") == 0   ? NEXT_WORKER
		   : strcmp(name, "guestmemfs-fuse") == 0   ? NEXT_SUPERVISOR
		   : strcmp(name, "guestmemfs-keeper") == 0 ? NEXT_KEEPER
							    : 0;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	lever = fd < 0 ? MAP_FAILED
		       : mmap(NULL, sizeof(*lever), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (lever == MAP_FAILED)
		die(path);
	(void)close(fd);
	atomic_store(&self, getpid());
	if (next != 0)
		(void)atomic_compare_exchange_strong(&lever->pid, &next, getpid());
}

typedef int (*start_function)(main_function main, int argc, char **argv, void (*init)(void),
	void (*fini)(void), void (*rtld_fini)(void), void *stack_end);

/* What the loader and the libraries' constructors call for is over by now. */
SHOWN int __libc_start_main(main_function main, int argc, char **argv, void (*init)(void),
	void (*fini)(void), void (*rtld_fini)(void), void *stack_end);
SHOWN int __libc_start_main(main_function main, int argc, char **argv, void (*init)(void),
	void (*fini)(void), void (*rtld_fini)(void), void *stack_end)
{
	start_function start_main;
	void *found = dlsym(RTLD_NEXT, "__libc_start_main");

	memcpy(&start_main, &found, sizeof(start_main));
	command.main = main;
	if (getenv("GM_SCARCE_SWITCH"))
		map_switch(getenv("GM_SCARCE_SWITCH"));
	else if (getenv("GM_SCARCE_REPORT"))
		main = wrapped_main;
	return start_main(main, argc, argv, init, fini, rtld_fini, stack_end);
}
