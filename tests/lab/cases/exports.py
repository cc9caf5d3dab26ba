# SPDX-License-Identifier: MIT
"""Files as device nodes, for programs that know nothing of guestmemfs."""

import errno
import mmap
import os
import resource
import signal
import stat
import struct
import subprocess

from case import Case
from dax import BLOCK, GIB, MIB, Mapped, device_names, pattern_block, ranges_of
from lab import HANGS
from product import Attached, Library, Pool, device_align, joined, memory_of

START = 4 * GIB


def refusal(act, *arguments):
    try:
        act(*arguments)
    except OSError as e:
        return e
    return OSError(0, 'no error')


def owner_of(node):
    st = os.stat(node)
    return (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode), stat.S_ISCHR(st.st_mode))


def use_as_user(node, uid):
    """What the first block begins with, as that user finds it; an errno if he can't."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            fd = os.open(node, os.O_RDWR)
            memory = mmap.mmap(fd, BLOCK, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
            os._exit(0 if memory[:32] == pattern_block('export', 0)[:32] else 255)
        except OSError as e:
            os._exit(e.errno)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def let_in(node, uid):
    """By an access list, as rules of udev or an administrator do it: no attribute of the mode shows him."""
    nobody = 0xffffffff
    entries = ((0x01, 6, nobody), (0x02, 6, uid), (0x04, 6, nobody), (0x10, 6, nobody), (0x20, 0, nobody))
    os.setxattr(node, 'system.posix_acl_access', struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *e) for e in entries))


def check_cgroup(lab):
    """guestmemfs run: killing the program's cgroup hits all of it and nobody else."""
    argv = [f'{lab.plan["prefix"]}/bin/guestmemfs', 'run', '--', 'sh', '-c',
            'sleep 1000 & grep ^0:: /proc/self/cgroup; wait']
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as program:
        path = program.stdout.readline().strip()[len('0::'):]
        lab.check('/guestmemfs-run-' in path, 'run gives its program a cgroup of its own', path)
        with open(f'/sys/fs/cgroup{path}/cgroup.kill', 'w', encoding='ascii') as kill:
            kill.write('1')
        lab.check(program.wait() == -signal.SIGKILL, 'which can be killed without hitting anybody else')


def check_sparse(lab, library, pool):
    """A file with a hole has devices, but no node; what fills the hole while it is held is granted by any helper."""
    path = pool.make('sparse', 8 * MIB)
    lab.run('fallocate', '--punch-hole', '--offset', str(BLOCK), '--length', str(BLOCK), path)
    error = refusal(pool.export, 'sparse')
    lab.check(error.errno == errno.ENXIO and 'hole at offset 0x200000' in str(error), 'one with a hole is not exported', str(error))
    with Attached(library, path) as file:
        before = joined(pool.extents('sparse'))
        lab.check(memory_of(file, START) == before, 'but granted around it', f'{before}')
        lab.run('fallocate', '--length', str(8 * MIB), path)
        pool.restart_helper()
    with Attached(library, path) as file:
        lab.check(memory_of(file, START) == joined(pool.extents('sparse')), 'and what fills it by the next helper')


