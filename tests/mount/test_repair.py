# SPDX-License-Identifier: MIT
"""guestmemfs fsck --repair: a pool that is refused is looked at, asked about, copied, repaired, and mounted again."""

import errno
import hashlib
import os
import pty
import struct
import subprocess

import pytest

from evidence import BLOCK, assert_clean, make_region, must, refused
from harness import PLAIN, ROOT

SUPERBLOCKS = (0, 0x100000)
HEAD = 16384  # of a copy, before the metadata
DATA = bytes(range(251)) * 5000


def command(instance, *words, stdin=subprocess.DEVNULL, data=None, stdout=subprocess.PIPE, cwd='/'):
    argv = [*instance.user.argv(), instance.tools.path('guestmemfs'), *map(str, words)]
    options = {'stdin': stdin} if data is None else {'input': data}
    return subprocess.run(argv, env=instance.user.environment(), stdout=stdout, stderr=subprocess.PIPE, timeout=60,
                          check=False, cwd=cwd, **options)


def repair(instance, *words, **options):
    return command(instance, 'fsck', '--repair', '--region', f'file:{instance.region}', *words, **options)


def overwrite(path, offset, data):
    with open(path, 'r+b') as f:
        os.pwrite(f.fileno(), data, offset)


def read(path, offset=0, length=-1):
    with open(path, 'rb') as f:
        f.seek(offset)
        return f.read(length)


def metadata_bytes(instance):
    return struct.unpack('<Q', read(instance.region, 88, 8))[0] * BLOCK


def guests_hash(instance, metadata):
    """Of all that is not metadata: what guests have, and the last block."""
    return hashlib.sha256(read(instance.region, metadata)).hexdigest()


def copy_path(instance):
    """A place where the instance's user may write."""
    return os.path.join(instance.directory, 'copy')


@pytest.fixture
def pool(make_instance, user_of_pool):
    """An instance that has ended, with a file and directories."""
    instance = make_region(make_instance(user=user_of_pool)).start()
    assert command(instance, 'load', instance.path('f'), data=DATA).returncode == 0
    must(instance, 'mkdir', '-p', *(instance.path(f'd/{i}') for i in range(5)))
    instance.names = set(instance.tree())
    assert instance.stop() == 0
    return instance


@pytest.fixture
def user_of_pool():
    return ROOT


def lose_superblocks(instance):
    for offset in SUPERBLOCKS:
        overwrite(instance.region, offset, bytes(4096))


def mounts_again(instance):
    instance.start()
    names = set(instance.tree())
    assert command(instance, 'dump', instance.path('f')).stdout == DATA
    assert instance.stop() == 0
    assert_clean(instance)
    return names


@pytest.mark.parametrize('user_of_pool', [ROOT, PLAIN], ids=['root', 'plain'])
def test_superblocks_that_are_lost_are_made_anew(pool):
    metadata = metadata_bytes(pool)
    lose_superblocks(pool)
    before, guests = read(pool.region), guests_hash(pool, metadata)
    assert pool.fsck().returncode == 1
    assert 'there is no filesystem' in refused(pool)

    unasked = repair(pool)
    assert unasked.returncode == 2 and b'there is no terminal to ask at' in unasked.stderr
    assert b'kept: both superblocks are lost; they are made anew' in unasked.stdout
    assert read(pool.region) == before and not os.path.exists(copy_path(pool)), 'something was written unasked'

    done = repair(pool, '--yes', '--backup', copy_path(pool))
    assert done.returncode == 0 and done.stdout.splitlines()[-1].startswith(b'repaired: '), done
    assert read(copy_path(pool), HEAD) == before[:metadata], 'the copy is not what there was'
    assert guests_hash(pool, metadata) == guests
    assert_clean(pool)
    again = repair(pool)
    assert (again.returncode, again.stdout) == (0, b'nothing to repair\n')
    assert mounts_again(pool) == pool.names


