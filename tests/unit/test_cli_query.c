// SPDX-License-Identifier: MIT
/*
 * The commands that ask a worker, against one that says what it is told to say. The path of its
 * socket is found, as on a mount, in an extended attribute, which an ordinary file can have too.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "cli_spawn.h"
#include "proto/control.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

static char dir[64]; /* of one test: each runs in a process of its own */
static char file[80];

/* What the worker answers; size is of the packet. */
struct reply {
	struct control_answer answer;
	size_t size;
	const char *json; /* NULL: no memfd */
	bool silent;      /* hangs up instead */
	bool mute;        /* says nothing until the command has gone */
	unsigned late;    /* seconds for which it says only that it has begun; 0: it does not */
};

static struct reply reply_with(const char *json)
{
	return (struct reply){
		.answer =
			{
				.size = put_le32(sizeof(struct control_answer)),
				.version = put_le32(CONTROL_VERSION),
				.length = put_le64(strlen(json)),
			},
		.size = sizeof(struct control_answer),
		.json = json,
	};
}

static void make_file(void)
{
	char path[96];

	(void)snprintf(dir, sizeof(dir), "%s/gm-test-query-XXXXXX",
		getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	cr_assert_not_null(mkdtemp(dir));
	(void)snprintf(file, sizeof(file), "%s/f", dir);
	_cleanup_fd_ int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	(void)snprintf(path, sizeof(path), "%s/socket", dir);
	if (fsetxattr(fd, GM_XATTR_CONTROL, path, strlen(path), 0) < 0)
		cr_skip("no user extended attributes in %s", dir);
}

static void remove_file(void)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	cr_expect_eq(system(command), 0);
}

TestSuite(cli_query, .init = make_file, .fini = remove_file);

static int await_client(int listener)
{
	struct pollfd p = {.fd = listener, .events = POLLIN};

	(void)poll(&p, 1, 10000); /* packet_listen() gives a socket that does not wait */
	return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
}

static void say_begun(int sock, unsigned seconds)
{
	struct control_answer a = {
		.size = put_le32(sizeof(a)),
		.version = put_le32(CONTROL_VERSION),
		.error = put_le32(EINPROGRESS),
	};

	if (packet_send(sock, &a, sizeof(a), NULL, 0, true) < 0)
		_exit(4);
	(void)sleep(seconds);
}

static void await_end(int sock)
{
	struct pollfd p = {.fd = sock, .events = 0};

	if (poll(&p, 1, 30000) != 1)
		_exit(5);
}

static void serve_one(int listener, const struct reply *r, enum control_opcode opcode, uint64_t ino)
{
	_cleanup_fd_ int sock = await_client(listener);
	_cleanup_fd_ int memfd = r->json ? memfd_create("json", MFD_CLOEXEC) : -1;
	struct control_request q;
	ssize_t n = packet_receive(sock, &q, sizeof(q), NULL, NULL, true);

	if (n != (ssize_t)sizeof(q) || get_le32(q.size) != sizeof(q) ||
		get_le32(q.version) != CONTROL_VERSION || get_le32(q.opcode) != opcode ||
		get_le32(q.reserved) != 0 || get_le64(q.ino) != ino)
		_exit(1);
	if (r->json && pwrite(memfd, r->json, strlen(r->json), 0) != (ssize_t)strlen(r->json))
		_exit(2);
	if (r->mute)
		await_end(sock);
	if (r->late)
		say_begun(sock, r->late);
	if (!r->silent && packet_send(sock, &r->answer, r->size, &memfd, r->json ? 1 : 0, true) < 0)
		_exit(3);
}

/* Runs `guestmemfs ARGS FILE` against a worker that gives so many answers, one to each request. */
static void ask_in_turn(struct cli_result *ret, const char *args, const struct reply *r,
	size_t count, enum control_opcode opcode, uint64_t ino)
{
	char path[96];
	char command[256];
	int status = 0;

	(void)snprintf(path, sizeof(path), "%s/socket", dir);
	int listener = packet_listen(path, 0600);
	cr_assert_geq(listener, 0);
	pid_t pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		for (size_t n = 0; n < count; n++)
			serve_one(listener, &r[n], opcode, ino);
		_exit(0);
	}
	(void)close(listener);
	(void)snprintf(command, sizeof(command), "%s %s", args, file);
	cli_run_command(ret, command);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0, "the request was not as it should be");
	cr_assert_eq(unlink(path), 0);
}

static void ask(struct cli_result *ret, const char *args, const struct reply *r,
	enum control_opcode opcode, uint64_t ino)
{
	ask_in_turn(ret, args, r, 1, opcode, ino);
}

