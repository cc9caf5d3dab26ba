// SPDX-License-Identifier: MIT
#include "cli/query.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include "cli/json_read.h"
#include "cli/look.h"
#include "cli/text.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/json_text.h"
#include "util/le.h"
#include "util/packet.h"

#define EXPORT_SECONDS   600 /* a new file is zeroed first */
#define UNEXPORT_SECONDS 90  /* the worker waits less long for the helper */
#define QUERY_TRIES      3U
#define STARTING_MS      10000U /* for a worker or a helper to be there again */
#define ANSWER_SIZE_MAX  (1U << 30)
#define QUERY_KEY_ROOM   64 /* no key of ours is longer */

static int query_path_problem(const char *path, int err, struct problem *why)
{
	switch (err) {
	case ENODATA:
	case EOPNOTSUPP:
		return problem(why, ENOTTY, "%s is not on a guestmemfs mount", path);
	case ENOTCONN:
		return problem(why, ENOTCONN,
			"%s is on a mount that nobody serves any more: start guestmemfs-fuse "
			"again, which mounts anew",
			path);
	default:
		return problem_errno(why, err, "%s", path);
	}
}

/* Once it has been heard. */
static int seconds_for(enum control_opcode opcode)
{
	switch (opcode) {
	case CONTROL_EXPORT:
		return EXPORT_SECONDS;
	case CONTROL_UNEXPORT:
		return UNEXPORT_SECONDS;
	case CONTROL_UPGRADE:
		return CONTROL_UPGRADE_SECONDS;
	default:
		return 0;
	}
}

