# SPDX-License-Identifier: MIT
"""
Content whose memory is gone: the error of who asks for it, and of nobody else. The region is a file, which is cut
short: what a process has mapped of it is SIGBUS then, as with memory that is bad.
"""

import errno
import os

from persona import errno_of
from test_content import BLOCK, UNIT, drop_caches, get, marked, put, units


def end_of_content(instance, mark):
    """Where in the region the block begins that holds these bytes."""
    with open(instance.region, 'rb') as region:
        at = region.read().find(mark)
    assert at > 0
    return at - at % BLOCK


def test_memory_that_is_gone_is_an_error_of_its_own_file(instance):
    directory = marked(instance.mount)
    put(directory + '/whole', b'here' * (BLOCK // 4))
    put(directory + '/gone', b'GONE' * (BLOCK // 4))
    worker = instance.pids()['worker']
    size = os.path.getsize(instance.region)
    drop_caches()
    fd = os.open(directory + '/gone', os.O_RDWR)
    os.truncate(instance.region, end_of_content(instance, b'GONE' * UNIT))
    assert errno_of(os.pread, fd, 100, 0) == errno.EIO
    assert errno_of(os.pwrite, fd, b'x', 100) == errno.EIO
    assert errno_of(os.ftruncate, fd, BLOCK + 1) == 0, 'touches nothing that is gone'
    os.ftruncate(fd, 5)
    assert errno_of(os.ftruncate, fd, UNIT) == errno.EIO, 'the rest of its last unit can not be zeroed'
    assert (os.fstat(fd).st_size, units(directory + '/gone')) == (5, 1)
    assert errno_of(os.pread, fd, 5, 0) == errno.EIO, 'however short the answer is'
    assert get(directory + '/whole') == b'here' * (BLOCK // 4)
    log = instance.log()
    assert 'where files have their content, can\'t be reached' in log
    os.truncate(instance.region, size)
    os.pwrite(fd, b'again', 0)
    os.close(fd)
    drop_caches()
    assert get(directory + '/gone') == b'again'
    assert instance.pids()['worker'] == worker, 'it has served all of that'
