# SPDX-License-Identifier: MIT
"""
A host that systemd runs: guestmemfs kexec leaves through it. The image is loaded, checked, before systemd is asked (it
would load one itself, by the call that loses guests); then it stops its units, and jumps into what is loaded.
"""

import ctypes
import os
import secrets

from case import Case
from dax import BLOCK, pattern_block
from lab import read_text
from product import Attached, Library, Pool

REGION = 'soft:auto'
BLOCKS = 8
UNIT = '/run/systemd/system/lab-mark.service'
CONTAINER = '/.dockerenv'
# systemd ends what runs in the case's unit, its own client too: here always before that has seen the answer.
SLOW_CLIENT = '''#!/bin/sh
/bin/systemctl "$@" || exit
[ "$1" != kexec ] || exec sleep 600
'''
MARK = '''[Unit]
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target
RequiresMountsFor=/lab
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/usr/bin/touch /lab/stopped
'''


def pattern(lab, path, seed):
    """True if the file's memory is the pattern."""
    with Attached(Library(lab.plan['prefix']), path) as file:
        address = file.map()
        found = all(ctypes.string_at(address + n * BLOCK, BLOCK) == pattern_block(seed, n) for n in range(BLOCKS))
        ctypes.CDLL(None).munmap(ctypes.c_void_p(address), ctypes.c_size_t(file.size))
    return found


def leave(lab):
    lab.claim(read_text('/proc/1/comm').strip() == 'systemd', 'systemd is PID 1')
    with open(UNIT, 'w', encoding='ascii') as f:
        f.write(MARK)
    lab.run('systemctl', 'daemon-reload')
    lab.run('systemctl', 'start', 'lab-mark.service')
    pool = Pool(lab, REGION, options=('--format=blank',))
    seed = secrets.randbits(64)
    path = pool.make('vm0', BLOCKS * BLOCK)
    with Attached(Library(lab.plan['prefix']), path) as file:
        address = file.map()
        for n in range(BLOCKS):
            ctypes.memmove(address + n * BLOCK, pattern_block(seed, n), BLOCK)
        ctypes.CDLL(None).munmap(ctypes.c_void_p(address), ctypes.c_size_t(file.size))
    lab.remember(seed=seed, uuid=pool.status()['uuid'])
    lab.check(read_text('/sys/kernel/kexec_loaded').strip() == '0', 'no kernel is loaded')
    command = 'guestmemfs', 'kexec', lab.plan['kernel'], '--initrd', lab.plan['initramfs']
    with open(CONTAINER, 'x', encoding='ascii'):
        pass
    text = lab.run(*command, fails=True)
    lab.check(CONTAINER in text and not pool.status()['frozen'],
              'it is refused where systemd takes the host for a container, and would reboot', text)
    os.unlink(CONTAINER)
    with open(f'{lab.directory}/systemctl', 'x', encoding='ascii') as f:
        os.fchmod(f.fileno(), 0o755)
        f.write(SLOW_CLIENT)
    os.environ['PATH'] = f'{lab.directory}:{os.environ["PATH"]}'
    lab.leave('kexec', *command)


def arrive(lab):
    lab.check(os.path.exists('/lab/stopped'), 'systemd stopped its units before the jump')
    lab.check('guestmemfs.succession=' in lab.cmdline(), 'and jumped into the image that guestmemfs kexec had loaded')
    pool = Pool(lab, REGION)
    lab.check(pool.status()['uuid'] == lab.recall('uuid'), 'the pool is there')
    lab.check(pattern(lab, pool.path('vm0'), lab.recall('seed')), "and the guest's memory, to the last byte")
    pool.unmount()
    lab.run('guestmemfs', 'fsck')


CASE = Case(about='a host that runs systemd: guestmemfs kexec goes through systemctl kexec', boots=(leave, arrive), cpus=2,
            cmdline='memmap=1G!4G,1G%4G-12+0xefffffff dax_hmem.region_idle=1', needs=('product',), systemd=True,
            modules=('device_dax', 'dax_hmem', 'fuse'))
