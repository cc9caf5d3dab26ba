// SPDX-License-Identifier: MIT
/*
 * A worker built to lie: every message that it can send, wrong in one field at a time. Each lie is
 * refused, by the end of the link or of the order, and logged; and the helper goes on serving an
 * honest worker and its clients.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_soft.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"
#include "worker_truths.h"

static struct rig rig;
static const struct rig_extent granted[] = {{0, 10, 4}};

static void set_up(void)
{
	rig_init(&rig);
	fake_soft_init(&rig);
	rig_start(&rig);
}

static void tear_down(void)
{
	fake_soft_deinit();
	rig_deinit(&rig);
}

TestSuite(helper_lies, .init = set_up, .fini = tear_down, .timeout = 280);

/* ---- telling it ---- */

static int client = -1;
static uint64_t redeem_id;

static uint64_t id_of(const struct truth *t)
{
	switch (t->opcode) {
	case LINK_GRANT:
	case LINK_REFUSE:
		return redeem_id;
	case LINK_EXTENTS:
		return t->stage == STAGE_GRANT ? redeem_id : t->stage == STAGE_HELD ? 0 : 4711;
	case LINK_SCRUB:
	case LINK_ZERO:
	case LINK_CHECK:
	case LINK_REVOKE:
	case LINK_HOLDERS:
	case LINK_EXPORT:
	case LINK_UNEXPORT:
	case LINK_CONTENTS:
		return 4711;
	default:
		return 0;
	}
}

static void send_truth(struct truth *t)
{
	rig_send(&rig, &t->m, t->size, t->opcode, id_of(t));
}

/* A client gets its grant, so that there is something that a lie could take. */
static void serve_honestly(void)
{
	struct gm_grant g;
	int fd, sock = rig_client(&rig);

	rig_send_attach(sock, 1);
	rig_grant(&rig, GRANTED, RW, granted, 1);
	cr_assert_eq(rig_expect_grant(sock, 1, &g, &fd, 1), 1);
	close(fd);
	rig_send_attach(sock, 2);
	rig_grant(&rig, EMPTY, RW, NULL, 0);
	cr_assert_eq(rig_expect_grant(sock, 2, &g, &fd, 1), 0);
	close(sock);
}

static void ask(void)
{
	struct link_redeem asked;

	client = rig_client(&rig);
	rig_send_attach(client, 1);
	rig_expect(&rig, &asked, sizeof(asked), LINK_REDEEM);
	redeem_id = get_le64(asked.header.id);
}

static void reach(enum stage stage)
{
	struct truth held = true_held(), grant = true_grant(), export = make_export();
	struct truth contents = true_contents();

	rig_connect(&rig);
	if (stage == STAGE_NEW)
		return;
	rig_send_config(&rig);
	rig_expect_ready(&rig);
	if (stage == STAGE_RESUMING)
		return;
	if (stage == STAGE_HELD) {
		send_truth(&held);
		return;
	}
	rig_send_plain(&rig, LINK_RESUMED, 0);
	serve_honestly();
	if (stage == STAGE_ASKED || stage == STAGE_GRANT)
		ask();
	if (stage == STAGE_GRANT)
		send_truth(&grant);
	if (stage == STAGE_EXPORT)
		send_truth(&export);
	if (stage == STAGE_CONTENTS)
		send_truth(&contents);
}

/* ---- the lies ---- */

/* How a lie ends. */
enum end {
	END_LINK,     /* the link is closed */
	END_DONE,     /* DONE with EUCLEAN */
	END_REFUSED,  /* the client is refused, with EUCLEAN */
	END_EXPORT,   /* EXPORTED with EUCLEAN */
	END_CONTENTS, /* CONTENTS_GIVEN with EUCLEAN */
	END_NOTHING,  /* no answer, and nothing done */
};

/* Writes over a field of the message, or its size (offset SIZE), before it is sent. */
struct lie {
	const char *name;
	struct truth (*make)(void);
	size_t offset, size;
	uint64_t value;
	enum end end;
};

#define SIZE SIZE_MAX /* the packet gets another length, and says so; value: by how much */

#define FIELD(type, field) offsetof(struct type, field), sizeof(((struct type *)0)->field)

