# SPDX-License-Identifier: MIT
"""Starts over what a death has left: a mount that has died; a supervisor not all of which has gone."""

import contextlib
import ctypes
import os
import signal
import subprocess

import pytest

from evidence import BLOCK, assert_clean, make_region, must, refused, tree
from harness import PLAIN, ROOT
from processes import is_gone, wait_until
from taking_over import die


@pytest.mark.parametrize('user', [ROOT, PLAIN], ids=['root', 'plain'])
def test_nobody_is_left_to_unmount(make_instance, user):
    """As by the OOM killer: of worker, supervisor and keeper nothing is left, and the helper ends by itself."""
    mounted = make_region(make_instance(user=user)).start()
    must(mounted, 'truncate', '-s', BLOCK, mounted.path('f'))
    names, helper = tree(mounted), mounted.pids()['helper']
    mounted.kill('supervisor', 'keeper', 'worker')
    assert mounted.is_mounted()
    mounted.restart()
    detached = f'{mounted.mount}: what is left of a mount of {mounted.name} that has died is detached\n'
    assert mounted.log(mounted.log_start).count(detached) == 1
    with open('/proc/self/mountinfo', encoding='utf-8') as table:
        assert [line.split()[4] for line in table].count(mounted.mount) == 1
    assert wait_until(lambda: is_gone(helper), 20) and tree(mounted) == names
    assert mounted.stop() == 0
    assert_clean(mounted)


def mount_of_a_users(instance, source, subtype):
    """A mount that has died, as users make them by fusermount3, who choose what it is called."""
    libc, fuse = ctypes.CDLL(None, use_errno=True), os.open('/dev/fuse', os.O_RDWR)
    options = f'fd={fuse},rootmode=40000,user_id=0,group_id=0'.encode()
    assert libc.mount(source, os.fsencode(instance.mount), b'fuse.' + subtype, 0, options) == 0, ctypes.get_errno()
    os.close(fuse)


def test_what_a_dead_mount_is_called_stays_one_line(make_instance):
    instance = make_instance()
    mount_of_a_users(instance, b'one\n\033two', b'guestmemfs')
    instance.start()
    assert f'{instance.mount}: what is left of a mount of one??two that has died is detached\n' in instance.log()


def test_what_is_mounted_there_moves_no_cursor(make_instance):
    instance = make_region(make_instance())
    mount_of_a_users(instance, b'a\033b', b'c\033d')
    said = refused(instance)
    must(instance, 'umount', instance.mount)
    assert 'a?b (fuse.c?d) is mounted there' in said


@pytest.fixture
def instance(make_instance):
    return make_region(make_instance()).start()


def has_open(pid, path):
    with contextlib.suppress(FileNotFoundError):
        return any(os.readlink(f'/proc/{pid}/fd/{fd}') == path for fd in os.listdir(f'/proc/{pid}/fd'))
    return False


def test_a_process_is_just_being_forked(instance, kill_at, workdir):
    """It has a copy of all that the supervisor had, so the keeper sees it live until that runs another program."""
    there, gate = os.path.join(workdir, 'there'), os.path.join(workdir, 'gate')
    fd = os.open(instance.path('f'), os.O_CREAT | os.O_RDWR)
    pids = instance.pids()
    trap = kill_at(pids['supervisor'], 'child_start_worker', then=[
        'set follow-fork-mode child', 'tbreak setpgid', 'continue', f'shell kill -9 {pids["supervisor"]}',
        f'shell touch {there}; while [ ! -e {gate} ]; do sleep 0.02; done', 'kill'])
    os.kill(pids['worker'], signal.SIGKILL)
    assert wait_until(lambda: os.path.exists(there), 30)
    instance.process.wait(20)
    instance.launch()
    assert wait_until(lambda: has_open(instance.process.pid, instance.region), 20), 'it has taken over too early'
    with open(gate, 'wb'):
        pass
    trap.wait()
    assert wait_until(lambda: instance.has_announced() or instance.ended(), 30)
    assert 'taken over from a supervisor that is gone' in instance.log(instance.log_start)
    os.ftruncate(fd, BLOCK)
    assert os.fstat(fd).st_size == BLOCK
    os.close(fd)
    assert instance.stop() == 0
    assert_clean(instance)


def test_that_it_is_mounted_is_said_last(instance, hold_at):
    """Who waits for that finds in the log what was taken over; and worker and helper have been told of it."""
    before = die(instance)
    os.kill(before['keeper'], signal.SIGSTOP)
    instance.launch()
    assert wait_until(lambda: 'which does not answer' in instance.log(instance.log_start), 20), instance.log()
    trap = hold_at(instance.process.pid, 'child_send')
    os.kill(before['keeper'], signal.SIGCONT)
    trap.wait()
    assert 'taken over from a supervisor that is gone' in instance.log(instance.log_start)
    assert not instance.has_announced()
    trap.release()
    assert wait_until(instance.has_announced, 30), instance.log()
    assert instance.status()['pids'] == {**before, 'supervisor': instance.process.pid}
    assert instance.stop() == 0


def test_the_command_returns_last(instance, hold_at):
    """Without -f, too, who waits for a start finds worker and helper told of their supervisor."""
    before = die(instance)
    os.kill(before['keeper'], signal.SIGSTOP)
    start = os.path.getsize(instance.log_path)
    argv = [*instance.user.argv(), instance.tools.path('guestmemfs-fuse'), '--name', instance.name, '--region',
            f'file:{instance.region}', instance.mount]
    with open(instance.log_path, 'ab') as log:
        command = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   env=instance.user.environment(), cwd='/')
    try:
        assert wait_until(lambda: 'which does not answer' in instance.log(start), 20), instance.log()
        with open(f'/proc/{command.pid}/task/{command.pid}/children', encoding='ascii') as f:
            daemon = int(f.read().split()[0])
        trap = hold_at(daemon, 'child_send')
        os.kill(before['keeper'], signal.SIGCONT)
        trap.wait()
        with pytest.raises(subprocess.TimeoutExpired):
            command.wait(0.5)
        trap.release()
        assert command.wait(30) == 0
    finally:
        command.kill()
        command.wait()
    assert instance.wait_status(lambda s: s['pids']['supervisor'] == daemon)['pids'] == {**before, 'supervisor': daemon}
    os.kill(daemon, signal.SIGTERM)
    assert wait_until(lambda: all(map(is_gone, [daemon, *before.values()])), 30), instance.log()
