# SPDX-License-Identifier: MIT
"""
What the tests of life and death look at besides the mount's own words: the tree as another program sees it, the region's
bytes, what fsck says of them, and what the kernel knows of the processes.
"""

import contextlib
import ctypes
import glob
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

from agent import AgentError
from harness import DAEMONS
from processes import wait_until

BLOCK = 2 << 20
PIDFD_GETFD = 438  # the same number on every architecture
IDLE_CPU = 0.05    # seconds of CPU time that idle seconds may cost


# -- the region and its files

def make_region(instance, size='64M', max_files=1000):
    """A region with little metadata, so that a small one has room and a journal is soon half full."""
    done = instance.tools.run('guestmemfs', 'format', '--region', f'file:{instance.region},size={size}',
                              '--max-files', max_files, user=instance.user)
    assert done.returncode == 0, done.stderr
    return instance


def assert_clean(instance):
    """fsck finds nothing wrong, so no block has two owners; what it has looked at. The instance must have ended."""
    done = instance.tools.run('guestmemfs', 'fsck', '--json', '--region', f'file:{instance.region}', user=instance.user)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report['clean'] and report['errors'] == 0, report
    return report


def as_user(instance, *argv, **options):
    """A program run to its end by the instance's user: a plain user's mount lets nobody else in, not even root."""
    return instance.tools.run(*argv, user=instance.user, **options)


def must(instance, *argv):
    done = as_user(instance, *argv)
    assert done.returncode == 0, f'{argv}: {done.stderr}'
    return done.stdout


def tree(instance):
    """All names with inode number, mode, owner, links, size and time of change, as find(1) sees them."""
    lines = must(instance, 'find', instance.mount, '-printf', r'%P\t%i %m %y %U %G %n %s %T@\n').splitlines()
    return dict(line.split('\t') for line in lines)


def shape(instance):
    """As tree(), but only type and size: what an operation is expected to leave behind can be written down."""
    lines = must(instance, 'find', instance.mount, '-mindepth', '1', '(', '-type', 'd', '-printf', r'%P\td\n', '-o',
                 '-printf', r'%P\t%y %s\n', ')').splitlines()
    return dict(line.split('\t') for line in lines)


def blocks_of(instance, *names):
    """The blocks of a file, as offsets in the region's file."""
    extents = json.loads(must(instance, 'guestmemfs', 'extents', instance.path(*names), '--json'))
    return [e['region_offset'] + at for e in extents['extents'] for at in range(0, e['length'], BLOCK)]


def region_bytes(instance, offsets, length=BLOCK):
    """Read past everybody. The region is closed again at once: who has it open counts as a holder."""
    with open(instance.region, 'rb') as region:
        return b''.join(os.pread(region.fileno(), length, offset) for offset in offsets)


def region_hash(path):
    with open(path, 'rb') as region:
        return hashlib.file_digest(region, 'sha1').hexdigest()


def fill_to_the_end(instance, prefix='fill'):
    """New files of one block until there is no space; their names."""
    names = []
    while True:
        name = f'{prefix}{len(names)}'
        done = as_user(instance, 'truncate', '-s', BLOCK, instance.path(name))
        if done.returncode != 0:
            assert 'No space left on device' in done.stderr
            must(instance, 'rm', instance.path(name))
            return names
        names.append(name)


def refused(instance, *options, status=1, size=None, timeout=25):
    """A start that must end by itself with this exit code: what it says."""
    instance.launch(*options, size=size)
    assert instance.process.wait(timeout) == status, instance.log()
    return instance.log(instance.log_start)


# -- clients

def grant(agent, path, length=None, mode='rw', offset=0):
    """
    Opens, attaches, maps, and closes all but the mapping, whose number it returns: who keeps the region's descriptor
    may map what a helper that has died granted it, so that nothing of that can come back.
    """
    ident = agent('open', path, mode)[0]
    size = int(agent('attach', ident)[0])
    mapping = agent('map', ident, offset, length or size, mode)[0]
    agent('detach', ident)
    agent('close', ident)
    return mapping


def grant_when_ready(agent, path, timeout=20):
    """As grant(), for as long as the helper that starts anew says "again"."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return grant(agent, path)
        except AgentError as e:
            if e.name not in ('EAGAIN', 'ECONNREFUSED', 'ENOENT') or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def held_file(instance, agent, name, blocks, seed):
    """A file that the agent maps and has filled with its pattern; the mapping."""
    must(instance, 'truncate', '-s', blocks * BLOCK, instance.path(name))
    mapping = grant(agent, instance.path(name))
    agent('fill', mapping, seed)
    return mapping


class Keeper:
    """A process that gets a descriptor by SCM_RIGHTS and keeps it open. It maps nothing."""

    PROGRAM = ("import socket, time; fds = socket.recv_fds(socket.socket(fileno=0), 1, 1)[1]; "
               "print(*fds, flush=True); time.sleep(600)")

    def __init__(self, owner, path, user):
        """owner: the pid of the process that has path open and passes it on."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self.process = subprocess.Popen(user.argv() + [sys.executable, '-c', self.PROGRAM], stdin=theirs,
                                            stdout=subprocess.PIPE, env=user.environment(), cwd='/')
            fd = self._take(owner, path)
            socket.send_fds(ours, [b'.'], [fd])
            os.close(fd)
            assert self.process.stdout.readline().strip().isdigit()

    @staticmethod
    def _take(owner, path):
        number = next(int(os.path.basename(link)) for link in glob.glob(f'/proc/{owner}/fd/*')
                      if os.readlink(link) == path)
        libc = ctypes.CDLL(None, use_errno=True)
        pidfd = os.pidfd_open(owner)
        fd = libc.syscall(PIDFD_GETFD, pidfd, number, 0)
        os.close(pidfd)
        assert fd >= 0, os.strerror(ctypes.get_errno())
        return fd

    def end(self):
        self.process.kill()
        self.process.wait(20)
        self.process.stdout.close()


