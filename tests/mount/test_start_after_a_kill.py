# SPDX-License-Identifier: MIT
"""A start that comes in the same moment as the supervisor's death, before all of what was the supervisor has gone."""

import contextlib
import os
import signal

import pytest

from evidence import BLOCK, assert_clean, make_region
from processes import wait_until


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
