# SPDX-License-Identifier: MIT
"""What processes are short of: descriptors, processes, room in the runtime directory."""

import contextlib
import dataclasses
import os
import subprocess
import time

from harness import PLAIN, ROOT, User


@dataclasses.dataclass(frozen=True)
class Limited(User):
    """A user whose programs run under options of prlimit(1), and with a runtime directory of his own."""
    limits: tuple = ()
    runtime: str = ''
    forks: bool = True  # at its end, which the leak check of a sanitizer must

    def argv(self):
        return super().argv() + (['prlimit', *self.limits, '--'] if self.limits else [])

    def environment(self):
        own = {'XDG_RUNTIME_DIR': self.runtime} if self.runtime else {}
        if not self.forks and 'ASAN_OPTIONS' in os.environ:
            own['ASAN_OPTIONS'] = os.environ['ASAN_OPTIONS'] + ':detect_leaks=0'
        return super().environment() | own


def limited(*limits, user=PLAIN, runtime='', forks=True):
    return Limited(user.uid, user.gid, tuple(limits), runtime, forks)


def _numbers_in_use(pid, calm=0.5, timeout=20):
    """As they are when nothing has been opened or closed for a moment."""
    deadline, seen, since = time.monotonic() + timeout, None, 0
    while seen is None or time.monotonic() - since < calm:
        used = {int(number) for number in os.listdir(f'/proc/{pid}/fd')}
        if used != seen:
            seen, since = used, time.monotonic()
        assert time.monotonic() < deadline, f'process {pid} opens and closes files all the time'
        time.sleep(0.02)
    return seen


def _set_limit(pid, user, name, value):
    """As the process's own user: for that no privilege is needed."""
    subprocess.run(user.argv() + ['prlimit', f'--pid={pid}', f'--{name}={value}'], check=True, timeout=20)


def _get_limit(pid, name):
    """(soft, hard), as prlimit(1) takes them."""
    words = {'nofile': 'Max open files', 'nproc': 'Max processes'}[name]
    with open(f'/proc/{pid}/limits', encoding='ascii') as f:
        [line] = [line for line in f if line.startswith(words)]
    return line[len(words):].split()[:2]


@contextlib.contextmanager
def limit_restored(pid, name, user=PLAIN):
    """As it was before, whoever changes it while the body runs."""
    soft, hard = _get_limit(pid, name)
    try:
        yield hard
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):  # it may have ended
            _set_limit(pid, user, name, f'{soft}:{hard}')


@contextlib.contextmanager
def _soft_limit(pid, user, name, value):
    with limit_restored(pid, name, user) as hard:
        _set_limit(pid, user, name, f'{value}:{hard}')
        yield


def descriptors_left(pid, count, user=ROOT):
    """While the body runs, the process can open at most so many more."""
    used, limit = _numbers_in_use(pid), 0
    while count > 0 or limit in used:
        count -= limit not in used
        limit += 1
    return _soft_limit(pid, user, 'nofile', limit)


def no_new_processes(pid, user=PLAIN):
    """For a process that is not root's: fork(2) fails while the body runs."""
    return _soft_limit(pid, user, 'nproc', 0)


class SmallDirectory:
    """A tmpfs of its own that can be filled: no page is left in it, or no file can be made."""

    def __init__(self, path, user):
        self.path = path
        os.mkdir(path)
        subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size=1M,nr_inodes=64,mode=0700,uid={user.uid},gid={user.gid}',
                        'none', path], check=True, timeout=20)

    def pages_in_use(self):
        statvfs = os.statvfs(self.path)
        return statvfs.f_blocks - statvfs.f_bfree

    def fill_pages(self):
        with open(os.path.join(self.path, 'full'), 'wb', buffering=0) as f, contextlib.suppress(OSError):
            while f.write(bytes(4096)):
                pass
        assert os.statvfs(self.path).f_bfree == 0

    def fill_inodes(self):
        with contextlib.suppress(OSError):
            for number in range(100):
                with open(os.path.join(self.path, f'full{number}'), 'wb'):
                    pass
        assert os.statvfs(self.path).f_ffree == 0

    def make_room(self):
        for name in os.listdir(self.path):
            if name.startswith('full'):
                os.unlink(os.path.join(self.path, name))

    def clean_up(self):
        subprocess.run(['umount', '-l', self.path], check=True, timeout=20)
