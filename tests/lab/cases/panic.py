# SPDX-License-Identifier: MIT
"""
The kernel panics in the middle of metadata changes; the crash kernel finds the pool, a guest's memory in it, and all that
was held as it was.
"""

import ctypes
import errno
import os
import secrets

from case import Case
from dax import BLOCK, MIB, pattern_block
from lab import HANGS
from product import Attached, Library, Pool
from storm import Storm

REGION = 'soft:auto'
CHANGES = 2000
VM_BLOCKS = 16
CRASH_DUMP = 'dump'
ORPHAN_BLOCKS, GONE_BLOCKS = 3, 2
# With --reuse=never what was granted stays the removed file's until the next boot; and in a crash kernel, always.
LEFTOVERS = {'orphans': 2, 'quarantined': ORPHAN_BLOCKS + GONE_BLOCKS}


def leftovers(pool):
    """What nobody may have yet: memory of files without a name, and memory without a file."""
    status = pool.status()
    return {'orphans': status['orphans'], 'quarantined': status['blocks']['quarantined']}


def leave_leftovers(lab, pool, library):
    """A file that is unlinked while it is mapped, and one that nobody has any more but may still reach."""
    orphan = Attached(library, pool.make('orphan', ORPHAN_BLOCKS * BLOCK))
    orphan.map()
    gone = pool.make('gone', GONE_BLOCKS * BLOCK)
    child = os.fork()
    if child == 0:  # who has been granted a file is taken to reach it as long as he lives
        status = 1
        try:
            with Attached(library, gone):
                status = 0
        finally:
            os._exit(status)
    lab.claim(os.waitpid(child, 0)[1] == 0, 'a process that had a file has ended')
    for name in ('orphan', 'gone'):
        os.unlink(pool.path(name))
    lab.check(leftovers(pool) == LEFTOVERS, 'removed files that were granted are orphans, their memory is in quarantine',
              f'{leftovers(pool)}')
    return orphan


def rage_and_panic(lab):
    seed = secrets.randbits(64)
    lab.remember(seed=seed)
    pool = Pool(lab, REGION, options=('--format=blank', '--reuse=never'))
    # As a crash kernel wants it: one CPU, for it may run on another one than the first, and no crash kernel of its own.
    cmdline = ' '.join(word for word in lab.cmdline().split() if not word.startswith('crashkernel='))
    lab.run('guestmemfs', 'kexec', '--panic', lab.plan['kernel'], '--initrd', lab.plan['initramfs'],
            '--command-line', f'{cmdline} nr_cpus=1')
    library = Library(lab.plan['prefix'])
    orphan = leave_leftovers(lab, pool, library)
    # Held and mapped through the panic, as by a VMM: that is what a crash kernel is loaded for.
    vm = Attached(library, pool.make('vm0', VM_BLOCKS * BLOCK))
    address = vm.map()
    for n in range(VM_BLOCKS):
        ctypes.memmove(address + n * BLOCK, pattern_block(seed, n), BLOCK)
    storm = Storm(lab, pool.mount, 'panic', seed)
    storm.start()
    storm.wait_for(CHANGES, HANGS)
    lab.claim(orphan.size == ORPHAN_BLOCKS * BLOCK, 'the orphan is mapped to the end')
    lab.leave('panic', 'sh', '-c', 'echo c >/proc/sysrq-trigger')


def stay_as_they_were(lab, pool, when):
    """No device was stopped by the panic: what was mapped may still be written to."""
    found = leftovers(pool)
    lab.check(found == LEFTOVERS, f'{when} orphans and quarantine are as they were', f'{found}')
    number = 0
    try:
        os.truncate(pool.path('vm0'), 0)
    except OSError as e:
        number = e.errno
    lab.check(number == errno.EBUSY, f'{when} what a guest had mapped is held', f'errno {number}')


def look(lab):
    seed = lab.recall('seed')
    lab.check(' nr_cpus=1 guestmemfs.succession=' in lab.cmdline() and 'crashkernel=' not in lab.cmdline(),
              'the crash kernel has the command line that was given, and the token', lab.cmdline())
    lab.run('guestmemfs', 'fsck')
    pool = Pool(lab, REGION)
    Storm(lab, pool.mount, 'panic', seed).check()
    stay_as_they_were(lab, pool, 'after the panic')
    dump = lab.share.path(CRASH_DUMP)
    lab.run('sh', '-c', 'guestmemfs dump "$1" >"$2"', 'sh', pool.path('vm0'), dump)
    with open(dump, 'rb') as f:
        blocks = iter(lambda: f.read(BLOCK), b'')
        wrong = [n for n, block in enumerate(blocks) if block != pattern_block(seed, n)]
        lab.check(not wrong and f.tell() == VM_BLOCKS * BLOCK,
                  f"the dump of the guest's {VM_BLOCKS * BLOCK // MIB} MiB is what was in them",
                  f'{f.tell()} bytes, wrong blocks: {wrong}')
    stay_as_they_were(lab, pool, 'after the dump')
    pool.unmount()
    lab.run('guestmemfs', 'fsck')
    pool = Pool(lab, REGION)
    stay_as_they_were(lab, pool, 'after another mount in the crash kernel')
    pool.unmount()
    lab.run('guestmemfs', 'fsck')


CASE = Case(about='a panic in the middle of metadata changes; in the crash kernel the pool is whole, and dump works',
            boots=(rage_and_panic, look), cpus=2,
            cmdline='memmap=1G!4G,1G%4G-12+0xefffffff dax_hmem.region_idle=1 crashkernel=512M',
            modules=('device_dax', 'dax_hmem', 'fuse'), needs=('product',))
