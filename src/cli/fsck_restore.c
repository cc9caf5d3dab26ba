// SPDX-License-Identifier: MIT
/* guestmemfs fsck --restore: puts back the metadata that a repair has kept a copy of. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "cli/fsck_repair.h"
#include "pool/backup.h"
#include "util/cleanup.h"
#include "util/le.h"

static void print_backup(const struct backup *b, const char *path)
{
	time_t created = (time_t)get_le64(b->head.created);
	char uuid[POOL_UUID_TEXT], date[32] = "?";
	struct tm tm;

	if (gmtime_r(&created, &tm))
		(void)strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S UTC", &tm);
	printf("%s has the metadata of pool %s as they were at %s, damage included\n", path,
		pool_format_uuid(uuid, b->head.uuid), date);
	puts("every change since then is lost; memory that a file has got since then may become "
	     "another's again: end all guests that use the pool");
}

static int write_restore(
	const struct backup *b, struct pool *pool, const struct fsck_repair *o, struct problem *why)
{
	uint64_t bytes = get_le64(b->head.area_bytes);
	int64_t now = time(NULL);
	char name[BACKUP_NAME];
	const char *path = o->backup ? o->backup : backup_name(name, b->head.uuid, now);
	int r = backup_write(pool, b->head.uuid, bytes, path, now, why);

	if (r < 0)
		return r;
	printf("the metadata as they were are in %s\n", path);
	(void)fflush(stdout);
	return backup_restore(b, pool, why);
}

int fsck_restore_pool(const struct cli_regions *regions, const struct fsck_repair *o)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	_cleanup_(backup_deinit) struct backup backup = BACKUP_NULL;
	struct problem why = PROBLEM_INIT;
	int code, r = backup_read(&backup, o->restore, &why);

	if (r == 0)
		r = fsck_open_to_write(&pool, regions, &why);
	if (r == 0)
		r = backup_check(&backup, &pool, &why);
	if (r < 0)
		return cli_fail(&why);
	print_backup(&backup, o->restore);
	code = fsck_may_write(o->yes);
	if (code != CLI_DONE)
		return code;
	if (write_restore(&backup, &pool, o, &why) < 0)
		return cli_fail(&why);
	puts("restored; guestmemfs fsck says what is wrong with it");
	return CLI_DONE;
}
