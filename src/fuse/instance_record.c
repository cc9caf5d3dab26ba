// SPDX-License-Identifier: MIT
#include "fuse/instance_record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/memfd.h"

#define RECORD_MAX (1U << 20)

/* Ends as it should: with a NUL, so that each word does. */
struct words {
	char *text; /* owned */
	size_t size;
};

static void words_deinit(struct words *w)
{
	free(w->text);
	*w = (struct words){.text = NULL};
}

/* The one behind `word`; NULL: that was the last one. */
static const char *next_word(const struct words *w, const char *word)
{
	const char *next = word + strlen(word) + 1;

	return next < w->text + w->size ? next : NULL;
}

/* ---- making ---- */

struct making {
	FILE *file;
	bool lost; /* a word, for want of memory. Then fclose(3) says 0, and may have lost all */
};

static void add_word(struct making *m, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void add_word(struct making *m, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	m->lost |= vfprintf(m->file, format, ap) < 0;
	m->lost |= fputc(0, m->file) == EOF;
	va_end(ap);
}

/* Without the options that count only where the region is made; a file by its path from the root.
 */
static int print_region(struct making *m, const char *text, struct problem *why)
{
	_cleanup_(region_spec_deinit) struct region_spec spec = REGION_SPEC_NULL;
	_cleanup_free_ char *path = NULL;
	int kind = (int)(strchrnul(text, ':') - text);
	int r = region_spec_parse(&spec, text, why);

	if (r < 0)
		return r;
	if (strncmp(text, "file:", 5) == 0)
		path = realpath(spec.path, NULL);
	if (strncmp(text, "file:", 5) == 0 && !path && errno == ENOMEM)
		return problem_errno(why, ENOMEM, "noting what the instance is");
	add_word(m, "--region=%.*s:%s", kind, text, path ? path : spec.path);
	return 0;
}

static int print_start(struct making *m, const struct instance *i, struct problem *why)
{
	const struct options *o = i->options;
	int r = 0;

	add_word(m, "the mount point %s", i->mount_path);
	add_word(m, "--name=%s", i->name);
	add_word(m, "--socket=%s", i->runtime.grant_socket);
	for (size_t n = 0; n < o->region_count && r == 0; n++)
		r = print_region(m, o->regions[n], why);
	if (o->region_count == 0)
		add_word(m, "no --region");
	if (*o->mount_options)
		add_word(m, "-o %s", o->mount_options);
	if (o->has_user)
		add_word(m, "--user=%u:%u", (unsigned)o->user, (unsigned)o->user_group);
	if (o->has_trusted_group)
		add_word(m, "--trusted-group=%u", (unsigned)o->trusted_group);
	add_word(m, "--reuse=%s", reuse_policy_name(o->reuse));
	add_word(m, "--scrub-rate=%" PRIu64, o->scrub_rate);
	return r;
}

static int make_words(struct words *ret, const struct instance *i, struct problem *why)
{
	struct words w = {.text = NULL};
	struct making m = {.file = open_memstream(&w.text, &w.size)};
	int r;

	if (!m.file)
		return problem_errno(why, errno, "noting what the instance is");
	r = print_start(&m, i, why);
	add_word(&m, "%s", "");
	for (uint32_t n = 0; n < i->pool.count; n++)
		add_word(&m, "%s:%s", region_kind_name(i->pool.regions[n].kind),
			i->pool.regions[n].name);
	if ((fclose(m.file) != 0 || m.lost || !w.text) && r == 0)
		r = problem_errno(why, ENOMEM, "noting what the instance is");
	if (r < 0) {
		words_deinit(&w);
		return r;
	}
	*ret = w;
	return 0;
}

int instance_record_make(const struct instance *i, struct problem *why)
{
	_cleanup_(words_deinit) struct words w = {.text = NULL};
	int fd, r = make_words(&w, i, why);

	if (r < 0)
		return r;
	fd = memfd_make_sealed("guestmemfs-record", w.text, w.size);
	return fd < 0 ? problem_errno(why, -fd, "noting what the instance is") : fd;
}

/* ---- reading ---- */

static int read_words(struct words *ret, int record, struct problem *why)
{
	_cleanup_(words_deinit) struct words w = {.text = NULL};
	struct stat st;

	if (fstat(record, &st) < 0)
		return problem_errno(why, errno, "reading what the instance is");
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > RECORD_MAX)
		return problem(why, EPROTO, "there is no record of what the instance is");
	w.size = (size_t)st.st_size;
	w.text = malloc(w.size);
	if (!w.text)
		return problem_errno(why, ENOMEM, "reading what the instance is");
	if (pread(record, w.text, w.size, 0) != (ssize_t)w.size || w.text[w.size - 1])
		return problem(why, EPROTO, "the record of what the instance is can't be read");
	*ret = w;
	w = (struct words){.text = NULL};
	return 0;
}

/* Up to the empty word. */
static bool has_word(const struct words *w, const char *wanted)
{
	for (const char *word = w->text; word && *word; word = next_word(w, word))
		if (strcmp(word, wanted) == 0)
			return true;
	return false;
}

/* Of a, the first one that b has not; NULL: there is none. */
static const char *find_other(const struct words *a, const struct words *b)
{
	for (const char *word = a->text; word && *word; word = next_word(a, word))
		if (!has_word(b, word))
			return word;
	return NULL;
}

int instance_record_compare(int record, const struct instance *i, struct problem *why)
{
	_cleanup_(words_deinit) struct words theirs = {.text = NULL}, ours = {.text = NULL};
	const char *was, *is;
	int r = read_words(&theirs, record, why);

	if (r == 0)
		r = make_words(&ours, i, why);
	if (r < 0)
		return r;
	was = find_other(&theirs, &ours);
	is = find_other(&ours, &theirs);
	if (!was && !is)
		return 0;
	return problem(why, EBUSY,
		"an instance named %s runs without a supervisor and was started with %.200s, this "
		"start has %.200s: start it with the arguments of then to take it over, or end it "
		"first (umount its mount point)",
		i->name, was ? was : "less", is ? is : "less");
}

static int adopt_region(struct pool *pool, const char *word, int *fd, struct problem *why)
{
	const char *colon = word ? strchr(word, ':') : NULL;
	enum gm_region_kind kind;

	if (!colon || !region_kind_find(&kind, word, (size_t)(colon - word)))
		return problem(why, EPROTO, "the record of the regions can't be read");
	return pool_adopt(pool, kind, steal_fd(fd), colon + 1, why);
}

int instance_record_adopt(
	int record, struct pool *pool, int *fds, size_t count, struct problem *why)
{
	_cleanup_(words_deinit) struct words w = {.text = NULL};
	int r = read_words(&w, record, why);
	const char *word = w.text;

	while (word && *word)
		word = next_word(&w, word);
	for (size_t n = 0; n < count && r == 0; n++) {
		word = word ? next_word(&w, word) : NULL;
		r = adopt_region(pool, word, &fds[n], why);
	}
	for (size_t n = 0; n < count; n++)
		fds[n] = close_fd(fds[n]);
	return r;
}
