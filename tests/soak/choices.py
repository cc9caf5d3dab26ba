# SPDX-License-Identifier: MIT
"""
Which operation is next: one system call each, so that it is made or not made. The numbers drawn depend on the seed, the
client and the operation's number alone; so does the model that they choose on, since what a death has undone is done again.
"""

import dataclasses
import errno
import typing

from .memory import WORD
from .tree import BLOCK, EXCHANGE, NOREPLACE, blocks_for

INODES_MAX = 32
BLOCKS_MAX = 14           # of memory, for each client
CONTENT_MAX = 200_000     # bytes of a file
WRITE_MAX = 60_000
SLOTS_MAX, MAPPINGS_MAX = 4, 3
SIZES = (0, 8, 4096, 4096 + 8, BLOCK - 8, BLOCK, BLOCK + 8, 2 * BLOCK, 3 * BLOCK - 4096, 4 * BLOCK)
KEEP_SIZE, PUNCH_HOLE = 1, 2


@dataclasses.dataclass
class Op:
    call: tuple                                       # of the hand: its name and arguments
    apply: typing.Callable = lambda tree: None        # what it makes of the model
    idents: tuple = ()                                # whose history it belongs to
    error: int = 0                                    # it must fail with that
    may: tuple = ()                                   # or may: then nothing has changed
    unless_mapped: bool = False                       # it must fail with EBUSY as long as the mapper lives
    bytes_of: int | None = None                       # in doubt, each byte may be that of before or of after
    blur: typing.Callable | None = None               # the same for memory: what it makes of a model that is as before
    slot: int | None = None                           # the open file that it is asked of
    again: tuple = ()                                 # the call that repeats it, where a part may have been made
    back: tuple = ()                                  # chance decides whether it is refused: if not, these undo it


# -- names

def new_path(tree, rng, n, directories=None):
    paths = [path for path, inode in tree.walk() if inode.kind == 'd' and path.count('/') < 3]
    parent = rng.choice(sorted(directories or paths))
    return f'{parent}/{tree.prefixes.get(parent) or ""}n{n}'


def has_room(tree):
    return len(tree.inodes) < INODES_MAX


def make(kind, call, mode=0, directories=None):
    def choose(tree, rng, n):
        if not has_room(tree):
            return None
        path = new_path(tree, rng, n, directories and directories(tree))
        what = 'c' if kind == 'f' and tree.split(path)[0].has_content else kind
        target = '/'.join(['t' * rng.randrange(1, 200)] * rng.randrange(1, 5)) if kind == 'l' else None
        bits = 0o777 if kind == 'l' else mode | rng.randrange(0o100)
        return Op((call, path, target if kind == 'l' else bits), lambda t: t.make(path, what, bits, target),
                  (tree.split(path)[0].ident, tree.next_ident))
    return choose


def content_directories(tree):
    return [path for path, inode in tree.walk() if inode.has_content]


def existing(tree, rng, kinds):
    paths = tree.paths(kinds)
    return rng.choice(paths) if paths else None


def make_again(tree, rng, n):
    path = existing(tree, rng, 'dfclp')
    call = rng.choice(['create', 'mkdir', 'mkfifo'])
    return path and Op((call, path, 0o600), idents=(tree.find(path).ident,), error=errno.EEXIST)


def link(tree, rng, n):
    old, new = existing(tree, rng, 'fclp'), new_path(tree, rng, n)
    return old and Op(('link', old, new), lambda t: t.link(old, new), (tree.find(old).ident, tree.split(new)[0].ident))


def unlink(tree, rng, n):
    path = existing(tree, rng, 'fclp')
    return path and Op(('unlink', path), lambda t: t.remove(path), (tree.find(path).ident, tree.split(path)[0].ident))


def rmdir(tree, rng, n):
    path = existing(tree, rng, 'd')
    if not path:
        return None
    inode = tree.find(path)
    return Op(('rmdir', path), lambda t: t.remove(path), (inode.ident, tree.split(path)[0].ident),
              error=errno.ENOTEMPTY if inode.entries else 0)


def rename(tree, rng, n):
    old = existing(tree, rng, 'dfclp')
    if not old:
        return None
    flags = rng.choice([0, 0, 0, NOREPLACE, EXCHANGE])
    new = existing(tree, rng, 'dfclp') if flags == EXCHANGE or rng.random() < 0.5 else new_path(tree, rng, n)
    if (new + '/').startswith(old + '/') or old.startswith(new + '/'):
        return None
    idents = [tree.find(old).ident, tree.split(old)[0].ident, tree.split(new)[0].ident]
    idents += [tree.find(new).ident] if tree.exists(new) else []
    return Op(('rename', old, new, flags), lambda t: t.rename(old, new, flags), tuple(idents),
              error=rename_error(tree, old, new, flags))


def rename_error(tree, old, new, flags):
    if not tree.exists(new) or flags == EXCHANGE:
        return 0
    if flags == NOREPLACE:
        return errno.EEXIST
    a, b = tree.find(old), tree.find(new)
    if a is b:
        return 0
    if a.kind == 'd' and b.kind != 'd':
        return errno.ENOTDIR
    if a.kind != 'd' and b.kind == 'd':
        return errno.EISDIR
    return errno.ENOTEMPTY if b.entries else 0


