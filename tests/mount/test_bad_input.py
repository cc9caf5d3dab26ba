# SPDX-License-Identifier: MIT
"""
What can't be served is refused with a sentence that says what is wrong, where, and what to do; the exit code is 1, or 2
for a command line that makes no sense; not a byte of the region has changed, and nothing is left mounted or lying about.
"""

import contextlib
import os
import shutil
import socket
import subprocess

import pytest

from damage import Damage
from evidence import (BLOCK, as_user, assert_clean, assert_nothing_left, make_region, must, refused,
                      region_hash, tree)
from harness import OTHER, PLAIN, ROOT, User
from processes import wait_until

MIB = 1 << 20


@pytest.fixture
def pool(make_instance):
    """An instance that has ended, with some files, and journal records that no checkpoint has made up for."""
    instance = make_region(make_instance()).start()
    must(instance, 'mkdir', instance.path('d'))
    must(instance, 'truncate', '-s', 3 * BLOCK, instance.path('d/vm0'))
    assert instance.stop() == 0
    instance.start()
    for i in range(20):
        os.mkdir(instance.path(f'd/{i}'))
    instance.tree = tree(instance)
    instance.kill()
    subprocess.run(['umount', '-l', instance.mount], check=True, timeout=20)
    shutil.rmtree(instance.runtime_directory)
    return instance


def assert_refused(instance, sentence, *options, status=1, size=None):
    """All of it: sentence, exit code, and a world that is as it was."""
    before = region_hash(instance.region) if os.path.isfile(instance.region) else None
    text = refused(instance, *options, status=status, size=size)
    assert sentence in text, text
    assert 'guestmemfs-fuse: ' in text
    assert 'ssertion' not in text and 'ignal' not in text, text
    assert_nothing_left(instance)
    if before:
        assert region_hash(instance.region) == before, 'the region has changed'
    else:
        assert not os.path.isfile(instance.region), 'a region was left behind'
    return text


# -- what is no region

@pytest.mark.parametrize('make, sentence', [
    (os.mkdir, 'is a directory; a file: region is a regular file'),
    (os.mkfifo, 'is a named pipe; a file: region is a regular file'),
    (lambda p: os.mknod(p, 0o20600, os.makedev(1, 5)), 'is a character device; a file: region is a regular file'),
    (lambda p: os.symlink('/dev/shm', p), 'is a symbolic link, which could lead elsewhere at the next start'),
    (lambda p: socket.socket(socket.AF_UNIX).bind(p), 'is a socket; a file: region is a regular file'),
], ids=['directory', 'fifo', 'character-device', 'symlink', 'socket'])
@pytest.mark.parametrize('size', [None, '64M'], ids=['no-size', 'with-size'])
def test_not_a_file(make_instance, make, sentence, size):
    instance = make_instance()
    make(instance.region)
    before = os.lstat(instance.region)
    assert_refused(instance, sentence, size=size)
    assert os.lstat(instance.region) == before


def content(path, data, size=None):
    with open(path, 'wb') as f:
        f.write(data)
        if size:
            f.truncate(size)


@pytest.mark.parametrize('data, size, sentence', [
    (b'#!/bin/sh\nexit 0\n', None, 'which is not a multiple of 2M: it is not a region, or it was cut short'),
    (b'', None, 'is an empty file: remove it and have it made with size=SIZE'),
    (b'A letter to nobody.\n' * 1000, 64 * MIB, 'holds something else than a guestmemfs filesystem'),
    (b'', 64 * MIB, 'there is no filesystem on the region; make one with guestmemfs format'),
    (b'', 2 * MIB, 'there is no filesystem on the region'),
], ids=['script', 'empty', 'letter', 'zeroes', 'one-block'])
def test_not_ours(make_instance, data, size, sentence):
    instance = make_instance()
    content(instance.region, data, size)
    assert_refused(instance, sentence)


