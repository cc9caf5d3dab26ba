# SPDX-License-Identifier: MIT
"""
A storm of metadata changes that goes on until its host dies, and the tree that must be there afterwards.

Each process of it works in a directory of its own, on a row of changes that a seed decides. What it has done is on the
share, outside: a change begins only when the one before it is recorded as acknowledged, so that record is also the one
that the next change has begun. Of the tree that is found then, all acknowledged changes must be in place; of the one
after them, all or nothing.
"""

import dataclasses
import mmap
import os
import random
import signal
import stat
import struct
import time
import traceback

from dax import BLOCK

MOST_FILES = 12
MOST_DIRECTORIES = 5
MOST_BLOCKS = 2
COUNT = struct.Struct('<Q')


@dataclasses.dataclass
class Node:
    mode: int
    uid: int = 0
    gid: int = 0
    size: int | None = 0  # of a directory: None
    mtime: int | None = None  # None: whatever the clock said

    def is_directory(self):
        return self.size is None


class Expected:
    """The tree as the changes so far have left it, and what the next one is."""

    def __init__(self, seed):
        self.nodes = {}
        self._chance = random.Random(seed)
        self._made = 0

    def names(self, directories):
        return [name for name, node in self.nodes.items() if node.is_directory() == directories]

    def empty_directories(self):
        return [name for name in self.names(True) if not any(other.startswith(f'{name}/') for other in self.nodes)]

    def _new_name(self):
        self._made += 1
        directory = self._chance.choice(['', *(f'{name}/' for name in self.names(True))])
        return f'{directory}{self._chance.choice(("", "a longer name, of no use but to fill records, "))}{self._made}'

    def next_change(self):
        """(kind, name, argument), one that must succeed."""
        files, empty = self.names(False), self.empty_directories()
        chance = self._chance
        kinds = ['create'] * 3 * (len(files) < MOST_FILES) + ['mkdir'] * (len(self.names(True)) < MOST_DIRECTORIES)
        kinds += ['chmod', 'chown', 'truncate', 'utime', 'rename', 'replace', 'unlink'] * (len(files) > 1)
        kinds += ['rmdir'] * bool(empty)
        kind = chance.choice(kinds)
        if kind in ('create', 'mkdir'):
            return kind, self._new_name(), chance.randrange(0o1000)
        if kind == 'rmdir':
            return kind, chance.choice(empty), None
        name = chance.choice(files)
        argument = {'chmod': lambda: chance.randrange(0o1000),
                    'chown': lambda: (chance.randrange(1 << 31), chance.randrange(1 << 31)),
                    'truncate': lambda: chance.randrange(MOST_BLOCKS + 1) * BLOCK,
                    'utime': lambda: chance.randrange(1 << 61),
                    'rename': self._new_name,
                    'replace': lambda: chance.choice([other for other in files if other != name]),
                    'unlink': lambda: None}[kind]()
        return kind, name, argument

    def take(self, change):
        kind, name, argument = change
        node = self.nodes.get(name)
        if kind == 'create':
            self.nodes[name] = Node(argument)
        elif kind == 'mkdir':
            self.nodes[name] = Node(argument, size=None)
        elif kind == 'chmod':
            node.mode = argument
        elif kind == 'chown':
            node.uid, node.gid = argument
        elif kind == 'truncate':
            node.size, node.mtime = argument, None
        elif kind == 'utime':
            node.mtime = argument
        elif kind in ('rename', 'replace'):
            self.nodes[argument] = self.nodes.pop(name)
        else:
            del self.nodes[name]

    def differences(self, found):
        """found: as found_in() gives it. One line for each that is not as it should be."""
        wrong = [f'{name}: should be {self.nodes.get(name)}, is {found.get(name)}'
                 for name in sorted(self.nodes.keys() ^ found.keys())]
        for name in sorted(self.nodes.keys() & found.keys()):
            node, there = self.nodes[name], found[name]
            if node != dataclasses.replace(there, mtime=node.mtime and there.mtime):
                wrong.append(f'{name}: should be {node}, is {there}')
        return wrong