static void query_set_limit(int sock, int seconds)
{
	const struct timeval limit = {.tv_sec = seconds};

	(void)setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

static int query_connect(const char *socket_path, int seconds, struct problem *why)
{
	int sock = packet_connect_within(socket_path, seconds);

	switch (sock) {
	case -EACCES:
	case -EPERM:
		return problem(why, EACCES,
			"no permission to ask at %s: that is for root and the user who runs the "
			"mount",
			socket_path);
	case -ENOENT:
	case -ECONNREFUSED:
		return problem(why, -sock,
			"nobody listens at %s: the worker of the mount is gone or just starting",
			socket_path);
	case -EAGAIN:
		return problem(why, ETIMEDOUT,
			"the worker has taken no question at %s within %d seconds", socket_path,
			seconds);
	default:
		break;
	}
	if (sock < 0)
		return problem_errno(why, -sock, "connecting to %s", socket_path);
	return sock;
}

/* True if the answer is one that this version understands, with the descriptor that belongs to it.
 */
static bool query_answer_is_sound(const struct control_answer *a, ssize_t size, size_t nfds)
{
	uint64_t length = get_le64(a->length);

	if (size != (ssize_t)sizeof(*a) || get_le32(a->size) != sizeof(*a) ||
		get_le32(a->version) != CONTROL_VERSION || get_le32(a->reserved) != 0)
		return false;
	if (get_le32(a->error) != 0)
		return nfds == 0 && memchr(a->text, '\0', sizeof(a->text));
	return nfds == 1 && length > 0 && length <= ANSWER_SIZE_MAX;
}

/* What only asks can be asked again, of the worker that takes the place of one that has ended. */
static bool query_may_repeat(enum control_opcode opcode)
{
	return opcode == CONTROL_STATUS || opcode == CONTROL_FILES || opcode == CONTROL_EXTENTS ||
	       opcode == CONTROL_TOKEN;
}

static int query_silence(enum control_opcode opcode, bool begun, int seconds, struct problem *why)
{
	if (opcode == CONTROL_UPGRADE && begun)
		return problem(why, ETIMEDOUT,
			"the upgrade has begun, and has not ended within %d seconds: it goes on "
			"until it ends; 'guestmemfs status' says what is there",
			seconds);
	if (opcode == CONTROL_UPGRADE)
		return problem(why, ETIMEDOUT,
			"worker and supervisor have not begun with the upgrade within %d seconds: "
			"one of them was stopped (kill -CONT lets it go on) or hangs. It is not "
			"begun later either",
			seconds);
	return problem(why, ETIMEDOUT, "the worker did not answer within %d seconds%s", seconds,
		query_may_repeat(opcode) ? ""
					 : "; if it has begun with what it was to do, it does it");
}

/* The size of the packet, or negative: then why says it. begun: it is an upgrade's last. */
static ssize_t query_receive(int sock, bool begun, struct control_answer *answer, int *fd,
	size_t *nfds, struct problem *why)
{
	ssize_t n = packet_receive(sock, answer, sizeof(*answer), fd, nfds, true);

	if (begun && (n == 0 || n == -ECONNRESET))
		return problem(why, ECONNRESET,
			"the supervisor ended in the middle of the upgrade: 'guestmemfs status' "
			"says what is there");
	if (n == 0 || n == -ECONNRESET)
		return problem(why, ECONNRESET, "the worker ended before it answered: ask again");
	if (n < 0 && n != -EAGAIN)
		return problem_errno(why, (int)-n, "waiting for the worker's answer");
	return n;
}

/* The supervisor says that it begins, before it does. */
static bool query_has_begun(
	enum control_opcode opcode, const struct control_answer *a, ssize_t size, size_t nfds)
{
	return opcode == CONTROL_UPGRADE && query_answer_is_sound(a, size, nfds) &&
	       get_le32(a->error) == EINPROGRESS;
}

/* From here on who would begin finds that nobody waits (EPIPE), and does not. Has it, before? */
static bool query_give_up(int sock, enum control_opcode opcode)
{
	struct problem why = PROBLEM_INIT;
	struct control_answer answer;
	_cleanup_fd_ int fd = -1;
	size_t nfds = 1;

	(void)shutdown(sock, SHUT_RD);
	ssize_t n = query_receive(sock, false, &answer, &fd, &nfds, &why);
	return query_has_begun(opcode, &answer, n, nfds);
}

/* As query_receive(), of the last of its answers; patience: for the first. */
static ssize_t query_wait(int sock, enum control_opcode opcode, int patience,
	struct control_answer *answer, int *fd, size_t *nfds, struct problem *why)
{
	int seconds = opcode != CONTROL_UPGRADE && seconds_for(opcode) > patience
			      ? seconds_for(opcode)
			      : patience;
	bool begun = false;
	ssize_t n;

	query_set_limit(sock, seconds);
	n = query_receive(sock, false, answer, fd, nfds, why);
	if (query_has_begun(opcode, answer, n, *nfds)) {
		begun = true;
		*nfds = 1;
		seconds = seconds_for(opcode);
		query_set_limit(sock, seconds);
		n = query_receive(sock, true, answer, fd, nfds, why);
	}
	if (n != -EAGAIN)
		return n;
	return query_silence(opcode, begun || query_give_up(sock, opcode), seconds, why);
}

/* The answer's memfd, or negative. */
static int query_exchange(int sock, enum control_opcode opcode, uint64_t ino, int patience,
	struct control_answer *answer, struct problem *why)
{
	const struct control_request request = {
		.size = put_le32(sizeof(request)),
		.version = put_le32(CONTROL_VERSION),
		.opcode = put_le32(opcode),
		.ino = put_le64(ino),
	};
	_cleanup_fd_ int fd = -1;
	size_t nfds = 1;
	int r = packet_send(sock, &request, sizeof(request), NULL, 0, true);

	/* A worker that has hung up may have said why before. */
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		return problem_errno(why, -r, "asking the worker");
	ssize_t n = query_wait(sock, opcode, patience, answer, &fd, &nfds, why);
	if (n < 0)
		return (int)n;
	if (!query_answer_is_sound(answer, n, nfds))
		return problem(why, EPROTO,
			"the worker's answer is not what this version understands: guestmemfs and "
			"guestmemfs-fuse should be of the same version");
	if (get_le32(answer->error) != 0)
		return problem(why, (int)get_le32(answer->error), "%.999s", answer->text);
	return steal_fd(&fd);
}

static int query_read(int fd, uint64_t length, char **ret, struct problem *why)
{
	_cleanup_free_ char *text = malloc(length);
	uint64_t at = 0;

	if (!text)
		return problem_errno(why, ENOMEM, "reading the worker's answer");
	while (at < length) {
		ssize_t n = pread(fd, text + at, length - at, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return problem(why, EPROTO, "the worker's answer is shorter than it says");
		at += (uint64_t)n;
	}
	*ret = steal_pointer(text);
	return 0;
}

static int query_parse(char *text, uint64_t length, struct json_object **ret, struct problem *why)
{
	struct json_object *o;
	int r = json_read(&o, text, length);

	if (r == -ENOMEM)
		return problem_errno(why, ENOMEM, "reading the worker's answer");
	if (r == 0 && json_object_is_type(o, json_type_object)) {
		*ret = o;
		return 0;
	}
	if (r == 0)
		json_object_put(o);
	return problem(why, EPROTO, "the worker's answer is not a JSON object");
}

static int query_take(
	int fd, const struct control_answer *answer, struct json_object **ret, struct problem *why)
{
	_cleanup_free_ char *text = NULL;
	uint64_t length = get_le64(answer->length);
	int r = query_read(fd, length, &text, why);

	return r < 0 ? r : query_parse(text, length, ret, why);
}

/* *refused: the errno that the worker has answered with; 0: none. */
static int query_once(const char *socket_path, enum control_opcode opcode, uint64_t ino,
	struct json_object **ret, uint32_t *refused, struct problem *why)
{
	struct control_answer answer = {.error = put_le32(0)};
	int patience, r = look_get_patience(&patience, why);

	*refused = 0;
	if (r < 0)
		return r;
	_cleanup_fd_ int sock = query_connect(socket_path, patience, why);
	if (sock < 0)
		return sock;
	_cleanup_fd_ int fd = query_exchange(sock, opcode, ino, patience, &answer, why);
	*refused = get_le32(answer.error);
	if (fd < 0 || !ret)
		return fd < 0 ? fd : 0;
	r = query_take(fd, &answer, ret, why);
	if (r < 0 && !query_may_repeat(opcode))
		(void)problem_prefix(why, r, "it is done, but there is more to say of it");
	return r;
}

static bool is_being_started(int r, uint32_t refused)
{
	return (r == -EAGAIN && refused == EAGAIN) || (r == -ECONNRESET && refused == 0);
}

/*
 * An export begins once and ends once, however often that is asked for; there may be no helper for
 * it at the moment, or that or the worker may have ended over it.
 */
static int query_export(const char *socket_path, enum control_opcode opcode, uint64_t ino,
	struct json_object **ret, struct problem *why)
{
	const struct timespec pause = {.tv_nsec = 100L * 1000 * 1000};
	uint64_t until = clock_milliseconds() + STARTING_MS;
	uint32_t refused;
	bool again = false;
	int r = query_once(socket_path, opcode, ino, ret, &refused, why);

	while (is_being_started(r, refused) && clock_milliseconds() < until) {
		again = true;
		(void)nanosleep(&pause, NULL);
		r = query_once(socket_path, opcode, ino, ret, &refused, why);
	}
	if (!again || opcode != CONTROL_UNEXPORT || r != -ENOENT || refused != ENOENT)
		return r;
	return 0; /* the first question has brought it about */
}

int query_socket(const char *socket_path, enum control_opcode opcode, uint64_t ino,
	struct json_object **ret, struct problem *why)
{
	uint32_t refused;
	int r;

	if (opcode == CONTROL_EXPORT || opcode == CONTROL_UNEXPORT)
		return query_export(socket_path, opcode, ino, ret, why);
	r = query_once(socket_path, opcode, ino, ret, &refused, why);
	for (unsigned tries = 1;
		r == -ECONNRESET && query_may_repeat(opcode) && tries < QUERY_TRIES; tries++)
		r = query_once(socket_path, opcode, ino, ret, &refused, why);
	return r;
}

int query_path(const char *path, enum control_opcode opcode, struct json_object **ret,
	struct stat *st, struct problem *why)
{
	bool of_file =
		opcode == CONTROL_EXTENTS || opcode == CONTROL_EXPORT || opcode == CONTROL_UNEXPORT;
	struct look here = {.error = 0};
	int seconds, r = look_get_patience(&seconds, why);

	if (r == 0)
		r = look_at(&here, path, seconds, why);
	if (r < 0)
		return r;
	if (here.error)
		return query_path_problem(path, here.error, why);
	if (of_file && !S_ISREG(here.st.st_mode))
		return problem(
			why, EINVAL, "%s is not a regular file: only those have memory", path);
	if (st)
		*st = here.st;
	return query_socket(here.socket, opcode, of_file ? here.st.st_ino : 0, ret, why);
}

int query_print(struct json_object *o, struct problem *why)
{
	size_t length = 0;
	const char *text = json_text(o,
		JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE,
		&length);

	if (!text)
		return problem_errno(why, ENOMEM, "writing JSON");
	text_write_utf8(stdout, text, length);
	putchar('\n');
	return 0;
}

/* The member or element of that name; NULL if there is none. */
static struct json_object *query_step(struct json_object *o, const char *name, size_t length)
{
	struct json_object *found = NULL;
	char key[QUERY_KEY_ROOM];

	if (length >= sizeof(key))
		return NULL;
	memcpy(key, name, length);
	key[length] = '\0';
	if (json_object_is_type(o, json_type_array))
		return json_object_array_get_idx(o, strtoul(key, NULL, 10));
	return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, key, &found)
		       ? found
		       : NULL;
}

/* As json_pointer_get(3), which needs memory: without it, what is there would seem not to be. */
static struct json_object *query_get(
	struct json_object *o, const char *pointer, enum json_type type)
{
	while (o && *pointer == '/') {
		size_t length = strcspn(++pointer, "/");

		o = query_step(o, pointer, length);
		pointer += length;
	}
	return json_object_is_type(o, type) ? o : NULL;
}

uint64_t query_number(struct json_object *o, const char *pointer)
{
	struct json_object *n = query_get(o, pointer, json_type_int);

	return n ? json_object_get_uint64(n) : 0;
}

const char *query_text(struct json_object *o, const char *pointer)
{
	struct json_object *s = query_get(o, pointer, json_type_string);

	return s ? json_object_get_string(s) : "-";
}

bool query_true(struct json_object *o, const char *pointer)
{
	struct json_object *b = query_get(o, pointer, json_type_boolean);

	return b && json_object_get_boolean(b);
}

struct json_object *query_array(struct json_object *o, const char *pointer)
{
	return query_get(o, pointer, json_type_array);
}
