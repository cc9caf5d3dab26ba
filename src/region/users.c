// SPDX-License-Identifier: MIT
#include "region/users.h"

#include <errno.h>
#include <sys/stat.h>

#include "region/procscan.h"
#include "util/cleanup.h"

int device_find_user(const char *node, pid_t *ret)
{
	_cleanup_(scan_result_deinit) struct scan_result found = SCAN_RESULT_NULL;
	struct scan_target target;
	const struct scan_options options = {.targets = &target, .target_count = 1};
	struct stat st;

	if (stat(node, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	procscan_identify_device(&target, st.st_rdev, node);
	int r = procscan_run(&options, &found);
	if (r < 0)
		return r;
	if (found.use_count == 0)
		return 0;
	*ret = found.uses[0].pid;
	return 1;
}