static uint64_t file_ino(void)
{
	struct stat st;

	cr_assert_eq(stat(file, &st), 0);
	return st.st_ino;
}

static const char status_json[] =
	"{\"name\":\"gm\",\"mount_point\":\"/mnt/gm\",\"uuid\":\"01234567-89ab\",\"label\":\"vms\","
	"\"boot_id\":\"b00t\",\"frozen\":true,\"mount_number\":3,\"generation\":4,\"sequence\":812,"
	"\"pids\":{\"supervisor\":100,\"worker\":101,\"helper\":102,\"keeper\":103},"
	"\"regions\":[{\"index\":0,\"kind\":\"file\",\"name\":\"/dev/shm/"
	"p\\u001b[2J\",\"size\":1073741824,"
	"\"blocks\":512,\"data_blocks\":500}],"
	"\"blocks\":{\"size\":2097152,\"data\":500,\"free\":244,\"free_dirty\":12,\"used\":256,"
	"\"used_dirty\":0,"
	"\"quarantined\":0,\"poisoned\":1,\"free_groups\":0},"
	"\"files\":{\"count\":3,\"max\":65536},\"journal\":{\"used\":4096,\"size\":1048576},"
	"\"checkpoint\":{\"bytes\":8192,\"capacity\":16777216},\"metadata_fault\":\"changes are "
	"refused (EIO)\","
	"\"grants\":[{\"ino\":3,\"path\":\"/"
	"vm0\",\"pid\":4711,\"uid\":1000,\"access\":\"rw\",\"state\":\"live\"},"
	"{\"ino\":5,\"path\":null,\"pid\":4712,\"uid\":1000,\"access\":\"r\",\"state\":\"dead\"}],"
	"\"orphans\":1,\"scrub\":{\"pending_blocks\":12,\"done_blocks\":7,"
	"\"bytes_per_second\":1048576,\"background_limit\":2147483648}}";

Test(cli_query, status_shows_everything_that_the_worker_says)
{
	static const char *const shown[] = {"01234567-89ab", "vms", "b00t", "number 3, frozen",
		"supervisor 100, worker 101, helper 102, keeper 103", "record 812",
		"\n             changes are refused (EIO)\n", "4K of 1M (0 %)",
		"3 of at most 65536", "488M (244 blocks), 24M of it to be scrubbed",
		"512M (256 blocks)\n", "2M (1 blocks)", "1G  1000M  /dev/shm/p\\033[2J", "4711",
		"/vm0", "dead",
		"24M to go, 1M a second at the moment, at most 2G in the background"};
	struct reply r = reply_with(status_json);
	struct cli_result result;

	ask(&result, "status", &r, CONTROL_STATUS, 0);
	cr_expect_eq(result.code, 0, "%s", result.err);
	cr_expect_str_empty(result.err);
	for (size_t i = 0; i < ARRAY_SIZE(shown); i++)
		cr_expect_not_null(
			strstr(result.out, shown[i]), "no '%s' in:\n%s", shown[i], result.out);
	cr_expect_null(strchr(result.out, '\x1b'), "a name got through to the terminal");
}

Test(cli_query, status_says_what_to_do_without_a_supervisor)
{
	static const char with[] = "{\"pids\":{\"supervisor\":7}}";
	static const char without[] = "{\"pids\":{\"supervisor\":0,\"keeper\":5,\"worker\":6}}";
	static const char sentence[] = "Start guestmemfs-fuse again with the same arguments";
	struct reply r = reply_with(with);
	struct cli_result result;

	ask(&result, "status", &r, CONTROL_STATUS, 0);
	cr_expect_null(strstr(result.out, sentence), "%s", result.out);
	r = reply_with(without);
	ask(&result, "status", &r, CONTROL_STATUS, 0);
	cr_expect_eq(result.code, 0, "%s", result.err);
	cr_expect_not_null(strstr(result.out, sentence), "%s", result.out);
}

Test(cli_query, json_is_passed_on)
{
	struct reply r = reply_with(
		"{\"uuid\":\"x/y\",\"blocks\":{\"free\":18446744073709551615},\"new\":[1]}");
	struct cli_result result;

	ask(&result, "status --json", &r, CONTROL_STATUS, 0);
	cr_expect_eq(result.code, 0, "%s", result.err);
	cr_expect_not_null(strstr(result.out, "\"uuid\": \"x/y\""), "%s", result.out);
	cr_expect_not_null(strstr(result.out, "\"free\": 18446744073709551615"), "%s", result.out);
	cr_expect_not_null(strstr(result.out, "\"new\""), "%s", result.out);
}

