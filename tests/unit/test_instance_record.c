// SPDX-License-Identifier: MIT
/* A start goes on with an instance only if it is the same, and a record that is none is refused. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuse/instance_record.h"
#include "util/cleanup.h"

static struct problem why;
static struct options options;

/* As instance_name() makes it. */
static struct instance make(void)
{
	static char mount_path[] = "/mnt/gm", socket[] = "/run/guestmemfs/gm/grant.sock",
		    none[] = "";
	struct instance i = INSTANCE_NULL;

	options = OPTIONS_NULL;
	options.regions[0] = "pmem:/dev/dax0.0";
	options.region_count = 1;
	options.mount_options = none;
	i.options = &options;
	i.mount_path = mount_path;
	i.name = "gm";
	i.runtime.grant_socket = socket;
	return i;
}

static int make_record(void)
{
	const struct instance i = make();
	int record = instance_record_make(&i, &why);

	cr_assert_geq(record, 0, "%s", why.text);
	return record;
}

Test(instance_record, the_same_start_fits)
{
	_cleanup_fd_ int record = make_record();
	const struct instance i = make();

	cr_expect_eq(instance_record_compare(record, &i, &why), 0, "%s", why.text);
}

/* What counts only where something is made, or once, is not asked for again. */
Test(instance_record, what_concerns_the_making_is_not_compared)
{
	_cleanup_fd_ int record = make_record();
	const struct instance i = make();

	options.regions[0] = "pmem:/dev/dax0.0,align=2M";
	options.format = OPTIONS_FORMAT_BLANK;
	options.grow = options.trust_memory = options.foreground = options.debug = true;
	cr_expect_eq(instance_record_compare(record, &i, &why), 0, "%s", why.text);
}

static void expect_refused(int record, const struct instance *i, const char *was, const char *is)
{
	why = PROBLEM_INIT;
	cr_expect_eq(instance_record_compare(record, i, &why), -EBUSY);
	cr_expect_not_null(strstr(why.text, was), "no '%s' in: %s", was, why.text);
	cr_expect_not_null(strstr(why.text, is), "no '%s' in: %s", is, why.text);
	cr_expect_not_null(strstr(why.text, "an instance named gm runs"), "%s", why.text);
}

Test(instance_record, each_difference_is_named)
{
	_cleanup_fd_ int record = make_record();
	struct instance i = make();
	char other[] = "/mnt/other", ro[] = "ro";

	i.mount_path = other;
	expect_refused(record, &i, "the mount point /mnt/gm", "the mount point /mnt/other");
	i = make();
	options.regions[0] = "pmem:auto";
	expect_refused(record, &i, "--region=pmem:/dev/dax0.0", "--region=pmem:auto");
	i = make();
	options.region_count = 0;
	expect_refused(record, &i, "--region=pmem:/dev/dax0.0", "no --region");
	i = make();
	options.regions[options.region_count++] = "pmem:/dev/dax1.0";
	expect_refused(record, &i, "less", "--region=pmem:/dev/dax1.0");
	i = make();
	options.mount_options = ro;
	expect_refused(record, &i, "less", "-o ro");
	i = make();
	options.has_user = true;
	options.user = options.user_group = 7;
	expect_refused(record, &i, "less", "--user=7:7");
	i = make();
	options.has_trusted_group = true;
	options.trusted_group = 8;
	expect_refused(record, &i, "less", "--trusted-group=8");
	i = make();
	options.scrub_rate = 0;
	expect_refused(record, &i, "--scrub-rate=2147483648", "--scrub-rate=0");
}

/* With a new line in its path, it is one word still. */
Test(instance_record, regions_come_back_in_their_order)
{
	char first[] = "/tmp/gm-record-1\n-XXXXXX", second[] = "/tmp/gm-record-2-XXXXXX";
	int fds[] = {mkstemp(first), mkstemp(second)};
	struct instance i = make();
	struct pool pool = POOL_NULL;

	for (unsigned n = 0; n < 2; n++) {
		cr_assert_geq(fds[n], 0);
		cr_assert_eq(ftruncate(fds[n], 8 << 20), 0);
		i.pool.regions[n] = (struct region){
			.kind = GM_REGION_FILE, .name = n ? second : first, .fd = -1};
	}
	i.pool.count = 2;
	_cleanup_fd_ int record = instance_record_make(&i, &why);
	cr_assert_geq(record, 0, "%s", why.text);
	cr_assert_eq(instance_record_adopt(record, &pool, fds, 2, &why), 0, "%s", why.text);
	cr_expect_eq(pool.count, 2);
	cr_expect_str_eq(pool.regions[0].name, first);
	cr_expect_str_eq(pool.regions[1].name, second);
	cr_expect(fds[0] == -1 && fds[1] == -1);
	pool_close(&pool);
	unlink(first);
	unlink(second);
}

Test(instance_record, a_region_more_than_it_names_is_refused)
{
	_cleanup_fd_ int record = make_record();
	int fds[] = {open("/dev/null", O_RDWR | O_CLOEXEC)};
	struct pool pool = POOL_NULL;

	cr_expect_eq(instance_record_adopt(record, &pool, fds, 1, &why), -EPROTO);
	cr_expect_eq(fds[0], -1);
	pool_close(&pool);
}

Test(instance_record, what_is_no_record_is_refused)
{
	static const struct {
		const char *text;
		size_t size;
	} cases[] = {{"", 0}, {"no end", 6}, {"words\0no end", 12}};
	const struct instance i = make();
	_cleanup_fd_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int ends[2];

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		_cleanup_fd_ int fd = memfd_create("record", MFD_CLOEXEC);

		cr_assert_eq(write(fd, cases[n].text, cases[n].size), (ssize_t)cases[n].size);
		cr_expect_eq(instance_record_compare(fd, &i, &why), -EPROTO, "case %zu", n);
	}
	_cleanup_fd_ int large = memfd_create("record", MFD_CLOEXEC);
	cr_assert_eq(ftruncate(large, 2 << 20), 0);
	cr_expect_eq(instance_record_compare(large, &i, &why), -EPROTO);
	cr_expect_eq(instance_record_compare(null, &i, &why), -EPROTO);
	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	cr_expect_eq(instance_record_compare(ends[0], &i, &why), -EPROTO);
	close(ends[0]);
	close(ends[1]);
}
