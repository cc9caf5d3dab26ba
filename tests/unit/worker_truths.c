// SPDX-License-Identifier: MIT
#include "worker_truths.h"

#include <errno.h>

#include "helper_rig.h"
#include "util/le.h"

/* What the messages with extents are about. */
static const struct rig_extent fresh[] = {{0, 100, 2}, {2, 110, 2}};

static struct truth truth(uint16_t opcode, enum stage stage, size_t size)
{
	return (struct truth){.opcode = opcode, .stage = stage, .size = size};
}

struct truth true_config(void)
{
	struct truth t = truth(LINK_CONFIG, STAGE_NEW, sizeof(t.m.config));

	t.m.config = (struct link_config){.version = put_le32(LINK_VERSION),
		.region_count = put_le32(1),
		.uuid = {1, 2, 3},
		.regions[0] = {put_le64(RIG_FIRST_DATA), put_le64(RIG_DATA)}};
	return t;
}

struct truth true_held(void)
{
	struct truth t = truth(LINK_HELD, STAGE_RESUMING, sizeof(t.m.held));

	t.m.held = (struct link_held){
		.ino = put_le64(LIED_ONLY), .epoch = put_le64(1), .extent_count = put_le64(2)};
	return t;
}

struct truth true_resumed(void)
{
	return truth(LINK_RESUMED, STAGE_RESUMING, sizeof(struct link_plain));
}

struct truth true_grant(void)
{
	struct truth t = truth(LINK_GRANT, STAGE_ASKED, sizeof(t.m.grant));

	t.m.grant = (struct link_grant){.ino = put_le64(LIED_ONLY),
		.epoch = put_le64(1000),
		.size = put_le64(rig_size(fresh, 2)),
		.extent_count = put_le64(2),
		.access = put_le32(RW)};
	return t;
}

struct truth true_grant_of_nothing(void)
{
	struct truth t = true_grant();

	t.m.grant.ino = put_le64(EMPTY);
	t.m.grant.extent_count = put_le64(0);
	return t;
}

struct truth true_refuse(void)
{
	struct truth t = truth(LINK_REFUSE, STAGE_ASKED, sizeof(t.m.refuse));

	t.m.refuse = (struct link_refuse){
		.error = put_le32(EKEYREJECTED), .reason = put_le32(GM_REASON_TICKET)};
	return t;
}

static struct truth true_extents(enum stage stage)
{
	struct truth t = truth(LINK_EXTENTS, stage, link_extents_size(2));

	t.m.extents.ino = put_le64(LIED_ONLY);
	t.m.extents.count = put_le32(2);
	for (size_t i = 0; i < 2; i++)
		t.m.extents.extents[i] = (struct gm_extent){.ino = put_le64(LIED_ONLY),
			.file_block = put_le64(fresh[i].file_block),
			.block = put_le64(fresh[i].block),
			.count = put_le32(fresh[i].count)};
	return t;
}

struct truth true_scrub(void)
{
	struct truth t = truth(LINK_SCRUB, STAGE_UP, sizeof(t.m.scrub));

	t.m.scrub = (struct link_scrub){.block = put_le64(200), .count = put_le32(2)};
	return t;
}

struct truth true_zero(void)
{
	struct truth t = truth(LINK_ZERO, STAGE_UP, sizeof(t.m.zero));

	t.m.zero = (struct link_zero){
		.offset = put_le64(200 * GM_BLOCK_SIZE + 4096), .length = put_le32(4096)};
	return t;
}

struct truth true_check(void)
{
	struct truth t = truth(LINK_CHECK, STAGE_UP, sizeof(t.m.check));

	t.m.check = (struct link_check){.ino = put_le64(GRANTED), .epoch = put_le64(1)};
	return t;
}

struct truth true_revoke(void)
{
	struct truth t = truth(LINK_REVOKE, STAGE_UP, sizeof(t.m.revoke));

	t.m.revoke = (struct link_revoke){.ino = put_le64(LIED_ONLY)};
	return t;
}

struct truth true_hand_over(void)
{
	struct truth t = truth(LINK_HAND_OVER, STAGE_UP, sizeof(t.m.hand_over));

	t.m.hand_over =
		(struct link_hand_over){.from = put_le64(GRANTED), .ino = put_le64(LIED_ONLY)};
	return t;
}

struct truth true_holders(void)
{
	return truth(LINK_HOLDERS, STAGE_UP, sizeof(struct link_plain));
}

static struct truth true_export(uint16_t opcode)
{
	struct truth t = truth(opcode, STAGE_UP, sizeof(t.m.export));

	t.m.export =
		(struct link_export){.ino = put_le64(opcode == LINK_EXPORT ? LIED_ONLY : GRANTED)};
	if (opcode == LINK_EXPORT) {
		t.m.export.epoch = put_le64(1000);
		t.m.export.extent_count = put_le64(2);
	}
	if (opcode != LINK_UNEXPORT) {
		t.m.export.uid = put_le32(1000);
		t.m.export.gid = put_le32(100);
		t.m.export.mode = put_le32(0600);
	}
	return t;
}

struct truth true_contents(void)
{
	struct truth t = truth(LINK_CONTENTS, STAGE_UP, sizeof(t.m.contents));

	t.m.contents = (struct link_contents){
		.ino = put_le64(LIED_ONLY), .epoch = put_le64(1000), .extent_count = put_le64(2)};
	return t;
}

struct truth extents_of_held(void)
{
	return true_extents(STAGE_HELD);
}

struct truth extents_of_grant(void)
{
	return true_extents(STAGE_GRANT);
}

struct truth extents_of_export(void)
{
	return true_extents(STAGE_EXPORT);
}

struct truth extents_of_contents(void)
{
	return true_extents(STAGE_CONTENTS);
}

struct truth contents_of_nothing(void)
{
	struct truth t = true_contents();

	t.m.contents.extent_count = put_le64(0);
	return t;
}

struct truth export_of_nothing(void)
{
	struct truth t = true_export(LINK_EXPORT);

	t.m.export.ino = put_le64(EMPTY);
	t.m.export.extent_count = put_le64(0);
	return t;
}

struct truth make_export(void)
{
	return true_export(LINK_EXPORT);
}

struct truth make_node(void)
{
	return true_export(LINK_NODE);
}

struct truth make_unexport(void)
{
	return true_export(LINK_UNEXPORT);
}
