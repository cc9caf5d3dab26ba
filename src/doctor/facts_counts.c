// SPDX-License-Identifier: MIT
/* Whether the kernel's reference counts of devices can be read here, as guestmemfs-counts says. */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "doctor/facts.h"
#include "doctor/read.h"
#include "util/cleanup.h"

#define REFUSAL      "The kernel's reference counts can't be read: "
#define GATE_REFUSAL "Devices that were exported can't be closed: "

static void take_reason(char *to, size_t size, const char *line, const char *refusal)
{
	if (strncmp(line, refusal, strlen(refusal)) != 0)
		return;
	(void)snprintf(to, size, "%s", line + strlen(refusal));
	size_t length = strlen(to);
	if (length > 0 && to[length - 1] == '.')
		to[length - 1] = '\0';
}

/* Its answer is a line or two; libraries may say something beside it. */
static void take_answer(struct doctor_facts *f, struct host *h, FILE *from)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	while (read_next(h, from, &line, &size)) {
		line[strcspn(line, "\n")] = '\0';
		take_reason(f->counts_no, sizeof(f->counts_no), line, REFUSAL);
		take_reason(f->gate_no, sizeof(f->gate_no), line, GATE_REFUSAL);
	}
}

static void try_counts(struct doctor_facts *f, struct host *h, const char *path)
{
	char full[PATH_MAX];
	int status = 0;
	pid_t pid = 0;
	FILE *from = read_program(h, &pid, read_path(full, h, "%s", path), "--check");

	if (!from) {
		(void)snprintf(
			f->counts_no, sizeof(f->counts_no), "guestmemfs-counts is not installed");
		return;
	}
	take_answer(f, h, from);
	(void)fclose(from);
	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		f->counts = FACT_YES;
	else if (!f->counts_no[0])
		(void)snprintf(
			f->counts_no, sizeof(f->counts_no), "guestmemfs-counts does not work");
}

int facts_gather_counts(
	struct doctor_facts *f, const char *root, const char *path, struct problem *why)
{
	struct host h = {.root = root};

	if (!f->root)
		return 0;
	f->counts = FACT_NO;
	try_counts(f, &h, path);
	return h.error ? problem_errno(why, h.error, "starting %s", path) : 0;
}
