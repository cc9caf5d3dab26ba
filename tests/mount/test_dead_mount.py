# SPDX-License-Identifier: MIT
"""Who still has something open on a mount that has died is told so, and never that all is well."""

import errno
import mmap
import os

import pytest

from evidence import kill_all
from persona import errno_of


@pytest.fixture
def content(instance):
    """An open file with content, and its bytes."""
    os.setxattr(instance.mount, 'user.guestmemfs.io', b'1')
    fd = os.open(instance.path('f'), os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b'a' * 10000, 0)
    os.fsync(fd)
    yield fd
    assert errno_of(os.close, fd) in (0, errno.ENOTCONN)  # 0: the worker has said before that it need not be told


def test_fsync_fails(instance, content):
    kill_all(instance)
    assert errno_of(os.fsync, content) == errno.ENOTCONN
    assert errno_of(os.fdatasync, content) == errno.ENOTCONN


def test_what_the_kernel_had_not_written_is_owned_up_to(instance, content):
    with mmap.mmap(content, 10000) as m:
        m[5000:5003] = b'bcd'
        m.flush()
        m[6000:6003] = b'efg'
        kill_all(instance)
        assert errno_of(m.flush) in (errno.ENOTCONN, errno.EIO)
    instance.restart()
    with open(instance.path('f'), 'rb') as f:
        data = f.read()
    assert data[5000:5003] == b'bcd', 'what was acknowledged is there'
    assert data[6000:6003] in (b'aaa', b'efg')
