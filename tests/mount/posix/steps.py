# SPDX-License-Identifier: MIT
"""
The steps of the tables: system calls on names in one directory. A name is a path in it; NAME255, NAME256, PATH4096 and
EMPTY stand for what could not be written; `file`, `dir` and so on make what they say, in the set-up. After `open` or
`opendir` the calls that have no name are about what was opened last.
"""

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import resource
import socket
import stat

import acls

AT_FDCWD = -100
SEEK = {'SET': os.SEEK_SET, 'CUR': os.SEEK_CUR, 'END': os.SEEK_END, 'DATA': os.SEEK_DATA, 'HOLE': os.SEEK_HOLE}
ACCESS = {'F': os.F_OK, 'R': os.R_OK, 'W': os.W_OK, 'X': os.X_OK}
RENAME = {'NOREPLACE': 1, 'EXCHANGE': 2, 'WHITEOUT': 4, 'BOTH': 3}
FALLOCATE = {'0': 0, 'KEEP': 1, 'PUNCH': 2, 'PUNCH+KEEP': 3, 'COLLAPSE': 8, 'ZERO': 16, 'INSERT': 32, 'UNSHARE': 64}
XATTR = {'0': 0, 'CREATE': os.XATTR_CREATE, 'REPLACE': os.XATTR_REPLACE}
XATTRS = {'QUOTA': 'user.guestmemfs.quota', 'PAGES': 'user.guestmemfs.pagesize', 'IO': 'user.guestmemfs.io'}
TYPES = {'file': stat.S_IFREG, 'fifo': stat.S_IFIFO, 'socket': stat.S_IFSOCK, 'char': stat.S_IFCHR, 'block': stat.S_IFBLK,
         'dir': stat.S_IFDIR}
NAMES = {**errno.errorcode, errno.EOPNOTSUPP: 'EOPNOTSUPP'}  # Linux has another name for the same
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
LITERAL = {'NAME255': 'n' * 255, 'NAME256': 'n' * 256, 'PATH4096': 'p/' * 2048, 'EMPTY': '', 'TARGET4095': 't' * 4095,
           'TARGET4096': 't' * 4096}

libc = ctypes.CDLL(None, use_errno=True)


def _call(name, *arguments):
    """Of libc, with errno as an exception."""
    ctypes.set_errno(0)
    r = getattr(libc, name)(*arguments)
    if r < 0:
        raise OSError(ctypes.get_errno(), name)
    return r


def _bytes(text):
    """12, 4k, 2M, -1"""
    return int(text[:-1]) * {'k': 1 << 10, 'M': 1 << 20, 'G': 1 << 30, 'T': 1 << 40}[text[-1]] if text[-1] in 'kMGT' else int(text)


def _flags(text):
    value = 0
    for word in text.split('+'):
        value |= getattr(os, f'O_{word}')
    return value


def _text(data):
    """What was read, with dots for zeros."""
    return data.replace(b'\0', b'.').decode()


class Timespec(ctypes.Structure):
    _fields_ = [('seconds', ctypes.c_long), ('nanoseconds', ctypes.c_long)]


