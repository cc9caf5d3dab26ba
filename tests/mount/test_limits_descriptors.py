# SPDX-License-Identifier: MIT
"""
No descriptor is left, in each of the processes: who asks is refused with an errno or waits, files and grants go on, nobody
spins, and what was refused is served when descriptors come back. A command that may have one more, and one more, is
refused until it has enough.
"""

import ctypes
import errno
import os
import socket
import time

import pytest

import wire
from evidence import BLOCK, assert_nothing_left, cpu_seconds, held_file, must
from harness import PLAIN, ROOT
from processes import wait_until
from scarcity import descriptors_left, limited

BUSY = 0.1  # of a processor: what spins takes all that it gets, also on a machine that has much to do


def share_of(pid, seconds=2):
    """How much of a processor it uses meanwhile."""
    before, started = cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    return (cpu_seconds(pid) - before) / (time.monotonic() - started)


def attach(helper, path, timeout=20):
    """'granted', the errno of a refusal, or the client that waits for an answer."""
    client = wire.Client(helper, timeout)
    try:
        client.greet()
        opcode, _, answer = client.redeem(wire.ticket_for(path))
    except socket.timeout:
        return client
    except (AssertionError, TypeError, OSError):  # turned away before it was greeted
        client.close()
        return errno.ENOMEM
    client.close()
    if opcode == wire.GRANT:
        answer.close()
        return 'granted'
    return answer[0]


def test_a_helper_without_descriptors_refuses_and_comes_back(instance, make_agent):
    path = instance.path('vm')
    must(instance, 'truncate', '-s', BLOCK, path)
    helper = os.getxattr(instance.mount, 'user.guestmemfs.socket').decode()
    agent, pid = make_agent(), instance.pids()['helper']
    ident = agent('open', path, 'rw')[0]
    agent('attach', ident)
    mapping = agent('map', ident, 0, BLOCK, 'rw')[0]
    agent('fill', mapping, 5)
    outcomes = []
    for count in (0, 1, 2, 3, 4, 12):
        with descriptors_left(pid, count):
            outcome = attach(helper, path, timeout=20 if count else 1)
            if count == 0:
                assert isinstance(outcome, wire.Client), 'it waits in the queue'
                assert share_of(pid) < BUSY
                agent('check', mapping, 5)
        if isinstance(outcome, wire.Client):
            outcome.socket.settimeout(20)
            assert outcome.answer()[0] == wire.WELCOME, 'served when there are descriptors again'
            outcome.close()
            outcome = 'waited'
        outcomes.append(outcome)
    assert set(outcomes) <= {'waited', errno.ENOMEM, errno.EMFILE, 'granted'}, outcomes
    assert outcomes[0] == 'waited' and outcomes[-1] == 'granted', outcomes
    assert any(isinstance(outcome, int) for outcome in outcomes), f'nothing was refused: {outcomes}'
    assert attach(helper, path) == 'granted'
    assert instance.pids()['helper'] == pid
    agent('check', mapping, 5)


def test_a_worker_without_descriptors_serves_files_and_answers_later(make_instance):
    instance = make_instance(user=PLAIN).start()  # root's own worker is another user's process
    pid = instance.pids()['worker']
    with descriptors_left(pid, 0, PLAIN):
        must(instance, 'truncate', '-s', BLOCK, instance.path('vm'))
        must(instance, 'mv', instance.path('vm'), instance.path('moved'))
        waiting = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        waiting.connect(os.path.join(instance.runtime_directory, 'control.sock'))
        assert share_of(pid) < BUSY
        must(instance, 'rm', instance.path('moved'))
    waiting.close()
    assert wait_until(instance.is_serving, 20)
    with descriptors_left(pid, 1, PLAIN):  # the connection, but not the answer
        done = instance.tools.run('guestmemfs', 'status', instance.mount, user=PLAIN)
    assert done.returncode == 1 and 'the worker could not make the answer' in done.stderr, done.stderr
    assert instance.pids()['worker'] == pid
    assert 'no command can connect for 200 ms: Too many open files' in instance.log()


@pytest.mark.parametrize('which', ['worker', 'helper', 'keeper'])
def test_a_supervisor_without_descriptors_goes_on_when_it_has_some(instance, which):
    must(instance, 'truncate', '-s', BLOCK, instance.path('vm'))
    pid = instance.status()['pids'][which]
    with descriptors_left(instance.process.pid, 0):
        instance.kill(which)
        assert wait_until(lambda: 'this is tried again' in instance.log(), 20), instance.log()
        assert 'Too many open files; this is tried again' in instance.log()
        assert share_of(instance.process.pid) < BUSY
        assert not instance.ended()
    instance.wait_new(which, pid)
    assert os.stat(instance.path('vm')).st_size == BLOCK
    assert instance.stop() == 0


def test_a_mount_that_is_unmounted_while_a_worker_can_not_be_started_stays_unmounted(instance):
    with descriptors_left(instance.process.pid, 0):
        instance.kill('worker')
        assert wait_until(lambda: 'this is tried again for 60 seconds' in instance.log(), 20), instance.log()
        # umount(8) looks at it first, and would wait for the next worker.
        assert ctypes.CDLL(None).umount2(os.fsencode(instance.mount), 0) == 0
    assert instance.process.wait(20) == 0, instance.log()
    assert 'was unmounted' in instance.log()
    assert_nothing_left(instance)


