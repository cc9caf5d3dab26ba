// SPDX-License-Identifier: MIT
#include "scene.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../unit/soft_wraps.h"
#include "helper/confine.h"
#include "helper/device_work.h"
#include "helper/trust.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/packet.h"

#define TURNS_MAX 20000U
#define IDLE_MS   30000U /* in which everything is done that is done at all */

struct scene scene;

static scene_step_fn *take_step;
static uint64_t idle_until;

void scene_die(const char *what, const char *why)
{
	(void)fprintf(stderr, "fuzz: %s%s%s\n", what, why[0] ? ": " : "", why);
	abort();
}

/* ---- the clock ---- */

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	if (clock == CLOCK_REALTIME)
		return __real_clock_gettime(clock, ret);
	*ret = (struct timespec){.tv_sec = (time_t)(1000 + scene.now / 1000),
		.tv_nsec = (long)(scene.now % 1000) * 1000000};
	return 0;
}

void scene_pass(uint64_t milliseconds)
{
	scene.now += milliseconds;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *left);

/* Who lets time pass by does not wait for it. */
int __wrap_nanosleep(const struct timespec *time, struct timespec *left)
{
	(void)left;
	scene_pass((uint64_t)time->tv_sec * 1000 + (uint64_t)time->tv_nsec / 1000000);
	return 0;
}

/* ---- what is not the helper's to do here ---- */

int __wrap_helper_confine_privileges(bool soft, struct problem *why);
int __wrap_helper_confine_syscalls(bool soft, int link, struct problem *why);

int __wrap_helper_confine_privileges(bool soft, struct problem *why)
{
	(void)soft, (void)why;
	return 0;
}

int __wrap_helper_confine_syscalls(bool soft, int link, struct problem *why)
{
	(void)soft, (void)link, (void)why;
	return 0;
}

/* ---- processes ---- */

int __real_packet_get_peer(int sock, struct ucred *ret);
int __wrap_packet_get_peer(int sock, struct ucred *ret);
int __wrap_process_open_peer(int sock, pid_t pid);
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

int __wrap_packet_get_peer(int sock, struct ucred *ret)
{
	const struct person *p = clients_next_peer();

	if (!p)
		return __real_packet_get_peer(sock, ret);
	*ret = (struct ucred){.pid = person_pid(p), .uid = p->uid, .gid = p->uid};
	return 0;
}

static int open_life(pid_t pid)
{
	const struct person *p = person_of(pid);
	int fd = p ? dup(p->life[0]) : -1;

	if (!p)
		return -ESRCH;
	return fd < 0 ? -errno : fd;
}

int __wrap_process_open_peer(int sock, pid_t pid)
{
	(void)sock;
	return open_life(pid);
}

/* SIGKILL, to whom the descriptor is of. */
static long end_person(int fd)
{
	struct stat is, his;

	if (fstat(fd, &is) < 0)
		scene_die("a signal to nobody", "");
	for (unsigned n = 0; n < SCENE_PERSONS; n++) {
		struct person *p = &scene.persons[n];

		if (fstat(p->life[0], &his) == 0 && his.st_ino == is.st_ino) {
			if (!p->lives) {
				errno = ESRCH;
				return -1;
			}
			person_end(p);
			return 0;
		}
	}
	scene_die("a signal to somebody else", "");
}

long __wrap_syscall(long number, ...)
{
	long a[5]; /* as many as the helper gives any, and as are passed in registers */
	va_list ap;

	va_start(ap, number);
	for (unsigned n = 0; n < ARRAY_SIZE(a); n++)
		a[n] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_pidfd_send_signal)
		return end_person((int)a[0]);
	if (number != SYS_pidfd_open)
		return __real_syscall(number, a[0], a[1], a[2], a[3], a[4]);
	int fd = open_life((pid_t)a[0]);
	if (fd >= 0)
		return fd;
	errno = -fd;
	return -1;
}

int __wrap_procscan_run(const struct scan_options *options, struct scan_result *ret)
{
	*ret = SCAN_RESULT_NULL;
	persons_scan(options, ret);
	return 0;
}

/* ---- the background threads ---- */

STAILQ_HEAD(jobs, work_job);

struct thread {
	int event;
	bool used;
	const struct region *regions;
	unsigned region_count;
	const struct scan_options *scan;
	struct reuse *reuse;
	struct jobs pending, done;
};

static struct thread threads[2];

int __wrap_work_new(struct work **ret, const struct region *regions, unsigned region_count,
	const struct scan_options *scan, struct reuse *reuse);
