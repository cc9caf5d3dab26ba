// SPDX-License-Identifier: MIT
#include "cli/max_files.h"

#include <errno.h>
#include <stdlib.h>

int cli_parse_max_files(const struct cli_command *self, const char *text, uint64_t *ret)
{
	char *end = NULL;

	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || value == 0)
		return cli_usage_error(self, "--max-files: '%s' is not a number of files", text);
	*ret = value;
	return CLI_DONE;
}
