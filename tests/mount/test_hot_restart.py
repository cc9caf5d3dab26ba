# SPDX-License-Identifier: MIT
"""
The worker dies by kill -9 and is replaced on the same mount: nobody sees more of it than that an answer takes a moment
longer. Whether a change in flight is made, once, and its caller hears the truth: test_kill.py, and for every kind of change
tests/unit/test_connection.c.
"""

import errno
import fcntl
import json
import os
import random
import re
import signal
import statistics
import subprocess
import threading
import time

import pytest

import persona
import wire
from evidence import BLOCK, assert_clean, daemons_of, held_file, kill_until_given_up, make_region, must, state_of
from harness import DAEMONS
from processes import is_gone, wait_until

SEED = 11
SECONDS = int(os.environ.get('GM_HOT_SECONDS', '8'))  # of kills at random
APART = 2.6            # seconds between two deaths: fewer than make the supervisor give up


@pytest.fixture
def instance(make_instance):
    return make_region(make_instance(), max_files=20000).start()


def worker_of(instance):
    return daemons_of(instance.process.pid).get('worker')


def kill_worker(instance):
    """Without waiting for the next one: whoever asks now must be answered by that."""
    seen = []
    assert wait_until(lambda: seen.append(worker_of(instance)) or seen[-1], 20)
    os.kill(seen[-1], signal.SIGKILL)
    return seen[-1]


def outages(instance):
    return [int(ms) for ms in re.findall(r'the worker serves again \(process \d+\) after (\d+) ms', instance.log())]


def connection_errors():
    """What a caller must never see."""
    return errno.ENOTCONN, errno.EIO, errno.ECONNABORTED, errno.EINTR, errno.ESTALE


# -- what is open

def test_open_files_go_on(mounted):
    def use(mount, kill):
        fd = os.open(f'{mount}/file', os.O_CREAT | os.O_RDWR, 0o640)
        gone = os.open(f'{mount}/gone', os.O_CREAT | os.O_RDWR)
        os.truncate(gone, BLOCK)
        os.unlink(f'{mount}/gone')
        os.mkdir(f'{mount}/d')
        directory = os.open(f'{mount}/d', os.O_RDONLY | os.O_DIRECTORY)
        removed = os.open(f'{mount}/d', os.O_RDONLY | os.O_DIRECTORY)
        device = os.stat(mount).st_dev
        for n in range(2):
            kill()
            os.close(os.open(f'in{n}', os.O_CREAT | os.O_EXCL, dir_fd=directory))
            os.truncate(fd, (n + 1) * BLOCK)
            os.setxattr(fd, 'user.n', b'%d' % n)
            assert os.fstat(fd).st_size == (n + 1) * BLOCK and os.fstat(gone).st_nlink == 0
            os.truncate(gone, (n + 1) * BLOCK)
            assert os.stat(f'{mount}/file').st_ino == os.fstat(fd).st_ino
        os.unlink(f'{mount}/d/in0'), os.unlink(f'{mount}/d/in1'), os.rmdir(f'{mount}/d')
        kill()
        assert os.fstat(removed).st_ino and os.listdir(mount) == ['file']
        with pytest.raises(FileNotFoundError):
            os.open('x', os.O_CREAT, dir_fd=removed)
        assert os.stat(mount).st_dev == device, 'this is another mount'
        for each in (fd, gone, directory, removed):
            os.close(each)
        assert sorted(os.listdir(mount)) == ['file']

    free = mounted.status()['blocks']['free']
    read_end, write_end = os.pipe()

    def kill():  # its user may not kill the worker, so he has it killed
        os.write(write_end, b'k')
        time.sleep(0.01)

    killer = threading.Thread(target=lambda: [kill_worker(mounted) for _ in iter(lambda: os.read(read_end, 1), b'')], daemon=True)
    killer.start()
    persona.as_user(mounted.user, use, mounted.mount, kill, pipes=[write_end])
    os.close(write_end)
    killer.join(30)
    assert not killer.is_alive()
    # What was open without a name has gone with its last user, whom another worker had let in.
    mounted.wait_status(lambda s: s['blocks']['free'] == free - 2)
    assert mounted.stop() == 0
    assert_clean(mounted)


