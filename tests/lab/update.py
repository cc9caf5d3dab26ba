# SPDX-License-Identifier: MIT
"""
An update of the host's kernel under a guest, which is what all this is for: the cases update-soft and update-pmem. The
guest's pattern comes from a seed that is another one each time, so that what a run before has left in RAM can't pass.
"""

import hashlib
import os
import secrets
import time

from dax import BLOCK, MIB
from guest import READY, TICK
from lab import HANGS, read_text
from product import Pool
from tree import differences, make_tree, record_tree

VM_MIB = 256
PATTERN = BLOCK * (VM_MIB * 60 // 200)  # 60 % of the guest's RAM
STATE = 'vm0.state'  # its device state, a file with content beside its memory
STATE_LIMIT = 4 * MIB
TICKS = 3
UNDER_PRELOAD = ('guestmemfs', 'run', '--')


def start(lab, pool, seed, *extra):
    return lab.start_guest(pool.path('vm0'), VM_MIB, seed, PATTERN, *extra, wrapper=UNDER_PRELOAD)


def wait_ticks(guest, place, count):
    for _ in range(count):
        tick, place = guest.wait(TICK, place, timeout=HANGS)
    return tick


def check_pattern(lab, guest):
    checked = int(guest.check_pattern(timeout=HANGS)['bytes'])
    lab.check(checked == PATTERN, f'every word of {PATTERN // MIB} of its {VM_MIB} MiB is right', f'{checked} bytes')


def make_pool(lab, region):
    lab.step('Make a pool of the reserved memory, and in it files with all sorts of owners, modes and times')
    lab.run('guestmemfs', 'format', '--region', region)
    pool = Pool(lab, region)
    make_tree(pool.mount)
    pool.make('vm0', VM_MIB * MIB)
    with open(pool.path(STATE), 'xb'):
        os.setxattr(pool.path(STATE), 'user.guestmemfs.io', b'1')
    lab.run('ls', '-lR', '--full-time', pool.mount)
    lab.run('guestmemfs', 'status', pool.mount)
    return pool


def boot_guest(lab, pool, seed):
    lab.step('Boot a guest under KVM in an unmodified QEMU; its RAM is the file vm0')
    guest = start(lab, pool, seed)
    ready, place = guest.wait(READY, 0, timeout=HANGS)
    lab.check(int(ready['seed'], 0) == seed, f'{PATTERN // MIB} of its {VM_MIB} MiB are full of a pattern')
    wait_ticks(guest, place, TICKS)
    check_pattern(lab, guest)
    return guest


def sum_of(path):
    with open(path, 'rb') as f:
        return hashlib.file_digest(f, 'sha256').hexdigest()


def kexec_argv(lab):
    return 'guestmemfs', 'kexec', lab.plan['kernel'], '--initrd', lab.plan['initramfs']


def refused_while_it_runs(lab, pool):
    lab.step('While the guest runs, guestmemfs kexec refuses')
    text = lab.run(*kexec_argv(lab), fails=True)
    lab.check('guest memory is in use: /vm0 by process' in text, 'it names the file and the process', text)
    lab.check(read_text('/sys/kernel/kexec_loaded').strip() == '0', 'no kernel is loaded')
    lab.check(not pool.status()['frozen'], 'the pool is not frozen')


def save_guest(lab, pool, guest):
    lab.step("Save the state of the guest's CPUs and devices to a file of the pool, and end QEMU")
    state = pool.path(STATE)
    began = time.time()
    lab.remember(stopped=began)
    guest.save(state)
    lab.figure('saving the state', time.time() - began, 's')
    guest.quit()
    size = os.stat(state).st_size
    lab.check(0 < size < STATE_LIMIT, f'the saved state has {size >> 10} KiB: the RAM is not in it')
    lab.remember(state=sum_of(state))
    ticks = [m for m in map(TICK.fullmatch, guest.console.lines()) if m]
    return {**{name: ticks[-1][name] for name in ('n', 'boot_id', 'uptime')}, 'partial': guest.console.partial()}


def before(lab, region):
    """The first boot; it ends in the second."""
    seed = secrets.randbits(64)
    pool = make_pool(lab, region)
    guest = boot_guest(lab, pool, seed)
    refused_while_it_runs(lab, pool)
    last = save_guest(lab, pool, guest)
    lab.step('Leave this kernel for the next with guestmemfs kexec')
    lab.run('uname', '-a')
    lab.remember(seed=seed, last=last, tree=record_tree(pool.mount), uuid=pool.status()['uuid'], left=time.time())
    lab.leave('kexec', *kexec_argv(lab))


def mount_again(lab, region):
    lab.step('In the next kernel: mount the pool')
    arrived = time.time()
    lab.check('guestmemfs.succession=' in lab.cmdline(), 'its command line has the succession token')
    pool = Pool(lab, region)
    lab.figure('from the old kernel to the mount', arrived - lab.recall('left'), 's')
    lab.figure('mount', time.time() - arrived, 's')
    lab.run('guestmemfs', 'status', pool.mount)
    status = pool.status()
    lab.check(status['uuid'] == lab.recall('uuid'), f'it is the same pool, {status["uuid"]}')
    lab.check(not status['frozen'], 'and it is not frozen any more')
    lab.run('ls', '-lR', '--full-time', pool.mount)
    wrong = differences(record_tree(pool.mount), lab.recall('tree'))
    lab.check(not wrong, f'all {len(lab.recall("tree"))} files and directories are as a record on the disk says', wrong)
    lab.check(sum_of(pool.path(STATE)) == lab.recall('state'), "the guest's device state is there, byte for byte")
    return pool


def resume(lab, pool):
    lab.step('Resume the guest in a new QEMU, from its saved state and its memory, both in the pool')
    last = lab.recall('last')
    guest = start(lab, pool, lab.recall('seed'), '-incoming', 'defer')
    guest.console.feed(last['partial'])  # its serial line may have been cut in the middle of a tick
    began = time.time()
    guest.take_in(pool.path(STATE))
    lab.figure('taking the state in', time.time() - began, 's')
    guest.go_on()
    tick, place = guest.wait(TICK, 0, timeout=HANGS)
    lab.figure('from stop to the next tick', time.time() - lab.recall('stopped'), 's')
    lab.check(int(tick['n']) == int(last['n']) + 1, f'tick {last["n"]} was its last one, tick {tick["n"]} is the next')
    lab.check(tick['boot_id'] == last['boot_id'], f'its kernel was not booted anew: boot id {tick["boot_id"]}')
    lab.check(0 < float(tick['uptime']) - float(last['uptime']) < (time.time() - lab.recall('stopped')) / 2,
              f'its uptime goes on: {last["uptime"]} s, {tick["uptime"]} s')
    check_pattern(lab, guest)
    wait_ticks(guest, place, TICKS)
    guest.quit()


def after(lab, region):
    """The second boot."""
    pool = mount_again(lab, region)
    resume(lab, pool)
    lab.step('The pool takes changes again; take it down and check its metadata')
    os.rename(pool.path('d'), pool.path('e'))
    os.unlink(pool.path('vm0'))
    os.unlink(pool.path(STATE))
    pool.unmount()
    lab.run('guestmemfs', 'fsck')
