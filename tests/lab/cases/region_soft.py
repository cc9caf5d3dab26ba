# SPDX-License-Identifier: MIT
"""A soft region: its metadata device, live devices beside it through restarts, and a pool that is there after a kexec."""

import json
import mmap
import os
import re
import stat

from case import Case
from damage import device_at, journal_lost, superblocks_lost
from dax import (BLOCK, GIB, MIB, Mapped, device_names, device_number, is_bound, make_device, put, ranges_of,
                 remove_device, soft_region)
from lab import HANGS
from product import unmount

START, SIZE = 4 * GIB, 2 * GIB
MOUNT = '/mnt/gm'
META = 48 * MIB  # for 65,536 files


def metadata_device(lab):
    """Its name; it is over the metadata area and the last block, and is the only one there."""
    [name] = [name for name in device_names() if any(start == START for start, _ in ranges_of(name))]
    lab.check(ranges_of(name) == [(START, META), (START + SIZE - BLOCK, BLOCK)] and is_bound(name),
              f'{name} is over the metadata and the last block', str(ranges_of(name)))
    return name


def mount(lab):
    lab.run('mkdir', '-p', MOUNT)
    lab.run('guestmemfs-fuse', MOUNT)


def settle(lab):
    """Free blocks are scrubbed through devices that come and go; then there are none but those that the case makes."""
    def is_clean():
        return json.loads(lab.run('guestmemfs', 'status', '--json', MOUNT, told=False))['blocks']['free_dirty'] == 0
    lab.wait_until(is_clean, HANGS, 'all free blocks are scrubbed')


def make(lab):
    refused = lab.run('guestmemfs-fuse', '--region', 'soft:auto', '/mnt', fails=True)
    lab.check('there is no filesystem' in refused, 'a blank region is not mounted', refused)
    lab.run('guestmemfs', 'format')
    name = metadata_device(lab)
    lab.check(device_number('dax0.0', 'size') == 0, 'dax0.0 is empty')
    mount(lab)
    lab.run('truncate', '-s', '100M', f'{MOUNT}/vm0')
    lab.run('mkdir', f'{MOUNT}/d')
    text = lab.run('guestmemfs', 'format', '--force', fails=True)
    lab.check('is in use by another' in text, 'a mounted region is locked', text)
    lab.remember(tree=lab.run('ls', '-lR', '--full-time', MOUNT))
    token = lab.run('guestmemfs', 'token', MOUNT).strip()
    settle(lab)
    unmount(lab, MOUNT)
    restarts(lab, name)
    lab.kexec(token=token)


def restarts(lab, name):
    """A device with a mapping, as that of a file is, is there while the pool is started again and again."""
    live = make_device(soft_region(), [(START + GIB, 16 * MIB)])
    with Mapped(live) as memory:
        memory.fill('live')
        for _ in range(2):
            mount(lab)
            lab.check(metadata_device(lab) == name, 'after a restart the metadata device is found again')
            unmount(lab, MOUNT)
        lab.run('guestmemfs', 'fsck')
        lab.check(ranges_of(live) == [(START + GIB, 16 * MIB)] and is_bound(live) and not memory.wrong_blocks('live'),
                  f'{live} was not touched')


def full_seed(lab):
    """As kernels come up without region_idle: dax0.0 over everything, and bound."""
    put('/sys/bus/dax/devices/dax0.0/size', str(SIZE))
    put('/sys/bus/dax/drivers/device_dax/bind', 'dax0.0')
    fd = os.open('/dev/dax0.0', os.O_RDONLY)
    text = lab.run('guestmemfs-fuse', '/mnt', fails=True)
    lab.check(f'process {os.getpid()} has /dev/dax0.0' in text, 'somebody has dax0.0 open: named, and refused', text)
    lab.check(is_bound('dax0.0') and device_number('dax0.0', 'size') == SIZE, 'and dax0.0 is left alone')
    os.close(fd)
    node = f'{lab.directory}/seed'
    os.mknod(node, 0o600 | stat.S_IFCHR, os.stat('/dev/dax0.0').st_rdev)
    fd = os.open(node, os.O_RDWR)
    with mmap.mmap(fd, BLOCK):
        os.close(fd)
        text = lab.run('guestmemfs-fuse', '/mnt', fails=True)
        lab.check(f'process {os.getpid()} has /dev/dax0.0' in text and is_bound('dax0.0'),
                  'so is who maps it, by whatever node', text)


def again(lab):
    lab.check(device_names() == ['dax0.0'], 'after the kexec no device is there')
    full_seed(lab)
    mount(lab)
    metadata_device(lab)
    lab.check(device_number('dax0.0', 'size') == 0 and not is_bound('dax0.0'), 'dax0.0 was emptied')
    lab.check(lab.run('ls', '-lR', '--full-time', MOUNT) == lab.recall('tree'), 'and the files are there')
    journal_lost(lab, device_at(START), MOUNT)
    other_size(lab)


def other_size(lab):
    """A pool with a smaller metadata area in place of the first; its device follows, and meets no other."""
    lab.run('guestmemfs', 'format', '--force', '--max-files', '1000')
    [name] = [name for name in device_names() if name != 'dax0.0']
    small = ranges_of(name)[0][1]
    lab.check(small < META, f'fewer files, a smaller metadata device ({small // MIB} MiB)')
    live = make_device(soft_region(), [(START + small, BLOCK)])
    text = lab.run('guestmemfs', 'format', '--force', fails=True)
    lab.check(f'/dev/{live} is over it' in text, 'another device is where metadata is to be: named, and refused', text)
    lab.run('guestmemfs', 'fsck')
    remove_device(soft_region(), live)
    lab.run('guestmemfs', 'format', '--force')
    metadata_device(lab)
    lab.run('guestmemfs', 'format', '--force', '--max-files', '1000')
    mount(lab)
    token = lab.run('guestmemfs', 'token', MOUNT).strip()
    settle(lab)
    unmount(lab, MOUNT)
    lab.remember(small=small)
    lab.kexec(cmdline=re.sub(r' guestmemfs\.succession=\w+', '', lab.cmdline()), token=token)


def unusual(lab):
    """The metadata area is not what a start takes it for before it has read the superblock."""
    wanted = [(START, lab.recall('small')), (START + SIZE - BLOCK, BLOCK)]
    make_device(soft_region(), [(START + META - BLOCK, BLOCK)])
    for what in ('something is in the way of a larger one', 'nothing is in the way'):
        mount(lab)
        [name] = [name for name in device_names() if any(start == START for start, _ in ranges_of(name))]
        lab.check(ranges_of(name) == wanted, f'the metadata device is as small as the pool has it, {what}', f'{ranges_of(name)}')
        unmount(lab, MOUNT)
        for device in set(device_names()) - {'dax0.0'}:
            remove_device(soft_region(), device)
    damaged(lab)


def damaged(lab):
    superblocks_lost(lab, lambda: device_at(START), MOUNT)
    unmount(lab, MOUNT)


CASE = Case(about='a soft region: its metadata device through restarts, reformats and a kexec; other devices untouched',
            boots=(make, again, unusual), cmdline='memmap=2G!4G,2G%4G-12+0xefffffff dax_hmem.region_idle=1',
            needs=('product',))