def test_no_region(make_instance):
    instance = make_instance()
    assert_refused(instance, 'does not exist: check the path, or add ,size=SIZE to have it made')
    instance.region = os.path.join(instance.directory, 'nowhere/region')
    assert_refused(instance, "can't be made: its directory does not exist", size='64M')


def test_letter_is_formatted_only_by_force(make_instance):
    instance = make_instance()
    content(instance.region, b'A letter to nobody.\n' * 1000, 64 * MIB)
    assert_refused(instance, 'holds something else than a guestmemfs filesystem', '--format=blank')
    instance.start('--format=force')
    assert os.listdir(instance.mount) == []


@pytest.mark.parametrize('size, need', [('2M', 'MiB'), ('10M', 'MiB'), ('48M', 'MiB')])
def test_region_too_small(make_instance, size, need):
    text = assert_refused(make_instance(), 'the region is too small', size=size)
    assert f'{size[:-1]} MiB' in text and need in text


@pytest.mark.parametrize('size, sentence', [
    ('0', 'is not a multiple of 2M'), ('3M', 'is not a multiple of 2M'), ('-64M', 'is not a size'),
    ('64X', 'is not a size'), ('99999999999999999999T', 'more than 64 bits can hold'),
    ('16777214T', 'more than'), ('64M,size=64M', 'size= is given twice'), ('64M,colour=red', "no option 'colour='"),
])
def test_size_that_makes_no_sense(make_instance, size, sentence):
    assert_refused(make_instance(), sentence, size=size)


@pytest.mark.parametrize('spec, sentence', [
    ('', 'it must begin with its kind'), ('/dev/shm/region', 'it must begin with its kind'),
    ('hard:x', 'it must begin with its kind'), ('soft:x', 'is named by its physical start'), ('file:', "there is no path after 'file:'"),
    ('file:,size=64M', "there is no path after 'file:'"),
])
def test_region_syntax(tools, make_instance, spec, sentence):
    instance = make_instance()
    done = tools.run('guestmemfs-fuse', '-f', '--region', spec, instance.mount)
    assert done.returncode in (1, 2) and sentence in done.stderr
    assert not instance.is_mounted()


def test_same_region_twice(pool):
    assert_refused(pool, 'are the same memory: a pool has each one once', '--region', f'file:{pool.region}')


# -- a region of ours that something has happened to

@pytest.mark.parametrize('copy, ordinal', [('super_a', 'first'), ('super_b', 'second')])
def test_one_superblock_is_healed(pool, copy, ordinal):
    damage = Damage(pool.region)
    damage.flip(damage.place(copy) + 100)
    pool.start()
    assert f'the {ordinal} superblock was damaged; it is written anew from the other one' in pool.log()
    assert tree(pool) == pool.tree
    assert pool.stop() == 0
    assert_clean(pool)
    pool.start()
    assert pool.log(pool.log_start).count('was damaged') == 0


def test_both_superblocks_damaged(pool):
    damage = Damage(pool.region)
    for copy in ('super_b', 'super_a'):
        damage.flip(damage.place(copy) + 100)
    for option in ([], ['--format=blank']):
        text = assert_refused(pool, 'both superblocks are damaged', *option)
        assert '0x0: its checksum is wrong' in text and '0x100000: its checksum is wrong' in text


def test_one_slot_word_is_healed(pool):
    damage = Damage(pool.region)
    damage.flip(damage.place('slot_word_b') + 2)
    pool.start()
    assert tree(pool) == pool.tree
    assert pool.stop() == 0
    assert_clean(pool)


