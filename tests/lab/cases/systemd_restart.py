# SPDX-License-Identifier: MIT
"""
A service whose supervisor is replaced without anybody noticing, as docs/boot.md has it: what systemctl reload, kill,
restart and stop do to it, while a file is mapped, and under load as long as nobody must notice.
"""

import ctypes
import errno
import os

from case import Case
from dax import BLOCK, pattern_block
from lab import HANGS, read_text
from load import Load
from product import Attached, Library
from service import MOUNT, Service
from units import properties

# On a file, whose helper starts in a moment: the case `restarts` has devices.
FILE = 'file:/dev/shm/lab-gm'
REPLACED = f'''[Unit]
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target
[Service]
Type=notify
KillMode=process
OOMPolicy=continue
Restart=on-failure
ExecStart={{fuse}} -f --region {FILE},size=64M {MOUNT}
ExecReload={{command}} upgrade {MOUNT}
'''


class Names(Load):
    """Of a file region, memory that a process has had comes back when that ends: so one file is attached all the time."""

    def __init__(self, library, pool):
        self.steady = pool.make('steady', BLOCK)
        super().__init__(library, pool)

    def work(self, path):
        os.mkdir(path)
        os.rename(path, f'{path}.renamed')
        with Attached(self.library, self.steady):
            pass
        os.rmdir(f'{path}.renamed')


class Held:
    """A file that this process has mapped all the time, and whose memory is a pattern."""

    def __init__(self, pool, library, seed):
        self.pool, self.seed, self.path = pool, seed, pool.make('held', BLOCK)
        self._attached = Attached(library, self.path)
        self._address = self._attached.map()
        ctypes.memmove(self._address, pattern_block(seed, 0), BLOCK)

    def check(self, what):
        lab = self.pool.lab
        lab.check(ctypes.string_at(self._address, BLOCK) == pattern_block(self.seed, 0), f'{what}: memory that is mapped is what it was')
        try:
            os.truncate(self.path, 0)
            refused = 0
        except OSError as e:
            refused = e.errno
        lab.check(refused == errno.EBUSY, f'{what}: and held', errno.errorcode.get(refused, '0'))

    def end(self):
        ctypes.CDLL(None).munmap(ctypes.c_void_p(self._address), ctypes.c_size_t(BLOCK))
        self._attached.__exit__()


def run(lab):
    lab.claim(read_text('/proc/1/comm').strip() == 'systemd', 'systemd is PID 1')
    library = Library(lab.plan['prefix'])
    pool = Service(lab, REPLACED)  # whose start job is done when the mount serves
    held, load = Held(pool, library, 7), Names(library, pool)
    lab.wait_until(lambda: load.done > 2, HANGS, 'names are made and removed, and a file is attached')
    pool.reload()
    held.check('reloaded')
    killed(lab, pool)
    held.check('killed')
    done = load.done
    lab.wait_until(lambda: load.done > done + 2, HANGS, 'and still are')
    lab.check(load.end() and not load.refused, f'{load.done} times, and no call has failed', f'{load.refused}')
    restarted(lab, pool)
    held.check('restarted')
    held.end()
    pool.stop('it', FILE)


def killed(lab, pool):
    before = pool.status()['pids']
    lab.run('systemctl', 'kill', '--signal=KILL', '--kill-whom=main', 'lab-gm.service')
    lab.wait_until(lambda: properties('lab-gm.service', 'NRestarts', 'ActiveState') == ('1', 'active'), HANGS,
                   'systemd starts the next supervisor')
    pool.check_main('killed')
    after = pool.status()['pids']
    lab.check({**after, 'supervisor': 0} == {**before, 'supervisor': 0} and after['supervisor'] != before['supervisor'],
              'which has taken the others over', f'{before} {after}')


def restarted(lab, pool):
    before = pool.status()['pids']
    directory = os.open(pool.path('load'), os.O_RDONLY)
    lab.run('systemctl', 'restart', 'lab-gm.service')
    pool.check_main('restarted')
    after = pool.status()['pids']
    lab.check(not set(before.values()) & set(after.values()) and os.path.isdir(pool.path('load')),
              'systemctl restart ends all of it, and mounts anew', f'{before} {after}')
    try:
        os.listdir(directory)
        error = 0
    except OSError as e:
        error = e.errno
    os.close(directory)
    lab.check(error == errno.ENOTCONN, 'what was open is lost then', errno.errorcode.get(error, '0'))


CASE = Case(about='a service of systemd that is reloaded, whose supervisor is killed, that is restarted and stopped', boots=(run,),
            needs=('product',), systemd=True, modules=('fuse',))
