# SPDX-License-Identifier: MIT
"""Memory that runs out in the installed programs at any call for it, their libraries' too: tests/mount/scarce.c."""

import contextlib
import dataclasses
import os
import struct
import subprocess

from harness import User

LIBRARY = os.path.join(os.environ.get('GM_BUILD', ''), 'tests/mount/scarce.so')
STEP = os.environ.get('GM_SCARCE_STEP')


@dataclasses.dataclass(frozen=True)
class Run:
    """One of a command, in which the n-th call has failed, alone or with all after it."""
    mode: str
    n: int
    code: int
    signal: int
    same: bool   # it wrote what it writes without faults
    made: bool   # the file that it makes is there
    probed: int  # the errno of a change after it
    said: str

    @classmethod
    def parse(cls, line):
        mode, n, code, signal, same, made, probed, said = line.rstrip('\n').split('\t')
        return cls(mode, int(n), int(code), int(signal), same == '1', made == '1', int(probed), said.strip())


# What follows sees no instance on this host. What is preloaded is so for it alone.
ALONE = ('unshare', '-m', 'sh', '-c', 'mkdir -p /run/guestmemfs && mount -t tmpfs none /run/guestmemfs && LD_PRELOAD=$0 exec "$@"')

# The same, but for the instance of that name.
BESIDE = ('unshare', '-m', 'sh', '-c', 'one=/run/guestmemfs/$1; shift; mount --bind "$one" /mnt && mount -t tmpfs none /run/guestmemfs && '
          'mkdir "$one" && mount --bind /mnt "$one" && LD_PRELOAD=$0 exec "$@"')


def run_short_of_memory(tools, *argv, makes='', undo='', probe='', step=1, data=None, alone=False, beside=None):
    """
    The command once without a fault, then with one at every step-th call for memory: the first Run, and the others.
    GM_SCARCE_STEP in the environment stands for every step. alone: it sees no instance on this host; beside: only that one.
    """
    sight = (*BESIDE, LIBRARY, beside.name) if beside else (*ALONE, LIBRARY) if alone else ()
    report = os.memfd_create('report')
    environment = os.environ | {'LD_PRELOAD': '' if sight else LIBRARY, 'GM_SCARCE_REPORT': f'/proc/self/fd/{report}',
                                'GM_SCARCE_STEP': STEP or str(step)}
    for name, value in (('MAKES', makes), ('UNDO', undo), ('PROBE', probe)):
        environment |= {f'GM_SCARCE_{name}': value} if value else {}
    done = subprocess.run([*sight, tools.path('guestmemfs'), *map(str, argv)], env=environment, stdin=data or subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, pass_fds=[report], timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    with os.fdopen(report, encoding='utf-8', errors='replace') as lines:
        lines.seek(0)
        whole, *runs = map(Run.parse, lines)
    return whole, runs


class Switch:
    """A daemon's memory: struct lever of tests/mount/scarce.c."""
    LEVER = struct.Struct('<iIQQ')
    ALL = (1 << 64) - 1
    NEXT_WORKER, NEXT_SUPERVISOR, NEXT_KEEPER = -1, -2, -3

    def __init__(self, path, user):
        self.path = path
        with open(path, 'wb') as f:
            f.write(self.LEVER.pack(0, 0, self.ALL, 0))
        os.chown(path, user.uid, user.gid)

    def _set(self, *values):
        with open(self.path, 'r+b', buffering=0) as f:
            f.write(self.LEVER.pack(*values))

    @contextlib.contextmanager
    def failing(self, pid, n, since=False):
        """
        While the body runs, n calls of that process (NEXT_...: of the next such one that is started) are served, and
        then one fails, or all. Yields a list: how many did.
        """
        failed = []
        self._set(pid, since, n, 0)
        try:
            yield failed
        finally:
            with open(self.path, 'rb') as f:
                failed.append(self.LEVER.unpack(f.read())[3])
            self._set(0, 0, self.ALL, 0)


@dataclasses.dataclass(frozen=True)
class Short(User):
    """A user whose daemons can be made short of memory."""
    switch: str = ''

    def environment(self):
        return super().environment() | {'LD_PRELOAD': LIBRARY, 'GM_SCARCE_SWITCH': self.switch}