def test_a_listing_goes_on(instance):
    """Every name once, though each part of the listing comes from another worker."""
    os.mkdir(instance.path('d'))
    fd = os.open(instance.path('d'), os.O_RDONLY | os.O_DIRECTORY)
    wanted = [f'a-name-that-is-not-so-short-{n:05}' for n in range(10000)]
    os.close(os.open(wanted[0], os.O_CREAT | os.O_EXCL, dir_fd=fd))
    for name in wanted[1:]:
        os.mknod(name, dir_fd=fd)
    found = []
    with os.scandir(fd) as entries:
        for n, entry in enumerate(entries):
            if n % 4000 == 1000:
                old = kill_worker(instance)
                assert wait_until(lambda old=old: worker_of(instance) not in (None, old), 20)
            found.append(entry.name)
    os.close(fd)
    assert sorted(found) == wanted


def test_locks_and_memory_stay(instance, make_agent):
    agent = make_agent()
    mapping = held_file(instance, agent, 'vm0', 2, SEED)
    fd = os.open(instance.path('lock'), os.O_CREAT | os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    instance.wait_new('worker', kill_worker(instance))
    agent('check', mapping, SEED)
    other = os.open(instance.path('lock'), os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with pytest.raises(OSError, match='busy'):
        os.truncate(instance.path('vm0'), 0)
    agent('check', mapping, SEED)
    os.close(fd)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)


def test_a_detached_mount_goes_on_for_who_has_something_open(instance):
    fd = os.open(instance.path('f'), os.O_CREAT | os.O_RDWR)
    pids = instance.pids()
    must(instance, 'umount', '-l', instance.mount)
    os.kill(pids['worker'], signal.SIGKILL)
    os.truncate(fd, BLOCK)
    assert os.fstat(fd).st_size == BLOCK and not instance.is_mounted()
    os.close(fd)
    assert instance.process.wait(20) == 0
    assert wait_until(lambda: all(is_gone(pid) for pid in pids.values()), 20)
    assert_clean(instance)


# -- deaths one upon the other

class Change(threading.Thread):
    """One call, by a thread of its own: join() when it has come back, and then error."""

    def __init__(self, function, *arguments):
        super().__init__(daemon=True)
        self.error = None
        self._call = function, arguments
        self.start()

    def run(self):
        function, arguments = self._call
        try:
            function(*arguments)
        except OSError as e:
            self.error = e

    def come_back(self):
        self.join(30)
        assert not self.is_alive(), 'a caller hangs'
        return self.error


@pytest.mark.parametrize('function', ['store_begin_mount', 'connection_resume', 'slots_free'])
def test_a_worker_that_dies_as_it_takes_over_is_replaced_too(instance, hold_at, kill_at, function):
    """Its predecessor was killed in a change: that is made once all the same."""
    open(instance.path('f'), 'x', encoding='ascii').close()
    instance.wait_status(lambda s: s['scrub']['pending_blocks'] == 0)
    first = worker_of(instance)
    supervisor = hold_at(instance.process.pid, 'give_mount')
    trap = kill_at(first, 'journal_publish', after=True)
    link = Change(os.link, instance.path('f'), instance.path('g'))
    trap.wait()
    supervisor.wait()
    trap = kill_at(worker_of(instance), function)
    supervisor.release()
    trap.wait()
    assert link.come_back() is None
    assert os.stat(instance.path('g')).st_nlink == 2
    assert instance.stop() == 0
    assert_clean(instance)


def test_a_worker_that_dies_in_its_recovery_is_replaced_too(instance):
    old = kill_worker(instance)
    for _ in range(3):
        create = Change(os.mkdir, instance.path(f'd{old}'))
        assert wait_until(lambda old=old: worker_of(instance) not in (None, old), 20)
        old = kill_worker(instance)
        assert create.come_back() is None
    assert len(os.listdir(instance.mount)) == 3


def test_who_waits_when_it_is_given_up_hears_so(instance, make_agent):
    """ENOTCONN for all, also for who has asked while there was no worker; memory stays."""
    agent = make_agent()
    mapping = held_file(instance, agent, 'vm0', 2, SEED)
    fd = os.open(instance.path('f'), os.O_CREAT | os.O_RDWR)
    pids = {name: instance.pids()[name] for name in DAEMONS}
    callers = []
    kill_until_given_up(instance, 'worker', lambda n: callers.append(Change(os.mkdir, instance.path(f'd{n}'))))
    assert instance.process.wait(20) == 1
    errors = [caller.come_back() for caller in callers]
    assert all(e is None or e.errno in connection_errors() or isinstance(e, FileNotFoundError) for e in errors), errors
    with pytest.raises(OSError) as caught:
        os.fstat(fd) and os.ftruncate(fd, 0)
    assert caught.value.errno == errno.ENOTCONN
    os.close(fd)
    assert wait_until(lambda: all(is_gone(pid) for pid in pids.values()), 20)
    agent('check', mapping, SEED)


# -- who waits

def test_an_interrupt_is_not_forgotten(make_instance, kill_at):
    """^C in a long allocation, seen by a worker that dies at it."""
    instance = make_region(make_instance(size='1G'), size='1G').start()
    os.mkdir(instance.path('io'))
    os.setxattr(instance.path('io'), 'user.guestmemfs.io', b'1')
    path, size = instance.path('io', 'f'), 900 << 20
    with open(path, 'x', encoding='ascii'):
        pass
    allocate = subprocess.Popen(['sh', '-c', f'kill -STOP $$; exec fallocate -l {size} {path}'])
    trap = kill_at(worker_of(instance), 'ns_allocate_content', count=2, then=[
        f'shell kill -INT {allocate.pid}', 'tbreak note_interrupt', 'continue', 'kill'])
    assert wait_until(lambda: state_of(allocate.pid) == 'T', 20)
    os.kill(allocate.pid, signal.SIGCONT)
    trap.wait()
    assert allocate.wait(30) != 0
    instance.wait_status(lambda s: s['scrub']['pending_blocks'] == 0)
    assert os.stat(path).st_blocks * 512 < size


def redeem_patiently(socket, ticket):
    """A helper waits two seconds for a worker that is away; one that takes longer is waited for here."""
    for _ in range(3):
        began = time.monotonic()
        with wire.Client(socket).greet() as client:
            opcode, _, grant = client.redeem(ticket)
            if opcode == wire.GRANT:
                grant.close()
                return
        assert grant == (errno.EAGAIN, wire.REASON_STARTING) and time.monotonic() - began > 1.9, grant
    raise AssertionError('no worker comes')


def test_commands_and_clients_wait_for_the_next_worker(instance, make_agent):
    agent = make_agent()
    held_file(instance, agent, 'vm0', 2, SEED)
    must(instance, 'truncate', '-s', BLOCK, instance.path('vm1'))
    socket = os.getxattr(instance.mount, 'user.guestmemfs.socket').decode()
    ticket = wire.ticket_for(instance.path('vm1'))
    kill_worker(instance)
    redeem_patiently(socket, ticket)  # a ticket of the worker that is gone
    kill_worker(instance)
    done = instance.tools.run('guestmemfs', 'status', instance.mount, '--json')
    assert json.loads(done.stdout)['name'] == instance.name, done
    kill_worker(instance)
    done = instance.tools.run('guestmemfs', 'revoke', instance.path('vm0'))
    assert str(agent.pid) in done.stdout, done


def test_a_worker_that_dies_over_a_ticket_is_asked_with_a_new_one(instance, make_agent, kill_at):
    """It has used the ticket up, so no other takes that; the file is what its memory is asked for with."""
    agent = make_agent()
    must(instance, 'truncate', '-s', BLOCK, instance.path('vm0'))
    instance.wait_status(lambda s: s['scrub']['pending_blocks'] == 0)
    ident = agent('open', instance.path('vm0'), 'rw')[0]
    trap = kill_at(worker_of(instance), 'ns_hold')
    assert int(agent('attach', ident)[0]) == BLOCK
    trap.wait()


# -- at any time

class Load(threading.Thread):
    """Changes one directory, all of whose names it knows. Whatever fails, or is not as it must be, is its failure."""

    def __init__(self, instance, number, stop):
        super().__init__(daemon=True)
        self.rng = random.Random(SEED + number)
        self.place = instance.path(f'load{number}')
        os.mkdir(self.place)
        os.setxattr(self.place, 'user.guestmemfs.io', b'1')
        self.bytes = bytearray(1 << 20)
        self.file = os.open(f'{self.place}-content', os.O_CREAT | os.O_RDWR)
        os.setxattr(self.file, 'user.guestmemfs.io', b'1')
        self.names = {}  # name: inode number
        self.changes = 0
        self.failure = None
        self._until = stop
        self.start()

    def path(self, name):
        return os.path.join(self.place, name)

    def create(self):
        name = f'n{self.changes}'
        fd = os.open(self.path(name), os.O_CREAT | os.O_EXCL | os.O_RDWR)
        self.names[name] = os.fstat(fd).st_ino
        os.close(fd)

    def link(self, name):
        to = f'l{self.changes}'
        os.link(self.path(name), self.path(to))
        self.names[to] = self.names[name]

    def exchange(self, name):
        other = self.rng.choice(list(self.names))
        if other != name and self.names[other] != self.names[name]:
            persona.renameat2(self.path(name), self.path(other), persona.RENAME_EXCHANGE)
            self.names[name], self.names[other] = self.names[other], self.names[name]

    def move(self, name):
        to = f'm{self.changes}'
        os.rename(self.path(name), self.path(to))
        self.names[to] = self.names.pop(name)

    def unlink(self, name):
        fd = os.open(self.path(name), os.O_RDWR)
        os.unlink(self.path(name))
        ino = self.names.pop(name)
        assert os.fstat(fd).st_ino == ino
        os.close(fd)

    def stamp(self, name):
        self.changes += 1
        os.setxattr(self.path(name), f'user.n{self.changes % 7}', b'x')
        os.utime(self.path(name), ns=(self.changes, self.changes))
        assert os.stat(self.path(name)).st_mtime_ns == self.changes

    def write(self, _name):
        at, length = self.rng.randrange(len(self.bytes)), self.rng.choice([1, 4096, 300000])
        data = self.rng.randbytes(min(length, len(self.bytes) - at))
        assert os.pwrite(self.file, data, at) == len(data)
        self.bytes[at:at + len(data)] = data
        self.read()

    def read(self):
        os.posix_fadvise(self.file, 0, 0, os.POSIX_FADV_DONTNEED)
        data = os.pread(self.file, len(self.bytes), 0)
        assert data == self.bytes[:len(data)] and not any(self.bytes[len(data):])

    def check(self):
        self.read()
        os.close(self.file)
        inodes = list(self.names.values())
        found = {e.name: (e.inode(), e.stat().st_nlink) for e in os.scandir(self.place)}
        assert found == {name: (ino, inodes.count(ino)) for name, ino in self.names.items()}

    def run(self):
        try:
            while not self._until.wait(0.003):
                self.changes += 1
                if len(self.names) < 5:
                    self.create()
                else:
                    kinds = [self.link, self.exchange, self.move, self.stamp, self.write] + [self.unlink] * (len(self.names) > 30)
                    self.rng.choice(kinds)(self.rng.choice(list(self.names)))
                    if len(self.names) < 30:
                        self.create()
            self.check()
        except BaseException as e:  # pylint: disable=broad-exception-caught
            self.failure = e


@pytest.mark.limit(60 + 2 * SECONDS)
def test_killed_at_random_nothing_fails(instance, figure):
    """Not one call fails, and all is as the callers have been told. GM_HOT_SECONDS=600 for a long one."""
    rng, stop = random.Random(SEED), threading.Event()
    loads = [Load(instance, n, stop) for n in range(3)]
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and not any(load.failure for load in loads):
        time.sleep(APART + rng.random() * 0.2)
        kill_worker(instance)
    assert wait_until(lambda: worker_of(instance), 20)
    stop.set()
    for load in loads:
        load.join(30)
        assert not load.is_alive(), 'a caller hangs'
        if load.failure:
            raise load.failure
    wait_until(lambda: len(outages(instance)) >= SECONDS // 3, 20)
    took = outages(instance)
    figure(f'{len(took)} deaths in {sum(load.changes for load in loads)} changes; the worker was away for '
           f'{statistics.median(took)} ms in the median, {max(took)} at most')
    assert took and instance.stop() == 0
    assert_clean(instance)
