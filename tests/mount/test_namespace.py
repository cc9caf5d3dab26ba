# SPDX-License-Identifier: MIT
"""
The same random operations on a mount and on a directory of tmpfs: the same errno each time, and the same tree. What
tmpfs does is what Linux programs expect.
"""

import errno
import os
import random
import stat
import time

from harness import ROOT
from persona import RENAME_EXCHANGE, RENAME_NOREPLACE, as_user, errno_of, renameat2

BLOCK = 2 << 20
SECONDS = 6  # a run
STEPS_MIN, STEPS_MAX = 500, 30000
COMPARE_EACH = 50
OPEN_MAX = 6
NAMES = ['a', 'b', 'c', 'd', 'long' * 20, '\u00e9\u0301']
SIZES = [0, 1, 4095, 4096, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK]
TARGETS = ['a', 'b', 'c/a', 'd', 'nowhere', '', 'x' * 4095, 'x' * 4096]  # none leads out of the tree
MODES = [0o000, 0o600, 0o644, 0o755, 0o2755, 0o1777, 0o4711]


def attributes(st):
    directory = stat.S_ISDIR(st.st_mode)
    return (oct(st.st_mode), st.st_nlink, st.st_uid, st.st_gid, None if directory else st.st_size, st.st_rdev)


def tree_of(top):
    picture = {}
    for path, directories, files in os.walk(top, onerror=None):
        for name in ['', *directories, *files]:
            picture[os.path.relpath(os.path.join(path, name), top)] = attributes(os.lstat(os.path.join(path, name)))
    return picture


def inodes_of(top):
    """Each once, whatever its names are: is it a file, and of what size."""
    seen = {}
    for path, directories, files in os.walk(top):
        for name in ['', *directories, *files]:
            st = os.lstat(os.path.join(path, name))
            seen[st.st_ino] = stat.S_ISREG(st.st_mode), st.st_size
    return seen


class Side:
    """One of the two trees, with the files that are open on it."""

    def __init__(self, top):
        self.top = top
        self.files = []

    def do(self, operation, *arguments):
        """The errno, 0 if it went well, and what it returned."""
        try:
            return 0, getattr(self, operation)(*arguments)
        except OSError as e:
            return e.errno, None

    def at(self, path):
        return os.path.join(self.top, path)

    def create(self, path, mode, flags):
        fd = os.open(self.at(path), flags | os.O_NONBLOCK, mode)  # no FIFO waits
        if stat.S_ISREG(os.fstat(fd).st_mode):
            self.files.append(fd)
        else:
            os.close(fd)  # the kernel tells no server of it, so that it is gone with its last name

    def close(self, index):
        os.close(self.files.pop(index))

    def resize_open(self, index, size):
        os.ftruncate(self.files[index], size)

    def stat_open(self, index):
        return attributes(os.fstat(self.files[index]))

    def unlink(self, path):
        os.unlink(self.at(path))

    def mkdir(self, path, mode):
        os.mkdir(self.at(path), mode)

    def rmdir(self, path):
        os.rmdir(self.at(path))

    def rename(self, old, new, flags):
        renameat2(self.at(old), self.at(new), flags)

    def link(self, old, new):
        os.link(self.at(old), self.at(new), follow_symlinks=False)

    def symlink(self, target, path):
        os.symlink(target, self.at(path))

    def readlink(self, path):
        return os.readlink(self.at(path))

    def mknod(self, path, mode):
        os.mknod(self.at(path), mode)

    def lchown(self, path, uid, gid):
        os.lchown(self.at(path), uid, gid)

    def lstat(self, path):
        return attributes(os.lstat(self.at(path)))

    def truncate(self, path, size):
        os.truncate(self.at(path), size)

    def chmod(self, path, mode):
        os.chmod(self.at(path), mode)

    def chown(self, path, uid, gid):
        os.chown(self.at(path), uid, gid)

    def utime(self, path, times):
        os.utime(self.at(path), ns=times)
        st = os.stat(self.at(path))
        return st.st_atime_ns, st.st_mtime_ns

    def stat(self, path):
        return attributes(os.stat(self.at(path)))

    def listdir(self, path):
        return sorted(os.listdir(self.at(path)))


def some_path(rng):
    parts = [rng.choice(NAMES) for _ in range(rng.choice([1, 1, 2, 2, 3]))]
    if rng.random() < 0.02:
        parts.append(rng.choice(['.', '..', 'x' * 255, 'x' * 256]))
    return '/'.join(parts)


