# SPDX-License-Identifier: MIT
"""
Files with content (user.guestmemfs.io): read and written as on any filesystem, in blocks of their own, and there after
whatever dies.
"""

import ctypes
import errno
import filecmp
import json
import mmap
import os
import random
import subprocess

import pytest

from agent import AgentError
from evidence import assert_clean, grant, must
from persona import FALLOC_FL_KEEP_SIZE, PUNCH, as_user, errno_of, fallocate, make_file
from processes import wait_until

pytestmark = pytest.mark.limit(240)

MARK = 'user.guestmemfs.io'
UNIT, BLOCK = 4096, 2 << 20


def marked(mount, name='io'):
    path = os.path.join(mount, name)
    os.mkdir(path)
    os.setxattr(path, MARK, b'1')
    return path


def put(path, data, mode='wb'):
    with open(path, mode) as f:
        f.write(data)


def get(path):
    with open(path, 'rb') as f:
        return f.read()


def units(path):
    return os.stat(path).st_blocks * 512 // UNIT


def drop_caches():
    """What is read then comes from the worker."""
    with open('/proc/sys/vm/drop_caches', 'w', encoding='ascii') as f:
        f.write('1')


def make_tree(where, rng):
    for n in range(40):
        directory = os.path.join(where, f'd{n % 4}')
        os.makedirs(directory, exist_ok=True)
        put(os.path.join(directory, f'f{n}'), rng.randbytes(rng.choice([0, 1, 100, 4096, 4097, 70000])))
    os.symlink('d0/f0', os.path.join(where, 'link'))


def same_tree(a, b):
    done = subprocess.run(['diff', '-r', a, b], stdout=subprocess.PIPE, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout


# ---- the mark

def test_the_mark_is_an_attribute_that_is_inherited(inside):
    def body(mount):
        directory = marked(mount)
        assert os.getxattr(directory, MARK) == b'1'
        assert MARK not in os.listxattr(directory), 'so that nobody copies it, or takes it away where it is not'
        os.mkdir(directory + '/d')
        put(directory + '/d/f', b'x')
        os.symlink('f', directory + '/d/l')
        for name in ('d', 'd/f'):
            assert os.getxattr(f'{directory}/{name}', MARK) == b'1'
        assert errno_of(os.setxattr, directory, MARK, b'1', os.XATTR_CREATE) == errno.EEXIST
        os.setxattr(directory, MARK, b'1', os.XATTR_REPLACE)
        os.removexattr(directory, MARK)
        assert errno_of(os.getxattr, directory, MARK) == errno.ENODATA
        assert errno_of(os.removexattr, directory, MARK) == errno.ENODATA
        assert errno_of(os.setxattr, directory, MARK, b'1', os.XATTR_REPLACE) == errno.ENODATA
        put(directory + '/memory', b'')
        assert errno_of(put, directory + '/memory', b'x') == errno.EOPNOTSUPP
        put(directory + '/d/f', b'still content', 'ab')

    inside(body)


@pytest.mark.parametrize('value', [b'', b'0', b'2', b'11', b'1\n', b'yes', b'\0'], ids=repr)
def test_another_value_is_refused(instance, value):
    for path in (instance.mount, instance.path('f')):
        if path != instance.mount:
            put(path, b'')
        assert errno_of(os.setxattr, path, MARK, value) == errno.EINVAL
        assert errno_of(os.getxattr, path, MARK) == errno.ENODATA


def test_a_file_changes_its_nature_only_while_it_is_empty(instance):
    path = instance.path('f')
    put(path, b'')
    os.truncate(path, 1)
    assert errno_of(os.setxattr, path, MARK, b'1') == errno.ENOTEMPTY
    os.truncate(path, 0)
    os.setxattr(path, MARK, b'1')
    put(path, b'bytes')
    assert errno_of(os.removexattr, path, MARK) == errno.ENOTEMPTY
    os.truncate(path, 0)
    fd = os.open(path, os.O_RDWR)
    fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1)
    assert errno_of(os.removexattr, path, MARK) == errno.ENOTEMPTY, 'it has a unit past its end'
    os.ftruncate(fd, 0)
    os.close(fd)
    os.removexattr(path, MARK)
    os.truncate(path, BLOCK)
    assert os.stat(path).st_blocks * 512 == BLOCK
    os.mkfifo(instance.path('p'))
    assert errno_of(os.setxattr, instance.path('p'), MARK, b'1') == errno.EPERM


