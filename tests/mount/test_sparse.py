# SPDX-License-Identifier: MIT
"""Files with holes: fallocate and lseek through the real kernel, and what a client gets of such a file."""

import errno
import json
import os
import subprocess

import pytest

from agent import AgentError
from evidence import assert_clean, grant_when_ready
from persona import (FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, PUNCH, as_user, errno_of, fallocate, make_file)
from processes import wait_until

pytestmark = pytest.mark.limit(240)

BLOCK = 2 << 20
FAR = (1 << 63) - 1


def opened(path, size=None):
    if size is not None:
        make_file(path, size, 0o644)
    return os.open(path, os.O_RDWR)


def map_of(fd):
    """Where the file has memory and where not, as lseek says: a letter for each 2 MiB."""
    text, at, end = '', 0, os.fstat(fd).st_size
    while at < end:
        try:
            data = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as e:
            assert e.errno == errno.ENXIO
            data = end
        hole = os.lseek(fd, data, os.SEEK_HOLE) if data < end else end
        text += '-' * -((at - data) // BLOCK) + 'x' * -((data - hole) // BLOCK)
        at = hole
    return text


def blocks(fd):
    return os.fstat(fd).st_blocks * 512 // BLOCK


def test_holes_come_by_punching_and_go_by_allocating(make_instance, user):
    instance = make_instance(user=user, size='160M').start()

    def body(mount):
        free = os.statvfs(mount).f_bfree
        fd = opened(mount + '/f', 0)
        fallocate(fd, 0, 0, 5 * BLOCK - 1)
        assert (os.fstat(fd).st_size, blocks(fd), map_of(fd)) == (5 * BLOCK - 1, 5, 'xxxxx')
        fallocate(fd, PUNCH, BLOCK, 2 * BLOCK)
        assert (os.fstat(fd).st_size, blocks(fd), map_of(fd)) == (5 * BLOCK - 1, 3, 'x--xx')
        assert os.statvfs(mount).f_bfree == free - 3
        du = subprocess.run(['du', '-B1', mount + '/f'], stdout=subprocess.PIPE, text=True, check=True, timeout=30)
        assert int(du.stdout.split()[0]) == 3 * BLOCK
        fallocate(fd, 0, BLOCK, 1)
        assert (blocks(fd), map_of(fd)) == (4, 'xx-xx')
        fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 8 * BLOCK)
        assert (os.fstat(fd).st_size, blocks(fd), map_of(fd)) == (5 * BLOCK - 1, 8, 'xxxxx')
        os.ftruncate(fd, 5 * BLOCK - 1)
        assert blocks(fd) == 5, 'the size that it has gives back what lies behind it'
        fallocate(fd, PUNCH, 0, FAR)
        assert (os.fstat(fd).st_size, blocks(fd), map_of(fd)) == (5 * BLOCK - 1, 0, '-----')
        assert os.statvfs(mount).f_bfree == free
        os.ftruncate(fd, 6 * BLOCK)
        assert map_of(fd) == '-----x', 'growing takes what it adds'
        fallocate(fd, 0, 7 * BLOCK, 1)
        assert map_of(fd) == '-----xxx', 'no hole comes by growing'
        os.posix_fallocate(fd, 0, 6 * BLOCK)
        assert map_of(fd) == 'xxxxxxxx'
        fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 12 * BLOCK)
        os.ftruncate(fd, 9 * BLOCK)
        assert blocks(fd) == 12, 'a larger size gives nothing back'
        os.ftruncate(fd, 8 * BLOCK)
        assert blocks(fd) == 8, 'a smaller one does'
        before = os.fstat(fd)
        assert errno_of(fallocate, fd, 0, 0, 1 << 50) == errno.ENOSPC
        assert os.fstat(fd) == before, 'all or nothing'

    as_user(user, body, instance.mount)
    assert instance.stop() == 0
    assert_clean(instance)


