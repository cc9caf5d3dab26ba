// SPDX-License-Identifier: MIT
#include "scarce.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static _Thread_local unsigned long left = ULONG_MAX; /* to be served; ULONG_MAX: all */
static _Thread_local enum scarce mode;
static _Thread_local bool has_failed;

void scarce_begin(unsigned long n, enum scarce how)
{
	has_failed = false;
	mode = how;
	left = n;
}

bool scarce_end(void)
{
	left = ULONG_MAX;
	return has_failed;
}

/* ---- other processes ---- */

static struct shared {
	atomic_ulong left; /* as above */
	atomic_uint mode;
	atomic_bool has_failed;
} * shared;
static const unsigned char *ours; /* 1 in the process that shares, 0 in those that it forks */

void scarce_share(void)
{
	unsigned char *page;

	shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || page == MAP_FAILED || madvise(page, 4096, MADV_WIPEONFORK) < 0)
		abort();
	atomic_store(&shared->left, ULONG_MAX);
	*page = 1;
	ours = page;
}

void scarce_begin_elsewhere(unsigned long n, enum scarce how)
{
	atomic_store(&shared->has_failed, false);
	atomic_store(&shared->mode, how);
	atomic_store(&shared->left, n);
}

bool scarce_end_elsewhere(void)
{
	atomic_store(&shared->left, ULONG_MAX);
	return atomic_load(&shared->has_failed);
}

static bool fails_by_another(void)
{
	unsigned long n = ULONG_MAX;

	if (!shared || *ours)
		return false;
	do {
		n = atomic_load(&shared->left);
		if (n == ULONG_MAX)
			return false;
	} while (n > 0 && !atomic_compare_exchange_weak(&shared->left, &n, n - 1));
	if (n > 0)
		return false;
	if (atomic_load(&shared->mode) == SCARCE_ONCE)
		atomic_store(&shared->left, ULONG_MAX);
	atomic_store(&shared->has_failed, true);
	errno = ENOMEM;
	return true;
}

bool scarce_fails(void)
{
	if (fails_by_another())
		return true;
	if (left == ULONG_MAX)
		return false;
	if (left > 0) {
		left--;
		return false;
	}
	has_failed = true;
	if (mode == SCARCE_ONCE)
		left = ULONG_MAX;
	errno = ENOMEM;
	return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
int __real_vasprintf(char **ret, const char *format, va_list ap)
	__attribute__((format(printf, 2, 0)));
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);
int __wrap_asprintf(char **ret, const char *format, ...) __attribute__((format(printf, 2, 3)));
int __wrap_vasprintf(char **ret, const char *format, va_list ap)
	__attribute__((format(printf, 2, 0)));

void *__wrap_malloc(size_t size)
{
	return scarce_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return scarce_fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return scarce_fails() ? NULL : __real_realloc(p, size);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return scarce_fails() ? NULL : __real_reallocarray(p, n, size);
}

char *__wrap_strdup(const char *s)
{
	return scarce_fails() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t n)
{
	return scarce_fails() ? NULL : __real_strndup(s, n);
}

/* What a failed asprintf(3) leaves in *ret nobody may look at. */
int __wrap_vasprintf(char **ret, const char *format, va_list ap)
{
	char *text;
	int n;

	if (scarce_fails()) {
		*ret = (char *)(uintptr_t)-1;
		return -1;
	}
	n = __real_vasprintf(&text, format, ap);
	if (n >= 0)
		*ret = text;
	return n;
}

int __wrap_asprintf(char **ret, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = __wrap_vasprintf(ret, format, ap);
	va_end(ap);
	return n;
}
