# SPDX-License-Identifier: MIT
"""
guestmemfs upgrade, and SIGHUP: worker, helper and keeper are replaced by the programs that are installed now, and nobody's call
fails. A program that does not come to serve gives its place back to the one from before.
"""

import os
import re
import signal
import subprocess
import sys
import threading

import pytest

from evidence import BLOCK, assert_clean, daemons_of, held_file
from harness import OTHER, PLAIN
from persona import as_user, make_file
from processes import is_gone, wait_until
from steady import SteadyClient, names_in_use
from upgrading import AS_WORKER, refused, start_own, upgraded

SEED = 23
UNFIT_WORKER = f'''#!{sys.executable}
import os, signal, socket, struct, sys
if sys.argv[1] == '--version':
    sys.exit(0)
link = socket.socket(fileno=3)
os.kill(os.getppid(), signal.SIGSTOP)
for n in range(50):
    link.send(struct.pack('<IHHQII1024s', 1048, 110, 0, 0, 6, 0, b'line %d.' % n))  # LINK_LOG
link.send(struct.pack('<IHHQ', 16, 112, 0, 0))  # LINK_UNFIT
link.send(struct.pack('<IHHQII1024s', 1048, 106, 0, 0, 71, 0, b'these are its last words'))  # LINK_FAILED
os._exit(1)
'''
@pytest.fixture
def own(make_instance, workdir):
    """An instance whose guestmemfs-fuse the test may replace."""
    return start_own(make_instance(), workdir)


# -- nobody notices

@pytest.mark.limit(180)
def test_under_load(mounted, workdir, figure):
    """Names and contents change and files are attached all the time; three upgrades, and no call fails."""
    as_user(mounted.user, make_file, mounted.path('steady'), BLOCK)
    socket = as_user(mounted.user, lambda path: os.getxattr(path, 'user.guestmemfs.socket').decode(), mounted.mount)
    outages = []
    with names_in_use(mounted, workdir):
        steady = SteadyClient(mounted.path('steady'), socket, tries=3) if mounted.user.uid == 0 else None
        for _ in range(3):
            answer = upgraded(mounted)
            outages.append((answer['worker']['outage_ms'], answer['helper']['outage_ms']))
    figure(f'outages of worker and helper, in ms: {outages}')
    if steady:
        count = len(steady.seconds)
        assert wait_until(lambda: len(steady.seconds) > count, 30), 'the client is served no more'
        steady.stop()
        assert not steady.failures
    assert 'serves again' in mounted.log() and 'is made anew' not in mounted.log()
    assert mounted.stop() == 0
    assert_clean(mounted)


def test_what_is_open_and_held_stays(instance, make_agent):
    agent = make_agent()
    mapping = held_file(instance, agent, 'vm0', 2, SEED)
    gone = os.open(instance.path('gone'), os.O_CREAT | os.O_RDWR)
    os.unlink(instance.path('gone'))
    device = os.stat(instance.mount).st_dev
    for _ in range(2):
        upgraded(instance)
        agent('check', mapping, SEED)
        with pytest.raises(OSError, match='busy'):
            os.truncate(instance.path('vm0'), 0)
        assert os.fstat(gone).st_nlink == 0 and os.stat(instance.mount).st_dev == device
    os.close(gone)
    grants = instance.wait_status(lambda s: s['grants_complete'])['grants']
    assert [os.path.basename(g['path']) for g in grants] == ['vm0']


def test_from_one_version_to_another_and_back(own):
    """Each goes on with what the other has left; who dies is replaced by what it ran, whatever is installed by then."""
    def version_of_worker():
        return own.tools.version_of(f"/proc/{own.pids()['worker']}/exe")

    gone = os.open(own.path('gone'), os.O_CREAT | os.O_RDWR)
    os.unlink(own.path('gone'))
    device, another = os.stat(own.mount).st_dev, re.sub('[0-9]', '9', own.tools.version)
    versions = another, own.tools.version
    for version, other in zip(versions, reversed(versions)):
        own.tools.install_version(version)
        upgraded(own)
        assert version_of_worker() == version
        os.ftruncate(gone, BLOCK if version == another else 0)
        own.tools.install_version(other)
        own.kill('worker')
        own.wait_status(lambda s: s['pids']['worker'] != 0)
        assert version_of_worker() == version
        assert os.fstat(gone).st_nlink == 0 and os.stat(own.mount).st_dev == device
    os.close(gone)
    assert 'is made anew' not in own.log()


