// SPDX-License-Identifier: MIT
#include "fuse/grants_send.h"

#include <string.h>

#include "proto/link.h"
#include "util/le.h"

void grants_send_plain(struct outbox *o, unsigned opcode)
{
	struct link_plain m = {.header = link_header_make(sizeof(m), opcode, 0)};

	outbox_put(o, &m, sizeof(m));
}

void grants_send_config(struct outbox *o, const struct store_super *super)
{
	struct link_config m = {
		.header = link_header_make(sizeof(m), LINK_CONFIG, 0),
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

/*
 * The parts of a file that a message is about, one after the other. To map: what lies within its
 * size; fallocate(2) may have taken more. That somebody may hold: what is clean of it, since a
 * grant leaves only when all is. What came later and is dirty must not pass for held, or the helper
 * would refuse to zero it.
 */
struct parts {
	const struct inode *inode;
	const struct alloc *alloc; /* NULL: dirty ones too */
	uint32_t extent;
	uint32_t done; /* blocks of it */
};

static uint32_t left_within_size(const struct parts *p, const struct file_extent *f)
{
	uint64_t end = (p->inode->attr.size + GM_BLOCK_SIZE - 1) >> GM_BLOCK_SHIFT;
	uint64_t at = f->file_block + p->done;

	if (at >= end)
		return 0;
	return end - at < f->count - p->done ? (uint32_t)(end - at) : f->count - p->done;
}

static bool next_part(struct parts *p, struct file_extent *ret)
{
	while (p->extent < p->inode->extent_count) {
		const struct file_extent *f = &p->inode->extents[p->extent];
		struct alloc_extent a = {f->block + p->done, f->region, left_within_size(p, f)};
		bool clean = true;

		if (a.count == 0)
			return false; /* all that follows lies past the end */
		if (p->alloc)
			a.count = alloc_clean_run(p->alloc, &a, &clean);
		*ret = (struct file_extent){f->file_block + p->done, a.block, a.count, a.region};
		p->done += a.count;
		if (p->done == f->count) {
			p->extent++;
			p->done = 0;
		}
		if (clean)
			return true;
	}
	return false;
}

static uint64_t count_parts(struct parts p)
{
	struct file_extent e;
	uint64_t n = 0;

	while (next_part(&p, &e))
		n++;
	return n;
}

static struct gm_extent extent_of(const struct inode *inode, const struct file_extent *e)
{
	return (struct gm_extent){
		.ino = put_le64(inode->attr.ino),
		.file_block = put_le64(e->file_block),
		.block = put_le64(e->block),
		.count = put_le32(e->count),
		.region = put_le16((uint16_t)e->region),
	};
}

static void send_extents(struct outbox *o, struct parts p, uint64_t id)
{
	struct file_extent e;
	bool more = next_part(&p, &e);

	while (more) {
		struct link_extents m;
		uint32_t n = 0;

		for (; n < LINK_EXTENTS_MAX && more; n++) {
			m.extents[n] = extent_of(p.inode, &e);
			more = next_part(&p, &e);
		}
		m.header = link_header_make(link_extents_size(n), LINK_EXTENTS, id);
		m.ino = put_le64(p.inode->attr.ino);
		m.count = put_le32(n);
		m.reserved = put_le32(0);
		outbox_put(o, &m, link_extents_size(n));
	}
}

void grants_send_held(
	struct outbox *o, const struct inode *inode, const struct alloc *alloc, uint64_t epoch)
{
	struct parts p = {.inode = inode, .alloc = alloc};
	struct link_held m = {
		.header = link_header_make(sizeof(m), LINK_HELD, 0),
		.ino = put_le64(inode->attr.ino),
		.epoch = put_le64(epoch),
		.extent_count = put_le64(count_parts(p)),
	};

	outbox_put(o, &m, sizeof(m));
	send_extents(o, p, 0);
}

void grants_send_grant(
	struct outbox *o, const struct inode *inode, uint64_t epoch, uint64_t id, uint32_t access)
{
	struct parts p = {.inode = inode};
	struct link_grant m = {
		.header = link_header_make(sizeof(m), LINK_GRANT, id),
		.ino = put_le64(inode->attr.ino),
		.epoch = put_le64(epoch),
		.size = put_le64(inode->attr.size),
		.extent_count = put_le64(count_parts(p)),
		.access = put_le32(access),
		.owner = put_le32(inode->attr.uid),
	};

	outbox_put(o, &m, sizeof(m));
	send_extents(o, p, id);
}

void grants_send_export(struct outbox *o, unsigned opcode, const struct inode *inode, uint32_t mode,
	uint64_t epoch, uint64_t id, const struct asker *asker)
{
	struct parts p = {.inode = inode};
	struct link_export m = {
		.header = link_header_make(sizeof(m), opcode, id),
		.ino = put_le64(inode->attr.ino),
	};

	if (asker) {
		m.asker_pid = put_le32((uint32_t)asker->pid);
		m.asker_uid = put_le32(asker->uid);
	}
	if (opcode != LINK_UNEXPORT) {
		m.uid = put_le32(inode->attr.uid);
		m.gid = put_le32(inode->attr.gid);
		m.mode = put_le32(mode);
	}
	if (opcode == LINK_EXPORT) {
		m.epoch = put_le64(epoch);
		m.extent_count = put_le64(count_parts(p));
	}
	outbox_put(o, &m, sizeof(m));
	if (opcode == LINK_EXPORT)
		send_extents(o, p, id);
}

void grants_send_contents(
	struct outbox *o, const struct inode *inode, uint64_t epoch, uint64_t id, uint64_t from)
{
	struct parts p = {.inode = inode};
	struct link_contents m = {
		.header = link_header_make(sizeof(m), LINK_CONTENTS, id),
		.ino = put_le64(inode->attr.ino),
		.epoch = put_le64(epoch),
		.extent_count = put_le64(count_parts(p)),
		.from = put_le64(from),
	};

	outbox_put(o, &m, sizeof(m));
	send_extents(o, p, id);
}

void grants_send_refuse(struct outbox *o, uint64_t id, int error, enum gm_reason reason)
{
	struct link_refuse m = {
		.header = link_header_make(sizeof(m), LINK_REFUSE, id),
		.error = put_le32((uint32_t)-error),
		.reason = put_le32(reason),
	};

	outbox_put(o, &m, sizeof(m));
}

void grants_send_check(struct outbox *o, uint64_t ino, uint64_t epoch, unsigned flags)
{
	struct link_check m = {
		.header = link_header_make(sizeof(m), LINK_CHECK, 0),
		.ino = put_le64(ino),
		.epoch = put_le64(epoch),
		.flags = put_le32(flags),
	};

	outbox_put(o, &m, sizeof(m));
}

void grants_send_revoke(struct outbox *o, uint64_t ino, bool kill, uid_t uid, uint64_t id)
{
	struct link_revoke m = {
		.header = link_header_make(sizeof(m), LINK_REVOKE, id),
		.ino = put_le64(ino),
		.flags = put_le32(kill ? LINK_REVOKE_KILL : 0),
		.uid = put_le32(uid),
	};

	outbox_put(o, &m, sizeof(m));
}

void grants_send_hand_over(struct outbox *o, const struct ns_heritage *h, uint64_t epoch)
{
	struct link_hand_over m = {
		.header = link_header_make(sizeof(m), LINK_HAND_OVER, 0),
		.from = put_le64(h->from),
		.ino = put_le64(h->ino),
		.epoch = put_le64(epoch),
		.file_block = put_le64(h->file_block),
	};

	outbox_put(o, &m, sizeof(m));
}
