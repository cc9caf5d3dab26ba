# SPDX-License-Identifier: MIT
"""
An upgrade replaces the keeper too, and at no moment the supervisor's death is the end of the mount: of two keepers one
is in charge, and that one has all. What the supervisor itself runs is told.
"""

import os
import signal
import socket
import struct
import sys

import pytest

from evidence import assert_clean, make_region, open_files, settled
from processes import is_gone, wait_until
from taking_over import die, equip, take_over
from upgrading import refused, start_own, upgraded

# It is the worker that is installed, and another keeper, by what it is told on its command line.
AS_KEEPER = f'''#!{sys.executable}
import os, signal, socket, struct, sys
if len(sys.argv) > 1:
    os.execv("GOOD", ['guestmemfs-worker' if sys.argv[1] == '--name' else 'guestmemfs-fuse', *sys.argv[1:]])
link = socket.socket(fileno=3)
'''


@pytest.fixture
def instance(make_instance):
    return make_region(make_instance()).start()


@pytest.fixture
def client(instance, make_agent):
    return equip(instance, make_agent())


@pytest.fixture
def own(make_instance, workdir):
    """An instance whose guestmemfs-fuse the test may replace."""
    return start_own(make_instance(), workdir)


def begin(instance):
    """Asks for an upgrade as systemctl reload does: nobody waits for the answer."""
    instance.process.send_signal(signal.SIGHUP)


def keepers():
    """The processes of that name."""
    found = set()
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/cmdline', 'rb') as words:
                if words.read() == b'guestmemfs-keeper\0':
                    found.add(int(pid))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def sockets_of(instance):
    """As links of /proc/PID/fd lead to the keeper's."""
    with open('/proc/net/unix', encoding='utf-8') as table:
        path = os.path.join(instance.runtime_directory, 'keeper.sock')
        return {f'socket:[{line.split()[6]}]' for line in table if line.split()[-1] == path}


def keepers_of(instance):
    """Those that have its socket."""
    return {pid for pid in keepers() if sockets_of(instance) & links_of(pid)}


def has_script(instance):
    """One that AS_KEEPER is has been started."""
    pid = instance.process.pid
    with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as pids:
        return any(sockets_of(instance) & links_of(pid) and
                   os.path.realpath(f'/proc/{pid}/exe') == os.path.realpath(sys.executable) for pid in pids.read().split())


def links_of(pid):
    try:
        return {os.readlink(f'/proc/{pid}/fd/{fd}') for fd in os.listdir(f'/proc/{pid}/fd')}
    except FileNotFoundError:
        return set()


def test_the_next_keeper_has_all(instance, client):
    """Who died is replaced by the supervisor that takes over from the new keeper."""
    before = instance.status()['pids']
    upgraded(instance)
    pids = instance.status()['pids']
    assert pids['supervisor'] == before['supervisor'] and pids['keeper'] not in (0, before['keeper'])
    assert is_gone(before['keeper']) and keepers_of(instance) == {pids['keeper']}
    take_over(instance, die(instance))
    client.check()
    client.check_open()
    upgraded(instance)   # of one that is not the supervisor's child
    take_over(instance, die(instance))
    client.check()
    client.check_open()
    assert instance.stop() == 0
    assert_clean(instance)