def test_sighup(mounted):
    """What systemctl reload sends."""
    before = daemons_of(mounted.process.pid)
    mounted.process.send_signal(signal.SIGHUP)
    assert wait_until(lambda: 'upgraded: the worker is process' in mounted.log(), 60), mounted.log()
    assert not set(before.values()) & set(daemons_of(mounted.process.pid).values())
    as_user(mounted.user, make_file, mounted.path('new'), BLOCK)


def test_frozen_stays_frozen(instance):
    assert instance.tools.run('guestmemfs', 'freeze', instance.mount).returncode == 0
    upgraded(instance)
    assert instance.status()['frozen']
    with pytest.raises(OSError, match='busy'):
        os.mkdir(instance.path('d'))
    assert instance.tools.run('guestmemfs', 'thaw', instance.mount).returncode == 0
    os.mkdir(instance.path('d'))


# -- who may

def test_strangers_may_not(make_instance):
    instance = make_instance().start()
    pids = instance.pids()
    for stranger in (PLAIN, OTHER):
        refused(instance, 'that is for root and the user who runs the mount', user=stranger)
    assert instance.pids() == pids


# -- programs that do not come to serve

def state_of(pid):
    with open(f'/proc/{pid}/stat', encoding='utf-8') as stat:
        return stat.read().rpartition(') ')[2][0]


def children_of(pid):
    with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as pids:
        return pids.read().split()


def test_one_that_can_not_be_run(own):
    pids = own.pids()
    for text in ('#!/bin/sh\nexit 1\n', '#!/none/such\n', 'no program\n', ''):
        own.tools.install(text)
        refused(own, 'nothing is changed')
    os.unlink(own.tools.fuse)
    refused(own, 'nothing is changed', 'No such file or directory')
    assert own.pids() == pids
    own.tools.install_good()
    upgraded(own)


def test_one_that_hangs_is_bounded_and_one_upgrade_at_a_time(own):
    pids = own.pids()
    own.tools.install('#!/bin/sh\nexec sleep 1000\n')
    argv = [own.tools.path('guestmemfs'), 'upgrade', own.mount]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as first:
        assert wait_until(lambda: 'upgrade (pid ' in own.log(), 20)
        refused(own, 'an upgrade is under way already')
        os.mkdir(own.path('meanwhile'))
        assert first.wait(60) == 1
        assert 'nothing is changed' in first.stderr.read()
    assert own.pids() == pids


def test_a_worker_that_ends_at_once(own):
    fd = os.open(own.path('file'), os.O_CREAT | os.O_RDWR)
    before = own.pids()
    own.tools.install(AS_WORKER + 'exit 1\n')
    for _ in range(6):  # more often than a worker may die by itself
        refused(own, 'the new worker did not come to serve: the worker ended with exit code 1', 'nothing is lost')
        os.ftruncate(fd, BLOCK)
        os.ftruncate(fd, 0)
    after = own.pids()
    assert after['worker'] != before['worker'] and after['helper'] == before['helper']
    own.tools.install_good()
    upgraded(own)
    os.ftruncate(fd, BLOCK)
    os.close(fd)
    assert own.stop() == 0
    assert_clean(own)


@pytest.mark.limit(150)
def test_a_worker_that_hangs(own):
    """Who asks meanwhile waits, and gets the answer from the program of before."""
    own.tools.install(AS_WORKER + 'exec sleep 1000\n')
    worker, made = own.pids()['worker'], []

    def make():
        assert wait_until(lambda: is_gone(worker), 60)
        os.mkdir(own.path('d'))
        made.append(True)

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    refused(own, 'the new worker did not come to serve: it did not serve within')
    thread.join(60)
    assert made == [True] and os.path.isdir(own.path('d')), own.log()


