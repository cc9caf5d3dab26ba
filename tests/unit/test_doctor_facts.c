// SPDX-License-Identifier: MIT
/* What a host says of itself, read from a tree of files that stands for it. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor/facts.h"
#include "doctor/regions.h"
#include "guestmemfs/format.h"
#include "region/soft_record.h"
#include "util/cleanup.h"

#define GIB (UINT64_C(1) << 30)

static char root[] = "/tmp/gm-test-doctor-XXXXXX";

static void make_root(void)
{
	cr_assert_not_null(mkdtemp(root));
}

static void remove_root(void)
{
	char command[64];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", root);
	cr_assert_eq(system(command), 0);
}

static void path_of(char path[512], const char *name)
{
	(void)snprintf(path, 512, "%s%s", root, name);
	for (char *at = path + strlen(root) + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		(void)mkdir(path, 0755);
		*at = '/';
	}
}

static void put(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(const char *name, const char *format, ...)
{
	char path[512];
	va_list ap;

	path_of(path, name);
	FILE *f = fopen(path, "we");
	cr_assert_not_null(f, "%s", path);
	va_start(ap, format);
	cr_assert_geq(vfprintf(f, format, ap), 0);
	va_end(ap);
	cr_assert_eq(fclose(f), 0);
}

static void put_link(const char *name, const char *target)
{
	char path[512];

	path_of(path, name);
	cr_assert_eq(symlink(target, path), 0, "%s", path);
}

static void put_program(const char *name, const char *text)
{
	char path[512];

	put(name, "%s", text);
	path_of(path, name);
	cr_assert_eq(chmod(path, 0755), 0);
}

/* A devdax node is a file here; it holds the first block, with a magic in it. */
static void put_node(const char *name, off_t size, off_t offset, const char *magic)
{
	char path[512];

	path_of(path, name);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, size), 0);
	cr_assert_eq(pwrite(fd, magic, strlen(magic), offset), (ssize_t)strlen(magic));
	(void)close(fd);
}

static void put_firmware(unsigned n, uint64_t start, uint64_t end, const char *type)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "/sys/firmware/memmap/%u/start", n);
	put(name, "0x%lx\n", (unsigned long)start);
	(void)snprintf(name, sizeof(name), "/sys/firmware/memmap/%u/end", n);
	put(name, "0x%lx\n", (unsigned long)end - 1);
	(void)snprintf(name, sizeof(name), "/sys/firmware/memmap/%u/type", n);
	put(name, "%s\n", type);
}

static void put_device(const char *directory, const char *name, uint64_t start, uint64_t size,
	uint64_t align, const char *driver)
{
	char path[256];
	char target[256];

	(void)snprintf(path, sizeof(path), "/sys/devices/platform/%s/%s/resource", directory, name);
	put(path, "0x%lx\n", (unsigned long)start);
	(void)snprintf(path, sizeof(path), "/sys/devices/platform/%s/%s/size", directory, name);
	put(path, "%lu\n", (unsigned long)size);
	(void)snprintf(path, sizeof(path), "/sys/devices/platform/%s/%s/align", directory, name);
	put(path, "%lu\n", (unsigned long)align);
	(void)snprintf(path, sizeof(path), "/sys/devices/platform/%s/%s/driver", directory, name);
	(void)snprintf(target, sizeof(target), "../../../../bus/dax/drivers/%s", driver);
	if (*driver)
		put_link(path, target);
	(void)snprintf(path, sizeof(path), "/sys/bus/dax/devices/%s", name);
	(void)snprintf(target, sizeof(target), "../../../devices/platform/%s/%s", directory, name);
	put_link(path, target);
}

static void put_soft_region(const char *directory, uint64_t size)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "/sys/devices/platform/%s/dax_region/create", directory);
	put(path, "\n");
	(void)snprintf(path, sizeof(path), "/sys/devices/platform/%s/dax_region/size", directory);
	put(path, "%lu\n", (unsigned long)size);
}

