# SPDX-License-Identifier: MIT
"""
Links, symlinks, FIFOs, sockets and device nodes on a real mount: what they are to the kernel and to commands, that they
outlive our processes, and that a second name is as good as the first for memory that is in use.
"""

import errno
import fcntl
import os
import socket
import stat

import pytest

from evidence import BLOCK, assert_clean, blocks_of, grant, held_file, make_region
from persona import errno_of, make_file
from processes import wait_until

COUNT = 100_000  # entries of a large directory


def make_one_of_each(mount):
    """Of root: device nodes are for root alone."""
    make_file(f'{mount}/f', BLOCK)
    os.mkdir(f'{mount}/d', 0o755)
    os.link(f'{mount}/f', f'{mount}/d/g')
    os.symlink('../f', f'{mount}/d/to-f')
    os.symlink('x' * 4095, f'{mount}/long')
    os.symlink('nowhere', f'{mount}/dangling')
    os.link(f'{mount}/long', f'{mount}/d/long', follow_symlinks=False)
    os.mkfifo(f'{mount}/fifo', 0o640)
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(f'{mount}/socket')
    os.mknod(f'{mount}/char', stat.S_IFCHR | 0o666, os.makedev(1, 5))
    os.mknod(f'{mount}/block', stat.S_IFBLK | 0o600, os.makedev(4095, (1 << 20) - 1))


def picture(mount):
    """All that lstat(2) says, with the targets."""
    seen = {}
    for directory, names, files in os.walk(mount):
        for name in names + files:
            path = os.path.join(directory, name)
            st = os.lstat(path)
            seen[os.path.relpath(path, mount)] = (
                st.st_ino, st.st_mode, st.st_nlink, st.st_uid, st.st_size, st.st_rdev, st.st_mtime_ns, st.st_ctime_ns,
                os.readlink(path) if stat.S_ISLNK(st.st_mode) else None)
    return seen


def test_every_type_is_what_it_was_after_kill_and_checkpoint(instance):
    make_one_of_each(instance.mount)
    before = picture(instance.mount)
    assert before['f'][0] == before['d/g'][0] and before['f'][2] == 2
    assert before['d/to-f'][8] == '../f' and before['long'][8] == 'x' * 4095 and before['d/long'][2] == 2
    assert before['char'][5] == os.makedev(1, 5) and before['block'][5] == os.makedev(4095, (1 << 20) - 1)
    instance.kill()
    instance.restart()  # from the journal
    assert picture(instance.mount) == before
    assert instance.stop() == 0
    assert_clean(instance)
    instance.restart()  # from the checkpoint
    assert picture(instance.mount) == before
    for name in ('d/g', 'fifo', 'long', 'd/long', 'socket', 'char', 'block', 'dangling', 'd/to-f', 'f'):
        os.unlink(instance.path(name))
    os.rmdir(instance.path('d'))
    assert instance.status()['files']['count'] == 1
    assert instance.status()['blocks']['used'] == 0


def test_nodes_do_what_the_kernel_does_with_them(instance):
    make_one_of_each(instance.mount)
    with open(instance.path('fifo'), 'r+b', buffering=0) as fifo:
        fifo.write(b'through')
        assert fifo.read(7) == b'through'
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        os.unlink(instance.path('socket'))
        listener.bind(instance.path('socket'))
        listener.listen(1)
        client.connect(instance.path('socket'))
        listener.accept()[0].close()
    assert errno_of(os.open, instance.path('char'), os.O_RDONLY) == errno.EACCES, 'the mount is nodev'
    assert errno_of(os.link, instance.path('f'), f'{instance.directory}/out') == errno.EXDEV
    assert os.stat(instance.path('d/to-f')).st_ino == os.stat(instance.path('f')).st_ino


def test_commands_say_what_is_no_file(instance):
    make_one_of_each(instance.mount)

    def told(command, name):
        done = instance.tools.run('guestmemfs', command, instance.path(name), timeout=30)
        assert done.returncode == 1, (command, name, done.stdout)
        return done.stderr

    for name, kind in (('fifo', 'FIFO'), ('socket', 'socket'), ('char', 'device node')):
        for command in ('load', 'dump', 'revoke'):
            assert f'it is a {kind}, and only regular files have memory' in told(command, name)
        assert 'is not a regular file' in told('extents', name)
    assert 'a symlink, and what it points to is not there' in told('load', 'dangling')
    assert 'No such file or directory' in told('dump', 'dangling')
    assert 'No such file or directory' in told('extents', 'dangling')
    assert picture(instance.mount)['fifo'][4] == 0

    # A symlink to a file is that file.
    done = instance.tools.run('guestmemfs', 'extents', instance.path('d/to-f'))
    assert done.returncode == 0 and done.stdout == instance.tools.run(
        'guestmemfs', 'extents', instance.path('f')).stdout
    for name, letter in (('fifo', 'p'), ('socket', 's'), ('char', 'c'), ('block', 'b')):
        done = instance.tools.run('guestmemfs', 'ls', instance.path(name))
        assert done.returncode == 0 and done.stdout.splitlines()[1].startswith(letter), done
    listing = instance.tools.run('guestmemfs', 'ls', instance.mount).stdout
    assert '/dangling -> nowhere\n' in listing and '/d/to-f -> ../f\n' in listing


