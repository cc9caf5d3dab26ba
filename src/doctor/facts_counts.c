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
static void take_answer(struct doctor_facts *f, FILE *from)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	ssize_t n;

	while ((n = getline(&line, &size, from)) > 0) {
		line[strcspn(line, "\n")] = '\0';
		take_reason(f->counts_no, sizeof(f->counts_no), line, REFUSAL);
		take_reason(f->gate_no, sizeof(f->gate_no), line, GATE_REFUSAL);
	}
}

void facts_gather_counts(struct doctor_facts *f, const char *root, const char *path)
{
	char full[PATH_MAX];
	int status = 0;
	pid_t pid = 0;

	if (!f->root)
		return;
	f->counts = FACT_NO;
	FILE *from = read_program(&pid, read_path(full, root, "%s", path), "--check");
	if (!from) {
		(void)snprintf(
			f->counts_no, sizeof(f->counts_no), "guestmemfs-counts is not installed");
		return;
	}
	take_answer(f, from);
	(void)fclose(from);
	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		f->counts = FACT_YES;
	else if (!f->counts_no[0])
		(void)snprintf(
			f->counts_no, sizeof(f->counts_no), "guestmemfs-counts does not work");
}