def test_what_is_wrong_is_refused_as_on_tmpfs(inside, workdir):
    """The same calls on the mount and on tmpfs, which the directory of the tests is."""
    tmpfs = os.path.join(workdir, 'tmpfs')
    os.mkdir(tmpfs)
    os.chmod(tmpfs, 0o777)

    def body(mount):
        for place in (mount, tmpfs):
            fd = opened(place + '/f', 4 * BLOCK)
            fallocate(fd, 0, 0, 4 * BLOCK)
            fallocate(fd, PUNCH, BLOCK, BLOCK)
            reader = os.open(place + '/f', os.O_RDONLY)
            directory = os.open(place, os.O_RDONLY)
            os.mkfifo(tmpfs + '/fifo')
            fifo = os.open(tmpfs + '/fifo', os.O_RDWR)
            before = os.fstat(fd)
            cases = [
                (errno.EINVAL, fallocate, fd, 0, 0, 0),
                (errno.EINVAL, fallocate, fd, 0, -1, 1),
                (errno.EINVAL, fallocate, fd, PUNCH, 0, -1),
                (errno.EFBIG, fallocate, fd, 0, FAR, 1),
                (errno.EBADF, fallocate, reader, 0, 0, BLOCK),
                (errno.EBADF, fallocate, directory, 0, 0, BLOCK),
                (errno.ESPIPE, fallocate, fifo, 0, 0, BLOCK),
                (errno.EOPNOTSUPP, fallocate, fd, FALLOC_FL_PUNCH_HOLE, 0, BLOCK),
                (errno.EOPNOTSUPP, fallocate, fd, 0x08, 0, BLOCK),  # COLLAPSE_RANGE
                (errno.EOPNOTSUPP, fallocate, fd, 0x10, 0, BLOCK),  # ZERO_RANGE
                (errno.EOPNOTSUPP, fallocate, fd, 0x11, 0, BLOCK),
                (errno.EOPNOTSUPP, fallocate, fd, 0x20, 0, BLOCK),  # INSERT_RANGE
                (errno.EOPNOTSUPP, fallocate, fd, 0x40, 0, BLOCK),  # UNSHARE_RANGE
                (errno.ENXIO, os.lseek, fd, 4 * BLOCK, os.SEEK_DATA),
                (errno.ENXIO, os.lseek, fd, 4 * BLOCK, os.SEEK_HOLE),
                (errno.ENXIO, os.lseek, fd, -1, os.SEEK_DATA),
                (errno.ENXIO, os.lseek, fd, -1, os.SEEK_HOLE),
                (errno.EINVAL, os.lseek, fd, 0, 17),
            ]
            for number, (wanted, function, *arguments) in enumerate(cases):
                got = errno_of(function, *arguments)
                assert got == wanted, f'{place}: case {number}, {arguments}: {errno.errorcode.get(got, got)}'
            assert os.fstat(fd) == before
            # tmpfs takes for a hole what was allocated and never written; here that is data, since it has memory.
            assert map_of(fd) == ('x-xx' if place == mount else '----')
            assert errno_of(os.open, place + '/f', os.O_WRONLY | os.O_DIRECTORY) == errno.ENOTDIR
            os.unlink(tmpfs + '/fifo')

    inside(body)


def test_times_and_set_id_bits_change_with_the_space(inside):
    def body(mount):
        fd = opened(mount + '/f', 2 * BLOCK)
        for mode, offset, length in ((0, 0, BLOCK), (FALLOC_FL_KEEP_SIZE, 0, 4 * BLOCK), (PUNCH, 0, BLOCK)):
            os.utime(fd, ns=(1, 1))
            fallocate(fd, mode, offset, length)
            st = os.fstat(fd)
            assert st.st_atime_ns == 1 and st.st_mtime_ns > 1 and st.st_mtime_ns == st.st_ctime_ns

    inside(body)


# ---- what clients get