def peer(instance):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(os.path.join(instance.runtime_directory, 'keeper.sock'))
        return struct.unpack('iII', s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


def wait_for_the_first(instance):
    """Which a start does not do."""
    keeper = instance.status()['pids']['keeper']
    assert wait_until(lambda: peer(instance) == keeper, 20)


def test_who_connects_is_told_which_process_it_is(instance):
    """So that a start can name a keeper that does not answer."""
    wait_for_the_first(instance)
    upgraded(instance)
    assert peer(instance) == instance.status()['pids']['keeper']


def test_descriptors_do_not_leak(instance):
    def descriptors():
        pids = instance.status()['pids']
        return settled(lambda: {name: open_files(pids[name]) for name in ('supervisor', 'keeper')})

    upgraded(instance)
    first = descriptors()
    for _ in range(2):
        upgraded(instance)
    assert wait_until(lambda: descriptors() == first, 20), f'{descriptors()}, not {first}'


# -- the supervisor dies

# What it reaches, and whether the old keeper goes on then.
POINTS = {
    'the-next-one-has-all': ('upgrade_take_keeper_ready', True),
    'the-old-one-has-ended': ('upgrade_take_keeper', False),
}


@pytest.mark.parametrize('point', POINTS)
def test_death_of_the_supervisor(instance, client, kill_at, point):
    """There is one keeper then, and it has all."""
    function, old = POINTS[point]
    wait_for_the_first(instance)
    before = instance.status()['pids']
    trap = kill_at(before['supervisor'], function)
    begin(instance)
    trap.wait()
    instance.process.wait(20)
    alone(instance, client, before, old)


def alone(instance, client, before, old):
    """It has no supervisor, and is served by the old keeper, or by the new one. Then somebody takes over."""
    pids = instance.wait_status(lambda s: s['pids']['supervisor'] == 0 and (s['pids']['keeper'] == before['keeper']) == old)['pids']
    assert wait_until(lambda: keepers_of(instance) == {pids['keeper']}, 20)
    client.check()
    take_over(instance, pids)
    client.check()
    client.check_open()


def test_death_between_the_two(instance, client, kill_at):
    """The old one was told to yield, and has not heard it yet: it is the next one's turn when it does."""
    before = instance.status()['pids']
    os.kill(before['keeper'], signal.SIGSTOP)
    trap = kill_at(before['supervisor'], 'upgrade_take_keeper_ready', then=['break packet_send', 'continue', 'finish', 'kill'])
    begin(instance)
    trap.wait()
    instance.process.wait(20)
    assert len(keepers_of(instance)) == 2
    os.kill(before['keeper'], signal.SIGCONT)
    alone(instance, client, before, old=False)


def test_one_that_is_stopped_is_killed(instance, client):
    """It has nothing that the next one has not."""
    before = instance.status()['pids']
    os.kill(before['keeper'], signal.SIGSTOP)
    upgraded(instance)
    assert 'upgrade: the keeper does not end: it is killed' in instance.log()
    assert is_gone(before['keeper'])
    take_over(instance, die(instance))
    client.check()


def test_both_are_stopped(instance, client, hold_at):
    """The next one, which was ready, does not hear that the old one is gone: another one is started, and has all."""
    before = instance.status()['pids']
    trap = hold_at(before['supervisor'], 'upgrade_take_keeper_ready')
    begin(instance)
    trap.wait()
    both = keepers_of(instance)
    assert len(both) == 2
    for pid in both:
        os.kill(pid, signal.SIGSTOP)
    trap.release()
    assert wait_until(lambda: 'the new keeper did not come to serve: it did not take over from the old one within' in instance.log(), 60)
    pids = instance.wait_status(lambda s: s['pids']['keeper'] not in (0, *both))['pids']
    assert wait_until(lambda: keepers_of(instance) == {pids['keeper']}, 20)
    client.check()
    take_over(instance, die(instance))
    client.check_open()


def test_death_of_the_next_one(instance, client, hold_at):
    """It was ready, and dies before it is its turn: another one is started, and has all."""
    before = instance.status()['pids']
    trap = hold_at(before['supervisor'], 'upgrade_take_keeper_ready')
    begin(instance)
    trap.wait()
    for pid in keepers_of(instance) - {before['keeper']}:
        os.kill(pid, signal.SIGKILL)
    trap.release()
    pids = instance.wait_status(lambda s: s['pids']['keeper'] not in (0, before['keeper']))['pids']
    assert wait_until(lambda: keepers_of(instance) == {pids['keeper']}, 20)
    assert 'the new keeper did not come to serve: the keeper was ended by signal 9' in instance.log()
    upgraded(instance)
    take_over(instance, die(instance))
    client.check()
    client.check_open()


# -- programs that do not come to serve

KEEPERS = {
    'ends': ('os._exit(1)', 'the keeper ended with exit code 1'),
    'another-protocol': ("link.send(struct.pack('<IHHQ', 16, 8, 0, 99)); signal.pause()",
                         'the keeper does not speak this version of the protocol'),
    'closes-its-link': ('link.close(); signal.pause()', 'the keeper was ended by signal 9'),
}


@pytest.mark.parametrize('what', KEEPERS)
def test_one_that_does_not_serve(own, make_agent, what):
    """The old one goes on, and has all."""
    text, sentence = KEEPERS[what]
    client = equip(own, make_agent())
    before = own.status()['pids']
    own.tools.install(AS_KEEPER.replace('GOOD', own.tools.good) + text + '\n')
    refused(own, 'worker and helper are replaced', 'the new keeper did not come to serve', sentence)
    pids = own.status()['pids']
    assert pids['keeper'] == before['keeper'] and pids['worker'] != before['worker'] and keepers_of(own) == {pids['keeper']}
    own.tools.install_good()
    take_over(own, die(own))
    client.check()
    upgraded(own)
    client.check_open()


def test_death_of_the_old_one_meanwhile(own, make_agent):
    """It is told that it was the old one; and another one is started."""
    client = equip(own, make_agent())
    before = own.status()['pids']
    own.tools.install(AS_KEEPER.replace('GOOD', own.tools.good) + 'signal.pause()\n')
    begin(own)
    assert wait_until(lambda: has_script(own), 60), own.log()
    os.kill(before['keeper'], signal.SIGKILL)
    assert wait_until(lambda: 'before the new keeper was ready the one from before was gone (the keeper was ended by signal 9'
                      in own.log(), 30), own.log()
    pids = own.wait_status(lambda s: s['pids']['keeper'] not in (0, before['keeper']))['pids']
    assert wait_until(lambda: keepers_of(own) == {pids['keeper']} and not has_script(own), 20)
    own.tools.install_good()
    take_over(own, die(own))
    client.check()


# -- the supervisor's own program

def test_its_own_program_is_told(own):
    """It goes on with what it was started with; the next one runs what is installed."""
    assert upgraded(own)['supervisor'] == {'pid': own.process.pid, 'outdated': False}
    own.tools.install_good()   # another file
    assert upgraded(own)['supervisor'] == {'pid': own.process.pid, 'outdated': True}
    text = own.tools.run('guestmemfs', 'upgrade', own.mount, timeout=100).stdout
    assert f'kill -9 {own.process.pid}, then guestmemfs-fuse again with the same arguments' in text
    assert 'which is not what is installed now' in own.log()
    take_over(own, die(own))
    assert upgraded(own)['supervisor']['outdated'] is False
