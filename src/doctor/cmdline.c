// SPDX-License-Identifier: MIT
#include "doctor/cmdline.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"

/* ---- numbers ---- */

static unsigned digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (isxdigit((unsigned char)c))
		return (unsigned)(tolower((unsigned char)c) - 'a') + 10;
	return 99;
}

static unsigned suffix_shift(char c)
{
	static const char suffixes[] = "KMGTPE";
	const char *at = c ? strchr(suffixes, toupper((unsigned char)c)) : NULL;

	return at ? 10 * (unsigned)(at - suffixes + 1) : 0;
}

/* simple_strtoull() with base 0. */
static bool parse_integer(const char *text, const char **end, uint64_t *ret)
{
	bool hex =
		text[0] == '0' && tolower((unsigned char)text[1]) == 'x' && digit_of(text[2]) < 16;
	unsigned base = hex ? 16 : text[0] == '0' ? 8 : 10;
	const char *at = hex ? text + 2 : text;
	uint64_t value = 0;

	if (digit_of(*at) >= base)
		return false;
	for (; digit_of(*at) < base; at++)
		if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
			__builtin_add_overflow(value, (uint64_t)digit_of(*at), &value))
			return false;
	*end = at;
	*ret = value;
	return true;
}

bool cmdline_parse_number(const char *text, const char **end, uint64_t *ret)
{
	uint64_t value;
	const char *at;

	if (!parse_integer(text, &at, &value))
		return false;
	unsigned shift = suffix_shift(*at);
	if (shift > 0) {
		if (value > UINT64_MAX >> shift)
			return false;
		value <<= shift;
		at++;
	}
	*end = at;
	*ret = value;
	return true;
}

/* ---- words ---- */

struct word {
	char *name;
	char *value; /* NULL: no equals sign */
};

/* Takes the next word out of *rest, which is changed. False at the end. */
static bool next_word(char **rest, struct word *ret)
{
	char *at = *rest + strspn(*rest, " \t\n\v\f\r");
	bool whole = *at == '"'; /* the quote stands before the name: "dyndbg=file a.c +p" */
	bool in_quote = whole;
	char *equals = NULL;

	if (!*at)
		return false;
	at += whole;
	char *end = at;
	for (; *end && (in_quote || !isspace((unsigned char)*end)); end++) {
		if (*end == '=' && !equals && end > at)
			equals = end;
		if (*end == '"')
			in_quote = !in_quote;
	}
	*rest = *end ? end + 1 : end;
	*end = '\0';
	ret->name = at;
	ret->value = equals ? equals + 1 : NULL;
	if (equals)
		*equals = '\0';
	bool value_quoted = ret->value && *ret->value == '"';
	if (value_quoted)
		ret->value++;
	if ((whole || value_quoted) && end > at && end[-1] == '"')
		end[-1] = '\0';
	return true;
}

static void unify_dashes(char *name)
{
	for (; *name; name++)
		if (*name == '-')
			*name = '_';
}

/* kstrtobool(); a word that it does not know leaves *ret as it is. */
static void take_bool(const char *value, bool *ret)
{
	if (!value || strchr("yYtT1", *value ? *value : '?') || strncasecmp(value, "on", 2) == 0)
		*ret = true;
	else if (strchr("nNfF0", *value ? *value : '?') || strncasecmp(value, "of", 2) == 0)
		*ret = false;
}

/* ---- memmap ---- */

/* The part behind N%S: "-FROM", "+TO", both or neither. */
static bool parse_convert(struct cmdline_memmap *m, const char *at)
{
	uint64_t from = 0;
	uint64_t to = 0;

	if (*at == '-' && !parse_integer(at + 1, &at, &from))
		return false;
	if (*at == '+' && !parse_integer(at + 1, &at, &to))
		return false;
	m->from = (uint32_t)from;
	m->to = (uint32_t)to;
	return *at == '\0' && from <= UINT32_MAX && to <= UINT32_MAX;
}

static enum cmdline_form form_of(char sign)
{
	switch (sign) {
	case '@':
		return CMDLINE_RAM;
	case '#':
		return CMDLINE_ACPI;
	case '$':
		return CMDLINE_RESERVED;
	case '!':
		return CMDLINE_PRAM;
	case '%':
		return CMDLINE_CONVERT;
	case '\0':
		return CMDLINE_LIMIT;
	default:
		return CMDLINE_BAD;
	}
}

static void parse_memmap(struct cmdline_memmap *m, const char *text)
{
	const char *at = text;

	(void)snprintf(m->text, sizeof(m->text), "%s", text);
	m->form = CMDLINE_EXACT;
	if (strncmp(text, "exactmap", 8) == 0)
		return;
	m->form = CMDLINE_BAD;
	if (!cmdline_parse_number(text, &at, &m->size))
		return;
	enum cmdline_form form = form_of(*at);
	if (form == CMDLINE_LIMIT) {
		m->form = form;
		return;
	}
	if (form == CMDLINE_BAD || !cmdline_parse_number(at + 1, &at, &m->start) ||
		m->start > UINT64_MAX - m->size)
		return;
	if (form == CMDLINE_CONVERT ? parse_convert(m, at) : *at == '\0')
		m->form = form;
}