def test_every_name_of_held_memory_keeps_it(instance, make_agent):
    agent = make_agent()
    held_file(instance, agent, 'vm', 2, 7)
    os.link(instance.path('vm'), instance.path('other'))
    blocks = blocks_of(instance, 'vm')
    assert blocks_of(instance, 'other') == blocks
    for name in ('vm', 'other'):
        assert errno_of(os.open, instance.path(name), os.O_RDWR | os.O_TRUNC) == errno.EBUSY
        assert errno_of(os.truncate, instance.path(name), BLOCK) == errno.EBUSY
    os.unlink(instance.path('vm'))
    assert instance.status()['orphans'] == 0 and blocks_of(instance, 'other') == blocks
    make_file(instance.path('empty'))
    os.rename(instance.path('empty'), instance.path('other'))  # its last name goes
    status = instance.status()
    assert (status['orphans'], status['blocks']['used']) == (1, 2)
    agent.kill()
    instance.wait_status(lambda s: s['orphans'] == 0 and s['blocks']['used'] == 0)


def test_a_second_name_leads_to_the_same_memory(instance, make_agent):
    make_file(instance.path('vm'), 2 * BLOCK)
    os.link(instance.path('vm'), instance.path('other'))
    os.symlink('other', instance.path('link'))
    agent = make_agent()
    agent('fill', grant(agent, instance.path('vm')), 3)
    for name in ('other', 'link'):
        agent('check', grant(agent, instance.path(name)), 3)


def test_locks_are_seen_by_other_processes_and_go_with_their_owner(inside):
    def child_gets(path, lock):
        pid = os.fork()
        if pid == 0:
            with open(path, 'r+b', buffering=0) as f:
                try:
                    lock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as e:
                    os._exit(1 if e.errno in (errno.EAGAIN, errno.EACCES) else 2)
                os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def body(mount):
        path = make_file(f'{mount}/f', BLOCK)
        os.link(path, f'{mount}/g')
        for lock in (fcntl.flock, fcntl.lockf):
            with open(path, 'r+b', buffering=0) as f:
                lock(f, fcntl.LOCK_EX)
                assert child_gets(path, lock) == 1
                assert child_gets(f'{mount}/g', lock) == 1, 'by its other name'
            assert child_gets(path, lock) == 0

    inside(body)


@pytest.mark.limit(300)
def test_link_counts_end_at_their_limit(make_instance):
    """That of ext4."""
    instance = make_region(make_instance(), '128M', 12000).start()
    make_file(instance.path('f'))
    os.mkdir(instance.path('d'))
    for n in range(64_999):
        os.link(instance.path('f'), instance.path(f'd/{n}'))
    assert errno_of(os.link, instance.path('f'), instance.path('one-more')) == errno.EMLINK
    assert os.stat(instance.path('f')).st_nlink == 65_000
    os.unlink(instance.path('d/1'))
    os.link(instance.path('f'), instance.path('one-more'))


@pytest.mark.limit(600)
def test_a_hundred_thousand_entries_are_read_under_change(make_instance):
    """What stays is read once each; what comes and goes at most once; nothing is made up."""
    instance = make_region(make_instance(), '192M', 120_000).start()
    directory = instance.path('large')
    os.mkdir(directory)
    for n in range(COUNT):
        os.mknod(f'{directory}/old{n}', stat.S_IFREG | 0o600)  # a file in one request
    assert sum(1 for _ in os.scandir(directory)) == COUNT

    seen = []
    with os.scandir(directory) as entries:
        for step, entry in enumerate(entries):
            seen.append(entry.name)
            if step % 100 == 0:
                os.unlink(f'{directory}/old{COUNT - 1 - step}')
                os.rename(f'{directory}/old{COUNT - 2 - step}', f'{directory}/renamed{step}')
                os.mkdir(f'{directory}/new{step}')
    assert len(seen) == len(set(seen)), 'an entry came twice'
    touched = {f'old{COUNT - 1 - step}' for step in range(0, COUNT, 100)} | {
        f'old{COUNT - 2 - step}' for step in range(0, COUNT, 100)}
    made = {f'{what}{step}' for what in ('renamed', 'new') for step in range(0, COUNT, 100)}
    stayed = {f'old{n}' for n in range(COUNT)} - touched
    assert stayed <= set(seen), 'an entry was lost'
    assert set(seen) <= stayed | touched | made
    now = os.listdir(directory)
    assert len(now) == len(set(now)) and set(now) >= stayed
    assert wait_until(lambda: instance.status()['files']['count'] == len(now) + 2, 30)
