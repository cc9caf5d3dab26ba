# SPDX-License-Identifier: MIT
"""Regions that are not what they were, and regions with what others, or a crash, have left in them."""

import json

from case import Case
from dax import (BLOCK, DEVICES, GIB, device_names, device_number, is_bound, make_device, put, ranges_of, remove_device,
                 soft_region)
from lab import read_text
from product import unmount

START, SIZE = 4 * GIB, 2 * GIB
MOUNT = '/mnt/gm'
RECORD = '/run/guestmemfs/.soft-0x100000000'


def refused(lab, sentence, *argv):
    text = lab.run(*argv, fails=True)
    lab.check(sentence in text, f'{" ".join(argv)} is refused: {sentence}', text)


def foreign_devices(lab):
    region = soft_region()
    foreign = make_device(region, [(START, 4 * BLOCK)])
    refused(lab, f'/dev/{foreign} is over the region\'s first block', 'guestmemfs', 'format')
    lab.check(ranges_of(foreign) == [(START, 4 * BLOCK)] and is_bound(foreign), 'and it is left alone')
    remove_device(region, foreign)
    foreign = make_device(region, [(START + SIZE - BLOCK, BLOCK)])
    refused(lab, f'belongs to /dev/{foreign}', 'guestmemfs', 'format')
    lab.check(is_bound(foreign), 'and it is left alone')
    remove_device(region, foreign)
    lab.check(device_names() == ['dax0.0'], 'what was refused has left nothing behind', str(device_names()))


def half_made_devices(lab):
    """As a crash leaves them, in the middle of making one: without memory, or without a driver."""
    region = soft_region()
    put(f'{region}/create', '1')
    foreign = read_text(f'{region}/create').strip()
    lab.run('guestmemfs', 'fsck')
    lab.check(foreign in device_names(), 'an empty device that others have just made is left alone')
    put(f'{region}/create', '1')
    ours = read_text(f'{region}/create').strip()
    put(f'{DEVICES}/{ours}/mapping', f'{START + GIB:x}-{START + GIB + BLOCK - 1:x}')
    with open(RECORD, 'r+b') as f:
        f.seek(1 + int(ours.split('.')[1]))
        f.write(b'o')
    lab.run('guestmemfs', 'fsck')
    lab.check(ours not in device_names() and foreign in device_names(), 'a device of ours without a driver is removed')
    with open(RECORD, 'r+b') as f:
        f.write(b'M')
    lab.run('guestmemfs', 'fsck')
    lab.check(foreign not in device_names(), 'after a crash in the middle of making one, the empty one is')


def make(lab):
    foreign_devices(lab)
    refused(lab, 'there is no soft-reserved region at 0x140000000, but at 0x100000000', 'guestmemfs', 'fsck', '--region',
            'soft:0x140000000')
    lab.run('guestmemfs', 'format')
    half_made_devices(lab)
    lab.run('mkdir', '-p', MOUNT)
    lab.run('guestmemfs-fuse', MOUNT)
    lab.run('truncate', '-s', '100M', f'{MOUNT}/vm0')
    lab.remember(tree=lab.run('ls', '-l', '--full-time', MOUNT))
    token = lab.run('guestmemfs', 'token', MOUNT).strip()
    unmount(lab, MOUNT)
    # In this order, since what is not reserved any more is ordinary RAM in that boot, and is overwritten.
    lab.kexec(cmdline=lab.cmdline().replace('2G!4G,2G%4G', '3G!4G,3G%4G'), token=token)


def grown(lab):
    refused(lab, 'with --grow', 'guestmemfs-fuse', '/mnt')
    lab.run('guestmemfs', 'format', '--grow')
    lab.run('guestmemfs', 'fsck')
    [name] = [name for name in device_names() if name != 'dax0.0']
    lab.check(ranges_of(name)[1] == (START + 3 * GIB - BLOCK, BLOCK) and device_number(name, 'size') < 128 * BLOCK,
              'the metadata device has the new last block, and no data', str(ranges_of(name)))
    lab.run('mkdir', '-p', MOUNT)
    lab.run('guestmemfs-fuse', MOUNT)
    lab.check(lab.run('ls', '-l', '--full-time', MOUNT) == lab.recall('tree'), 'the file is there')
    status = json.loads(lab.run('guestmemfs', 'status', '--json', MOUNT))
    lab.check(status['regions'][0]['size'] == 3 * GIB, 'the pool has the size of the region')
    lab.run('truncate', '-s', '2500M', f'{MOUNT}/vm1')
    unmount(lab, MOUNT)
    lab.run('guestmemfs', 'fsck')
    lab.kexec(cmdline=lab.cmdline().replace('3G!4G,3G%4G', '1G!4G,1G%4G'))


def shrunk(lab):
    refused(lab, 'is 1G, but was 3G when the pool was formatted', 'guestmemfs-fuse', '--region', 'soft:0x100000000', '/mnt')
    refused(lab, 'has shrunk: it is 1G, and was 3G', 'guestmemfs', 'format', '--grow')
    lab.kexec(cmdline=lab.cmdline().replace('1G!4G,1G%4G', '1G!5G,1G%5G'))


def moved(lab):
    refused(lab, 'the reserved memory has moved', 'guestmemfs-fuse', '--region', 'soft:auto', '/mnt')


CASE = Case(about='regions that moved, shrank, grew; foreign and half-made devices',
            boots=(make, grown, shrunk, moved), needs=('product',),
            # The top of RAM is in no region: kexec puts pieces of the next kernel there, and 6.12 takes them out of a region.
            memory='8G',
            cmdline='memmap=2G!4G,2G%4G-12+0xefffffff dax_hmem.region_idle=1')
