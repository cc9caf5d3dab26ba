# SPDX-License-Identifier: MIT
"""The two processes of a client: its hand makes system calls, its mapper has the memory. Either may be gone any time."""

import os
import pickle
import select
import subprocess
import sys

from agent import Agent, AgentError, AgentGone

HANGS = 90     # seconds without an answer


class HandGone(Exception):
    """It was killed: whether its last call was made is to be found out."""


class Hand:
    """hand.call('mkdir', 'c0/x', 0o755): what the call returned, or its OSError."""

    def __init__(self, mount):
        program = os.path.join(os.path.dirname(__file__), 'hand.py')
        self.process = subprocess.Popen([sys.executable, '-B', program, mount], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, cwd='/')

    def call(self, name, *arguments):
        try:
            self.process.stdin.write(pickle.dumps((name, arguments)))
            self.process.stdin.flush()
            if not select.select([self.process.stdout], [], [], HANGS)[0]:
                raise AssertionError(f'{name}{arguments!r:.200} hangs: no answer for {HANGS} seconds')
            error, value = pickle.load(self.process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as e:
            raise HandGone(f'{name}: the caller was killed') from e
        if error:
            raise OSError(error, value)
        return value

    def end(self):
        """Once it is gone, none of its calls is under way any more: the kernel lets nobody go before he is answered."""
        self.process.kill()
        self.process.wait(HANGS)
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except OSError:
                pass  # what it was sent last never got there


class Mapper:
    """An agent, started anew when it is gone. Its mappings are known by their numbers, and go with it."""

    SLOTS = 900  # of 1024, which are never used again

    def __init__(self, program):
        self._program = program
        self.agent = Agent(program)
        self._used = 0

    def is_alive(self):
        return self.agent.process.poll() is None

    def is_used_up(self):
        return self._used > self.SLOTS

    def renew(self):
        self.agent.clean_up()
        self.agent = Agent(self._program)
        self._used = 0

    def end(self):
        self.agent.clean_up()

    def map(self, path, offset, length):
        """One attempt: the number of a mapping, and the size that the file was attached with."""
        self._used += 1
        ident = self.agent('open', path, 'rw', timeout=HANGS)[0]
        try:
            size = int(self.agent('attach', ident, timeout=HANGS)[0])
            number = self.agent('map', ident, offset, length, 'rw', timeout=HANGS)[0]
        finally:
            for word in ('detach', 'close'):
                try:
                    self.agent(word, ident, timeout=HANGS)
                except AgentError:
                    pass  # close: the mount that it was on is dead
        return int(number), size

    def __call__(self, *words):
        return self.agent(*words, timeout=HANGS)


__all__ = ['AgentError', 'AgentGone', 'HANGS', 'Hand', 'HandGone', 'Mapper']
