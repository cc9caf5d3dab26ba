# SPDX-License-Identifier: MIT
"""
A full runtime directory, and no new process: a start is refused with a sentence and leaves nothing, what serves goes on,
what dies comes back, at once or when there is room.
"""

import os
import signal

import pytest

from evidence import BLOCK, assert_nothing_left, grant, grant_when_ready, must
from harness import PLAIN, ROOT, StartFailed
from processes import wait_until
from scarcity import SmallDirectory, limit_restored, limited, no_new_processes
from upgrading import AS_WORKER, refused, start_own, upgraded

AGAIN = 'this is tried again for 60 seconds'


@pytest.fixture
def small(workdir):
    directory = SmallDirectory(os.path.join(workdir, 'run'), PLAIN)
    yield directory
    directory.clean_up()


@pytest.fixture
def instance(small, make_instance):  # in this order: the instance ends before its directory goes
    return make_instance(user=limited(runtime=small.path))


@pytest.fixture(params=['pages', 'inodes'])
def fill(small, request):
    return getattr(small, f'fill_{request.param}')


def assert_no_room(instance):
    with pytest.raises(StartFailed) as failed:
        instance.start()
    said = failed.value.text
    assert failed.value.status == 1 and ('No space left on device' in said or 'no room for' in said), said
    assert_nothing_left(instance)


def count_starts(instance):
    """Of helpers that had no room: each says so itself, too."""
    return instance.log().count('guestmemfs-helper: no room for')


def test_a_start_without_room_is_refused_whole(small, fill, instance):
    fill()
    assert_no_room(instance)
    assert not os.path.exists(instance.region), 'what was made for it is gone again'
    small.make_room()
    instance.start()
    assert instance.stop() == 0
    assert [name for name in os.listdir(os.path.join(small.path, 'guestmemfs')) if not name.startswith('.')] == []


def test_what_serves_needs_no_room(small, fill, instance, make_agent):
    """Files, grants and their notes, the deaths of both processes, and the end."""
    instance.start()
    agent = make_agent(user=PLAIN)
    must(instance, 'truncate', '-s', BLOCK, instance.path('first'))
    first = grant(agent, instance.path('first'))
    agent('fill', first, 1)
    fill()
    must(instance, 'truncate', '-s', 2 * BLOCK, instance.path('second'))
    second = grant(agent, instance.path('second'))
    agent('fill', second, 2)
    for which in ('helper', 'worker'):
        pid = instance.pids()[which]
        instance.kill(which)
        instance.wait_new(which, pid)
        third = instance.path(f'after-{which}')
        must(instance, 'truncate', '-s', BLOCK, third)
        agent('fill', grant_when_ready(agent, third), 3)
    agent('check', first, 1)
    agent('check', second, 2)
    assert instance.stop() == 0
    small.make_room()
    assert instance.fsck().returncode == 0


def test_roots_instance_needs_no_room_either(make_instance):
    """Its worker has an empty root directory of its own, in the place of the one before."""
    instance = make_instance(options=['--user', 'nobody'])
    os.makedirs('/run/guestmemfs', mode=0o755, exist_ok=True)
    small = SmallDirectory(f'/run/guestmemfs/{instance.name}', ROOT)
    try:
        instance.start()
        must(instance, 'mkdir', instance.path('kept'))
        small.fill_inodes()
        for which in ('worker', 'helper'):
            pid = instance.pids()[which]
            instance.kill(which)
            instance.wait_new(which, pid)
        assert 'kept' in instance.tree()
        assert instance.stop() == 0
    finally:
        small.clean_up()


