// SPDX-License-Identifier: MIT
/*
 * The empty FUSE server: what an operation costs when the server does nothing. It knows no files,
 * only which of the benchmark's names exist (a letter and a number: a bit), and answers at once.
 *
 *	bench_empty_server MOUNTPOINT	in the foreground, one thread
 */
#define FUSE_USE_VERSION 314

#include <err.h>
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NUMBERS     (1U << 20) /* of a letter */
#define LETTERS     26U
#define DIRECTORIES 1024U
#define TIMEOUT     86400.0

/* An inode number: the directory that it is named in, the letter, the number. The root is 1. */
#define INO(dir, letter, number)                                                                   \
	((((uint64_t)(dir)) << 32 | (uint64_t)((letter) + 1) << 20 | (number)) + 2)

struct directory {
	uint64_t *bits[LETTERS]; /* NULL: none of its names exists */
};

/* 0 is the root, n + 1 its entry "dn". */
static struct directory directories[DIRECTORIES];

static bool is_directory(fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID || (ino >> 32 == 0 && ((ino - 2) >> 20) == 'd' - 'a' + 1U);
}

static uint32_t index_of(fuse_ino_t directory)
{
	return directory == FUSE_ROOT_ID ? 0 : (uint32_t)((directory - 2) & (NUMBERS - 1)) + 1;
}

/* The inode number of a name, 0 if it is none of ours. */
static fuse_ino_t ino_of(fuse_ino_t parent, const char *name)
{
	char *end;
	unsigned long number = strtoul(name + 1, &end, 10);

	if (!is_directory(parent) || index_of(parent) >= DIRECTORIES || *name < 'a' ||
		*name > 'z' || *end || end == name + 1 || number >= NUMBERS)
		return 0;
	return INO(index_of(parent), *name - 'a', number);
}

static uint64_t *word_of(fuse_ino_t ino)
{
	struct directory *d = &directories[(ino - 2) >> 32];
	uint64_t **bits = &d->bits[(((ino - 2) >> 20) & 0xfff) - 1];

	if (!*bits)
		*bits = calloc(NUMBERS / 64, sizeof(**bits));
	if (!*bits)
		err(EXIT_FAILURE, "the bits of a directory");
	return *bits + ((ino - 2) & (NUMBERS - 1)) / 64;
}

static uint64_t bit_of(fuse_ino_t ino)
{
	return 1ULL << ((ino - 2) & 63);
}

static bool exists(fuse_ino_t ino)
{
	return *word_of(ino) & bit_of(ino);
}

static struct stat attributes(fuse_ino_t ino)
{
	bool directory = is_directory(ino);

	return (struct stat){
		.st_ino = ino,
		.st_mode = directory ? S_IFDIR | 0755 : S_IFREG | 0644,
		.st_nlink = directory ? 2 : 1,
		.st_blksize = 4096,
	};
}

static struct fuse_entry_param entry(fuse_ino_t ino)
{
	return (struct fuse_entry_param){
		.ino = ino,
		.attr = attributes(ino),
		.attr_timeout = TIMEOUT,
		.entry_timeout = TIMEOUT,
	};
}

static void empty_init(void *data, struct fuse_conn_info *conn)
{
	(void)data;
	conn->want &=
		~(unsigned)FUSE_CAP_READDIRPLUS_AUTO; /* every listing is one with attributes */
	/* As the mount has them: ls -l asks for the access control list of each file. */
	conn->want |= conn->capable & (FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK);
}

static void empty_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	(void)ino, (void)name, (void)size;
	fuse_reply_err(req, ENODATA);
}

static void empty_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	fuse_ino_t ino = ino_of(parent, name);
	struct fuse_entry_param e = {.entry_timeout = TIMEOUT};

	if (ino && exists(ino))
		e = entry(ino);
	fuse_reply_entry(req, &e);
}

static void empty_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st = attributes(ino);

	(void)fi;
	fuse_reply_attr(req, &st, TIMEOUT);
}

