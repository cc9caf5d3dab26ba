# SPDX-License-Identifier: MIT
"""Names, attributes and sizes through the real kernel, as root and as a plain user with a mount of his own."""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import signal
import stat
import time

from harness import OTHER, PLAIN, ROOT
from persona import RENAME_EXCHANGE, RENAME_NOREPLACE, as_user, errno_of, make_file, renameat2
from processes import wait_until

BLOCK = 2 << 20


def make(path, size=0, mode=0o644):
    return make_file(path, size, mode)


def free_blocks(mount):
    return os.statvfs(mount).f_bfree


def wait_free(mount, blocks):
    """RELEASE comes after close(2) has returned."""
    assert wait_until(lambda: free_blocks(mount) == blocks, 30), f'{free_blocks(mount)} blocks free, not {blocks}'


# ---- making and removing

def test_a_new_file_has_what_its_maker_gave_it(inside):
    def body(mount):
        before = time.time_ns()
        fd = os.open(mount + '/f', os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        st = os.fstat(fd)
        assert stat.S_IFMT(st.st_mode) == stat.S_IFREG
        assert st.st_mode & 0o7777 == 0o644, 'the umask is 022'
        assert (st.st_uid, st.st_gid, st.st_nlink, st.st_size, st.st_blocks) == (os.getuid(), os.getgid(), 1, 0, 0)
        for when in (st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns):
            assert before - 50_000_000 <= when <= time.time_ns() + 50_000_000
        assert os.stat(mount + '/f').st_ino == st.st_ino == os.lstat(mount + '/f').st_ino
        assert errno_of(os.open, mount + '/f', os.O_RDWR | os.O_CREAT | os.O_EXCL) == errno.EEXIST
        again = os.open(mount + '/f', os.O_RDONLY | os.O_CREAT)
        assert os.fstat(again).st_ino == st.st_ino
        os.unlink(mount + '/f')
        assert errno_of(os.stat, mount + '/f') == errno.ENOENT
        make(mount + '/f')
        assert os.stat(mount + '/f').st_ino != st.st_ino, 'no inode number comes twice'

    inside(body)


def test_calls_that_must_fail_fail_with_their_errno_and_change_nothing(inside):
    def body(mount):
        m = mount + '/'
        make(m + 'file', 5)
        os.makedirs(m + 'dir/sub')
        long = m + 'x' * 256
        cases = [
            (errno.ENOENT, os.open, m + 'none', os.O_RDONLY),
            (errno.ENOENT, os.open, m + 'none/f', os.O_RDWR | os.O_CREAT),
            (errno.ENOTDIR, os.open, m + 'file/f', os.O_RDWR | os.O_CREAT),
            (errno.EISDIR, os.open, m + 'dir', os.O_RDWR),
            (errno.ENOTDIR, os.open, m + 'file', os.O_RDONLY | os.O_DIRECTORY),
            (errno.ENAMETOOLONG, os.open, long, os.O_RDWR | os.O_CREAT),
            (errno.ENAMETOOLONG, os.mkdir, long),
            (errno.ENAMETOOLONG, os.rename, m + 'file', long),
            (errno.ENAMETOOLONG, os.stat, long),
            (errno.EEXIST, os.mkdir, m + 'file'),
            (errno.EEXIST, os.mkdir, m + 'dir'),
            (errno.EISDIR, os.unlink, m + 'dir'),
            (errno.ENOENT, os.unlink, m + 'none'),
            (errno.ENOTDIR, os.rmdir, m + 'file'),
            (errno.ENOTEMPTY, os.rmdir, m + 'dir'),
            (errno.EINVAL, os.rmdir, m + 'dir/sub/.'),
            (errno.ENOTEMPTY, os.rmdir, m + 'dir/sub/..'),
            (errno.ENOENT, os.rename, m + 'none', m + 'other'),
            (errno.ENOTDIR, os.rename, m + 'dir', m + 'file'),
            (errno.EISDIR, os.rename, m + 'file', m + 'dir'),
            (errno.EINVAL, os.rename, m + 'dir', m + 'dir/sub/below'),
            (errno.ENOTEMPTY, os.rename, m + 'dir/sub', m + 'dir'),
            (errno.EEXIST, renameat2, m + 'file', m + 'dir', RENAME_NOREPLACE),
            (errno.ENOENT, renameat2, m + 'file', m + 'none', RENAME_EXCHANGE),
            (errno.EINVAL, renameat2, m + 'dir', m + 'dir/sub', RENAME_EXCHANGE),
            (errno.EINVAL, renameat2, m + 'file', m + 'new', RENAME_NOREPLACE | RENAME_EXCHANGE),
            (errno.EINVAL, renameat2, m + 'file', m + 'new', 4),  # RENAME_WHITEOUT
            (errno.EISDIR, os.truncate, m + 'dir', 0),
            (errno.EINVAL, os.truncate, m + 'file', -1),
            (errno.ENOENT, os.chmod, m + 'none', 0o600),
        ]
        before = tree_of(mount)
        for number, (wanted, function, *arguments) in enumerate(cases):
            got = errno_of(function, *arguments)
            assert got == wanted, f'case {number}, {function.__name__}{arguments}: {errno.errorcode.get(got, got)}'
            assert tree_of(mount) == before, f'case {number}, {function.__name__}{arguments} has changed something'

    inside(body)


def tree_of(mount):
    """Everything that stat says of the files, by path."""
    picture = {}
    for top, directories, files in os.walk(mount):
        for name in ['', *directories, *files]:
            st = os.lstat(os.path.join(top, name))
            picture[os.path.relpath(os.path.join(top, name), mount)] = (
                st.st_ino, st.st_mode, st.st_nlink, st.st_uid, st.st_gid, st.st_size, st.st_blocks, st.st_mtime_ns,
                st.st_ctime_ns)
    return picture


def test_a_name_may_have_any_255_bytes(inside):
    def body(mount):
        root = os.fsencode(mount) + b'/'
        names = [b'n' * 255, b'\xff\xfe not UTF-8', b'line\nfeed', b'-rf', b' ',
                 bytes(range(1, 47)) + bytes(range(48, 256))]
        for name in names:
            make(root + name)
        assert sorted(os.listdir(root)) == sorted(names)
        for name in names:
            os.rename(root + name, root + b'renamed')
            os.unlink(root + b'renamed')
        assert os.listdir(root) == []

    inside(body)


def test_directories_count_their_subdirectories(inside):
    def body(mount):
        def links(path):
            return os.stat(mount + path).st_nlink

        assert links('/') == 2
        os.makedirs(mount + '/a/b')
        os.mkdir(mount + '/c')
        make(mount + '/a/file')
        assert (links('/'), links('/a'), links('/a/b'), links('/c')) == (4, 3, 2, 2)
        os.rename(mount + '/a/b', mount + '/c/b')
        assert (links('/'), links('/a'), links('/c')) == (4, 2, 3)
        renameat2(mount + '/a/file', mount + '/c/b', RENAME_EXCHANGE)
        assert (links('/'), links('/a'), links('/c')) == (4, 3, 2)
        assert os.path.isdir(mount + '/a/file') and os.path.isfile(mount + '/c/b')
        os.rmdir(mount + '/a/file')
        assert links('/a') == 2
        assert os.stat(mount + '/a/..').st_ino == os.stat(mount).st_ino

    inside(body)


# ---- rename

def test_rename_in_its_three_forms(inside):
    def body(mount):
        a, b = mount + '/a', mount + '/b'
        first, second = (os.stat(make(path, size)).st_ino for path, size in ((a, 1), (b, BLOCK)))
        free = free_blocks(mount)

        renameat2(a, mount + '/c', RENAME_NOREPLACE)
        assert os.stat(mount + '/c').st_ino == first and not os.path.exists(a)
        renameat2(mount + '/c', b, RENAME_EXCHANGE)
        assert (os.stat(b).st_ino, os.stat(mount + '/c').st_ino) == (first, second)
        assert (os.stat(b).st_size, os.stat(mount + '/c').st_size) == (1, BLOCK)
        assert free_blocks(mount) == free

        os.rename(b, mount + '/c')
        assert os.stat(mount + '/c').st_ino == first and os.listdir(mount) == ['c']
        wait_free(mount, free + 1)
        os.rename(mount + '/c', mount + '/c')
        assert os.stat(mount + '/c').st_ino == first

        os.mkdir(mount + '/d')
        os.mkdir(mount + '/e')
        os.rename(mount + '/d', mount + '/e')
        assert sorted(os.listdir(mount)) == ['c', 'e']

    inside(body)


def test_a_file_that_is_replaced_while_open_lives_until_it_is_closed(inside):
    def body(mount):
        free = free_blocks(mount)
        fd = os.open(make(mount + '/old', BLOCK), os.O_RDWR)
        os.rename(make(mount + '/new'), mount + '/old')
        assert os.fstat(fd).st_nlink == 0 and os.fstat(fd).st_size == BLOCK
        assert free_blocks(mount) == free - 1
        os.close(fd)
        wait_free(mount, free)

    inside(body)


# ---- attributes

def test_mode_owner_and_times_are_kept_as_given(inside):
    def body(mount):
        path = make(mount + '/f', 7)
        for mode in (0o000, 0o777, 0o4755, 0o2771, 0o1604, 0o640):
            os.chmod(path, mode)
            assert os.stat(path).st_mode == stat.S_IFREG | mode
        times = [(0, 1), (1_234_567_890_123_456_789, 987_654_321), (-1, -999_999_999), (2**33 * 10**9 + 7, 5)]
        for pair in times:
            os.utime(path, ns=pair)
            st = os.stat(path)
            assert (st.st_atime_ns, st.st_mtime_ns) == pair
        ctime = os.stat(path).st_ctime_ns
        time.sleep(0.02)
        os.chmod(path, 0o600)
        assert os.stat(path).st_ctime_ns > ctime and os.stat(path).st_mtime_ns == times[-1][1]
        os.truncate(path, 9)
        assert abs(os.stat(path).st_mtime_ns - time.time_ns()) < 30 * 10**9
        os.utime(path)
        assert abs(os.stat(path).st_atime_ns - time.time_ns()) < 30 * 10**9
        if os.getuid() == 0:
            os.chown(path, 12345, 54321)
            assert (os.stat(path).st_uid, os.stat(path).st_gid) == (12345, 54321)
            os.chown(path, -1, 2**32 - 2)
            assert (os.stat(path).st_uid, os.stat(path).st_gid) == (12345, 2**32 - 2)
        else:
            assert errno_of(os.chown, path, 0, -1) == errno.EPERM
            assert errno_of(os.chown, path, -1, 0) == errno.EPERM
            os.chown(path, os.getuid(), os.getgid())

    inside(body)


def test_new_entries_of_a_setgid_directory_belong_to_its_group(instance):
    def body(mount):
        os.mkdir(mount + '/shared')
        os.chown(mount + '/shared', PLAIN.uid, 4242)
        os.chmod(mount + '/shared', 0o2775)
        make(mount + '/shared/f')
        os.mkdir(mount + '/shared/d')
        make(mount + '/plain')
        assert os.stat(mount + '/shared/f').st_gid == 4242
        assert os.stat(mount + '/shared/d').st_gid == 4242
        assert os.stat(mount + '/shared/d').st_mode & stat.S_ISGID, 'handed down'
        assert not os.stat(mount + '/shared/f').st_mode & stat.S_ISGID
        assert os.stat(mount + '/plain').st_gid == 0

    as_user(ROOT, body, instance.mount)


def test_directory_times_follow_their_entries(inside):
    def body(mount):
        os.mkdir(mount + '/d')
        for change in (lambda: make(mount + '/d/f'), lambda: os.mkdir(mount + '/d/s'),
                       lambda: os.rename(mount + '/d/f', mount + '/d/g'), lambda: os.unlink(mount + '/d/g'),
                       lambda: os.rmdir(mount + '/d/s')):
            os.utime(mount + '/d', ns=(5, 5))
            change()
            st = os.stat(mount + '/d')
            assert abs(st.st_mtime_ns - time.time_ns()) < 30 * 10**9
            assert abs(st.st_ctime_ns - time.time_ns()) < 30 * 10**9

    inside(body)


# ---- sizes and space

def test_truncate_takes_and_gives_back_whole_blocks_at_once(inside):
    def body(mount):
        path = make(mount + '/f')
        free = free_blocks(mount)
        sizes = [1, BLOCK, BLOCK + 1, 3 * BLOCK - 1, free * BLOCK, free * BLOCK - 4095, BLOCK - 1, 4096, 0, 2 * BLOCK]
        for size in sizes:
            os.truncate(path, size)
            st = os.stat(path)
            blocks = -(-size // BLOCK)
            assert (st.st_size, st.st_blocks) == (size, blocks * BLOCK // 512)
            assert free_blocks(mount) == free - blocks
        os.unlink(path)
        wait_free(mount, free)

    inside(body)


def test_no_space_leaves_everything_as_it_was(inside):
    def body(mount):
        free = free_blocks(mount)
        path = make(mount + '/f', BLOCK + 5)
        before = tree_of(mount)
        for size in ((free + 1) * BLOCK, free * BLOCK + 1, 1 << 40, 2**62):
            assert errno_of(os.truncate, path, size) == errno.ENOSPC, hex(size)
            assert free_blocks(mount) == free - 2 and tree_of(mount) == before
        assert errno_of(os.truncate, path, 2**63 - 1) in (errno.EFBIG, errno.ENOSPC)
        assert tree_of(mount) == before
        os.truncate(path, free * BLOCK)
        assert free_blocks(mount) == 0
        make(mount + '/empty')  # names need no blocks

    inside(body)


def test_statfs_tells_the_truth(mounted, inside):
    blocks, files = mounted.status()['blocks'], mounted.status()['files']

    def body(mount):
        st = os.statvfs(mount)
        assert (st.f_bsize, st.f_frsize, st.f_namemax) == (BLOCK, BLOCK, 255)
        assert (st.f_blocks, st.f_bfree, st.f_bavail) == (blocks['data'], blocks['free'], blocks['free'])
        assert (st.f_files, st.f_ffree) == (files['max'], files['max'] - files['count'])
        make(mount + '/f', 2 * BLOCK)
        os.mkdir(mount + '/d')
        after = os.statvfs(mount + '/d')
        assert (after.f_blocks, after.f_bfree, after.f_ffree) == (st.f_blocks, st.f_bfree - 2, st.f_ffree - 2)

    inside(body)


def test_unlinked_while_open(mounted, inside):
    def body(mount):
        free = free_blocks(mount)
        fd = os.open(make(mount + '/f', 2 * BLOCK), os.O_RDWR)
        os.unlink(mount + '/f')
        assert os.listdir(mount) == [] and free_blocks(mount) == free - 2
        os.ftruncate(fd, 3 * BLOCK)
        os.fchmod(fd, 0o600)
        st = os.fstat(fd)
        assert (st.st_nlink, st.st_size, st.st_mode & 0o777) == (0, 3 * BLOCK, 0o600)
        assert free_blocks(mount) == free - 3
        os.close(fd)
        wait_free(mount, free)

    inside(body)
    assert mounted.status()['orphans'] == 0


def test_o_trunc_empties(inside):
    def body(mount):
        free = free_blocks(mount)
        path = make(mount + '/f', 3 * BLOCK)
        os.utime(path, ns=(1, 1))
        os.close(os.open(path, os.O_RDWR | os.O_TRUNC))
        assert os.stat(path).st_size == 0 and os.stat(path).st_mtime_ns > 1
        assert free_blocks(mount) == free
        assert errno_of(os.open, path, os.O_RDONLY | os.O_TRUNC | os.O_CREAT | os.O_EXCL) == errno.EEXIST

    inside(body)


# ---- what a file of guest memory does not do

def test_bytes_do_not_pass_through_the_mount(inside):
    def body(mount):
        fd = os.open(make(mount + '/f', BLOCK), os.O_RDWR)
        assert errno_of(os.pread, fd, 10, 0) == errno.EOPNOTSUPP
        assert errno_of(os.pwrite, fd, b'x', 0) == errno.EOPNOTSUPP
        assert errno_of(os.pwrite, fd, b'x' * BLOCK, BLOCK) == errno.EOPNOTSUPP
        assert os.fstat(fd).st_size == BLOCK
        for prot in (mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE):
            assert errno_of(mmap.mmap, fd, BLOCK, mmap.MAP_SHARED, prot) == errno.ENODEV
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGBUS, signal.SIG_DFL)
            os._exit(mmap.mmap(fd, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ)[0])
        status = os.waitpid(child, 0)[1]
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGBUS

    inside(body)


def test_xattrs_name_the_sockets_and_are_not_listed(mounted, inside):
    def body(mount):
        make(mount + '/f')
        os.mkdir(mount + '/d')
        for path in (mount, mount + '/f', mount + '/d'):
            for name in ('user.guestmemfs.socket', 'user.guestmemfs.control'):
                assert stat.S_ISSOCK(os.stat(os.getxattr(path, name)).st_mode)
                assert errno_of(os.setxattr, path, name, b'/tmp/mine') == errno.EPERM
                assert errno_of(os.removexattr, path, name) == errno.EPERM
            assert os.listxattr(path) == []
            assert errno_of(os.getxattr, path, 'user.other') == errno.ENODATA
        libc = ctypes.CDLL(None, use_errno=True)
        room = ctypes.create_string_buffer(4)
        assert libc.getxattr(os.fsencode(mount), b'user.guestmemfs.socket', room, 4) == -1
        assert ctypes.get_errno() == errno.ERANGE
        control = os.stat(os.getxattr(mount, 'user.guestmemfs.control'))
        grant = os.stat(os.getxattr(mount, 'user.guestmemfs.socket'))
        assert (stat.S_IMODE(control.st_mode), stat.S_IMODE(grant.st_mode)) == (0o600, 0o666)
        assert control.st_uid == grant.st_uid == mounted.user.uid

    inside(body)


# ---- other users

def test_the_kernel_keeps_other_users_out(instance):
    root = instance.mount
    make(root + '/private', BLOCK, 0o600)
    make(root + '/public', BLOCK, 0o644)
    os.mkdir(root + '/closed', 0o700)
    make(root + '/closed/f')
    os.mkdir(root + '/sticky')
    os.chmod(root + '/sticky', 0o1777)
    make(root + '/sticky/roots')
    make(root + '/his', BLOCK, 0o600)
    os.chown(root + '/his', PLAIN.uid, PLAIN.gid)

    def body(mount):
        m = mount + '/'
        refused = [
            (errno.EACCES, os.open, m + 'private', os.O_RDONLY),
            (errno.EACCES, os.open, m + 'public', os.O_RDWR),
            (errno.EACCES, os.open, m + 'public', os.O_WRONLY | os.O_TRUNC),
            (errno.EACCES, os.truncate, m + 'public', 0),
            (errno.EPERM, os.chmod, m + 'public', 0o666),
            (errno.EPERM, os.chown, m + 'public', os.getuid(), -1),
            (errno.EPERM, os.utime, m + 'public', (1, 1)),
            (errno.EACCES, os.utime, m + 'public'),
            (errno.EACCES, os.stat, m + 'closed/f'),
            (errno.EACCES, os.listdir, m + 'closed'),
            (errno.EACCES, os.unlink, m + 'public'),
            (errno.EACCES, os.rename, m + 'public', m + 'mine'),
            (errno.EACCES, os.mkdir, m + 'mine'),
            (errno.EACCES, os.open, m + 'mine', os.O_RDWR | os.O_CREAT),
            (errno.EPERM, os.unlink, m + 'sticky/roots'),
            (errno.EACCES, os.open, m + 'his', os.O_RDONLY),
        ]
        for wanted, function, *arguments in refused:
            got = errno_of(function, *arguments)
            assert got == wanted, f'{function.__name__}{arguments}: {errno.errorcode.get(got, got)}'
        fd = os.open(m + 'public', os.O_RDONLY)
        assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        make(m + 'sticky/mine')
        os.unlink(m + 'sticky/mine')

    before = tree_of(root)
    as_user(OTHER, body, root)
    after = tree_of(root)
    assert {path: seen[1:6] for path, seen in after.items()} == {path: seen[1:6] for path, seen in before.items()}
    as_user(PLAIN, lambda: os.truncate(root + '/his', 0))
    assert os.stat(root + '/his').st_size == 0


def test_a_plain_users_mount_is_his_alone(make_instance):
    plain = make_instance(user=PLAIN).start()
    for user in (OTHER, ROOT):
        assert as_user(user, errno_of, os.listdir, plain.mount) == errno.EACCES
        assert as_user(user, errno_of, os.open, plain.path('f'), os.O_RDWR | os.O_CREAT) == errno.EACCES
    assert as_user(PLAIN, os.listdir, plain.mount) == []


# ---- orderly end and new start

def test_everything_is_there_after_an_orderly_remount(mounted, inside, tools):
    def fill(mount):
        os.makedirs(mount + '/a/b/c', 0o750)
        make(mount + '/a/f1', 3 * BLOCK + 17)
        make(mount + '/a/hole-in-the-order', BLOCK)
        make(mount + '/a/b/f2', 1)
        os.unlink(mount + '/a/hole-in-the-order')
        os.truncate(mount + '/a/f1', 5 * BLOCK - 3)
        os.rename(mount + '/a/b/f2', mount + '/a/b/c/moved')
        os.utime(mount + '/a/f1', ns=(1_000_000_001, 2_000_000_003))
        os.utime(mount + '/a/b', ns=(4, 1_600_000_000_123_456_789))
        os.chmod(mount + '/a/b/c/moved', 0o4751)
        if os.getuid() == 0:
            os.chown(mount + '/a/b/c/moved', 1001, 1002)
        make(os.fsencode(mount) + b'/a/\xff\x01', 0)
        # One that is removed but open at the end does not come back.
        os.unlink(make(mount + '/last', 1))

    def extents():
        found = {}
        for name in ('a/f1', 'a/b/c/moved'):
            done = tools.run('guestmemfs', 'extents', mounted.path(name), '--json', user=mounted.user)
            assert done.returncode == 0, done.stderr
            found[name] = json.loads(done.stdout)['extents']
        return found

    inside(fill)
    tree, layout, before = inside(tree_of), extents(), mounted.status()
    assert layout['a/f1'] and sum(e['length'] for e in layout['a/f1']) == 5 * BLOCK
    assert mounted.stop() == 0
    assert mounted.fsck().returncode == 0
    mounted.restart()
    after = mounted.status()
    assert inside(tree_of) == tree
    assert extents() == layout
    assert after['uuid'] == before['uuid'] and after['mount_number'] == before['mount_number'] + 1
    for key in ('free', 'used', 'data'):
        assert after['blocks'][key] == before['blocks'][key]
    assert after['files'] == before['files'] and after['orphans'] == 0

    def newer(mount):
        return os.stat(make(mount + '/newer')).st_ino

    assert inside(newer) > max(seen[0] for seen in tree.values()), 'no inode number comes twice'
