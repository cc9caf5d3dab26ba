// SPDX-License-Identifier: MIT
#include "random.h"

#include <stdio.h>

#include "image.h"
#include "util/cleanup.h"

struct dice {
	uint64_t seed;
	uint64_t thrown;
};

static uint32_t below(struct dice *d, size_t n)
{
	return (uint32_t)(image_mix(d->seed, ++d->thrown) % n);
}

/* P: a path, Q: another one, D: a directory, N: a small number. The more often, the more likely. */
static const char *const forms[] = {
	"create P",
	"create P",
	"create P",
	"create Q",
	"mkdir D",
	"mkdir D",
	"unlink P",
	"unlink P",
	"rmdir D",
	"rename P Q",
	"rename P Q",
	"rename D D",
	"exchange P Q",
	"exchange P D",
	"noreplace P Q",
	"link P Q",
	"link P Q",
	"symlink P Q",
	"symlink Q long",
	"mknod P p",
	"mknod Q c",
	"chmod P",
	"chown P",
	"times P",
	"attribute P x",
	"attribute P y",
	"attribute P acl",
	"attribute D default",
	"attribute D acl",
	"attribute D quota 6M",
	"attribute P trusted",
	"attribute P pages",
	"no-attribute P x",
	"no-attribute D quota",
	"no-attribute P acl",
	"size P N",
	"size P N",
	"size P N",
	"size P N 777",
	"size P 0",
	"allocate P N N",
	"keep P N N",
	"punch P N N",
	"punch P N N",
	"punch-blocks P N N",
	"mark P",
	"mark D",
	"unmark D",
	"contents",
	"room N",
	"write P N N",
	"write P N N",
	"write P N N",
	"cut P N",
	"punch-units P N N",
	"trim",
	"open P",
	"close P",
	"hold P",
	"hold P",
	"unhold P",
	"export P",
	"unexport P",
	"clean P",
	"clean P",
	"stale P",
	"scrub N",
	"quarantine N",
	"release N",
	"poison 7",
	"dirty N",
	"checkpoint",
	"checkpoint",
	"freeze",
	"thaw",
	"reap",
	"mount",
	"replace",
	"reboot",
	"crash-kernel",
	"spare P",
	"keep-spare P N N",
	"grow N",
	"brink P",
	"huge P",
	"rot super-a",
	"rot word-b",
};

static const char *const paths[] = {"a", "b", "c", "d/a", "d/b", "e/long-name-that-takes-its-room"};
static const char *const directories[] = {"d", "e", "g"};

static size_t put(char *to, size_t size, const char *text)
{
	int n = snprintf(to, size, "%s", text);

	return n < 0 || (size_t)n >= size ? size - 1 : (size_t)n;
}

static size_t put_step(struct dice *d, char *to, size_t size)
{
	const char *form = forms[below(d, ARRAY_SIZE(forms))];
	size_t at = 0;

	for (; *form && at + 1 < size; form++) {
		char number[2] = {(char)('1' + below(d, 3)), '\0'}, letter[2] = {*form, '\0'};
		const char *text = *form == 'P' || *form == 'Q' ? paths[below(d, ARRAY_SIZE(paths))]
				   : *form == 'D' ? directories[below(d, ARRAY_SIZE(directories))]
				   : *form == 'N' ? number
						  : letter;

		at += put(to + at, size - at, text);
	}
	return at;
}

void random_script(char script[RANDOM_SCRIPT_MAX], uint64_t seed)
{
	struct dice d = {.seed = seed};
	size_t before = 4 + below(&d, 12), explored = 3 + below(&d, 6);
	size_t at = put(script, RANDOM_SCRIPT_MAX, "create a; mkdir d; create d/b");

	for (size_t n = 0; n < before + explored; n++) {
		at += put(script + at, RANDOM_SCRIPT_MAX - at, n == before ? " | " : "; ");
		at += put_step(&d, script + at, RANDOM_SCRIPT_MAX - at);
	}
}
