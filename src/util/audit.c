// SPDX-License-Identifier: MIT
/*
 * The journal is spoken to in its own datagrams (systemd's "Native Journal Protocol"), not through
 * libsystemd: that library looks its socket up anew for each message, which a process without a
 * file system can't, and it would bring four compression libraries into the one process that has to
 * stay small. None of our values has a line break, so of the protocol only "NAME=value\n" is
 * needed.
 */
#include "util/audit.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "util/cgroup.h"
#include "util/cleanup.h"
#include "util/log.h"

#define LINE_MAX_BYTES 1800U

/* The one connection that a process has to its journal; set by main. */
static int audit_journal = -1;

void audit_to_journal(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_fd_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return;
	audit_journal = close_fd(audit_journal);
	audit_journal = steal_fd(&fd);
}

static const char *event_name(enum audit_event event)
{
	static const char *const names[] = {
		[AUDIT_GRANT] = "grant",
		[AUDIT_REFUSAL] = "refusal",
		[AUDIT_EXPORT] = "export",
		[AUDIT_REVOCATION] = "revocation",
		[AUDIT_QUARANTINE] = "quarantine",
	};

	return names[event];
}

/* A refusal is what somebody may want to be woken for; the rest is what happens every day. */
static enum log_level event_level(enum audit_event event)
{
	return event == AUDIT_REFUSAL ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO;
}

void audit_begin(struct audit *a, enum audit_event event)
{
	a->event = event;
	a->length = 0;
	a->words[0] = '\0';
}

/* ---- words ---- */

static bool is_plain(char c)
{
	return isalnum((unsigned char)c) || (c != '\0' && strchr("_-./:+,@%?", c));
}

static bool is_word(const char *value)
{
	for (const char *at = value; *at; at++)
		if (!is_plain(*at))
			return false;
	return *value != '\0';
}

/* One character at out, which has room for four. Returns how many it takes. */
static size_t escape(char *out, char c)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char byte = (unsigned char)c;

	if (byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\') {
		out[0] = c;
		return 1;
	}
	out[0] = '\\';
	out[1] = 'x';
	out[2] = digits[byte >> 4];
	out[3] = digits[byte & 15];
	return 4;
}

static size_t quote(char *out, size_t room, const char *value)
{
	size_t n = 0;

	out[n++] = '"';
	for (const char *at = value; *at && n + 5 < room; at++)
		n += escape(out + n, *at);
	out[n++] = '"';
	return n;
}

void audit_add(struct audit *a, const char *key, const char *format, ...)
{
	char value[AUDIT_VALUE_MAX], word[AUDIT_VALUE_MAX + 64];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(value, sizeof(value), format, ap);
	va_end(ap);
	size_t n = (size_t)snprintf(word, 64, "%s=", key);
	if (is_word(value)) {
		size_t length = strlen(value);
		memcpy(word + n, value, length);
		n += length;
	} else {
		n += quote(word + n, AUDIT_VALUE_MAX, value);
	}
	word[n++] = '\n';
	if (a->length + n >= sizeof(a->words))
		return;
	memcpy(a->words + a->length, word, n);
	a->length += n;
	a->words[a->length] = '\0';
}

void audit_add_process(struct audit *a, pid_t pid, uid_t uid)
{
	char cgroup[CGROUP_PATH_MAX];

	audit_add(a, "pid", "%d", (int)pid);
	audit_add(a, "uid", "%u", uid);
	audit_add(a, "cgroup", "%s", cgroup_of(pid, cgroup, sizeof(cgroup)) < 0 ? "?" : cgroup);
}

/* ---- sending ---- */

size_t audit_format(char *line, size_t size, const struct audit *a)
{
	int n = snprintf(line, size, "%s %s", event_name(a->event), a->words);
	size_t length = n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;

	if (length > 0)
		line[--length] = '\0'; /* what ends the last word */
	for (char *at = line; (at = strchr(at, '\n')); at++)
		*at = ' ';
	return length;
}

/* One word as a field: its key in capitals, its value without the quotes. */
static size_t put_field(char *out, const char *word, const char *end)
{
	size_t n = 11;

	memcpy(out, "GUESTMEMFS_", n);
	for (; *word != '='; word++)
		out[n++] = (char)toupper((unsigned char)*word);
	out[n++] = '=';
	bool quoted = *++word == '"';
	size_t length = (size_t)(end - word) - (quoted ? 2 : 0);
	memcpy(out + n, word + quoted, length);
	n += length;
	out[n++] = '\n';
	return n;
}

static size_t put_fields(char *out, const char *words)
{
	size_t n = 0;

	for (const char *at = words, *end; *at; at = end + 1) {
		end = strchr(at, '\n');
		n += put_field(out + n, at, end);
	}
	return n;
}

static bool send_to_journal(const struct audit *a, const char *line)
{
	/* A key has at least one letter, so a word at least three bytes: each grows by 11. */
	char datagram[LINE_MAX_BYTES + 256 + sizeof(a->words) * 5];

	if (audit_journal < 0)
		return false;
	size_t n = (size_t)snprintf(datagram, LINE_MAX_BYTES + 256,
		"MESSAGE=%s\nPRIORITY=%d\nSYSLOG_IDENTIFIER=%s\nGUESTMEMFS_EVENT=%s\n", line,
		(int)event_level(a->event), log_name(), event_name(a->event));
	n += put_fields(datagram + n, a->words);
	/* Never waits for the journal: guests wait for us. */
	return send(audit_journal, datagram, n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n;
}

void audit_send(const struct audit *a)
{
	char line[LINE_MAX_BYTES];
	int saved = errno;

	(void)audit_format(line, sizeof(line), a);
	if (!send_to_journal(a, line))
		log_message(event_level(a->event), "%s", line);
	errno = saved;
}
