// SPDX-License-Identifier: MIT
/*
 * What the tests of bad input do to a region that is not mounted. Flipping bytes they can do by
 * themselves, if they know the places; what a newer version would have written needs a good
 * checksum.
 *
 *   damage places REGION               prints JSON: where the structures lie, in bytes
 *   damage incompat REGION BITS        sets feature bits in both superblocks
 *   damage ro-compat REGION BITS
 *   damage major REGION NUMBER         another format version
 *   damage stamp-region REGION NUMBER  the last stamp is another region's
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/codec.h"
#include "store/store.h"

struct target {
	uint8_t *bytes;
	uint64_t size;
};

static int fail(const char *what)
{
	(void)fprintf(stderr, "damage: %s: %s\n", what, strerror(errno));
	return 1;
}

static struct gm_super *super_at(const struct target *t, uint64_t offset)
{
	return (struct gm_super *)(void *)(t->bytes + offset);
}

static int print_places(const struct target *t, uint64_t unused)
{
	const struct gm_super *s = super_at(t, GM_SUPER_A_OFFSET);
	struct codec_word slot, tail;

	(void)unused;
	if (!codec_decode_slot_word(codec_read_word(t->bytes + GM_SLOT_WORD_A_OFFSET), &slot) ||
		!codec_decode_tail_word(codec_read_word(t->bytes + GM_TAIL_WORD_OFFSET), &tail)) {
		errno = EUCLEAN;
		return fail("the words in force");
	}
	printf("{\"super_a\": %u, \"super_b\": %u, \"super_size\": %zu,\n", GM_SUPER_A_OFFSET,
		GM_SUPER_B_OFFSET, sizeof(struct gm_super));
	printf(" \"slot_word_a\": %u, \"slot_word_b\": %u, \"tail_word\": %u,\n",
		GM_SLOT_WORD_A_OFFSET, GM_SLOT_WORD_B_OFFSET, GM_TAIL_WORD_OFFSET);
	printf(" \"journal\": %llu, \"journal_used\": %llu, \"checkpoint\": %llu,\n",
		(unsigned long long)get_le64(s->journal_offset), (unsigned long long)tail.value,
		(unsigned long long)get_le64(s->slot_offset[slot.value]));
	printf(" \"first_stamp\": %u, \"last_stamp\": %llu}\n", GM_STAMP_OFFSET,
		(unsigned long long)(t->size - GM_BLOCK_SIZE + GM_STAMP_OFFSET));
	return 0;
}

/* The two copies say the same, so that nothing can be healed from the other one. */
static void write_both(const struct target *t, struct gm_super *s)
{
	s->checksum = codec_seal(s, sizeof(*s));
	memcpy(t->bytes + GM_SUPER_A_OFFSET, s, sizeof(*s));
	memcpy(t->bytes + GM_SUPER_B_OFFSET, s, sizeof(*s));
}

static int set_incompat(const struct target *t, uint64_t bits)
{
	struct gm_super s = *super_at(t, GM_SUPER_A_OFFSET);

	s.feature_incompat = put_le64(bits);
	write_both(t, &s);
	return 0;
}

static int set_ro_compat(const struct target *t, uint64_t bits)
{
	struct gm_super s = *super_at(t, GM_SUPER_A_OFFSET);

	s.feature_ro_compat = put_le64(bits);
	write_both(t, &s);
	return 0;
}

static int set_major(const struct target *t, uint64_t major)
{
	struct gm_super s = *super_at(t, GM_SUPER_A_OFFSET);

	s.major = put_le16((uint16_t)major);
	write_both(t, &s);
	return 0;
}

static int set_stamp_region(const struct target *t, uint64_t region)
{
	struct gm_stamp *stamp =
		(struct gm_stamp *)(void *)(t->bytes + t->size - GM_BLOCK_SIZE + GM_STAMP_OFFSET);

	stamp->region = put_le32((uint32_t)region);
	stamp->checksum = codec_seal(stamp, sizeof(*stamp));
	return 0;
}

static const struct {
	const char *name;
	int words;
	int (*run)(const struct target *t, uint64_t number);
} commands[] = {
	{"places", 3, print_places},
	{"incompat", 4, set_incompat},
	{"ro-compat", 4, set_ro_compat},
	{"major", 4, set_major},
	{"stamp-region", 4, set_stamp_region},
};

static int open_target(struct target *t, const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -1;
	t->size = (uint64_t)st.st_size;
	t->bytes = mmap(NULL, t->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return t->bytes == MAP_FAILED ? -1 : 0;
}

int main(int argc, char *argv[])
{
	struct target t;

	for (size_t i = 0; argc > 2 && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[1], commands[i].name) != 0 || argc != commands[i].words)
			continue;
		if (open_target(&t, argv[2]) < 0)
			return fail(argv[2]);
		return commands[i].run(&t, argc > 3 ? strtoull(argv[3], NULL, 0) : 0);
	}
	(void)fprintf(stderr, "damage: no such command\n");
	return 2;
}