/* What every message has, besides what is its own. */
static const struct lie lies_of_headers[] = {
	{"a size that is too small", NULL, FIELD(link_header, size), 15, END_LINK},
	{"a size of the next one", NULL, FIELD(link_header, size), 1U << 20, END_LINK},
	{"an opcode that is unknown", NULL, FIELD(link_header, opcode), 99, END_LINK},
	{"an opcode of the helper's", NULL, FIELD(link_header, opcode), LINK_REDEEM, END_LINK},
	{"a reserved field", NULL, FIELD(link_header, reserved), 1, END_LINK},
	{"a byte less", NULL, SIZE, 0, (uint64_t)-1, END_LINK},
	{"a byte more", NULL, SIZE, 0, 1, END_LINK},
};

static const struct lie lies[] = {
	{"CONFIG id", true_config, FIELD(link_header, id), 1, END_LINK},
	{"CONFIG version", true_config, FIELD(link_config, version), 2, END_LINK},
	{"CONFIG no regions", true_config, FIELD(link_config, region_count), 0, END_LINK},
	{"CONFIG more regions", true_config, FIELD(link_config, region_count), 2, END_LINK},
	{"CONFIG another pool", true_config, offsetof(struct link_config, uuid), 1, 77, END_LINK},
	{"CONFIG data begin elsewhere", true_config, FIELD(link_config, regions[0].first_data), 3,
		END_LINK},
	{"CONFIG data at the first block", true_config, FIELD(link_config, regions[0].first_data),
		0, END_LINK},
	{"CONFIG data far away", true_config, FIELD(link_config, regions[0].first_data), UINT64_MAX,
		END_LINK},
	{"CONFIG fewer data", true_config, FIELD(link_config, regions[0].data_blocks), RIG_DATA - 1,
		END_LINK},
	{"CONFIG data to the last block", true_config, FIELD(link_config, regions[0].data_blocks),
		RIG_BLOCKS - RIG_FIRST_DATA, END_LINK},
	{"CONFIG data past the end", true_config, FIELD(link_config, regions[0].data_blocks),
		UINT64_MAX, END_LINK},
	{"CONFIG a region that is not there", true_config,
		FIELD(link_config, regions[1].first_data), 1, END_LINK},
	{"CONFIG data of the last one", true_config,
		FIELD(link_config, regions[GM_REGIONS_MAX - 1].data_blocks), 1, END_LINK},
	{"HELD id", true_held, FIELD(link_header, id), 1, END_LINK},
	{"HELD inode 0", true_held, FIELD(link_held, ino), 0, END_LINK},
	{"HELD too many extents", true_held, FIELD(link_held, extent_count), RIG_DATA + 1,
		END_LINK},
	{"HELD extents without end", true_held, FIELD(link_held, extent_count), UINT64_MAX,
		END_LINK},
	{"RESUMED id", true_resumed, FIELD(link_header, id), 1, END_LINK},
	{"GRANT id", true_grant, FIELD(link_header, id), 1ULL << 60, END_LINK},
	{"GRANT inode 0", true_grant, FIELD(link_grant, ino), 0, END_LINK},
	{"GRANT that takes away what was granted", true_grant_of_nothing, FIELD(link_grant, ino),
		GRANTED, END_REFUSED},
	{"GRANT with an old number", true_grant_of_nothing, FIELD(link_grant, epoch), 1,
		END_REFUSED},
	{"GRANT a size that no file has", true_grant, FIELD(link_grant, size), 1ULL << 63,
		END_LINK},
	{"GRANT too many extents", true_grant, FIELD(link_grant, extent_count), RIG_DATA + 1,
		END_LINK},
	{"GRANT extents without end", true_grant, FIELD(link_grant, extent_count), UINT64_MAX,
		END_LINK},
	{"GRANT no access", true_grant, FIELD(link_grant, access), 0, END_LINK},
	{"GRANT write only", true_grant, FIELD(link_grant, access), GM_ACCESS_WRITE, END_LINK},
	{"GRANT more access", true_grant, FIELD(link_grant, access), 7, END_LINK},
	{"REFUSE id", true_refuse, FIELD(link_header, id), 1ULL << 60, END_LINK},
	{"REFUSE without an error", true_refuse, FIELD(link_refuse, error), 0, END_LINK},
	{"REFUSE no errno", true_refuse, FIELD(link_refuse, error), 4096, END_LINK},
	{"REFUSE a negative error", true_refuse, FIELD(link_refuse, error), (uint32_t)-EIO,
		END_LINK},
	{"REFUSE an unknown reason", true_refuse, FIELD(link_refuse, reason), GM_REASON_DEVICE + 1,
		END_LINK},
	{"EXTENTS of HELD, id", extents_of_held, FIELD(link_header, id), 1, END_LINK},
	{"EXTENTS of HELD, a granted block", extents_of_held, FIELD(link_extents, extents[0].block),
		13, END_LINK},
	{"EXTENTS of HELD, metadata", extents_of_held, FIELD(link_extents, extents[0].block),
		RIG_FIRST_DATA - 1, END_LINK},
	{"EXTENTS of HELD, no such region", extents_of_held, FIELD(link_extents, extents[0].region),
		1, END_LINK},
	{"EXTENTS id", extents_of_grant, FIELD(link_header, id), 1, END_LINK},
	{"EXTENTS of another inode", extents_of_grant, FIELD(link_extents, ino), GRANTED, END_LINK},
	{"EXTENTS none", extents_of_grant, FIELD(link_extents, count), 0, END_LINK},
	{"EXTENTS fewer than there are", extents_of_grant, FIELD(link_extents, count), 1, END_LINK},
	{"EXTENTS more than announced", extents_of_grant, FIELD(link_extents, count), 3, END_LINK},
	{"EXTENTS more than fit", extents_of_grant, FIELD(link_extents, count), UINT32_MAX,
		END_LINK},
	{"EXTENTS reserved", extents_of_grant, FIELD(link_extents, reserved), 1, END_LINK},
	{"EXTENTS one of another inode", extents_of_grant, FIELD(link_extents, extents[1].ino),
		GRANTED, END_LINK},
	{"EXTENTS one with a reserved field", extents_of_grant,
		FIELD(link_extents, extents[1].reserved), 1, END_LINK},
	{"EXTENTS overlapping in the file", extents_of_grant,
		FIELD(link_extents, extents[1].file_block), 1, END_REFUSED},
	{"EXTENTS past the size", extents_of_grant, FIELD(link_extents, extents[1].file_block), 3,
		END_REFUSED},
	{"EXTENTS beyond every file", extents_of_grant, FIELD(link_extents, extents[1].file_block),
		UINT64_MAX, END_REFUSED},
	{"EXTENTS metadata", extents_of_grant, FIELD(link_extents, extents[0].block),
		RIG_FIRST_DATA - 1, END_REFUSED},
	{"EXTENTS the last block", extents_of_grant, FIELD(link_extents, extents[0].block),
		RIG_BLOCKS - 2, END_REFUSED},
	{"EXTENTS past the region", extents_of_grant, FIELD(link_extents, extents[0].block),
		UINT64_MAX, END_REFUSED},
	{"EXTENTS a granted block", extents_of_grant, FIELD(link_extents, extents[0].block), 13,
		END_REFUSED},
	{"EXTENTS a block twice", extents_of_grant, FIELD(link_extents, extents[1].block), 101,
		END_REFUSED},
	{"EXTENTS no blocks", extents_of_grant, FIELD(link_extents, extents[1].count), 0,
		END_REFUSED},
	{"EXTENTS too many blocks", extents_of_grant, FIELD(link_extents, extents[1].count),
		UINT32_MAX, END_REFUSED},
	{"EXTENTS no such region", extents_of_grant, FIELD(link_extents, extents[1].region), 1,
		END_REFUSED},
	{"EXTENTS no region at all", extents_of_grant, FIELD(link_extents, extents[1].region),
		UINT16_MAX, END_REFUSED},
	{"SCRUB granted blocks", true_scrub, FIELD(link_scrub, block), 9, END_DONE},
	{"SCRUB metadata", true_scrub, FIELD(link_scrub, block), RIG_FIRST_DATA - 1, END_DONE},
	{"SCRUB the last block", true_scrub, FIELD(link_scrub, block), RIG_BLOCKS - 1, END_DONE},
	{"SCRUB past the region", true_scrub, FIELD(link_scrub, block), UINT64_MAX, END_DONE},
	{"SCRUB nothing", true_scrub, FIELD(link_scrub, count), 0, END_LINK},
	{"SCRUB too much", true_scrub, FIELD(link_scrub, count), LINK_SCRUB_MAX + 1, END_LINK},
	{"SCRUB no such region", true_scrub, FIELD(link_scrub, region), 1, END_DONE},
	{"SCRUB no region at all", true_scrub, FIELD(link_scrub, region), UINT32_MAX, END_DONE},
	{"ZERO a granted block", true_zero, FIELD(link_zero, offset), 10 * GM_BLOCK_SIZE, END_DONE},
	{"ZERO metadata", true_zero, FIELD(link_zero, offset), 0, END_DONE},
	{"ZERO past the region", true_zero, FIELD(link_zero, offset),
		UINT64_MAX - GM_BLOCK_SIZE + 1, END_DONE},
	{"ZERO across blocks", true_zero, FIELD(link_zero, offset), 201 * GM_BLOCK_SIZE - 1,
		END_LINK},
	{"ZERO nothing", true_zero, FIELD(link_zero, length), 0, END_LINK},
	{"ZERO too much", true_zero, FIELD(link_zero, length), UINT32_MAX, END_LINK},
	{"ZERO no such region", true_zero, FIELD(link_zero, region), 1, END_DONE},
	{"CHECK inode 0", true_check, FIELD(link_check, ino), 0, END_LINK},
	{"CHECK pid", true_check, FIELD(link_check, pid), 1, END_LINK},
	{"CHECK keep, but don't take", true_check, FIELD(link_check, flags), LINK_CHECK_KEEP,
		END_LINK},
	{"CHECK unknown flags", true_check, FIELD(link_check, flags), 0x80000001U, END_LINK},
	{"REVOKE inode 0", true_revoke, FIELD(link_revoke, ino), 0, END_LINK},
	{"REVOKE unknown flags", true_revoke, FIELD(link_revoke, flags), 2, END_LINK},
	{"REVOKE of nobody", true_revoke, FIELD(link_revoke, uid), UINT32_MAX, END_LINK},
	{"HAND_OVER id", true_hand_over, FIELD(link_header, id), 1, END_LINK},
	{"HAND_OVER from inode 0", true_hand_over, FIELD(link_hand_over, from), 0, END_LINK},
	{"HAND_OVER to inode 0", true_hand_over, FIELD(link_hand_over, ino), 0, END_LINK},
	{"HAND_OVER to itself", true_hand_over, FIELD(link_hand_over, ino), GRANTED, END_LINK},
	{"HAND_OVER of what is granted", true_hand_over, FIELD(link_hand_over, file_block), 1,
		END_NOTHING},
	{"EXPORT that takes away what was granted", export_of_nothing, FIELD(link_export, ino),
		GRANTED, END_EXPORT},
	{"EXPORT with an old number", export_of_nothing, FIELD(link_export, epoch), 1, END_EXPORT},
	{"EXTENTS of EXPORT, id", extents_of_export, FIELD(link_header, id), 1, END_LINK},
	{"EXTENTS of EXPORT, a granted block", extents_of_export,
		FIELD(link_extents, extents[0].block), 13, END_EXPORT},
	{"EXTENTS of EXPORT, metadata", extents_of_export, FIELD(link_extents, extents[0].block),
		RIG_FIRST_DATA - 1, END_EXPORT},
	{"EXTENTS of EXPORT, a block twice", extents_of_export,
		FIELD(link_extents, extents[1].block), 101, END_EXPORT},
	{"EXTENTS of EXPORT, no such region", extents_of_export,
		FIELD(link_extents, extents[1].region), 1, END_EXPORT},
	{"EXPORT inode 0", make_export, FIELD(link_export, ino), 0, END_LINK},
	{"EXPORT too many extents", make_export, FIELD(link_export, extent_count), RIG_DATA + 1,
		END_LINK},
	{"EXPORT to nobody", make_export, FIELD(link_export, uid), UINT32_MAX, END_LINK},
	{"EXPORT to no group", make_export, FIELD(link_export, gid), UINT32_MAX, END_LINK},
	{"EXPORT set-uid", make_export, FIELD(link_export, mode), 04600, END_LINK},
	{"EXPORT reserved", make_export, FIELD(link_export, reserved), 1, END_LINK},
	{"EXPORT asked for by no process", make_export, FIELD(link_export, asker_pid), 1ULL << 31,
		END_LINK},
	{"NODE asked for", make_node, FIELD(link_export, asker_pid), 1, END_LINK},
	{"NODE asked for by a user", make_node, FIELD(link_export, asker_uid), 1, END_LINK},
	{"UNEXPORT asked for by no process", make_unexport, FIELD(link_export, asker_pid),
		UINT32_MAX, END_LINK},
	{"NODE id", make_node, FIELD(link_header, id), 1, END_LINK},
	{"NODE inode 0", make_node, FIELD(link_export, ino), 0, END_LINK},
	{"NODE of what is not granted", make_node, FIELD(link_export, ino), LIED_ONLY, END_NOTHING},
	{"NODE epoch", make_node, FIELD(link_export, epoch), 1, END_LINK},
	{"NODE extents", make_node, FIELD(link_export, extent_count), 1, END_LINK},
	{"NODE to nobody", make_node, FIELD(link_export, uid), UINT32_MAX, END_LINK},
	{"NODE to no group", make_node, FIELD(link_export, gid), UINT32_MAX, END_LINK},
	{"NODE a mode of a file", make_node, FIELD(link_export, mode), 0100600, END_LINK},
	{"NODE reserved", make_node, FIELD(link_export, reserved), 1, END_LINK},
	{"UNEXPORT inode 0", make_unexport, FIELD(link_export, ino), 0, END_LINK},
	{"UNEXPORT epoch", make_unexport, FIELD(link_export, epoch), 1, END_LINK},
	{"UNEXPORT extents", make_unexport, FIELD(link_export, extent_count), 1, END_LINK},
	{"UNEXPORT uid", make_unexport, FIELD(link_export, uid), 1, END_LINK},
	{"UNEXPORT gid", make_unexport, FIELD(link_export, gid), 1, END_LINK},
	{"UNEXPORT mode", make_unexport, FIELD(link_export, mode), 1, END_LINK},
	{"UNEXPORT reserved", make_unexport, FIELD(link_export, reserved), 1, END_LINK},
	{"CONTENTS id", true_contents, FIELD(link_header, id), 0, END_LINK},
	{"CONTENTS inode 0", true_contents, FIELD(link_contents, ino), 0, END_LINK},
	{"CONTENTS too many extents", true_contents, FIELD(link_contents, extent_count),
		RIG_DATA + 1, END_LINK},
	{"CONTENTS extents without end", true_contents, FIELD(link_contents, extent_count),
		UINT64_MAX, END_LINK},
	{"CONTENTS of what a client was granted", contents_of_nothing, FIELD(link_contents, ino),
		GRANTED, END_CONTENTS},
	{"CONTENTS of an empty file that a client has", contents_of_nothing,
		FIELD(link_contents, ino), EMPTY, END_CONTENTS},
	{"EXTENTS of CONTENTS, id", extents_of_contents, FIELD(link_header, id), 1, END_LINK},
	{"EXTENTS of CONTENTS, another inode", extents_of_contents, FIELD(link_extents, ino),
		GRANTED, END_LINK},
	{"EXTENTS of CONTENTS, a granted block", extents_of_contents,
		FIELD(link_extents, extents[0].block), 13, END_CONTENTS},
	{"EXTENTS of CONTENTS, metadata", extents_of_contents,
		FIELD(link_extents, extents[0].block), RIG_FIRST_DATA - 1, END_CONTENTS},
	{"EXTENTS of CONTENTS, a block twice", extents_of_contents,
		FIELD(link_extents, extents[1].block), 101, END_CONTENTS},
	{"EXTENTS of CONTENTS, no such region", extents_of_contents,
		FIELD(link_extents, extents[1].region), 1, END_CONTENTS},
};