static void gather(struct doctor_facts *ret)
{
	struct problem why = PROBLEM_INIT;

	cr_assert_eq(facts_gather(ret, root, &why), 0, "%s", why.text);
}

Test(doctor_facts, an_empty_tree_is_a_host_of_which_nothing_is_known, .init = make_root,
	.fini = remove_root)
{
	_cleanup_(facts_deinit) struct doctor_facts f = DOCTOR_FACTS_NULL;
	_cleanup_(doctor_regions_deinit) struct doctor_regions regions = DOCTOR_REGIONS_NULL;

	gather(&f);
	cr_expect_str_empty(f.cmdline);
	cr_expect_eq(f.firmware.count, 0);
	cr_expect_eq(f.iomem_count, 0);
	cr_expect_eq(f.device_count, 0);
	cr_expect_not(f.root);
	cr_expect_eq(f.image, FACT_UNKNOWN);
	cr_expect_eq(f.bootloader, -1);
	cr_expect_eq(f.kaslr_built_in, FACT_UNKNOWN);
	cr_expect_eq(f.modules[FACT_DAX_HMEM], MODULE_UNKNOWN);
	cr_expect_str_empty(f.kexec_version);
	cr_assert_eq(doctor_regions_find(&regions, &f), 0);
	cr_expect_eq(regions.count, 0);
}

Test(doctor_facts, the_kernel_and_its_modules, .init = make_root, .fini = remove_root)
{
	_cleanup_(facts_deinit) struct doctor_facts f = DOCTOR_FACTS_NULL;

	put("/proc/sys/kernel/osrelease", "6.12.7-amd64\n");
	put("/proc/sys/kernel/bootloader_type", "208\n");
	put("/proc/cmdline", "quiet ro\n");
	put("/proc/meminfo", "MemTotal:       1024 kB\nMemFree: 1 kB\n");
	put("/boot/config-6.12.7-amd64",
		"CONFIG_RANDOMIZE_BASE=y\n# CONFIG_KEXEC_FILE is not set\n");
	put("/proc/modules", "dax_hmem 16384 0 - Live 0x0\ndevice_dax_x 1 0 - Live 0x0\n");
	put("/proc/filesystems", "nodev\tfuse\n");
	put("/lib/modules/6.12.7-amd64/modules.builtin", "kernel/drivers/nvdimm/nd_pmem.ko\n");
	put("/lib/modules/6.12.7-amd64/modules.dep",
		"kernel/drivers/dax/device_dax.ko.xz: "
		"kernel/x.ko\nkernel/drivers/dax/kmem.ko.xz:\n");
	put("/etc/modprobe.d/guests.conf", "# blacklist fuse\nblacklist\tkmem\n");
	put("/etc/modprobe.d/notes.txt", "blacklist dax_hmem\n");
	put("/proc/self/status", "Name:\tx\nUid:\t1000\t0\t0\t0\nCapEff:\t0000000000200000\n");
	put("/dev/fuse", "%s", "");
	gather(&f);
	cr_expect_str_eq(f.cmdline, "quiet ro");
	cr_expect_eq(f.major, 6);
	cr_expect_eq(f.minor, 12);
	cr_expect_eq(f.bootloader, 208);
	cr_expect_eq(f.ram, 1024 * 1024);
	cr_expect_eq(f.kaslr_built_in, FACT_YES);
	cr_expect_eq(f.kexec_file, FACT_NO);
	cr_expect_eq(f.modules[FACT_FUSE], MODULE_LOADED);
	cr_expect_eq(f.modules[FACT_DAX_HMEM], MODULE_LOADED);
	cr_expect_eq(f.modules[FACT_ND_PMEM], MODULE_LOADED);
	cr_expect_eq(f.modules[FACT_DEVICE_DAX], MODULE_AVAILABLE);
	cr_expect_eq(f.modules[FACT_KMEM], MODULE_AVAILABLE);
	cr_expect_eq(f.modules[FACT_ND_E820], MODULE_MISSING);
	cr_expect(f.kmem_blacklisted);
	cr_expect(f.root);
	cr_expect(f.sees_addresses);
	cr_expect(f.fuse_node);
}

