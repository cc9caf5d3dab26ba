# SPDX-License-Identifier: MIT
"""
A guest on a soft region while all who gave it its memory are killed, one by one and together, at rest and under load:
its pattern stays whole and its clock goes on, its devices are adopted and never unbound, and its file stays held.
"""

import contextlib
import errno
import json
import os
import secrets
import signal
import subprocess

import scarcity
from binds import BindWatch
from case import Case
from dax import BLOCK, GIB, MIB, device_names, is_bound, ranges_of
from guest import READY, TICK
from lab import HANGS
from load import Load
from product import Library, Pool

START = 4 * GIB
VM_MIB = 256
PATTERN = 32 * BLOCK
# The guest tells the time each second. What takes its memory away or keeps it from running does so for good; a host that
# is emulated on a busy machine may let it wait for some seconds.
STALLED = 60
PROCESSES = {'supervisor': 'guestmemfs-fuse', 'worker': 'guestmemfs-worker', 'helper': 'guestmemfs-helper',
             'keeper': 'guestmemfs-keeper'}
AT_REST = [('worker',), ('helper',), ('supervisor',), tuple(PROCESSES)]
UNDER_LOAD = [('worker',), ('worker', 'helper'), ('supervisor',), tuple(PROCESSES)]


class Watched:
    """The guest, and what must be true of it all the time."""

    def __init__(self, lab, pool, watch):
        self.lab, self.pool, self.watch = lab, pool, watch
        pool.make('vm0', VM_MIB * MIB)
        self.ino = os.stat(pool.path('vm0')).st_ino
        self.guest = lab.start_guest(pool.path('vm0'), VM_MIB, secrets.randbits(64), PATTERN,
                                     wrapper=('guestmemfs', 'run', '--'))
        _, self.place = self.guest.wait(READY, 0, timeout=HANGS)
        self.next_tick()
        self.blocks = {block for _, at, count in pool.extents('vm0') for block in range(at, at + count)}
        self.devices = self.find_devices()
        self.binds = self.find_binds()
        self.pids = self.find_holders()
        lab.claim(self.devices and self.pids, f'its memory is {sorted(self.devices)}, and process {sorted(self.pids)} has it')

    def next_tick(self):
        """One that is said from now on."""
        _, self.place = self.guest.wait(TICK, self.guest.console.mark(), timeout=HANGS)

    def find_devices(self):
        """{name: ranges} of those over its blocks that work."""
        found = {name: ranges_of(name) for name in device_names() if is_bound(name)}
        return {name: ranges for name, ranges in found.items()
                if any(START + block * BLOCK in range(start, start + length) for start, length in ranges
                       for block in self.blocks)}

    def find_binds(self):
        return {life: count for life, count in self.watch.binds().items() if life[0] in self.devices}

    def find_holders(self):
        return {grant['pid'] for grant in self.pool.status()['grants']
                if grant['ino'] == self.ino and grant['state'] != 'dead'}

    def check(self, what):
        lab = self.lab
        lab.wait_until(lambda: self.pids <= self.find_holders(), HANGS, f'{what}: its process is known to have the file')
        lab.check(self.is_held(), f'{what}: so the file can not be made smaller')
        devices, binds = self.find_devices(), self.find_binds()
        lab.check(devices == self.devices and binds == self.binds, f'{what}: its devices are what they were, and were not bound anew',
                  f'{devices}, not {self.devices}; {binds}, not {self.binds}')
        self.next_tick()

    def is_held(self):
        try:
            os.truncate(self.pool.path('vm0'), BLOCK)
        except OSError as e:
            return e.errno == errno.EBUSY
        return False

    def check_console(self):
        """No tick is missing, and its clock has not jumped."""
        ticks = [match for match in map(TICK.fullmatch, self.guest.console.lines()) if match]
        numbers, times = [int(t['n']) for t in ticks], [float(t['uptime']) for t in ticks]
        gaps = [b - a for a, b in zip(times, times[1:])]
        self.lab.figure('longest time from one tick of the guest to the next, by its clock', max(gaps), 's')
        self.lab.check(numbers == list(range(1, len(ticks) + 1)) and len({t['boot_id'] for t in ticks}) == 1,
                       f'it has told the time {len(ticks)} times, and was not booted anew', f'{numbers}')
        self.lab.check(min(gaps) > 0 and max(gaps) < STALLED, 'its clock has gone on all the time', f'{gaps}')
        checked = int(self.guest.check_pattern(timeout=HANGS)['bytes'])
        self.lab.check(checked == PATTERN, f'every word of its {PATTERN // MIB} MiB of pattern is right', f'{checked} bytes')


