// SPDX-License-Identifier: MIT
/*
 * The control socket: several who ask at once, in any form, while files come and go and the helper
 * answers late or not at all. Each question has one answer, or the connection ends; an answer is
 * JSON or a sentence. The first byte chooses the pool; each step is a byte and what it takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuse/control.h"
#include "fuzz.h"
#include "proto/control.h"
#include "rig.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/le.h"
#include "util/packet.h"

#define CLIENTS 20U /* more than are served at once */

static struct {
	char directory[64], path[96];
	struct {
		int fd; /* -1: the place is free */
		unsigned asked;
	} clients[CLIENTS];
	struct control_answer last;
	bool refused;
} side;

const char *fuzz_refusal(void)
{
	return side.refused ? side.last.text : NULL;
}

static void remove_directory(void)
{
	(void)unlink(side.path);
	(void)rmdir(side.directory);
}

static void make_directory(void)
{
	(void)snprintf(side.directory, sizeof(side.directory), "/tmp/gm-fuzz-XXXXXX");
	if (!mkdtemp(side.directory))
		rig_die("a directory", strerror(errno));
	(void)snprintf(side.path, sizeof(side.path), "%s/control.sock", side.directory);
	(void)atexit(remove_directory);
}

static void listen_anew(void)
{
	struct problem why = PROBLEM_INIT;
	int fd = packet_listen(side.path, 0600);

	if (fd < 0 || control_new(&rig.control, fd, geteuid(), &rig.status, &rig.ns, rig.grants,
			      &why) < 0)
		rig_die("the control socket", why.text);
}

static void begin(void)
{
	if (side.directory[0] == '\0')
		make_directory();
	for (unsigned n = 0; n < CLIENTS; n++)
		side.clients[n].fd = -1;
	side.refused = false;
	listen_anew();
}

static void drop(unsigned n)
{
	side.clients[n].fd = close_fd(side.clients[n].fd);
	side.clients[n].asked = 0;
}

/* ---- answers ---- */

static void check_json(int fd, uint64_t length)
{
	struct json_tokener *t = json_tokener_new();
	struct json_object *o;
	struct stat st;
	const char *text;

	if (!t || fstat(fd, &st) < 0 || (uint64_t)st.st_size != length || length == 0)
		rig_die("an answer of another length", "");
	text = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
	if (text == MAP_FAILED)
		rig_die("an answer that can't be read", strerror(errno));
	o = json_tokener_parse_ex(t, text, (int)length);
	if (!o || !json_object_is_type(o, json_type_object) ||
		json_tokener_get_parse_end(t) != length)
		rig_die("an answer that is no JSON", "");
	json_object_put(o);
	json_tokener_free(t);
	(void)munmap((void *)text, length);
}

static void check_answer(const struct control_answer *a, int fd)
{
	uint32_t error = get_le32(a->error);

	if (get_le32(a->size) != sizeof(*a) || get_le32(a->version) != CONTROL_VERSION ||
		get_le32(a->reserved) || error >= 4096 || !memchr(a->text, '\0', sizeof(a->text)) ||
		(error != 0) != (a->text[0] != '\0') || (error != 0) != (fd < 0))
		rig_die("an answer that is none", a->text);
	if (error == 0)
		check_json(fd, get_le64(a->length));
}

static void read_answers(unsigned n)
{
	while (side.clients[n].fd >= 0) {
		_cleanup_fd_ int fd = -1;
		size_t count = 1;
		ssize_t size = packet_receive(
			side.clients[n].fd, &side.last, sizeof(side.last), &fd, &count, false);

		if (size == -EAGAIN)
			return;
		if (size <= 0) {
			drop(n);
			return;
		}
		if (size != sizeof(side.last))
			rig_die("an answer of another size", "");
		check_answer(&side.last, count ? fd : -1);
		side.refused = get_le32(side.last.error) != 0;
		/* Whoever is one too many is told so before he has asked. */
		if (side.clients[n].asked == 0 && get_le32(side.last.error) != EUSERS)
			rig_die("an answer that nobody asked for", "");
		side.clients[n].asked -= side.clients[n].asked > 0;
	}
}

static void serve(void)
{
	for (unsigned n = 0; n < 3; n++) {
		control_serve(rig.control, clock_milliseconds());
		/* A supervisor that answers nothing: who has asked for an upgrade is hung up on. */
		(void)close_fd(control_take_upgrade(rig.control));
	}
	rig_settle();
	for (unsigned n = 0; n < CLIENTS; n++)
		read_answers(n);
}

/* ---- questions ---- */

static void come(unsigned n)
{
	if (side.clients[n].fd >= 0)
		return;
	side.clients[n].fd = packet_connect(side.path);
	side.clients[n].asked = 0;
	if (side.clients[n].fd >= 0)
		(void)fcntl(side.clients[n].fd, F_SETFL, O_NONBLOCK);
}

static void ask(unsigned n, const void *m, size_t size, int fd)
{
	come(n);
	if (side.clients[n].fd < 0 || size == 0)
		return;
	if (packet_send(side.clients[n].fd, m, size, &fd, fd >= 0, false) == 0)
		side.clients[n].asked++;
}

static void ask_well(struct bytes *b)
{
	uint8_t what = bytes_take(b), which = bytes_take(b);
	uint32_t opcode = 1 + what % 9;
	bool about =
		opcode == CONTROL_EXTENTS || opcode == CONTROL_EXPORT || opcode == CONTROL_UNEXPORT;
	struct control_request m = {.size = put_le32(sizeof(m)),
		.version = put_le32(CONTROL_VERSION),
		.opcode = put_le32(opcode),
		.ino = put_le64(about ? rig.inodes[which % rig.inode_count] : 0)};

	ask(what / 9U % CLIENTS, &m, sizeof(m), -1);
}

static void ask_anything(struct bytes *b)
{
	uint8_t what = bytes_take(b), bytes[128];
	struct control_request m = {.size = put_le32(sizeof(m)),
		.version = put_le32(CONTROL_VERSION),
		.opcode = put_le32(1 + what % 8)};
	size_t size = what & 64 ? sizeof(m) : bytes_take(b) % sizeof(bytes);
	size_t at = what & 128 ? 0 : what % sizeof(m);

	memcpy(bytes, &m, sizeof(m));
	bytes_copy(b, bytes + at, sizeof(m) - at);
	memset(bytes + sizeof(m), what, sizeof(bytes) - sizeof(m));
	ask(what % CLIENTS, bytes, size, what >= 250 ? STDERR_FILENO : -1);
}

static void step(struct bytes *b)
{
	uint8_t what = bytes_take(b);

	switch (what % 8) {
	case 0:
		drop(what / 8U % CLIENTS);
		break;
	case 1:
		come(what / 8U % CLIENTS);
		break;
	case 2:
	case 3:
		ask_well(b);
		break;
	case 4:
		ask_anything(b);
		break;
	case 5:
		rig_kernel_ask(b);
		break;
	case 6:
		rig_helper_say(b);
		rig_hear();
		break;
	default:
		rig_pass(50U << bytes_take(b) % 14);
	}
	if (what & 128)
		return; /* not yet */
	serve();
}

static void finish(void)
{
	for (unsigned n = 0; n < CLIENTS + 2; n++)
		serve();
	rig_answer_everything();
	serve();
	for (unsigned n = 0; n < CLIENTS; n++) {
		if (side.clients[n].asked > 0)
			rig_die("somebody is left without an answer", "");
		drop(n);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = {data, size};

	rig_begin(bytes_take(&b));
	begin();
	while (b.left > 0)
		step(&b);
	finish();
	rig_end();
	return 0;
}