def some_operation(rng, open_count, is_root):
    """Its name and arguments. Only root may give files away, for only root goes on whatever their mode is."""
    path = some_path(rng)
    flags = os.O_CREAT | rng.choice([0, os.O_EXCL, os.O_TRUNC]) | rng.choice([os.O_RDONLY, os.O_RDWR])
    nodes = [stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFREG]  # whether a device opens depends on how tmpfs is mounted
    choices = [
        (6, 'create', path, rng.choice(MODES) | (0 if is_root else 0o700), flags),
        (5, 'link', path, some_path(rng)),
        (3, 'symlink', rng.choice(TARGETS), path),
        (3, 'mknod', path, rng.choice(nodes) | rng.choice(MODES) | (0 if is_root else 0o700)),
        (2, 'readlink', path),
        (2, 'lstat', path),
        (2, 'lchown', path, rng.choice([-1, 0, 1000]), rng.choice([-1, 0, 1000])),
        (3, 'unlink', path),
        (4, 'mkdir', path, rng.choice(MODES) | (0 if is_root else 0o700)),
        (2, 'rmdir', path),
        (8, 'rename', path, some_path(rng), rng.choice([0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE])),
        (3, 'truncate', path, rng.choice(SIZES)),
        (2, 'chmod', path, rng.choice(MODES) | (0 if is_root else 0o700)),
        (2, 'chown', path, rng.choice([-1, 0, 1000]), rng.choice([-1, 0, 1000])),
        (1, 'utime', path, (rng.randrange(2**60), rng.randrange(2**60))),
        (2, 'stat', path),
        (1, 'listdir', path),
    ]
    if open_count:
        index = rng.randrange(open_count)
        choices += [(8 if open_count > OPEN_MAX else 2, 'close', index), (2, 'stat_open', index),
                    (2, 'resize_open', index, rng.choice(SIZES))]
    weights = [choice[0] for choice in choices]
    return rng.choices(choices, weights)[0][1:]


def run_both(seed, ours, theirs):
    rng = random.Random(seed)
    sides = Side(ours), Side(theirs)
    deadline = time.monotonic() + SECONDS
    history, successes = [], 0
    for step in range(STEPS_MAX):
        operation = some_operation(rng, len(sides[0].files), os.getuid() == 0)
        got, wanted = (side.do(*operation) for side in sides)
        history.append((operation, errno.errorcode.get(wanted[0], wanted[0])))
        assert got == wanted, (f'GM_SEED={seed}, step {step}, {operation}: the mount says {got}, tmpfs {wanted}; '
                               f'before it {history[-6:-1]}')
        successes += wanted[0] == 0
        if step % COMPARE_EACH == 0:
            assert tree_of(ours) == tree_of(theirs), f'GM_SEED={seed}, after step {step}: {history[-COMPARE_EACH:]}'
        if step >= STEPS_MIN and time.monotonic() > deadline:
            break
    assert tree_of(ours) == tree_of(theirs), f'GM_SEED={seed}, at the end: {history[-COMPARE_EACH:]}'
    for side in sides:
        while side.files:
            side.close(0)
    return step + 1, successes


def test_random_operations_do_what_they_do_on_tmpfs(make_instance, user, workdir, seed):
    instance = make_instance(user=user, size='640M').start()
    model = os.path.join(workdir, 'model')
    os.mkdir(model, 0o755)
    os.chown(model, user.uid, user.gid)
    os.chmod(instance.directory, 0o755)
    steps, successes = as_user(user, run_both, seed, instance.mount, model, timeout=100)
    print(f'{steps} steps, {successes} of them changed or read something')
    assert steps > STEPS_MIN and successes > steps // 10, 'too little was tried to prove anything'

    tree = as_user(user, tree_of, instance.mount)
    files = as_user(user, inodes_of, instance.mount)
    used = sum(-(-size // BLOCK) for is_file, size in files.values() if is_file)
    assert instance.wait_status(lambda s: s['orphans'] == 0)['blocks']['used'] == used
    assert instance.status()['files']['count'] == len(files)
    assert instance.stop() == 0
    done = instance.fsck()
    assert done.returncode == 0, done.stdout
    instance.restart()
    assert as_user(user, tree_of, instance.mount) == tree


def test_the_comparison_sees_differences(workdir):
    """So that the one above can't pass for want of looking."""
    one, other = (os.path.join(workdir, name) for name in ('one', 'other'))
    for top in (one, other):
        os.makedirs(top + '/d')
    assert tree_of(one) == tree_of(other)
    os.chmod(one + '/d', 0o700)
    assert tree_of(one) != tree_of(other)
    assert Side(one).do('rmdir', 'none') == (errno.ENOENT, None) != Side(one).do('rmdir', 'd')
    assert errno_of(Side(other).create, 'f', 0o600, os.O_RDWR) == errno.ENOENT
    assert as_user(ROOT, os.listdir, one) == []