struct work *__wrap_work_free(struct work *w);
int __wrap_work_get_fd(const struct work *w);
void __wrap_work_submit(struct work *w, struct work_job *job);
struct work_job *__wrap_work_take(struct work *w);

int __wrap_work_new(struct work **ret, const struct region *regions, unsigned region_count,
	const struct scan_options *scan, struct reuse *reuse)
{
	struct thread *t = &threads[threads[0].used];

	*t = (struct thread){.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.used = true,
		.regions = regions,
		.region_count = region_count,
		.scan = scan,
		.reuse = reuse};
	STAILQ_INIT(&t->pending);
	STAILQ_INIT(&t->done);
	*ret = (struct work *)t;
	return 0;
}

static struct work_job *take_first(struct jobs *q)
{
	struct work_job *job = STAILQ_FIRST(q);

	if (job)
		STAILQ_REMOVE_HEAD(q, entry);
	return job;
}

struct work *__wrap_work_free(struct work *w)
{
	struct thread *t = (struct thread *)w;
	struct work_job *job;

	if (!w)
		return NULL;
	while ((job = take_first(&t->pending)) || (job = take_first(&t->done)))
		work_job_free(job);
	(void)close_fd(t->event);
	t->used = false;
	return NULL;
}

int __wrap_work_get_fd(const struct work *w)
{
	return ((const struct thread *)w)->event;
}

void __wrap_work_submit(struct work *w, struct work_job *job)
{
	STAILQ_INSERT_TAIL(&((struct thread *)w)->pending, job, entry);
}

struct work_job *__wrap_work_take(struct work *w)
{
	struct thread *t = (struct thread *)w;
	eventfd_t ignored;

	(void)eventfd_read(t->event, &ignored);
	return take_first(&t->done);
}

/* Whoever reaches a block keeps what is in it. */
static void check_zeroing(const struct work_job *job)
{
	uint64_t end = (job->offset + job->length - 1) / GM_BLOCK_SIZE;
	char text[64];

	for (uint64_t b = job->offset / GM_BLOCK_SIZE; b <= end; b++) {
		(void)snprintf(text, sizeof(text), "block %u:%u", job->region, (unsigned)b);
		if (job->region >= SCENE_REGIONS || !worker_says_data(job->region, b))
			scene_die("what is no data is zeroed", text);
		if (!scene.hands_on && persons_reach_block(job->region, b))
			scene_die("what somebody reaches is zeroed", text);
	}
}

static int run_scan(struct thread *t, struct work_job *job)
{
	const struct scan_options devices = {.targets = job->targets.at,
		.target_count = (unsigned)job->targets.count,
		.ours = t->scan->ours};

	return procscan_run(job->targets.at ? &devices : t->scan, &job->scan);
}

static int run_job(struct thread *t, struct work_job *job)
{
	switch (job->kind) {
	case WORK_SCRUB:
	case WORK_ZERO:
		check_zeroing(job);
		return 0;
	case WORK_SCAN:
	case WORK_SEEK:
		return run_scan(t, job);
	case WORK_MAKE:
		return device_work_make(t->regions, &job->plan, t->reuse, &job->devices, &job->why);
	case WORK_LIST:
		return device_work_list(
			t->regions, t->region_count, &job->devices, &job->lost, &job->why);
	case WORK_REMOVE:
		device_work_remove(
			t->regions, &job->devices, job->sought ? &job->scan : NULL, t->reuse);
		return 0;
	case WORK_TAKE:
		return reuse_take(t->reuse, t->regions, &job->devices, &job->why);
	}
	scene_die("a job of no kind", "");
}

static bool may_fail(const struct work_job *job)
{
	return job->kind == WORK_SCRUB || job->kind == WORK_ZERO || job->kind == WORK_SCAN;
}

bool scene_work(unsigned thread, bool fails)
{
	struct thread *t = &threads[thread % 2];
	struct work_job *job = t->used ? take_first(&t->pending) : NULL;

	if (!job)
		return false;
	job->error = fails && may_fail(job) ? -EIO : run_job(t, job);
	STAILQ_INSERT_TAIL(&t->done, job, entry);
	(void)eventfd_write(t->event, 1);
	return true;
}

void scene_step(uint8_t what, struct bytes *b)
{
	if (what % 8 == 6)
		(void)scene_work(what / 8, what >= 240);
	else if (what >= 192)
		devices_step(b);
	else
		scene_pass(10U << bytes_take(b) % 12);
}

/* ---- the loop ---- */

int __real_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout);

static bool end_step(void)
{
	bool any = worker_answer();

	any = scene_work(0, false) || any;
	any = scene_work(1, false) || any;
	return any;
}