Test(cli_query, extents_asks_for_the_file_by_its_inode)
{
	struct reply r = reply_with(
		"{\"ino\":3,\"size\":5,\"extents\":["
		"{\"file_offset\":0,\"length\":4194304,\"region\":0,\"region_offset\":50331648,"
		"\"clean\":true},{\"file_offset\":1073741824,\"length\":2097152,\"region\":1,"
		"\"region_offset\":2097152,\"clean\":false}]}");
	struct cli_result result;

	ask(&result, "extents", &r, CONTROL_EXTENTS, file_ino());
	cr_expect_eq(result.code, 0, "%s", result.err);
	cr_expect_str_eq(result.out,
		"FILE OFFSET  LENGTH  REGION  REGION OFFSET  STATE\n"
		"          0      4M       0      0x3000000  clean\n"
		"         1G      2M       1       0x200000  to be scrubbed\n");
}

Test(cli_query, ls_shows_the_names_of_the_file)
{
	struct reply r = reply_with("");
	struct cli_result result;
	char json[512];

	(void)snprintf(json, sizeof(json),
		"{\"files\":[{\"path\":\"/"
		"z\",\"ino\":%llu,\"type\":\"file\",\"mode\":33152,\"uid\":4000000000,"
		"\"gid\":4000000001,\"links\":2,\"size\":7,\"blocks\":1,\"extents\":1,\"held\":"
		"true},"
		"{\"path\":\"/other\",\"ino\":0,\"type\":\"file\",\"mode\":33152,\"held\":false},"
		"{\"path\":\"/"
		"a\xff\",\"ino\":%llu,\"type\":\"file\",\"mode\":33152,\"uid\":4000000000,"
		"\"gid\":4000000001,\"links\":2,\"size\":7,\"blocks\":1,\"extents\":1,\"held\":"
		"true}]}",
		(unsigned long long)file_ino(), (unsigned long long)file_ino());
	r = reply_with(json);
	ask(&result, "ls", &r, CONTROL_FILES, 0);
	cr_expect_eq(result.code, 0, "%s", result.err);
	cr_expect_str_eq(result.out,
		"MODE        LINKS  OWNER       GROUP       SIZE  EXTENTS  HELD  PATH\n"
		"-rw-------      2  4000000000  4000000001     7        1  held  /a\xff\n"
		"-rw-------      2  4000000000  4000000001     7        1  held  /z\n");

	ask(&result, "ls --json", &r, CONTROL_FILES, 0);
	cr_expect_eq(result.code, 0, "%s", result.err);
	cr_expect_not_null(strstr(result.out, "\"/a\xef\xbf\xbd\""), "%s", result.out);
	cr_expect_null(strstr(result.out, "/other"));
}

Test(cli_query, an_error_comes_with_the_workers_sentence)
{
	struct reply r = reply_with("");
	struct cli_result result;

	r.json = NULL;
	r.answer.error = put_le32(ENOENT);
	strcpy(r.answer.text, "inode 5 is not there any more");
	ask(&result, "extents", &r, CONTROL_EXTENTS, file_ino());
	cr_expect_eq(result.code, 1);
	cr_expect_str_eq(result.err, "guestmemfs: inode 5 is not there any more\n");
	cr_expect_str_empty(result.out);
}

static struct reply refusal(int error, const char *sentence)
{
	struct reply r = reply_with("");

	r.answer.length = put_le64(0);
	r.answer.error = put_le32((uint32_t)error);
	(void)snprintf(r.answer.text, sizeof(r.answer.text), "%s", sentence);
	r.json = NULL;
	return r;
}

Test(cli_query, an_export_waits_for_the_next_helper_and_the_next_worker)
{
	const struct reply replies[] = {refusal(EAGAIN, "there is no helper"), {.silent = true},
		reply_with("{\"node\":\"/dev/dax3.1\"}")};
	struct cli_result result;

	ask_in_turn(&result, "export", replies, 3, CONTROL_EXPORT, file_ino());
	cr_expect_eq(result.code, 0, "%s", result.err);
	cr_expect_str_eq(result.out, "/dev/dax3.1\n");
}

Test(cli_query, an_export_that_has_ended_meanwhile_has_ended)
{
	const struct reply replies[] = {
		refusal(EAGAIN, "it has ended meanwhile"), refusal(ENOENT, "it is not exported")};
	struct cli_result result;

	ask_in_turn(&result, "unexport", replies, 2, CONTROL_UNEXPORT, file_ino());
	cr_expect_eq(result.code, 0, "%s", result.err);
	cr_expect_str_empty(result.err);
	ask(&result, "unexport", &replies[1], CONTROL_UNEXPORT, file_ino());
	cr_expect_eq(result.code, 1, "it was not when it was asked for");
	cr_expect_str_eq(result.err, "guestmemfs: it is not exported\n");
	/* The second question finds nobody: that is no end of an export. */
	ask(&result, "unexport", &replies[0], CONTROL_UNEXPORT, file_ino());
	cr_expect_eq(result.code, 1);
	cr_expect_not_null(strstr(result.err, "nobody listens"), "%s", result.err);
}

