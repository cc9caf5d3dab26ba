# SPDX-License-Identifier: MIT
"""
The supervisor dies: worker and helper go on, and nobody notices. The next start takes over from it, unless it is another
one; and what becomes of the rest when more of them die before it comes.
"""

import contextlib
import ctypes
import errno
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from agent import AgentError
from debugger import system_call_in
from evidence import (BLOCK, as_user, assert_clean, assert_idle, grant_when_ready, make_region, must, open_files,
                      refused, settled, tree)
from harness import ALL
from keepers import keeper_socket
from processes import is_gone, wait_until
from steady import names_in_use
from taking_over import die, equip, take_over

MNT_DETACH = 2
REGIONS_MAX = 32


@pytest.fixture
def instance(make_instance):
    return make_region(make_instance()).start()


@pytest.fixture
def client(instance, make_agent):
    """With a mapping that holds a pattern, and a file that has no name any more: client.check()."""
    return equip(instance, make_agent())


def wait_gone(pids, names=ALL):
    for name in names:
        assert wait_until(lambda pid=pids[name]: is_gone(pid), 30), f'the {name} goes on'


# -- nobody notices

@pytest.mark.limit(180)
def test_nobody_notices(mounted, workdir, make_agent):
    """Under load, three times in a row; then it is a supervisor like any other."""
    client = equip(mounted, make_agent(user=mounted.user))
    with names_in_use(mounted, workdir):
        for _ in range(3):
            before = die(mounted)
            client.check()
            take_over(mounted, before)
            client.check_open()
    client.check()
    worker = mounted.pids()['worker']
    mounted.kill('worker')
    mounted.wait_new('worker', worker)
    client.check_open()
    done = as_user(mounted, 'guestmemfs', 'upgrade', mounted.mount, timeout=100)
    assert done.returncode == 0, done.stderr
    client.check()
    client.check_open()
    assert_idle(mounted.status()['pids'])
    pids = mounted.status()['pids']
    assert mounted.stop() == 0
    wait_gone(pids)
    assert assert_clean(mounted)['records'] == 0
    assert not os.path.exists(mounted.runtime_directory)


def test_what_is_told_without_one(instance, client):
    die(instance)
    advice = 'start guestmemfs-fuse again with the same arguments'
    assert advice in must(instance, 'guestmemfs', 'status', instance.mount).lower()
    done = as_user(instance, 'guestmemfs', 'upgrade', instance.mount)
    assert done.returncode == 1 and advice in done.stderr
    assert f'pool mounted at {instance.mount}: its supervisor has died' in as_user(instance, 'guestmemfs', 'doctor').stdout
    assert advice in instance.log().lower()
    client.check()


@pytest.mark.parametrize('alone', [True, False], ids=['alone', 'taken-over'])
def test_memory_comes_back(instance, client, alone):
    """Nobody takes worker, keeper or the new supervisor, who have the region open, for holders."""
    before = die(instance)
    if not alone:
        take_over(instance, before)
    client.kill()
    assert wait_until(lambda: as_user(instance, 'truncate', '-s', 0, instance.path('vm0')).returncode == 0, 30)
    if alone:
        take_over(instance, before)