def test_a_start_with_few_descriptors_is_refused_whole(make_instance):
    served = []
    for limit in (6, 8, 10, 12, 14, 17, 20, 1024):
        instance = make_instance(user=limited(f'--nofile={limit}', user=PLAIN))
        instance.launch(size=instance.size)
        assert wait_until(lambda i=instance: i.ended() or (i.is_mounted() and i.has_announced()), 30), instance.log()
        if instance.ended():
            assert instance.process.returncode == 1, instance.log()
            assert 'open files' in instance.log(), f'{limit}: {instance.log()}'
            assert_nothing_left(instance)
        else:
            served.append(limit)
            instance.process.terminate()
            assert instance.process.wait(20) == 0
    assert served == [1024]


# -- commands, with one descriptor more each time

LIMITS = range(3, 41)
LOADER = 'error while loading shared libraries'  # it was not our program yet that ran


def with_each_limit(tools, *argv, made=None, **options):
    """Until it has enough: how often it said that it has not. What it makes is there if it was done, and only then."""
    refusals = 0
    for limit in LIMITS:
        done = tools.run(*argv, user=limited(f'--nofile={limit}', user=ROOT, forks=False), **options)
        if done.returncode == 127 and LOADER in done.stderr:
            continue
        assert done.returncode in (0, 1), (limit, done)
        assert made is None or os.path.exists(made) == (done.returncode == 0), (limit, done)
        if done.returncode == 0:
            assert not done.stderr, (limit, done)
            return refusals
        assert not done.stdout and done.stderr.startswith('guestmemfs: '), (limit, done)
        assert 'Too many open files' in done.stderr and done.stderr.count('\n') == 1, (limit, done)
        refusals += 1
    raise AssertionError(f'{argv} takes more than {limit} descriptors: {done}')


def test_a_command_has_enough_or_says_that_it_has_not(instance, tools, workdir):
    must(instance, 'truncate', '-s', 2 * BLOCK, instance.path('vm'))
    pids = instance.pids()
    for argv in (('status', instance.mount), ('status', instance.mount, '--json'), ('ls', instance.mount),
                 ('extents', instance.path('vm'))):
        assert with_each_limit(tools, 'guestmemfs', *argv) > 0, argv
    assert with_each_limit(tools, 'guestmemfs', 'dump', instance.path('vm'), errors='replace') > 0
    with open(os.path.join(workdir, 'data'), 'w+b') as data:
        data.write(bytes(4096))
        path = instance.path('loaded')
        assert with_each_limit(tools, 'guestmemfs', 'load', path, made=path, stdin=data) > 0
    region = os.path.join(workdir, 'region')
    # These need no more than the loader did before them.
    with_each_limit(tools, 'guestmemfs', 'format', '--region', f'file:{region},size=16M', '--max-files', 100, made=region)
    with_each_limit(tools, 'guestmemfs', 'fsck', '--region', f'file:{region}')
    with_each_limit(tools, 'guestmemfs', 'revoke', instance.path('vm'))
    for order in ('freeze', 'thaw'):
        assert with_each_limit(tools, 'guestmemfs', order, instance.mount) > 0
        assert instance.status()['frozen'] == (order == 'freeze')
    assert instance.pids() == pids


def test_an_upgrade_without_descriptors_is_refused_whole(instance, make_agent, tools):
    agent = make_agent()
    mapping = held_file(instance, agent, 'vm', 1, 7)
    supervisor, pids = instance.process.pid, instance.pids()
    for count in (0, 1, 2, 3, 4, 5, 6, 8, 12, 20, 40):
        with descriptors_left(supervisor, count):
            done = tools.run('guestmemfs', 'upgrade', instance.mount)
        assert done.returncode == 1 and done.stderr.startswith('guestmemfs: '), (count, done)
        # Where it has none the command ends with the descriptor that was lost, before the log is written to.
        assert wait_until(lambda n=count, d=done: 'Too many open files' in (d.stderr if n else instance.log()), 20), (count, done)
        assert instance.pids() == pids, (count, done)
    # The log hears of it once, and again when it was better in between.
    with descriptors_left(supervisor, 0):
        for _ in range(3):
            assert tools.run('guestmemfs', 'upgrade', instance.mount).returncode == 1
    assert instance.log().count('an upgrade was asked for, and is refused: Too many open files') == 2
    done = tools.run('guestmemfs', 'upgrade', instance.mount)
    assert done.returncode == 0, done
    new = instance.pids()
    assert new['supervisor'] == supervisor and not {new['worker'], new['helper']} & set(pids.values())
    agent('check', mapping, 7)


def test_a_takeover_without_descriptors_leaves_all_as_it_is(instance, make_agent):
    agent = make_agent()
    mapping = held_file(instance, agent, 'vm', 1, 7)
    pids = instance.pids()
    instance.kill('supervisor')
    assert wait_until(instance.ended, 20)
    refusals = 0
    for limit in (4, 5, 6, 7, 8, 10, 12, 15, 20):
        instance.user = limited(f'--nofile={limit}', user=ROOT, forks=False)
        instance.launch()
        assert wait_until(lambda: instance.ended() or instance.has_announced(), 30), instance.log()
        if instance.has_announced():
            break
        said = instance.log(instance.log_start)
        assert instance.process.returncode == 1 and 'Too many open files' in said, (limit, said)
        agent('check', mapping, 7)
        refusals += 1
    assert refusals > 2
    instance.user = ROOT
    if instance.ended():
        instance.start()
    new = instance.pids()
    assert (new['worker'], new['helper']) == (pids['worker'], pids['helper'])
    agent('check', mapping, 7)