DAMAGES = {
    'newer-incompat': (lambda d: d('incompat', 0x10), 'made by a newer guestmemfs (unknown incompat features 0x10)'),
    'newer-ro-compat': (lambda d: d('ro-compat', 0x8), 'made by a newer guestmemfs (unknown ro_compat features 0x8)'),
    'newer-major': (lambda d: d('major', 2), 'made by a newer guestmemfs (format version 2.0'),
    'slot-words': (lambda d: [d.flip(o + 2) for o in (d.place('slot_word_b'), d.place('slot_word_a'))],
                   'both slot words (at 0x1000 and 0x101000 of the region) are damaged'),
    'tail-word': (lambda d: d.flip(d.place('tail_word')), "the journal's tail word (at 0x2000 of the region)"),
    'first-record': (lambda d: d.flip(d.place('journal') + 70), 'journal record 0 (at 0x200000 of the region'),
    'later-record': (lambda d: d.flip(d.place('journal') + d.place('journal_used') - 70), 'journal record '),
    'checkpoint-header': (lambda d: d.flip(d.place('checkpoint') + 40), "the checkpoint in slot "),
    'checkpoint-body': (lambda d: d.flip(d.place('checkpoint') + 4096 + 8), "the checkpoint in slot "),
    'first-stamp': (lambda d: d.flip(d.place('first_stamp') + 30), 'the stamp in the first block of region 0'),
    'last-stamp': (lambda d: d.flip(d.place('last_stamp') + 30), 'the stamp in the last block of region 0'),
    'foreign-stamp': (lambda d: d('stamp-region', 3), 'the stamp in the last block'),
    'shrunk': (lambda d: os.truncate(d.region, 62 * MIB), 'is 62M, but was 64M when the pool was formatted'),
    'grown': (lambda d: os.truncate(d.region, 66 * MIB), 'is 66M, but was 64M when the pool was formatted'),
    'cut': (lambda d: os.truncate(d.region, 64 * MIB - 4096), 'it is not a region, or it was cut short'),
}


@pytest.mark.parametrize('name', DAMAGES)
def test_damage_is_refused_and_named(pool, name):
    """Whoever says "blank" means what nobody has written to: damaged is not blank. And fsck sees it too."""
    do, sentence = DAMAGES[name]
    do(Damage(pool.region))
    assert_refused(pool, sentence)
    before = region_hash(pool.region)
    refused(pool, '--format=blank')
    assert region_hash(pool.region) == before
    assert pool.fsck().returncode == 1
    assert region_hash(pool.region) == before


@pytest.mark.parametrize('name', ['first-record', 'checkpoint-body', 'last-stamp'])
def test_damage_undone_is_as_if_nothing_had_been(pool, name):
    """A refusal has lost nothing."""
    copy = pool.region + '.copy'
    shutil.copyfile(pool.region, copy)
    DAMAGES[name][0](Damage(pool.region))
    refused(pool)
    shutil.copyfile(copy, pool.region)
    pool.start()
    assert tree(pool) == pool.tree


def test_locked_by_another_command(pool):
    """flock(2) as our own commands take it."""
    with subprocess.Popen(['flock', pool.region, 'sleep', '60']) as holder:
        try:
            assert wait_until(lambda: subprocess.run(['flock', '-n', pool.region, 'true'], check=False).returncode != 0, 20)
            assert_refused(pool, 'its lock is taken); end that one first, fuser ')
        finally:
            subprocess.run(['fuser', '-k', '-s', pool.region], check=False, timeout=20)
            holder.kill()


def test_region_of_another_user(make_instance, pool):
    other = make_instance(user=PLAIN)
    other.region = pool.region
    assert_refused(other, 'no permission to open region')


# -- where to

def test_mount_points(pool):
    mount = pool.mount
    pool.mount = os.path.join(pool.directory, 'nowhere')
    assert_refused(pool, 'No such file or directory')
    pool.mount = os.path.join(pool.directory, 'file')
    content(pool.mount, b'')
    assert_refused(pool, 'is not a directory')
    pool.mount = os.path.join(pool.directory, 'nowhere/below')
    assert_refused(pool, 'No such file or directory')
    pool.mount = mount
    pool.start()
    assert tree(pool) == pool.tree


