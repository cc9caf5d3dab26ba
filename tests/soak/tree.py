# SPDX-License-Identifier: MIT
"""
The model of one client's part of the mount: what its own operations must have made of it. It knows of nothing but those,
and takes a number only where the mount alone can choose it: that of an inode, once.
"""

import dataclasses
import hashlib
import stat

from .memory import Memory

BLOCK = 2 << 20
NOREPLACE, EXCHANGE = 1, 2
TYPES = {'d': stat.S_IFDIR, 'f': stat.S_IFREG, 'c': stat.S_IFREG, 'l': stat.S_IFLNK, 'p': stat.S_IFIFO}


@dataclasses.dataclass
class Inode:
    """kind: d directory, f file of memory, c file with content, l symlink, p FIFO."""
    ident: int
    kind: str
    mode: int
    uid: int = 0
    gid: int = 0
    ino: int | None = None      # not seen yet
    mtime: int | None = None    # of now, and not known
    links: int = 1
    xattrs: dict = dataclasses.field(default_factory=dict)
    target: str | None = None
    entries: dict = dataclasses.field(default_factory=dict)  # of a directory: names and idents
    has_content: bool = False                                # of a directory: files that are made in it are c
    memory: Memory = dataclasses.field(default_factory=Memory)
    blocks: set = dataclasses.field(default_factory=set)     # of a file of memory: those that it has
    data: bytearray = dataclasses.field(default_factory=bytearray)
    was_granted: bool = False

    def size(self):
        if self.kind == 'l':
            return len(self.target)
        return self.memory.size if self.kind == 'f' else len(self.data)


