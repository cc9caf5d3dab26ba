# SPDX-License-Identifier: MIT
"""Two soft regions as one pool, of which the first is metadata alone; both must be there."""

import json

from case import Case
from dax import BLOCK, GIB, MIB, device_names, ranges_of
from lab import HANGS
from product import Pool, unmount

FIRST, SMALL = 4 * GIB, 50 * MIB
SECOND, LARGE = 5 * GIB, GIB
REGIONS = ('--region', 'soft:0x100000000', '--region', 'soft:0x140000000')
MOUNT = '/mnt/gm'


def refused(lab, sentence, *argv):
    text = lab.run(*argv, fails=True)
    lab.check(sentence in text, f'{" ".join(argv)} is refused: {sentence}', text)


def check_devices(lab):
    """Windows, through which free blocks are scrubbed, come and go: nothing else may be left in the end."""
    wanted = [[(FIRST, SMALL)], [(SECOND, BLOCK), (SECOND + LARGE - BLOCK, BLOCK)]]
    lab.wait_until(lambda: sorted(filter(None, map(ranges_of, device_names()))) == wanted, HANGS,
                   'a device over all of the first region, one over the two ends of the second')


def mount(lab):
    return Pool(lab, *REGIONS[1::2], mount=MOUNT)


def make(lab):
    refused(lab, 'several soft-reserved regions', 'guestmemfs', 'format')
    refused(lab, 'the same memory', 'guestmemfs', 'format', *REGIONS[:2], *REGIONS[:2])
    refused(lab, 'too small', 'guestmemfs', 'format', *REGIONS[:2])
    lab.run('guestmemfs', 'format', *REGIONS)
    check_devices(lab)
    pool = mount(lab)
    lab.run('truncate', '-s', '1000M', pool.path('vm0'))
    status = json.loads(lab.run('guestmemfs', 'status', '--json', MOUNT))
    lab.check([r['size'] for r in status['regions']] == [SMALL, LARGE], 'both regions are in the pool')
    token = lab.run('guestmemfs', 'token', MOUNT).strip()
    pool.settle()
    unmount(lab, MOUNT)
    lab.kexec(token=token)


def again(lab):
    refused(lab, 'has 2 region(s) and 1 are named', 'guestmemfs-fuse', *REGIONS[:2], '/mnt')
    refused(lab, 'there is no filesystem', 'guestmemfs-fuse', *REGIONS[2:], *REGIONS[:2], '/mnt')
    mount(lab).settle()
    check_devices(lab)
    lab.check('1048576000' in lab.run('ls', '-l', MOUNT), 'the file is there')
    unmount(lab, MOUNT)
    lab.run('guestmemfs', 'fsck', *REGIONS)


CASE = Case(about='two soft regions make one pool, the first of them for metadata alone', boots=(make, again),
            needs=('product',),
            cmdline='memmap=50M!4G,1G!5G,50M%4G-12+0xefffffff,1G%5G-12+0xefffffff dax_hmem.region_idle=1')
