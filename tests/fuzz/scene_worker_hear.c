// SPDX-License-Identifier: MIT
/* What the helper says to the worker: it must be an answer, and what is free must be so. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "scene.h"
#include "scene_worker.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

union answer {
	struct link_header header;
	struct link_check check;
	struct link_done done;
	struct link_spare spare;
	uint8_t bytes[1024];
};

static void end_question(uint64_t id, bool well)
{
	for (unsigned n = 0; n < ASKS; n++)
		if (worker.asks[n].opcode != 0 && worker.asks[n].id == id) {
			if (worker.asks[n].opcode == LINK_SCRUB ||
				worker.asks[n].opcode == LINK_ZERO)
				end_zeroing(&worker.asks[n],
					well && worker.asks[n].opcode == LINK_SCRUB);
			worker.asks[n].opcode = 0;
			return;
		}
	if (scene.strict && id != 0)
		scene_die("an answer to what was not asked", "");
}

/* One answer is enough for all that ask the same. */
static void end_checks(uint64_t ino)
{
	for (unsigned n = 0; n < ASKS; n++)
		if (worker.asks[n].opcode == LINK_CHECK && worker.asks[n].ino == ino)
			worker.asks[n].opcode = 0;
}

static void take_free(const struct link_check *m)
{
	uint64_t ino = get_le64(m->ino);
	struct told *t = ino >= 2 && ino < 2 + FILES ? &worker.files[ino - 2] : NULL;

	/* Who reads late may have granted it anew meanwhile, under another number; or, if that was
	 * a lie, under the same. */
	bool passed =
		worker.reads_late && t &&
		(t->epoch != get_le64(m->epoch) || worker.granted[ino - 2] > get_le64(m->epoch));

	if (!scene.hands_on && !passed && (persons_reach_inode(ino) || clients_have_unread(ino)))
		scene_die("somebody reaches what is said to be free", "");
	end_checks(ino);
	if (t && t->epoch == get_le64(m->epoch))
		drop_file((unsigned)ino - 2);
}

/* Not if only a part of it is left, the rest of which is nobody's. */
static void take_spare(const struct link_spare *m)
{
	uint64_t ino = get_le64(m->ino), blocks = 0;
	struct told *t = ino >= 2 && ino < 2 + FILES ? &worker.files[ino - 2] : NULL;

	for (unsigned n = 0; t && n < t->count; n++)
		blocks += get_le32(t->extents[n].count);
	if (t && t->epoch == get_le64(m->epoch) && blocks == get_le64(m->blocks))
		t->spare = true;
}

static void take_redeem(uint64_t id)
{
	uint64_t *place = find_redeem(0);

	if (!place)
		scene_die("more tickets than clients", "");
	*place = id;
}

static void take_message(const union answer *m)
{
	uint64_t id = get_le64(m->header.id);

	switch (get_le16(m->header.opcode)) {
	case LINK_READY:
		worker.ready = worker.configured = true;
		break;
	case LINK_REDEEM:
		take_redeem(id);
		break;
	case LINK_FREE:
		take_free(&m->check);
		break;
	case LINK_DONE:
		end_question(id, m->done.error.raw == 0);
		break;
	case LINK_BUSY:
		end_checks(get_le64(m->check.ino));
		break;
	case LINK_HOLDERS_END:
	case LINK_EXPORTED:
	case LINK_REVOKED:
	case LINK_CONTENTS_GIVEN:
		end_question(id, true);
		break;
	case LINK_SPARE:
		take_spare(&m->spare);
		break;
	case LINK_HOLDER:
	case LINK_PART:
		break;
	default:
		scene_die("a message that the helper does not have", "");
	}
}

void worker_read(void)
{
	union answer in;

	while (worker.link >= 0 && (!worker.deaf || scene.ending)) {
		int fd = -1;
		size_t count = 1;
		ssize_t n = packet_receive(worker.link, &in, sizeof(in), &fd, &count, false);

		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			worker.lost = true;
			forget_link();
			return;
		}
		if (n < (ssize_t)sizeof(in.header) || get_le32(in.header.size) != n)
			scene_die("a message whose header does not fit it", "");
		if (count == 1)
			(void)close_fd(fd);
		if ((count == 1) != (get_le16(in.header.opcode) == LINK_PART))
			scene_die("a descriptor where there is none", "");
		take_message(&in);
	}
}

bool worker_lost_link(void)
{
	return worker.lost;
}

unsigned worker_waits(void)
{
	unsigned count = 0;

	for (unsigned n = 0; n < ASKS && scene.strict; n++)
		if (worker.asks[n].opcode != 0) {
			(void)fprintf(stderr, "message %u has no answer\n", worker.asks[n].opcode);
			count++;
		}
	return count;
}