Test(doctor_facts, who_would_start_the_next_kernel, .init = make_root, .fini = remove_root)
{
	_cleanup_(facts_deinit) struct doctor_facts f = DOCTOR_FACTS_NULL;

	put("/sys/kernel/kexec_loaded", "1\n");
	put("/sys/kernel/kexec_crash_loaded", "0\n");
	put("/proc/sys/kernel/kexec_load_disabled", "1\n");
	put("/run/systemd/system/x", "%s", "");
	put_program("/etc/init.d/kexec-load", "#!/bin/sh\n");
	put("/etc/default/kexec", "LOAD_KEXEC=true\n#LOAD_KEXEC=false\n");
	put_program("/usr/sbin/kexec",
		"#!/bin/sh\n"
		"echo 'kexec-tools 2.0.25'\n"
		"echo ' -s, --kexec-file-syscall Use file based syscall'\n"
		"echo ' -c, --kexec-syscall  Use the kexec_load syscall for compatibility'\n"
		"echo \"                      with systems that don't support -s (default)\"\n"
		"echo ' -a, --kexec-syscall-auto  Use file based syscall'\n");
	gather(&f);
	cr_expect_eq(f.image, FACT_YES);
	cr_expect_eq(f.crash_image, FACT_NO);
	cr_expect(f.kexec_disabled);
	cr_expect(f.systemd);
	cr_expect(f.load_at_reboot);
	cr_expect_str_eq(f.kexec_version, "2.0.25");
	cr_expect_eq(f.kexec_by_file, FACT_NO);
}

Test(doctor_facts, a_later_kexec_tools_and_a_host_that_does_not_load, .init = make_root,
	.fini = remove_root)
{
	_cleanup_(facts_deinit) struct doctor_facts f = DOCTOR_FACTS_NULL;

	put_program("/etc/init.d/kexec-load", "#!/bin/sh\n");
	put("/etc/default/kexec", "LOAD_KEXEC=true\n");
	put("/etc/default/kexec.d/10-local", "LOAD_KEXEC=\"false\"\n");
	put_program("/sbin/kexec",
		"#!/bin/sh\n"
		"echo 'kexec-tools 2.0.32' >&2\n"
		"echo ' -c, --kexec-syscall  Use the kexec_load syscall'\n"
		"echo ' -a, --kexec-syscall-auto  Use file based syscall (default)'\n");
	gather(&f);
	cr_expect_not(f.load_at_reboot);
	cr_expect_str_eq(f.kexec_version, "2.0.32");
	cr_expect_eq(f.kexec_by_file, FACT_YES);
	cr_expect_eq(f.image, FACT_UNKNOWN);
}

#define PROGRAM "/usr/libexec/guestmemfs-counts"

Test(doctor_facts, counts_are_what_the_program_for_them_says, .init = make_root,
	.fini = remove_root)
{
	static const struct {
		const char *program; /* NULL: there is none */
		enum fact expected;
		const char *why;
		const char *gate;
	} cases[] = {
		{NULL, FACT_NO, "guestmemfs-counts is not installed", ""},
		{"#!/bin/sh\ntest \"$1\" = --check && echo \"The kernel's reference counts can be "
		 "read.\"\n",
			FACT_YES, "", ""},
		{"#!/bin/sh\necho \"The kernel's reference counts can be read.\"\n"
		 "echo \"Devices that were exported can't be closed: there is no cgroup2.\"\n",
			FACT_YES, "", "there is no cgroup2"},
		{"#!/bin/sh\necho 'libfoo: odd' >&2\n"
		 "echo \"The kernel's reference counts can't be read: there is no BTF.\"\nexit 1\n",
			FACT_NO, "there is no BTF", ""},
		{"#!/bin/sh\nkill -9 $$\n", FACT_NO, "guestmemfs-counts does not work", ""},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		struct doctor_facts f = {.root = true};

		if (cases[n].program)
			put_program(PROGRAM, cases[n].program);
		cr_expect_eq(facts_gather_counts(&f, root, PROGRAM, NULL), 0);
		cr_expect_eq(f.counts, cases[n].expected, "case %zu", n);
		cr_expect_str_eq(f.counts_no, cases[n].why, "case %zu", n);
		cr_expect_str_eq(f.gate_no, cases[n].gate, "case %zu", n);
	}
}

