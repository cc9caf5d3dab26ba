# SPDX-License-Identifier: MIT
"""A device is closed to everybody, by whatever node, and whoever was about to open it is waited for."""

import contextlib
import errno
import os
import signal
import stat
import time

from actors import become
from case import Case
from counts import Counts
from dax import BLOCK, DEVICES, DRIVER, GIB, device_number, is_bound, make_device, put, put_device, remove_device, soft_region
from lab import HANGS, read_text

START = 4 * GIB
STRANGER = 1000
GROUP = '/sys/fs/cgroup/apart'
RETIRED = 100
STARVED = 40  # processes that share one millisecond a second


def result(act):
    """What becomes of it in a process of its own: '' or the error's name."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            act()
            os.write(w, b'-')
        except OSError as e:
            os.write(w, errno.errorcode[e.errno].encode())
        finally:
            os._exit(0)
    os.close(w)
    with open(r, encoding='ascii') as f:
        said = f.read()
    os.waitpid(pid, 0)
    return '' if said == '-' else said or 'died'


def opens(path, uid=0, group=None, flags=os.O_RDWR):
    def act():
        if group:
            put(f'{group}/cgroup.procs', str(os.getpid()))
        if uid:
            become(uid)
        os.close(os.open(path, flags))
    return result(act)


def copy_node(lab, name):
    copy = f'{lab.directory}/copy-{name}'
    os.mknod(copy, 0o600 | stat.S_IFCHR, os.stat(f'/dev/{name}').st_rdev)
    os.chown(copy, STRANGER, STRANGER)
    return copy


def ways_in(lab, name):
    """(what, how) of everybody who could open the device before."""
    copy = copy_node(lab, name)
    mounted = f'{lab.directory}/bound'
    with open(mounted, 'xb'):
        pass
    lab.run('mount', '--bind', copy, mounted)
    path = os.open(copy, os.O_PATH)
    return [('root, by its node', lambda: opens(f'/dev/{name}')),
            ('a user, by a copy of it', lambda: opens(copy, STRANGER)),
            ('for reading only', lambda: opens(copy, STRANGER, flags=os.O_RDONLY)),
            ('in a group of his own', lambda: opens(copy, STRANGER, GROUP)),
            ('by a bind mount of a copy', lambda: opens(mounted, STRANGER)),
            ('by a descriptor that is but a name', lambda: opens(f'/proc/self/fd/{path}', STRANGER))]


def close(lab, counts, device):
    """On a machine that hardly gets to run others may have to be waited for longer than the process does."""
    def closed():
        try:
            counts.close(device)
        except BlockingIOError:
            return False
        return True
    lab.wait_until(closed, HANGS, 'a device is closed')


def closes(lab, counts, name, other):
    ways = ways_in(lab, name)
    for what, way in ways:
        found = way()
        lab.check(found == '', f'open: {what}', found)
    began = time.monotonic()
    close(lab, counts, os.stat(f'/dev/{name}').st_rdev)
    lab.figure('closing a device', time.monotonic() - began, 's')
    for what, way in ways:
        found = way()
        lab.check(found == 'EPERM', f'closed: {what}', found)
    lab.check(opens(f'/dev/{other}') == '' and opens('/dev/null', STRANGER) == '', 'every other device is open as before')
    lab.check(counts.read(other).cdev > 0, 'and can be counted')
    close(lab, counts, os.stat(f'/dev/{other}').st_rdev)
    lab.check(opens(f'/dev/{name}') == '' and opens(f'/dev/{other}') == 'EPERM', 'the next one is closed in its place')
    counts.close()
    for what, way in ways:
        found = way()
        lab.check(found == '', f'open again: {what}', found)


@contextlib.contextmanager
def starving():
    """Processes that can be run and hardly ever are: where they were stopped nobody can say."""
    os.makedirs(GROUP, exist_ok=True)
    put(f'{GROUP}/cpu.max', '1000 1000000')
    pids = []
    try:
        for _ in range(STARVED):
            pid = os.fork()
            if pid == 0:
                put(f'{GROUP}/cgroup.procs', str(os.getpid()))
                while True:
                    pass
            pids.append(pid)
        yield
    finally:
        put(f'{GROUP}/cpu.max', 'max')
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def waits(lab, counts, name):
    device = os.stat(f'/dev/{name}').st_rdev
    with starving():
        began, said = time.monotonic(), ''
        try:
            counts.close(device)
        except OSError as e:
            said = errno.errorcode[e.errno]
        lab.figure('giving it up', time.monotonic() - began, 's')
        lab.check(said == 'EAGAIN', 'who is kept from running might be about to open it: it is not called closed', said)
        lab.check(opens(f'/dev/{name}') == '', 'nor is it')
    close(lab, counts, device)
    lab.check(opens(f'/dev/{name}') == 'EPERM', 'when they have ended it is')


def process_ends(lab, name):
    with Counts(lab.plan['prefix']) as counts:
        close(lab, counts, os.stat(f'/dev/{name}').st_rdev)
        lab.check(opens(f'/dev/{name}') == 'EPERM', 'another process closes it too')
        os.kill(counts.process.pid, signal.SIGKILL)
    lab.check(opens(f'/dev/{name}') == '', 'what is closed is open again when that process has ended')


def memory_of_retired(lab, region):
    """What a device takes that was bound once and has neither driver nor memory any more; and what the kernel makes of it."""
    def available():
        return int(next(line.split()[1] for line in read_text('/proc/meminfo').splitlines() if line.startswith('MemAvailable')))
    put('/proc/sys/vm/drop_caches', '3')
    before = available()
    names = []
    for _ in range(RETIRED):
        names.append(make_device(region, [(START + 32 * BLOCK, BLOCK)]))
        put(f'{DRIVER}/unbind', names[-1])
        put(f'{DEVICES}/{names[-1]}/size', '0')
    put('/proc/sys/vm/drop_caches', '3')
    lab.figure('memory of a retired device', (before - available()) / RETIRED, 'KiB')
    new = put_device(region)
    seed = read_text(f'{region}/seed').strip()
    lab.check(len({new, *names}) == RETIRED + 1 and seed not in names, 'the kernel makes no new device of them', f'{new}, seed {seed}')
    lab.say(f'new {new} seed {seed} size {device_number(new, "size")} bound {is_bound(new)}')
    for name in (new, *names):
        put(f'{region}/delete', name)


def look(lab):
    region = soft_region()
    put(f'{DEVICES}/dax0.0/size', '0')
    put('/sys/fs/cgroup/cgroup.subtree_control', '+cpu')
    os.makedirs(GROUP, exist_ok=True)
    os.chmod(lab.directory, 0o777)
    name = make_device(region, [(START, 4 * BLOCK)])
    other = make_device(region, [(START + 16 * BLOCK, BLOCK)])
    with Counts(lab.plan['prefix']) as counts:
        closes(lab, counts, name, other)
        waits(lab, counts, name)
    process_ends(lab, name)
    memory_of_retired(lab, region)
    remove_device(region, name)
    remove_device(region, other)


CASE = Case(about='a device can be closed to everybody, by whatever node', boots=(look,),
            cmdline='memmap=96M!4G,96M%4G-12+0xefffffff dax_hmem.region_idle=1',
            modules=('device_dax', 'dax_hmem'), needs=('product',), bzimage=True)
