# SPDX-License-Identifier: MIT
"""
One client: asks for what is planned, applies to its model what was answered, finds out what became of operations that
nobody answered, and compares again and again. What a death has undone is done again, so that the plan still holds: what
was not made is asked for once more; open files and mappings are opened and mapped anew. Where the file has no name any
more they are gone with whoever held them; then the plan goes on with what is not there, and asks nobody.
"""

import collections
import copy
import dataclasses
import enum
import errno
import os
import time

from .callers import AgentError, AgentGone, HANGS, Hand, HandGone, Mapper
from .load import dump, load
from .plan import Plan

PAUSE = 0.002   # seconds between two operations: the clients are not to keep the processors to themselves
SEEDS_MAX = 4            # that the agent compares with at once
HISTORY = 60
# Of a helper that starts, of a mount that dies, of a ticket that a worker gave out before it died.
AGAIN = ('EAGAIN', 'ECONNREFUSED', 'ECONNRESET', 'ENOENT', 'ENOTCONN', 'ECONNABORTED', 'EKEYREJECTED')


class Mismatch(AssertionError):
    """What is there is not what must be there."""


class Became(enum.Enum):
    """Of an operation that was asked for."""
    MADE = enum.auto()
    REFUSED = enum.auto()
    UNDONE = enum.auto()  # or made in part


