// SPDX-License-Identifier: MIT
#include "util/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int problem(struct problem *p, int err, const char *format, ...)
{
	va_list ap;

	if (p) {
		va_start(ap, format);
		(void)vsnprintf(p->text, sizeof(p->text), format, ap);
		va_end(ap);
	}
	return -err;
}

int problem_errno(struct problem *p, int err, const char *format, ...)
{
	va_list ap;

	if (p) {
		va_start(ap, format);
		(void)vsnprintf(p->text, sizeof(p->text), format, ap);
		va_end(ap);
		size_t n = strlen(p->text);
		(void)snprintf(p->text + n, sizeof(p->text) - n, ": %s", strerror(err));
	}
	return -err;
}

int problem_prefix(struct problem *p, int r, const char *format, ...)
{
	struct problem old;
	va_list ap;

	if (!p)
		return r;
	old = *p;
	va_start(ap, format);
	(void)vsnprintf(p->text, sizeof(p->text), format, ap);
	va_end(ap);
	size_t n = strlen(p->text);
	(void)snprintf(p->text + n, sizeof(p->text) - n, ": %s", old.text);
	return r;
}