def refused(function, *arguments):
    with pytest.raises(AgentError) as caught:
        function(*arguments)
    return caught.value


def wait_not_held(instance):
    def is_free():
        done = instance.tools.run('guestmemfs', 'ls', instance.mount, '--json', user=instance.user)
        return done.returncode == 0 and not any(f['held'] for f in json.loads(done.stdout)['files'])

    assert wait_until(is_free, 30), 'still held'


def written(instance, make_agent, size, seed=5):
    """A file that a client has filled and let go."""
    path = instance.path('f')
    as_user(instance.user, make_file, path, size)
    agent = make_agent(user=instance.user)
    file = agent('open', path, 'rw')[0]
    agent('attach', file)
    agent('fill', agent('map', file, 0, size, 'rw')[0], seed)
    agent.kill()
    wait_not_held(instance)
    return path


def change(instance, path, *arguments):
    def body(path, arguments):
        fd = os.open(path, os.O_RDWR)
        fallocate(fd, *arguments)
        os.close(fd)

    as_user(instance.user, body, path, arguments)


def test_a_client_maps_around_a_hole_and_is_told_where_it_is(mounted, make_agent):
    path = written(mounted, make_agent, 5 * BLOCK)
    change(mounted, path, PUNCH, BLOCK, 2 * BLOCK)
    agent = make_agent(user=mounted.user)
    file = agent('open', path, 'rw')[0]
    assert agent('attach', file)[0] == str(5 * BLOCK)
    for offset, length, hole in ((0, 5 * BLOCK, BLOCK), (0, BLOCK + 4096, BLOCK), (2 * BLOCK, BLOCK, 2 * BLOCK)):
        error = refused(agent, 'map', file, offset, length, 'rw')
        assert error.errno == errno.ENXIO and f'has a hole at offset {hole:#x}' in error.sentence
    agent('check', agent('map', file, 0, BLOCK, 'rw')[0], 5)
    agent('check', agent('map', file, 3 * BLOCK, 2 * BLOCK, 'rw')[0], 5)

    change(mounted, path, 0, 0, 5 * BLOCK)
    assert refused(agent, 'map', file, 0, 5 * BLOCK, 'rw').errno == errno.ENXIO, 'it was attached before'
    agent('detach', file)
    agent('attach', file)
    agent('zero-check', agent('map', file, BLOCK, 2 * BLOCK, 'rw')[0])
    agent('check', agent('map', file, 3 * BLOCK, 2 * BLOCK, 'rw')[0], 5)


@pytest.mark.preload
def test_mmap_under_the_preload_library_fails_over_a_hole(instance, make_agent, tools):
    path = written(instance, make_agent, 3 * BLOCK)
    change(instance, path, PUNCH, BLOCK, BLOCK)
    library = tools.run('guestmemfs', 'run', '--', 'printenv', 'LD_PRELOAD').stdout.strip()
    agent = make_agent(environment={'LD_PRELOAD': library})
    file = agent('open', path, 'rw')[0]
    assert refused(agent, 'pmap', file, 0, 3 * BLOCK, 'rw').errno == errno.ENXIO
    agent('check', agent('pmap', file, 2 * BLOCK, BLOCK, 'rw')[0], 5)


def test_the_ends_of_a_punch_read_zero_and_what_is_beside_them_stays(mounted, make_agent):
    """Through a dump, so that it is also told what that makes of a hole."""
    path = written(mounted, make_agent, 4 * BLOCK)

    def dump():
        argv = [*mounted.user.argv(), mounted.tools.path('guestmemfs'), 'dump', path]
        done = subprocess.run(argv, env=mounted.user.environment(), stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=60, check=False, cwd='/')
        assert done.returncode == 0, done.stderr
        wait_not_held(mounted)
        return done.stdout

    expected = bytearray(dump())
    assert len(expected) == 4 * BLOCK and expected.count(0) < len(expected) // 10
    for offset, length in ((4096, 4096), (BLOCK - 4096, 2 * BLOCK), (3 * BLOCK + 5, 1)):
        change(mounted, path, PUNCH, offset, length)
        expected[offset:offset + length] = bytes(length)
        assert dump() == expected, f'{offset}+{length}'
    change(mounted, path, 0, 0, 4 * BLOCK)
    assert dump() == expected
    change(mounted, path, PUNCH, 3 * BLOCK + 4096, BLOCK - 4096)
    expected[3 * BLOCK:] = bytes(BLOCK)
    assert dump()[:3 * BLOCK] == expected[:3 * BLOCK]