def perform(top, change):
    kind, name, argument = change
    path = f'{top}/{name}'
    if kind == 'create':
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, argument))
    elif kind == 'mkdir':
        os.mkdir(path, argument)
    elif kind == 'chmod':
        os.chmod(path, argument)
    elif kind == 'chown':
        os.chown(path, *argument)
    elif kind == 'truncate':
        os.truncate(path, argument)
    elif kind == 'utime':
        os.utime(path, ns=(argument, argument))
    elif kind in ('rename', 'replace'):
        os.rename(path, f'{top}/{argument}')
    elif kind == 'unlink':
        os.unlink(path)
    else:
        os.rmdir(path)


def found_in(top):
    found = {}
    for directory, directories, files in os.walk(top):
        for name in directories + files:
            path = os.path.join(directory, name)
            st = os.lstat(path)
            found[os.path.relpath(path, top)] = Node(
                stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid,
                None if stat.S_ISDIR(st.st_mode) else st.st_size, st.st_mtime_ns)
    return found


class Storm:
    """Several processes at it. Of what it needs on the share, each has a file: the number of changes acknowledged."""

    def __init__(self, lab, mount, name, seed, processes=2):
        self.lab = lab
        self.name = name
        self.seed = seed
        self.tops = [f'{mount}/{name}.{n}' for n in range(processes)]
        self.records = [lab.share.path(f'storm.{name}.{n}') for n in range(processes)]
        self._pids = []

    def start(self):
        self._counts = mmap.mmap(-1, COUNT.size * len(self.tops))
        for n, top in enumerate(self.tops):
            os.mkdir(top)
            pid = os.fork()
            if pid == 0:
                try:
                    self._rage(n)
                except BaseException:  # pylint: disable=broad-exception-caught # a child must not return
                    with open(f'{self.records[n]}.trouble', 'w', encoding='utf-8') as f:
                        traceback.print_exc(file=f)
                os._exit(1)
            self._pids.append(pid)

    def _rage(self, n):
        os.umask(0)
        expected = Expected(f'{self.seed} {n}')
        record = os.open(self.records[n], os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        done = 0
        while True:
            os.pwrite(record, COUNT.pack(done), 0)
            COUNT.pack_into(self._counts, n * COUNT.size, done)
            change = expected.next_change()
            perform(self.tops[n], change)
            expected.take(change)
            done += 1

    def wait_for(self, changes, timeout):
        """Until so many are acknowledged, of all processes together."""
        deadline = time.monotonic() + timeout
        while sum(self._done()) < changes and time.monotonic() < deadline and self._all_rage():
            time.sleep(0.01)
        self.lab.claim(sum(self._done()) >= changes and self._all_rage(),
                       f'{changes} changes by {len(self._pids)} processes, and they go on',
                       f'{self._done()} are done; {self._troubles()}')

    def _done(self):
        return [COUNT.unpack_from(self._counts, n * COUNT.size)[0] for n in range(len(self.tops))]

    def _all_rage(self):
        return all(os.waitpid(pid, os.WNOHANG)[0] == 0 for pid in self._pids)

    def _troubles(self):
        found = []
        for record in self.records:
            if os.path.exists(f'{record}.trouble'):
                with open(f'{record}.trouble', encoding='utf-8') as f:
                    found.append(f.read())
        return '\n'.join(found)

    def end(self):
        """If the host has not died."""
        for pid in self._pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    # -- in the next boot

    def check(self):
        """How many changes were acknowledged before the host died."""
        self.lab.check(not self._troubles(), 'no change failed', self._troubles())
        total, wrong = 0, []
        for n, top in enumerate(self.tops):
            with open(self.records[n], 'rb') as f:
                done, = COUNT.unpack(f.read())
            wrong += self._wrong_in(n, top, done)
            total += done
        self.lab.check(not wrong, f'storm {self.name}: every one of {total} acknowledged changes is there', '\n'.join(wrong))
        return total

    def _wrong_in(self, n, top, done):
        expected, found = Expected(f'{self.seed} {n}'), found_in(top)
        for _ in range(done):
            expected.take(expected.next_change())
        wrong = expected.differences(found)
        if not wrong:
            return []
        change = expected.next_change()
        expected.take(change)
        if not expected.differences(found):
            return []
        return [f'{top} after {done} changes:', *wrong, f'nor is it as after the next one, {change}:',
                *expected.differences(found)]