def test_a_journal_that_is_torn_is_kept_up_to_there(pool):
    pool.start()
    must(pool, 'mkdir', *(pool.path(f'late{i}') for i in range(20)))
    pool.kill()
    subprocess.run(['umount', '-l', pool.mount], check=True, timeout=20)
    metadata = metadata_bytes(pool)
    journal = struct.unpack('<Q', read(pool.region, 96, 8))[0]
    torn = read(pool.region, journal, 1 << 20).index(b'late10')
    guests = guests_hash(pool, metadata)
    overwrite(pool.region, journal + torn, b'\xff' * 64)
    assert 'journal record' in refused(pool)
    done = repair(pool, '--yes', '--backup', copy_path(pool))
    text = done.stdout.decode()
    assert done.returncode == 0, done
    assert 'lost: the journal is damaged at 0x' in text and 'entry "late19" of inode' in text
    assert guests_hash(pool, metadata) == guests
    names = mounts_again(pool)
    assert names == pool.names | {f'late{i}' for i in range(10)}


def answer(instance, text, *words):
    """What it says to who sits at a terminal, and its exit code."""
    ours, theirs = pty.openpty()
    os.write(ours, text)
    try:
        done = repair(instance, *words, stdin=theirs, stdout=theirs)
        os.close(theirs)
        said = b''
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:
                break
            if not part:
                break
            said += part
        return done.returncode, said
    finally:
        os.close(ours)


def test_it_asks_and_takes_nothing_but_yes(pool):
    lose_superblocks(pool)
    before = read(pool.region)
    options = ('--backup', copy_path(pool))
    for text in (b'no\n', b'y\n', b'\n', b'\x04'):
        code, said = answer(pool, text, *options)
        assert code == 1 and b'Type yes: ' in said and b'nothing was changed' in said, said
        assert read(pool.region) == before and not os.path.exists(copy_path(pool))
    code, said = answer(pool, b'yes\n', *options)
    assert code == 0 and b'repaired: ' in said
    assert mounts_again(pool) == pool.names


def test_nothing_is_written_without_a_whole_copy(pool, tmp_path):
    lose_superblocks(pool)
    before = read(pool.region)
    options = ('--yes', '--backup')
    there = os.path.join(pool.directory, 'there')
    with open(there, 'w', encoding='utf-8'):
        pass
    for path, reason in ((there, b'File exists'), ('/dev/shm/none/such', b'No such file or directory')):
        done = repair(pool, *options, path)
        assert done.returncode == 1 and b'nothing was changed: ' + reason in done.stderr, done
        assert read(pool.region) == before
    full = ['prlimit', '--fsize=1000000']
    done = subprocess.run([*full, *pool.user.argv(), pool.tools.path('guestmemfs'), 'fsck', '--repair', '--region',
                           f'file:{pool.region}', *map(str, options), copy_path(pool)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60, check=False, cwd=tmp_path)
    assert done.returncode == 1 and b'nothing was changed: File too large' in done.stderr, done
    assert read(pool.region) == before and not os.path.exists(copy_path(pool))


def test_without_a_name_the_copy_is_in_the_working_directory(pool):
    lose_superblocks(pool)
    done = repair(pool, '--yes', cwd=pool.directory)
    assert done.returncode == 0, done
    names = [name for name in os.listdir(pool.directory) if name.endswith('.metadata')]
    assert len(names) == 1 and names[0].startswith('guestmemfs-') and names[0].encode() in done.stdout


def test_a_pool_in_use_is_left_alone(instance):
    done = repair(instance, '--yes')
    assert done.returncode == 1 and b'is in use by another' in done.stderr


# -- the copy goes back

def restore(instance, copy, *words, **options):
    return command(instance, 'fsck', '--restore', copy, '--region', f'file:{instance.region}', *words, **options)


def test_a_copy_goes_back_as_it_was(pool):
    overwrite(pool.region, os.path.getsize(pool.region) - BLOCK + 0x3000, bytes(128))  # the last stamp
    lose_superblocks(pool)
    before = read(pool.region)
    copy, second = copy_path(pool), os.path.join(pool.directory, 'second')
    done = repair(pool, '--yes', '--backup', copy)
    assert done.returncode == 0, done
    repaired = read(pool.region)

    unasked = restore(pool, copy)
    assert unasked.returncode == 2 and b'there is no terminal to ask at' in unasked.stderr
    assert b'every change since then is lost' in unasked.stdout
    assert read(pool.region) == repaired

    done = restore(pool, copy, '--yes', '--backup', second)
    assert done.returncode == 0 and b'restored; ' in done.stdout, done
    assert read(pool.region) == before, 'not every byte is back'
    assert pool.fsck().returncode == 1
    # What it has written over goes back as well, and shows nothing of the first one's stamp.
    done = restore(pool, second, '--yes', '--backup', os.path.join(pool.directory, 'third'))
    assert done.returncode == 0, done
    assert read(pool.region) == repaired
    assert mounts_again(pool) == pool.names


def test_what_is_no_copy_of_this_pool_does_not_go_back(pool, make_instance):
    copy, other = copy_path(pool), make_region(make_instance())
    lose_superblocks(pool)
    assert repair(pool, '--yes', '--backup', copy).returncode == 0
    whole, before = read(copy), read(pool.region)
    cases = [(whole[:-1], b'is not whole'), (whole[:100], b'is no copy of metadata'), (b'', b'is no copy of metadata'),
             (bytes(20000), b'is no copy of metadata'),
             (whole[:50] + bytes([whole[50] ^ 1]) + whole[51:], b'is damaged'),
             (whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:], b'is damaged')]
    options = ('--yes', '--backup', os.path.join(pool.directory, 'second'))
    for data, reason in cases:
        overwrite(copy, 0, data)
        os.truncate(copy, len(data))
        done = restore(pool, copy, *options)
        assert done.returncode == 1 and reason in done.stderr, done
        assert read(pool.region) == before
    overwrite(copy, 0, whole)
    before = read(other.region)
    done = restore(other, copy, *options)
    assert done.returncode == 1 and b'the copy is not of region' in done.stderr, done
    assert read(other.region) == before
    done = restore(pool, '/nowhere/copy', *options)
    assert done.returncode == 1 and b'opening /nowhere/copy' in done.stderr, done
    assert not os.path.exists(os.path.join(pool.directory, 'second'))