# ---- reading and writing

def test_bytes_come_back_as_they_were_written(inside, seed):
    def body(mount):
        rng = random.Random(seed)
        path = marked(mount) + '/f'
        model = bytearray()
        with open(path, 'w+b', buffering=0) as f:
            for _ in range(300):
                at, length = rng.randrange(300000), rng.choice([1, 7, 4095, 4096, 4097, 50000])
                what = rng.randrange(10)
                if what < 6:
                    data = rng.randbytes(length)
                    assert os.pwrite(f.fileno(), data, at) == length
                    model.extend(bytes(max(0, at - len(model))))
                    model[at:at + length] = data
                elif what < 7:
                    os.ftruncate(f.fileno(), at)
                    model = model[:at] + bytes(max(0, at - len(model)))
                elif what < 8:
                    fallocate(f.fileno(), PUNCH, at, length)
                    end = min(at + length, len(model))
                    model[at:end] = bytes(max(0, end - at))
                else:
                    fallocate(f.fileno(), 0, at, length)
                    model.extend(bytes(max(0, at + length - len(model))))
                assert os.pread(f.fileno(), 400000, 0) == model
        direct = os.open(path, os.O_RDONLY | os.O_DIRECT)
        page = mmap.mmap(-1, 1 << 20)
        length = os.preadv(direct, [page], 0)
        assert page[:length] == model, 'past the page cache'
        os.close(direct)

    inside(body)


def test_append_sparse_and_holes(instance):
    path = marked(instance.mount) + '/f'
    for n in range(100):
        put(path, b'line %d\n' % n, 'ab')
    assert get(path) == b''.join(b'line %d\n' % n for n in range(100))
    assert units(path) == 1
    fd = os.open(path, os.O_RDWR | os.O_TRUNC)
    assert units(path) == 0
    os.pwrite(fd, b'far', 1 << 40)
    assert (os.fstat(fd).st_size, units(path)) == ((1 << 40) + 3, 1)
    assert os.lseek(fd, 0, os.SEEK_DATA) == 1 << 40
    assert os.lseek(fd, 5, os.SEEK_HOLE) == 5
    assert os.lseek(fd, 1 << 40, os.SEEK_HOLE) == (1 << 40) + 3
    assert os.pread(fd, 10, (1 << 40) - 4) == b'\0\0\0\0far'
    assert os.pread(fd, UNIT, 12345) == bytes(UNIT)
    os.ftruncate(fd, 100)
    assert units(path) == 0
    fallocate(fd, 0, 0, 3 * UNIT)
    assert (os.fstat(fd).st_size, units(path), os.pread(fd, 4 * UNIT, 0)) == (3 * UNIT, 3, bytes(3 * UNIT))
    assert errno_of(fallocate, fd, 0x10 | FALLOC_FL_KEEP_SIZE, 0, UNIT) == errno.EOPNOTSUPP
    os.close(fd)