def test_what_somebody_maps_is_not_punched(mounted, make_agent):
    path = mounted.path('f')
    as_user(mounted.user, make_file, path, 3 * BLOCK)
    agent = make_agent(user=mounted.user)
    file = agent('open', path, 'rw')[0]
    agent('attach', file)
    memory = agent('map', file, 0, 3 * BLOCK, 'rw')[0]
    agent('fill', memory, 9)
    for offset, length in ((0, BLOCK), (4096, 4096), (0, 3 * BLOCK)):
        assert errno_of(change, mounted, path, PUNCH, offset, length) == errno.EBUSY
    agent('check', memory, 9)
    agent.kill()
    wait_not_held(mounted)
    done = mounted.tools.run('fallocate', '--punch-hole', '--offset', 4096, '--length', BLOCK, path, user=mounted.user)
    assert done.returncode == 0, done.stderr


def test_what_a_held_file_gets_can_be_mapped_also_by_way_of_the_next_helper(mounted, make_agent):
    """Its new blocks are to be zeroed first, which a helper that took them for held would refuse."""
    path = written(mounted, make_agent, 3 * BLOCK)
    change(mounted, path, PUNCH, BLOCK, BLOCK)
    agent = make_agent(user=mounted.user)
    file = agent('open', path, 'rw')[0]
    agent('attach', file)
    memory = agent('map', file, 0, BLOCK, 'rw')[0]
    change(mounted, path, 0, 0, 5 * BLOCK)
    change(mounted, path, FALLOC_FL_KEEP_SIZE, 5 * BLOCK, 2 * BLOCK)
    old = mounted.pids()['helper']
    mounted.kill('helper')
    mounted.wait_new('helper', old)
    other = make_agent(user=mounted.user)
    whole = grant_when_ready(other, path)
    assert refused(other, 'peek', whole, 5 * BLOCK).errno == errno.EINVAL
    agent('check', memory, 5)
    file = other('open', path, 'rw')[0]
    other('attach', file)
    other('zero-check', other('map', file, BLOCK, BLOCK, 'rw')[0])
    other('check', other('map', file, 2 * BLOCK, BLOCK, 'rw')[0], 5)
    other('zero-check', other('map', file, 3 * BLOCK, 2 * BLOCK, 'rw')[0])


def test_holes_and_what_was_kept_outlive_all_processes(mounted, make_agent):
    path = written(mounted, make_agent, 4 * BLOCK)
    change(mounted, path, PUNCH, 4096, 2 * BLOCK)
    change(mounted, path, FALLOC_FL_KEEP_SIZE, 6 * BLOCK, BLOCK)

    def picture():
        def body(path):
            fd = os.open(path, os.O_RDONLY)
            return map_of(fd), blocks(fd), os.fstat(fd).st_size

        return as_user(mounted.user, body, path)

    before = picture()
    assert before == ('x-xx', 4, 4 * BLOCK)
    mounted.kill()
    mounted.restart()
    assert picture() == before
    listed = json.loads(mounted.tools.run('guestmemfs', 'extents', path, '--json', user=mounted.user).stdout)
    assert [(e['file_offset'], e['length']) for e in listed['extents']][-1] == (6 * BLOCK, BLOCK)
    assert mounted.stop() == 0
    assert_clean(mounted)
