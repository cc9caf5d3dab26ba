# SPDX-License-Identifier: MIT
"""Extended attributes, access control lists, page sizes and quotas on a real mount, with the tools that people use."""

import dataclasses
import errno
import os
import stat
import subprocess

import pytest

from harness import PLAIN, User
from persona import as_user, errno_of, make_file
from processes import wait_until

BLOCK = 2 << 20
QUOTA = 'user.guestmemfs.quota'
PAGES = 'user.guestmemfs.pagesize'
ALICE, BOB = User(61001, 61001), User(61002, 61002)
GROUP = 61100


@dataclasses.dataclass(frozen=True)
class Member(User):
    """A user with supplementary groups."""
    groups: tuple = ()


def run(*argv, **options):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=30, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def listing(path):
    return set(os.listxattr(path))


# ---- attributes

def set_read_list_remove(mount):
    path = make_file(f'{mount}/f')
    for where in (path, mount):
        os.setxattr(where, 'user.one', b'1')
        os.setxattr(where, 'user.empty', b'')
        assert listing(where) == {'user.one', 'user.empty'}
        assert os.getxattr(where, 'user.one') == b'1'
        assert os.getxattr(where, 'user.empty') == b''
        assert errno_of(os.setxattr, where, 'user.one', b'2', os.XATTR_CREATE) == errno.EEXIST
        assert errno_of(os.setxattr, where, 'user.two', b'2', os.XATTR_REPLACE) == errno.ENODATA
        os.setxattr(where, 'user.one', b'\0' * 65536, os.XATTR_REPLACE)
        assert os.getxattr(where, 'user.one') == b'\0' * 65536
        os.removexattr(where, 'user.one')
        assert errno_of(os.removexattr, where, 'user.one') == errno.ENODATA
        assert errno_of(os.getxattr, where, 'user.one') == errno.ENODATA
        assert listing(where) == {'user.empty'}
    assert errno_of(os.setxattr, path, 'user.' + 'x' * 251, b'') == errno.ERANGE
    assert errno_of(os.setxattr, path, 'user.x', b'\0' * 65537) == errno.E2BIG
    assert errno_of(os.setxattr, path, 'system.x', b'') == errno.EOPNOTSUPP
    os.setxattr(path, 'user.' + 'x' * 250, b'')


def test_attributes_are_set_read_listed_and_removed(inside):
    inside(set_read_list_remove)


def touch_what_is_ours(mount):
    path = make_file(f'{mount}/f')
    for name in ('user.guestmemfs.socket', 'user.guestmemfs.control'):
        assert os.getxattr(path, name)
        assert errno_of(os.setxattr, path, name, b'/tmp/x') == errno.EPERM
        assert errno_of(os.removexattr, path, name) == errno.EPERM
    assert errno_of(os.setxattr, path, 'user.guestmemfs.nothing', b'') == errno.EOPNOTSUPP
    assert errno_of(os.setxattr, path, PAGES, b'4K') == errno.EINVAL
    assert errno_of(os.setxattr, path, QUOTA, b'4M') == errno.ENOTDIR
    assert listing(path) == set()


def test_names_of_ours_mean_what_they_say_or_are_refused(inside):
    inside(touch_what_is_ours)


def test_users_see_and_change_only_what_is_theirs(instance):
    os.chmod(instance.mount, 0o777)
    path = make_file(instance.path('f'), mode=0o644)
    os.setxattr(path, 'user.x', b'1')
    os.setxattr(path, 'trusted.x', b'1')
    os.setxattr(path, 'security.x', b'1')
    assert listing(path) == {'user.x', 'trusted.x', 'security.x'}
    assert as_user(BOB, listing, path) == {'user.x', 'security.x'}
    assert as_user(BOB, os.getxattr, path, 'user.x') == b'1'
    assert as_user(BOB, errno_of, os.getxattr, path, 'trusted.x') == errno.ENODATA
    assert as_user(BOB, errno_of, os.setxattr, path, 'user.x', b'2') == errno.EACCES
    assert as_user(BOB, errno_of, os.setxattr, path, 'trusted.x', b'2') == errno.EPERM
    assert as_user(BOB, errno_of, os.removexattr, path, 'user.x') == errno.EACCES
    os.chmod(path, 0o600)
    assert as_user(BOB, errno_of, os.getxattr, path, 'user.x') == errno.EACCES


@pytest.mark.parametrize('which', [['worker'], []], ids=['worker-killed', 'all-killed'])
def test_attributes_outlive_the_daemons(instance, which):
    path = make_file(instance.path('f'), BLOCK)
    os.mkdir(instance.path('d'))
    os.setxattr(path, 'user.x', b'value')
    run('setfacl', '-m', 'u:61001:rw', path)
    run('setfacl', '-d', '-m', 'g:61100:rx', instance.path('d'))
    os.setxattr(instance.path('d'), QUOTA, b'6M')
    make_file(instance.path('d', 'f'), BLOCK)
    before = run('getfacl', '-n', '--absolute-names', path, instance.path('d'))
    old = instance.kill(*which)
    if which:
        instance.wait_new('worker', old[0])
    else:
        instance.restart()
    assert os.getxattr(path, 'user.x') == b'value'
    assert run('getfacl', '-n', '--absolute-names', path, instance.path('d')) == before
    assert os.getxattr(instance.path('d'), QUOTA) == b'6291456'
    assert errno_of(make_file, instance.path('d', 'g'), 3 * BLOCK) == errno.EDQUOT
    assert instance.stop() == 0
    assert instance.fsck().returncode == 0


