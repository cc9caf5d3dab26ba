// SPDX-License-Identifier: MIT
/*
 * driver ROUNDS DIRECTORY: gives every file of the directory to the target, which must refuse those
 * that are called should-fail-*, for the reason that DIRECTORY.refusals has, and take the others;
 * then as many inputs that are made of them by chance, or by fuzz_invent(). Prints TAP; what it
 * prints last before an abort names the input. GM_SEED chooses the chances.
 *
 * A line of DIRECTORY.refusals is a name, or * for all that have no line before it, a colon, a
 * space, and a part of the sentence.
 */
#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dice.h"
#include "fuzz.h"

#define INPUT_MAX 4096U
#define FILES_MAX 1000U

struct input {
	char *name;
	uint8_t *bytes;
	size_t size;
};

static int is_input(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static void load(struct input *in, const char *directory, const char *name)
{
	char path[4096];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	f = fopen(path, "r");
	in->name = strdup(name);
	in->bytes = malloc(INPUT_MAX);
	if (!f || !in->name || !in->bytes) {
		perror(path);
		exit(1);
	}
	in->size = fread(in->bytes, 1, INPUT_MAX, f);
	(void)fclose(f);
}

/* A few bytes of an input are set, doubled or dropped; or it goes on with a piece of another one.
 */
static size_t mutate(struct dice *d, uint8_t *bytes, size_t size, const struct input *other)
{
	size_t at = size ? dice_below(d, size) : 0, n;

	switch (dice_below(d, 4)) {
	case 0:
		for (n = dice_below(d, 8) + 1; n > 0 && at < size; n--)
			bytes[at++] = (uint8_t)dice_below(d, 256);
		return size;
	case 1:
		n = dice_below(d, size - at + 1);
		memmove(bytes + at, bytes + at + n, size - at - n);
		return size - n;
	case 2:
		if (size)
			bytes[at] ^= (uint8_t)(1U << dice_below(d, 8));
		return size;
	default:
		n = other->size < INPUT_MAX - at ? other->size : INPUT_MAX - at;
		memcpy(bytes + at, other->bytes, n);
		return at + n > size ? at + n : size;
	}
}

/* The input of the round, for who wants to keep it. */
static struct {
	uint8_t bytes[INPUT_MAX];
	size_t size;
} present;

static void show_input(int number)
{
	for (size_t n = 0; n < present.size; n++)
		/* NOLINTNEXTLINE(bugprone-signal-handler,cert-sig30-c): it ends here in any case */
		(void)fprintf(stderr, "%02x", present.bytes[n]);
	(void)fprintf(stderr, " is the input, in hexadecimal digits (xxd -r -p)\n");
	(void)signal(number, SIG_DFL);
	(void)raise(number);
}

/* Every other one is invented, where the target has somebody who does. */
static void run_round(struct dice *d, const struct input *inputs, size_t count)
{
	const struct input *from = &inputs[dice_below(d, count)];

	if (fuzz_invent && dice_below(d, 2)) {
		present.size = fuzz_invent(d, present.bytes, sizeof(present.bytes));
		(void)LLVMFuzzerTestOneInput(present.bytes, present.size);
		return;
	}
	memcpy(present.bytes, from->bytes, from->size);
	present.size = from->size;
	for (uint64_t n = 1 + dice_below(d, 4); n > 0; n--)
		present.size =
			mutate(d, present.bytes, present.size, &inputs[dice_below(d, count)]);
	(void)LLVMFuzzerTestOneInput(present.bytes, present.size);
}

/* A part of the sentence by which this input must be refused, for the caller to free; NULL: nobody
 * has said why. */
static char *find_reason(FILE *refusals, const char *name)
{
	char *line = NULL, *part;
	size_t room = 0;
	ssize_t size;

	rewind(refusals);
	while ((size = getline(&line, &room, refusals)) > 0) {
		if (line[size - 1] == '\n')
			line[--size] = '\0';
		part = strstr(line, ": ");
		if (!part || part[2] == '\0')
			continue;
		*part = '\0';
		if (strcmp(line, name) != 0 && strcmp(line, "*") != 0)
			continue;
		memmove(line, part + 2, strlen(part + 2) + 1);
		return line;
	}
	free(line);
	return NULL;
}

/* NULL: it is as it must be. */
static const char *judge(const struct input *in, const char *reason)
{
	bool should_fail = strncmp(in->name, "should-fail-", 12) == 0;
	const char *refusal = fuzz_refusal();

	if (should_fail != (refusal != NULL))
		return should_fail ? "it is taken" : "it is refused";
	if (!should_fail)
		return NULL;
	if (!reason)
		return "the list of refusals does not say why it must be refused";
	return strstr(refusal, reason) ? NULL : "it is refused for another reason";
}

static bool replay(const struct input *in, int number, FILE *refusals)
{
	char *reason = find_reason(refusals, in->name);
	const char *wrong;

	(void)LLVMFuzzerTestOneInput(in->bytes, in->size);
	wrong = judge(in, reason);
	printf("%sok %d - %s\n", wrong ? "not " : "", number, in->name);
	if (fuzz_refusal())
		printf("# %s\n", fuzz_refusal());
	if (wrong)
		printf("# %s; the reason is to be: %s\n", wrong, reason ? reason : "");
	free(reason);
	return !wrong;
}

static FILE *open_refusals(const char *directory)
{
	char path[4096];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s.refusals", directory);
	f = fopen(path, "r");
	if (!f) {
		perror(path);
		exit(1);
	}
	return f;
}

int main(int argc, char *argv[])
{
	struct dice d = {.seed = getenv("GM_SEED") ? strtoull(getenv("GM_SEED"), NULL, 0) : 1};
	uint64_t rounds = argc == 3 ? strtoull(argv[1], NULL, 0) : 0;
	static struct input inputs[FILES_MAX];
	struct dirent **names = NULL;
	FILE *refusals;
	int failed = 0;
	int count = argc == 3 ? scandir(argv[2], &names, is_input, alphasort) : -1;

	if (count <= 0 || (unsigned)count > FILES_MAX) {
		(void)fprintf(stderr, "usage: %s ROUNDS DIRECTORY\n", argv[0]);
		return 2;
	}
	refusals = open_refusals(argv[2]);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..%d\n", count + 1);
	for (int n = 0; n < count; n++) {
		load(&inputs[n], argv[2], names[n]->d_name);
		printf("# %s\n", inputs[n].name);
		failed += !replay(&inputs[n], n + 1, refusals);
		free(names[n]);
	}
	(void)fclose(refusals);
	(void)signal(SIGABRT, show_input);
	(void)signal(SIGSEGV, show_input);
	printf("# by chance, GM_SEED=%" PRIu64 "\n", d.seed);
	for (uint64_t n = 0; n < rounds; n++)
		run_round(&d, inputs, (size_t)count);
	printf("ok %d - %" PRIu64 " inputs by chance\n", count + 1, rounds);
	for (int n = 0; n < count; n++) {
		free(inputs[n].name);
		free(inputs[n].bytes);
	}
	free(names);
	return failed > 0;
}
