# SPDX-License-Identifier: MIT
"""
Clients that are slow, silent, half dead or hostile, and may have memory: none of them delays a client that keeps to the
rules (steady.py prints its slowest attach), and the limits of one user are his alone.
"""

import contextlib
import errno
import os
import re
import signal
import time
import traceback

import pytest

import steady
import wire
from evidence import must
from harness import User
from persona import as_user, errno_of, make_file
from processes import wait_until

BLOCK = 2 << 20
HOSTILE = User(61000, 61000)  # of the trusted group: what he does he does with grants
TICKETS_PER_USER = 512
CLIENTS_PER_USER = 64


@pytest.fixture
def instance(make_instance):
    return make_instance(size='128M', options=['--trusted-group', str(HOSTILE.gid)]).start()


@pytest.fixture
def helper(instance):
    with steady.watched(instance) as helper_socket:
        yield helper_socket


@pytest.fixture
def theirs(instance):
    """A file that the hostile user may map."""
    path = make_file(instance.path('theirs'), BLOCK)
    os.chown(path, HOSTILE.uid, HOSTILE.gid)
    return path


@contextlib.contextmanager
def processes_of(user, count, function):
    """So many processes in which the user has called function(), which says b'x' to a pipe when it is where it shall stay."""
    ready, say = os.pipe()
    pids = []
    try:
        for _ in range(count):
            pid = os.fork()
            if pid == 0:
                os.close(ready)
                status = 1
                try:
                    signal.signal(signal.SIGALRM, signal.SIG_DFL)
                    signal.alarm(50)
                    os.setgroups([])
                    os.setresgid(user.gid, user.gid, user.gid)
                    os.setresuid(user.uid, user.uid, user.uid)
                    function(say)
                    status = 0
                except BaseException:  # pylint: disable=broad-except
                    os.write(2, traceback.format_exc().encode())
                finally:
                    os._exit(status)
            pids.append(pid)
        os.close(say)
        said = b''
        while len(said) < count:
            more = os.read(ready, count)
            assert more, 'a process has ended before it was where it should be'
            said += more
        yield pids
    finally:
        os.close(ready)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_half_a_sequence_from_many(helper):
    """Each says hello and nothing more: that is allowed, and costs nobody else anything."""
    def half(say):
        clients = [wire.Client(helper).greet() for _ in range(CLIENTS_PER_USER // 8)]
        os.write(say, b'x')
        signal.pause()
        del clients

    with processes_of(HOSTILE, 8, half):
        time.sleep(1)  # what the steady client needs for some rounds


def test_clients_that_are_stopped_in_the_middle(helper, theirs):
    """Stopped with their question under way, their answer unread and their connection open."""
    def stop(say):
        client = wire.Client(helper).greet()
        client.send(wire.attach(wire.ticket_for(theirs)))
        os.write(say, b'x')
        os.kill(os.getpid(), signal.SIGSTOP)

    with processes_of(HOSTILE, 8, stop):
        time.sleep(1)


def test_clients_that_never_read_their_grants(helper, theirs):
    def leave_unread(say):
        clients = [wire.Client(helper).greet() for _ in range(CLIENTS_PER_USER // 8)]
        for client in clients:
            client.send(wire.attach(wire.ticket_for(theirs)))
        for client in clients:  # a second one is a breach, whatever its ticket: no more than one lies unread
            with contextlib.suppress(OSError):
                while True:
                    client.send(wire.attach(bytes(16)))
        os.write(say, b'x')
        signal.pause()

    with processes_of(HOSTILE, 8, leave_unread):
        time.sleep(1)


def test_clients_that_die_with_everything_under_way(helper, theirs):
    def die(_):
        while True:
            with contextlib.suppress(OSError), wire.Client(helper) as client:
                client.send(wire.hello())
                client.send(wire.attach(wire.ticket_for(theirs)))

    def start_and_say(say):
        os.write(say, b'x')
        die(say)

    with processes_of(HOSTILE, 2, start_and_say):
        time.sleep(2)


def test_a_flood_of_messages_is_refused_and_delays_nobody(instance, helper):
    """Two processes as fast as they can; then the user is let in again."""
    def flood(say):
        os.write(say, b'x')
        while True:
            with contextlib.suppress(OSError), wire.Client(helper) as client:
                client.send(wire.hello())
                for _ in range(1000):
                    client.send(wire.attach(bytes(16)))

    with processes_of(HOSTILE, 2, flood):
        time.sleep(3)
    lines = [line for line in instance.log().splitlines() if re.search(r'refusal .*uid=61000 ', line)]
    assert len(lines) <= 40 * 6, 'the flood has flooded the log'

    def let_in():
        with contextlib.suppress(OSError), wire.Client(helper) as client:  # it may hang up before it is asked
            client.send(wire.hello(serial=1))
            answer = client.answer()
            return bool(answer) and answer[0] == wire.WELCOME
        return False

    assert wait_until(lambda: as_user(HOSTILE, let_in), 20)


def test_a_user_who_asks_for_all_tickets_keeps_nobody_out(instance, helper):
    """Tickets of many files: 256 each would be everybody's soon."""
    directory = instance.path('his')
    os.mkdir(directory)
    os.chown(directory, HOSTILE.uid, HOSTILE.gid)

    def take_all():
        fds = [os.open(make_file(os.path.join(directory, str(n))), os.O_RDWR) for n in range(20)]
        taken, started = 0, time.monotonic()
        while errno_of(wire.get_ticket, fds[taken % len(fds)]) == 0:
            taken += 1
        # Those of more than 5 s ago have expired.
        return taken, time.monotonic() - started, errno_of(wire.get_ticket, fds[0])

    taken, seconds, error = as_user(HOSTILE, take_all)
    assert taken >= TICKETS_PER_USER and error == errno.EAGAIN
    assert seconds > 5 or taken == TICKETS_PER_USER
    assert helper  # whose steady client asks for tickets all the while


def test_a_loop_of_refused_truncates_fills_no_log(instance, helper, theirs):
    """The file is held by a process that has the region's descriptor and is no client: the helper looks for it in /proc."""
    def hold(say):
        with wire.Client(helper).greet() as client:
            grant = client.redeem(wire.ticket_for(theirs))[2]
        pid = os.fork()
        if pid == 0:
            os.write(say, b'x')
            signal.pause()  # has the descriptor, and was granted nothing
        del grant
        os._exit(0)

    before = instance.log().count('stays held')
    with processes_of(HOSTILE, 1, hold):
        end = time.monotonic() + 3
        while time.monotonic() < end:
            assert errno_of(os.truncate, theirs, 0) == errno.EBUSY
        assert instance.log().count('stays held') <= before + 3
        for pid in holders_of(instance):
            os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: errno_of(os.truncate, theirs, 0) == 0, 20)


def holders_of(instance):
    """Processes of the hostile user that have the region open."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        with contextlib.suppress(OSError):
            if os.stat(f'/proc/{pid}').st_uid != HOSTILE.uid:
                continue
            links = [os.readlink(f'/proc/{pid}/fd/{fd}') for fd in os.listdir(f'/proc/{pid}/fd')]
            if instance.region in links:
                found.append(int(pid))
    return found


def test_several_clients_share_a_file_to_read_and_to_write(instance, helper, make_agent):
    """Two that write and two that read see the same bytes; who has opened it to read gets nothing to write with."""
    path = make_file(instance.path('shared'), 2 * BLOCK, 0o644)
    agents = [make_agent() for _ in range(4)]
    mappings = []
    for agent, access in zip(agents, ['rw', 'rw', 'r', 'r']):
        ident = agent('open', path, access)[0]
        agent('attach', ident)
        mappings.append(agent('map', ident, 0, 2 * BLOCK, access)[0])
    agents[0]('fill', mappings[0], 11)
    for agent, mapping in zip(agents[1:], mappings[1:]):
        agent('check', mapping, 11)
    agents[1]('fill', mappings[1], 12)
    for agent, mapping in zip(agents[2:], mappings[2:]):
        agent('check', mapping, 12)
    grants = [g for g in instance.status()['grants'] if g['path'] == '/shared']
    assert sorted(g['access'] for g in grants) == ['r', 'r', 'rw', 'rw']
    # One after the other goes; the file is held until the last has gone.
    for agent in agents[:3]:
        agent.kill()
    assert errno_of(os.truncate, path, 0) == errno.EBUSY
    agents[3]('check', mappings[3], 12)
    agents[3].kill()
    assert wait_until(lambda: errno_of(os.truncate, path, 0) == 0, 20)
    assert helper
    must(instance, 'rm', path)