static int add_memmap(struct cmdline *c, const char *text, uint32_t parameter)
{
	struct cmdline_memmap *more = reallocarray(c->memmaps, c->memmap_count + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	c->memmaps = more;
	more += c->memmap_count++;
	*more = (struct cmdline_memmap){.parameter = parameter};
	parse_memmap(more, text);
	return 0;
}

static int take_memmap(struct cmdline *c, char *value)
{
	uint32_t parameter = c->memmap_parameters++;
	int r = 0;

	while (value && r == 0)
		r = add_memmap(c, strsep(&value, ","), parameter);
	return r;
}

/* mem=nopentium is another thing, and the kernel passes mem=0 over. */
static int take_mem(struct cmdline *c, const char *value)
{
	uint64_t limit = 0;
	const char *end;

	if (!cmdline_parse_number(value, &end, &limit) || limit == 0)
		return 0;
	int r = add_memmap(c, value, CMDLINE_NO_PARAMETER);
	if (r == 0) {
		c->memmaps[c->memmap_count - 1].form = CMDLINE_LIMIT;
		c->memmaps[c->memmap_count - 1].size = limit;
	}
	return r;
}

/* ---- the others ---- */

static int take_blacklist(struct cmdline *c, char *value, bool refused)
{
	while (value) {
		char *name = strsep(&value, ",");
		struct cmdline_module *more =
			reallocarray(c->blacklist, c->blacklist_count + 1, sizeof(*more));

		if (!more)
			return -ENOMEM;
		c->blacklist = more;
		more += c->blacklist_count++;
		*more = (struct cmdline_module){.refused = refused};
		unify_dashes(name);
		(void)snprintf(more->name, sizeof(more->name), "%s", name);
	}
	return 0;
}

/* SIZE[@START]; of RANGE:SIZE,...[@START] only the start is of interest. */
static void take_crashkernel(struct cmdline *c, const char *value)
{
	const char *at = strchr(value, '@');
	const char *end;

	c->crashkernel = true;
	c->crash_start = 0;
	c->crash_size = 0;
	if (!at || !cmdline_parse_number(at + 1, &end, &c->crash_start))
		return;
	if (!cmdline_parse_number(value, &end, &c->crash_size) || *end != '@')
		c->crash_size = 1; /* some memory from there on */
}

static int take_token(struct cmdline *c, const char *value)
{
	char(*more)[CMDLINE_TOKEN_TEXT];

	if (strlen(value) != CMDLINE_TOKEN_TEXT - 1 ||
		strspn(value, "0123456789abcdefABCDEF") != CMDLINE_TOKEN_TEXT - 1)
		return 0;
	more = reallocarray(c->tokens, c->token_count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	c->tokens = more;
	more += c->token_count++;
	for (size_t n = 0; n < CMDLINE_TOKEN_TEXT; n++)
		(*more)[n] = (char)tolower((unsigned char)value[n]);
	return 0;
}

static int take_word(struct cmdline *c, struct word *w)
{
	unify_dashes(w->name);
	if (strcmp(w->name, "nokaslr") == 0 && !w->value)
		c->nokaslr = true;
	if (strcmp(w->name, "dax_hmem.region_idle") == 0)
		take_bool(w->value, &c->region_idle);
	if (!w->value)
		return 0;
	if (strcmp(w->name, "memmap") == 0)
		return take_memmap(c, w->value);
	if (strcmp(w->name, "mem") == 0)
		return take_mem(c, w->value);
	if (strcmp(w->name, "modprobe.blacklist") == 0)
		return take_blacklist(c, w->value, false);
	if (strcmp(w->name, "module_blacklist") == 0)
		return take_blacklist(c, w->value, true);
	if (strcmp(w->name, "guestmemfs.succession") == 0)
		return take_token(c, w->value);
	if (strcmp(w->name, "crashkernel") == 0)
		take_crashkernel(c, w->value);
	return 0;
}

int cmdline_parse(struct cmdline *ret, const char *text)
{
	_cleanup_free_ char *copy = strdup(text);
	struct cmdline c = CMDLINE_NULL;
	char *rest = copy;
	struct word w;
	int r = copy ? 0 : -ENOMEM;

	c.length = strlen(text);
	while (c.length > 0 && isspace((unsigned char)text[c.length - 1]))
		c.length--;
	if (copy && c.length > CMDLINE_MAX)
		copy[CMDLINE_MAX] = '\0'; /* as much as the kernel sees */
	while (r == 0 && next_word(&rest, &w)) {
		if (!w.value && strcmp(w.name, "--") == 0)
			break; /* what follows is for init */
		r = take_word(&c, &w);
	}
	if (r < 0)
		cmdline_deinit(&c);
	else
		*ret = c;
	return r;
}

void cmdline_deinit(struct cmdline *c)
{
	free(c->memmaps);
	free(c->blacklist);
	free(c->tokens);
	*c = CMDLINE_NULL;
}

const struct cmdline_module *cmdline_find_blacklisted(const struct cmdline *c, const char *module)
{
	for (size_t n = 0; n < c->blacklist_count; n++)
		if (strcmp(c->blacklist[n].name, module) == 0)
			return &c->blacklist[n];
	return NULL;
}
