# SPDX-License-Identifier: MIT
"""
A file's memory as a device node: a VMM that knows nothing of guestmemfs runs a guest on it. What becomes of the memory
when the file is removed: it is nobody's until the next boot.
"""

import ctypes
import errno
import mmap
import os
import stat

from case import Case
from dax import BLOCK, MIB
from guest import READY
from lab import HANGS
from product import Attached, Library, Pool

VM_MIB = 256
PATTERN = 64 * MIB
SEED = 0x6578706f7274
USER, OTHER = 1000, 1001


def error_of(act, *arguments):
    """Its errno; 0 if it has succeeded."""
    try:
        act(*arguments)
    except OSError as e:
        return e.errno
    return 0


def opens_as(node, user):
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        os._exit(error_of(os.open, node, os.O_RDWR))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def looks(node):
    st = os.stat(node)
    return (stat.S_ISCHR(st.st_mode), stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid)


def owner_and_mode(lab, pool):
    path = pool.make('vm0', VM_MIB * MIB)
    os.chmod(path, 0o640)
    os.chown(path, USER, USER)
    node = lab.run('guestmemfs', 'export', path).strip()
    lab.claim(node.startswith('/dev/dax') and looks(node) == (True, 0o640, USER, USER),
              'export prints a node that has the owner and mode of the file', f'{node}: {looks(node)}')
    lab.check(lab.run('guestmemfs', 'export', path).strip() == node, 'once more, it is the same one')
    lab.check(opens_as(node, USER) == 0 and opens_as(node, OTHER) == errno.EACCES, 'the owner opens it and others do not')
    os.chmod(path, 0o600)
    os.chown(path, OTHER, OTHER)
    lab.wait_until(lambda: looks(node) == (True, 0o600, OTHER, OTHER), HANGS, 'the node follows chmod and chown')
    lab.check(opens_as(node, USER) == errno.EACCES and opens_as(node, OTHER) == 0, 'and so do the rights')
    lab.check(error_of(os.truncate, path, 2 * VM_MIB * MIB) == errno.EBUSY, 'an exported file does not grow: EBUSY')
    lab.check(error_of(os.truncate, path, 16 * MIB) == errno.EBUSY, 'nor does it shrink')
    return path, node


def guest_on_the_node(lab, path, node):
    """QEMU as it comes, with the node as its guest's memory; what it has is compared with what the file has."""
    environment = [word for word in ('LD_PRELOAD', 'GUESTMEMFS') if word in os.environ]
    lab.check(not environment, 'nothing is preloaded', str(environment))
    guest = lab.start_guest(node, VM_MIB, SEED, PATTERN)
    guest.wait(READY, 0, timeout=HANGS)
    lab.check(int(guest.check_pattern()['bytes']) == PATTERN, f'a guest runs on {node}, its pattern is whole')
    guest.qmp.command('stop')
    saved = f'{lab.directory}/memory'
    # What is below has ROM over it.
    guest.qmp.command('pmemsave', val=BLOCK, size=VM_MIB * MIB - BLOCK, filename=saved)
    with open(saved, 'rb') as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as memory, \
            Attached(Library(lab.plan['prefix']), path) as file:
        address = file.map(offset=BLOCK, prot=mmap.PROT_READ)
        wrong = [at for at in range(0, len(memory), BLOCK)
                 if memory[at:at + BLOCK] != ctypes.string_at(address + at, BLOCK)]
        used = sum(memory[at:at + BLOCK] != bytes(BLOCK) for at in range(0, len(memory), BLOCK))
        lab.check(not wrong and used * BLOCK >= PATTERN, "the guest's memory is the file's, byte for byte", f'{wrong} {used}')
    os.unlink(saved)
    guest.quit()


def ending(lab, path, node):
    lab.run('guestmemfs', 'unexport', path)
    lab.wait_until(lambda: looks(node) == (True, 0, 0, 0), HANGS, "the export is over: the node is root's, mode 0000")
    lab.check(opens_as(node, OTHER) == errno.EACCES, 'and the owner opens it no more')
    text = lab.run('guestmemfs', 'unexport', path, fails=True)
    lab.check('not exported' in text, 'a second time it is not exported', text)


def blocks(pool):
    return pool.status()['blocks']


def quarantine(lab, pool, path):
    granted, untouched = pool.make('granted', 16 * MIB), pool.make('untouched', 32 * MIB)
    with Attached(Library(lab.plan['prefix']), granted) as file:
        ctypes.memset(file.map(), 0x5a, file.size)
    lab.run('guestmemfs', 'export', path)
    before = blocks(pool)
    lab.check(before['quarantined'] == 0, 'nothing is in quarantine as long as files are there', str(before))
    for name in (path, granted, untouched):
        os.unlink(name)
    expected = (VM_MIB + 16) * MIB // BLOCK
    lab.wait_until(lambda: blocks(pool)['quarantined'] == expected, HANGS,
                   f'removed: {expected} blocks of what was exported or granted are in quarantine')
    after = blocks(pool)
    free = after['free'] * BLOCK
    lab.say(f'{before} {after}')
    with open(pool.path('large'), 'xb') as f:
        lab.check(error_of(os.truncate, f.fileno(), free + BLOCK) == errno.ENOSPC, 'no file gets them: ENOSPC')
        os.truncate(f.fileno(), free)
    os.unlink(pool.path('large'))
    lab.check(blocks(pool)['quarantined'] == expected, 'what was never granted is free again, and only that', str(blocks(pool)))
    lab.remember(free=free)


def make(lab):
    pool = Pool(lab, 'soft:auto', options=('--format=blank',))
    path, node = owner_and_mode(lab, pool)
    guest_on_the_node(lab, path, node)
    ending(lab, path, node)
    quarantine(lab, pool, path)
    lab.kexec(cmdline=f'{lab.cmdline()} guestmemfs.succession={lab.run("guestmemfs", "token", pool.mount).strip()}')


def again(lab):
    pool = Pool(lab, 'soft:auto')
    found = blocks(pool)
    lab.check(found['quarantined'] == 0, 'in the next boot nothing is in quarantine', str(found))
    size = lab.recall('free') + (VM_MIB + 16) * MIB
    path = pool.make('large', size)
    lab.check(os.stat(path).st_size == size, 'and a file gets all of it')
    with Attached(Library(lab.plan['prefix']), path) as file:
        address = file.map(prot=mmap.PROT_READ)
        dirty = [at for at in range(0, size, BLOCK) if ctypes.string_at(address + at, BLOCK) != bytes(BLOCK)]
        lab.check(not dirty, 'zeroed', str(dirty[:10]))


CASE = Case(about='exports: owner, mode, a guest of an unmodified QEMU; quarantine until the next boot',
            boots=(make, again), cmdline='memmap=768M!4G,768M%4G-12+0xefffffff dax_hmem.region_idle=1',
            modules=('device_dax', 'dax_hmem', 'fuse', 'kvm_amd'), needs=('product', 'guest'))