def copy_with_everything(mount):
    os.mkdir(f'{mount}/a')
    make_file(f'{mount}/a/f', mode=0o640)
    os.setxattr(f'{mount}/a/f', 'user.x', b'value')
    os.setxattr(f'{mount}/a', PAGES, b'2M')
    run('setfacl', '-m', 'u:61001:r', f'{mount}/a/f')
    run('setfacl', '-d', '-m', 'u:61001:rwx', f'{mount}/a')
    run('cp', '-a', '--attributes-only', f'{mount}/a', f'{mount}/b')  # what a file holds can't be read
    assert os.getxattr(f'{mount}/b/f', 'user.x') == b'value'
    assert os.getxattr(f'{mount}/b', PAGES) == b'2M'
    for name in ('', '/f'):
        one, other = (run('getfacl', '-n', '-c', '--absolute-names', f'{mount}/{k}{name}') for k in 'ab')
        assert one == other
    names = 'user.x', 'system.posix_acl_access'
    assert set(names) <= listing(f'{mount}/b/f')


def test_cp_takes_attributes_and_lists_along(inside):
    inside(copy_with_everything)


# ---- access control lists

@pytest.mark.parametrize('entry, who, allowed', [
    ('u:61001:rw', ALICE, os.O_RDWR),
    ('u:61001:r', ALICE, os.O_RDONLY),
    ('u:61001:-', ALICE, None),
    ('g:61100:rw', Member(61002, 61002, (GROUP,)), os.O_RDWR),
    ('g:61100:rw', Member(61002, GROUP), os.O_RDWR),
    ('g:61100:rw', BOB, None),
    ('u:61001:rw,m::r', ALICE, os.O_RDONLY),
], ids=lambda value: value if isinstance(value, str) else None)
def test_a_list_says_who_may_open(instance, entry, who, allowed):
    path = make_file(instance.path('f'), mode=0o600)

    def opens(flags):
        os.close(os.open(path, flags))

    assert as_user(who, errno_of, opens, os.O_RDONLY) == errno.EACCES
    run('setfacl', '-m', entry, path)
    for flags in (os.O_RDONLY, os.O_RDWR):
        may = allowed == os.O_RDWR or flags == allowed
        assert as_user(who, errno_of, opens, flags) == (0 if may else errno.EACCES), flags
    run('setfacl', '-b', path)
    assert as_user(who, errno_of, opens, os.O_RDONLY) == errno.EACCES
    assert listing(path) == set()


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def list_and_mode(mount):
    path = make_file(f'{mount}/f', mode=0o640)
    run('setfacl', '-m', 'u:61001:rwx,m::rx', path)
    assert mode(path) == 0o650
    os.chmod(path, 0o770)
    assert 'mask::rwx' in run('getfacl', '-n', '-c', '--absolute-names', path)
    assert 'group::r--' in run('getfacl', '-n', '-c', '--absolute-names', path)
    os.chmod(path, 0o700)
    assert 'user:61001:rwx\t' in run('getfacl', '-n', '-c', '--absolute-names', path)  # with its effective rights
    for name, value in (('system.posix_acl_access', b'\2\0\0\0\1\0\7\0\xff\xff\xff\xff'), ('system.posix_acl_access', b'x')):
        assert errno_of(os.setxattr, path, name, value) == errno.EINVAL


def test_a_list_and_the_mode_keep_in_step(inside):
    inside(list_and_mode)


def defaults(mount):
    os.mkdir(f'{mount}/d', 0o755)
    os.umask(0o077)
    assert mode(make_file(f'{mount}/d/plain', mode=0o666)) == 0o600
    os.mkdir(f'{mount}/d/plain-dir', 0o777)
    assert mode(f'{mount}/d/plain-dir') == 0o700
    run('setfacl', '-d', '-m', 'u::rwx,g::rx,o::-,u:61001:rwx', f'{mount}/d')
    assert mode(make_file(f'{mount}/d/f', mode=0o666)) == 0o660
    os.mkdir(f'{mount}/d/e', 0o777)
    assert mode(f'{mount}/d/e') == 0o770
    assert 'default:user:61001:rwx' in run('getfacl', '-n', '-c', '--absolute-names', f'{mount}/d/e')
    assert mode(make_file(f'{mount}/d/e/f', mode=0o600)) == 0o600
    os.umask(0)
    assert mode(make_file(f'{mount}/open', mode=0o666)) == 0o666
    run('setfacl', '-k', f'{mount}/d')
    assert listing(f'{mount}/d') == set()


def test_a_default_list_takes_the_place_of_the_umask(inside):
    inside(defaults)