# -- attributes

def chmod(tree, rng, n):
    path, mode = existing(tree, rng, 'dfcp'), rng.randrange(0o1000)
    return path and Op(('chmod', path, mode), lambda t: setattr(t.find(path), 'mode', mode), (tree.find(path).ident,))


def chown(tree, rng, n):
    path, uid, gid = existing(tree, rng, 'dfclp'), rng.randrange(100000), rng.randrange(100000)

    def apply(t):
        t.find(path).uid, t.find(path).gid = uid, gid

    return path and Op(('chown', path, uid, gid), apply, (tree.find(path).ident,))


def utime(tree, rng, n):
    path, time = existing(tree, rng, 'dfclp'), rng.randrange(1 << 62)
    return path and Op(('utime', path, time), lambda t: setattr(t.find(path), 'mtime', time), (tree.find(path).ident,))


def setxattr(tree, rng, n):
    path = existing(tree, rng, 'dfc')
    if not path:
        return None
    name, value, flags = f'user.a{rng.randrange(4)}', rng.randbytes(rng.randrange(200)), rng.choice([0, 1, 2])
    there = name in tree.find(path).xattrs
    error = errno.EEXIST if flags == 1 and there else errno.ENODATA if flags == 2 and not there else 0
    return Op(('setxattr', path, name, value, flags), lambda t: t.find(path).xattrs.update({name: value}),
              (tree.find(path).ident,), error=error)


def removexattr(tree, rng, n):
    path, name = existing(tree, rng, 'dfc'), f'user.a{rng.randrange(4)}'
    if not path:
        return None
    there = name in tree.find(path).xattrs
    return Op(('removexattr', path, name), lambda t: t.find(path).xattrs.pop(name), (tree.find(path).ident,),
              error=0 if there else errno.ENODATA)


# -- memory

def blocks_in_use(tree):
    return sum(len(inode.blocks) for inode in tree.inodes.values())


def resized(inode, call, size, find, slot=None):
    return Op((*call, size), lambda t: t.resize(find(t), size), (inode.ident,), slot=slot)


def resize(tree, inode, call, size, find, slot=None):
    """
    Of what somebody maps, a smaller size is refused; of what somebody may still have, it may be. Then the file gets its
    size back, and has the same blocks as if it had been refused.
    """
    op = resized(inode, call, size, find, slot)
    if inode.kind != 'f':
        return op
    old, new = blocks_for(inode.size()), blocks_for(size)
    if blocks_in_use(tree) + new - old > BLOCKS_MAX:
        return None
    if size < inode.size() and inode.was_granted:
        if not inode.blocks.issuperset(range(new, old)):
            return None  # what has holes would not get them back
        op.may, op.unless_mapped = (errno.EBUSY,), tree.is_mapped(inode)
        op.back = (resized(inode, call, inode.size(), find, slot),)
    return op


def truncate(tree, rng, n):
    path = existing(tree, rng, 'f')
    return path and resize(tree, tree.find(path), ('truncate', path), rng.choice(SIZES), lambda t: t.find(path))


