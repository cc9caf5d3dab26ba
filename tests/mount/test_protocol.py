# SPDX-License-Identifier: MIT
"""What the helper does with clients that break the protocol, say nothing or come in crowds: end them, and serve on."""

import contextlib
import errno
import os
import signal
import socket
import struct
import threading
import time

import pytest

import steady
import wire
from harness import User
from persona import as_user

TICKET = bytes(range(16))
CROWD_USERS, CROWD_EACH = 16, 63  # 1,008 connections; a user may have 64
UNTRUSTED_MAX = 512
SILENT_SECONDS = 5  # that a client may take to its first message


@pytest.fixture
def helper(instance):
    """The socket of a helper under watch: a well-behaved client must never notice, and nothing may be left behind."""
    with steady.watched(instance) as helper_socket:
        yield helper_socket


BREACHES = {
    'nothing but a header': (False, wire.message(wire.HELLO)),
    'one byte': (False, b'\1'),
    'fifteen bytes': (False, wire.hello()[:15]),
    'a hello cut short': (False, wire.hello()[:-1]),
    'a hello with a byte too many': (False, wire.hello() + b'\0'),
    'a size field that is too small': (False, wire.hello(size=31)),
    'a size field that is too large': (False, wire.hello(size=33)),
    'a size field of zero': (False, wire.hello(size=0)),
    'the largest size field': (False, wire.hello(size=2**32 - 1)),
    'as long as the longest answer': (False, wire.hello() + bytes(1584 - 32)),
    '60,000 bytes': (False, wire.hello() + bytes(60000)),
    'opcode 0': (False, wire.message(0, bytes(16))),
    'an answer in place of a request': (False, wire.message(wire.WELCOME, bytes(16))),
    'a grant': (False, wire.message(wire.GRANT, bytes(1568))),
    'an unknown request': (False, wire.message(5, bytes(16))),
    'the largest opcode': (False, wire.message(0xffff, bytes(16))),
    'a reserved field in use': (False, wire.hello(reserved=1)),
    'attach before hello': (False, wire.attach(TICKET)),
    'a second hello': (True, wire.hello()),
    'an attach cut short': (True, wire.attach(TICKET)[:-1]),
    'an attach with a byte too many': (True, wire.attach(TICKET) + b'\0'),
    'an attach with the size of a hello': (True, wire.attach(TICKET, size=32)),
    'a reserved field of attach in use': (True, wire.attach(TICKET, reserved=0x8000)),
    'a cut attach with an unknown opcode': (True, wire.message(9, TICKET)),
}


@pytest.mark.parametrize('breach', BREACHES)
def test_a_breach_of_the_protocol_ends_the_connection(helper, breach):
    greeted, data = BREACHES[breach]
    with wire.Client(helper) as client:
        if greeted:
            client.greet()
        client.send(data)
        opcode, serial, (error, reason) = client.answer()
        assert (opcode, error, reason) == (wire.REFUSED, errno.EPROTO, wire.REASON_NONE)
        assert serial == (7 if 16 <= len(data) <= 40 else 0)
        assert client.answer() is None, 'the connection goes on'


@pytest.mark.parametrize('greeted, data', [
    (False, wire.hello(lowest=2, highest=9)), (False, wire.hello(lowest=0, highest=0)),
    (False, wire.hello(flags=1)), (False, wire.hello(flags=1 << 63)), (False, wire.hello(lowest=2, highest=1)),
    (True, wire.attach(TICKET, flags=1)), (True, wire.attach(TICKET, flags=1 << 63))])
def test_what_no_version_knows_is_refused_with_a_reason(helper, greeted, data):
    with wire.Client(helper) as client:
        if greeted:
            client.greet()
        client.send(data)
        assert client.answer() == (wire.REFUSED, 7, (errno.EPROTONOSUPPORT, wire.REASON_VERSION))
        assert client.answer() is None


def test_a_client_of_more_versions_gets_the_one_that_both_speak(helper):
    with wire.Client(helper) as client:
        client.send(wire.hello(lowest=0, highest=2**32 - 1, serial=2**64 - 1))
        assert client.answer() == (wire.WELCOME, 2**64 - 1, struct.pack('<IIQ', 1, 0, 0))


def test_descriptors_from_clients_are_refused_and_closed(helper):
    read_end, write_end = os.pipe()
    for greeted in (False, True):
        with wire.Client(helper) as client:
            if greeted:
                client.greet()
            client.send(wire.attach(TICKET) if greeted else wire.hello(), fds=[write_end] * 3)
            assert client.answer()[2] == (errno.EPROTO, wire.REASON_NONE)
            assert client.answer() is None
    os.close(write_end)
    os.set_blocking(read_end, False)
    assert os.read(read_end, 1) == b'', 'the helper has kept the other end'
    os.close(read_end)


