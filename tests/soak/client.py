# SPDX-License-Identifier: MIT
"""
One client: asks for operations, applies to its model what was answered, finds out what became of those that nobody
answered, and compares again and again.
"""

import collections
import copy
import errno
import os
import random
import time

from .callers import AgentError, AgentGone, HANGS, Hand, HandGone, Mapper
from .choices import MAPPINGS_MAX, choose
from .load import load
from .memory import WORD
from .tree import BLOCK, Tree

PAUSE = 0.002   # seconds between two operations: the clients are not to keep the processors to themselves
MAPS, LOOKS, LOADS = 0.08, 0.03, 0.004  # parts of the operations
SEEDS_MAX = 4            # that the agent compares with at once
HISTORY = 60
# Of a helper that starts, of a mount that dies, of a ticket that a worker gave out before it died.
AGAIN = ('EAGAIN', 'ECONNREFUSED', 'ECONNRESET', 'ENOENT', 'ENOTCONN', 'ECONNABORTED', 'EKEYREJECTED')


class Mismatch(AssertionError):
    """What is there is not what must be there."""


class Client:
    def __init__(self, name, seed, life, agent_program):
        self.name, self.seed, self.life = name, seed, life
        self.n = 0
        self.tree = Tree({name: '', 'shared': name + '-'})
        self.hand = Hand(life.instance.mount)
        self.mapper = Mapper(agent_program)
        self.epoch = self.deaths = 0      # as the life had them when we last looked
        self.counts = collections.Counter()
        self.doubts = collections.Counter()
        self.slowest = (0, '')
        self.recent = collections.deque(maxlen=HISTORY)
        self.histories = collections.defaultdict(lambda: collections.deque(maxlen=HISTORY))

    def prepare(self):
        """Before anybody is killed."""
        directory = f'{self.name}/io'
        self.hand.call('mkdir', self.name, 0o755)
        self.hand.call('mkdir', directory, 0o755)
        self.hand.call('setxattr', directory, 'user.guestmemfs.io', b'1', 0)
        self.tree.make(directory, 'd', 0o755)
        self.tree.find(directory).has_content = True
        self.check()

    def run(self, stop):
        while not stop.is_set():
            self.step()
            if not self.life.hurry:
                stop.wait(PAUSE)

    def step(self):
        self.n += 1
        rng = random.Random(f'{self.seed}/{self.name}/{self.n}')
        what = rng.random()
        self.keep_up()
        self.life.count()
        if what < MAPS:
            self.use_memory(rng)
        elif what < MAPS + LOOKS:
            self.check()
        elif what < MAPS + LOOKS + LOADS:
            load(self, rng)
        else:
            self.perform(choose(self.tree, rng, self.n))

    def end(self):
        self.hand.end()
        self.mapper.end()

    # -- what is noted

    def note(self, idents, sentence):
        line = f'{self.life.clock():8.3f} {self.name} #{self.n} {sentence:.400}'
        self.recent.append(line)
        for ident in idents:
            self.histories[ident].append(line)

    def fail(self, sentence, ident=None):
        path = self.tree.path_of(ident) if ident is not None else None
        self.life.add_evidence(path)
        history = '\n'.join(self.histories[ident]) if ident is not None else ''
        raise Mismatch(f'{self.name} #{self.n}: {sentence}\n-- history of {path}\n{history}\n-- last operations\n' +
                       '\n'.join(self.recent))

    # -- operations

    def perform(self, op):
        name, *arguments = op.call
        window, begin = self.life.epoch, time.monotonic()
        sentence = f'{name}({", ".join(f"{a!r:.60}" for a in arguments)})'
        try:
            answer = self.hand.call(*op.call)
        except HandGone:
            self.settle(op, sentence, 'its caller was killed')
            return
        except OSError as e:
            if e.errno == op.error or e.errno in op.may:
                self.note(op.idents, f'{sentence} = {errno.errorcode[e.errno]}')
                self.counts['refused as it must be' if op.error else 'refused: busy'] += 1
            elif self.life.excuses(window):
                self.settle(op, sentence, str(e))
            else:
                self.note(op.idents, f'{sentence} = {errno.errorcode[e.errno]}')
                self.fail(f'{sentence} fails: {e}', op.idents[0])
            return
        self.note(op.idents, f'{sentence} = {answer}')
        if op.error or (op.unless_mapped and self.mapper.is_alive()):
            self.fail(f'{sentence} is done and must be refused', op.idents[0])
        if name in ('write', 'append', 'write_open') and answer != len(arguments[-1]):
            if self.life.excuses(window):
                self.settle(op, sentence, f'{answer} bytes only')
                return
            self.fail(f'{sentence} has written {answer} bytes only', op.idents[0])
        op.apply(self.tree)
        self.counts[name] += 1
        self.took(begin, sentence)

    def took(self, begin, sentence):
        now = time.monotonic()
        self.life.was_served(begin, now)
        self.slowest = max(self.slowest, (now - begin, sentence))

    # -- whoever has died

    def keep_up(self):
        """After each death all is compared; after one that took the mount along, open files are gone."""
        if self.hand.process.poll() is not None or self.epoch != self.life.epoch:
            self.recover([self.tree])
        if not self.mapper.is_alive() or self.mapper.is_used_up():
            self.renew_mapper()
        if self.deaths != self.life.deaths:
            self.deaths = self.life.deaths
            self.check()

    def recover(self, trees):
        """A mount that serves, and a hand without open files, as in the models."""
        deadline = time.monotonic() + HANGS
        while True:
            epoch = self.life.wait_serving()
            try:
                if self.hand.process.poll() is not None:
                    self.hand.end()
                    self.hand = Hand(self.life.instance.mount)
                self.hand.call('let_go')
                break
            except HandGone:
                if time.monotonic() > deadline:
                    self.fail('no caller of system calls lives long enough')
        self.epoch = epoch
        for tree in trees:
            tree.close_all()

    def renew_mapper(self):
        self.mapper.renew()
        self.tree.unmap_all()

    def asked(self, name, *arguments, may=None):
        """A call that must be answered, however often somebody dies meanwhile; that error is an answer too."""
        while True:
            window = self.life.epoch
            try:
                return self.hand.call(name, *arguments)
            except HandGone:
                self.recover([self.tree])
            except OSError as e:
                if e.errno == may and not self.life.excuses(window):
                    return None
                if not self.life.excuses(window):
                    self.fail(f'{name}{arguments} fails: {e}')
                self.recover([self.tree])

    # -- what nobody has answered

    def settle(self, op, sentence, why):
        """It was made or not made: what is there decides."""
        before, after = self.tree, copy.deepcopy(self.tree)
        if not op.error:
            op.apply(after)
        self.recover([before])
        after.close_all()
        found = self.asked('look', list(before.prefixes.items()))
        outcomes = [('not made', before), ('made', after)]
        if op.bytes_of is not None:
            outcomes.append(('made in part', self.made_in_part(op.bytes_of, before, after)))
        for outcome, tree in outcomes:
            differences = list(tree.differences(found)) if tree else []
            if tree and not differences:
                break
            self.note(op.idents, f'{sentence}: {why}; not "{outcome}": {differences}')
        else:
            self.fail(f'{sentence}: {why}; then neither what was before nor what was to be', op.idents[0])
        self.note(op.idents, f'{sentence}: {why}; {outcome}')
        self.tree = tree
        self.doubts[outcome] += 1
        if op.blur and outcome == 'not made':
            op.blur(self.tree)
        self.check()

    def made_in_part(self, ident, before, after):
        """
        A write is made in pieces, from its beginning: each byte may be that of before or of after, and a file that was to
        grow has grown by a part. It is what it is from now on.
        """
        tree = copy.deepcopy(after)
        path = tree.path_of(ident)
        if path is None:
            return None
        old, new = before.inodes[ident].data, after.inodes[ident].data
        data = self.asked('read', path)
        if not min(len(old), len(new)) <= len(data) <= max(len(old), len(new)) or any(
                byte != new[at] and (at >= len(old) or byte != old[at]) for at, byte in enumerate(data)):
            return None
        tree.inodes[ident].data[:] = data
        return tree

    # -- comparing

    def check(self):
        """All that there is."""
        found = self.asked('look', list(self.tree.prefixes.items()))
        for path, ident, text in self.tree.differences(found):
            self.fail(f'{path} {text}', ident)
        for ino, ident in self.tree.learn(found):
            self.life.is_new_inode(ino, f'{self.name}/{ident}') or self.fail(f'inode {ino} is there twice', ident)
        self.check_open_files()
        self.check_mappings()
        self.counts['all compared'] += 1

    def check_open_files(self):
        for slot, ident in list(self.tree.slots.items()):
            window = self.life.epoch
            try:
                found = self.hand.call('look_open', slot)
            except HandGone:
                return
            except OSError as e:
                if self.life.excuses(window):
                    return
                self.fail(f'open file {slot}: {e}', ident)
            text = self.tree.difference(self.tree.inodes[ident], found)
            if text:
                self.fail(f'open file {slot}: {text}', ident)

    def check_mappings(self):
        try:
            for number, (ident, offset, length) in self.tree.mappings.items():
                self.check_mapping(number, ident, offset, length)
        except AgentGone:
            self.renew_mapper()

    def check_mapping(self, number, ident, offset, length):
        for start, end, values in self.tree.inodes[ident].memory.parts(offset, offset + length):
            if len(values) <= SEEDS_MAX:
                try:
                    self.mapper('check-part', number, start, end - start, *sorted(values, key=str))
                except AgentError as e:
                    self.fail(f'memory from {start} to {end} is not {set(values)}: {e}', ident)

    # -- memory

    def use_memory(self, rng):
        what = rng.choice(['map', 'map', 'fill', 'fill', 'compare', 'unmap', 'leave'])
        try:
            if what == 'map':
                self.map_file(rng)
            elif what == 'leave':
                if rng.random() < 0.2:
                    self.renew_mapper()
            elif self.tree.mappings:
                getattr(self, what)(rng, rng.choice(sorted(self.tree.mappings)))
        except AgentGone:
            self.renew_mapper()

    def map_file(self, rng):
        """The first run of blocks that a file has."""
        paths = [path for path in self.tree.paths('f') if self.tree.find(path).blocks and self.tree.find(path).size()]
        if not paths or len(self.tree.mappings) >= MAPPINGS_MAX:
            return
        path = rng.choice(paths)
        inode = self.tree.find(path)
        first = last = min(inode.blocks)
        while last + 1 in inode.blocks:
            last += 1
        offset, end = first * BLOCK, min((last + 1) * BLOCK, inode.size())
        if end <= offset:
            return
        inode.was_granted = True
        number, size = self.attach(path, inode, offset, end - offset)
        self.note([inode.ident], f'{path} is mapped from {offset} to {end}')
        if size != inode.size():
            self.fail(f'{path} is attached with {size} bytes, and has {inode.size()}', inode.ident)
        self.tree.map(number, inode.ident, offset, end - offset)
        self.counts['map'] += 1
        self.check_mapping(number, inode.ident, offset, end - offset)
        self.fill(rng, number)

    def attach(self, path, inode, offset, length):
        """Served as soon as there is a worker and a helper."""
        deadline = time.monotonic() + HANGS
        while True:
            begin = time.monotonic()
            try:
                mapping = self.mapper.map(os.path.join(self.life.instance.mount, path), offset, length)
                self.life.was_granted(begin, time.monotonic())
                return mapping
            except AgentError as e:
                self.counts[f'attach again: {e.name}'] += 1
                if e.name not in AGAIN or time.monotonic() > deadline:
                    self.fail(f'{path} is not attached: {e}', inode.ident)
            time.sleep(0.02)
            self.life.wait_serving()

    def fill(self, rng, number):
        """A part of it, or all. Whoever dies meanwhile leaves some of it."""
        ident, offset, length = self.tree.mappings[number]
        memory, value = self.tree.inodes[ident].memory, rng.getrandbits(62)
        start, end = offset, offset + length
        if rng.random() < 0.7:
            start, end = sorted(offset + rng.randrange(length // WORD) * WORD for _ in '12')
        self.note([ident], f'memory from {start} to {end} is filled with {value}')
        memory.may_be(start, end, value)
        if start < end:
            self.mapper('fill-part', number, start, end - start, value)
        memory.set(start, end, value)
        self.counts['fill'] += 1

    def compare(self, _, number):
        self.check_mapping(number, *self.tree.mappings[number])
        self.counts['memory compared'] += 1

    def unmap(self, _, number):
        self.mapper('unmap', number)
        self.note([self.tree.mappings[number][0]], f'mapping {number} ends')
        self.tree.unmap(number)
        self.counts['unmap'] += 1