def test_daemon_takes_over(instance, client):
    """Without -f: the command returns when the mount is its."""
    before = die(instance)
    done = as_user(instance, 'guestmemfs-fuse', '--name', instance.name, '--region', f'file:{instance.region}',
                   instance.mount, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
    pids = instance.wait_status(lambda s: s['pids']['supervisor'] not in (0, before['supervisor']))['pids']
    assert pids == {**before, 'supervisor': pids['supervisor']}
    client.check()
    os.kill(pids['supervisor'], signal.SIGTERM)
    wait_gone(pids)


def test_service_manager_is_told(make_instance, workdir, monkeypatch):
    """When the mount serves, and when the next supervisor has it; by the supervisor alone."""
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.settimeout(20)
    manager.bind(f'{workdir}/notify')
    os.chmod(f'{workdir}/notify', 0o666)
    monkeypatch.setenv('NOTIFY_SOCKET', f'{workdir}/notify')
    instance = make_instance().start()
    told = f'READY=1\nSTATUS={instance.name} is mounted'
    assert manager.recv(256).decode() == told
    before = die(instance)
    for name in ('worker', 'helper', 'keeper'):
        with open(f'/proc/{before[name]}/environ', 'rb') as words:
            assert b'NOTIFY_SOCKET' not in words.read(), name
    take_over(instance, before)
    assert manager.recv(256).decode() == told
    manager.close()
    assert instance.stop() == 0


def test_descriptors_do_not_leak(instance, client):
    def descriptors():
        pids = instance.status()['pids']
        return settled(lambda: {name: open_files(pids[name]) for name in ALL})

    take_over(instance, die(instance))
    first = descriptors()
    for _ in range(4):
        take_over(instance, die(instance))
    assert wait_until(lambda: descriptors() == first, 20), f'{descriptors()}, not {first}'
    client.check()


# -- others die before the next one comes

class Caller:
    """A call that is not answered until somebody serves."""

    def __init__(self, path):
        self.error = None
        self._thread = threading.Thread(target=self._run, args=(path,), daemon=True)
        self._thread.start()

    def _run(self, path):
        try:
            os.mkdir(path)
        except OSError as e:
            self.error = e

    def wait(self, seconds):
        self._thread.join(seconds)
        assert not self._thread.is_alive(), 'its call has not come back'
        return self.error


@pytest.mark.parametrize('which', [('worker',), ('worker', 'helper')], ids='-'.join)
def test_worker_dies_too(instance, client, which):
    """Its callers wait for the next start, which is soon."""
    before = die(instance)
    instance.kill(*which)
    caller = Caller(instance.path('d'))
    take_over(instance, before, *which)
    assert caller.wait(30) is None
    client.check()
    assert wait_until(lambda: not raises(client.check_open), 20)
    assert instance.stop() == 0
    assert_clean(instance)


def raises(function):
    try:
        function()
        return False
    except AgentError:
        return True


def test_all_three_die(instance, client):
    """At once: the keeper is enough."""
    before = instance.status()['pids']
    caller_path = instance.path('d')
    for name in ('supervisor', 'worker', 'helper'):
        os.kill(before[name], signal.SIGKILL)
    instance.process.wait(20)
    caller = Caller(caller_path)
    take_over(instance, before, 'worker', 'helper')
    assert caller.wait(30) is None
    client.check()


def test_helper_dies_too(instance, client):
    """Names go on, and who asks for memory is served by the next one's helper."""
    before = die(instance)
    instance.kill('helper')
    must(instance, 'mkdir', instance.path('d'))
    must(instance, 'truncate', '-s', BLOCK, instance.path('new'))
    instance.wait_status(lambda s: s['pids'] == {**before, 'supervisor': 0, 'helper': 0})
    take_over(instance, before, 'helper')
    grant_when_ready(client, instance.path('new'))
    client.check()


def test_as_many_regions_as_there_may_be(make_instance, make_agent):
    """All of them are kept, and each process finds its own at the numbers that are meant for them."""
    instance = make_instance()
    for number in range(1, REGIONS_MAX):
        instance.options += ['--region', f'file:{instance.region}{number},size=16M']
    client = equip(instance.start(), make_agent())
    before = die(instance)
    instance.kill('worker', 'helper')
    take_over(instance, before, 'worker', 'helper')
    assert wait_until(lambda: not raises(client.check_open), 20)
    client.check()
    assert instance.stop() == 0


def test_nobody_comes(instance, client):
    """After ten seconds without supervisor and worker the connection is closed; what is held is found by the next start."""
    before, names = die(instance), tree(instance)
    instance.kill('worker')
    caller = Caller(instance.path('d'))
    error = caller.wait(40)
    assert error is not None and instance.is_mounted()
    wait_gone(before)
    instance.start()
    assert 'taken over' not in instance.log(instance.log_start)
    assert tree(instance) == names
    client.check()


END_IT = {
    'umount': lambda instance, pids: subprocess.run(['umount', '-l', instance.mount], check=True, timeout=20),
    'sigterm': lambda instance, pids: os.kill(pids['worker'], signal.SIGTERM),
}


@pytest.mark.parametrize('way', END_IT)
def test_end_without_one(instance, client, way):
    """In good order, and at once."""
    before, names = die(instance), tree(instance)
    os.kill(before['keeper'], signal.SIGTERM)  # nothing to it
    client.close_all()
    begin = time.monotonic()
    END_IT[way](instance, before)
    wait_gone(before)
    assert time.monotonic() - begin < 9, 'somebody has waited for a supervisor'
    assert not instance.is_mounted()
    assert wait_until(lambda: not os.path.exists(instance.runtime_directory), 20), 'the runtime directory is left behind'
    assert assert_clean(instance)['records'] == 0
    instance.start()
    assert tree(instance) == names
    client.check()


@pytest.mark.parametrize('way', END_IT)
def test_end_after_it_was_taken_over(instance, client, way):
    """Its worker is not its child: it says itself that it ends in order."""
    before = die(instance)
    take_over(instance, before)
    client.close_all()
    pids = instance.status()['pids']
    END_IT[way](instance, pids)
    assert instance.process.wait(30) == 0
    wait_gone(pids)
    assert not instance.is_mounted() and f'{instance.mount} was unmounted' in instance.log()
    assert assert_clean(instance)['records'] == 0


@pytest.mark.parametrize('after', [False, True], ids=['worker-has-ended', 'worker-runs'])
def test_death_in_an_upgrade(instance, client, kill_at, after):
    """Between the old worker and the new one, who ask wait for the next start."""
    before = instance.status()['pids']
    trap = kill_at(before['supervisor'], 'child_start_worker', after=after)
    assert as_user(instance, 'guestmemfs', 'upgrade', instance.mount, timeout=100).returncode == 1
    trap.wait()
    instance.process.wait(20)
    caller = Caller(instance.path('d'))
    take_over(instance, before, 'worker')
    assert caller.wait(30) is None
    client.check()
    client.check_open()


def test_death_before_a_helper_is_replaced(instance, client, kill_at):
    """It had heard that the worker has no link to the helper any more; nobody else has, and the helper lives."""
    before = instance.status()['pids']
    supervisor = kill_at(before['supervisor'], 'process_kill')
    worker = kill_at(before['worker'], 'grants_serve',
                     then=['break packet_receive', 'continue', f'return (ssize_t)-{errno.EPROTO}', 'detach'])
    with contextlib.suppress(AgentError):
        client.check_open()   # of which the helper tells the worker
    worker.wait()
    supervisor.wait()
    instance.process.wait(20)
    assert instance.wait_status(lambda s: s['pids']['supervisor'] == 0)['pids']['helper'] == 0
    assert not is_gone(before['helper'])
    take_over(instance, before, 'helper')
    client.check()
    assert wait_until(lambda: not raises(client.check_open), 20)


# -- what the next one must be

def test_keeper_that_was_replaced_has_all(instance, client):
    before = instance.status()['pids']
    instance.kill('keeper')
    instance.wait_status(lambda s: s['pids']['keeper'] not in (0, before['keeper']))
    take_over(instance, die(instance))
    client.check()
    client.check_open()


WRONG = {
    'option': (('--scrub-rate', '1G'), '--scrub-rate=1073741824'),
    'mount-option': (('-o', 'ro'), 'this start has -o ro'),
    'region': (('--region', 'file:/dev/shm/no-such-region'), '--region=file:/dev/shm/no-such-region'),
    'socket': (('--socket', '/tmp/gm-other.sock'), '--socket=/tmp/gm-other.sock'),
    'format': (('--format=force',), '--format=force would destroy what it serves'),
}


@pytest.mark.parametrize('what', WRONG)
def test_other_arguments_are_refused(instance, client, what):
    """They get a sentence, and nothing is changed."""
    options, sentence = WRONG[what]
    before, names = die(instance), tree(instance)
    text = refused(instance, *options)
    assert f'an instance named {instance.name} runs without a supervisor' in text and sentence in text
    assert instance.status()['pids'] == {**before, 'supervisor': 0}
    assert tree(instance) == names
    client.check()
    take_over(instance, before)


def test_other_mount_point_is_refused(instance, client, make_instance):
    other = make_instance()
    name, other.name, other.region = other.name, instance.name, instance.region
    before = die(instance)
    text = refused(other)
    other.name = name
    assert f'was started with the mount point {instance.mount}, this start has the mount point {other.mount}' in text
    assert not other.is_mounted() and instance.status()['pids'] == {**before, 'supervisor': 0}
    client.check()
    take_over(instance, before)


def test_other_file_in_place_of_the_region_is_refused(instance, client):
    before = die(instance)
    os.rename(instance.region, f'{instance.region}-moved')
    with open(instance.region, 'wb') as other:
        other.truncate(64 << 20)
    assert 'is not the file that it uses any more' in refused(instance)
    os.rename(f'{instance.region}-moved', instance.region)
    client.check()
    take_over(instance, before)


def test_other_pid_namespace_is_refused(instance, client):
    """There the numbers that worker, helper and keeper are known by are others' processes."""
    before = die(instance)
    argv = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc', instance.tools.path('guestmemfs-fuse'), '-f',
            '--name', instance.name, '--region', f'file:{instance.region}', instance.mount]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and 'is in another pid namespace' in done.stderr, done.stderr
    instance.wait_status(lambda s: s['pids'] == {**before, 'supervisor': 0})
    client.check()
    take_over(instance, before)


