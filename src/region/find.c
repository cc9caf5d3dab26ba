// SPDX-License-Identifier: MIT
/* Which region is meant where none is named: soft before pmem, never a file. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "region/ops.h"
#include "util/cleanup.h"

/* Memory that the kernel has set apart, but that no driver has taken yet. */
static bool find_in_iomem(const char *wanted)
{
	char line[256];
	bool found = false;
	FILE *f = fopen("/proc/iomem", "re");

	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = strstr(line, wanted) != NULL;
	(void)fclose(f);
	return found;
}

static int find_nothing(struct problem *why)
{
	if (find_in_iomem(" : Soft Reserved"))
		return problem(why, ENODEV,
			"memory is soft-reserved on this host, but no driver has taken it: load "
			"dax_hmem and device_dax (modprobe -a dax_hmem device_dax)");
	if (find_in_iomem(" : Persistent Memory"))
		return problem(why, ENODEV,
			"memory is reserved on this host, but no driver has taken it: load its "
			"modules (modprobe -a nd_e820 nd_pmem dax_pmem device_dax)");
	return problem(why, ENODEV,
		"no --region given, and no memory is reserved on this host: add "
		"memmap=SIZE!START,SIZE%%START-12+0xefffffff dax_hmem.region_idle=1 to the "
		"kernel's command line (docs/boot.md says how to choose them); or, to try it on "
		"any machine: --region file:/dev/shm/guestmemfs,size=1G");
}

int region_find_default(struct region_spec *ret, struct problem *why)
{
	int r = 0;

	if (geteuid() != 0)
		return problem(why, EACCES,
			"no --region given, and only root can use reserved memory: to try it as "
			"any user: --region file:/dev/shm/guestmemfs-%u,size=1G",
			(unsigned)geteuid());
	r = region_soft_is_there(why);
	if (r > 0)
		return region_spec_parse(ret, "soft:auto", why);
	if (r == 0)
		r = region_pmem_is_there(why);
	if (r > 0)
		return region_spec_parse(ret, "pmem:auto", why);
	return r < 0 ? r : find_nothing(why);
}
