// SPDX-License-Identifier: MIT
/* The kernel, its modules, and what this process may do. */
#include "doctor/facts.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor/facts_internal.h"
#include "doctor/read.h"
#include "util/cleanup_file.h"

#define CAP_SYS_ADMIN_BIT 21

const char *const fact_module_names[FACT_MODULES] = {
	"fuse",
	"dax_hmem",
	"device_dax",
	"kmem",
	"nd_e820",
	"nd_pmem",
	"dax_pmem",
};

static int read_cmdline(struct doctor_facts *f, struct host *h)
{
	_cleanup_file_ FILE *file = read_open(h, "/proc/cmdline");
	char *line = NULL;
	size_t size = 0;

	if (!file || !read_next(h, file, &line, &size)) {
		free(line);
		line = strdup("");
	}
	if (!line)
		return -ENOMEM;
	line[strcspn(line, "\n")] = '\0';
	f->cmdline = line;
	return 0;
}

/* Where distributions put the configuration of a kernel. */
static enum fact config_has(struct host *h, const char *release, const char *line)
{
	static const char *const paths[] = {"/boot/config-%s", "/lib/modules/%s/config"};
	char path[PATH_MAX];
	char text[128];

	for (size_t n = 0; n < ARRAY_SIZE(paths); n++) {
		(void)snprintf(text, sizeof(text),
			n == 0 ? "/boot/config-%s" : "/lib/modules/%s/config", release);
		if (access(read_path(path, h, "%s", text), R_OK) == 0)
			return read_finds(line, h, "%s", text) ? FACT_YES : FACT_NO;
	}
	return FACT_UNKNOWN;
}

static void read_kernel(struct doctor_facts *f, struct host *h)
{
	uint64_t number = 0;

	(void)read_line(f->release, sizeof(f->release), h, "/proc/sys/kernel/osrelease");
	if (sscanf(f->release, "%u.%u", &f->major, &f->minor) != 2)
		f->major = f->minor = 0;
	f->kaslr_built_in = config_has(h, f->release, "CONFIG_RANDOMIZE_BASE=y");
	f->kexec_file = config_has(h, f->release, "CONFIG_KEXEC_FILE=y");
	f->bootloader =
		read_number(&number, h, "/proc/sys/kernel/bootloader_type") ? (long)number : -1;
}

/* ---- modules ---- */

static bool is_loaded(struct host *h, const char *name)
{
	char path[PATH_MAX];
	char line[64];

	if (access(read_path(path, h, "/sys/module/%s", name), F_OK) == 0)
		return true;
	(void)snprintf(line, sizeof(line), "/%s.ko", name);
	char release[72];
	(void)read_line(release, sizeof(release), h, "/proc/sys/kernel/osrelease");
	return read_finds(line, h, "/lib/modules/%s/modules.builtin", release);
}

static bool is_in_proc(struct host *h, const char *name)
{
	_cleanup_file_ FILE *f = read_open(h, "/proc/modules");
	_cleanup_free_ char *line = NULL;
	size_t length = strlen(name);
	size_t size = 0;
	bool found = false;

	while (f && !found && read_next(h, f, &line, &size))
		found = strncmp(line, name, length) == 0 && line[length] == ' ';
	return found;
}

static enum module_state find_module(struct host *h, const char *release, const char *name)
{
	char file[64];
	char path[PATH_MAX];

	if (is_in_proc(h, name) || is_loaded(h, name))
		return MODULE_LOADED;
	(void)snprintf(file, sizeof(file), "/%s.ko", name);
	if (access(read_path(path, h, "/lib/modules/%s/modules.dep", release), R_OK) < 0)
		return MODULE_UNKNOWN;
	return read_finds(file, h, "/lib/modules/%s/modules.dep", release) ? MODULE_AVAILABLE
									   : MODULE_MISSING;
}