class Tree:
    """roots: {path: the prefix of names that are ours there}. A root with a prefix is shared, and not looked at itself."""

    def __init__(self, roots):
        self.inodes = {}
        self.next_ident = 0
        self.roots = {path: self._new('d', 0o755).ident for path in roots}
        self.prefixes = dict(roots)
        self.slots = {}     # open files: idents
        self.mappings = {}  # (ident, offset, length)

    # -- finding

    def find(self, path):
        for root, ident in self.roots.items():
            if path == root or path.startswith(root + '/'):
                inode = self.inodes[ident]
                for name in path[len(root) + 1:].split('/') if path != root else ():
                    inode = self.inodes[inode.entries[name]]
                return inode
        raise KeyError(path)

    def split(self, path):
        parent, _, name = path.rpartition('/')
        return self.find(parent), name

    def exists(self, path):
        parent, name = self.split(path)
        return name in parent.entries

    def walk(self):
        """(path, inode) of all names, the roots included."""
        todo = list(self.roots.items())
        while todo:
            path, ident = todo.pop()
            inode = self.inodes[ident]
            yield path, inode
            todo += [(f'{path}/{name}', i) for name, i in inode.entries.items()]

    def paths(self, kinds):
        return sorted(path for path, inode in self.walk() if inode.kind in kinds and path not in self.roots)

    def path_of(self, ident):
        return next((path for path, inode in self.walk() if inode.ident == ident), None)

    def is_mapped(self, inode):
        return any(ident == inode.ident for ident, _, _ in self.mappings.values())

    # -- names

    def _new(self, kind, mode, **attributes):
        inode = Inode(self.next_ident, kind, mode, **attributes)
        self.inodes[inode.ident] = inode
        self.next_ident += 1
        return inode

    def make(self, path, kind, mode, target=None):
        parent, name = self.split(path)
        inode = self._new(kind, mode, target=target, has_content=parent.has_content and kind == 'd')
        parent.entries[name] = inode.ident
        parent.mtime = None

    def link(self, old, new):
        inode = self.find(old)
        parent, name = self.split(new)
        parent.entries[name] = inode.ident
        parent.mtime = None
        inode.links += 1

    def remove(self, path):
        parent, name = self.split(path)
        self._drop(parent.entries.pop(name))
        parent.mtime = None

    def _drop(self, ident):
        self.inodes[ident].links -= 1
        self._forget(ident)

    def _forget(self, ident):
        """What has no name lives on while it is open or mapped."""
        users = [*self.slots.values(), *(m[0] for m in self.mappings.values())]
        if self.inodes[ident].links == 0 and ident not in users:
            del self.inodes[ident]

    def rename(self, old, new, flags):
        (source, a), (target, b) = self.split(old), self.split(new)
        replaced = target.entries.get(b)
        if source.entries[a] == replaced:
            return  # two names of one inode: nothing is done
        if flags & EXCHANGE:
            source.entries[a], target.entries[b] = target.entries[b], source.entries[a]
        else:
            target.entries[b] = source.entries.pop(a)
            if replaced is not None:
                self._drop(replaced)
        source.mtime = target.mtime = None

    # -- open files and mappings

    def open(self, slot, path):
        self.slots[slot] = self.find(path).ident

    def close(self, slot):
        self._forget(self.slots.pop(slot))

    def map(self, number, ident, offset, length):
        self.mappings[number] = (ident, offset, length)

    def unmap(self, number):
        self._forget(self.mappings.pop(number)[0])

    def unmap_all(self):
        for number in list(self.mappings):
            self.unmap(number)

    # -- sizes and bytes

    def resize(self, inode, size):
        """A larger size takes the blocks that it adds; a smaller one gives them back. Contents have holes instead."""
        inode.mtime = None
        if inode.kind == 'c':
            inode.data[size:] = bytes(max(0, size - len(inode.data)))
            return
        old, new = blocks_for(inode.memory.size), blocks_for(size)
        inode.blocks = {b for b in inode.blocks if b < new} | set(range(old, new))
        inode.memory.resize(size)

    def allocate(self, inode, offset, length):
        end = offset + length
        inode.mtime = None
        if end > inode.size():
            self.resize(inode, end)
        if inode.kind == 'f':
            inode.blocks |= set(range(offset // BLOCK, blocks_for(end)))

    def write(self, inode, offset, data):
        inode.mtime = None
        inode.data.extend(bytes(max(0, offset - len(inode.data))))
        inode.data[offset:offset + len(data)] = data

    def punch(self, inode, offset, length):
        end = offset + length
        inode.mtime = None
        if inode.kind == 'c':
            end = min(end, len(inode.data))
            inode.data[offset:end] = bytes(max(0, end - offset))
            return
        inode.blocks -= set(range(blocks_for(offset), end // BLOCK))
        inode.memory.set(offset, end, 'zero')

    # -- comparing

    def expected(self, inode):
        """As hand.look() has it; None where nothing is known."""
        blocks = {'f': len(inode.blocks) * BLOCK // 512, 'c': None, 'd': None}.get(inode.kind, 0)
        links = inode.links
        if inode.kind == 'd':
            links = 2 + sum(self.inodes[i].kind == 'd' for i in inode.entries.values())
        digest = hashlib.blake2b(inode.data, digest_size=16).digest() if inode.kind == 'c' else None
        size = None if inode.kind == 'd' else inode.size()
        return (TYPES[inode.kind] | inode.mode, inode.ino, links, inode.uid, inode.gid, size, blocks, inode.mtime,
                inode.target, inode.xattrs, digest)

    FIELDS = ('mode', 'ino', 'links', 'uid', 'gid', 'size', 'blocks', 'mtime', 'target', 'attributes', 'bytes')

    def differences(self, found):
        """Between what must be there and what was found: (path, ident, sentence)."""
        wanted = dict(self.walk())
        for path in [*sorted(wanted), *sorted(found.keys() - wanted.keys())]:
            if path not in wanted:
                yield path, None, 'is there and must not be'
            elif self.prefixes.get(path):
                continue
            elif path not in found:
                yield path, wanted[path].ident, 'is not there'
            else:
                sentence = self.difference(wanted[path], found[path])
                if sentence:
                    yield path, wanted[path].ident, sentence

    def difference(self, inode, found):
        """With one inode; a sentence, or nothing."""
        parts = []
        for name, a, b in zip(self.FIELDS, self.expected(inode), found):
            if a != b and (a is not None or name in ('target', 'bytes')):
                show = oct if name == 'mode' else repr
                parts.append(f'{name}: {show(b)}, must be {show(a)}')
        return '; '.join(parts)

    def learn(self, found):
        """The numbers of inodes, after a comparison without differences: (number, ident) of new ones."""
        for path, inode in self.walk():
            if inode.ino is None and path in found:
                inode.ino = found[path][1]
                yield inode.ino, inode.ident


def blocks_for(size):
    return -(-size // BLOCK)
