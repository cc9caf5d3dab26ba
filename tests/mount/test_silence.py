# SPDX-License-Identifier: MIT
"""Commands whose worker or supervisor does not answer: they end, say so, and nothing of what they asked is done later."""

import json
import os
import signal
import socket
import struct
import subprocess

import pytest
from evidence import BLOCK, must
from processes import wait_until
from upgrading import upgraded

FREEZE = struct.pack('<IIIIQ', 24, 1, 4, 0, 0)


@pytest.fixture
def stop():
    """stop(pid): SIGSTOP; the function that it returns lets it go on, as the end of the test does."""
    stopped = []

    def go_on():
        while stopped:
            os.kill(stopped.pop(), signal.SIGCONT)

    def stop_one(pid):
        os.kill(pid, signal.SIGSTOP)
        stopped.append(pid)
        return go_on

    yield stop_one
    go_on()


def run_all(instance, commands):
    """All at the same time: each one's exit code and words. Somebody reads those to their end, so no child has them."""
    running = [subprocess.Popen([instance.tools.path('guestmemfs'), *argv], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True) for argv in commands]
    return [(one.communicate(timeout=50), one.returncode) for one in running]


def test_a_worker_that_was_stopped(instance, monkeypatch, stop):
    path, before = instance.path('vm0'), instance.pids()
    must(instance, 'truncate', '-s', BLOCK, path)
    commands = [(name, path) for name in ('extents', 'export', 'unexport', 'revoke', 'dump', 'load')] + [
        (name, instance.mount) for name in ('status', 'ls', 'freeze', 'thaw', 'token', 'upgrade')]
    go_on = stop(before['worker'])
    monkeypatch.setenv('GUESTMEMFS_WAIT', '2')
    ended = run_all(instance, commands)
    monkeypatch.delenv('GUESTMEMFS_WAIT')  # from here on nobody is stopped, however busy the machine is
    for (out, err), code in ended:
        assert (out, code) == ('', 1)
        assert ': the mount has not answered within 2 seconds: its worker ' in err and err.count('\n') == 1
    go_on()
    status = instance.status()
    assert {**before, **status['pids']} == status['pids'] and not status['frozen']


def test_who_has_gone_is_not_obeyed(instance, stop):
    """A request may lie in the socket when the worker comes to read it, and its sender have told that nothing is done."""
    go_on = stop(instance.pids()['worker'])
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asker:
        asker.connect(f'/run/guestmemfs/{instance.name}/control.sock')
        asker.send(FREEZE)
    go_on()
    assert wait_until(lambda: f'process {os.getpid()} has asked for something, and has not waited' in instance.log(), 30)
    assert not instance.status()['frozen']


def test_a_worker_that_is_stopped_as_freeze_flushes(instance, monkeypatch, stop, kill_at):
    """It has answered the first question, and hears nothing of what the page cache has."""
    pid = instance.pids()['worker']
    trap = kill_at(pid, 'control_answer_send', after=True, then=[f'shell kill -STOP {pid}', 'detach'])
    monkeypatch.setenv('GUESTMEMFS_WAIT', '10')
    [((out, err), code)] = run_all(instance, [('freeze', instance.mount)])
    monkeypatch.delenv('GUESTMEMFS_WAIT')
    trap.wait()
    go_on = stop(pid)
    assert (out, code) == ('', 1)
    assert f'what the page cache has for files with content at {instance.mount} is not all written: ' in err
    assert ': the mount has not answered within 10 seconds: its worker ' in err and err.count('\n') == 1
    go_on()
    assert not instance.status()['frozen']
    must(instance, 'mkdir', instance.path('made'))


def test_a_supervisor_that_was_stopped(instance, monkeypatch, stop):
    before = instance.status()['pids']
    go_on = stop(before['supervisor'])
    monkeypatch.setenv('GUESTMEMFS_WAIT', '5')  # the worker needs some of it
    [((out, err), code)] = run_all(instance, [('upgrade', instance.mount)])
    monkeypatch.delenv('GUESTMEMFS_WAIT')
    assert (out, code) == ('', 1)
    assert 'have not begun with the upgrade within 5 seconds' in err and err.count('\n') == 1
    assert instance.status()['pids'] == before, 'all else goes on'
    go_on()
    assert wait_until(lambda: 'who has asked for it has not waited' in instance.log(), 30)
    assert instance.status()['pids'] == before
    upgraded(instance)


def advises(instance, text):
    """Does doctor, of the first pool that it could not ask? Another test's instance may be silent just now."""
    found = json.loads(instance.tools.run('guestmemfs', 'doctor', '--json').stdout)['findings']
    return any(text in f"{one['text']}; {one['remedy']}" for one in found if 'could be asked' in one['text'])


def test_doctor_says_what_helps(instance, monkeypatch, stop):
    before = instance.pids()
    go_on = stop(before['worker'])
    monkeypatch.setenv('GUESTMEMFS_WAIT', '2')
    assert wait_until(lambda: advises(
        instance, 'within 2 seconds; kill -CONT lets a worker (guestmemfs-worker) that was stopped go on; after kill -9 of '
        'one that hangs its supervisor (guestmemfs-fuse) starts another one'), 60)
    monkeypatch.delenv('GUESTMEMFS_WAIT')
    go_on()
    assert instance.pids() == before
    os.kill(before['worker'], signal.SIGSTOP)
    os.kill(before['worker'], signal.SIGKILL)
    assert instance.wait_new('worker', before['worker'])
    assert {**instance.pids(), 'worker': before['worker']} == before


def test_a_bound_that_is_none(instance, monkeypatch):
    for text in ('0', '-1', '2s', '99999999999999999999'):
        monkeypatch.setenv('GUESTMEMFS_WAIT', text)
        done = instance.tools.run('guestmemfs', 'status', instance.mount)
        assert done.returncode == 1 and 'GUESTMEMFS_WAIT in the environment is no number of seconds' in done.stderr