/* Little-endian, as the wire is; the tests run on nothing else. */
static void tell(struct truth *t, const struct lie *lie)
{
	struct link_header h = {.size = put_le32((uint32_t)t->size),
		.opcode = put_le16(t->opcode),
		.id = put_le64(id_of(t))};

	if (lie->offset == SIZE) {
		t->size += lie->value;
		h.size = put_le32((uint32_t)t->size);
	}
	memcpy(&t->m, &h, sizeof(h));
	if (lie->offset != SIZE)
		memcpy((char *)&t->m + lie->offset, &lie->value, lie->size);
	cr_assert_eq(packet_send(rig.worker, &t->m, t->size, NULL, 0, true), 0);
}

static void expect_done(int error)
{
	struct link_done m;

	rig_expect(&rig, &m, sizeof(m), LINK_DONE);
	cr_expect_eq((int)get_le32(m.error), error);
}

static void expect_end(enum end end)
{
	struct link_exported exported;
	struct link_contents_given given;
	struct link_check check;

	switch (end) {
	case END_LINK:
		rig_expect_link_closed(&rig);
		break;
	case END_DONE:
		expect_done(EUCLEAN);
		break;
	case END_REFUSED:
		rig_expect_refused(client, 1, EUCLEAN, GM_REASON_RECORD);
		break;
	case END_EXPORT:
		rig_expect(&rig, &exported, sizeof(exported), LINK_EXPORTED);
		cr_expect_eq((int)get_le32(exported.error), EUCLEAN);
		break;
	case END_CONTENTS:
		rig_expect(&rig, &given, sizeof(given), LINK_CONTENTS_GIVEN);
		cr_expect_eq((int)get_le32(given.error), EUCLEAN);
		break;
	case END_NOTHING: /* the next answer is that to the next question */
		check = rig_check(&rig, GRANTED);
		cr_expect_eq(get_le16(check.header.opcode), LINK_BUSY);
		break;
	}
}

