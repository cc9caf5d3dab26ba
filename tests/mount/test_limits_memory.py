# SPDX-License-Identifier: MIT
"""
A daemon that has no memory, at any call for it, in libfuse, json-c or libc as well: what was asked is refused, all else
goes on, and the same process serves.
"""

import contextlib
import errno
import itertools
import os
import socket

import pytest

import wire
from evidence import BLOCK, assert_clean, grant, must
from harness import FILES, ROOT, STATUS
from memory import STEP, Short, Switch
from persona import PUNCH, as_user, errno_of, fallocate
from processes import wait_until
from upgrading import upgrade_once_started

pytestmark = pytest.mark.preload


@pytest.fixture
def short(make_instance, workdir):
    """An instance whose daemons can be made short of memory, and the switch for it."""
    switch = Switch(os.path.join(workdir, 'switch'), ROOT)
    return make_instance(user=Short(0, 0, switch.path), size='256M').start(), switch


class Operations:
    """Each can be done again and again, whatever has become of it before; n: which time."""

    def __init__(self, instance):
        self.instance = instance
        self.directory = instance.path('directory')
        self.file = os.path.join(self.directory, 'file')
        os.mkdir(self.directory)
        os.close(os.open(self.file, os.O_CREAT, 0o600))

    def names(self):
        return [name for name in dir(self) if name.startswith('do_')]

    def do_mkdir(self, n):
        os.mkdir(self.instance.path(f'directory-{n}'))

    def do_create(self, n):
        os.close(os.open(self.instance.path(f'file-{n}'), os.O_CREAT | os.O_RDWR))

    def do_look_up(self, n):
        with contextlib.suppress(FileNotFoundError):
            os.stat(self.instance.path(f'nothing-{n}'))

    def do_list(self, _):
        assert os.listdir(self.directory)

    def do_resize(self, n):
        os.truncate(self.file, (1 + n % 2) * BLOCK)

    def do_punch(self, n):
        with open(self.file, 'r+b') as file:
            file.truncate(2 * BLOCK)
            fallocate(file.fileno(), PUNCH, n % 2 * BLOCK, BLOCK)

    def do_set_attribute(self, n):
        os.setxattr(self.file, 'user.test', b'%d' % n)

    def do_get_attributes(self, _):
        for name in os.listxattr(self.file):
            os.getxattr(self.file, name)

    def do_rename(self, _):
        other = self.file + '-renamed'
        os.close(os.open(other, os.O_CREAT, 0o600))
        os.rename(other, self.file + '-again')

    def do_link_and_unlink(self, n):
        os.link(self.file, self.instance.path(f'link-{n}'))
        os.unlink(self.instance.path(f'link-{n}'))

    def do_symlink(self, n):
        os.symlink('target' * 20, self.instance.path(f'symlink-{n}'))
        os.readlink(self.instance.path(f'symlink-{n}'))

    def do_statfs(self, _):
        os.statvfs(self.directory)

    def do_ticket(self, _):
        wire.ticket_for(self.file)

    def do_status(self, _):
        assert self.instance.ask(STATUS)['regions']

    def do_files(self, _):
        assert self.instance.ask(FILES)['files']


def count_refusals(operation, switch, pid, since, step):
    """The operation with a fault at every step-th call of the process for memory, until it asks for no more of it."""
    refused, n, failed = 0, 0, [1]
    while failed[0]:
        with switch.failing(pid, n, since) as failed:
            error = as_user(ROOT, errno_of, operation, 2 * n + since, timeout=20)
        assert error == 0 or (error == errno.ENOMEM and failed[0]), f'{operation}, call {n}: {errno.errorcode.get(error)}'
        refused += error != 0
        n += step
        assert n < 1000, f'{operation} asks for memory for ever'
    assert as_user(ROOT, errno_of, operation, 2 * n + since, timeout=20) == 0, operation
    return refused


def test_a_worker_refuses_and_goes_on(short):
    instance, switch = short
    operations, pid = Operations(instance), instance.pids()['worker']
    refused = {}
    for name in operations.names():
        for since in (False, True):
            step = int(STEP or 11) if name in ('do_status', 'do_files') else 1
            refused[name, since] = count_refusals(getattr(operations, name), switch, pid, since, step)
    assert instance.pids()['worker'] == pid, instance.log()
    # Where all calls fail. One alone may have been the kernel's FORGET of something before.
    assert all(refused[name, True] for name in operations.names()), refused
    assert instance.stop() == 0
    assert_clean(instance)


def attach(path, helper):
    """A client that asks once: 'granted', or how it was turned away."""
    try:
        with wire.Client(helper, 20) as client:
            client.greet()
            opcode, _, answer = client.redeem(wire.ticket_for(path))
    except (AssertionError, TypeError, OSError) as e:
        assert not isinstance(e, socket.timeout), 'silence'
        return 'closed'
    if opcode != wire.GRANT:
        return errno.errorcode[answer[0]]
    answer.close()
    return 'granted'