def test_a_large_fallocate_keeps_what_it_got(make_instance):
    instance = make_instance(size='256M').start()
    path = marked(instance.mount) + '/f'
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    free = os.statvfs(path).f_bavail * os.statvfs(path).f_frsize
    step = 64 << 20
    assert free > 2 * step
    assert os.fstat(fd).st_blocks == 0
    assert errno_of(fallocate, fd, 0, 0, free + step) == errno.ENOSPC
    assert os.fstat(fd).st_size == 0
    assert os.fstat(fd).st_blocks * 512 == free // step * step, 'and stat tells it at once'
    fallocate(fd, 0, 0, free)
    assert (os.fstat(fd).st_size, os.fstat(fd).st_blocks * 512) == (free, free)
    assert os.pread(fd, UNIT, free - UNIT) == bytes(UNIT)
    os.close(fd)


def test_what_was_cut_off_never_shows_again(instance):
    fd = os.open(marked(instance.mount) + '/f', os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b'secret' * 1000, 0)
    os.ftruncate(fd, 5)
    os.ftruncate(fd, 10000)
    assert os.pread(fd, 10000, 0) == b'secre' + bytes(9995)
    os.pwrite(fd, b'secret' * 1000, 0)
    os.ftruncate(fd, 7)
    os.pwrite(fd, b'!', 4000)
    assert os.pread(fd, 10000, 0) == b'secrets' + bytes(3993) + b'!'
    os.ftruncate(fd, 3)
    fallocate(fd, 0, 0, 5000)
    assert os.pread(fd, 5000, 0) == b'sec' + bytes(4997)
    os.close(fd)


