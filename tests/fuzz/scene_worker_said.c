// SPDX-License-Identifier: MIT
/* What the worker has said to the helper, lies too, as far as what must hold follows from it. */
#include <string.h>

#include "scene.h"
#include "scene_worker.h"
#include "util/le.h"

static uint64_t count_announced(const union link_from_worker *m)
{
	switch (get_le16(m->header.opcode)) {
	case LINK_HELD:
		return get_le64(m->held.extent_count);
	case LINK_GRANT:
		return get_le64(m->grant.extent_count);
	case LINK_EXPORT:
		return get_le64(m->export.extent_count);
	case LINK_CONTENTS:
		return get_le64(m->contents.extent_count);
	default:
		return 0;
	}
}

static void note_config(const struct link_config *m)
{
	for (unsigned n = 0; n < SCENE_REGIONS && !worker.configured; n++) {
		uint64_t first = get_le64(m->regions[n].first_data);
		uint64_t count = get_le64(m->regions[n].data_blocks);

		if (first > SCENE_BLOCKS || count > SCENE_BLOCKS - first)
			continue; /* which must be refused */
		if (first < worker.data[n].first)
			worker.data[n].first = first;
		if (first + count > worker.data[n].end)
			worker.data[n].end = first + count;
	}
}

static void note_grant(const struct link_grant *m)
{
	uint64_t epoch = get_le64(m->epoch);

	if (worker.lies && epoch != UINT64_MAX)
		epoch++;
	worker.granted[get_le64(m->ino) - 2] = epoch;
}

bool worker_says_data(unsigned region, uint64_t block)
{
	return block >= worker.data[region].first && block < worker.data[region].end;
}

/* A ticket is answered; extents are to come, or have come. What is not as it must be ends the link,
 * and all of that. */
void worker_note_said(const void *message, size_t size)
{
	union link_from_worker m;
	uint64_t *redeem;
	uint32_t count;

	memset(&m, 0, sizeof(m));
	memcpy(&m, message, size < sizeof(m) ? size : sizeof(m));
	redeem = get_le64(m.header.id) ? find_redeem(get_le64(m.header.id)) : NULL;
	if (redeem && (get_le16(m.header.opcode) == LINK_GRANT ||
			      get_le16(m.header.opcode) == LINK_REFUSE))
		*redeem = 0;
	if (get_le16(m.header.opcode) == LINK_CONFIG)
		note_config(&m.config);
	if (get_le16(m.header.opcode) == LINK_GRANT && get_le64(m.grant.ino) - 2 < FILES)
		note_grant(&m.grant);
	if (get_le16(m.header.opcode) != LINK_EXTENTS) {
		worker.announced = count_announced(&m);
		return;
	}
	count = get_le32(m.extents.count);
	worker.announced -= count < worker.announced ? count : worker.announced;
}