class Client(Plan):
    def __init__(self, name, seed, life, agent_program):
        super().__init__(name, seed)
        self.life = life
        self.hand = Hand(life.instance.mount)
        self.mapper = Mapper(agent_program)
        self.opened = set()               # of the plan's open files, those that the hand has
        self.numbers = {}                 # of the plan's mappings, those that the mapper has: as it calls them
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
        super().prepare()
        self.check()

    def run(self, stop):
        while not stop.is_set():
            self.step()
            if not self.life.hurry:
                stop.wait(PAUSE)

    def step(self):
        self.keep_up()
        self.life.count()
        super().step()

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
        while True:
            self.open_again()
            if op.slot is not None and op.slot not in self.opened:
                super().perform(op)
                return
            became = self.ask(op)
            if became == Became.MADE:
                for undo in op.back:
                    self.perform(undo)
            if became != Became.UNDONE or op.back:
                return
            op = dataclasses.replace(op, call=op.again or op.call)
            self.counts['asked again'] += 1

    def ask(self, op):
        name, *arguments = op.call
        window, begin = self.life.epoch, time.monotonic()
        sentence = f'{name}({", ".join(f"{a!r:.60}" for a in arguments)})'
        try:
            answer = self.hand.call(*op.call)
        except HandGone:
            return self.settle(op, sentence, 'its caller was killed')
        except OSError as e:
            if e.errno == op.error or e.errno in op.may:
                self.note(op.idents, f'{sentence} = {errno.errorcode[e.errno]}')
                self.counts['refused as it must be' if op.error else 'refused: busy'] += 1
                return Became.REFUSED
            if self.life.excuses(window):
                return self.settle(op, sentence, str(e))
            self.note(op.idents, f'{sentence} = {errno.errorcode[e.errno]}')
            self.fail(f'{sentence} fails: {e}', op.idents[0])
        self.note(op.idents, f'{sentence} = {answer}')
        if op.error or (op.unless_mapped and self.has_mapped(op.idents[0])):
            self.fail(f'{sentence} is done and must be refused', op.idents[0])
        if name in ('write', 'append', 'write_open') and answer != len(arguments[-1]):
            if self.life.excuses(window):
                return self.settle(op, sentence, f'{answer} bytes only')
            self.fail(f'{sentence} has written {answer} bytes only', op.idents[0])
        op.apply(self.tree)
        if name == 'open':
            self.opened.add(arguments[0])
        elif name == 'close':
            self.opened.remove(arguments[0])
        self.counts[name] += 1
        self.took(begin, sentence)
        return Became.MADE

    def took(self, begin, sentence):
        now = time.monotonic()
        self.life.was_served(begin, now)
        self.slowest = max(self.slowest, (now - begin, sentence))

    # -- whoever has died

    def keep_up(self):
        """After each death all is compared, and what it took along is had again."""
        if self.hand.process.poll() is not None or self.epoch != self.life.epoch:
            self.recover()
        self.open_again()
        if self.mapper.is_used_up():
            self.renew_mapper()
        self.keep_mapped()
        if self.deaths != self.life.deaths:
            self.deaths = self.life.deaths
            self.check()

    def recover(self):
        """A mount that serves, and a hand without open files."""
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
        self.opened.clear()

    def missing(self, those, had):
        """One of them that we had, of a file with a name: (number, path), or nothing."""
        return next(((number, path) for number, ident in sorted(those.items())
                     if number not in had and (path := self.tree.path_of(ident))), None)

    def open_again(self):
        while found := self.missing(self.tree.slots, self.opened):
            self.asked('open', *found)
            self.opened.add(found[0])

    def renew_mapper(self):
        self.mapper.renew()
        self.numbers.clear()

    def asked(self, name, *arguments, may=None):
        """A call that must be answered, however often somebody dies meanwhile; that error is an answer too."""
        while True:
            window = self.life.epoch
            try:
                return self.hand.call(name, *arguments)
            except HandGone:
                self.recover()
            except OSError as e:
                if e.errno == may and not self.life.excuses(window):
                    return None
                if not self.life.excuses(window):
                    self.fail(f'{name}{arguments} fails: {e}')
                self.recover()

    # -- what nobody has answered

    def settle(self, op, sentence, why):
        """It was made or not made: what is there decides."""
        before, after = self.tree, copy.deepcopy(self.tree)
        if not op.error:
            op.apply(after)
        self.recover()
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
        return Became.MADE if outcome == 'made' else Became.UNDONE

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
        for slot in sorted(self.opened):
            ident = self.tree.slots[slot]
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
        for number in sorted(self.numbers):
            self.compare_memory(number)

    def check_mapping(self, number, ident, offset, length):
        for start, end, values in self.tree.inodes[ident].memory.parts(offset, offset + length):
            if len(values) <= SEEDS_MAX:
                try:
                    self.mapper('check-part', number, start, end - start, *sorted(values, key=str))
                except AgentError as e:
                    self.fail(f'memory from {start} to {end} is not {set(values)}: {e}', ident)

    # -- memory. Where the mapper dies in it, it is renewed at the next step.

    def has_mapped(self, ident):
        return self.mapper.is_alive() and any(self.tree.mappings[number][0] == ident for number in self.numbers)

    def keep_mapped(self):
        """What the plan has mapped and the mapper has not."""
        while True:
            if not self.mapper.is_alive():
                self.renew_mapper()
            found = self.missing({number: m[0] for number, m in self.tree.mappings.items()}, self.numbers)
            if not found:
                return
            try:
                self.attach(*found)
            except AgentGone:
                self.renew_mapper()

    def attach(self, number, path):
        ident, offset, length = self.tree.mappings[number]
        self.numbers[number], size = self.attached(path, ident, offset, length)
        self.note([ident], f'{path} is mapped from {offset} to {offset + length}')
        if size != self.tree.inodes[ident].size():
            self.fail(f'{path} is attached with {size} bytes, and has {self.tree.inodes[ident].size()}', ident)
        self.counts['map'] += 1

    def attached(self, path, ident, offset, length):
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
                    self.fail(f'{path} is not attached: {e}', ident)
            time.sleep(0.02)
            self.life.wait_serving()

    def told(self, number, name, *words):
        """A word to the mapper, about a mapping that it has; whether it has done it."""
        if number not in self.numbers:
            return False
        try:
            self.mapper(name, self.numbers[number], *words)
        except AgentGone:
            self.renew_mapper()
            return False
        return True

    def fill_memory(self, number, start, end, value):
        """Whoever dies meanwhile leaves some of it."""
        ident = self.tree.mappings[number][0]
        memory = self.tree.inodes[ident].memory
        self.note([ident], f'memory from {start} to {end} is filled with {value}')
        if number in self.numbers:
            memory.may_be(start, end, value)
        if start < end and self.told(number, 'fill-part', start, end - start, value):
            memory.set(start, end, value)
            self.counts['fill'] += 1

    def compare_memory(self, number):
        try:
            if number in self.numbers:
                self.check_mapping(self.numbers[number], *self.tree.mappings[number])
                self.counts['memory compared'] += 1
        except AgentGone:
            self.renew_mapper()

    def unmap_memory(self, number):
        if self.told(number, 'unmap'):
            del self.numbers[number]
            self.note([self.tree.mappings[number][0]], f'mapping {number} ends')
            self.counts['unmap'] += 1

    def leave_memory(self):
        self.renew_mapper()

    # -- `guestmemfs load`

    def load_bytes(self, path, data):
        load(self, path, data)

    def dump_bytes(self, path, data, ident):
        dump(self, path, data, ident)
