// SPDX-License-Identifier: MIT
/* The real command: each wrong use ends with 2 and a sentence, each failure with 1 and a sentence,
 * help with 0. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cli_spawn.h"
#include "util/cleanup.h"

static const char *const names[] = {
	"format", "status", "ls", "extents", "load", "dump", "run", "fsck", "doctor"};

Test(cli_usage, wrong_use_ends_with_2_and_a_sentence)
{
	static const struct {
		const char *args;
		const char *sentence;
	} cases[] = {
		{"", "Usage: guestmemfs COMMAND"},
		{"frobnicate", "there is no command 'frobnicate'; 'guestmemfs --help' lists them"},
		{"--frobnicate", "there is no command '--frobnicate'"},
		{"format --region", "option '--region' requires an argument"},
		{"format --region file:", "there is no path after 'file:'"},
		{"format --region /dev/shm/a", "it must begin with its kind"},
		{"format --region file:/nowhere/a,size=3M", "not a multiple of 2M"},
		{"format --region file:/nowhere/a,size=x", "is not a size"},
		{"format --region file:/nowhere/a,colour=x", "there is no option 'colour='"},
		{"format --region file:/nowhere/a --max-files",
			"option '--max-files' requires an argument"},
		{"format --region file:/nowhere/a --max-files 0", "'0' is not a number of files"},
		{"format --region file:/nowhere/a --max-files -1", "'-1' is not a number of files"},
		{"format --region file:/nowhere/a --max-files 10x",
			"'10x' is not a number of files"},
		{"format --region file:/nowhere/a --max-files 99999999999999999999",
			"is not a number of files"},
		{"format --region file:/nowhere/a --force=yes", "doesn't allow an argument"},
		{"format --region file:/nowhere/a extra", "'extra' is one argument too many"},
		{"format --region file:/nowhere/a --grow --force", "--grow keeps the pool"},
		{"format --region soft:4G", "named by its physical start"},
		{"format --colour", "unrecognized option '--colour'"},
		{"status", "it needs a MOUNT"},
		{"status /a /b", "'/b' is one too many"},
		{"status /a --colour", "unrecognized option '--colour'"},
		{"status -x /a", "invalid option -- 'x'"},
		{"ls", "it needs a MOUNT or directory"},
		{"ls /a /b", "'/b' is one too many"},
		{"extents", "it needs a FILE"},
		{"extents /a /b", "'/b' is one too many"},
		{"load", "it needs a FILE"},
		{"load /a /b", "'/b' is one too many"},
		{"load --json /a", "unrecognized option '--json'"},
		{"dump", "it needs a FILE"},
		{"dump /a /b", "'/b' is one too many"},
		{"run", "it needs a program to run"},
		{"run --", "it needs a program to run"},
		{"run --colour", "unrecognized option '--colour'"},
		{"doctor extra", "'extra' is one argument too many"},
		{"doctor --cmdline", "option '--cmdline' requires an argument"},
		{"doctor --json=yes", "doesn't allow an argument"},
		{"doctor --colour", "unrecognized option '--colour'"},
		{"fsck --yes --region file:/a",
			"--yes and --backup are for --repair and --restore"},
		{"fsck --restore b --repair --region file:/a", "one after the other"},
		{"fsck --restore b --json --region file:/a", "--json is for looking"},
		{"fsck --backup x --region file:/a", "are for --repair"},
		{"fsck --max-files 9 --region file:/a", "--max-files is for --repair"},
		{"fsck --repair --json --region file:/a", "--json is for looking"},
		{"fsck --repair --max-files 0 --region file:/a", "'0' is not a number of files"},
		{"fsck --repair --backup", "option '--backup' requires an argument"},
		{"fsck --region file:/a extra", "'extra' is one argument too many"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cli_result r;

		cli_run_command(&r, cases[i].args);
		cr_expect_eq(r.code, 2, "'%s': %d", cases[i].args, r.code);
		cr_expect_not_null(
			strstr(r.err, cases[i].sentence), "'%s': %s", cases[i].args, r.err);
		cr_expect_str_empty(r.out, "'%s' wrote to standard output", cases[i].args);
	}
}

Test(cli_usage, each_complaint_of_a_command_leads_to_its_help)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct cli_result r;
		char args[64];
		char hint[64];

		(void)snprintf(args, sizeof(args), "%s --colour", names[i]);
		(void)snprintf(hint, sizeof(hint), "See 'guestmemfs %s --help'", names[i]);
		cli_run_command(&r, args);
		cr_expect_eq(r.code, 2);
		cr_expect_not_null(strstr(r.err, hint), "%s", r.err);
	}
}

Test(cli_usage, help_is_for_everything_and_goes_to_standard_output)
{
	struct cli_result r;

	cli_run_command(&r, "--help");
	cr_expect_eq(r.code, 0);
	cr_expect_str_empty(r.err);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct cli_result of;
		char text[64];

		(void)snprintf(text, sizeof(text), "\n  %s ", names[i]);
		cr_expect_not_null(strstr(r.out, text), "%s is not listed", names[i]);
		(void)snprintf(text, sizeof(text), "%s --help", names[i]);
		cli_run_command(&of, text);
		cr_expect_eq(of.code, 0, "%s", text);
		cr_expect_str_empty(of.err, "%s", text);
		(void)snprintf(text, sizeof(text), "Usage: guestmemfs %s ", names[i]);
		cr_expect_eq(strncmp(of.out, text, strlen(text)), 0, "%s", of.out);
	}
}

Test(cli_usage, says_its_version)
{
	struct cli_result r;

	cli_run_command(&r, "--version");
	cr_expect_eq(r.code, 0);
	cr_expect_eq(strncmp(r.out, "guestmemfs ", 11), 0, "%s", r.out);
	cr_expect(r.out[11] >= '0' && r.out[11] <= '9');
}

Test(cli_usage, failures_end_with_1_and_a_sentence)
{
	static const struct {
		const char *args;
		const char *sentence;
	} cases[] = {
		{"format --region file:/nowhere/a", "region /nowhere/a does not exist"},
		{"format --region file:/nowhere/a,size=64M", "its directory does not exist"},
		{"format --region file:/dev", "/dev is a directory"},
		{"format --region file:/dev/null", "/dev/null is a character device"},
		{"fsck --region file:/nowhere/a", "region /nowhere/a does not exist"},
		{"fsck --repair --region file:/nowhere/a", "region /nowhere/a does not exist"},
		{"status /nowhere", "/nowhere: No such file or directory"},
		{"status /proc", "/proc is not on a guestmemfs mount"},
		{"freeze -- /nowhere", "/nowhere: No such file or directory"},
		{"ls /proc", "/proc is not on a guestmemfs mount"},
		{"extents /proc/version", "/proc/version is not on a guestmemfs mount"},
		{"load /nowhere/a", "the directory of /nowhere/a: No such file or directory"},
		{"load /proc/new-file", "/proc/new-file would not be on a guestmemfs mount"},
		{"load /dev/null", "/dev/null is not a file of a guestmemfs mount"},
		{"dump /nowhere/a", "opening /nowhere/a: No such file or directory"},
		{"dump /proc/version", "/proc/version is not a file of a guestmemfs mount"},
		{"dump /proc", "/proc is not a file of a guestmemfs mount"},
		{"doctor --cmdline /nowhere/a", "/nowhere/a: No such file or directory"},
		{"doctor --cmdline /proc", "reading /proc: Is a directory"},
		{"doctor --cmdline /dev/zero", "/dev/zero holds no command line"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cli_result r;

		cli_run_command(&r, cases[i].args);
		cr_expect_eq(r.code, 1, "'%s': %d", cases[i].args, r.code);
		cr_expect_not_null(
			strstr(r.err, cases[i].sentence), "'%s': %s", cases[i].args, r.err);
		cr_expect_str_empty(r.out, "'%s' wrote to standard output", cases[i].args);
	}
}

Test(cli_usage, formats_checks_and_refuses_a_second_format)
{
	char path[] = "/dev/shm/gm-test-cli-XXXXXX";
	struct cli_result r;
	char args[256];

	cr_assert_not_null(mkdtemp(path));
	(void)snprintf(args, sizeof(args),
		"format --region file:%s/a,size=64M --max-files 1000 --label vms", path);
	cli_run_command(&r, args);
	cr_expect_eq(r.code, 0, "%s", r.err);
	cr_expect_not_null(strstr(r.out, "uuid"));
	cr_expect_not_null(strstr(r.out, "vms"));

	(void)snprintf(args, sizeof(args), "fsck --region file:%s/a", path);
	cli_run_command(&r, args);
	cr_expect_eq(r.code, 0, "%s%s", r.out, r.err);
	cr_expect_not_null(strstr(r.out, "clean"));

	(void)snprintf(args, sizeof(args), "format --region file:%s/a", path);
	cli_run_command(&r, args);
	cr_expect_eq(r.code, 1);
	cr_expect_not_null(strstr(r.err, "label vms"), "%s", r.err);
	cr_expect_not_null(strstr(r.err, "--force formats it all the same"), "%s", r.err);

	/* A region that is made and then proves too small is not left behind. */
	(void)snprintf(args, sizeof(args), "format --region file:%s/tiny,size=2M", path);
	cli_run_command(&r, args);
	cr_expect_eq(r.code, 1);
	(void)snprintf(args, sizeof(args), "%s/tiny", path);
	cr_expect_eq(access(args, F_OK), -1);

	(void)snprintf(args, sizeof(args), "%s/a", path);
	cr_assert_eq(truncate(args, 62 << 20), 0);
	(void)snprintf(args, sizeof(args), "fsck --json --region file:%s/a", path);
	cli_run_command(&r, args);
	cr_expect_eq(r.code, 1);
	cr_expect_not_null(strstr(r.out, "\"clean\": false"), "%s", r.out);

	(void)snprintf(args, sizeof(args), "rm -rf '%s'", path);
	cr_expect_eq(system(args), 0);
}

Test(cli_usage, a_full_disk_does_not_pass_for_success)
{
	pid_t pid = fork();
	int status = 0;

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		(void)dup2(open("/dev/full", O_WRONLY), STDOUT_FILENO);
		(void)dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
		execl(GUESTMEMFS_EXE, "guestmemfs", "--help", (char *)NULL);
		_exit(99);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status));
	cr_expect_eq(WEXITSTATUS(status), 1);
}
