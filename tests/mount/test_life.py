# SPDX-License-Identifier: MIT
"""How an instance starts, goes on when one of its processes dies, and ends. And that none of it costs CPU time or leaks."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from evidence import (BLOCK, as_user, assert_clean, assert_idle, assert_nothing_left, daemons_of, end_of, grant,
                      grant_when_ready, held_file, kill_until_given_up, make_region, must,
                      open_files, refused, state_of, tree)
from harness import ALL, DAEMONS, PLAIN
from processes import is_gone, kill_at_once, wait_until

SEED = 3
ENDING_CPU = 1.0   # seconds of CPU time that a whole short life of a supervisor may cost, sanitizers included


@pytest.fixture
def instance(make_instance, user):
    return make_region(make_instance(user=user)).start()


@pytest.fixture
def client(instance, make_agent, user):
    """With a mapping that holds a pattern: client.check()."""
    agent = make_agent(user=user)
    mapping = held_file(instance, agent, 'vm0', 2, SEED)
    agent.check = lambda: agent('check', mapping, SEED)
    return agent


def assert_busy(instance):
    done = as_user(instance, 'truncate', '-s', 0, instance.path('vm0'))
    assert done.returncode == 1 and 'Device or resource busy' in done.stderr


# -- one of them dies (the supervisor: test_supervisor_death.py)

def test_helper_dies(instance, client):
    """The mount and its open files go on; new grants are given; what was held stays held."""
    must(instance, 'truncate', '-s', BLOCK, instance.path('other'))
    ident = client('open', instance.path('other'), 'rw')[0]
    before, pids = tree(instance), instance.pids()
    instance.kill('helper')
    new = instance.wait_new('helper', pids['helper'])
    assert instance.pids() == {**pids, 'helper': new}
    assert tree(instance) == before
    client('attach', ident)
    client('fill', client('map', ident, 0, BLOCK, 'rw')[0], SEED)
    assert_busy(instance)
    client.check()
    held = {g['ino'] for g in instance.status()['grants'] if g['pid'] == client.pid}
    assert held == {int(before[name].split()[0]) for name in ('vm0', 'other')}


def test_worker_dies(instance, client):
    """The mount comes back by itself; files, memory and what is held are as they were."""
    before, pids = tree(instance), instance.pids()
    instance.kill('worker')
    new = instance.wait_new('worker', pids['worker'])
    assert instance.pids() == {**pids, 'worker': new}
    assert tree(instance) == before
    client.check()
    assert_busy(instance)
    grant_when_ready(client, instance.path('vm0'))
    client.check()


def test_keeper_dies(instance, client):
    """Another one is started; nobody else notices."""
    before, pids = tree(instance), instance.status()['pids']
    instance.kill('keeper')
    status = instance.wait_status(lambda s: s['pids']['keeper'] not in (0, pids['keeper']))
    assert {**status['pids'], 'keeper': 0} == {**pids, 'keeper': 0}
    assert tree(instance) == before
    client.check()


def test_supervisor_and_keeper_die(instance, client):
    """The others end in good order by themselves."""
    before, pids = tree(instance), instance.pids()
    instance.kill('supervisor', 'keeper')
    for name in ('worker', 'helper'):
        assert wait_until(lambda pid=pids[name]: is_gone(pid), 30), f'the {name} goes on with nobody over it'
    assert not instance.is_mounted()
    assert wait_until(lambda: not os.path.exists(instance.runtime_directory), 20), 'the runtime directory is left behind'
    assert assert_clean(instance)['records'] == 0
    instance.restart()
    assert tree(instance) == before
    assert_busy(instance)
    client.check()


@pytest.mark.parametrize('which', [('supervisor', 'keeper'), ('supervisor', 'worker', 'keeper'),
                                   ('supervisor', 'helper', 'keeper'), ALL], ids='-'.join)
def test_next_start_need_not_wait(instance, client, which):
    """Whoever still ends: the start comes at once, and waits by itself."""
    before, pids = tree(instance), instance.status()['pids']
    kill_at_once([pids[name] for name in which])
    instance.process.wait(20)
    instance.start()
    assert tree(instance) == before
    assert wait_until(lambda: all(is_gone(pids[name]) for name in ALL), 20)
    client.check()
    assert_busy(instance)


@pytest.mark.parametrize('same_name', [True, False], ids=['same-name', 'other-name'])
def test_start_waits_for_a_helper_that_is_left(instance, client, same_name):
    """It may be in the middle of zeroing what the next instance would give to somebody."""
    pids = instance.status()['pids']
    os.kill(pids['helper'], signal.SIGSTOP)
    kill_at_once([pids['supervisor'], pids['keeper'], pids['worker']])
    instance.process.wait(20)
    left = instance.runtime_directory
    instance.name += '' if same_name else '-b'
    instance.launch()
    time.sleep(1)
    assert not instance.ended(), instance.log()
    assert not daemons_of(instance.process.pid)
    os.kill(pids['helper'], signal.SIGCONT)
    assert wait_until(instance.is_serving, 30), instance.log()
    client.check()
    assert instance.stop() == 0
    if not same_name:
        shutil.rmtree(left, ignore_errors=True)


@pytest.mark.parametrize('which', ['worker', 'helper'])
def test_what_dies_too_often_is_given_up(instance, client, which):
    before, pids = tree(instance), instance.pids()
    killed = kill_until_given_up(instance, which)
    status, cpu = end_of(instance.process, 20)
    assert status == 1 and cpu < ENDING_CPU
    assert f'the {which} has ended 5 times within 10 seconds: this instance gives up' in instance.log()
    assert instance.log().count('it is started again') == killed - 1 >= 4
    assert_nothing_left(instance, pids)
    client.check()
    instance.restart()
    assert tree(instance) == before
    client.check()
    assert_busy(instance)


def _kill(pid):
    os.kill(pid, signal.SIGKILL)
    return pid


# -- ends

def end_by_signal(number):
    # Not by Popen, which would reap one that has ended already, and its CPU time with it.
    return lambda instance: os.kill(instance.process.pid, number)


def end_by_program(*argv):
    return lambda instance: must(instance, *argv, instance.mount)


ENDS = {
    'SIGTERM': end_by_signal(signal.SIGTERM),
    'SIGINT': end_by_signal(signal.SIGINT),
    'umount': end_by_program('umount'),
    'umount-lazy': end_by_program('umount', '-l'),
    'fusermount3': end_by_program('fusermount3', '-u'),
    'fusermount3-lazy': end_by_program('fusermount3', '-u', '-z'),
    'umount-and-SIGTERM': lambda instance: (end_by_program('fusermount3', '-u', '-z')(instance),
                                            end_by_signal(signal.SIGTERM)(instance)),
    'SIGTERM-twice': lambda instance: (end_by_signal(signal.SIGTERM)(instance),
                                       end_by_signal(signal.SIGTERM)(instance)),
}


@pytest.mark.parametrize('how', ENDS)
def test_ends_in_good_order(instance, client, user, how):
    """A checkpoint, no mount, exit code 0, nothing left over; and the client has its memory."""
    if user == PLAIN and how.startswith('umount') and 'SIGTERM' not in how:
        how = how.replace('umount', 'fusermount3')  # umount(8) is not for him: fstab does not know his mount
    before, pids = tree(instance), instance.pids()
    ENDS[how](instance)
    status, cpu = end_of(instance.process, 20)
    assert status == 0, instance.log()
    assert cpu < ENDING_CPU, f'ending took {cpu} s of CPU time'
    assert_nothing_left(instance, pids)
    assert assert_clean(instance)['records'] == 0
    client.check()
    instance.restart()
    assert tree(instance) == before
    client.check()


@pytest.mark.parametrize('how', ['umount', 'fusermount3'])
def test_busy_mount_is_not_unmounted(instance, make_agent, user, how):
    agent = make_agent(user=user)
    must(instance, 'truncate', '-s', BLOCK, instance.path('vm0'))
    ident = agent('open', instance.path('vm0'), 'rw')[0]
    pids = instance.pids()
    done = as_user(instance, *(['umount'] if how == 'umount' else ['fusermount3', '-u']), instance.mount)
    assert done.returncode != 0
    assert instance.is_serving() and instance.pids() == pids
    agent('attach', ident)


def test_lazily_unmounted_mount_ends_with_its_last_file(instance, client, user):
    """Nobody finds it any more, but who has a file open may go on for as long as it likes."""
    ident = client('open', instance.path('vm0'), 'rw')[0]
    pids = instance.wait_status(lambda status: status['scrub']['pending_blocks'] == 0)['pids']
    pids = {name: pids[name] for name in DAEMONS}
    ENDS['fusermount3-lazy'](instance)
    assert not instance.is_mounted()
    client('attach', ident)
    assert_idle(pids)
    client('close', ident)
    status, cpu = end_of(instance.process, 20)
    assert status == 0 and cpu < ENDING_CPU
    assert_nothing_left(instance, pids)
    client.check()


def test_helper_dies_while_ending(instance):
    """No restart, no error: the end is the end."""
    pids = instance.pids()
    os.kill(pids['helper'], signal.SIGSTOP)
    instance.process.terminate()
    assert wait_until(lambda: is_gone(pids['worker']) or state_of(pids['worker']) == 'Z', 30)
    with contextlib.suppress(ProcessLookupError):  # the supervisor does so, too, after a while
        os.kill(pids['helper'], signal.SIGKILL)
    status, cpu = end_of(instance.process, 30)
    assert status == 0 and cpu < ENDING_CPU
    assert_nothing_left(instance, pids)


def test_stuck_worker_is_killed_in_the_end(make_instance, make_agent):
    """A worker that does not end when it is told to holds up nobody for ever; nothing depends on its checkpoint."""
    instance = make_region(make_instance()).start()
    agent = make_agent()
    mapping = held_file(instance, agent, 'vm0', 2, SEED)
    before, pids = tree(instance), instance.pids()
    os.kill(pids['worker'], signal.SIGSTOP)
    instance.process.terminate()
    status, cpu = end_of(instance.process, 30)
    assert status == 1 and cpu < ENDING_CPU
    assert 'the worker does not end: it is killed' in instance.log()
    assert_nothing_left(instance, pids)
    instance.restart()
    assert tree(instance) == before
    agent('check', mapping, SEED)


# -- starts

def test_second_start_on_a_region_is_refused(make_instance, make_agent):
    """After ten seconds of waiting; the first one is not disturbed."""
    instance, second = make_region(make_instance()).start(), make_instance()
    agent = make_agent()
    mapping = held_file(instance, agent, 'vm0', 2, SEED)
    second.region = instance.region
    begin = time.monotonic()
    text = refused(second, timeout=45)
    assert 9 < time.monotonic() - begin < 40
    assert 'is in use by another guestmemfs-fuse or guestmemfs command (its lock is taken)' in text
    assert_nothing_left(second)
    assert instance.is_serving()
    agent('check', mapping, SEED)


def test_second_start_waits_for_one_that_is_ending(instance, client):
    before, first = tree(instance), instance.process
    instance.launch()
    time.sleep(0.5)
    assert not instance.ended()
    first.terminate()
    assert first.wait(20) == 0
    assert wait_until(instance.is_serving, 30), instance.log()
    assert tree(instance) == before
    client.check()
    assert_busy(instance)


def test_second_start_on_a_mount_point_is_refused(instance, client, make_instance, user):
    second = make_instance(user=user)
    second.mount = instance.mount
    pids = instance.pids()
    text = refused(second, size='64M')
    assert f'a guestmemfs named {instance.name} is mounted there and alive; end it first' in text
    assert instance.pids() == pids
    assert not os.path.exists(second.region), 'a start that failed has left its region behind'
    client.check()


def test_second_start_of_a_name_is_refused(instance, client, make_instance, user):
    second = make_instance(user=user)
    name, second.name = second.name, instance.name
    pids = instance.pids()
    text = refused(second, size='64M')
    assert f'an instance named {instance.name} is running' in text
    assert instance.pids() == pids
    assert not os.path.exists(second.region) and not second.is_mounted()
    second.name = name
    client.check()


def test_foreign_mount_is_left_alone(make_instance):
    instance = make_instance()
    subprocess.run(['mount', '-t', 'tmpfs', 'foreign', instance.mount], check=True, timeout=20)
    assert 'foreign (tmpfs) is mounted there; unmount it' in refused(instance, size='64M')
    assert os.statvfs(instance.mount).f_files and instance.is_mounted()
    subprocess.run(['umount', instance.mount], check=True, timeout=20)
    assert not os.path.exists(instance.region)


def test_dead_mount_of_before_is_replaced(instance, client):
    """Not stacked: one start, one mount; and what stood there is not asked for any more."""
    before = tree(instance)
    for _ in range(3):
        instance.kill()
        assert instance.is_mounted() and as_user(instance, 'ls', instance.mount).returncode != 0
        instance.restart()
    with open('/proc/self/mountinfo', encoding='utf-8') as f:
        assert sum(line.split()[4] == instance.mount for line in f) == 1
    assert tree(instance) == before
    client.check()


def test_foreground_tells_on_stderr(instance):
    assert instance.stop() == 0
    log = instance.log()
    assert f'guestmemfs-fuse: {instance.name} is mounted at {instance.mount}' in log
    assert 'guestmemfs-fuse: ending, by signal 15' in log


def test_daemon_returns_when_the_mount_serves(make_instance, user):
    """And holds nothing of the terminal: its output is a pipe here, which is read to its end."""
    instance = make_region(make_instance(user=user))
    done = as_user(instance, 'guestmemfs-fuse', '--name', instance.name, '--region', f'file:{instance.region}',
                   instance.mount, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
    must(instance, 'mkdir', instance.path('d'))
    pids = instance.pids()
    assert os.getsid(pids['supervisor']) == pids['supervisor']
    os.kill(pids['supervisor'], signal.SIGTERM)
    assert_nothing_left(instance, pids)
    assert assert_clean(instance)['records'] == 0


def test_exit_codes_without_a_mount(tools):
    for word, text in (('--help', 'Usage: guestmemfs-fuse'), ('--version', 'guestmemfs-fuse ')):
        done = tools.run('guestmemfs-fuse', word)
        assert done.returncode == 0 and done.stdout.startswith(text) and not done.stderr
    assert tools.run('guestmemfs-fuse').returncode == 2


# -- what it costs

@pytest.mark.parametrize('after', ['start', 'worker-death', 'helper-death', 'restart'])
def test_idle_instance_uses_no_cpu(make_instance, make_agent, after):
    """With a client that holds memory, and with removed files that it holds."""
    instance = make_region(make_instance()).start()
    agent = make_agent()
    mapping = held_file(instance, agent, 'vm0', 2, SEED)
    os.unlink(instance.path('vm0'))
    if after == 'restart':
        instance.kill()
        instance.restart()
    elif after != 'start':
        which = after.partition('-')[0]
        instance.wait_new(which, *instance.kill(which))
    instance.wait_status(lambda status: status['scrub']['pending_blocks'] == 0)
    assert_idle(instance.pids())
    agent('check', mapping, SEED)


def descriptors(instance):
    return {name: open_files(pid) for name, pid in instance.pids().items()}


def descriptors_with(instance, client):
    """
    Once the client is known: one that is adopted is watched by a descriptor. What a look into /proc has open besides
    comes and goes; each look ends, and the next begins later and later.
    """
    instance.wait_status(lambda status: client.pid in [grant['pid'] for grant in status['grants']])
    seen = []
    for _ in range(20):
        seen.append(descriptors(instance))
        time.sleep(0.05)
    return {name: min(at[name] for at in seen) for name in seen[0]}


def test_attaching_leaks_no_descriptor(instance, client):
    names = [f'f{i}' for i in range(5)]
    for name in names:
        must(instance, 'truncate', '-s', BLOCK, instance.path(name))

    def attach_all(rounds):
        for _ in range(rounds):
            for name in names:
                ident = client('open', instance.path(name), 'r')[0]
                client('attach', ident)
                client('detach', ident)
                client('close', ident)

    attach_all(1)
    before, ours = descriptors_with(instance, client), client('fds')
    attach_all(40)
    assert client('fds') == ours
    assert wait_until(lambda: descriptors(instance) == before, 20), (before, descriptors(instance))
    client.check()


def test_restarts_leak_no_descriptor(instance, client):
    """Twenty of them, in lives of four: a fifth death within ten seconds would be the end."""
    for _ in range(3):
        before = descriptors_with(instance, client)
        pids = instance.pids()
        for which in ('helper', 'worker') * 3 + ('helper',):
            pids[which] = instance.wait_new(which, _kill(pids[which]))
        assert wait_until(lambda: descriptors(instance) == before, 20), (before, descriptors(instance))
        client.check()
        assert instance.stop() == 0
        instance.restart()
    assert not re.search('descriptor', instance.log())
    grant(client, instance.path('vm0'))
    client.check()
    assert os.path.isdir(instance.runtime_directory)


def read_until(fd, wanted, seconds):
    """What comes from a pipe that is not waited for, up to the wanted words or the end of the time."""
    text = b''

    def is_there():
        nonlocal text
        with contextlib.suppress(BlockingIOError):
            text += os.read(fd, 65536)
        return wanted in text

    wait_until(is_there, seconds)
    return text


def test_who_reads_the_log_may_go_away(instance, client):
    """With -f the messages go to whatever stderr is: here a pipe whose reader ends."""
    assert instance.stop() == 0
    kept = f'{instance.log_path}.kept'
    os.rename(instance.log_path, kept)
    os.mkfifo(instance.log_path)
    reader = os.open(instance.log_path, os.O_RDONLY | os.O_NONBLOCK)
    instance.launch()
    assert wait_until(instance.is_serving, 30)
    assert b'is mounted' in read_until(reader, b'is mounted', 30)
    os.close(reader)
    os.unlink(instance.log_path)
    os.rename(kept, instance.log_path)
    before = instance.pids()
    for _ in range(3):  # each is a line of the helper's
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as bad:
            bad.connect(os.path.join(instance.runtime_directory, 'grant.sock'))
            bad.send(b'no message')
            bad.recv(64)  # waits for the refusal, or the end
    grant(client, instance.path('vm0'))
    assert instance.pids() == before
    client.check()
