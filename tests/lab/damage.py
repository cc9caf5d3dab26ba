# SPDX-License-Identifier: MIT
"""Damage to the metadata of a pool on devdax, which takes no write(2): superblocks that are lost, memory that is bad."""

import contextlib
import json
import mmap
import os

from dax import BLOCK, MIB, device_names, ranges_of
from lab import HANGS
from product import unmount

KEPT = 'kept bytes\n' * 100000
JOURNAL = 2 * MIB  # docs/format.md
MADV_HWPOISON = 100


def device_at(start):
    """The name of the one that is over the region's beginning."""
    [name] = [name for name in device_names() if any(at == start for at, _ in ranges_of(name))]
    return name


def lose_superblocks(device):
    fd = os.open(f'/dev/{device}', os.O_RDWR)
    with mmap.mmap(fd, BLOCK) as memory:
        for offset in (0, MIB):
            memory[offset:offset + 4096] = bytes(4096)
    os.close(fd)


def superblocks_lost(lab, find_device, directory):
    """A repair makes both anew, its copy goes back, and so does the copy of that. It is mounted afterwards, and was not before."""
    lab.step('Both superblocks are lost')
    lab.run('guestmemfs-fuse', directory)
    lab.run('guestmemfs', 'load', f'{directory}/kept', stdin=KEPT)
    wanted = lab.run('sh', '-c', f'guestmemfs dump {directory}/kept | sha256sum')
    unmount(lab, directory)
    lose_superblocks(find_device())
    lab.run('guestmemfs', 'fsck', fails=True)
    lab.run('guestmemfs', 'fsck', '--repair', '--yes', '--backup', '/tmp/damaged')
    lab.run('guestmemfs', 'fsck', '--restore', '/tmp/damaged', '--yes', '--backup', '/tmp/repaired')
    lab.run('guestmemfs', 'fsck', fails=True)
    lab.run('guestmemfs', 'fsck', '--restore', '/tmp/repaired', '--yes', '--backup', '/tmp/again')
    lab.run('guestmemfs', 'fsck')
    lab.run('guestmemfs-fuse', directory)
    found = lab.run('sh', '-c', f'guestmemfs dump {directory}/kept | sha256sum')
    lab.check(found == wanted, 'the bytes are there after a repair, a copy put back, and another', found)


def break_page(device, offset):
    """As root may. Whoever does it is hit by it: in a process of its own."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(OSError):
            fd = os.open(f'/dev/{device}', os.O_RDWR)
            memory = mmap.mmap(fd, BLOCK, offset=offset)
            memory[0] = memory[0]
            memory.madvise(MADV_HWPOISON, 0, mmap.PAGESIZE)
        os._exit(0)
    os.waitpid(pid, 0)


def journal_lost(lab, device, directory):
    """A memory error where the journal begins, under a mount that has records there."""
    lab.step('A memory error in the journal costs nothing that was answered, and nobody dies of it')

    def status():
        return json.loads(lab.run('guestmemfs', 'status', '--json', directory, told=False))

    os.mkdir(f'{directory}/before')
    was = status()
    break_page(device, JOURNAL)
    lab.wait_until(lambda: status()['generation'] > was['generation'], HANGS, 'the worker hears of it, and writes a checkpoint')
    os.mkdir(f'{directory}/after')
    now = status()
    lab.check(f' at offset {JOURNAL:#x} of the first region' in now['metadata_fault'], 'status tells of it', f'{now["metadata_fault"]}')
    lab.check(now['journal']['used'] == 0, 'and so with each change, for none goes there any more', f'{now["journal"]}')
    lab.check(now['pids'] == was['pids'], 'nobody has died', f'{was["pids"]}, {now["pids"]}')
    tree = lab.run('ls', '-l', '--full-time', directory)
    unmount(lab, directory)
    lab.run('guestmemfs-fuse', directory)
    lab.check(lab.run('ls', '-l', '--full-time', directory) == tree, 'the next mount does not need what was there')
    unmount(lab, directory)
