// SPDX-License-Identifier: MIT
/* The agent's mappings, and the children that inherit them. */
#include "agent.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void new_mapping(void *p, uint64_t offset, size_t length, const char *sentence)
{
	if (p == MAP_FAILED) {
		failed(errno, sentence);
		return;
	}
	agent.mappings[agent.mapping_count] = (struct mapping){p, offset, length};
	ok("%zu %p", agent.mapping_count++, p);
}

/*
 * With "fixed", a place inside a reservation as VMMs make it; sets *flags to
 * what mapping there needs.
 */
static void *choose_place(const char *word, uint64_t offset, size_t length, int *flags)
{
	*flags = 0;
	if (!word || strcmp(word, "fixed") != 0)
		return NULL;
	char *p = mmap(NULL, length + 2 * GM_BLOCK_SIZE, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	*flags = MAP_FIXED;
	return p + ((offset - (uintptr_t)p) & (GM_BLOCK_SIZE - 1));
}

void do_map(char **words)
{
	struct gm_attachment *a = get_attachment(words[1]);
	uint64_t offset = number(words[2]);
	size_t length = number(words[3]);
	int flags;

	if (!a || full(agent.mapping_count))
		return;
	void *place = choose_place(words[5], offset, length, &flags);
	void *p = gm_map(a, place, offset, length, get_prot(words[4]), flags);
	new_mapping(p, offset, length, gm_last_problem());
}

void do_pmap(char **words)
{
	struct file *f = get_file(words[1]);
	uint64_t offset = number(words[2]);
	size_t length = number(words[3]);
	int flags;

	if (!f || full(agent.mapping_count))
		return;
	void *place = choose_place(words[5], offset, length, &flags);
	void *p = mmap(place, length, get_prot(words[4]), MAP_SHARED | flags, f->fd, (off_t)offset);
	new_mapping(p, offset, length, strerror(errno));
}

void do_rawmap(char **words)
{
	struct gm_attachment *a = get_attachment(words[1]);
	uint64_t offset = number(words[3]);
	size_t length = number(words[4]);

	if (!a || full(agent.mapping_count))
		return;
	int fd = gm_device_fd(a, (uint32_t)number(words[2]));
	if (fd < 0) {
		failed(-fd, gm_last_problem());
		return;
	}
	void *p = mmap(NULL, length, get_prot(words[5]), MAP_SHARED, fd, (off_t)offset);
	new_mapping(p, offset, length, strerror(errno));
}

void do_unmap(char **words)
{
	struct mapping *m = get_mapping(words[1]);

	if (!m)
		return;
	if (munmap(m->start, m->length) < 0)
		failed_errno();
	else
		done();
	m->start = NULL;
}

/* Waits for a child whose exit status is an errno, or 0. */
static void answer_child(pid_t child)
{
	char sentence[100];
	int status;

	if (child < 0 || waitpid(child, &status, 0) < 0) {
		failed_errno();
	} else if (WIFSIGNALED(status)) {
		snprintf(sentence, sizeof(sentence), "the child died of SIG%s",
			sigabbrev_np(WTERMSIG(status)));
		failed(EINTR, sentence);
	} else if (WEXITSTATUS(status) != 0) {
		failed(WEXITSTATUS(status), "in the child");
	} else {
		done();
	}
}

void do_fork_check(char **words)
{
	struct mapping *m = get_mapping(words[1]);

	if (!m)
		return;
	pid_t child = fork();
	if (child == 0)
		_exit(find_bad(m, number(words[2])) >= m->length / 8 * 8 ? 0 : EILSEQ);
	answer_child(child);
}

static int map_and_check(int fd, uint64_t offset, size_t length, uint64_t seed)
{
	struct mapping m = {.offset = offset, .length = length};

	m.start = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, (off_t)offset);
	if (m.start == MAP_FAILED)
		return errno;
	return find_bad(&m, seed) >= length / 8 * 8 ? 0 : EILSEQ;
}

void do_fork_pmap(char **words)
{
	struct file *f = get_file(words[1]);

	if (!f)
		return;
	pid_t child = fork();
	if (child == 0)
		_exit(map_and_check(f->fd, number(words[2]), number(words[3]), number(words[4])));
	answer_child(child);
}

void do_fork_hold(char **words)
{
	pid_t child = fork();

	if (child < 0) {
		failed_errno();
		return;
	}
	if (child == 0) {
		/*
		 * Mappings are what it is to hold: no file, no attachment, no pipe of the test's.
		 */
		close_range(0, ~0U, 0);
		sleep((unsigned)number(words[1]));
		_exit(0);
	}
	ok("%d", child);
}

void do_private_touch(char **words)
{
	struct file *f = get_file(words[1]);
	int status;

	if (!f)
		return;
	pid_t child = fork();
	if (child == 0) {
		volatile char *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, f->fd, 0);
		if (p == MAP_FAILED)
			_exit(errno);
		(void)*p;
		_exit(0);
	}
	if (child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status))
		ok("SIG%s", sigabbrev_np(WTERMSIG(status)));
	else
		failed(ENOMSG, "no signal came");
}