def test_a_helper_that_has_no_room_for_its_notes_waits_for_it(small, instance):
    """Somebody has tidied up, and filled what became free: it says so, and is not given up at its fifth end."""
    instance.start()
    pid = instance.pids()['helper']
    notes = os.path.join(small.path, 'guestmemfs')
    for name in os.listdir(notes):
        if name.startswith('.granted-'):
            os.unlink(os.path.join(notes, name))
    instance.process.send_signal(signal.SIGSTOP)
    used = small.pages_in_use()
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: small.pages_in_use() < used, 20), 'the notes go with the last who maps them'
    small.fill_pages()
    instance.process.send_signal(signal.SIGCONT)
    assert wait_until(lambda: AGAIN in instance.log(), 20), instance.log()
    assert 'where it is noted what is granted' in instance.log()
    tries = count_starts(instance)
    assert wait_until(lambda: count_starts(instance) > tries + 6, 30), instance.log()
    must(instance, 'mkdir', instance.path('made meanwhile'))
    small.make_room()
    instance.wait_new('helper', pid)
    assert instance.log().count(AGAIN) == 1, 'it is said once'
    assert instance.stop() == 0


@pytest.mark.parametrize('which', ['worker', 'helper'])
def test_what_dies_comes_back_when_processes_can_be_made(make_instance, make_agent, which):
    instance = make_instance(user=PLAIN).start()
    agent = make_agent(user=PLAIN)
    must(instance, 'truncate', '-s', BLOCK, instance.path('vm'))
    mapping = grant(agent, instance.path('vm'))
    agent('fill', mapping, 7)
    pid = instance.pids()[which]
    with no_new_processes(instance.process.pid):
        instance.kill(which)
        assert wait_until(lambda: f'Resource temporarily unavailable; {AGAIN}' in instance.log(), 20), instance.log()
        agent('check', mapping, 7)
        assert not instance.ended()
    instance.wait_new(which, pid)
    assert instance.log().count(AGAIN) == 1, 'it is said once'
    agent('check', grant_when_ready(agent, instance.path('vm')), 7)
    assert instance.stop() == 0


def test_who_is_told_to_end_while_it_waits_for_a_process_ends(make_instance):
    instance = make_instance(user=limited(forks=False)).start()
    must(instance, 'mkdir', instance.path('kept'))
    with no_new_processes(instance.process.pid):
        instance.kill('worker')
        assert wait_until(lambda: AGAIN in instance.log(), 20), instance.log()
        instance.process.terminate()
        assert instance.process.wait(30) == 0
    instance.restart()  # also over the dead mount: fusermount3 is a process, too
    assert 'kept' in instance.tree()


def test_a_start_without_processes_is_refused_whole(make_instance):
    instance = make_instance(user=limited('--nproc=1', forks=False))
    with pytest.raises(StartFailed) as failed:
        instance.start()
    assert failed.value.status == 1 and 'Resource temporarily unavailable' in failed.value.text, failed.value.text
    assert_nothing_left(instance)


def test_files_that_may_not_be_large(make_instance, workdir):
    """The runtime table has addresses for 4 GiB; a smaller region's start is refused with a sentence, not by a signal."""
    instance = make_instance(user=limited('--fsize=1000000000', runtime=workdir, user=ROOT))
    with pytest.raises(StartFailed, match='RLIMIT_FSIZE') as failed:
        instance.start()
    assert failed.value.status == 1
    assert_nothing_left(instance)


@pytest.mark.limit(100)
def test_an_upgrade_ends_although_no_process_can_be_made(make_instance, workdir):
    """Neither the new worker nor the one from before: the command does not wait until that can be started, nor say that it is."""
    instance = start_own(make_instance(user=PLAIN), workdir)
    instance.tools.install(AS_WORKER + 'prlimit --pid "$PPID" --nproc=0:\nexit 1\n')
    with limit_restored(instance.process.pid, 'nproc'):
        refused(instance, 'the worker ended with exit code 1; the one from before could not be started again yet, and is tried again')
        assert AGAIN in instance.log() and not instance.ended()
    must(instance, 'mkdir', instance.path('made'))
    instance.tools.install_good()
    upgraded(instance)
