// SPDX-License-Identifier: MIT
/*
 * CONFIG and RESUMED: which regions there are, and that the worker has said all that it knows. The
 * first CONFIG is for good.
 */
#include "helper/orders_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "helper/server.h"

static int check_config(const struct server *s, const struct link_config *m, struct problem *why)
{
	static const uint8_t zero[sizeof(m->regions)];

	if (get_le32(m->version) != LINK_VERSION)
		return problem(why, EPROTONOSUPPORT,
			"the worker speaks version %u of the link, the helper version %u: they are "
			"not of one installation",
			get_le32(m->version), LINK_VERSION);
	if (get_le32(m->region_count) != s->region_count)
		return problem(why, EPROTO, "the worker has %u regions, the helper was given %u",
			get_le32(m->region_count), s->region_count);
	for (unsigned i = 0; i < s->region_count; i++) {
		uint64_t blocks = s->regions[i].size >> GM_BLOCK_SHIFT;
		uint64_t first = get_le64(m->regions[i].first_data);
		uint64_t count = get_le64(m->regions[i].data_blocks);
		/* The first and the last block of every region are never a file's. */
		if (first > blocks || count > blocks - first ||
			(count > 0 && (first == 0 || first + count == blocks)))
			return problem(why, EPROTO,
				"data blocks %" PRIu64 "+%" PRIu64
				" of region %s, which has %" PRIu64 " blocks",
				first, count, s->regions[i].name, blocks);
	}
	if (memcmp(&m->regions[s->region_count], zero,
		    sizeof(m->regions[0]) * (GM_REGIONS_MAX - s->region_count)) != 0)
		return problem(why, EPROTO, "a configuration of regions that do not exist");
	return 0;
}

/* Whatever the worker is going to say: what the helper before this one has granted is held. */
static int restore_noted(struct server *s, struct problem *why)
{
	struct record_inode *inode;
	int r = record_restore(&s->record, why);

	if (r < 0)
		return r;
	LIST_FOREACH (inode, &s->record.inodes, by_record) {
		struct watch *w = holders_watch(inode);
		if (!w)
			return problem_errno(why, ENOMEM, "adopting inode %" PRIu64, inode->ino);
		holders_adopt(s, w);
	}
	return 0;
}

static int configure(struct server *s, const struct link_config *m, struct problem *why)
{
	for (unsigned i = 0; i < s->region_count; i++) {
		int r = record_add_region(&s->record, s->regions[i].size >> GM_BLOCK_SHIFT,
			get_le64(m->regions[i].first_data), get_le64(m->regions[i].data_blocks),
			s->ledgers[i].entries);
		if (r < 0) {
			record_deinit(&s->record);
			return problem_errno(why, -r, "recording region %s", s->regions[i].name);
		}
	}
	int r = restore_noted(s, why);
	if (r < 0) {
		holders_free_all(s);
		record_deinit(&s->record);
		return r;
	}
	s->link.config = *m;
	s->link.configured = true;
	return 0;
}

/* All of the first CONFIG must come again, but for the header's id. */
static bool is_same_config(const struct link_config *a, const struct link_config *b)
{
	return memcmp(&a->version, &b->version,
		       sizeof(*a) - offsetof(struct link_config, version)) == 0;
}

int orders_take_config(struct server *s, const struct link_config *m, struct problem *why)
{
	const struct link_plain ready = {.header = link_header_make(sizeof(ready), LINK_READY, 0)};
	int r = check_config(s, m, why);

	if (r < 0)
		return r;
	if (!s->link.configured)
		r = configure(s, m, why);
	else if (!is_same_config(&s->link.config, m))
		r = problem(why, EUCLEAN,
			"the worker's configuration is not the one that the helper has known");
	if (r < 0)
		return r;
	s->link.state = LINK_STATE_RESUMING;
	link_send(s, &ready.header);
	return 0;
}

int orders_take_resumed(struct server *s, struct problem *why)
{
	if (devices_are_ready(s)) {
		link_bring_up(s);
		return 0;
	}
	if (devices_begin(s) < 0)
		return problem_errno(why, ENOMEM, "looking for devices");
	link_adopting(s);
	return 0;
}