Test(cli_query, who_does_not_answer_is_waited_for_so_long_and_no_longer)
{
	const struct reply r = {.mute = true, .silent = true};
	struct cli_result result;

	(void)setenv("GUESTMEMFS_WAIT", "5", 1);
	ask(&result, "status", &r, CONTROL_STATUS, 0);
	cr_expect_eq(result.code, 1);
	cr_expect_str_eq(result.err, "guestmemfs: the worker did not answer within 5 seconds\n");
	ask(&result, "thaw", &r, CONTROL_THAW, 0);
	cr_expect_eq(result.code, 1);
	cr_expect_not_null(strstr(result.err, "; if it has begun with what it was to do, it does "
					      "it"),
		"%s", result.err);
	(void)unsetenv("GUESTMEMFS_WAIT");
	cr_expect_str_empty(result.out);
}

/* What has begun is waited for, however short the bound is for what has not. */
Test(cli_query, an_upgrade_that_has_begun_is_waited_for)
{
	struct reply r = reply_with("{\"worker\":{\"pid\":12,\"outage_ms\":34}}");
	struct cli_result result;

	r.late = 6;
	(void)setenv("GUESTMEMFS_WAIT", "5", 1);
	ask(&result, "upgrade", &r, CONTROL_UPGRADE, 0);
	(void)unsetenv("GUESTMEMFS_WAIT");
	cr_expect_eq(result.code, 0, "%s", result.err);
	cr_expect_not_null(strstr(result.out, "worker: process 12, after 34 ms"), "%s", result.out);
	r.late = 1;
	r.silent = true;
	ask(&result, "upgrade", &r, CONTROL_UPGRADE, 0);
	cr_expect_eq(result.code, 1);
	cr_expect_not_null(
		strstr(result.err, "the supervisor ended in the middle"), "%s", result.err);
	/* Of no other question. */
	ask(&result, "status", &r, CONTROL_STATUS, 0);
	cr_expect_eq(result.code, 1);
	cr_expect_str_empty(result.out);
}

/* Each answer that breaks a rule of the protocol is refused, and nothing of it is printed. */
Test(cli_query, refuses_answers_that_it_does_not_understand)
{
	const struct reply good = reply_with("{\"uuid\":\"x\"}");
	struct reply bad[12];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		bad[i] = good;
	bad[n++].silent = true;
	bad[n++].size = sizeof(struct control_answer) - 1;
	bad[n++].size = 0 + sizeof(uint64_t);
	bad[n++].answer.version = put_le32(CONTROL_VERSION + 1);
	bad[n++].answer.size = put_le32(5);
	bad[n++].answer.reserved = put_le32(1);
	bad[n++].answer.length = put_le64(0);
	bad[n++].answer.length = put_le64(strlen(good.json) + 1);
	bad[n++].answer.length = put_le64(UINT64_MAX);
	bad[n++].answer.length = put_le64(strlen(good.json) - 1); /* JSON that is cut short */
	bad[n++].json = NULL;
	bad[n].answer.error = put_le32(EIO); /* with a memfd, and a text without an end */
	memset(bad[n++].answer.text, 'x', sizeof(good.answer.text));
	cr_assert_eq(n, ARRAY_SIZE(bad));
	for (size_t i = 0; i < n; i++) {
		struct cli_result result;

		ask(&result, "status --json", &bad[i], CONTROL_STATUS, 0);
		cr_expect_eq(result.code, 1, "%zu: %d %s", i, result.code, result.err);
		cr_expect_not_null(strstr(result.err, "guestmemfs: "), "%zu", i);
		cr_expect_str_empty(result.out, "%zu", i);
	}
}

Test(cli_query, says_so_if_nobody_listens)
{
	struct cli_result result;
	char command[128];

	(void)snprintf(command, sizeof(command), "status %s", file);
	cli_run_command(&result, command);
	cr_expect_eq(result.code, 1);
	cr_expect_not_null(strstr(result.err, "nobody listens at"), "%s", result.err);
}

Test(cli_query, only_regular_files_have_extents)
{
	struct cli_result result;
	char command[128];

	cr_assert_eq(setxattr(dir, GM_XATTR_CONTROL, "/nowhere", 8, 0), 0);
	(void)snprintf(command, sizeof(command), "extents %s", dir);
	cli_run_command(&result, command);
	cr_expect_eq(result.code, 1);
	cr_expect_not_null(strstr(result.err, "is not a regular file"), "%s", result.err);
}