def test_a_stream_of_invented_tickets_ends_nothing(helper):
    with wire.Client(helper).greet() as client:
        for serial in range(300):
            assert client.redeem(os.urandom(16), serial) == (
                wire.REFUSED, serial, (errno.EKEYREJECTED, wire.REASON_TICKET))


def test_two_attaches_at_once_are_one_too_many(instance, helper):
    """Answers come in order and one at a time, so the second one is a breach, if the first is not answered yet."""
    worker = instance.pids()['worker']
    ticket = wire.ticket_for(instance.path('steady'))
    with wire.Client(helper).greet() as client:
        os.kill(worker, signal.SIGSTOP)  # the answer can not come before the second question
        try:
            client.send(wire.attach(ticket, serial=1))
            client.send(wire.attach(TICKET, serial=2))
            assert client.answer() == (wire.REFUSED, 2, (errno.EPROTO, wire.REASON_NONE))
            assert client.answer() is None
        finally:
            os.kill(worker, signal.SIGCONT)


def test_a_client_that_reads_no_answers_is_dropped(helper):
    with wire.Client(helper).greet() as client:
        client.socket.settimeout(0.5)
        with contextlib.suppress(OSError):
            for serial in range(100000):
                client.send(wire.attach(TICKET, serial=serial))
        client.socket.settimeout(10)
        answers = 0
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while client.receive()[0]:
                answers += 1
        assert answers < 100000


def crowd_in(helper):
    """About 1,000 connections of 16 users at once: how many were refused, and in how many seconds all had come."""
    start, started = os.pipe()
    begin, end = os.pipe()
    done_read, done_write = os.pipe()
    children, pipes = [], (start, started, begin, end, done_read, done_write)

    def crowd():
        connections, refused = [], 0
        os.write(done_write, b'r')
        os.close(started)
        os.read(start, 1)  # until the parent closes its end
        for _ in range(CROWD_EACH):
            connections.append(wire.Client(helper, timeout=20))
        os.write(done_write, b'x')
        os.close(end)
        os.read(begin, 1)  # likewise
        for client in connections:
            opcode, serial, answer = client.answer()
            assert (opcode, serial) == (wire.REFUSED, 0)
            assert answer in ((errno.EUSERS, wire.REASON_LIMIT), (errno.ETIMEDOUT, wire.REASON_NONE))
            refused += answer[0] == errno.EUSERS
            assert client.answer() is None
        return refused

    def wait_for_all():
        arrived = 0
        while arrived < CROWD_USERS:
            arrived += len(os.read(done_read, CROWD_USERS))

    results = []
    for n in range(CROWD_USERS):
        thread = threading.Thread(
            target=lambda uid=61000 + n: results.append(as_user(User(uid, uid), crowd, timeout=40, pipes=pipes)))
        thread.start()
        children.append(thread)
    try:
        wait_for_all()
        came = time.monotonic()
        os.close(started)
        wait_for_all()
        with wire.Client(helper, timeout=20).greet():  # whoever came before it has been let in or refused
            came = time.monotonic() - came
    finally:
        os.close(end)
        for thread in children:
            thread.join(45)
    assert len(results) == CROWD_USERS, 'a part of the crowd was treated otherwise; see above'
    for fd in (start, begin, done_read, done_write):
        os.close(fd)
    return sum(results), came


@pytest.mark.limit(150)
def test_a_crowd_that_says_nothing_keeps_nobody_out(helper):
    """512 are let in, for 5 seconds; the steady client is root's. A crowd that comes slower than that is no crowd."""
    for _ in range(5):
        refused, seconds = crowd_in(helper)
        if seconds < SILENT_SECONDS:
            break
    assert seconds < SILENT_SECONDS, f'the crowd took {seconds} s to come'
    assert refused == CROWD_USERS * CROWD_EACH - UNTRUSTED_MAX, 'not as many were let in as the limit allows'


def test_one_user_has_only_so_many_connections(helper):
    def body():
        clients = [wire.Client(helper).greet() for _ in range(64)]
        with wire.Client(helper) as one_more:
            assert one_more.answer() == (wire.REFUSED, 0, (errno.EUSERS, wire.REASON_LIMIT))
            assert one_more.answer() is None
        clients.pop().close()
        deadline = time.monotonic() + 10
        while True:
            with wire.Client(helper) as one_more:
                one_more.send(wire.hello())
                answer = one_more.answer()  # None: what was sent met the end of a refused connection, and took its answer along
                if answer and answer[0] == wire.WELCOME:
                    return
            assert time.monotonic() < deadline, 'the place of the one that went is not given again'

    as_user(User(61000, 61000), body)


def test_only_packets_in_order_are_spoken_here(helper):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_UNIX, kind) as s:
            with pytest.raises(OSError) as caught:
                s.connect(helper)
            assert caught.value.errno == errno.EPROTOTYPE