# -- processes

def cpu_seconds(pid):
    with open(f'/proc/{pid}/stat', encoding='ascii') as f:
        fields = f.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def assert_idle(pids, seconds=2):
    """
    The processes come to rest: soon there are as many seconds in which they use next to no CPU time. What ends by itself,
    as the last work of a start does, may take as long as it likes; what wakes up for nothing never lets them.
    """
    for _ in range(8):
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        time.sleep(seconds)
        used = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
        if sum(used.values()) <= IDLE_CPU:
            return
    raise AssertionError(f'in {seconds} s they use {used} seconds of CPU time')


def open_files(pid):
    """How many, without those of a look through /proc, which the helper has every now and then."""
    count = 0
    for fd in os.listdir(f'/proc/{pid}/fd'):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            count += not os.readlink(f'/proc/{pid}/fd/{fd}').startswith('/proc')
    return count


def daemons_of(supervisor):
    """The pids of worker, helper and keeper, without asking the mount."""
    found = {}
    with contextlib.suppress(OSError), open(f'/proc/{supervisor}/task/{supervisor}/children', encoding='ascii') as f:
        for pid in f.read().split():
            with open(f'/proc/{pid}/cmdline', 'rb') as words:
                name = os.path.basename(words.read().split(b'\0')[0].decode())
            if name in ('guestmemfs-worker', 'guestmemfs-helper', 'guestmemfs-keeper'):
                found[name.removeprefix('guestmemfs-')] = int(pid)
    return found


def settled(count, timeout=20):
    """What count() says twice, 0.3 s apart: whoever has just been asked something may still have our connection."""
    seen = [count()]

    def same():
        time.sleep(0.3)
        seen.append(count())
        return seen[-1] == seen[-2]

    assert wait_until(same, timeout), f'it goes on changing: {seen}'
    return seen[-1]


def kill_until_given_up(instance, which, after_each=lambda number: None):
    """
    Kills each as soon as it is there, until the supervisor ends, and returns how many there were. Where the machine takes
    seconds to start one it takes more than five until five fall into ten seconds; not one more than that is started. The
    supervisor is left to be reaped.
    """
    supervisor, pids, times = instance.process.pid, [None], []

    def goes_on():
        pid = daemons_of(supervisor).get(which)
        if pid not in (None, pids[-1]):
            pids.append(pid)
            times.append(time.monotonic())
            os.kill(pid, signal.SIGKILL)
            return True
        return state_of(supervisor) == 'Z'

    for number in range(30):
        assert wait_until(goes_on, 30), f'neither a new {which} nor an end after {number} deaths'
        if len(times) == number:
            return number
        # A death is counted when the supervisor hears of it.
        assert len(times) < 6 or times[-2] - times[-6] > 9, f'{len(times)} of them within so short a time: {times}'
        after_each(number)
    raise AssertionError(f'not given up: {times}')


def state_of(pid):
    """As ps(1) shows it; Z also if there is no such process."""
    try:
        with open(f'/proc/{pid}/stat', encoding='ascii') as f:
            return f.read().rsplit(')', 1)[1].split()[0]
    except OSError:
        return 'Z'


def assert_nothing_left(instance, pids=None):
    """No process, no socket, no mount."""
    for name, pid in (pids or {}).items():
        assert wait_until(lambda pid=pid: not _runs(pid), 20), f'the {name} is left over'
    assert not instance.is_mounted()
    assert not os.path.exists(instance.runtime_directory)


def _runs(pid):
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return os.path.exists(f'/proc/{pid}')


def kill_all(instance):
    """kill -9 of all three; each of them is gone when it returns."""
    instance.kill(*DAEMONS)


def end_of(process, timeout):
    """The exit status of a Popen, and the CPU time in seconds that it took in all its life, without its children's."""
    def has_ended():
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    if not wait_until(has_ended, timeout):
        process.send_signal(signal.SIGKILL)
        raise AssertionError(f'process {process.pid} does not end in {timeout} s')
    cpu = cpu_seconds(process.pid)  # while it waits to be reaped
    return process.wait(), cpu
