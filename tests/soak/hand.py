#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
The hand of one client: makes the system calls that it is sent over stdin and answers over stdout, by pickle. It knows
nothing, so that it can be killed at any time: (function, arguments) comes in, (0, value) or (errno, text) goes out.
"""

import ctypes
import hashlib
import mmap
import os
import pickle
import stat
import struct
import sys

AT_FDCWD, AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, AT_STATX_FORCE_SYNC = -100, 0x1000, 0x100, 0x2000
STATX_BASIC = 0x7ff
libc = ctypes.CDLL(None, use_errno=True)


def check(result):
    if result != 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))


def statx(path, fd=AT_FDCWD):
    """What the worker says, not what the kernel remembers: mode, ino, nlink, uid, gid, size, blocks, mtime."""
    buffer = ctypes.create_string_buffer(256)
    flags = AT_STATX_FORCE_SYNC | AT_SYMLINK_NOFOLLOW | (AT_EMPTY_PATH if not path else 0)
    check(libc.statx(fd, os.fsencode(path), flags, STATX_BASIC, buffer))
    _, _, _, nlink, uid, gid, mode, _, ino, size, blocks = struct.unpack_from('<IIQIIIHHQQQ', buffer)
    seconds, nanoseconds = struct.unpack_from('<qI', buffer, 112)
    return mode, ino, nlink, uid, gid, size, blocks, seconds * 10**9 + nanoseconds


class Hand:
    """Paths are those below the mount."""

    def __init__(self, mount):
        self.mount = mount
        self.slots = {}

    def at(self, path):
        return f'{self.mount}/{path}'

    # -- names

    def create(self, path, mode):
        os.close(os.open(self.at(path), os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))

    def mkdir(self, path, mode):
        os.mkdir(self.at(path), mode)

    def symlink(self, path, target):
        os.symlink(target, self.at(path))

    def mkfifo(self, path, mode):
        os.mkfifo(self.at(path), mode)

    def link(self, old, new):
        os.link(self.at(old), self.at(new), follow_symlinks=False)

    def rename(self, old, new, flags):
        check(libc.renameat2(AT_FDCWD, os.fsencode(self.at(old)), AT_FDCWD, os.fsencode(self.at(new)), flags))

    def unlink(self, path):
        os.unlink(self.at(path))

    def rmdir(self, path):
        os.rmdir(self.at(path))

    # -- attributes

    def chmod(self, path, mode):
        os.chmod(self.at(path), mode)

    def chown(self, path, uid, gid):
        os.chown(self.at(path), uid, gid, follow_symlinks=False)

    def utime(self, path, mtime):
        os.utime(self.at(path), ns=(mtime, mtime), follow_symlinks=False)

    def setxattr(self, path, name, value, flags):
        os.setxattr(self.at(path), name, value, flags)

    def removexattr(self, path, name):
        os.removexattr(self.at(path), name)

    # -- sizes and bytes

    def truncate(self, path, size):
        os.truncate(self.at(path), size)

    def fallocate(self, path, mode, offset, length):
        self._with(path, lambda fd: check(libc.fallocate64(fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length))))

    def write(self, path, offset, data):
        return self._with(path, lambda fd: os.pwrite(fd, data, offset))

    def append(self, path, data):
        return self._with(path, lambda fd: os.write(fd, data), os.O_APPEND)

    def store(self, path, offset, data):
        """Through a shared mapping."""
        def through(fd):
            first = offset - offset % mmap.PAGESIZE
            with mmap.mmap(fd, offset + len(data) - first, offset=first) as m:
                m[offset - first:] = data
                m.flush()
        self._with(path, through)

    def read(self, path):
        return self._with(path, self._read_all)

    def _with(self, path, function, flags=0):
        fd = os.open(self.at(path), os.O_RDWR | flags)
        try:
            return function(fd)
        finally:
            os.close(fd)

    @staticmethod
    def _read_all(fd):
        """From the worker: what the page cache has is dropped first."""
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        data = b''
        while piece := os.pread(fd, 1 << 20, len(data)):
            data += piece
        return data

    # -- open files

    def open(self, slot, path):
        self.slots[slot] = os.open(self.at(path), os.O_RDWR)

    def close(self, slot):
        os.close(self.slots.pop(slot))

    def ftruncate(self, slot, size):
        os.ftruncate(self.slots[slot], size)

    def write_open(self, slot, offset, data):
        return os.pwrite(self.slots[slot], data, offset)

    def look_open(self, slot):
        """As an entry of look()."""
        fd = self.slots[slot]
        return (*statx('', fd), None, self._xattrs(fd), self._digest(self._read_all, fd))

    def let_go(self):
        """The mount that they were on is dead."""
        for fd in self.slots.values():
            try:
                os.close(fd)
            except OSError:
                pass
        self.slots.clear()

    # -- what is there

    def look(self, roots):
        """All that there is below the roots: {path: (*statx, target, attributes, digest of the bytes if it has some)}."""
        found = {}
        for root, prefix in roots:
            if not prefix:
                found[root] = self._look_at(root)
            self._walk(root, prefix, found)
        return found

    def _walk(self, directory, prefix, found):
        for name in os.listdir(self.at(directory)):
            if not name.startswith(prefix):
                continue
            path = f'{directory}/{name}'
            found[path] = self._look_at(path)
            if stat.S_ISDIR(found[path][0]):
                self._walk(path, '', found)

    def _look_at(self, path):
        full = self.at(path)
        attributes = statx(full)
        target = os.readlink(full) if stat.S_ISLNK(attributes[0]) else None
        digest = self._digest(self.read, path) if stat.S_ISREG(attributes[0]) else None
        return (*attributes, target, self._xattrs(full, follow_symlinks=False), digest)

    @staticmethod
    def _xattrs(what, **options):
        return {name: os.getxattr(what, name, **options) for name in os.listxattr(what, **options)}

    @staticmethod
    def _digest(read, what):
        try:
            return hashlib.blake2b(read(what), digest_size=16).digest()
        except OSError as e:
            if e.strerror != os.strerror(95):  # EOPNOTSUPP: memory, which is not read
                raise
            return None


def main():
    os.umask(0)
    hand = Hand(sys.argv[1])
    while True:
        try:
            name, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = (0, getattr(hand, name)(*arguments))
        except OSError as e:
            answer = (e.errno, str(e))
        pickle.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()


main()
