# SPDX-License-Identifier: MIT
"""
Who gets at what, as the kernel decides it: other users, groups, files that were opened before a change, paths without
content, bind mounts and namespaces of other users. The open file is the permission for its memory; nothing else is.
"""

import ctypes
import dataclasses
import errno
import fcntl
import os
import re
import threading

import pytest

import wire
from harness import OTHER, PLAIN, ROOT, User
from persona import as_user, errno_of, make_file

BLOCK = 2 << 20
TRUSTED = 61500  # the group
READ, WRITE = 1, 3


@dataclasses.dataclass(frozen=True)
class Member(User):
    """A user with supplementary groups."""
    groups: tuple = ()


@pytest.fixture
def instance(make_instance):
    return make_instance(options=['--trusted-group', str(TRUSTED)]).start()


@pytest.fixture
def socket(instance):
    return os.getxattr(instance.mount, 'user.guestmemfs.socket').decode()


def access_of(socket, ticket):
    """The access that a ticket gives, or (errno, reason)."""
    with wire.Client(socket).greet() as client:
        opcode, _, answer = client.redeem(ticket)
        if opcode != wire.GRANT:
            return answer
        access = answer.access
        answer.close()
        return access


def attach(socket, path, flags=os.O_RDWR):
    """As access_of(), of a file opened just now; the errno if it does not open."""
    try:
        ticket = wire.ticket_for(path, flags)
    except OSError as e:
        return e.errno
    return access_of(socket, ticket)


# ---- users and groups

OWNER = Member(61001, 61001, (TRUSTED,))
GROUP = 61100


@pytest.mark.parametrize('who, modes', [
    (Member(61001, 61001, (TRUSTED,)), {0o600: WRITE, 0o400: READ, 0o060: None, 0o006: None, 0o000: None}),
    (Member(61002, GROUP, (TRUSTED,)), {0o660: WRITE, 0o640: READ, 0o600: None, 0o606: None}),
    (Member(61002, 61002, (TRUSTED, GROUP)), {0o660: WRITE, 0o640: READ, 0o600: None, 0o606: None}),
    (Member(61002, 61002, (TRUSTED,)), {0o666: WRITE, 0o664: READ, 0o660: None}),
], ids=['owner', 'primary-group', 'supplementary-group', 'other'])
def test_owner_group_and_others_get_what_the_mode_says(instance, socket, who, modes):
    path = make_file(instance.path('vm'), BLOCK)
    os.chown(path, OWNER.uid, GROUP)
    for mode, wanted in modes.items():
        os.chmod(path, mode)
        for flags, access in ((os.O_RDONLY, READ), (os.O_RDWR, WRITE)):
            allowed = wanted is not None and access <= wanted
            assert as_user(who, attach, socket, path, flags) == (access if allowed else errno.EACCES), oct(mode)


def test_a_directory_that_is_closed_closes_what_is_in_it(instance, socket):
    os.mkdir(instance.path('closed'), 0o710)
    os.chown(instance.path('closed'), 0, GROUP)
    path = make_file(instance.path('closed', 'vm'), BLOCK)
    os.chmod(path, 0o666)
    member, other = Member(61002, 61002, (TRUSTED, GROUP)), Member(61002, 61002, (TRUSTED,))
    assert as_user(member, attach, socket, path) == WRITE
    assert as_user(other, attach, socket, path) == errno.EACCES


def test_who_is_not_trusted_gets_no_memory_whatever_the_mode(instance, socket):
    """On regions whose descriptor reaches all of it."""
    path = make_file(instance.path('vm'), BLOCK)
    os.chmod(path, 0o666)
    refused = (errno.EACCES, wire.REASON_TRUST)
    assert as_user(OTHER, attach, socket, path) == refused
    os.chown(path, OTHER.uid, OTHER.gid)
    assert as_user(OTHER, attach, socket, path) == refused, 'nor if it is his'
    assert as_user(Member(OTHER.uid, 0), attach, socket, path) == refused, "root's group is no licence"
    assert as_user(User(OTHER.uid, TRUSTED), attach, socket, path) == WRITE
    assert attach(socket, path) == WRITE, 'root is trusted'


# ---- what was opened before

