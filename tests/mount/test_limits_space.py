# SPDX-License-Identifier: MIT
"""
A full region and a full metadata area: what takes more is refused with ENOSPC and one sentence in the log, everything
else goes on, and whatever is there can be removed.
"""

import contextlib
import errno
import os
import time

import pytest

from evidence import BLOCK, fill_to_the_end, grant, must
from persona import PUNCH, errno_of, fallocate, make_file
from processes import wait_until

UNIT = 4096
FILES = 40  # --max-files


@pytest.fixture
def pool(make_instance, tools):
    """Its metadata area is as small as one gets."""
    instance = make_instance()
    done = tools.run('guestmemfs', 'format', '--region', f'file:{instance.region},size=64M', '--max-files', FILES)
    assert done.returncode == 0, done.stderr
    return instance.start()


def content_file(path):
    make_file(path, 0)
    os.setxattr(path, 'user.guestmemfs.io', b'1')
    return path


def until_full(function):
    """Calls it with 0, 1, ... until there is no space; how often it worked."""
    for number in range(1 << 20):
        try:
            function(number)
        except OSError as e:
            assert e.errno == errno.ENOSPC, e
            return number
    raise AssertionError('it is never full')


def goes_on(instance, agent):
    """Whatever takes no space: attributes, grants, freezing, a checkpoint, the end and another start. And fsck is content."""
    path = instance.path('kept')
    os.chmod(path, 0o600)
    os.utime(path, (1, 2))
    mapping = grant(agent, path)
    agent('check', mapping, 9)
    agent('unmap', mapping)
    must(instance, 'guestmemfs', 'freeze', instance.mount)
    assert errno_of(os.chmod, path, 0o640) == errno.EBUSY
    must(instance, 'guestmemfs', 'thaw', instance.mount)
    before = instance.tree()
    instance.kill('worker')
    assert wait_until(instance.is_serving, 30)
    assert instance.tree() == before
    assert instance.stop() == 0
    done = instance.fsck()
    assert done.returncode == 0, done.stdout + done.stderr
    instance.restart()
    assert instance.tree() == before


def keep(instance, agent):
    """A file with a pattern in it, that somebody maps."""
    make_file(instance.path('kept'), BLOCK)
    mapping = grant(agent, instance.path('kept'))
    agent('fill', mapping, 9)
    agent('unmap', mapping)


def empty(instance):
    """Removes all, one by one: nothing of that may fail for want of space."""
    for parent, directories, files in os.walk(instance.mount, topdown=False):
        for name in files:
            path = os.path.join(parent, name)
            for attribute in os.listxattr(path):
                os.removexattr(path, attribute)
            # Who mapped it before may still be looked for.
            wait_until(lambda path=path: errno_of(os.truncate, path, 0) != errno.EBUSY, 30)
            os.truncate(path, 0)
            os.unlink(path)
        for name in directories:
            os.rmdir(os.path.join(parent, name))
    assert os.listdir(instance.mount) == []


def test_a_full_region_refuses_what_takes_blocks(pool, make_agent):
    agent = make_agent()
    keep(pool, agent)
    byte = content_file(pool.path('bytes'))
    fill_to_the_end(pool)
    one = pool.path('fill0')
    assert errno_of(os.truncate, one, 2 * BLOCK) == errno.ENOSPC
    with open(one, 'r+b') as f:
        assert errno_of(fallocate, f.fileno(), 0, BLOCK, BLOCK) == errno.ENOSPC
    with open(byte, 'r+b', buffering=0) as f:
        assert errno_of(os.pwrite, f.fileno(), b'x', 0) == errno.ENOSPC
        assert errno_of(fallocate, f.fileno(), 0, 0, 1) == errno.ENOSPC
    assert os.stat(one).st_size == BLOCK and os.stat(byte).st_size == 0
    os.mkdir(pool.path('directory'))
    os.rename(one, pool.path('directory', 'moved'))
    os.link(pool.path('directory', 'moved'), pool.path('again'))
    os.setxattr(pool.path('again'), 'user.name', b'value')
    goes_on(pool, agent)
    os.unlink(pool.path('fill1'))
    assert wait_until(lambda: not errno_of(os.truncate, pool.path('again'), 2 * BLOCK), 20), 'there is a block again'
    empty(pool)