# -- memory that can't be read

@pytest.fixture
def hole(make_instance):
    """
    A pool in a full tmpfs, with a hole where the checkpoint in force was: reading it is a SIGBUS until there is room
    again, then it is zeros.
    """
    instance = make_region(make_instance()).start()
    must(instance, 'mkdir', instance.path('d'))
    assert instance.stop() == 0
    slots = struct.unpack('<QQ', read(instance.region, 112, 16))
    word = struct.unpack('<Q', read(instance.region, 0x1000, 8))[0]
    instance.hole = slots[word & 1]
    instance.full = os.path.join(instance.directory, 'full')
    os.mkdir(instance.full)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=80M,mode=755', 'full', instance.full], check=True, timeout=20)
    subprocess.run(['cp', '--sparse=never', instance.region, instance.full], check=True, timeout=60)
    instance.region = os.path.join(instance.full, 'region')
    subprocess.run(['fallocate', '--punch-hole', '-o', str(instance.hole), '-l', '65536', instance.region], check=True,
                   timeout=20)
    fill(instance)
    try:
        yield instance
    finally:
        subprocess.run(['umount', '-l', instance.full], check=True, timeout=20)


def fill(instance):
    with open(os.path.join(instance.full, 'filler'), 'wb', buffering=0) as f:
        try:
            while f.write(bytes(4096)):
                pass
        except OSError as e:
            assert e.errno == errno.ENOSPC


def test_memory_that_can_not_be_read_is_a_sentence(hole):
    place = f"can't be read at offset {hole.hole:#x}: the memory is not there any more"
    done = hole.fsck()
    assert done.returncode == 1 and place in done.stderr, done
    assert place in refused(hole)
    assert 'SIGBUS' not in hole.log() and 'Bus error' not in hole.log()


def test_memory_that_can_not_be_read_counts_as_lost(hole):
    copy = ('--yes', '--backup', copy_path(hole))
    done = repair(hole, *copy)
    place = f"65536 bytes at offset {hole.hole:#x} of region {hole.region} can't be read: the memory is not there"
    assert place.encode() in done.stdout, done
    # What is kept goes where the bad checkpoint was, and for that there is no room, either.
    assert done.returncode == 1 and b"can't be written at offset 0x" in done.stderr, done
    os.unlink(copy_path(hole))
    os.unlink(os.path.join(hole.full, 'filler'))
    done = repair(hole, *copy)
    assert done.returncode == 0, done
    assert_clean(hole)
    hole.start()
    assert hole.stop() == 0