def test_name_too_long(pool):
    for name in ('n' * 300, '.hidden', 'a/b', 'a b', ''):
        assert_refused(pool, f'--name {name}', '--name', name, status=2)
    pool.mount = os.path.join(pool.directory, 'with blank')
    os.mkdir(pool.mount)
    done = pool.tools.run('guestmemfs-fuse', '-f', '--region', f'file:{pool.region}', pool.mount)
    assert done.returncode in (1, 2) and "can't be the name of the instance" in done.stderr


def test_socket_path_too_long(pool):
    assert_refused(pool, "is too long for a socket's path", '--socket', '/tmp/' + 's' * 120)


def test_socket_path_is_taken(pool):
    path = os.path.join(pool.directory, 'letter')
    content(path, b'Do not remove.')
    assert_refused(pool, 'is there and is not a socket', '--socket', path)
    with open(path, 'rb') as f:
        assert f.read() == b'Do not remove.'


@pytest.mark.parametrize('options, sentence', [
    (['-o', 'dev'], '-o dev is refused: guestmemfs holds guest memory only'),
    (['-o', 'suid'], '-o suid is refused'),
    (['-o', 'ro,dev'], '-o dev is refused'),
    (['-o', 'nonsense'], '-o nonsense: unknown mount option'),
    (['-o'], 'value'),
    (['--format=perhaps'], '--format=perhaps: say never, blank or force'),
    (['--trusted-group', 'no such group'], 'there is no such group'),
    (['--nonsense'], '--nonsense is not an option'),
    (['-x'], '-x is not an option'),
    (['/somewhere/else'], 'one mount point, not'),
], ids=lambda v: ' '.join(v) if isinstance(v, list) else '')
def test_command_line_that_makes_no_sense(pool, options, sentence):
    if options == ['-o']:  # at the end of the line
        done = pool.tools.run('guestmemfs-fuse', '--region', f'file:{pool.region}', pool.mount, '-o')
        assert done.returncode == 2 and 'needs a value' in done.stderr
    else:
        assert_refused(pool, sentence, *options, status=2)


def test_allow_other_is_roots(make_instance):
    instance = make_region(make_instance(user=PLAIN))
    assert_refused(instance, 'a mount made by a user other than root is for that user alone', '-o', 'allow_other',
                   status=2)


# -- a machine that lacks something

def in_other_world(instance, script, *options, user=ROOT):
    """A start behind a shell script in a mount namespace of its own: exit code and words."""
    argv = [*user.argv(), instance.tools.path('guestmemfs-fuse'), '-f', '--name', instance.name, '--region',
            f'file:{instance.region}', *options, instance.mount]
    return subprocess.run(['unshare', '-m', '--propagation', 'private', 'sh', '-ec', f'{script}\nexec "$@"', 'sh', *argv],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=40, check=False, cwd='/',
                          env=user.environment())


def assert_refused_in(instance, script, sentence, user=ROOT):
    before = region_hash(instance.region)
    done = in_other_world(instance, script, user=user)
    assert done.returncode == 1 and sentence in done.stderr, (done.returncode, done.stderr)
    assert region_hash(instance.region) == before
    assert not instance.is_mounted()


def test_no_dev_fuse(pool):
    assert_refused_in(pool, f'mkdir -p {pool.directory}/dev\nmount -t tmpfs none {pool.directory}/dev\n'
                            f'cp -a /dev/null {pool.directory}/dev/\nmkdir {pool.directory}/dev/shm\n'
                            f'mount --bind /dev/shm {pool.directory}/dev/shm\n'
                            f'mount --rbind {pool.directory}/dev /dev',
                      '/dev/fuse is not there: load the kernel')


def test_dev_fuse_is_not_for_everybody(make_instance):
    instance = make_region(make_instance(user=PLAIN))
    assert_refused_in(instance, f'mknod -m 600 {instance.directory}/fuse c 10 229\n'
                                f'mount --bind {instance.directory}/fuse /dev/fuse',
                      "/dev/fuse can't be opened for reading and writing", user=PLAIN)