def connections(path):
    """How many the socket has, accepted or not."""
    with open('/proc/net/unix', encoding='utf-8') as table:
        return sum(line.split()[-1] == path for line in table) - 1


def test_two_at_once(instance, client, make_instance):
    """One of them has it; the other one is told (or, if it has asked late, that the region is locked)."""
    second = make_instance()
    for name in ('name', 'region', 'mount', 'log_path'):
        setattr(second, name, getattr(instance, name))
    before, both = die(instance), [instance, second]
    os.kill(before['keeper'], signal.SIGSTOP)  # until both have asked
    for one in both:
        one.launch()
    assert wait_until(lambda: connections(keeper_socket(instance)) >= 2, 20)
    os.kill(before['keeper'], signal.SIGCONT)
    assert wait_until(lambda: any(one.ended() for one in both), 50)
    loser = both[0] if both[0].ended() else both[1]
    winner = both[1] if loser is both[0] else both[0]
    assert loser.process.returncode == 1 and not winner.ended()
    log = instance.log(min(one.log_start for one in both))
    assert f'process {winner.process.pid} has just taken over the instance' in log or 'is in use by another' in log, log
    assert instance.status()['pids'] == {**before, 'supervisor': winner.process.pid}
    client.check()
    instance.process = winner.process


def test_keeper_that_is_stopped(instance, client):
    """A start waits for it, and says which process that is and what to do."""
    before = die(instance)
    os.kill(before['keeper'], signal.SIGSTOP)
    instance.launch()
    advice = f'(process {before["keeper"]}), which does not answer: if it is stopped, kill -CONT {before["keeper"]}'
    assert wait_until(lambda: advice in instance.log(instance.log_start), 20), instance.log()
    os.kill(before['keeper'], signal.SIGCONT)
    assert wait_until(lambda: instance.has_announced() and instance.is_serving(), 30), instance.log()
    assert instance.status()['pids'] == {**before, 'supervisor': instance.process.pid}
    client.check()


