# SPDX-License-Identifier: MIT
"""
What a client does: each step is a function of the seed, the client and the step's number alone. It is chosen on a model
of what there would be if nobody had ever died; Client (client.py) does what is planned, again where a death has undone it.
"""

import random

from . import load
from .choices import MAPPINGS_MAX, choose
from .memory import WORD
from .tree import BLOCK, Tree

MAPS, LOOKS, LOADS = 0.08, 0.03, 0.004  # parts of the steps
SAID_MAX = 10000                        # steps of a client that are kept, to be compared


class Plan:
    """By itself it asks nobody for anything: the model is all that changes."""

    def __init__(self, name, seed, said_max=SAID_MAX):
        self.name, self.seed, self.said_max = name, seed, said_max
        self.n = 0
        self.said = []
        self.tree = Tree({name: '', 'shared': name + '-'})

    def prepare(self):
        directory = f'{self.name}/io'
        self.tree.make(directory, 'd', 0o755)
        self.tree.find(directory).has_content = True

    def step(self):
        self.n += 1
        rng = random.Random(f'{self.seed}/{self.name}/{self.n}')
        what = rng.random()
        if what < MAPS:
            self.use_memory(rng)
        elif what < MAPS + LOOKS:
            self.say('compare all')
            self.check()
        elif what < MAPS + LOOKS + LOADS:
            self.load_file(rng)
        else:
            op = choose(self.tree, rng, self.n)
            self.say(sentence_of(op.call))
            self.perform(op)

    def say(self, sentence):
        if self.n <= self.said_max:
            self.said.append(f'{self.n} {sentence}')

    # -- what is done of it; here nothing

    def perform(self, op):
        if not op.error and not op.back:
            op.apply(self.tree)

    def check(self):
        pass

    def keep_mapped(self):
        pass

    def fill_memory(self, number, start, end, value):
        pass

    def compare_memory(self, number):
        pass

    def unmap_memory(self, number):
        pass

    def leave_memory(self):
        pass

    def load_bytes(self, path, data):
        pass

    def dump_bytes(self, path, data, ident):
        pass

    # -- memory

    def use_memory(self, rng):
        what = rng.choice(['map', 'map', 'fill', 'fill', 'compare', 'unmap', 'leave'])
        if what == 'map':
            self.map_file(rng)
        elif what == 'leave':
            if rng.random() < 0.2:
                self.say('leave')
                self.tree.unmap_all()
                self.leave_memory()
        elif self.tree.mappings:
            getattr(self, what)(rng, rng.choice(sorted(self.tree.mappings)))

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
        self.say(f'map {path} from {offset} to {end}')
        inode.was_granted = True
        self.tree.map(self.n, inode.ident, offset, end - offset)
        self.keep_mapped()
        self.compare_memory(self.n)
        self.fill(rng, self.n)

    def fill(self, rng, number):
        """A part of it, or all."""
        _, offset, length = self.tree.mappings[number]
        value, start, end = rng.getrandbits(62), offset, offset + length
        if rng.random() < 0.7:
            start, end = sorted(offset + rng.randrange(length // WORD) * WORD for _ in '12')
        self.say(f'fill mapping {number} from {start} to {end} with {value}')
        self.fill_memory(number, start, end, value)

    def compare(self, _, number):
        self.say(f'compare mapping {number}')
        self.compare_memory(number)

    def unmap(self, _, number):
        self.say(f'unmap mapping {number}')
        self.unmap_memory(number)
        self.tree.unmap(number)

    # -- `guestmemfs load`

    def load_file(self, rng):
        seed, size = rng.getrandbits(62), rng.choice(load.SIZES)
        path, data = f'{self.name}/load{self.n}', load.pattern(seed, size)
        self.say(f'load {path} with {size} bytes of {seed}')
        self.load_bytes(path, data)
        self.tree.make(path, 'f', 0o600)
        inode = self.tree.find(path)
        self.tree.resize(inode, size)
        inode.memory.set(0, size, seed)
        inode.was_granted = True
        self.dump_bytes(path, data, inode.ident)


def sentence_of(call):
    name, *arguments = call
    return f'{name}({", ".join(f"{a[:20]!r}... of {len(a)}" if isinstance(a, bytes) else f"{a!r:.99}" for a in arguments)})'


def planned(name, seed, steps):
    """What that client does in its first steps."""
    plan = Plan(name, seed, steps)
    plan.prepare()
    while plan.n < steps:
        plan.step()
    return plan.said