def test_a_file_opened_before_a_chmod_keeps_its_access_and_no_more(instance, socket):
    path = make_file(instance.path('vm'), BLOCK)
    os.chmod(path, 0o666)
    opened, say_opened = os.pipe()
    changed, say_changed = os.pipe()

    def use():
        both, reading = os.open(path, os.O_RDWR), os.open(path, os.O_RDONLY)
        os.write(say_opened, b'x')
        os.read(changed, 1)
        return (errno_of(os.open, path, os.O_RDONLY), errno_of(os.open, f'/proc/self/fd/{both}', os.O_RDWR),
                access_of(socket, wire.get_ticket(both)), access_of(socket, wire.get_ticket(reading)))

    def change():
        os.read(opened, 1)
        os.chmod(path, 0o600)
        os.write(say_changed, b'x')

    thread = threading.Thread(target=change)
    thread.start()
    answer = as_user(OWNER, use, pipes=[say_opened, changed])
    thread.join(30)
    for fd in (opened, say_opened, changed, say_changed):
        os.close(fd)
    assert answer == (errno.EACCES, errno.EACCES, WRITE, READ)


def test_a_descriptor_without_content_is_no_permission(instance, socket):
    path = make_file(instance.path('vm'), BLOCK)

    def look():
        fd = os.open(path, os.O_PATH)
        return errno_of(wire.get_ticket, fd), errno_of(os.open, f'/proc/self/fd/{fd}', os.O_RDONLY)

    assert as_user(OWNER, look) == (errno.EBADF, errno.EACCES)
    os.chmod(path, 0o604)

    def open_it():
        fd = os.open(f'/proc/self/fd/{os.open(path, os.O_PATH)}', os.O_RDONLY)
        return access_of(socket, wire.get_ticket(fd))

    assert as_user(OWNER, open_it) == READ
    fd = os.open(path, os.O_PATH)
    assert errno_of(fcntl.ioctl, fd, wire.IOC_TICKET, bytearray(16)) == errno.EBADF, 'for root too'
    os.close(fd)


# ---- namespaces

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
PR_SET_DUMPABLE = 4
libc = ctypes.CDLL(None, use_errno=True)


def call(function, *arguments):
    if function(*arguments) != 0:
        e = ctypes.get_errno()
        raise OSError(e, f'{function.__name__}: {os.strerror(e)}')


def mount(source, target, flags):
    call(libc.mount, source and os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(flags), None)


def enter_mount_namespace():
    call(libc.unshare, CLONE_NEWNS)
    mount(None, '/', MS_REC | MS_PRIVATE)


def enter_user_namespace():
    """And a mount namespace of it; whoever calls is its root."""
    uid, gid = os.getuid(), os.getgid()
    call(libc.prctl, PR_SET_DUMPABLE, 1, 0, 0, 0)  # who has just become another user does not own his /proc/self
    call(libc.unshare, CLONE_NEWUSER | CLONE_NEWNS)
    for name, text in (('setgroups', 'deny'), ('uid_map', f'0 {uid} 1'), ('gid_map', f'0 {gid} 1')):
        with open(f'/proc/self/{name}', 'w', encoding='ascii') as f:
            f.write(text)
    assert os.getuid() == 0


def in_namespace(user, enter, function, *arguments):
    """What the function returns there. A machine that makes no such namespaces has nothing that this could show."""
    try:
        as_user(user, enter)
    except OSError as e:
        pytest.skip(f'{enter.__name__} is not possible here: {e}')

    def body():
        enter()
        return function(*arguments)

    return as_user(user, body)


@pytest.fixture
def place(workdir):
    path = os.path.join(workdir, 'place')
    os.mkdir(path)
    return path


def test_a_bind_mount_in_another_mount_namespace_is_the_same_file(instance, socket, place):
    """Through one that is read-only there is reading only."""
    make_file(instance.path('vm'), BLOCK)

    def look():
        mount(instance.mount, place, MS_BIND)
        bound = os.path.join(place, 'vm')
        before = [attach(socket, bound), attach(socket, bound, os.O_RDONLY)]
        mount(None, place, MS_REMOUNT | MS_BIND | MS_RDONLY)
        return before + [attach(socket, bound), attach(socket, bound, os.O_RDONLY)]

    assert in_namespace(ROOT, enter_mount_namespace, look) == [WRITE, READ, errno.EROFS, READ]
    assert os.listdir(place) == [], 'nobody else sees it'