def test_no_fusermount3(make_instance):
    instance = make_region(make_instance(user=PLAIN))
    program = os.path.realpath(shutil.which('fusermount3'))
    assert_refused_in(instance, f'mount --bind /dev/null {program}',
                      'fusermount3 is not there, without which only root can mount', user=PLAIN)


def test_no_helper(pool):
    path = os.path.join(pool.tools.prefix, 'libexec/guestmemfs-helper')
    assert_refused_in(pool, f'mount --bind /dev/null {path}', f'starting {path}: Permission denied')


def test_runtime_directory_can_not_be_written(pool):
    assert_refused_in(pool, 'mkdir -p /run/guestmemfs\nmount -t tmpfs -o ro,mode=755 none /run/guestmemfs',
                      f'making the runtime directory {pool.runtime_directory}: Read-only file system')


def test_no_room_for_the_helpers_notes(pool):
    """They are made in full at the start, so that no grant ever meets a full /run."""
    assert_refused_in(pool, 'mkdir -p /run/guestmemfs\nmount -t tmpfs -o size=4k,mode=755 none /run/guestmemfs',
                      f'no room for {4096 + 16 * (os.path.getsize(pool.region) >> 21)} bytes in /run/guestmemfs/.granted-')


@pytest.mark.parametrize('make', [os.mkdir, lambda p: os.symlink('/root', p), lambda p: content(p, b'')],
                         ids=['directory', 'symlink', 'file'])
def test_runtime_directory_of_somebody_else(make_instance, make):
    """In /tmp anybody may have been there first."""
    user = User(OTHER.uid - 2, OTHER.gid - 2)
    instance = make_region(make_instance(user=user))
    base = f'/tmp/guestmemfs-{user.uid}'
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(base)
    make(base)
    try:
        before = region_hash(instance.region)
        assert 'runtime directory /tmp/guestmemfs-' in refused(instance)
        assert region_hash(instance.region) == before and not instance.is_mounted()
    finally:
        (shutil.rmtree if os.path.isdir(base) and not os.path.islink(base) else os.unlink)(base)


def test_no_space_for_the_region(make_instance):
    instance = make_instance()
    small = os.path.join(instance.directory, 'small')
    os.mkdir(small)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=32M', 'small', small], check=True, timeout=20)
    try:
        instance.region = os.path.join(small, 'region')
        text = assert_refused(instance, 'no space for the 64M of region', size='64M')
        assert 'make room on its file system' in text
        assert os.listdir(small) == [] and os.statvfs(small).f_bfree * 4096 == 32 * MIB
    finally:
        subprocess.run(['umount', small], check=True, timeout=20)


def test_failed_first_start_leaves_no_region(make_instance):
    """Made, formatted, and then it turns out that there is no helper: the next start with size= finds nothing there."""
    instance = make_instance()
    path = os.path.join(instance.tools.prefix, 'libexec/guestmemfs-helper')
    given, instance.region = instance.region, f'{instance.region},size=64M'
    done = in_other_world(instance, f'mount --bind /dev/null {path}')
    instance.region = given
    assert done.returncode == 1 and 'guestmemfs-helper: Permission denied' in done.stderr
    assert not os.path.exists(instance.region)
    assert_nothing_left(instance)
    instance.start()


def test_as_user_can_not_mount_over_roots_directory(make_instance):
    instance = make_region(make_instance(user=PLAIN))
    os.chown(instance.mount, 0, 0)
    assert_refused(instance, f'mount point {instance.mount}: a user other than root must be able to write to it')
    os.chown(instance.mount, PLAIN.uid, PLAIN.gid)
    instance.start()
    assert as_user(instance, 'ls', instance.mount).returncode == 0