/* A helper that has just begun, and knows of none before it, so that no lie is explained by one
 * before; and whose log has room. */
static void start_anew(void)
{
	cr_assert_eq(rig_stop(&rig), 0);
	rig_forget_notes(&rig);
	rig_start(&rig);
	rig.epoch = 0;
}

static void expose(const struct lie *lie, struct truth (*make)(void))
{
	struct truth t = make();
	unsigned before;

	/* It has met an honest worker before, which is how it knows what CONFIG must say. */
	reach(STAGE_UP);
	if (t.stage != STAGE_UP)
		reach(t.stage);
	before = rig_count_log(&rig, "refusal of=worker");
	tell(&t, lie);
	expect_end(lie->end);
	cr_expect(getenv("GM_VERBOSE") || rig_count_log(&rig, "refusal of=worker") == before + 1,
		"%s: it is logged, once", lie->name);
	client = close_fd(client);
	/* And the truth again, over a new link. */
	rig.epoch += 2000; /* above what a lie may have named */
	rig_bring_up(&rig);
	serve_honestly();
}

Test(helper_lies, each_field_of_each_message_is_checked)
{
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		fprintf(stderr, "%s\n", lies[i].name);
		start_anew();
		expose(&lies[i], lies[i].make);
	}
}

/* One that makes one of each message, for what all have in common. */
static struct truth (*const messages[])(void) = {true_config, true_held, true_resumed, true_grant,
	true_refuse, extents_of_held, extents_of_grant, true_scrub, true_zero, true_check,
	true_revoke, true_holders, make_export, make_node, make_unexport, true_contents,
	extents_of_contents};

