# SPDX-License-Identifier: MIT
"""A client process that the tests lead by the hand: tests/mount/agent.c, which links libguestmemfs."""

import errno
import os
import queue
import subprocess
import threading

from harness import ROOT


class AgentError(Exception):
    """The agent answered `error NAME sentence`."""

    def __init__(self, name, sentence):
        super().__init__(f'{name}: {sentence}')
        self.errno = getattr(errno, name, None)
        self.name = name
        self.sentence = sentence


class AgentGone(Exception):
    """The agent ended without an answer."""


class Agent:
    """
    Commands and answers are lines of words. a('map', 0, 4096) sends `map 0 4096` and returns the words after `ok`.
    """

    def __init__(self, program, user=ROOT, environment=None):
        self.process = subprocess.Popen(user.argv() + [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env=user.environment() | (environment or {}), text=True, bufsize=1, cwd='/')
        self.pid = self.process.pid
        self._answers = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self._answers.put(line.rstrip('\n'))
        self._answers.put(None)

    def send(self, *words):
        """Asks without waiting: answer() is next."""
        try:
            self.process.stdin.write(' '.join(map(str, words)) + '\n')
            self.process.stdin.flush()
        except OSError as e:
            raise AgentGone(f'{words[0]}: {e}') from e

    def answer(self, timeout=30):
        try:
            line = self._answers.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f'the agent has not answered for {timeout} s') from None
        if line is None:
            raise AgentGone(f'the agent ended with status {self.process.wait(20)}')
        kind, _, rest = line.partition(' ')
        if kind == 'ok':
            return rest.split()
        if kind == 'error':
            name, _, sentence = rest.partition(' ')
            raise AgentError(name, sentence)
        raise AssertionError(f'not an answer: "{line}"')

    def __call__(self, *words, timeout=30):
        self.send(*words)
        return self.answer(timeout)

    def kill(self):
        self.process.kill()
        self.process.wait(20)

    def clean_up(self):
        """In any state."""
        self.kill()
        self._reader.join(5)
        try:
            self.process.stdin.close()
        except OSError:
            pass  # what it was sent last never got there
        self.process.stdout.close()


def install_agent(build, directory):
    """The agent's program at a place that every user can reach, which a build directory may not be."""
    with open(os.path.join(build, 'tests/mount/agent'), 'rb') as source:
        content = source.read()
    path = os.path.join(directory, 'agent')
    with open(path, 'wb') as target:
        target.write(content)
    os.chmod(path, 0o755)
    return path
