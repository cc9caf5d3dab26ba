// SPDX-License-Identifier: MIT
#include "fuse/grants_send.h"

#include <string.h>

#include "proto/link.h"
#include "util/le.h"

static struct link_header header(size_t size, unsigned opcode, uint64_t id)
{
	return (struct link_header){
		.size = put_le32((uint32_t)size),
		.opcode = put_le16((uint16_t)opcode),
		.id = put_le64(id),
	};
}

void grants_send_plain(struct outbox *o, unsigned opcode)
{
	struct link_plain m = {.header = header(sizeof(m), opcode, 0)};

	outbox_put(o, &m, sizeof(m));
}

void grants_send_config(struct outbox *o, const struct store_super *super)
{
	struct link_config m = {
		.header = header(sizeof(m), LINK_CONFIG, 0),
		.version = put_le32(LINK_VERSION),
		.region_count = put_le32(super->region_count),
	};

	memcpy(m.uuid, super->uuid, sizeof(m.uuid));
	for (uint32_t i = 0; i < super->region_count; i++) {
		m.regions[i].first_data = put_le64(super->first_data[i]);
		m.regions[i].data_blocks = put_le64(super->data_blocks[i]);
	}
	outbox_put(o, &m, sizeof(m));
}

static void send_extents(struct outbox *o, const struct inode *inode, uint64_t id)
{
	for (uint32_t i = 0; i < inode->extent_count;) {
		struct link_extents m;
		uint32_t n = 0;

		for (; n < LINK_EXTENTS_MAX && i < inode->extent_count; n++, i++) {
			const struct file_extent *f = &inode->extents[i];

			m.extents[n] = (struct gm_extent){
				.ino = put_le64(inode->attr.ino),
				.file_block = put_le64(f->file_block),
				.block = put_le64(f->block),
				.count = put_le32(f->count),
				.region = put_le16((uint16_t)f->region),
			};
		}
		m.header = header(link_extents_size(n), LINK_EXTENTS, id);
		m.ino = put_le64(inode->attr.ino);
		m.count = put_le32(n);
		m.reserved = put_le32(0);
		outbox_put(o, &m, link_extents_size(n));
	}
}

void grants_send_held(struct outbox *o, const struct inode *inode, uint64_t epoch)
{
	struct link_held m = {
		.header = header(sizeof(m), LINK_HELD, 0),
		.ino = put_le64(inode->attr.ino),
		.epoch = put_le64(epoch),
		.extent_count = put_le64(inode->extent_count),
	};

	outbox_put(o, &m, sizeof(m));
	send_extents(o, inode, 0);
}

void grants_send_grant(
	struct outbox *o, const struct inode *inode, uint64_t epoch, uint64_t id, uint32_t access)
{
	struct link_grant m = {
		.header = header(sizeof(m), LINK_GRANT, id),
		.ino = put_le64(inode->attr.ino),
		.epoch = put_le64(epoch),
		.size = put_le64(inode->attr.size),
		.extent_count = put_le64(inode->extent_count),
		.access = put_le32(access),
	};

	outbox_put(o, &m, sizeof(m));
	send_extents(o, inode, id);
}

void grants_send_export(struct outbox *o, unsigned opcode, const struct inode *inode,
	uint64_t epoch, uint64_t id, const struct asker *asker)
{
	struct link_export m = {
		.header = header(sizeof(m), opcode, id),
		.ino = put_le64(inode->attr.ino),
	};

	if (asker) {
		m.asker_pid = put_le32((uint32_t)asker->pid);
		m.asker_uid = put_le32(asker->uid);
	}
	if (opcode != LINK_UNEXPORT) {
		m.uid = put_le32(inode->attr.uid);
		m.gid = put_le32(inode->attr.gid);
		m.mode = put_le32(inode->attr.mode & 0777);
	}
	if (opcode == LINK_EXPORT) {
		m.epoch = put_le64(epoch);
		m.extent_count = put_le64(inode->extent_count);
	}
	outbox_put(o, &m, sizeof(m));
	if (opcode == LINK_EXPORT)
		send_extents(o, inode, id);
}

void grants_send_refuse(struct outbox *o, uint64_t id, int error, enum gm_reason reason)
{
	struct link_refuse m = {
		.header = header(sizeof(m), LINK_REFUSE, id),
		.error = put_le32((uint32_t)-error),
		.reason = put_le32(reason),
	};

	outbox_put(o, &m, sizeof(m));
}

void grants_send_check(struct outbox *o, uint64_t ino, uint64_t epoch, unsigned flags)
{
	struct link_check m = {
		.header = header(sizeof(m), LINK_CHECK, 0),
		.ino = put_le64(ino),
		.epoch = put_le64(epoch),
		.flags = put_le32(flags),
	};

	outbox_put(o, &m, sizeof(m));
}

void grants_send_revoke(struct outbox *o, uint64_t ino, bool kill, uid_t uid, uint64_t id)
{
	struct link_revoke m = {
		.header = header(sizeof(m), LINK_REVOKE, id),
		.ino = put_le64(ino),
		.flags = put_le32(kill ? LINK_REVOKE_KILL : 0),
		.uid = put_le32(uid),
	};

	outbox_put(o, &m, sizeof(m));
}