class Steps:
    def __init__(self, top, user):
        self.top, self.user = top, user
        self.files = []
        self.owners = {}

    # -- who and how

    @contextlib.contextmanager
    def as_user(self, umask):
        """Effective ids only, so that root comes back; the kernel judges by these."""
        groups, before = os.getgroups(), os.umask(umask)
        os.setgroups([])
        os.setegid(self.user.gid)
        os.seteuid(self.user.uid)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(groups)
            os.umask(before)

    def run(self, steps):
        for word, *arguments in steps:
            getattr(self, f'do_{word}')(*arguments)

    def judge(self, step):
        try:
            return 'ok', getattr(self, f'do_{step[0]}')(*step[1:])
        except OSError as e:
            return NAMES.get(e.errno, str(e.errno)), None

    def settle(self):
        """All that the set-up has made belongs to the user, unless it said otherwise; that costs no set-id bits."""
        for path, directories, files in os.walk(self.top):
            for name in [*directories, *files, *([''] if path == self.top else [])]:
                full = os.path.normpath(os.path.join(path, name))
                mode = os.lstat(full).st_mode
                os.chown(full, *self.owners.get(os.path.relpath(full, self.top), (self.user.uid, self.user.gid)),
                         follow_symlinks=False)
                if not stat.S_ISLNK(mode):
                    os.chmod(full, stat.S_IMODE(mode))

    def at(self, name):
        name = LITERAL.get(name, name)
        return os.path.join(self.top, name) if name else ''

    @property
    def last(self):
        return self.files[-1]

    # -- set-up only

    def do_file(self, name, mode='644', size='0'):
        fd = os.open(self.at(name), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        os.ftruncate(fd, _bytes(size))
        os.fchmod(fd, int(mode, 8))
        os.close(fd)

    def do_dir(self, name, mode='755'):
        os.mkdir(self.at(name))
        os.chmod(self.at(name), int(mode, 8))

    def do_top(self, mode):
        os.chmod(self.top, int(mode, 8))

    def do_owner(self, name, uid, gid):
        self.owners[name] = (int(uid), int(gid))

    # -- names

    def do_open(self, name, flags, mode='0'):
        self.files.append(os.open(self.at(name), _flags(flags), int(mode, 8)))

    def do_opendir(self, name):
        self.files.append(os.open(self.at(name), os.O_RDONLY | os.O_DIRECTORY))

    def do_mkdir(self, name, mode='777'):
        os.mkdir(self.at(name), int(mode, 8))

    def do_mknod(self, name, kind, mode='666', device='0:0'):
        os.mknod(self.at(name), TYPES[kind] | int(mode, 8), os.makedev(*map(int, device.split(':'))))

    def do_bind(self, name):
        """A socket; by way of the directory, for the path of one has 108 bytes."""
        fd = os.open(self.top, os.O_PATH)
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.bind(f'/proc/self/fd/{fd}/{name}')
        finally:
            os.close(fd)

    def do_unlink(self, name):
        _call('unlink', os.fsencode(self.at(name)))

    def do_rmdir(self, name):
        _call('rmdir', os.fsencode(self.at(name)))

    def do_rename(self, old, new, flags=''):
        _call('renameat2', AT_FDCWD, os.fsencode(self.at(old)), AT_FDCWD, os.fsencode(self.at(new)), RENAME.get(flags, 0))

    def do_link(self, old, new):
        _call('linkat', AT_FDCWD, os.fsencode(self.at(old)), AT_FDCWD, os.fsencode(self.at(new)), 0)

    def do_linkfollow(self, old, new):
        _call('linkat', AT_FDCWD, os.fsencode(self.at(old)), AT_FDCWD, os.fsencode(self.at(new)), 0x400)

    def do_symlink(self, target, name):
        os.symlink(LITERAL.get(target, target), self.at(name))

    def do_readlink(self, name):
        return os.readlink(self.at(name))

    # -- attributes

    def do_stat(self, name):
        return oct(os.stat(self.at(name)).st_mode)[2:]

    def do_lstat(self, name):
        return oct(os.lstat(self.at(name)).st_mode)[2:]

    def do_access(self, name, modes):
        if not os.access(self.at(name), sum(ACCESS[letter] for letter in modes), effective_ids=True):
            raise OSError(errno.EACCES, name)

    def do_chmod(self, name, mode):
        os.chmod(self.at(name), int(mode, 8))

    def do_fchmod(self, mode):
        os.fchmod(self.last, int(mode, 8))

    def do_chown(self, name, uid, gid):
        os.chown(self.at(name), int(uid), int(gid))

    def do_lchown(self, name, uid, gid):
        os.lchown(self.at(name), int(uid), int(gid))

    def do_fchown(self, uid, gid):
        os.fchown(self.last, int(uid), int(gid))

    def do_truncate(self, name, size):
        os.truncate(self.at(name), _bytes(size))

    def do_ftruncate(self, size):
        os.ftruncate(self.last, _bytes(size))

    def do_utimens(self, name, atime, mtime):
        """Each is now, omit, or seconds.nanoseconds; of a symlink itself."""
        times = (Timespec * 2)()
        for n, text in enumerate((atime, mtime)):
            special = {'now': UTIME_NOW, 'omit': UTIME_OMIT}.get(text)
            whole, _, part = text.partition('.')
            times[n] = Timespec(0, special) if special else Timespec(int(whole), int((part or '0').ljust(9, '0')))
        _call('utimensat', AT_FDCWD, os.fsencode(self.at(name)), times, 0x100)

    def do_utimed(self, name, atime, mtime):
        """utimens, and the two as they are then, in ns."""
        self.do_utimens(name, atime, mtime)
        st = os.lstat(self.at(name))
        return f'{st.st_atime_ns},{st.st_mtime_ns}'

    def do_fstat(self):
        return oct(os.fstat(self.last).st_mode)[2:]

    def do_fnlink(self):
        return os.fstat(self.last).st_nlink

    def do_room(self, name):
        """What df says of the place: bytes in all, bytes free."""
        st = os.statvfs(self.at(name))
        return f'{st.f_blocks * st.f_frsize},{st.f_bavail * st.f_frsize}'

    # -- what is in files

    def do_read(self, size='1'):
        return len(os.read(self.last, _bytes(size)))

    def do_write(self, text='x'):
        return os.write(self.last, LITERAL.get(text, text).encode())

    def do_writev(self, *texts):
        return os.writev(self.last, [text.encode() for text in texts])

    def do_pwrite(self, offset, text):
        return os.pwrite(self.last, text.encode(), _bytes(offset))

    def do_pread(self, offset, size):
        return _text(os.pread(self.last, _bytes(size), _bytes(offset)))

    def do_dwrite(self, offset, size):
        """As O_DIRECT wants it: from memory that begins with a page."""
        with mmap.mmap(-1, _bytes(size)) as memory:
            memory[:] = b'd' * len(memory)
            return os.pwritev(self.last, [memory], _bytes(offset))

    def do_dread(self, offset, size):
        with mmap.mmap(-1, _bytes(size)) as memory:
            return _text(memory[:os.preadv(self.last, [memory], _bytes(offset))])

    def do_mapwrite(self, kind, offset, text):
        """To all of the file, and out to it again."""
        with mmap.mmap(self.last, 0, flags=getattr(mmap, f'MAP_{kind}'), prot=mmap.PROT_READ | mmap.PROT_WRITE) as memory:
            memory[int(offset):int(offset) + len(text)] = text.encode()
            memory.flush()

    def do_mapread(self, offset, size):
        with mmap.mmap(self.last, 0, prot=mmap.PROT_READ) as memory:
            return _text(memory[int(offset):int(offset) + int(size)])

    # From what was opened before the last to the last.

    def do_copyrange(self, offset, size):
        return os.copy_file_range(self.files[-2], self.last, _bytes(size), _bytes(offset))

    def do_sendfile(self, offset, size):
        return os.sendfile(self.last, self.files[-2], _bytes(offset), _bytes(size))

    def do_splice(self, offset, size):
        """Through a pipe."""
        out, into = os.pipe()
        try:
            moved = os.splice(self.files[-2], into, _bytes(size), _bytes(offset))
            return os.splice(out, self.last, moved)
        finally:
            os.close(out)
            os.close(into)

    def do_limit(self, size):
        """Of this process's files."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (_bytes(size), _bytes(size)))

    def do_lseek(self, offset, whence):
        return os.lseek(self.last, _bytes(offset), SEEK[whence])

    def do_fallocate(self, mode, offset, length):
        _call('fallocate', self.last, FALLOCATE[mode], ctypes.c_long(_bytes(offset)), ctypes.c_long(_bytes(length)))

    def do_fsync(self):
        os.fsync(self.last)

    def do_fdatasync(self):
        os.fdatasync(self.last)

    def do_flist(self):
        return '+'.join(sorted(os.listdir(self.last)))

    def do_list(self, name):
        return '+'.join(sorted(os.listdir(self.at(name))))

    def do_flock(self, how):
        fcntl.flock(self.last, {'SH': fcntl.LOCK_SH, 'EX': fcntl.LOCK_EX, 'UN': fcntl.LOCK_UN}[how] | fcntl.LOCK_NB)

    def do_lock(self, how, start, length):
        fcntl.lockf(self.last, {'SH': fcntl.LOCK_SH, 'EX': fcntl.LOCK_EX, 'UN': fcntl.LOCK_UN}[how] | fcntl.LOCK_NB,
                    _bytes(length), _bytes(start))

    def do_close(self):
        os.close(self.files.pop())

    # -- extended attributes: QUOTA, PAGES and IO are those that set policies

    def do_setxattr(self, name, key, value, flags='0'):
        data = b'' if value == 'EMPTY' else b'v' * int(value[1:]) if value[0] == '*' else value.encode()
        os.setxattr(self.at(name), XATTRS.get(key, key), data, XATTR[flags], follow_symlinks=False)

    def do_getxattr(self, name, key):
        return os.getxattr(self.at(name), XATTRS.get(key, key), follow_symlinks=False).decode()

    def do_removexattr(self, name, key):
        os.removexattr(self.at(name), XATTRS.get(key, key), follow_symlinks=False)

    def do_setacl(self, name, words, which='access'):
        os.setxattr(self.at(name), acls.ATTRIBUTE[which], acls.pack(words), follow_symlinks=False)

    def do_getacl(self, name, which='access'):
        return acls.unpack(os.getxattr(self.at(name), acls.ATTRIBUTE[which], follow_symlinks=False))

    def do_listxattr(self, name):
        return '+'.join(sorted(os.listxattr(self.at(name), follow_symlinks=False)))