/* "blacklist kmem", in whatever white space. */
static bool file_blacklists(struct host *h, const char *path, const char *module)
{
	_cleanup_file_ FILE *f = read_open(h, "%s", path);
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	bool found = false;
	char name[64];

	while (f && !found && read_next(h, f, &line, &size))
		found = sscanf(line, " blacklist %63s", name) == 1 && strcmp(name, module) == 0;
	return found;
}

static bool directory_blacklists(struct host *h, const char *directory, const char *module)
{
	char path[PATH_MAX];
	DIR *d = opendir(read_path(path, h, "%s", directory));
	bool found = false;
	struct dirent *e;

	if (!d)
		host_note(h, errno);
	while (d && !found && (e = readdir(d))) {
		const char *end = strrchr(e->d_name, '.');

		if (!end || strcmp(end, ".conf") != 0)
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", directory, e->d_name);
		found = file_blacklists(h, path, module);
	}
	if (d)
		(void)closedir(d);
	return found;
}

static void read_modules(struct doctor_facts *f, struct host *h)
{
	static const char *const directories[] = {
		"/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"};

	for (unsigned n = 0; n < FACT_MODULES; n++)
		f->modules[n] = find_module(h, f->release, fact_module_names[n]);
	if (read_finds("\tfuse\n", h, "/proc/filesystems"))
		f->modules[FACT_FUSE] = MODULE_LOADED;
	for (size_t n = 0; n < ARRAY_SIZE(directories); n++)
		f->kmem_blacklisted |= directory_blacklists(h, directories[n], "kmem");
}

/* ---- rights ---- */

static void read_rights(struct doctor_facts *f, struct host *h)
{
	_cleanup_file_ FILE *file = read_open(h, "/proc/self/status");
	_cleanup_free_ char *line = NULL;
	unsigned long long caps = 0;
	unsigned uid = 1;
	unsigned effective = 1;
	size_t size = 0;
	char path[PATH_MAX];

	while (file && read_next(h, file, &line, &size)) {
		(void)sscanf(line, "Uid: %u %u", &uid, &effective);
		(void)sscanf(line, "CapEff: %llx", &caps);
	}
	f->root = effective == 0;
	f->sees_addresses = caps >> CAP_SYS_ADMIN_BIT & 1;
	f->fuse_node = access(read_path(path, h, "/dev/fuse"), F_OK) == 0;
}

static void read_ram(struct doctor_facts *f, struct host *h)
{
	char line[128];
	unsigned long long kilobytes = 0;

	if (read_line(line, sizeof(line), h, "/proc/meminfo") &&
		sscanf(line, "MemTotal: %llu kB", &kilobytes) == 1)
		f->ram = (uint64_t)kilobytes * 1024;
}

static int gather(struct doctor_facts *f, struct host *h)
{
	int r = read_cmdline(f, h);

	read_kernel(f, h);
	read_modules(f, h);
	read_rights(f, h);
	read_ram(f, h);
	facts_read_kexec(f, h);
	if (r == 0)
		r = facts_read_firmware(f, h);
	if (r == 0)
		r = facts_read_iomem(f, h);
	if (r == 0)
		r = facts_read_devices(f, h);
	return r == 0 ? -h->error : r;
}

int facts_gather(struct doctor_facts *ret, const char *root, struct problem *why)
{
	struct doctor_facts f = DOCTOR_FACTS_NULL;
	struct host h = {.root = root};
	int r = gather(&f, &h);

	if (r < 0) {
		facts_deinit(&f);
		return problem_errno(why, -r, "looking at this host");
	}
	*ret = f;
	return 0;
}

void facts_deinit(struct doctor_facts *f)
{
	for (size_t n = 0; n < f->device_count; n++)
		e820_map_deinit(&f->devices[n].ranges);
	free(f->cmdline);
	free(f->iomem);
	free(f->devices);
	e820_map_deinit(&f->firmware);
	*f = DOCTOR_FACTS_NULL;
}