def detach(instance):
    """As umount -l, which would ask a worker that is stopped."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.umount2(instance.mount.encode(), MNT_DETACH) == 0, os.strerror(ctypes.get_errno())


def has_region(pid, region):
    return any(os.path.realpath(f'/proc/{pid}/fd/{fd}') == region for fd in os.listdir(f'/proc/{pid}/fd'))


def test_what_ends_is_not_taken_over(instance, client):
    """A start that comes before the last one has quite ended waits for that, and then mounts."""
    before, names = die(instance), tree(instance)
    client.close_all()
    os.kill(before['worker'], signal.SIGSTOP)
    detach(instance)
    instance.launch()
    pid = instance.process.pid
    assert wait_until(lambda: has_region(pid, instance.region), 30)
    os.kill(before['worker'], signal.SIGCONT)
    assert wait_until(lambda: instance.ended() or (instance.is_serving() and instance.has_announced()), 40)
    wait_gone(before)
    assert instance.is_mounted() and 'taken over' not in instance.log(instance.log_start)
    assert tree(instance) == names
    client.check()


def test_what_is_detached_is_not_taken_over(instance, client):
    """It lives on as long as something in it is open, but nobody would find it at the mount point."""
    before, names = die(instance), tree(instance)
    must(instance, 'umount', '-l', instance.mount)
    assert 'is in use by another' in refused(instance)
    client.check_open()
    client.close_all()
    wait_gone(before)
    instance.start()
    assert tree(instance) == names
    client.check()


# -- it dies as it takes over

POINTS = {
    'has-it-all': ('instance_record_adopt', 1),
    'watches': ('supervisor_watch', 5),
    'announces': ('keeping_keep_all', 1),
}


@pytest.mark.parametrize('point', POINTS)
def test_killed_as_it_takes_over(instance, client, kill_at, point):
    """Worker and helper have not noticed, and the next one takes over."""
    function, count = POINTS[point]
    before = die(instance)
    os.kill(before['keeper'], signal.SIGSTOP)  # so that there is time for the trap
    instance.launch()
    pid = instance.process.pid
    assert wait_until(lambda: os.path.basename(os.readlink(f'/proc/{pid}/exe')) == 'guestmemfs-fuse', 20)
    trap = kill_at(pid, function, count=count)
    os.kill(before['keeper'], signal.SIGCONT)
    trap.wait()
    instance.process.wait(20)
    instance.wait_status(lambda s: s['pids'] == {**before, 'supervisor': 0})
    client.check()
    take_over(instance, before)
    client.check_open()


# -- a child loses it

@pytest.mark.parametrize('which', ['worker', 'helper'])
def test_one_that_hears_nothing_any_more_is_replaced(instance, client, which):
    """It has closed its link to the supervisor, and goes on."""
    before = instance.status()['pids']
    assert system_call_in(before[which], 'close', 3) == 0
    instance.wait_new(which, before[which])
    assert f'the {which} has closed its link to the supervisor, and goes on: it is killed' in instance.log()
    assert {**instance.status()['pids'], which: 0} == {**before, which: 0}
    client.check()
    assert wait_until(lambda: not raises(client.check_open), 20)