def test_nor_does_the_one_from_before_whose_helper_was_stopped(own):
    """The upgrade ends all the same, and so does each that is asked for meanwhile; then all is as ever."""
    before = own.pids()
    own.tools.install(AS_WORKER + 'exit 1\n')
    os.kill(before['helper'], signal.SIGSTOP)
    refused(own, 'the worker ended with exit code 1; the one from before is started again, and waits for something too')
    os.mkdir(own.path('d'))
    own.tools.install_good()
    refused(own, 'worker or helper is just being started: try again')
    os.kill(before['helper'], signal.SIGCONT)
    assert wait_until(lambda: 'the worker serves again' in own.log(), 30), own.log()
    upgraded(own)


def test_a_worker_that_says_it_is_unfit(own):
    """The connection stays with the program that can serve it; and nothing of what a dead one has said is lost."""
    fd = os.open(own.path('file'), os.O_CREAT | os.O_RDWR)
    device, start = os.stat(own.mount).st_dev, len(own.log())
    own.tools.install(UNFIT_WORKER)
    with subprocess.Popen([own.tools.path('guestmemfs'), 'upgrade', own.mount], stderr=subprocess.PIPE,
                          text=True) as command:
        # It has stopped the supervisor, so that all of its words are there at once, with its end.
        assert wait_until(lambda: state_of(own.process.pid) == 'T', 30)
        assert wait_until(lambda: 'Z' in map(state_of, children_of(own.process.pid)), 30)
        own.process.send_signal(signal.SIGCONT)
        assert command.wait(60) == 1
        assert 'the new worker did not come to serve' in command.stderr.read()
    said = own.log(start)
    assert [n for n in range(50) if f'line {n}.' not in said] == [] and 'these are its last words' in said
    assert 'is made anew' not in said and os.stat(own.mount).st_dev == device
    os.ftruncate(fd, BLOCK)
    os.close(fd)
    assert own.stop() == 0
    assert_clean(own)


def test_a_helper_that_ends_at_once(tools, workdir):
    """Its path is that of the installation: only the supervisor's own view of it is changed."""
    helper = os.path.join(tools.prefix, 'libexec', 'guestmemfs-helper')
    broken, log_path, mount = (os.path.join(workdir, name) for name in ('broken', 'log', 'mnt'))
    os.mkdir(mount)
    with open(broken, 'w', encoding='ascii') as script:
        script.write(AS_WORKER + 'exit 1\n')
    os.chmod(broken, 0o755)
    argv = ['unshare', '--mount', '--propagation', 'private', tools.path('guestmemfs-fuse'), '-f', '--name',
            f'view{os.getpid()}', '--region', f'file:{workdir}/region,size=64M', mount]
    with open(log_path, 'w', encoding='ascii') as log, \
            subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as supervisor:
        def said(words):
            with open(log_path, encoding='utf-8') as text:
                return words in text.read()

        try:
            assert wait_until(lambda: said('is mounted at') or supervisor.poll() is not None, 30)
            seen = f'/proc/{supervisor.pid}/root{mount}'
            assert wait_until(lambda: len(daemons_of(supervisor.pid)) == 3, 20)
            before = daemons_of(supervisor.pid)
            bind = tools.run('nsenter', '-t', supervisor.pid, '-m', 'mount', '--bind', broken, helper)
            assert bind.returncode == 0, bind.stderr
            done = tools.run('guestmemfs', 'upgrade', seen)
            assert done.returncode == 1 and 'the worker is replaced' in done.stderr, done.stderr
            assert 'the new helper did not come to serve: the helper ended with exit code 1' in done.stderr
            after = daemons_of(supervisor.pid)
            assert after.pop('keeper') == before.pop('keeper')
            assert set(after) == {'worker', 'helper'} and not set(before.values()) & set(after.values())
            tools.run('nsenter', '-t', supervisor.pid, '-m', 'umount', helper)
            assert tools.run('guestmemfs', 'upgrade', seen).returncode == 0
        finally:
            supervisor.terminate()
            assert supervisor.wait(30) == 0
