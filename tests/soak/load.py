# SPDX-License-Identifier: MIT
"""A file that `guestmemfs load` makes and fills: all of it is there once the command has ended well, and `dump` says so."""

import errno
import os
import struct
import subprocess
import time

from .callers import HANGS
from .memory import WORD

SIZES = (8, 4096, 4096 + 8, 16384)
MASK = (1 << 64) - 1


def pattern(seed, size):
    """The agent's."""
    words = []
    for n in range(1, size // WORD + 1):
        z = (seed + n * 0x9e3779b97f4a7c15) & MASK
        z = ((z ^ (z >> 30)) * 0xbf58476d1ce4e5b9) & MASK
        z = ((z ^ (z >> 27)) * 0x94d049bb133111eb) & MASK
        words.append(z ^ (z >> 31))
    return struct.pack(f'<{len(words)}Q', *words)


def run(client, *words, data=None):
    tools = client.life.instance.tools
    return subprocess.run([tools.path('guestmemfs'), *words], input=data, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=HANGS, check=False)


def load(client, path, data):
    """As often as somebody dies in it."""
    full = os.path.join(client.life.instance.mount, path)
    deadline = time.monotonic() + HANGS
    while (done := run(client, 'load', full, data=data)).returncode != 0:
        client.note((), f'load {path} ends with {done.returncode}: {done.stderr.decode()}')
        client.counts['load again'] += 1
        if time.monotonic() > deadline:
            client.fail(f'{path} is not loaded: {done.stderr.decode()}')
        client.tree.find(client.name).mtime = None
        client.asked('unlink', path, may=errno.ENOENT)  # what it has left
        time.sleep(0.05)
    client.counts['load'] += 1


def dump(client, path, data, ident):
    done = run(client, 'dump', os.path.join(client.life.instance.mount, path))
    if done.returncode == 0:
        client.counts['dump'] += 1
        if done.stdout != data:
            client.fail('dump gives other bytes than load was given', ident)
