/* SPDX-License-Identifier: MIT */
/*
 * The only program of the demo guest, PID 1 of its initramfs. It fills memory with a pattern that a
 * seed on the kernel's command line decides, then prints one line a second and checks a sixteenth
 * of the pattern with each; the character `c` on the console asks for a check of the whole. Nothing
 * is kept outside RAM: what it still knows after a resume, it knows because its memory came back.
 *
 *   READY bytes=B seed=S boot_id=U            the pattern is in place
 *   TICK N uptime=T boot_id=U checked=FROM..TO   each second; bytes of the pattern that were right
 *   PATTERN OK bytes=B tick=N                 answer to `c`
 *   PATTERN BAD at=OFFSET is=X should=Y       at once, from either check
 *   INIT FAILED sentence                      and the guest reboots
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define SLICES     16U
#define LINE_BYTES 256

struct pattern {
	uint64_t *words;
	size_t count;
	uint64_t seed;
};

struct guest {
	struct pattern pattern;
	uint64_t tick;
};

/* One write a line, so that what the kernel prints can't get into the middle of it. */
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	char line[LINE_BYTES];
	va_list args;

	va_start(args, format);
	int n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	size_t length = n < 0 ? 0 : (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1;

	for (size_t done = 0; done < length;) {
		ssize_t w = write(STDOUT_FILENO, line + done, length - done);
		if (w < 0 && errno != EINTR && errno != EAGAIN)
			return; /* no console: there is nobody to tell */
		done += w > 0 ? (size_t)w : 0;
	}
}

__attribute__((noreturn)) static void fail(const char *what)
{
	say("INIT FAILED %s: %s\n", what, strerror(errno));
	tcdrain(STDOUT_FILENO);
	reboot(RB_AUTOBOOT);
	_exit(1);
}

static void mount_kernel_files(void)
{
	static const struct {
		const char *type, *target;
	} mounts[] = {{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}};

	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		mkdir(mounts[i].target, 0755);
		if (mount(mounts[i].type, mounts[i].target, mounts[i].type, 0, NULL) < 0)
			fail(mounts[i].target);
	}
}

/* Raw, so that the request `c` comes without a newline and isn't echoed into our lines. */
static void open_console(void)
{
	struct termios mode;
	int fd = open("/dev/console", O_RDWR | O_NOCTTY);

	if (fd < 0)
		fail("/dev/console");
	for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++)
		dup2(fd, i);
	if (fd > STDERR_FILENO)
		close(fd);
	if (tcgetattr(STDIN_FILENO, &mode) < 0)
		fail("tcgetattr");
	cfmakeraw(&mode);
	mode.c_oflag |= OPOST | ONLCR;
	if (tcsetattr(STDIN_FILENO, TCSANOW, &mode) < 0)
		fail("tcsetattr");
}

static void read_line(const char *path, char *buffer, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buffer, size - 1);

	if (n <= 0)
		fail(path);
	close(fd);
	buffer[n] = '\0';
	buffer[strcspn(buffer, "\n")] = '\0';
}

/* The kernel's, read anew each time: one made up by a kernel that booted anew would show. */
static void read_boot_id(char *buffer, size_t size)
{
	read_line("/proc/sys/kernel/random/boot_id", buffer, size);
}

static uint64_t read_parameter(const char *cmdline, const char *name)
{
	const char *at = strstr(cmdline, name);
	char *end = NULL;

	errno = 0;
	uint64_t value = at ? strtoull(at + strlen(name), &end, 0) : 0;
	if (!at || errno || end == at + strlen(name) || (*end && *end != ' ')) {
		errno = EINVAL;
		fail(name);
	}
	return value;
}

/* splitmix64: each word depends on all bits of seed and index, so a moved, stale or zeroed page
 * can't look right. */
static uint64_t pattern_word(const struct pattern *p, uint64_t index)
{
	uint64_t z = p->seed + (index + 1) * 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static void pattern_fill(struct pattern *p, uint64_t bytes)
{
	p->count = bytes / sizeof(uint64_t);
	p->words = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->words == MAP_FAILED)
		fail("mmap of the pattern");
	for (size_t i = 0; i < p->count; i++)
		p->words[i] = pattern_word(p, i);
}

/* Says the first wrong word of [from, to); true if there is none. */
static bool pattern_check(const struct pattern *p, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		uint64_t should = pattern_word(p, i);

		if (p->words[i] == should)
			continue;
		say("PATTERN BAD at=%zu is=%016" PRIx64 " should=%016" PRIx64 "\n",
			i * sizeof(uint64_t), p->words[i], should);
		return false;
	}
	return true;
}

static void check_all(const struct guest *g)
{
	if (pattern_check(&g->pattern, 0, g->pattern.count))
		say("PATTERN OK bytes=%zu tick=%" PRIu64 "\n", g->pattern.count * sizeof(uint64_t),
			g->tick);
}

static void tick(struct guest *g)
{
	char boot_id[64];
	struct timespec up;
	size_t slice = g->tick++ % SLICES;
	size_t from = g->pattern.count / SLICES * slice;
	size_t to = slice == SLICES - 1 ? g->pattern.count : from + g->pattern.count / SLICES;

	if (!pattern_check(&g->pattern, from, to))
		return;
	read_boot_id(boot_id, sizeof(boot_id));
	clock_gettime(CLOCK_BOOTTIME, &up);
	say("TICK %" PRIu64 " uptime=%lld.%02ld boot_id=%s checked=%zu..%zu\n", g->tick,
		(long long)up.tv_sec, up.tv_nsec / 10000000, boot_id, from * sizeof(uint64_t),
		to * sizeof(uint64_t));
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Answers requests from the console until the time has come. */
static void serve_until(const struct guest *g, int64_t deadline)
{
	for (int64_t left = deadline - now_ms(); left > 0; left = deadline - now_ms()) {
		struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
		char c;

		if (poll(&in, 1, (int)left) > 0 && read(STDIN_FILENO, &c, 1) == 1 && c == 'c')
			check_all(g);
	}
}

int main(void)
{
	struct guest g = {0};
	char cmdline[4096], boot_id[64];

	mount_kernel_files();
	open_console();
	read_line("/proc/cmdline", cmdline, sizeof(cmdline));
	read_boot_id(boot_id, sizeof(boot_id));

	g.pattern.seed = read_parameter(cmdline, "pattern.seed=");
	pattern_fill(&g.pattern, read_parameter(cmdline, "pattern.bytes="));
	say("READY bytes=%zu seed=0x%016" PRIx64 " boot_id=%s\n",
		g.pattern.count * sizeof(uint64_t), g.pattern.seed, boot_id);

	/* From the last tick on, not from the first: after a resume nothing has to be caught up. */
	for (;;) {
		int64_t next = now_ms() + 1000;

		tick(&g);
		serve_until(&g, next);
	}
}
