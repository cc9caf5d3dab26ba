# SPDX-License-Identifier: MIT
"""
The share: a directory outside, /lab in the lab host. It is the host's disk, and all that the two sides tell each other.

    start               what the initramfs runs at its end
    plan.json           the case and its surroundings; written outside, before the first boot
    state.json          which boot this is, how the next one is to come, whether the case is over
    claims.jsonl        one line for each thing claimed or measured, in order
    memory.json         what a boot wants the later ones to know: Lab.remember()
    dmesg.N, initramfs.cpio
"""

import dataclasses
import json
import os
import threading


@dataclasses.dataclass
class State:
    boot: int = -1  # of the steps of the case, from 0; -1 before the first
    next_by: str = 'firmware'  # how the next boot is to come: firmware, kexec or panic; empty: not at all
    over: bool = False


class Share:
    def __init__(self, directory):
        self.directory = directory
        self._adding = threading.Lock()  # two threads that append over 9p would write to one place

    def path(self, name):
        return f'{self.directory}/{name}'

    def write(self, name, value):
        """Whole or not at all, whatever happens meanwhile."""
        with open(self.path(f'{name}.new'), 'w', encoding='utf-8') as f:
            json.dump(value, f, indent=1)
        os.rename(self.path(f'{name}.new'), self.path(name))

    def read(self, name, default=None):
        try:
            with open(self.path(name), encoding='utf-8') as f:
                return json.load(f)
        except FileNotFoundError:
            return default

    def state(self):
        return State(**self.read('state.json', {}))

    def set_state(self, state):
        self.write('state.json', dataclasses.asdict(state))

    def add_line(self, record):
        with self._adding, open(self.path('claims.jsonl'), 'a', encoding='utf-8') as f:
            f.write(json.dumps(record) + '\n')

    def lines(self, start=0):
        """The records from number start on; a line that is still being written is left for the next time."""
        try:
            with open(self.path('claims.jsonl'), encoding='utf-8') as f:
                whole = f.read().split('\n')[:-1]
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in whole[start:]]
