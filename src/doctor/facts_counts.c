// SPDX-License-Identifier: MIT
/* Whether the kernel's reference counts of devices can be read here, as guestmemfs-counts says. */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "doctor/facts.h"
#include "doctor/read.h"
#include "util/cleanup.h"

#define REFUSAL "The kernel's reference counts can't be read: "

/* Its answer is one line; libraries may say something beside it. */
static void take_answer(struct doctor_facts *f, FILE *from)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	ssize_t n;

	while ((n = getline(&line, &size, from)) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, REFUSAL, strlen(REFUSAL)) != 0)
			continue;
		(void)snprintf(f->counts_no, sizeof(f->counts_no), "%s", line + strlen(REFUSAL));
		size_t length = strlen(f->counts_no);
		if (length > 0 && f->counts_no[length - 1] == '.')
			f->counts_no[length - 1] = '\0';
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