/* Nothing happens any more: was everybody answered? */
static void end(void)
{
	char text[96];

	clients_read(true);
	worker_read();
	(void)snprintf(text, sizeof(text), "%u clients, %u questions of the worker",
		clients_waiting(), worker_waits());
	if (clients_waiting() > 0 || worker_waits() > 0)
		scene_die("somebody is left without an answer", text);
	worker_close_supervisor();
}

/* What happens next, when the helper waits for so long. */
static void go_on(int timeout)
{
	clients_read(scene.ending);
	worker_read();
	if (scene.input.left > 0) {
		take_step(&scene.input);
	} else if (!scene.ending) {
		scene.ending = true;
		idle_until = scene.now + IDLE_MS;
	} else if (!end_step()) {
		if (scene.now >= idle_until)
			end();
		else
			scene_pass(timeout < 0 ? 1000 : (uint64_t)timeout + 500);
	}
}

int __wrap_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout)
{
	for (unsigned n = 0; n < TURNS_MAX; n++) {
		int r = __real_epoll_wait(epoll, events, count, 0);
		uint64_t before = scene.now;

		if (r != 0)
			return r;
		go_on(timeout);
		if (timeout >= 0 && scene.now - before >= (uint64_t)timeout)
			return 0;
	}
	scene_die("the helper waits for ever", "");
}

/* ---- an input ---- */

static void make_directory(void)
{
	static char directory[64];

	(void)snprintf(directory, sizeof(directory), "%s/gm-fuzz-XXXXXX",
		access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(directory))
		scene_die("a directory", strerror(errno));
	scene.directory = directory;
	(void)snprintf(scene.socket, sizeof(scene.socket), "%s/grant.sock", directory);
	log_init("fuzz", getenv("GM_VERBOSE") ? LOG_LEVEL_DEBUG : 0);
	scene.now = 1;
}

static void remove_files(void)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf %s", scene.directory);
	if (system(command) != 0)
		(void)fprintf(stderr, "%s is left\n", scene.directory);
}

/* What the helpers of another input have noted. */
static void forget_notes(void)
{
	char path[512];
	struct dirent *e;
	DIR *d = opendir(scene.directory);

	while (d && (e = readdir(d)))
		if (strncmp(e->d_name, ".granted-", 9) == 0) {
			(void)snprintf(path, sizeof(path), "%s/%s", scene.directory, e->d_name);
			(void)unlink(path);
		}
	if (d)
		(void)closedir(d);
	(void)unlink(scene.socket);
}

static void run_helper(bool soft, enum reuse_policy reuse)
{
	struct helper_options o = {.link_fd = worker_supervisor_end(),
		.listen_fd = packet_listen(scene.socket, 0666),
		.notes_directory = scene.directory,
		.region_count = SCENE_REGIONS,
		.reuse = reuse,
		.counts_program = "/none"};

	for (unsigned n = 0; n < SCENE_REGIONS; n++)
		o.regions[n] =
			(struct helper_region){.kind = soft ? GM_REGION_SOFT : GM_REGION_FILE,
				.fd = dup(scene.memory[n]),
				.name = n ? "second" : "first"};
	(void)helper_run(&o);
}

static void prepare_once(void)
{
	if (!scene.directory) {
		make_directory();
		(void)atexit(remove_files);
	}
	for (unsigned n = 0; n < SCENE_REGIONS && scene.memory[n] == 0; n++) {
		scene.memory[n] = memfd_create("region", MFD_CLOEXEC);
		if (scene.memory[n] < 0 ||
			ftruncate(scene.memory[n], (off_t)(SCENE_BLOCKS * GM_BLOCK_SIZE)) < 0)
			scene_die("memory for a region", strerror(errno));
	}
}

void scene_run_input(const uint8_t *data, size_t size, scene_step_fn *step, bool strict)
{
	struct bytes b = {data, size};
	uint8_t how = bytes_take(&b);
	bool soft = how & 1;
	enum reuse_policy reuse = (enum reuse_policy)(how / 2 % (REUSE_NEVER + 1));

	prepare_once();
	take_step = step;
	scene.strict = strict;
	scene.soft = soft;
	scene.hands_on = soft && (reuse == REUSE_SAME_OWNER || reuse == REUSE_TRUSTING);
	scene.input = b;
	scene.ending = false;
	forget_notes();
	persons_init();
	scene_devices_begin(how / 32);
	worker_begin();
	scene_clients_begin();
	run_helper(soft, reuse);
	scene_clients_end();
	worker_end();
	scene_devices_end();
	persons_deinit();
}
