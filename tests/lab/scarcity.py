# SPDX-License-Identifier: MIT
"""What only a host of our own can be short of: processes and memory of a cgroup, open files of the whole host, and
room in its /run."""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess

from dax import BLOCK, is_bound
from lab import HANGS, read_text
from processes import wait_until
from product import Attached, Library

GROUP = '/sys/fs/cgroup/scarce'
FILE_MAX, FILE_NR = '/proc/sys/fs/file-max', '/proc/sys/fs/file-nr'
WAITS = 3  # seconds in which a question is not answered


def write(path, value):
    with open(path, 'w', encoding='ascii') as f:
        f.write(str(value))


@contextlib.contextmanager
def group_of(pid, **limits):
    """The process in a cgroup with these limits; meanwhile what it has started before stays outside."""
    write('/sys/fs/cgroup/cgroup.subtree_control', '+pids +memory')
    os.mkdir(GROUP)
    write(f'{GROUP}/cgroup.procs', pid)
    for name, value in limits.items():
        write(f'{GROUP}/{name.replace("_", ".")}', value)
    try:
        yield
    finally:
        for name in limits:
            write(f'{GROUP}/{name.replace("_", ".")}', 'max')
        wait_until(is_left, HANGS)


def is_left():
    """Again: one may have started another before it was moved itself."""
    for member in read_text(f'{GROUP}/cgroup.procs').split():
        with contextlib.suppress(ProcessLookupError):
            write('/sys/fs/cgroup/cgroup.procs', member)
    return not read_text(f'{GROUP}/cgroup.procs').split()


def events(name):
    return dict(line.split() for line in read_text(f'{GROUP}/{name}').splitlines())


def serves_anew(pool, name, old):
    """A client is let in by the helper, and a command by the worker."""
    return set(pool.processes(name)) - {old} and all(pool.status()['pids'].values())


def without_processes(lab, pool):
    """A worker dies while its supervisor may start none."""
    old = pool.process('guestmemfs-worker')
    with group_of(pool.process('guestmemfs-fuse'), pids_max=1):
        os.kill(old, signal.SIGKILL)
        lab.wait_until(lambda: int(events('pids.events')['max']) > 0, HANGS, 'pids.max keeps the supervisor from starting a worker')
    lab.wait_until(lambda: serves_anew(pool, 'guestmemfs-worker', old), HANGS, 'which it does when it may')
    os.rmdir(GROUP)


def without_memory(lab, pool):
    """A worker that may have no page more is killed by the kernel."""
    old = pool.process('guestmemfs-worker')
    lab.check_kernel_log()
    with group_of(old, memory_max=0):
        pool.status()  # the command asks again where a worker has ended over its question
        lab.check(int(events('memory.events')['oom_kill']) == 1, 'a worker without memory is killed, and another one answers')
    lab.wait_until(lambda: serves_anew(pool, 'guestmemfs-worker', old), HANGS, 'and serves')
    lab.expect_complaint()  # of the killing, with a trace
    os.rmdir(GROUP)


def without_files(lab, pool):
    """The whole host has too many files open for a process without privileges; root's programs may have more."""
    limit, open_now = read_text(FILE_MAX).strip(), int(read_text(FILE_NR).split()[0])
    worker = pool.process('guestmemfs-worker')
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        write(FILE_MAX, open_now // 2)  # of sockets twice as many may be there, for everybody
        try:
            client.connect(os.getxattr(pool.mount, 'user.guestmemfs.control').decode())
            client.send(struct.pack('<IIIIQ', 24, 1, 1, 0, 0))
            client.settimeout(WAITS)
            with contextlib.suppress(TimeoutError):
                lab.check(not client.recv(1024), 'ENFILE keeps the worker from taking a question')
            os.mkdir(pool.path('made without files'))
            os.rmdir(pool.path('made without files'))
        finally:
            write(FILE_MAX, limit)
        client.settimeout(HANGS)
        answer = client.recv(1024)
    lab.check(len(answer) == 1024 and struct.unpack_from('<8xI', answer) == (0,), 'which it answers when there are files again')
    lab.check(pool.process('guestmemfs-worker') == worker, 'and has served files all the time')


@contextlib.contextmanager
def full(directory):
    """A tmpfs that is no larger than what is in it."""
    statvfs = os.statvfs(directory)
    remount(directory, (statvfs.f_blocks - statvfs.f_bfree) * statvfs.f_bsize)
    try:
        yield
    finally:
        remount(directory, statvfs.f_blocks * statvfs.f_bsize)


def remount(directory, size):
    subprocess.run(['mount', '-o', f'remount,size={size}', directory], check=True, timeout=HANGS, stdin=subprocess.DEVNULL)


def without_room(lab, pool):
    """Nothing more can be noted in /run, by nobody; what this case says of itself goes elsewhere meanwhile."""
    library = Library(lab.plan['prefix'])
    old = [pool.process(name) for name in ('guestmemfs-worker', 'guestmemfs-helper')]
    with Attached(library, pool.make('before', 2 * BLOCK)) as before, full('/run'):
        lab.check(os.statvfs('/run').f_bfree == 0, '/run is full')
        for name in ('one', 'two', 'three'):
            with Attached(library, pool.make(name, 2 * BLOCK)) as attached:
                lab.check(attached.size == 2 * BLOCK, f'file {name} is granted, on a device that is new')
            os.unlink(pool.path(name))
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        lab.wait_until(lambda: answers(pool, old), HANGS, 'worker and helper are killed, and others serve')
        lab.check(before.devices() == [device for device in before.devices() if is_bound(device)], 'and what was granted is there')
    os.unlink(pool.path('before'))
    lab.wait_until(lambda: serves_anew(pool, 'guestmemfs-worker', old[0]), HANGS, 'as when there is room')


def answers(pool, old):
    done = subprocess.run(['guestmemfs', 'status', '--json', pool.mount], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          stdin=subprocess.DEVNULL, check=False, timeout=HANGS)
    pids = json.loads(done.stdout)['pids'].values() if done.returncode == 0 else [0]
    return 0 not in pids and not set(pids) & set(old)


def check(lab, pool):
    lab.step('Short of processes, of memory, of open files, of room')
    without_processes(lab, pool)
    without_memory(lab, pool)
    without_files(lab, pool)
    without_room(lab, pool)
