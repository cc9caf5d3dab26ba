// SPDX-License-Identifier: MIT
/* The filter of system calls, by libseccomp. */
#include <assert.h>
#include <errno.h>
#include <seccomp.h>
#include <string.h>
#include <unistd.h>

#include "confine/internal.h"
#include "confine/sanitizers.h"
#include "util/cleanup.h"
#include "util/reserve.h"

static void releasep(scmp_filter_ctx *filter)
{
	if (*filter)
		seccomp_release(*filter);
}

/* ---- libseccomp without memory ---- */

/*
 * Where a rule could not be noted it says nothing, and while it makes the kernel's program of the
 * rules it makes a wrong one, ends by a signal or hangs: so it gets a reserve.
 */

/* What it has not said itself. */
static int check_memory(int r)
{
	return r == 0 && errno == ENOMEM ? -ENOMEM : r;
}

/* ---- rules ---- */

static struct scmp_arg_cmp make_compare(const struct confine_compare *c)
{
	switch (c->comparison) {
	case CONFINE_EQUAL:
		return SCMP_CMP64(c->argument, SCMP_CMP_EQ, c->value, 0);
	case CONFINE_BELOW:
		return SCMP_CMP64(c->argument, SCMP_CMP_LT, c->value, 0);
	case CONFINE_MASKED:
		return SCMP_CMP64(c->argument, SCMP_CMP_MASKED_EQ, c->mask, c->value);
	case CONFINE_ANY:
		break;
	}
	assert(false); /* the caller has stopped there */
	return SCMP_CMP64(0, SCMP_CMP_GE, 0, 0);
}

static int add_rule(scmp_filter_ctx filter, const struct confine_rule *rule, struct problem *why)
{
	uint32_t action = rule->error ? SCMP_ACT_ERRNO((uint16_t)rule->error) : SCMP_ACT_ALLOW;
	struct scmp_arg_cmp compares[CONFINE_COMPARES_MAX];
	unsigned count = 0;
	/* A call that only other machines have gets a number below 0, and no rule. */
	int number = seccomp_syscall_resolve_name(rule->name);

	if (number == __NR_SCMP_ERROR)
		return problem(
			why, EINVAL, "%s is no system call that libseccomp knows", rule->name);
	while (count < CONFINE_COMPARES_MAX && rule->compares[count].comparison != CONFINE_ANY) {
		compares[count] = make_compare(&rule->compares[count]);
		count++;
	}
	errno = 0;
	int r = check_memory(seccomp_rule_add_array(filter, action, number, count, compares));
	return r < 0 ? problem_errno(why, -r, "the rule for the system call %s", rule->name) : 0;
}

/* What a sanitizer is allowed without conditions can't have another rule. */
static bool is_sanitizers(const char *name)
{
	for (size_t i = 0; i < confine_sanitizer.count; i++)
		if (strcmp(confine_sanitizer.list[i].name, name) == 0)
			return true;
	return false;
}

static int add_table(scmp_filter_ctx filter, const struct confine_rules *t, struct problem *why)
{
	int r = 0;

	for (size_t i = 0; i < t->count && r == 0; i++)
		if (t == &confine_sanitizer || !is_sanitizers(t->list[i].name))
			r = add_rule(filter, &t->list[i], why);
	return r;
}

/*
 * What it takes to end, in order, by a signal of one's own or after a violation; and what the C
 * library asks where nobody would expect it (qsort(3) of a large array: how much memory is there?).
 */
static int add_common(scmp_filter_ctx filter, struct problem *why)
{
	const struct confine_rule rules[] = {
		CONFINE_ALLOW("exit"),
		CONFINE_ALLOW("exit_group"),
		CONFINE_ALLOW("getpid"),
		CONFINE_ALLOW("gettid"),
		CONFINE_ALLOW("restart_syscall"),
		CONFINE_ALLOW("rt_sigaction"),
		CONFINE_ALLOW("rt_sigprocmask"),
		CONFINE_ALLOW("rt_sigreturn"),
		CONFINE_ALLOW("sysinfo"),
		{.name = "tgkill", .compares = {{CONFINE_EQUAL, 0, (uint64_t)getpid(), 0}}},
		{.name = "write", .compares = {{CONFINE_EQUAL, 0, STDERR_FILENO, 0}}},
		{.name = "writev", .compares = {{CONFINE_EQUAL, 0, STDERR_FILENO, 0}}},
	};

	const struct confine_rules table = {rules, ARRAY_SIZE(rules)};

	return add_table(filter, &table, why);
}

/* ---- the filter ---- */

static int set_attributes(scmp_filter_ctx filter, struct problem *why)
{
	/* A foreign machine's numbering (32 bits, x32) has other calls under the same numbers. */
	int r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	return r < 0 ? problem_errno(why, -r, "preparing a filter of system calls") : 0;
}

static int load(scmp_filter_ctx filter, struct problem *why)
{
	errno = 0;
	int r = check_memory(seccomp_load(filter));

	if (r == -EINVAL || r == -ENOSYS || r == -EOPNOTSUPP)
		return problem(why, EOPNOTSUPP,
			"this kernel has no filters of system calls (CONFIG_SECCOMP_FILTER; what "
			"emulates a kernel may lack them): guestmemfs does not run without");
	return r < 0 ? problem_errno(why, -r, "putting the filter of system calls into force") : 0;
}

int confine_syscalls(const struct confine_rules *tables, size_t count, const char *name,
	confine_tell *tell, struct problem *why)
{
	_cleanup_free_ void *reserve = reserve_memory();
	_cleanup_(releasep) scmp_filter_ctx filter = reserve ? seccomp_init(SCMP_ACT_TRAP) : NULL;

	if (!filter)
		return problem_errno(why, ENOMEM, "making a filter of system calls");
	int r = set_attributes(filter, why);
	if (r == 0)
		r = add_common(filter, why);
	if (r == 0)
		r = add_table(filter, &confine_sanitizer, why);
	for (size_t i = 0; i < count && r == 0; i++)
		r = add_table(filter, &tables[i], why);
	if (r == 0)
		r = violation_init(name, tell, why);
	return r < 0 ? r : load(filter, why);
}
