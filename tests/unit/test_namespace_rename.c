// SPDX-License-Identifier: MIT
/* Rename keeps POSIX's rules, case by case; what it refuses changes nothing. */
#include <errno.h>
#include <stdio.h>

#include "namespace_fixture.h"
#include "util/cleanup.h"

TestSuite(namespace, .init = setup, .fini = teardown);

static void dump_tree(uint64_t dir, const char *prefix, char *out, size_t size)
{
	struct ns_entry e;
	uint64_t after = 2;

	while (ns_next_entry(&pool.ns, dir, after, &e) == 1) {
		char path[600];
		size_t used = strlen(out);

		after = e.cookie;
		snprintf(path, sizeof(path), "%s%.*s", prefix, (int)e.length, e.name);
		snprintf(out + used, size - used, "%s%s%s", used ? " " : "", path,
			e.type == S_IFDIR ? "/" : "");
		strncat(path, "/", sizeof(path) - strlen(path) - 1);
		if (e.type == S_IFDIR)
			dump_tree(e.ino, path, out, size);
	}
}

/* The directory of a path, and its last component. */
static uint64_t walk(const char *path, const char **last)
{
	uint64_t at = ROOT;
	struct stat st;

	for (const char *slash; (slash = strchr(path, '/')); path = slash + 1) {
		cr_assert_eq(
			ns_lookup(&pool.ns, at, path, (size_t)(slash - path), &st), 0, "%s", path);
		at = st.st_ino;
	}
	*last = path;
	return at;
}

static void make_tree(const char *paths)
{
	_cleanup_free_ char *copy = strdup(paths);
	char *save = NULL;

	for (char *p = strtok_r(copy, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
		size_t length = strlen(p);
		bool is_dir = p[length - 1] == '/';
		const char *name;
		uint64_t dir;

		if (is_dir)
			p[length - 1] = '\0';
		dir = walk(p, &name);
		(void)(is_dir ? pool_mkdir(&pool, dir, name) : pool_create(&pool, dir, name));
	}
}

static const struct rename_case {
	const char *tree, *from, *to;
	unsigned flags;
	int result;
	const char *after; /* NULL: as before */
} rename_cases[] = {
	{"a", "a", "b", 0, 0, "b"},
	{"a b", "a", "b", 0, 0, "b"},
	{"a d/", "a", "d/a", 0, 0, "d/ d/a"},
	{"a/ a/x b/", "a", "b/a", 0, 0, "b/ b/a/ b/a/x"},
	{"a/ a/x b/", "a", "b", 0, 0, "b/ b/x"},
	{"a", "a", "a", 0, 0, NULL},
	{"d/", "d", "d", 0, 0, NULL},
	{"a", "x", "b", 0, -ENOENT, NULL},
	{"a", "x", "a", 0, -ENOENT, NULL},
	{"a d/", "a", "d", 0, -EISDIR, NULL},
	{"a d/ d/x", "a", "d", 0, -EISDIR, NULL},
	{"a d/", "d", "a", 0, -ENOTDIR, NULL},
	{"a/ b/ b/x", "a", "b", 0, -ENOTEMPTY, NULL},
	{"a/", "a", "a/b", 0, -EINVAL, NULL},
	{"a/ a/b/", "a", "a/b/c", 0, -EINVAL, NULL},
	{"a/ a/b/", "a", "a/b", 0, -EINVAL, NULL},
	{"a/ a/b/", "a/b", "a", 0, -ENOTEMPTY, NULL},
	{"a/ a/b/ a/b/c", "a/b/c", "a", 0, -ENOTEMPTY, NULL},
	{"a", "a", "b", RENAME_NOREPLACE, 0, "b"},
	{"a b", "a", "b", RENAME_NOREPLACE, -EEXIST, NULL},
	{"a", "a", "a", RENAME_NOREPLACE, -EEXIST, NULL},
	{"d/ e/", "d", "e", RENAME_NOREPLACE, -EEXIST, NULL},
	{"a", "x", "a", RENAME_NOREPLACE, -ENOENT, NULL},
	{"a d/ d/b", "a", "d/b", RENAME_EXCHANGE, 0, "d/ d/b a"},
	{"a d/ d/x", "a", "d", RENAME_EXCHANGE, 0, "d a/ a/x"},
	{"d/ d/x a", "d", "a", RENAME_EXCHANGE, 0, "a/ a/x d"},
	{"a/ a/x b/ b/y", "a", "b", RENAME_EXCHANGE, 0, "b/ b/x a/ a/y"},
	{"a/ a/d/ a/d/x b/ b/f", "a/d", "b/f", RENAME_EXCHANGE, 0, "a/ a/d b/ b/f/ b/f/x"},
	{"a", "a", "a", RENAME_EXCHANGE, 0, NULL},
	{"a", "a", "b", RENAME_EXCHANGE, -ENOENT, NULL},
	{"a", "b", "a", RENAME_EXCHANGE, -ENOENT, NULL},
	{"a/ a/b/", "a", "a/b", RENAME_EXCHANGE, -EINVAL, NULL},
	{"a/ a/b/", "a/b", "a", RENAME_EXCHANGE, -EINVAL, NULL},
	{"a b", "a", "b", RENAME_WHITEOUT, -EINVAL, NULL},
	{"a b", "a", "b", RENAME_NOREPLACE | RENAME_EXCHANGE, -EINVAL, NULL},
	{"a b", "a", "b", 1U << 31, -EINVAL, NULL},
};

Test(namespace, renames_by_the_rules)
{
	for (size_t n = 0; n < ARRAY_SIZE(rename_cases); n++) {
		const struct rename_case *c = &rename_cases[n];
		const char *from, *to, *expected = c->after ? c->after : c->tree;
		char found[1000] = "", again[1000] = "";
		uint64_t from_dir, to_dir;

		teardown();
		setup();
		make_tree(c->tree);
		from_dir = walk(c->from, &from);
		to_dir = walk(c->to, &to);
		cr_expect_eq(pool_rename(&pool, from_dir, from, to_dir, to, c->flags), c->result,
			"%zu: %s: %s -> %s", n, c->tree, c->from, c->to);
		dump_tree(ROOT, "", found, sizeof(found));
		cr_expect_str_eq(found, expected, "%zu: %s: %s -> %s: %s", n, c->tree, c->from,
			c->to, found);
		pool_reopen(&pool, false);
		dump_tree(ROOT, "", again, sizeof(again));
		cr_expect_str_eq(again, found, "%zu", n);
	}
}

Test(namespace, refuses_to_rename_in_what_is_no_directory)
{
	uint64_t f = pool_create(&pool, ROOT, "f");

	cr_expect_eq(pool_rename(&pool, f, "x", ROOT, "y", 0), -ENOTDIR);
	cr_expect_eq(pool_rename(&pool, ROOT, "f", f, "y", 0), -ENOTDIR);
	cr_expect_eq(pool_rename(&pool, 999, "x", ROOT, "y", 0), -ENOENT);
	cr_expect_eq(pool_rename(&pool, ROOT, "f", 999, "y", 0), -ENOENT);
}
