# SPDX-License-Identifier: MIT
"""Regions that are not what they were, and regions with what others, or a crash, have left in them."""

import json
import subprocess
import threading
import traceback

from case import Case
from damage import device_at, lose_superblocks
from dax import (BLOCK, DEVICES, GIB, device_names, device_number, is_bound, make_device, put, ranges_of, remove_device,
                 soft_region)
from lab import HANGS, read_text
from product import unmount
from softrecord import instance_of, note_half_made

START, SIZE = 4 * GIB, 2 * GIB
MOUNT = '/mnt/gm'
LOOKS = 25


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

    def begin(*ranges):
        put(f'{region}/create', '1')
        name = read_text(f'{region}/create').strip()
        for start, length in ranges:
            put(f'{DEVICES}/{name}/mapping', f'{start:x}-{start + length - 1:x}')
        return name

    def after_fsck():
        lab.run('guestmemfs', 'fsck')
        return device_names()

    ranges = [(START + GIB, BLOCK), (START + GIB + 8 * BLOCK, BLOCK)]
    foreign = begin()
    lab.check(foreign in after_fsck(), 'an empty device that others have just made is left alone')
    for part, what in ((1, 'a part of its memory'), (2, 'all of it and no driver')):
        ours = begin(*ranges[:part])
        note_half_made(START, ours, instance_of(ours), ranges)
        names = after_fsck()
        lab.check(ours not in names and foreign in names, f'one of ours that a crash has left with {what} is removed', f'{names}')
    ours = begin()
    instance = instance_of(ours)
    note_half_made(START, ours, instance, ranges)
    put(f'{region}/delete', ours)
    theirs = begin(ranges[0])
    lab.check(theirs == ours and instance_of(theirs) != instance, 'the next one that others make has its name', theirs)
    lab.check(ranges_of(theirs) == ranges[:1] and theirs in after_fsck(), 'and is left alone, half made as it is')
    note_half_made(START, theirs, instance_of(theirs), ranges[1:])
    lab.check(theirs in after_fsck() and ranges_of(theirs) == ranges[:1], 'so is one that has other memory than we gave it')
    put(f'{DEVICES}/{theirs}/size', '0')
    for name in (theirs, foreign):
        put(f'{region}/delete', name)


def passing_devices(lab):
    """
    Somebody else makes and removes devices all the time. The kernel takes the files of one away before its name. They have
    no memory: who takes a range away, and who reads it just then, wait for each other on 6.12 (docs/architecture.md).
    """
    region, end, made, trouble = soft_region(), threading.Event(), [], []

    def make_and_remove():
        while not end.is_set():
            put(f'{region}/create', '1')
            made.append(read_text(f'{region}/create').strip())
            put(f'{region}/delete', made[-1])

    def go_on():
        try:
            make_and_remove()
        except OSError:
            trouble.append(traceback.format_exc())

    other = threading.Thread(target=go_on)
    other.start()
    try:
        looks = [subprocess.run(['guestmemfs', 'fsck'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True, timeout=HANGS, check=False) for _ in range(LOOKS)]
    finally:
        end.set()
        other.join()
    wrong = [done.stdout for done in looks if done.returncode != 0]
    lab.check(len(made) > LOOKS and not trouble, f'while {LOOKS} looks are taken others make and remove devices',
              f'{len(made)}; {trouble}')
    lab.check(not wrong, 'and each sees what is there', '\n'.join(wrong))


def make(lab):
    foreign_devices(lab)
    refused(lab, 'there is no soft-reserved region at 0x140000000, but at 0x100000000', 'guestmemfs', 'fsck', '--region',
            'soft:0x140000000')
    lab.run('guestmemfs', 'format')
    half_made_devices(lab)
    passing_devices(lab)
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
    lose_superblocks(device_at(START))
    text = lab.run('guestmemfs', 'fsck', '--repair', '--yes', '--backup', '/tmp/damaged')
    lab.check('is 3G, and the pool has 2G of it' in text, 'damaged as it is, it is repaired at the size that the pool knows', text)
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
