# SPDX-License-Identifier: MIT
"""A kexec in the middle of metadata changes, without a freeze, five times over."""

import secrets

from case import Case
from lab import HANGS
from product import Pool
from storm import Storm
from tree import differences, record_tree

REGION = 'soft:auto'
ROUNDS = 5
CHANGES = 2000


def rage(lab, pool):
    """Ends this boot in the next one."""
    seed = secrets.randbits(64)
    lab.remember(seed=seed, tree=record_tree(pool.mount))
    lab.run('guestmemfs', 'kexec', '--load-only', lab.plan['kernel'], '--initrd', lab.plan['initramfs'])
    lab.check(not pool.status()['frozen'], 'with --load-only nothing is frozen')
    storm = Storm(lab, pool.mount, f'{lab.boot}', seed)
    storm.start()
    storm.wait_for(CHANGES, HANGS)
    lab.leave('kexec', 'kexec', '-e')


def check(lab):
    """What the boot before this one has left; the pool is mounted then."""
    lab.run('guestmemfs', 'fsck')
    pool = Pool(lab, REGION)
    Storm(lab, pool.mount, f'{lab.boot - 1}', lab.recall('seed')).check()
    now = {path: record for path, record in record_tree(pool.mount).items()
           if path.split('/')[0] in lab.recall('tree') and path != '.'}
    wrong = differences(now, {path: record for path, record in lab.recall('tree').items() if path != '.'})
    lab.check(not wrong, 'and what earlier storms have left is untouched', wrong)
    pool.unmount()
    lab.run('guestmemfs', 'fsck')


def first(lab):
    lab.run('guestmemfs', 'format', '--region', REGION)
    rage(lab, Pool(lab, REGION))


def next_round(lab):
    check(lab)
    rage(lab, Pool(lab, REGION))


CASE = Case(about='kexec -e in the middle of metadata changes, five times: every acknowledged change is there',
            boots=(first, *[next_round] * (ROUNDS - 1), check), cpus=2,
            cmdline='memmap=1G!4G,1G%4G-12+0xefffffff dax_hmem.region_idle=1',
            modules=('device_dax', 'dax_hmem', 'fuse'), needs=('product',))