def check_without_descriptors(lab, pool):
    """Neither a command nor a helper that has none makes half an export."""
    path, limits = pool.make('scarce', 4 * MIB), resource.getrlimit(resource.RLIMIT_NOFILE)
    command = ('guestmemfs', 'export', path)
    refusals = 0
    for limit in range(3, 40):
        done = subprocess.run(('prlimit', f'--nofile={limit}', *command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode == 127:  # it was not our program yet that ran
            continue
        if done.returncode == 0 or 'Too many open files' not in done.stderr:
            break
        refusals += 1
    lab.check(done.returncode == 0 and refusals > 0, f'export says {refusals} times that it lacks descriptors, and is done with more', f'{done}')
    pool.unexport('scarce')
    pool.make('scarcer', 4 * MIB)
    pool.settle()
    helper = pool.status()['pids']['helper']
    used = {int(number) for number in os.listdir(f'/proc/{helper}/fd')}
    resource.prlimit(helper, resource.RLIMIT_NOFILE, (next(n for n in range(1024) if n not in used), limits[1]))
    before = device_names()
    error = refusal(pool.export, 'scarcer')
    lab.check(error.errno != 0 and device_names() == before, 'a helper without descriptors makes no node', str(error))
    resource.prlimit(helper, resource.RLIMIT_NOFILE, limits)
    lab.check(stat.S_IMODE(os.stat(pool.export('scarcer')).st_mode) != 0 and pool.status()['pids']['helper'] == helper,
              'and the same one does when it has some')


def look(lab):
    check_cgroup(lab)
    library = Library(lab.plan['prefix'])
    pool = Pool(lab, 'soft:auto', options=('--format=blank',))
    for size in range(4 * MIB, 12 * MIB + 1, 4 * MIB):  # so that they lie in pieces
        for name in ('vm', 'other'):
            with open(pool.path(name), 'ab') as f:
                os.truncate(f.fileno(), size)
    os.chown(pool.path('vm'), 1234, 1235)
    os.chmod(pool.path('vm'), 0o600)
    node = pool.export('vm')
    name = os.path.basename(node)
    lab.check(owner_of(node) == (1234, 1235, 0o600, True), 'an export has the owner and mode of the file', f'{owner_of(node)}')
    lab.check(device_align(name) == BLOCK, 'and pages of 2 MiB')
    file_order = [(START + block * BLOCK, count * BLOCK) for _, block, count in joined(pool.extents('vm'))]
    lab.check(len(file_order) > 1 and ranges_of(name) == file_order, "its ranges are the file's extents in the file's order",
              f'{ranges_of(name)}')
    with Mapped(name) as memory:
        memory.fill('export')
    with Attached(library, pool.path('vm')) as file:
        lab.check(file.devices() == [name], 'who attaches the file gets the same device')
    lab.check(use_as_user(node, 1234) == 0, 'the owner maps it, with what is in it')
    lab.check(use_as_user(node, 4321) == errno.EACCES, 'nobody else opens it')
    let_in(node, 5678)
    lab.check(use_as_user(node, 5678) == 0, 'but whom root lets in by an access list')
    os.chmod(pool.path('vm'), 0o660)
    os.chown(pool.path('vm'), 4321, 4321)
    lab.wait_until(lambda: owner_of(node) == (4321, 4321, 0o660, True), HANGS, 'the node follows chmod and chown')
    lab.check(use_as_user(node, 4321) == 0 and use_as_user(node, 1234) == errno.EACCES, 'so do the rights')
    lab.check(use_as_user(node, 5678) == errno.EACCES, 'and the access list of the owner before is gone')
    lab.check(refusal(os.truncate, pool.path('vm'), 64 * MIB).errno == errno.EBUSY, 'an exported file does not grow')
    pool.restart_helper()
    lab.check(pool.export('vm') == node, 'a helper that is started anew knows the export')
    pool.unexport('vm')
    lab.check(owner_of(node) == (0, 0, 0, True), "the export ended, the node is root's, mode 0000", f'{owner_of(node)}')
    lab.check(use_as_user(node, 4321) == errno.EACCES, 'and opens for nobody')
    lab.check(name in device_names(), 'the device stays: nobody can tell who has it')

    with Attached(library, pool.path('other')) as file:
        [before] = file.devices()
    lab.check(os.path.basename(pool.export('other')) == before, 'a file that was granted is exported by its device')
    pool.make('grown', 4 * MIB)
    for size in (4, 8):
        os.truncate(pool.path('grown'), size * MIB)
        with Attached(library, pool.path('grown')) as file:
            lab.check(memory_of(file, START) == joined(pool.extents('grown')), f'a file of {size} MiB is granted')
    error = refusal(pool.export, 'grown')
    lab.check(error.errno == errno.EBUSY, 'one that has two devices is not exported', str(error))
    lab.say(str(error))
    check_sparse(lab, library, pool)
    check_without_descriptors(lab, pool)


CASE = Case(about='exports: a device node with the owner and mode of the file, as long as it is exported',
            boots=(look,), cmdline='memmap=1G!4G,1G%4G-12+0xefffffff dax_hmem.region_idle=1', needs=('product',))