Test(helper_lies, the_header_of_each_message_is_checked)
{
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		start_anew();
		for (size_t j = 0; j < ARRAY_SIZE(lies_of_headers); j++) {
			fprintf(stderr, "message %zu: %s\n", i, lies_of_headers[j].name);
			expose(&lies_of_headers[j], messages[i]);
		}
	}
}

/* Of which the helper has no other word: it must make sense by itself. */
Test(helper_lies, the_first_config_is_checked)
{
	static const struct lie cases[] = {
		{"another version", NULL, FIELD(link_config, version), 2, END_LINK},
		{"no regions", NULL, FIELD(link_config, region_count), 0, END_LINK},
		{"more regions", NULL, FIELD(link_config, region_count), 2, END_LINK},
		{"data at the first block", NULL, FIELD(link_config, regions[0].first_data), 0,
			END_LINK},
		{"data far away", NULL, FIELD(link_config, regions[0].first_data), UINT64_MAX,
			END_LINK},
		{"data to the last block", NULL, FIELD(link_config, regions[0].data_blocks),
			RIG_BLOCKS - RIG_FIRST_DATA, END_LINK},
		{"data past the end", NULL, FIELD(link_config, regions[0].data_blocks), UINT64_MAX,
			END_LINK},
		{"another region", NULL, FIELD(link_config, regions[1].first_data), 1, END_LINK},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct truth t = true_config();
		fprintf(stderr, "%s\n", cases[i].name);
		rig_connect(&rig);
		tell(&t, &cases[i]);
		rig_expect_link_closed(&rig);
		cr_expect(getenv("GM_VERBOSE") ||
			  rig_count_log(&rig, "refusal of=worker message=1 ") == i + 1);
	}
	rig_bring_up(&rig);
	serve_honestly();
}