def test_root_of_a_user_namespace_is_the_user_who_made_it(instance, socket, place):
    """His CAP_DAC_OVERRIDE is none here; and the helper sees through to the uid."""
    roots, his, everybodys = [make_file(instance.path(name), BLOCK) for name in ('roots', 'his', 'everybodys')]
    os.chown(his, PLAIN.uid, PLAIN.gid)
    os.chmod(everybodys, 0o666)
    control = os.getxattr(instance.mount, 'user.guestmemfs.control')

    def look():
        mount(instance.mount, place, MS_BIND)
        return {'roots': attach(socket, roots), 'bound': attach(socket, os.path.join(place, 'roots')),
                'his': attach(socket, his), 'everybodys': attach(socket, everybodys),
                'chmod': errno_of(os.chmod, roots, 0o666), 'chown': errno_of(os.chown, roots, 0, 0),
                'control': errno_of(os.open, control, os.O_RDWR)}

    refused = (errno.EACCES, wire.REASON_TRUST)
    assert in_namespace(PLAIN, enter_user_namespace, look) == {
        'roots': errno.EACCES, 'bound': errno.EACCES, 'his': refused, 'everybodys': refused,
        'chmod': errno.EPERM, 'chown': errno.EPERM, 'control': errno.EACCES}


def test_a_trusted_user_keeps_his_rights_in_a_user_namespace(instance, socket, place):
    """As a container without root of its own."""
    path = make_file(instance.path('his'), BLOCK)
    user = User(61001, TRUSTED)
    os.chown(path, user.uid, user.gid)

    def look():
        mount(instance.mount, place, MS_BIND)
        return attach(socket, os.path.join(place, 'his')), attach(socket, path, os.O_RDONLY)

    assert in_namespace(user, enter_user_namespace, look) == (WRITE, READ)


# ---- the control socket

COMMANDS = [['status', 0], ['ls', 0], ['extents', 1], ['freeze', 0], ['thaw', 0], ['token', 0], ['export', 1], ['unexport', 1],
            ['upgrade', 0]]


@pytest.mark.parametrize('command, about_file', COMMANDS, ids=[c[0] for c in COMMANDS])
def test_commands_are_for_root_and_the_user_of_the_mount_and_say_so(instance, tools, command, about_file):
    path = make_file(instance.path('vm'), BLOCK)
    os.chmod(path, 0o666)
    os.chown(path, OTHER.uid, OTHER.gid)
    operand = path if about_file else instance.mount
    for user in (OTHER, PLAIN, User(OTHER.uid, 0)):
        done = tools.run('guestmemfs', command, operand, user=user)
        assert done.returncode == 1 and done.stdout == ''
        assert 'that is for root and the user who runs the mount' in done.stderr, done.stderr
    assert not instance.status()['frozen']


def test_the_worker_itself_looks_who_asks(instance, tools):
    """Whatever becomes of the socket's mode."""
    control = os.getxattr(instance.mount, 'user.guestmemfs.control').decode()
    os.chmod(control, 0o666)
    for user in (OTHER, PLAIN):
        done = tools.run('guestmemfs', 'freeze', instance.mount, user=user)
        assert done.returncode == 1 and 'only root and the user of the mount may ask' in done.stderr, done.stderr
        assert re.search(rf'refusal by=worker pid=\d+ uid={user.uid} request=none ino=0 errno=13 ', instance.log())
    assert not instance.status()['frozen']


def test_a_plain_users_mount_is_his_alone(make_instance, tools):
    instance = make_instance(user=PLAIN).start()
    done = tools.run('guestmemfs', 'status', instance.mount, user=OTHER)
    assert done.returncode == 1 and 'Permission denied' in done.stderr
    assert as_user(OTHER, errno_of, os.listdir, instance.mount) == errno.EACCES
    assert as_user(PLAIN, os.listdir, instance.mount) == []
    assert tools.run('guestmemfs', 'status', instance.mount, user=PLAIN).returncode == 0