Test(doctor_facts, counts_are_not_known_without_root, .init = make_root, .fini = remove_root)
{
	struct doctor_facts f = {.root = false};

	cr_expect_eq(facts_gather_counts(&f, root, PROGRAM, NULL), 0);
	cr_expect_eq(f.counts, FACT_UNKNOWN);
}

/* A soft region that is cut: an empty first device, the metadata, a file's; and a pmem region. */
static void put_cut_host(void)
{
	put("/proc/cmdline", "memmap=2G!4G,2G%%4G-12+0xefffffff memmap=1G!7G\n");
	put_firmware(0, 0x100000, 3 * GIB, "System RAM");
	put_firmware(1, 3 * GIB, 4 * GIB, "Reserved");
	put_firmware(2, 4 * GIB, 9 * GIB, "System RAM");
	put("/proc/iomem", "00100000-bfffffff : System RAM\n"
			   "100000000-17fffffff : Soft Reserved\n"
			   "  100000000-13fffffff : dax0.1\n"
			   "    100000000-13fffffff : System RAM (kmem)\n"
			   "1c0000000-1ffffffff : Persistent Memory (legacy)\n");
	put_soft_region("hmem.0", 2 * GIB);
	put_device("hmem.0", "dax0.0", 4 * GIB, 0, 2U << 20, "");
	put_device("hmem.0", "dax0.1", 4 * GIB, GM_BLOCK_SIZE, 2U << 20, "device_dax");
	put_device("hmem.0", "dax0.10", 5 * GIB, GIB, GIB, "device_dax");
	put("/sys/bus/dax/devices/dax0.10/mapping0/start", "0x140000000\n");
	put("/sys/bus/dax/devices/dax0.10/mapping0/end", "0x17fffffff\n");
	put_device("e820_pmem", "dax1.0", 7 * GIB + GM_BLOCK_SIZE, GIB - GM_BLOCK_SIZE, 2U << 20,
		"device_dax");
	put_node("/dev/dax0.1", GM_BLOCK_SIZE, GM_SUPER_A_OFFSET, GM_SUPER_MAGIC);
	put_node("/dev/dax1.0", GM_BLOCK_SIZE, 0, "");
}

Test(doctor_facts, memory_and_devices, .init = make_root, .fini = remove_root)
{
	_cleanup_(facts_deinit) struct doctor_facts f = DOCTOR_FACTS_NULL;

	put_cut_host();
	gather(&f);
	cr_assert_eq(f.firmware.count, 3);
	cr_expect_eq(f.firmware.entries[0].end, 3 * GIB);
	cr_expect_eq(f.firmware.entries[1].type, E820_RESERVED);
	cr_assert_eq(f.iomem_count, 5);
	cr_expect_eq(f.iomem[3].depth, 2);
	cr_expect_eq(f.iomem[3].end, 5 * GIB);
	cr_expect_str_eq(f.iomem[3].name, "System RAM (kmem)");
	cr_assert_eq(f.device_count, 4);
	cr_expect_str_eq(f.devices[2].name, "dax0.10", "%s", f.devices[2].name);
	cr_expect(f.devices[2].soft);
	cr_expect_str_eq(f.devices[2].region, "hmem.0");
	cr_expect_str_eq(f.devices[2].driver, "device_dax");
	cr_expect_eq(f.devices[2].region_size, 2 * GIB);
	cr_assert_eq(f.devices[2].ranges.count, 1);
	cr_expect_eq(f.devices[2].ranges.entries[0].end, 6 * GIB);
	cr_expect_not(f.devices[2].has_node);
	cr_expect_not(f.devices[3].soft);
	cr_expect_eq(f.devices[1].pool, FACT_YES);
	cr_expect_eq(f.devices[1].mode, 0600);
	cr_expect_eq(f.devices[3].pool, FACT_NO);
	cr_expect_eq(f.devices[2].pool, FACT_UNKNOWN);
}