@pytest.mark.parametrize('which', ['worker', 'helper'])
def test_a_client_that_attaches_has_an_answer(short, make_agent, which):
    instance, switch = short
    socket_path = os.getxattr(instance.mount, 'user.guestmemfs.socket').decode()
    first = instance.path('first')
    must(instance, 'truncate', '-s', BLOCK, first)
    agent = make_agent()
    mapping = grant(agent, first)
    agent('fill', mapping, 5)
    outcomes = []
    for since in (False, True):
        n, failed = 0, [1]
        while failed[0]:
            path = instance.path(f'vm-{n}-{since}')
            must(instance, 'truncate', '-s', BLOCK, path)
            with switch.failing(instance.pids()[which], n, since) as failed:
                outcomes.append(attach(path, socket_path))
            assert outcomes[-1] == 'granted' or failed[0], outcomes
            assert wait_until(lambda p=path: attach(p, socket_path) == 'granted', 30), instance.log()
            n += 1
    assert set(outcomes) <= {'granted', 'ENOMEM', 'EAGAIN', 'closed'} and 'ENOMEM' in outcomes, outcomes
    agent('check', mapping, 5)
    assert instance.stop() == 0
    assert_clean(instance)


@pytest.mark.parametrize('which', ['worker', 'helper'])
def test_a_supervisor_starts_anew_what_has_died(short, which):
    instance, switch = short
    pids, said = instance.pids(), 'Cannot allocate memory; this is tried again for 60 seconds'
    with switch.failing(pids['supervisor'], 0, since=True):
        instance.kill(which)
        assert wait_until(lambda: said in instance.log(), 20), instance.log()
        assert not instance.ended()
    pid = instance.wait_new(which, pids[which])
    for n in range(3):  # a fifth death within seconds would be the last
        with switch.failing(pids['supervisor'], n):
            instance.kill(which)
            pid = instance.wait_new(which, pid)
    assert instance.stop() == 0


def test_a_close_is_never_lost(short):
    """Not where libfuse has no memory for the request either: what is open no more has neither an inode nor memory."""
    instance, switch = short
    pid, failed_at = instance.pids()['worker'], []
    kept = os.open(instance.mount, os.O_RDONLY | os.O_DIRECTORY)
    before = os.fstatvfs(kept)
    for since in (False, True):
        for kind, n in itertools.product(('file', 'directory'), range(6)):
            path = instance.path(f'{kind}-{n}-{since}')
            if kind == 'file':
                fd = os.open(path, os.O_CREAT | os.O_RDWR)
                os.ftruncate(fd, BLOCK)
                os.unlink(path)
            else:
                os.mkdir(path)
                fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
                os.rmdir(path)
            with switch.failing(pid, n, since) as failed:
                os.close(fd)  # the kernel tells the worker of it some time
                with contextlib.suppress(OSError):
                    os.fstatvfs(kept)  # after it
            failed_at += failed
    assert failed_at[0] and failed_at[24 // 2], failed_at
    os.listdir(instance.mount)  # its close removes what could not be removed
    assert wait_until(lambda: (os.fstatvfs(kept).f_ffree, os.fstatvfs(kept).f_bfree) == (before.f_ffree, before.f_bfree), 20)
    os.close(kept)
    assert instance.pids()['worker'] == pid, instance.log()
    assert instance.stop() == 0
    assert_clean(instance)


@pytest.mark.limit(900)
def test_a_worker_that_can_not_go_on_leaves_it_to_another(short):
    """Any call of one that follows another worker fails: what is open stays so, on the same connection to the kernel."""
    instance, switch = short
    path, step, codes = instance.path('file'), int(STEP or 97), []
    with open(path, 'x+b', buffering=0) as file:
        file.truncate(BLOCK)
        os.unlink(path)
        for n in itertools.count(0, step):
            with switch.failing(Switch.NEXT_WORKER, n) as failed:
                codes.append(upgrade_once_started(instance).returncode)
            assert wait_until(instance.is_serving, 60), instance.log()
            assert os.fstat(file.fileno()).st_size == BLOCK
            assert codes[-1] == 0 or failed[0], instance.log()
            if not failed[0]:
                break
    assert 1 in codes, codes
    assert 'is made anew' not in instance.log() and 'was ended by signal' not in instance.log(), instance.log()
    assert wait_until(lambda: os.statvfs(instance.mount).f_files - os.statvfs(instance.mount).f_ffree == 1, 20), instance.log()
    assert instance.stop() == 0
    assert_clean(instance)
