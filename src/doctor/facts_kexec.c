// SPDX-License-Identifier: MIT
/* What would start the next kernel: images that are loaded, kexec-tools, systemd, Debian's scripts.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "doctor/facts_internal.h"
#include "doctor/read.h"
#include "util/cleanup.h"

static enum fact read_flag(struct host *h, const char *path)
{
	uint64_t value = 0;

	if (!read_number(&value, h, "%s", path))
		return FACT_UNKNOWN;
	return value ? FACT_YES : FACT_NO;
}

/*
 * "kexec-tools 2.0.25", and the default call: "-c, --kexec-syscall ... (default)" may go over
 * several lines, so the option that was named last is remembered.
 */
static void take_help(struct doctor_facts *f, struct host *h, FILE *from)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	char option = '\0';

	while (read_next(h, from, &line, &size)) {
		(void)sscanf(line, "kexec-tools %23s", f->kexec_version);
		(void)sscanf(line, " -%c, --", &option);
		if (!strstr(line, "(default)"))
			continue;
		if (option == 's' || option == 'a')
			f->kexec_by_file = FACT_YES;
		else if (option == 'c')
			f->kexec_by_file = FACT_NO;
	}
}

static void read_tools(struct doctor_facts *f, struct host *h)
{
	static const char *const paths[] = {"/usr/sbin/kexec", "/sbin/kexec", "/usr/bin/kexec"};
	char path[PATH_MAX];

	for (size_t n = 0; n < ARRAY_SIZE(paths) && !f->kexec_version[0]; n++) {
		pid_t pid = 0;

		if (access(read_path(path, h, "%s", paths[n]), X_OK) < 0)
			continue;
		FILE *from = read_program(h, &pid, path, "--help");
		if (!from)
			continue;
		take_help(f, h, from);
		(void)fclose(from);
		(void)waitpid(pid, NULL, 0);
	}
}

/* A shell's assignment; the last one counts. */
static void take_load_kexec(struct doctor_facts *f, struct host *h, const char *path)
{
	FILE *file = read_open(h, "%s", path);
	char *line = NULL;
	size_t size = 0;
	char value[16];

	while (file && read_next(h, file, &line, &size))
		if (sscanf(line, " LOAD_KEXEC=%15[\"'a-z]", value) == 1)
			f->load_at_reboot = strstr(value, "true") != NULL;
	free(line);
	if (file)
		(void)fclose(file);
}

static int keep_visible(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static void read_debian(struct doctor_facts *f, struct host *h)
{
	char path[PATH_MAX];
	struct dirent **names = NULL;

	if (access(read_path(path, h, "/etc/init.d/kexec-load"), X_OK) < 0)
		return;
	take_load_kexec(f, h, "/etc/default/kexec");
	int count = scandir(
		read_path(path, h, "/etc/default/kexec.d"), &names, keep_visible, alphasort);
	if (count < 0)
		host_note(h, errno);
	for (int n = 0; n < count; n++) {
		(void)snprintf(path, sizeof(path), "/etc/default/kexec.d/%s", names[n]->d_name);
		take_load_kexec(f, h, path);
		free(names[n]);
	}
	free(names);
}

void facts_read_kexec(struct doctor_facts *f, struct host *h)
{
	char path[PATH_MAX];

	f->image = read_flag(h, "/sys/kernel/kexec_loaded");
	f->crash_image = read_flag(h, "/sys/kernel/kexec_crash_loaded");
	f->kexec_disabled = read_flag(h, "/proc/sys/kernel/kexec_load_disabled") == FACT_YES;
	f->systemd = access(read_path(path, h, "/run/systemd/system"), F_OK) == 0;
	read_tools(f, h);
	read_debian(f, h);
}