def word(rng, limit):
    return rng.randrange(limit // WORD) * WORD


def allocated(path, inode, offset, length):
    return Op(('fallocate', path, 0, offset, length), lambda t: t.allocate(t.find(path), offset, length), (inode.ident,))


def allocate(tree, rng, n):
    path = existing(tree, rng, 'f')
    if not path:
        return None
    inode, offset, length = tree.find(path), word(rng, 3 * BLOCK), WORD + word(rng, 2 * BLOCK)
    more = set(range(offset // BLOCK, blocks_for(offset + length)))
    more |= set(range(blocks_for(inode.size()), blocks_for(offset + length)))
    if blocks_in_use(tree) + len(more - inode.blocks) > BLOCKS_MAX:
        return None
    return allocated(path, inode, offset, length)


def filled_again(path, inode, start, end):
    """The blocks that it loses by a hole, as far as the file reaches."""
    for block in sorted(inode.blocks & set(range(blocks_for(start), end // BLOCK))):
        yield allocated(path, inode, block * BLOCK, min(BLOCK, inode.size() - block * BLOCK))


def punch(tree, rng, n):
    path = existing(tree, rng, 'f')
    if not path or tree.is_mapped(tree.find(path)) or not tree.find(path).size():
        return None
    inode = tree.find(path)
    start, end = sorted(rng.choice([word(rng, inode.size()), word(rng, inode.size()) // BLOCK * BLOCK]) for _ in '12')
    end = blocks_for(end + 1) * BLOCK if rng.random() < 0.5 else end + WORD
    if inode.size() - end < BLOCK:  # what ends in the last block ends with it
        end = blocks_for(inode.size()) * BLOCK
    return Op(('fallocate', path, KEEP_SIZE | PUNCH_HOLE, start, end - start),
              lambda t: t.punch(t.find(path), start, end - start), (inode.ident,),
              may=(errno.EBUSY,) if inode.was_granted else (),
              back=tuple(filled_again(path, inode, start, end)) if inode.was_granted else (),
              blur=lambda t: t.find(path).memory.may_be(start, end, 'zero'))


# -- contents

def content_range(tree, rng, path):
    return rng.randrange(CONTENT_MAX - WRITE_MAX), rng.choice([1, 100, 4096, 5000, WRITE_MAX])


def write(tree, rng, n):
    path = existing(tree, rng, 'c')
    if not path:
        return None
    offset, length = content_range(tree, rng, path)
    data, ident = rng.randbytes(length), tree.find(path).ident
    return Op(('write', path, offset, data), lambda t: t.write(t.inodes[ident], offset, data), (ident,), bytes_of=ident)


def append(tree, rng, n):
    path = existing(tree, rng, 'c')
    if not path or tree.find(path).size() > CONTENT_MAX:
        return None
    data, ident, end = rng.randbytes(rng.choice([1, 100, 5000])), tree.find(path).ident, tree.find(path).size()
    return Op(('append', path, data), lambda t: t.write(t.inodes[ident], end, data), (ident,), bytes_of=ident,
              again=('write', path, end, data))


def store(tree, rng, n):
    """Through a mapping, so inside the file."""
    path = existing(tree, rng, 'c')
    if not path or not tree.find(path).size():
        return None
    ident, size = tree.find(path).ident, tree.find(path).size()
    offset = rng.randrange(size)
    data = rng.randbytes(min(size - offset, rng.choice([1, 100, 5000])))
    return Op(('store', path, offset, data), lambda t: t.write(t.inodes[ident], offset, data), (ident,), bytes_of=ident)


def content_truncate(tree, rng, n):
    path = existing(tree, rng, 'c')
    if not path:
        return None
    size = rng.choice([0, rng.randrange(CONTENT_MAX), rng.randrange(tree.find(path).size() + 1)])
    return resize(tree, tree.find(path), ('truncate', path), size, lambda t: t.find(path))


def content_punch(tree, rng, n):
    path = existing(tree, rng, 'c')
    if not path:
        return None
    ident, (offset, length) = tree.find(path).ident, content_range(tree, rng, path)
    return Op(('fallocate', path, KEEP_SIZE | PUNCH_HOLE, offset, length),
              lambda t: t.punch(t.inodes[ident], offset, length), (ident,), bytes_of=ident)


def content_allocate(tree, rng, n):
    path = existing(tree, rng, 'c')
    if not path:
        return None
    offset, length = content_range(tree, rng, path)
    return Op(('fallocate', path, 0, offset, length), lambda t: t.allocate(t.find(path), offset, length),
              (tree.find(path).ident,))


# -- open files

def open_file(tree, rng, n):
    path = existing(tree, rng, 'fc')
    if not path or len(tree.slots) >= SLOTS_MAX:
        return None
    return Op(('open', n, path), lambda t: t.open(n, path), (tree.find(path).ident,))


def a_slot(tree, rng, kinds):
    slots = [slot for slot, ident in sorted(tree.slots.items()) if tree.inodes[ident].kind in kinds]
    return rng.choice(slots) if slots else None


def close_file(tree, rng, n):
    slot = a_slot(tree, rng, 'fc')
    return slot is not None and Op(('close', slot), lambda t: t.close(slot), (tree.slots[slot],), slot=slot)


def truncate_open(tree, rng, n):
    slot = a_slot(tree, rng, 'fc')
    if slot is None:
        return None
    inode = tree.inodes[tree.slots[slot]]
    size = rng.choice(SIZES) if inode.kind == 'f' else rng.randrange(CONTENT_MAX)
    return resize(tree, inode, ('ftruncate', slot), size, lambda t: t.inodes[inode.ident], slot)


def write_open(tree, rng, n):
    slot = a_slot(tree, rng, 'c')
    if slot is None:
        return None
    ident, (offset, length) = tree.slots[slot], content_range(tree, rng, None)
    data = rng.randbytes(length)
    return Op(('write_open', slot, offset, data), lambda t: t.write(t.inodes[ident], offset, data), (ident,),
              bytes_of=ident, slot=slot)


CHOICES = [
    (10, make('f', 'create', 0o600)), (6, make('f', 'create', 0o600, content_directories)),
    (6, make('d', 'mkdir', 0o700)), (3, make('l', 'symlink')), (2, make('p', 'mkfifo', 0o600)), (3, make_again),
    (8, link), (13, unlink), (5, rmdir), (16, rename),
    (4, chmod), (4, chown), (4, utime), (6, setxattr), (3, removexattr),
    (12, truncate), (5, allocate), (5, punch),
    (10, write), (5, append), (4, store), (5, content_truncate), (3, content_punch), (2, content_allocate),
    (5, open_file), (4, close_file), (3, truncate_open), (3, write_open),
]


def choose(tree, rng, n):
    """The n-th operation."""
    while True:
        op = rng.choices([function for _, function in CHOICES], [weight for weight, _ in CHOICES])[0](tree, rng, n)
        if op:
            return op