Test(doctor_facts, devices_that_are_retired, .init = make_root, .fini = remove_root)
{
	_cleanup_(facts_deinit) struct doctor_facts f = DOCTOR_FACTS_NULL;
	const uint64_t instance = 77;
	char path[512];

	put_soft_region("hmem.0", 2 * GIB);
	path_of(path, "/run");
	(void)mkdir(path, 0755);
	path_of(path, "/run/guestmemfs");
	(void)mkdir(path, 0755);
	path_of(path, "/run/guestmemfs/.soft-0x100000000");
	const struct soft_record record = {
		.fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
	cr_assert_geq(record.fd, 0);
	cr_assert_eq(soft_record_set_ours(&record, 2, 5, NULL), 0);
	for (unsigned id = 0; id < 6; id++)
		if (id != 2 && id != 3)
			cr_assert_eq(soft_record_end_retired(&record, id, instance, NULL), 0);
	close(record.fd);
	put_device("hmem.0", "dax0.0", 4 * GIB, 0, 2U << 20, "");
	put_device("hmem.0", "dax0.1", 4 * GIB, 0, 2U << 20, "");
	put_device("hmem.0", "dax0.2", 4 * GIB, 0, 2U << 20, "");
	put_device("hmem.0", "dax0.3", 4 * GIB, 0, 2U << 20, "");
	put_device("hmem.0", "dax0.4", 4 * GIB, GM_BLOCK_SIZE, 2U << 20, "device_dax");
	put_device("hmem.0", "dax0.5", 4 * GIB, 0, 2U << 20, "");
	gather(&f);
	cr_assert_eq(f.device_count, 6);
	for (size_t i = 0; i < f.device_count; i++)
		cr_expect_eq(f.devices[i].retired, i == 1 || i == 5, "%s", f.devices[i].name);
}

static void expect_regions(const struct doctor_facts *f)
{
	_cleanup_(doctor_regions_deinit) struct doctor_regions r = DOCTOR_REGIONS_NULL;

	cr_assert_eq(doctor_regions_find(&r, f), 0);
	cr_assert_eq(r.count, 2, "%zu", r.count);
	cr_expect_eq(r.list[0].kind, GM_REGION_SOFT);
	cr_expect_eq(r.list[0].start, 4 * GIB);
	cr_expect_eq(r.list[0].end, 6 * GIB);
	cr_expect_eq(r.list[0].pool, FACT_YES);
	cr_expect(doctor_region_in_use(&r.list[0]));
	cr_expect_eq(r.list[1].kind, GM_REGION_PMEM);
	cr_expect_eq(r.list[1].type, E820_PRAM);
	cr_expect_eq(r.list[1].start, 7 * GIB);
	cr_expect_eq(r.list[1].end, 8 * GIB);
	cr_expect(r.list[1].reserved_ram);
	cr_expect_eq(r.list[1].pool, FACT_NO);
}

Test(doctor_regions, are_found_in_iomem_and_without_it, .init = make_root, .fini = remove_root)
{
	_cleanup_(facts_deinit) struct doctor_facts seen = DOCTOR_FACTS_NULL;
	_cleanup_(facts_deinit) struct doctor_facts hidden = DOCTOR_FACTS_NULL;

	put_cut_host();
	gather(&seen);
	expect_regions(&seen);
	/* What a plain user is shown. */
	put("/proc/iomem", "00000000-00000000 : System RAM\n00000000-00000000 : Soft Reserved\n");
	gather(&hidden);
	cr_expect_eq(hidden.iomem_count, 0);
	expect_regions(&hidden);
}

/* A kernel that shows its soft-reserved memory only as devices. */
Test(doctor_regions, are_found_by_their_devices_alone, .init = make_root, .fini = remove_root)
{
	_cleanup_(facts_deinit) struct doctor_facts f = DOCTOR_FACTS_NULL;
	_cleanup_(doctor_regions_deinit) struct doctor_regions r = DOCTOR_REGIONS_NULL;

	put_soft_region("hmem.0", 2 * GIB);
	put_device("hmem.0", "dax0.1", 5 * GIB, GIB, 2U << 20, "device_dax");
	put_device("hmem.0", "dax0.0", 4 * GIB, 0, 2U << 20, "");
	gather(&f);
	cr_assert_eq(doctor_regions_find(&r, &f), 0);
	cr_assert_eq(r.count, 1);
	cr_expect_eq(r.list[0].start, 4 * GIB);
	cr_expect_eq(r.list[0].end, 6 * GIB);
	cr_expect_eq(r.list[0].pool, FACT_UNKNOWN, "nothing to look through");
}

/* A window may be closed at any moment: who looks into it is in the way, and may be hit. */
Test(doctor_facts, only_what_begins_a_region_is_looked_into, .init = make_root, .fini = remove_root)
{
	_cleanup_(facts_deinit) struct doctor_facts f = DOCTOR_FACTS_NULL;

	put_cut_host();
	put_node("/dev/dax0.10", GIB, GM_SUPER_A_OFFSET, GM_SUPER_MAGIC);
	gather(&f);
	cr_assert_eq(f.device_count, 4);
	cr_expect_eq(f.devices[1].pool, FACT_YES);
	cr_expect(f.devices[2].has_node);
	cr_expect_eq(f.devices[2].pool, FACT_UNKNOWN);
}

/* What is mapped is not there any more: as the end of a file, which raises SIGBUS too. */
Test(doctor_facts, a_device_that_is_taken_away_is_survived, .init = make_root, .fini = remove_root)
{
	static const off_t sizes[] = {0, 4096, GM_SUPER_B_OFFSET};

	put_device("e820_pmem", "dax1.0", 7 * GIB, GIB, 2U << 20, "device_dax");
	for (size_t n = 0; n < ARRAY_SIZE(sizes); n++) {
		_cleanup_(facts_deinit) struct doctor_facts f = DOCTOR_FACTS_NULL;
		char path[512];

		put_node("/dev/dax1.0", sizes[n], 0, "");
		gather(&f);
		cr_assert_eq(f.device_count, 1);
		cr_expect_eq(f.devices[0].pool, FACT_UNKNOWN, "%lld bytes", (long long)sizes[n]);
		path_of(path, "/dev/dax1.0");
		cr_assert_eq(unlink(path), 0);
	}
}

Test(doctor_regions, a_pool_shows_by_any_of_its_magics, .init = make_root, .fini = remove_root)
{
	static const struct {
		off_t offset;
		const char *magic;
		enum fact pool;
	} cases[] = {
		{GM_SUPER_A_OFFSET, GM_SUPER_MAGIC, FACT_YES},
		{GM_SUPER_B_OFFSET, GM_SUPER_MAGIC, FACT_YES},
		/* The further regions of a pool have no superblock. */
		{GM_STAMP_OFFSET, GM_STAMP_MAGIC, FACT_YES},
		{GM_STAMP_OFFSET, GM_SUPER_MAGIC, FACT_NO},
		{0, "something else", FACT_NO},
	};

	put_device("e820_pmem", "dax1.0", 7 * GIB, GIB, 2U << 20, "device_dax");
	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		_cleanup_(facts_deinit) struct doctor_facts f = DOCTOR_FACTS_NULL;
		char path[512];

		path_of(path, "/dev/dax1.0");
		(void)unlink(path);
		put_node("/dev/dax1.0", GM_BLOCK_SIZE, cases[n].offset, cases[n].magic);
		gather(&f);
		cr_assert_eq(f.device_count, 1);
		cr_expect_eq(f.devices[0].pool, cases[n].pool, "case %zu", n);
	}
}
