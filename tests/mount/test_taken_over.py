# SPDX-License-Identifier: MIT
"""
A worker or a helper that somebody has taken over, as its supervisor sees it: words on its link that no such process says. It
is killed and replaced; the mount, open files and memory go on.
"""

import array
import ctypes
import os
import socket
import struct

import pytest

from evidence import BLOCK, grant_when_ready, held_file, make_region, must, tree

SEED = 5
PIDFD_GETFD = 438   # x86-64, and every other one
LINK = 3            # the first descriptor that a child of the supervisor inherits
SERVING, LOG, UPGRADE = 104, 110, 114   # src/proto/link.h


def message(opcode, size=16, said=None):
    return struct.pack('<IHHQ', size if said is None else said, opcode, 0, 0).ljust(size, b'\0')[:size]


def borrow_link(pid):
    """The process's own end of its link: what we say there it says."""
    pidfd = os.pidfd_open(pid)
    try:
        fd = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, pidfd, LINK, 0)
        assert fd >= 0, os.strerror(ctypes.get_errno())
        return socket.socket(fileno=fd)
    finally:
        os.close(pidfd)


def say(pid, data, descriptors=()):
    with borrow_link(pid) as link:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', descriptors))] if descriptors else []
        link.sendmsg([data], ancillary)


# As many deaths as are not too many.
WORDS = {
    'no-message': [(message(SERVING, size=8, said=16), ()), (message(SERVING, said=24), ()), (message(LOG), ())],
    'no-word': [(message(99), ()), (message(SERVING), ()), (message(SERVING), (0,)), (message(UPGRADE), ())],
}


@pytest.mark.parametrize('words', WORDS)
@pytest.mark.parametrize('which', ['worker', 'helper'])
def test_who_does_not_speak_the_protocol_is_replaced(make_instance, make_agent, which, words):
    instance = make_region(make_instance()).start()
    agent = make_agent()
    mapping = held_file(instance, agent, 'vm0', 2, SEED)
    must(instance, 'truncate', '-s', BLOCK, instance.path('other'))
    before, pids = tree(instance), instance.pids()
    for data, descriptors in WORDS[words]:
        say(pids[which], data, descriptors)
        pids[which] = instance.wait_new(which, pids[which])
    assert instance.pids() == pids
    assert instance.log().count(f'the {which} does not speak the protocol: it is killed') == len(WORDS[words])
    assert tree(instance) == before
    agent('check', mapping, SEED)
    grant_when_ready(agent, instance.path('other'))
