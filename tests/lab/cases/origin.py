# SPDX-License-Identifier: MIT
"""
Whether a boot is the one that the pool was left to. In order: through the firmware; by a kexec without a token; by one
with a token of an earlier boot; through a kernel without the reservation, which uses the memory as its own.
"""

import ctypes
import mmap
import os
import re

from case import Case
from dax import GIB, MIB, pattern_block
from lab import read_text
from product import Attached, Library, Pool

RESERVATION = 'memmap=512M!4G,512M%4G-12+0xefffffff dax_hmem.region_idle=1'
MOUNT = '/mnt/gm'
SIZE = 32 * MIB
BLOCK = 2 * MIB


def mount_is_refused(lab, sentence, *options):
    os.makedirs(MOUNT, exist_ok=True)
    text = lab.run('guestmemfs-fuse', '--region', 'soft:auto', *options, MOUNT, fails=True)
    lab.check(sentence in text, f'refused: {sentence}', text)
    lab.check('--trust-memory' in text or '--trust-memory' in options, 'the sentence names the way out', text)
    lab.check(not os.path.ismount(MOUNT), 'and nothing is mounted')


def remember_tree(lab):
    lab.remember(tree=lab.run('ls', '-lR', '--full-time', MOUNT))


def file_is_whole(lab, pool):
    lab.check(lab.run('ls', '-lR', '--full-time', MOUNT) == lab.recall('tree'), 'the tree is what it was')
    with Attached(Library(lab.plan['prefix']), pool.path('vm0')) as file:
        memory = ctypes.string_at(file.map(prot=mmap.PROT_READ), SIZE)
    wrong = [at for at in range(0, SIZE, BLOCK) if memory[at:at + BLOCK] != pattern_block('vm0', at // BLOCK)]
    lab.check(not wrong, 'the memory of its file is whole', str(wrong))


def token(lab):
    return lab.run('guestmemfs', 'token', MOUNT).strip()


def make(lab):
    pool = Pool(lab, 'soft:auto', options=('--format=blank',))
    with Attached(Library(lab.plan['prefix']), pool.make('vm0', SIZE)) as file:
        address = file.map()
        for at in range(0, SIZE, BLOCK):
            ctypes.memmove(address + at, pattern_block('vm0', at // BLOCK), BLOCK)
    remember_tree(lab)
    lab.remember(old=token(lab))
    pool.unmount()
    pool = Pool(lab, 'soft:auto')
    lab.check(token(lab) == lab.recall('old'), 'a restart in the same boot keeps the token')
    lab.reset()


def through_firmware(lab):
    mount_is_refused(lab, 'this boot came from firmware, not by a kexec')
    mount_is_refused(lab, 'this boot came from firmware, not by a kexec')
    lab.run('guestmemfs', 'fsck')
    pool = Pool(lab, 'soft:auto', options=('--trust-memory',))
    lab.check(True, '--trust-memory mounts it')
    file_is_whole(lab, pool)
    lab.check(token(lab) != lab.recall('old'), 'and the pool has a new token')
    pool.unmount()
    Pool(lab, 'soft:auto')
    lab.check(True, 'from then on it is mounted in this boot without being asked')
    remember_tree(lab)
    lab.kexec()


def without_token(lab):
    mount_is_refused(lab, 'this boot came by a kexec without guestmemfs.succession= on its command line')
    lab.kexec(cmdline=f'{lab.cmdline()} guestmemfs.succession={lab.recall("old")}')


def with_an_old_token(lab):
    mount_is_refused(lab, 'another succession token than the pool')
    pool = Pool(lab, 'soft:auto', options=('--trust-memory',))
    file_is_whole(lab, pool)
    remember_tree(lab)
    lab.check(token(lab) != lab.recall('old'), 'and the token on the command line is not used again')
    lab.remember(new=token(lab))
    # With the right token, even: what nobody but an operator who writes command lines by hand would do.
    line = lab.cmdline().replace(RESERVATION, '').replace(lab.recall('old'), lab.recall('new'))
    danger = lab.run('guestmemfs', 'doctor', '--cmdline', '-', fails=True, stdin=line)
    lab.check('would be ordinary RAM' in danger, 'doctor says that this command line loses guests', danger)
    lab.kexec(cmdline=line)


def without_reservation(lab):
    memory = read_text('/proc/iomem')
    lab.claim(re.search('^100000000-.* : System RAM$', memory, re.M), 'without the reservation the region is System RAM', memory)
    text = lab.run('guestmemfs-fuse', '/mnt', fails=True)
    lab.check('memmap=SIZE!START,SIZE%START-12+0xefffffff dax_hmem.region_idle=1' in text and 'file:/dev/shm/' in text,
              'mounting without --region names the parameters that are missing, and the way without', text)
    text = lab.run('guestmemfs-fuse', '--region', 'soft:auto', '/mnt', fails=True)
    lab.check('there is no soft-reserved memory on this host' in text, 'with --region soft:auto it says what there is not', text)
    # As any busy host does sooner or later.
    available = int(read_text('/proc/meminfo').split('MemAvailable:')[1].split()[0]) << 10
    size = (available - 300 * MIB) // GIB * GIB + (available - 300 * MIB) % GIB // BLOCK * BLOCK
    eaten = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    eaten.madvise(mmap.MADV_HUGEPAGE)
    for at in range(0, size, BLOCK):
        eaten[at:at + 8] = b'somebody'
    lab.say(f'{size // MIB} MiB used')
    eaten.close()
    lab.kexec(cmdline=f'{lab.cmdline()} {RESERVATION}')


def after_use_as_ram(lab):
    lab.claim(lab.recall('new') in lab.cmdline(), 'this boot came with the right token')
    os.makedirs(MOUNT, exist_ok=True)
    for options in ((), ('--trust-memory',)):
        text = lab.run('guestmemfs-fuse', '--region', 'soft:auto', *options, MOUNT, fails=True)
        lab.check('a kernel that did not reserve it has run in between' in text,
                  f'a pool that was used as RAM is refused{" with " if options else ""}{"".join(options)}', text)
        lab.check(not os.path.ismount(MOUNT), 'and nothing is mounted')


CASE = Case(about='a pool is refused after a reset, after a kexec without its token, and after its memory was RAM',
            boots=(make, through_firmware, without_token, with_an_old_token, without_reservation, after_use_as_ram),
            memory='4G', cmdline=RESERVATION, needs=('product',), bzimage=True)