def test_the_number_of_files_is_refused_and_told(pool, make_agent):
    agent = make_agent()
    keep(pool, agent)
    made = until_full(lambda n: make_file(pool.path(f'file{n}'), 0))
    assert made == FILES - 2, 'with the root and the one that is kept'
    assert errno_of(os.mkdir, pool.path('directory')) == errno.ENOSPC
    assert errno_of(os.symlink, 'there', pool.path('link')) == errno.ENOSPC
    assert errno_of(os.mkfifo, pool.path('fifo')) == errno.ENOSPC
    assert pool.log().count('the number of files has reached the limit that was set at format (--max-files)') == 1
    os.link(pool.path('file0'), pool.path('another name'))
    os.truncate(pool.path('file1'), BLOCK)
    os.setxattr(pool.path('file2'), 'user.guestmemfs.io', b'1')
    with open(pool.path('file2'), 'wb', buffering=0) as f:
        assert errno_of(os.pwrite, f.fileno(), b'x', 0) == errno.ENOSPC, 'the content store is a file, too'
    goes_on(pool, agent)
    os.unlink(pool.path('file3'))
    with open(pool.path('file2'), 'wb') as f:
        f.write(b'x')
    empty(pool)


def fill_metadata(pool):
    """To the last byte: attributes and pieces up to their quarters, and names. A file of more pieces can't lose its middle."""
    pieces = content_file(pool.path('pieces'))
    os.mkdir(pool.path('names'))
    fallocated = make_file(pool.path('extents'), 3 * BLOCK)
    until_full(lambda n: os.setxattr(pool.path('kept'), f'user.{n}', b'v' * 200))
    with contextlib.ExitStack() as stack:
        fd = os.open(pieces, os.O_RDWR)
        stack.callback(os.close, fd)
        os.pwrite(fd, b'x' * 3 * UNIT, 0)  # one piece, which punching would split
        until_full(lambda n: os.pwrite(fd, b'x', (4 + 2 * n) * UNIT))
        assert errno_of(fallocate, fd, PUNCH, UNIT, UNIT) == errno.ENOSPC, 'one piece would be two'
        os.pwrite(fd, b'over', 0)
        fallocate(fd, PUNCH, 4 * UNIT, UNIT)
        fallocate(fd, PUNCH, UNIT, UNIT)
    for length in (255, 100, 20, 8):  # what a long name leaves, a shorter one takes
        until_full(lambda n, l=length: os.link(fallocated, pool.path('names', f'{n:06}'.ljust(l, chr(96 + l % 26)))))


def test_a_full_metadata_area_refuses_what_adds_to_it(pool, make_agent):
    agent = make_agent()
    keep(pool, agent)
    began = time.monotonic()
    fill_metadata(pool)
    names = os.listdir(pool.path('names'))
    longer = pool.path('names', 'x' * 200)
    shortest = pool.path('names', min(names, key=len))
    assert errno_of(os.link, pool.path('kept'), longer) == errno.ENOSPC
    assert errno_of(os.rename, shortest, longer) == errno.ENOSPC
    assert errno_of(os.mkdir, longer) == errno.ENOSPC
    assert errno_of(os.setxattr, pool.path('extents'), 'user.new', b'v' * 200) == errno.ENOSPC
    with open(pool.path('extents'), 'r+b') as f:
        assert errno_of(fallocate, f.fileno(), PUNCH, BLOCK, BLOCK) == errno.ENOSPC, 'one extent would be two'
        fallocate(f.fileno(), PUNCH, 2 * BLOCK, BLOCK)
    said = pool.log().count('no space: ')
    assert 1 <= said <= 1 + (time.monotonic() - began) // 60, 'once a minute at the most'
    goes_on(pool, agent)
    os.rename(pool.path('names', max(names, key=len)), pool.path('short'))
    os.unlink(pool.path('short'))
    os.link(pool.path('kept'), longer)
    empty(pool)
    keep(pool, agent)
