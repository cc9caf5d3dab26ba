// SPDX-License-Identifier: MIT
/* Who reaches what, in truth; and what a look into /proc shows of it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scene.h"
#include "util/cleanup.h"

void persons_init(void)
{
	for (unsigned n = 0; n < SCENE_PERSONS; n++) {
		struct person *p = &scene.persons[n];

		memset(p, 0, sizeof(*p));
		p->lives = true;
		p->uid = n < 3 ? 0 : 1000 + n % 2;
		if (pipe2(p->life, O_CLOEXEC) < 0)
			scene_die("a process", strerror(errno));
	}
}

void persons_deinit(void)
{
	for (unsigned n = 0; n < SCENE_PERSONS; n++) {
		person_end(&scene.persons[n]);
		(void)close_fd(scene.persons[n].life[0]);
	}
}

pid_t person_pid(const struct person *p)
{
	return SCENE_PID + (pid_t)(p - scene.persons);
}

struct person *person_of(pid_t pid)
{
	struct person *p = &scene.persons[(unsigned)(pid - SCENE_PID) % SCENE_PERSONS];

	return pid >= SCENE_PID && pid < SCENE_PID + (int)SCENE_PERSONS && p->lives ? p : NULL;
}

void person_end(struct person *p)
{
	p->lives = false;
	p->life[1] = close_fd(p->life[1]);
	memset(p->blocks, 0, sizeof(p->blocks));
	memset(p->has_open, 0, sizeof(p->has_open));
}

void person_reaches(struct person *p, uint64_t ino, unsigned region, uint64_t block)
{
	char text[96];

	for (unsigned n = 0; n < SCENE_PERSONS && !scene.hands_on; n++) {
		const struct person *other = &scene.persons[n];

		if (!other->lives || other->blocks[region][block].ino == 0 ||
			other->blocks[region][block].ino == ino)
			continue;
		(void)snprintf(text, sizeof(text), "block %u:%u of %u and %u", region,
			(unsigned)block, (unsigned)ino, (unsigned)other->blocks[region][block].ino);
		scene_die("the clients of two inodes reach a block", text);
	}
	p->blocks[region][block].ino = ino;
}

/* Calls with each block that he reaches. */
static void each(struct person *p, void (*visit)(struct person *p, unsigned region, unsigned block))
{
	for (unsigned r = 0; r < SCENE_REGIONS; r++)
		for (unsigned b = 0; b < SCENE_BLOCKS; b++)
			if (p->blocks[r][b].ino != 0)
				visit(p, r, b);
}

static void map_block(struct person *p, unsigned region, unsigned block)
{
	p->blocks[region][block].mapped = true;
}

static void drop_unmapped(struct person *p, unsigned region, unsigned block)
{
	if (!p->blocks[region][block].mapped)
		p->blocks[region][block].ino = 0;
}

static bool has_any_open(const struct person *p)
{
	for (unsigned n = 0; n < ARRAY_SIZE(p->has_open); n++)
		if (p->has_open[n])
			return true;
	return false;
}

static void unmap_block(struct person *p, unsigned region, unsigned block)
{
	p->blocks[region][block].mapped = false;
	if (!has_any_open(p))
		p->blocks[region][block].ino = 0;
}

void person_map(struct person *p)
{
	if (has_any_open(p))
		each(p, map_block);
}

void person_close(struct person *p)
{
	memset(p->has_open, 0, sizeof(p->has_open));
	each(p, drop_unmapped);
}

void person_unmap(struct person *p)
{
	each(p, unmap_block);
}

void person_pass(const struct person *p, struct person *to)
{
	for (unsigned n = 0; n < ARRAY_SIZE(p->has_open); n++)
		to->has_open[n] |= p->has_open[n];
	for (unsigned r = 0; r < SCENE_REGIONS; r++)
		for (unsigned b = 0; b < SCENE_BLOCKS; b++)
			if (p->blocks[r][b].ino != 0) {
				person_reaches(to, p->blocks[r][b].ino, r, b);
				to->blocks[r][b].mapped |= p->blocks[r][b].mapped;
			}
}

bool persons_reach_block(unsigned region, uint64_t block)
{
	for (unsigned n = 0; n < SCENE_PERSONS; n++)
		if (scene.persons[n].lives && scene.persons[n].blocks[region][block].ino != 0)
			return true;
	return false;
}

bool persons_reach_inode(uint64_t ino)
{
	for (unsigned n = 0; n < SCENE_PERSONS; n++)
		for (unsigned r = 0; scene.persons[n].lives && r < SCENE_REGIONS; r++)
			for (unsigned b = 0; b < SCENE_BLOCKS; b++)
				if (scene.persons[n].blocks[r][b].ino == ino)
					return true;
	return false;
}

/* ---- /proc ---- */

static void add(struct scan_result *ret, struct scan_use use)
{
	struct scan_use *uses = reallocarray(ret->uses, ret->use_count + 1, sizeof(*uses));

	if (!uses)
		scene_die("no memory", "");
	ret->uses = uses;
	ret->uses[ret->use_count++] = use;
}

static void scan_region(struct scan_result *ret, const struct person *p, unsigned r)
{
	const struct scan_use use = {.pid = person_pid(p), .uid = p->uid, .target = r};

	if (p->has_open[r])
		add(ret, use);
	for (unsigned b = 0; b < SCENE_BLOCKS; b++)
		if (p->blocks[r][b].mapped) {
			struct scan_use mapped = use;
			mapped.mapped = mapped.writable = true;
			mapped.offset = b * GM_BLOCK_SIZE;
			mapped.length = GM_BLOCK_SIZE;
			add(ret, mapped);
		}
}

static bool maps_device(const struct person *p, unsigned id, uint64_t *offset)
{
	unsigned region;
	uint64_t block;

	for (*offset = 0; scene_devices_block(id, *offset, &region, &block);
		*offset += GM_BLOCK_SIZE)
		if (p->blocks[region][block].mapped)
			return true;
	return false;
}

bool person_has_device(const struct person *p, unsigned id)
{
	uint64_t offset;

	return p->lives && (p->has_open[SCENE_REGIONS + id] || maps_device(p, id, &offset));
}

static void scan_device(
	struct scan_result *ret, const struct person *p, unsigned target, unsigned id)
{
	struct scan_use use = {.pid = person_pid(p), .uid = p->uid, .target = target};

	if (p->has_open[SCENE_REGIONS + id])
		add(ret, use);
	if (maps_device(p, id, &use.offset)) {
		use.mapped = use.writable = true;
		use.length = GM_BLOCK_SIZE;
		add(ret, use);
	}
}

void persons_scan(const struct scan_options *o, struct scan_result *ret)
{
	for (unsigned n = 0; n < SCENE_PERSONS; n++)
		for (unsigned t = 0; scene.persons[n].lives && t < o->target_count; t++)
			if (o->targets[t].is_device)
				scan_device(ret, &scene.persons[n], t, o->targets[t].rdev_minor);
			else
				scan_region(ret, &scene.persons[n], t);
	ret->use_room = ret->use_count;
}