static void empty_create(
	fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	fuse_ino_t ino = ino_of(parent, name);
	struct fuse_entry_param e = entry(ino);

	(void)mode;
	if (!ino) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	*word_of(ino) |= bit_of(ino);
	fi->direct_io = 1;
	fi->noflush = 1;
	fuse_reply_create(req, &e, fi);
}

static void empty_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	fuse_ino_t ino = ino_of(parent, name);
	struct fuse_entry_param e = entry(ino);

	(void)mode;
	if (!ino) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	*word_of(ino) |= bit_of(ino);
	fuse_reply_entry(req, &e);
}

/* unlink and rmdir */
static void empty_remove(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	fuse_ino_t ino = ino_of(parent, name);

	if (ino)
		*word_of(ino) &= ~bit_of(ino);
	fuse_reply_err(req, ino ? 0 : ENOENT);
}

static void empty_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
	const char *newname, unsigned flags)
{
	fuse_ino_t from = ino_of(parent, name), to = ino_of(newparent, newname);

	(void)flags;
	if (from && to) {
		*word_of(from) &= ~bit_of(from);
		*word_of(to) |= bit_of(to);
	}
	fuse_reply_err(req, from && to ? 0 : EINVAL);
}

static void empty_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fuse_reply_open(req, fi);
}

static void empty_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino, (void)fi;
	fuse_reply_err(req, 0);
}

/* Places: letter and number of the name behind which a listing goes on, plus 1. */
static void empty_readdirplus(
	fuse_req_t req, fuse_ino_t ino, size_t size, off_t place, struct fuse_file_info *fi)
{
	struct directory *d = &directories[index_of(ino)];
	char *buf = malloc(size), name[16];
	size_t length = 0;

	(void)fi;
	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	for (uint64_t at = (uint64_t)place; at < (uint64_t)LETTERS * NUMBERS; at++) {
		uint64_t *bits = d->bits[at / NUMBERS], number = at % NUMBERS;

		if (!bits) {
			at |= NUMBERS - 1;
			continue;
		}
		if (!(bits[number / 64] & 1ULL << (number % 64)))
			continue;
		/* As cheap as a name can be made. */
		unsigned digits = 7;
		for (uint64_t rest = number; digits > 0; rest /= 10)
			name[digits--] = (char)('0' + rest % 10);
		name[0] = (char)('a' + at / NUMBERS);
		name[8] = '\0';
		struct fuse_entry_param e = entry(INO(index_of(ino), at / NUMBERS, number));
		size_t room = size - length;
		size_t need =
			fuse_add_direntry_plus(req, buf + length, room, name, &e, (off_t)at + 1);

		if (need > room)
			break;
		length += need;
	}
	fuse_reply_buf(req, buf, length);
	free(buf);
}

static const struct fuse_lowlevel_ops operations = {
	.init = empty_init,
	.lookup = empty_lookup,
	.getattr = empty_getattr,
	.getxattr = empty_getxattr,
	.create = empty_create,
	.mkdir = empty_mkdir,
	.unlink = empty_remove,
	.rmdir = empty_remove,
	.rename = empty_rename,
	.open = empty_open,
	.release = empty_release,
	.opendir = empty_open,
	.releasedir = empty_release,
	.readdirplus = empty_readdirplus,
};

int main(int argc, char **argv)
{
	char *words[] = {argv[0], (char *)"-o",
		(char *)"allow_other,default_permissions,nosuid,nodev,fsname=empty"};
	struct fuse_args args = FUSE_ARGS_INIT(3, words);
	struct fuse_session *session;
	int r = 1;

	if (argc != 2)
		errx(2, "it takes a mount point");
	session = fuse_session_new(&args, &operations, sizeof(operations), NULL);
	if (!session)
		return EXIT_FAILURE; /* it has said why */
	if (fuse_set_signal_handlers(session) == 0 && fuse_session_mount(session, argv[1]) == 0) {
		r = fuse_session_loop(session);
		fuse_session_unmount(session);
	}
	fuse_session_destroy(session);
	return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