# ---- quotas and page sizes

def test_a_quota_is_kept_shown_and_only_set_by_who_may(instance):
    os.mkdir(instance.path('d'))
    os.chown(instance.path('d'), ALICE.uid, ALICE.gid)
    assert as_user(ALICE, errno_of, os.setxattr, instance.path('d'), QUOTA, b'8M') == errno.EPERM
    os.setxattr(instance.path('d'), QUOTA, b'8M')
    assert os.getxattr(instance.path('d'), QUOTA) == b'8388608'
    assert listing(instance.path('d')) == set()
    assert as_user(ALICE, errno_of, os.removexattr, instance.path('d'), QUOTA) == errno.EPERM
    path = as_user(ALICE, make_file, instance.path('d', 'f'), 3 * BLOCK)
    st = os.statvfs(instance.path('d'))
    assert (st.f_blocks * st.f_frsize, st.f_bavail) == (8 << 20, 1)
    assert os.statvfs(instance.mount).f_blocks > 4
    assert as_user(ALICE, errno_of, os.truncate, path, 5 * BLOCK) == errno.EDQUOT
    assert os.stat(path).st_size == 3 * BLOCK
    assert errno_of(os.truncate, path, 5 * BLOCK) == errno.EDQUOT  # root, too
    os.truncate(path, 4 * BLOCK)
    outside = make_file(instance.path('outside'), BLOCK)
    assert errno_of(os.rename, outside, instance.path('d', 'g')) == errno.EDQUOT
    os.truncate(path, 2 * BLOCK)
    os.rename(outside, instance.path('d', 'g'))
    os.removexattr(instance.path('d'), QUOTA)
    os.truncate(path, 5 * BLOCK)


def test_a_plain_users_instance_has_its_own_quotas(make_instance):
    instance = make_instance(user=PLAIN).start()

    def limited(mount):
        os.mkdir(f'{mount}/d')
        os.setxattr(f'{mount}/d', QUOTA, b'4M')
        return errno_of(make_file, f'{mount}/d/f', 3 * BLOCK)

    assert as_user(PLAIN, limited, instance.mount) == errno.EDQUOT


def page_sizes(mount):
    os.mkdir(f'{mount}/d')
    os.setxattr(f'{mount}/d', PAGES, b'1G')
    path = make_file(f'{mount}/d/f')
    assert os.getxattr(path, PAGES) == b'1G'
    assert errno_of(os.truncate, path, BLOCK) == errno.EINVAL
    assert errno_of(os.truncate, path, 1 << 30) == errno.ENOSPC  # of 64 MiB
    os.setxattr(path, PAGES, b'auto')
    assert errno_of(os.getxattr, path, PAGES) == errno.ENODATA
    os.truncate(path, BLOCK)
    assert errno_of(os.setxattr, path, PAGES, b'1G') == errno.EINVAL


def test_a_page_size_is_inherited_and_insisted_on(inside):
    inside(page_sizes)


def test_the_log_says_whose_page_size_refused_a_size(instance):
    path = make_file(instance.path('f'))
    os.setxattr(path, PAGES, b'1G')
    assert errno_of(os.truncate, path, BLOCK) == errno.EINVAL
    assert wait_until(lambda: f'refused: by {PAGES} it has pages of 1G' in instance.log(), 30)


def test_a_file_has_all_its_names_under_one_quota(instance):
    for name in 'ab':
        os.mkdir(instance.path(name))
    os.setxattr(instance.path('a'), QUOTA, b'8M')
    path = make_file(instance.path('a', 'f'), BLOCK)
    assert errno_of(os.link, path, instance.path('b', 'f')) == errno.EXDEV
    os.link(path, instance.path('a', 'g'))
    assert errno_of(os.rename, path, instance.path('b', 'f')) == errno.EXDEV
    os.unlink(path)
    os.rename(instance.path('a', 'g'), instance.path('b', 'f'))


def other_types(mount):
    os.symlink('nowhere', f'{mount}/l')
    os.mkfifo(f'{mount}/p')
    for path in (f'{mount}/l', f'{mount}/p'):
        assert errno_of(os.setxattr, path, 'user.x', b'', follow_symlinks=False) == errno.EPERM
        assert errno_of(os.getxattr, path, 'user.guestmemfs.socket', follow_symlinks=False) == errno.ENODATA
        assert os.listxattr(path, follow_symlinks=False) == []
    run('setfacl', '-m', 'u:61001:rw', f'{mount}/p')
    assert listing(f'{mount}/p') == {'system.posix_acl_access'}
    run('setfacl', '-d', '-m', 'u::rw,g::r,o::r,u:61001:rw', mount)
    os.symlink('nowhere', f'{mount}/m')
    assert mode(f'{mount}/m') == 0o777
    assert os.listxattr(f'{mount}/m', follow_symlinks=False) == []
    os.umask(0o077)
    os.mkfifo(f'{mount}/q', 0o666)
    assert mode(f'{mount}/q') == 0o664


def test_symlinks_and_fifos_take_what_the_kernel_lets_them(inside):
    inside(other_types)
