// SPDX-License-Identifier: MIT
/* The agent's files, tickets and attachments. */
#include "agent.h"

#include <fcntl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void new_file(int fd)
{
	if (fd < 0) {
		failed_errno();
		return;
	}
	agent.files[agent.file_count] = (struct file){.fd = fd};
	ok("%zu", agent.file_count++);
}

void do_open(char **words)
{
	int mode = strcmp(words[2], "r") == 0   ? O_RDONLY
		   : strcmp(words[2], "w") == 0 ? O_WRONLY
						: O_RDWR;

	if (!full(agent.file_count))
		new_file(open(words[1], mode | O_CLOEXEC));
}

void do_dup(char **words)
{
	struct file *f = get_file(words[1]);

	if (f && !full(agent.file_count))
		new_file(dup(f->fd));
}

void do_close(char **words)
{
	struct file *f = get_file(words[1]);

	if (!f)
		return;
	if (close(f->fd) < 0)
		failed_errno();
	else
		done();
	f->fd = -1;
}

void do_attach(char **words)
{
	struct file *f = get_file(words[1]);
	struct gm_attachment *a;

	if (!f)
		return;
	int r = gm_attach(f->fd, &a);
	if (r < 0) {
		failed(-r, gm_last_problem());
		return;
	}
	gm_detach(f->attachment);
	f->attachment = a;
	ok("%llu %zu", (unsigned long long)gm_size(a), gm_extent_count(a));
}

void do_extents(char **words)
{
	struct gm_attachment *a = get_attachment(words[1]);
	struct gm_extent_info e;

	if (!a)
		return;
	fputs("ok", stdout);
	for (size_t i = 0; gm_extent(a, i, &e) == 0; i++)
		printf(" %llu:%llu:%u:%llu", (unsigned long long)e.file_offset,
			(unsigned long long)e.length, e.device,
			(unsigned long long)e.device_offset);
	putchar('\n');
}

void do_detach(char **words)
{
	struct file *f = get_file(words[1]);

	if (!f)
		return;
	gm_detach(f->attachment);
	f->attachment = NULL;
	done();
}

void do_ticket(char **words)
{
	struct file *f = get_file(words[1]);
	struct gm_ticket t;

	if (!f)
		return;
	int r = gm_ticket(f->fd, &t);
	if (r < 0) {
		failed(-r, gm_last_problem());
		return;
	}
	fputs("ok ", stdout);
	for (size_t i = 0; i < sizeof(t.bytes); i++)
		printf("%02x", t.bytes[i]);
	putchar('\n');
}

static bool parse_ticket(struct gm_ticket *t, const char *hex)
{
	if (strlen(hex) != 2 * sizeof(t->bytes) || strspn(hex, "0123456789abcdef") != strlen(hex))
		return false;
	for (size_t i = 0; i < sizeof(t->bytes); i++) {
		char byte[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
		t->bytes[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return true;
}

void do_redeem(char **words)
{
	struct gm_attachment *a;
	struct gm_ticket t;

	if (full(agent.file_count))
		return;
	if (!parse_ticket(&t, words[2])) {
		failed(EINVAL, "a ticket is 32 hexadecimal digits");
		return;
	}
	int r = gm_redeem(words[1], &t, &a);
	if (r < 0) {
		failed(-r, gm_last_problem());
		return;
	}
	agent.files[agent.file_count] = (struct file){.fd = -1, .attachment = a};
	ok("%zu %llu %zu", agent.file_count++, (unsigned long long)gm_size(a), gm_extent_count(a));
}
