# SPDX-License-Identifier: MIT
"""
A pmem namespace with pages of 1 GiB: each file is made of whole ones, so that all that a file gets can be mapped. Of
4 GiB at a GiB border the info block costs the first, the metadata and the last stamp one each.
"""

import errno
import os

from case import Case
from dax import GIB, MIB, device_number
from lab import HANGS, read_text
from page import touch
from product import Attached, Library, Pool, page_size

REGION = 'pmem:auto,align=1G'


def refused(call, *args):
    try:
        call(*args)
    except OSError as e:
        return e.errno
    return 0


def check_space(lab, pool):
    """Nothing counts as free that no file can have."""
    space = os.statvfs(pool.mount)
    lab.check((space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize) == (GIB, GIB),
              'of 4 GiB one is for files, and df says so', f'{space}')
    path = pool.make('vm0', 0)
    for size in (MIB, GIB // 2, GIB + 2 * MIB):
        lab.check(refused(os.truncate, path, size) == errno.EINVAL, f'a size of {size >> 20} MiB is refused with EINVAL')
    lab.check(refused(os.truncate, path, 2 * GIB) == errno.ENOSPC, 'two GiB are refused with ENOSPC')
    os.truncate(path, GIB)
    lab.check(os.statvfs(pool.mount).f_bavail == 0 and os.stat(path).st_blocks * 512 == GIB,
              'one can be had, and nothing is free then')
    return path


def check_mapping(lab, path):
    with Attached(Library(lab.plan['prefix']), path) as file:
        address = file.map()
        lab.check(file.align == GIB and address % GIB == 0 and page_size(address) == GIB,
                  'it is mapped with pages of 1 GiB', f'{file.align:#x} {address:#x} {page_size(address):#x}')
        cost = touch(address, GIB)
        lab.check(cost == 1, 'a GiB touched costs one fault', f'{cost}')


def in_child(lab, act, *args):
    """On pmem who was given a file is taken to reach it as long as he lives."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            act(lab, *args)
            status = 0
        finally:
            os._exit(status)
    lab.check(os.waitpid(pid, 0)[1] == 0, 'the process that mapped it has ended')


def check_commands(lab, pool):
    """load makes the last GiB whole; what it wrote is what dump reads."""
    os.unlink(pool.path('vm0'))
    lab.wait_until(lambda: os.statvfs(pool.mount).f_bavail > 0, HANGS, 'its memory is free again when nobody maps it')
    lab.run('sh', '-c', f'head -c 3000000 /dev/urandom >/run/data; guestmemfs load {pool.path("vm1")} </run/data')
    lab.check(os.stat(pool.path('vm1')).st_size == GIB, 'guestmemfs load makes the file a whole GiB')
    lab.run('sh', '-c', f'guestmemfs dump {pool.path("vm1")} | head -c 3000000 | cmp - /run/data')


def check_content(lab, pool):
    """The blocks of files with content are whole GiBs here, too; all such files share them, and the last one gives them back."""
    os.unlink(pool.path('vm1'))
    lab.wait_until(lambda: os.statvfs(pool.mount).f_bavail > 0, HANGS, 'what was loaded and dumped is free again')
    os.mkdir(pool.path('state'))
    os.setxattr(pool.path('state'), 'user.guestmemfs.io', b'1')
    for name, text in (('a', b'of a'), ('b', b'of b')):
        with open(pool.path(f'state/{name}'), 'wb') as f:
            f.write(text)
    lab.check(os.statvfs(pool.mount).f_bavail == 0, 'the first byte of content takes a GiB')
    lab.run('sh', '-c', 'echo 3 >/proc/sys/vm/drop_caches')
    lab.check(read_text(pool.path('state/a')) + read_text(pool.path('state/b')) == 'of aof b', 'the second file shares it')
    lab.check(os.stat(pool.path('state/a')).st_blocks * 512 == 4096, 'and each has a unit of it')
    for name in 'ab':
        os.unlink(pool.path(f'state/{name}'))
    lab.wait_until(lambda: os.statvfs(pool.mount).f_bavail * os.statvfs(pool.mount).f_frsize == GIB, HANGS,
                   'it is free again with the last of them')


def whole_units(lab):
    lab.run('guestmemfs', 'format', '--region', REGION)
    lab.claim(device_number('dax0.0', 'align') == GIB, 'format makes a namespace with pages of 1G')
    doctor = lab.run('sh', '-c', 'guestmemfs doctor || true')
    lab.check('1G pages can have 1G of it' in doctor, 'doctor says what these pages cost', doctor)
    pool = Pool(lab, REGION)
    in_child(lab, check_mapping, check_space(lab, pool))
    check_commands(lab, pool)
    check_content(lab, pool)
    pool.unmount()
    lab.run('guestmemfs', 'fsck', '--region', REGION)
    lab.check('100000000-1ffffffff' in read_text('/proc/iomem'), 'the region begins and ends at GiB borders')


CASE = Case(about='a pmem region with pages of 1 GiB: whole units only, one fault for each', boots=(whole_units,),
            cmdline='memmap=4G!4G', memory='9G', needs=('product',))
