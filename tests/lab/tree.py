# SPDX-License-Identifier: MIT
"""A tree of files as stat tells of it: making one that has something of everything, recording one, telling two apart."""

import errno
import hashlib
import os
import stat
import struct

from dax import BLOCK

# Name, owner, group, mode, blocks (None: a directory), nanoseconds of the mtime. All that a filesystem could round,
# mask or mix up.
EXAMPLES = (
    ('d', 0, 0, 0o755, None, 1_000_000_000_000_000_001),
    ('d/sticky', 1000, 100, 0o1777, None, 1_234_567_890_123_456_789),
    ('d/setgid', 0, 4_000_000_000, 0o2750, None, 999_999_999),
    ('d/sticky/nobodys', 65534, 65534, 0o600, 1, 1_700_000_000_999_999_999),
    ('d/sticky/empty', 4_000_000_000, 0, 0o000, 0, 0),
    ('d/setgid/\u00fcml\u00e4ut and blanks', 1000, 1000, 0o4711, 3, 4_102_444_800_000_000_007),
    (f'd/{"x" * 255}', 1, 2, 0o444, 2, 1_600_000_000_500_000_000),
)


# What has no memory, with owner and nanoseconds of the mtime; a symlink's permissions are no one's to choose.
NODES = (
    ('d/sticky/fifo', stat.S_IFIFO | 0o1640, 0, 1000, 1_111_111_111_111_111_111),
    ('d/setgid/socket', stat.S_IFSOCK | 0o755, 0, 1, 2**33 * 10**9 + 5),
    ('d/char', stat.S_IFCHR | 0o666, os.makedev(4095, (1 << 20) - 1), 0, 2),
    ('d/block', stat.S_IFBLK | 0o2660, os.makedev(259, 70_000), 6, 1_500_000_000_000_000_003),
)
SYMLINKS = (
    ('d/to-a-file', 'sticky/nobodys', 1000, 1_650_000_000_000_000_009),
    ('d/setgid/long', 'x' * 4095, 0, -1),
    ('d/sticky/dangling', '/nowhere/\u00fcberhaupt', 65534, 1_000_000_000),
)
LINKS = (  # a name, and one more for the same
    ('d/sticky/nobodys', 'd/setgid/nobodys too'),
    ('d/sticky/nobodys', 'd/third'),
    ('d/sticky/fifo', 'd/fifo too'),
    ('d/sticky/dangling', 'd/dangling too'),
)


def make_nodes(top):
    for name, mode, device, owner, when in NODES:
        os.mknod(f'{top}/{name}', mode, device)
        os.chown(f'{top}/{name}', owner, owner)
        os.chmod(f'{top}/{name}', stat.S_IMODE(mode))
        os.utime(f'{top}/{name}', ns=(when, when + 1))
    for name, target, owner, when in SYMLINKS:
        os.symlink(target, f'{top}/{name}')
        os.lchown(f'{top}/{name}', owner, owner)
        os.utime(f'{top}/{name}', ns=(when, when), follow_symlinks=False)
    for name, other in LINKS:
        os.link(f'{top}/{name}', f'{top}/{other}', follow_symlinks=False)


def access_list(*entries):
    """As the kernel takes it: (tag, permissions, id) each."""
    return struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *entry) for entry in entries)


NOBODY = 0xffffffff
QUOTA = 'user.guestmemfs.quota'  # is there, and is not listed
LIST = access_list((1, 7, NOBODY), (2, 5, 4_000_000_000), (4, 0, NOBODY), (8, 7, 100), (0x10, 5, NOBODY),
                   (0x20, 0, NOBODY))
ATTRIBUTES = (
    ('d', QUOTA, b'1099511627776'),
    ('d', 'user.guestmemfs.pagesize', b'2M'),
    ('d/setgid', 'system.posix_acl_default', LIST),
    ('d/sticky/nobodys', 'system.posix_acl_access', LIST),
    ('d/sticky/nobodys', 'user.empty', b''),
    ('d/sticky/nobodys', f'user.{"n" * 250}', bytes(range(256)) * 256),
    ('d/sticky/empty', 'trusted.overlay.opaque', b'y'),
    ('d/sticky/empty', 'security.something', b'\0'),
)


def make_tree(top):
    for name, _, _, _, blocks, _ in EXAMPLES:
        path = f'{top}/{name}'
        if blocks is None:
            os.mkdir(path)
            continue
        with open(path, 'xb') as f:
            os.truncate(f.fileno(), blocks * BLOCK)
    make_nodes(top)
    for name, attribute, value in ATTRIBUTES:
        os.setxattr(f'{top}/{name}', attribute, value)
    # From the leaves up, for a name that is made in a directory changes its times; the mode last, for chown drops bits.
    for name, owner, group, mode, _, when in reversed(EXAMPLES):
        os.chown(f'{top}/{name}', owner, group)
        os.chmod(f'{top}/{name}', mode)
        os.utime(f'{top}/{name}', ns=(when, when))


def value_of(path, attribute):
    """Its length and sum; None if there is none."""
    try:
        value = os.getxattr(path, attribute, follow_symlinks=False)
    except OSError as e:
        if e.errno != errno.ENODATA:
            raise
        return None
    return [len(value), hashlib.sha256(value).hexdigest()]


def attributes_of(path):
    names = sorted(os.listxattr(path, follow_symlinks=False)) + [QUOTA]
    return {name: value_of(path, name) for name in names}


def record_of(path):
    """What JSON can carry. The size of a directory means nothing."""
    st = os.lstat(path)
    return [st.st_ino, oct(st.st_mode), st.st_nlink, st.st_uid, st.st_gid,
            None if stat.S_ISDIR(st.st_mode) else st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_atime_ns,
            st.st_rdev, os.readlink(path) if stat.S_ISLNK(st.st_mode) else None, attributes_of(path)]


def record_tree(top):
    """The record of each file and directory, by its path from top on."""
    found = {'.': record_of(top)}
    for directory, directories, files in os.walk(top):
        for name in directories + files:
            path = os.path.join(directory, name)
            found[os.path.relpath(path, top)] = record_of(path)
    return found


def differences(now, before):
    """One line for each path that is not as it was."""
    return '\n'.join(f'{path}: was {before.get(path)}, is {now.get(path)}'
                     for path in sorted(before.keys() | now.keys()) if before.get(path) != now.get(path))
