// SPDX-License-Identifier: MIT
/* The real guestmemfs doctor, on whatever host this is: a bad command line is a danger on any. */
#include <criterion/criterion.h>
#include <json-c/json.h>
#include <stdlib.h>

#include "cli_spawn.h"
#include "util/cleanup.h"

static char path[] = "/tmp/gm-test-doctor-line-XXXXXX";

static void put_line(const char *text)
{
	_cleanup_fd_ int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void remove_line(void)
{
	(void)unlink(path);
}

static void run_doctor(struct cli_result *r, const char *more)
{
	char args[128];

	(void)snprintf(args, sizeof(args), "doctor --cmdline %s%s", path, more);
	cli_run_command(r, args);
	cr_expect_str_empty(r->err, "%s", r->err);
}

Test(cli_doctor, a_danger_ends_with_1, .fini = remove_line)
{
	struct cli_result r;

	put_line("quiet memmap=2G%5G-1+0xefffffff memmap=junk\n");
	run_doctor(&r, "");
	cr_expect_eq(r.code, 1, "%s", r.out);
	cr_expect_not_null(strstr(r.out, "\ndanger   syntax "), "%s", r.out);
	cr_expect_not_null(strstr(r.out, "; write it as SIZE!START"), "%s", r.out);
}

Test(cli_doctor, a_line_each_with_its_level_and_id, .fini = remove_line)
{
	struct cli_result r;

	put_line("quiet");
	run_doctor(&r, "");
	for (char *line = strtok(r.out, "\n"); line; line = strtok(NULL, "\n")) {
		char level[16];
		char id[32];

		cr_assert_eq(sscanf(line, "%15s %31s", level, id), 2, "%s", line);
		cr_expect(strcmp(level, "ok") == 0 || strcmp(level, "warning") == 0 ||
				  strcmp(level, "danger") == 0,
			"%s", line);
	}
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *value = NULL;

	cr_assert(json_object_object_get_ex(o, key, &value), "no %s", key);
	cr_assert(json_object_is_type(value, json_type_string), "%s", key);
	return json_object_get_string(value);
}

Test(cli_doctor, json_says_the_same, .fini = remove_line)
{
	struct json_object *findings = NULL;
	struct json_object *regions = NULL;
	struct cli_result r;
	bool syntax = false;

	put_line("memmap=junk");
	run_doctor(&r, " --json");
	cr_expect_eq(r.code, 1);
	struct json_object *o = json_tokener_parse(r.out);
	cr_assert_not_null(o, "%s", r.out);
	cr_expect_str_eq(text_of(o, "worst"), "danger");
	cr_assert(json_object_object_get_ex(o, "regions", &regions));
	cr_expect(json_object_is_type(regions, json_type_array));
	cr_assert(json_object_object_get_ex(o, "findings", &findings));
	for (size_t n = 0; n < json_object_array_length(findings); n++) {
		struct json_object *f = json_object_array_get_idx(findings, n);

		(void)text_of(f, "text");
		if (strcmp(text_of(f, "id"), "syntax") != 0)
			continue;
		syntax = true;
		cr_expect_str_eq(text_of(f, "level"), "danger");
		cr_expect_str_not_empty(text_of(f, "remedy"));
	}
	cr_expect(syntax);
	json_object_put(o);
}