def test_a_removed_files_bytes_are_nobody_elses(instance):
    directory = marked(instance.mount)
    put(directory + '/old', b'OLD!' * (BLOCK // 2))
    os.unlink(directory + '/old')
    for n in range(20):
        fd = os.open(f'{directory}/new{n}', os.O_RDWR | os.O_CREAT)
        os.pwrite(fd, b'n', n * 5000)
        os.ftruncate(fd, BLOCK)
        os.close(fd)
    drop_caches()
    for n in range(20):
        expected = bytearray(BLOCK)
        expected[n * 5000:n * 5000 + 1] = b'n'
        assert get(f'{directory}/new{n}') == expected


def test_mmap_reads_and_writes(inside):
    def body(mount):
        path = marked(mount) + '/f'
        put(path, b'a' * 10000)
        with open(path, 'r+b') as f, mmap.mmap(f.fileno(), 10000) as m:
            assert m[9999:] == b'a'
            m[5000:5003] = b'bcd'
            m.flush()
        expected = b'a' * 5000 + b'bcd' + b'a' * 4997
        fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
        page = mmap.mmap(-1, 3 * UNIT)
        assert os.preadv(fd, [page], 0) == 10000 and page[:10000] == expected
        os.close(fd)

    inside(body)


def test_a_freeze_takes_along_what_only_the_page_cache_has(instance):
    path = marked(instance.mount) + '/f'
    put(path, b'a' * 10000)
    # No descriptor is kept: each close of one, so each start of a program, would have the pages written.
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    fd = os.open(path, os.O_RDWR)
    address = libc.mmap(None, ctypes.c_size_t(10000), mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd, ctypes.c_long(0))
    os.close(fd)
    ctypes.memmove(address + 5000, b'bcd', 3)
    must(instance, 'guestmemfs', 'freeze', instance.mount)
    libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(10000))
    with open(instance.region, 'rb') as region:
        assert b'aaabcdaaa' in region.read(), 'what the next kernel will find'
    must(instance, 'guestmemfs', 'thaw', instance.mount)


@pytest.mark.parametrize('copy', [['cp', '-a'], ['rsync', '-aX'], ['tar']], ids=lambda argv: argv[0])
def test_trees_are_copied_in_and_out(instance, workdir, seed, copy):
    source, inner, outer = workdir + '/source', marked(instance.mount) + '/tree', workdir + '/back'
    os.mkdir(source)
    make_tree(source, random.Random(seed))
    for a, b in ((source, inner), (inner, outer)):
        if copy == ['tar']:
            os.mkdir(b)
            argv = ['sh', '-c', f'tar -C {a} -cf - . | tar -C {b} -xf -']
        else:
            argv = [*copy, a + '/', b]
        subprocess.run(argv, check=True, timeout=60)
    same_tree(source, outer)
    drop_caches()
    same_tree(source, inner)


def test_dd_writes_large_and_small(instance, workdir):
    path = marked(instance.mount) + '/f'
    subprocess.run(['dd', 'if=/dev/urandom', f'of={workdir}/x', 'bs=1M', 'count=5'], check=True, timeout=60,
                   stderr=subprocess.DEVNULL)
    for options in (['bs=4M'], ['bs=333'], ['bs=1M', 'oflag=direct'], ['bs=64k', 'oflag=append', 'conv=fsync']):
        subprocess.run(['dd', f'if={workdir}/x', f'of={path}', *options], check=True, timeout=60,
                       stderr=subprocess.DEVNULL)
        assert filecmp.cmp(workdir + '/x', path, shallow=False)


# ---- space

def test_small_files_share_blocks_and_give_them_back(instance):
    directory = marked(instance.mount)
    free = os.statvfs(instance.mount).f_bfree
    for n in range(300):
        put(f'{directory}/f{n}', b'%d' % n)
    assert os.statvfs(instance.mount).f_bfree == free - 1, '300 units in one block'
    assert instance.status()['contents'] == {'blocks': 1, 'used_bytes': 300 * UNIT}
    for n in range(300):
        assert get(f'{directory}/f{n}') == b'%d' % n
        os.unlink(f'{directory}/f{n}')
    assert wait_until(lambda: os.statvfs(instance.mount).f_bfree == free, 20)
    assert instance.status()['contents'] == {'blocks': 0, 'used_bytes': 0}


def test_no_space_changes_nothing(instance):
    directory = marked(instance.mount)
    put(directory + '/f', b'kept')
    free = os.statvfs(instance.mount).f_bavail
    make_file(instance.path('memory'), free * BLOCK)
    fd = os.open(directory + '/f', os.O_RDWR)
    os.pwrite(fd, b'x' * UNIT, UNIT)
    assert errno_of(fallocate, fd, 0, UNIT, BLOCK) == errno.ENOSPC
    assert errno_of(os.truncate, instance.path('memory'), (free + 1) * BLOCK) == errno.ENOSPC
    os.pwrite(fd, b'z' * (BLOCK - 2 * UNIT), 2 * UNIT)
    assert errno_of(os.pwrite, fd, b'a', BLOCK) == errno.ENOSPC, 'its block is full'
    assert (os.fstat(fd).st_size, units(directory + '/f')) == (BLOCK, BLOCK // UNIT)
    assert os.pread(fd, BLOCK, 0) == b'kept' + bytes(UNIT - 4) + b'x' * UNIT + b'z' * (BLOCK - 2 * UNIT)
    os.pwrite(fd, b'over', 0)
    os.unlink(instance.path('memory'))
    os.pwrite(fd, b'w' * BLOCK, BLOCK)
    assert os.pread(fd, 2 * BLOCK, BLOCK - 1) == b'z' + b'w' * BLOCK
    os.close(fd)


def test_quota_counts_units(instance):
    directory = marked(instance.mount)
    os.setxattr(directory, 'user.guestmemfs.quota', b'%d' % (10 * UNIT))
    put(directory + '/f', b'a' * (9 * UNIT))
    fd = os.open(directory + '/g', os.O_RDWR | os.O_CREAT)
    assert errno_of(os.pwrite, fd, b'b' * (2 * UNIT), 0) == errno.EDQUOT
    assert (os.fstat(fd).st_size, os.fstat(fd).st_blocks) == (0, 0)
    os.pwrite(fd, b'b' * UNIT, 0)
    assert errno_of(os.pwrite, fd, b'c', UNIT) == errno.EDQUOT
    os.pwrite(fd, b'd' * UNIT, 0)
    assert os.pread(fd, 2 * UNIT, 0) == b'd' * UNIT
    os.truncate(directory + '/f', UNIT)
    os.pwrite(fd, b'c' * (8 * UNIT), UNIT)
    os.close(fd)


def test_a_file_too_large_is_refused(instance):
    fd = os.open(marked(instance.mount) + '/f', os.O_RDWR | os.O_CREAT)
    assert errno_of(os.pwrite, fd, b'x', (1 << 63) - 2) == errno.EFBIG
    assert errno_of(os.ftruncate, fd, (1 << 62) + 1) == errno.EFBIG
    assert os.fstat(fd).st_size == 0
    os.close(fd)


def test_dirty_blocks_are_zeroed_before_they_are_used(make_instance, make_agent):
    """What a guest has left in memory is never in a file, and zeroing never comes after a write."""
    instance = make_instance(size='128M', options=['--scrub-rate', '2M']).start()
    directory = marked(instance.mount)
    memory = make_file(instance.path('memory'), os.statvfs(instance.mount).f_bavail * BLOCK)
    agent = make_agent()
    mapping = grant(agent, memory)
    agent('fill', mapping, 1)
    agent.clean_up()
    os.unlink(memory)
    assert wait_until(lambda: os.statvfs(instance.mount).f_bavail > 0, 30)
    data = os.urandom(10 * BLOCK + 777)
    put(directory + '/f', data)
    with open(directory + '/f', 'ab') as f:
        f.truncate(11 * BLOCK)
    drop_caches()
    assert get(directory + '/f') == data + bytes(BLOCK - 777)
    assert wait_until(lambda: instance.status()['scrub']['pending_blocks'] == 0, 120)
    drop_caches()
    assert get(directory + '/f') == data + bytes(BLOCK - 777), 'nobody has zeroed it since'


# ---- what it is not

def test_it_has_no_memory_to_attach(mounted, tools, make_agent):
    def body(mount):
        put(marked(mount) + '/f', b'x' * 5000)

    as_user(mounted.user, body, mounted.mount)
    path = mounted.path('io', 'f')
    agent = make_agent(user=mounted.user)
    with pytest.raises(AgentError) as refused:
        agent('attach', agent('open', path, 'rw')[0])
    assert refused.value.name == 'EMEDIUMTYPE' and 'file with content' in str(refused.value)
    for command in (['dump', path], ['extents', path], ['revoke', path]):
        done = tools.run('guestmemfs', *command, user=mounted.user)
        assert done.returncode == 1 and 'file with content' in done.stderr, command
    listed = tools.run('guestmemfs', 'ls', '--json', mounted.mount, user=mounted.user)
    entry = next(e for e in json.loads(listed.stdout)['files'] if e['path'] == '/io/f')
    assert (entry['extents'], entry['content_bytes']) == (0, 2 * UNIT)


def test_a_frozen_pool_takes_no_write(instance, tools):
    path = marked(instance.mount) + '/f'
    put(path, b'before')
    fd = os.open(path, os.O_RDWR)
    assert tools.run('guestmemfs', 'freeze', instance.mount).returncode == 0
    assert errno_of(os.pwrite, fd, b'AFTER!', 0) == errno.EBUSY
    drop_caches()
    assert os.pread(fd, 100, 0) == b'before'
    assert tools.run('guestmemfs', 'thaw', instance.mount).returncode == 0
    os.pwrite(fd, b'AFTER!', 0)
    os.close(fd)
    assert get(path) == b'AFTER!'


# ---- restarts

def test_content_outlives_restarts_and_kills(mounted, seed):
    rng = random.Random(seed)
    files = {f'f{n}': rng.randbytes(rng.choice([1, 5000, 300000])) for n in range(20)}

    def write(mount):
        directory = marked(mount)
        for name, data in files.items():
            put(f'{directory}/{name}', data)

    def check(mount):
        for name, data in files.items():
            assert get(f'{mount}/io/{name}') == data

    as_user(mounted.user, write, mounted.mount)
    mounted.stop()
    assert_clean(mounted)
    mounted.restart()
    as_user(mounted.user, check, mounted.mount)
    mounted.kill()
    mounted.restart()
    as_user(mounted.user, check, mounted.mount)
    worker = mounted.pids()['worker']
    mounted.kill('worker')
    mounted.wait_new('worker', worker)
    as_user(mounted.user, check, mounted.mount)


WRITER = r'''
import os, random, struct, sys
rng, fd, log = random.Random(int(sys.argv[1])), os.open(sys.argv[2], os.O_RDWR), os.open(sys.argv[3], os.O_WRONLY | os.O_APPEND)
for n in range(1, 1000000):
    at, length = rng.randrange(1500000), rng.choice([1, 100, 4096, 5000, 60000])
    os.write(log, struct.pack('<QQQ', n, at, length))
    data = (b'%08d' % n) * (length // 8 + 1)
    done = os.pwrite(fd, data[:length], at)
    os.write(log, struct.pack('<QQQ', n, done, 0))
    if done != length:
        os.pwrite(fd, data[done:length], at + done)
        sys.exit(3)
'''


def replay(log):
    """The bytes as acknowledged, and the last write if it was not answered as a whole, or None.

    The kernel asks for a write in pieces: the rest of a page that it has not cached, then what follows. When the
    connection ends between two, write(2) tells the length of those that were answered.
    """
    model, asked = bytearray(), None
    records = [log[k:k + 24] for k in range(0, len(log) - 23, 24)]
    for record in records:
        n, at, length = (int.from_bytes(record[k:k + 8], 'little') for k in (0, 8, 16))
        if length:
            asked = (n, at, length)
            continue
        done = at
        data = (b'%08d' % asked[0]) * (asked[2] // 8 + 1)
        model.extend(bytes(max(0, asked[1] - len(model))))
        model[asked[1]:asked[1] + done] = data[:done]
        asked = asked if done < asked[2] else None
    return model, asked


def check_against(model, asked, found):
    if asked is None:
        assert found == model
        return
    n, at, length = asked
    data = ((b'%08d' % n) * (length // 8 + 1))[:length]
    assert len(found) in (len(model), max(len(model), at + length)) or len(model) < len(found) < at + length and len(found) % 4096 == 0
    longer = model + bytes(max(0, len(found) - len(model)))
    assert found[:at] == longer[:at] and found[at + length:] == longer[at + length:], 'neighbours are untouched'
    for k in range(at, min(at + length, len(found))):
        assert found[k] in (longer[k], data[k - at])


def test_acknowledged_writes_survive_kills(make_instance, workdir, seed):
    """All three die in the midst of writes; what was answered is there, byte by byte, and the rest is as it was."""
    instance = make_instance(size='64M').start()
    marked(instance.mount)
    rng = random.Random(seed)
    path, log = instance.path('io', 'f'), workdir + '/log'
    put(path, b'')
    put(instance.path('io', 'neighbour'), b'N' * 100000)
    with open(workdir + '/writer.py', 'w', encoding='ascii') as f:
        f.write(WRITER)
    for _ in range(6):
        os.truncate(path, 0)
        put(log, b'')
        with subprocess.Popen(['/usr/bin/python3', workdir + '/writer.py', str(rng.randrange(1 << 30)), path, log],
                              stderr=subprocess.DEVNULL) as writer:
            enough = rng.randrange(20, 200) * 24
            assert wait_until(lambda n=enough: os.path.getsize(log) >= n, 60)
            instance.kill()
            assert writer.wait(60) == 1, 'a short count is followed by an error'
        model, asked = replay(get(log))
        instance.restart()
        check_against(model, asked, get(path))
        assert get(instance.path('io', 'neighbour')) == b'N' * 100000
    instance.stop()
    assert_clean(instance)