def serves(pool, old):
    """Whether status answers, and names new processes in place of the old ones."""
    done = subprocess.run(['guestmemfs', 'status', '--json', pool.mount], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          stdin=subprocess.DEVNULL, check=False, timeout=HANGS)
    if done.returncode != 0:
        return False
    pids = json.loads(done.stdout)['pids'].values()
    return 0 not in pids and not set(pids) & set(old)


def kill(lab, pool, names, what):
    """All of them at the same time; whoever is not started anew by himself is started here."""
    old = [pool.process(PROCESSES[name]) for name in names]
    others = {name: pid for name, pid in pool.status()['pids'].items() if name not in names}
    for sent in (signal.SIGSTOP, signal.SIGKILL):
        for pid in old:
            with contextlib.suppress(ProcessLookupError):  # the supervisor's death is the others', too
                os.kill(pid, sent)
    lab.wait_until(lambda: not any(os.path.exists(f'/proc/{pid}') for pid in old), HANGS, f'{what}: dead')
    if 'supervisor' in names:
        lab.run('guestmemfs-fuse', '--region', 'soft:auto', pool.mount)
    lab.wait_until(lambda: serves(pool, old), HANGS, f'{what}: there again')
    pids = pool.status()['pids']
    lab.check({name: pids[name] for name in others} == others, f'{what}: the others are the processes that they were',
              f'{pids}, not {others}')


def kill_each(lab, pool, watched, rounds, when, load=None):
    for names in rounds:
        what = f'{" and ".join(names)} killed {when}'
        lost = load and load.refused.get('ENOTCONN', 0)
        kill(lab, pool, names, what)
        watched.check(what)
        if load and 'keeper' not in names:
            lab.check(load.refused.get('ENOTCONN', 0) == lost, f'{what}: nobody has lost the mount', f'{load.refused}')


def run(lab):
    lab.step('Boot a guest; its RAM is a file')
    watch = BindWatch()
    pool = Pool(lab, 'soft:auto', options=('--format=blank',))
    watched = Watched(lab, pool, watch)
    lab.step('At rest')
    kill_each(lab, pool, watched, AT_REST, 'at rest')
    lab.step('Under load')
    load = Load(Library(lab.plan['prefix']), pool)
    lab.wait_until(lambda: load.done > 2, HANGS, 'files are made, attached and removed')
    kill_each(lab, pool, watched, UNDER_LOAD, 'under load', load)
    done = load.done
    lab.wait_until(lambda: load.done > done + 2, HANGS, 'and they still are')
    lab.check(load.end(), 'whoever asked was answered')
    lab.say(f'{load.done} files; refused meanwhile: {load.refused}')
    watched.check_console()
    watched.guest.quit()
    os.unlink(pool.path('vm0'))
    lab.wait_until(lambda: not watched.find_devices(), HANGS, 'when it has ended and its file is removed, its devices go')
    scarcity.check(lab, pool)
    pool.unmount()
    lab.run('guestmemfs', 'fsck')


CASE = Case(about='a guest on a soft region goes on while worker, helper and supervisor are killed and started again',
            boots=(run,), cmdline='memmap=1G!4G,1G%4G-12+0xefffffff dax_hmem.region_idle=1',
            modules=('device_dax', 'dax_hmem', 'fuse', 'kvm_amd'), needs=('product', 'guest'))
