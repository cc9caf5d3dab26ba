# SPDX-License-Identifier: MIT
"""From the open file to the memory: what clients get, what they don't get, and whose bytes are where."""

import dataclasses
import errno
import fcntl
import json
import os
import signal
import subprocess
import time

import pytest

import wire
from agent import AgentError
from harness import OTHER, PLAIN, User
from persona import as_user, errno_of, make_file
from processes import wait_until

BLOCK = 2 << 20
ZERO_PAGE = bytes(4096)


@dataclasses.dataclass(frozen=True)
class Member(User):
    """A user with a supplementary group."""
    groups: tuple

    def argv(self):
        groups = ','.join(map(str, self.groups))
        return [word.replace('--clear-groups', f'--groups={groups}') for word in super().argv()]


def make(instance, name, size):
    return as_user(instance.user, make_file, instance.path(name), size)


def resize(instance, name, size):
    as_user(instance.user, os.truncate, instance.path(name), size)


def opened(agent, path, mode='rw'):
    """Opens and attaches: the file's ID in the agent."""
    file = agent('open', path, mode)[0]
    agent('attach', file)
    return file


def mapped(agent, path, offset, length, mode='rw'):
    return agent('map', opened(agent, path, mode), offset, length, mode)[0]


def socket_of(instance):
    return as_user(instance.user, os.getxattr, instance.mount, 'user.guestmemfs.socket').decode()


def refused(function, *arguments):
    """The AgentError of a call that must fail."""
    with pytest.raises(AgentError) as caught:
        function(*arguments)
    return caught.value


def wait_not_held(instance):
    instance.wait_status(lambda s: not s['grants'])
    assert wait_until(lambda: not any(f['held'] for f in files_of(instance)), 20), 'still held'


def files_of(instance):
    done = instance.tools.run('guestmemfs', 'ls', instance.mount, '--json', user=instance.user)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)['files']


def dump(instance, path):
    argv = [*instance.user.argv(), instance.tools.path('guestmemfs'), 'dump', path]
    done = subprocess.run(argv, env=instance.user.environment(), stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=60, check=False, cwd='/')
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- whose bytes are where

def test_two_clients_of_one_file_see_each_others_bytes(make_instance, make_agent, user):
    instance = make_instance(user=user).start()
    path = make(instance, 'vm', 2 * BLOCK)
    one, other = make_agent(user=user), make_agent(user=user)
    mine, his = mapped(one, path, 0, 2 * BLOCK), mapped(other, path, BLOCK, BLOCK, 'r')
    for offset in (BLOCK, 2 * BLOCK - 8):
        one('poke', mine, offset, 0x1122334455667788)
        assert other('peek', his, offset) == ['1122334455667788']
    one('fill', mine, 3)
    other('check', his, 3)
    one.kill()
    other('check', his, 3)
    back = mapped(other, path, 0, 2 * BLOCK)
    other('check', back, 3)


def test_files_share_no_byte_and_offsets_are_right(make_instance, make_agent, user):
    """Files that are interleaved on the region, each full of a pattern of its own; and dump as a second witness."""
    instance = make_instance(user=user, size='96M').start()
    sizes = {'a': 3 * BLOCK, 'b': 2 * BLOCK, 'c': 4 * BLOCK - 4096}
    for name in sizes:
        make(instance, name, BLOCK)
    for size in (2 * BLOCK, 3 * BLOCK, 4 * BLOCK - 4096):  # in turn, so that the extents of each are several
        for name, wanted in sizes.items():
            resize(instance, name, min(size, wanted))
    agent = make_agent(user=user)
    maps = {}
    for seed, (name, size) in enumerate(sizes.items()):
        file = opened(agent, instance.path(name))
        assert len(agent('extents', file)) >= 2, 'the files do not lie in pieces: this test shows nothing'
        maps[name] = agent('map', file, 0, size, 'rw')[0]
        agent('fill', maps[name], seed)
    for seed, name in enumerate(sizes):
        agent('check', maps[name], seed)
    agent.kill()

    witness = make_agent(user=user)
    contents = {}
    for seed, (name, size) in enumerate(sizes.items()):
        file = opened(witness, instance.path(name), 'r')
        for offset in range(0, size, 4096 * 255):  # parts, which cross the borders of extents in all ways
            part = witness('map', file, offset, min(4096 * 300, size - offset), 'r')[0]
            witness('check', part, seed)
        contents[name] = dump(instance, instance.path(name))
        assert len(contents[name]) == size
    words = [content[at:at + 8] for content in contents.values() for at in range(0, len(content), 4096)]
    assert len(set(words)) == len(words), 'a word of one place is in another'

    # With the bytes of dump the raw region must agree where `extents` says that they are.
    file = opened(witness, instance.path('a'), 'r')
    with open(instance.region, 'rb') as region:
        for word in witness('extents', file):
            at, length, _, device_at = map(int, word.split(':'))
            region.seek(device_at)
            assert region.read(length) == contents['a'][at:at + length]


def test_a_file_that_grew_is_attached_again(instance, make_agent):
    path = make(instance, 'vm', BLOCK)
    agent = make_agent()
    file = opened(agent, path)
    old = agent('map', file, 0, BLOCK, 'rw')[0]
    agent('fill', old, 1)
    resize(instance, 'vm', 3 * BLOCK)
    error = refused(agent, 'map', file, BLOCK, BLOCK, 'rw')
    assert error.errno == errno.ENXIO and 'past the end' in error.sentence
    assert agent('attach', file)[0] == str(3 * BLOCK)
    new = agent('map', file, BLOCK, 2 * BLOCK, 'rw')[0]
    agent('zero-check', new)
    agent('fill', new, 1)
    agent('check', old, 1)
    whole = agent('map', file, 0, 3 * BLOCK, 'r')[0]
    agent('check', whole, 1)


@pytest.mark.parametrize('offset, length, wanted', [
    (0, 3 * BLOCK, errno.ENXIO), (BLOCK - 1, 4096, errno.EINVAL), (0, 0, errno.EINVAL),
    (2 * BLOCK, BLOCK, errno.ENXIO), (0, BLOCK + 4097, errno.ENXIO), (1 << 62, BLOCK, errno.ENXIO)])
def test_what_lies_beyond_the_file_is_not_mapped(instance, make_agent, offset, length, wanted):
    make(instance, 'other', BLOCK)
    agent = make_agent()
    file = opened(agent, make(instance, 'vm', BLOCK + 4096))
    assert refused(agent, 'map', file, offset, length, 'rw').errno == wanted


# ---- nobody gets another one's bytes

def fill_pool(instance, make_agent):
    """One file over the whole pool, full of a pattern; its client ends."""
    free = instance.status()['blocks']['free']
    agent = make_agent(user=instance.user)
    path = make(instance, 'full', free * BLOCK)
    whole = mapped(agent, path, 0, free * BLOCK)
    agent('zero-check', whole)
    agent('fill', whole, 99)
    agent.kill()
    wait_not_held(instance)
    return free


def test_a_new_file_is_all_zero_wherever_another_one_was(make_instance, make_agent, user):
    instance = make_instance(user=user).start()
    free = fill_pool(instance, make_agent)
    with open(instance.region, 'rb') as region:
        region.seek(-(free + 1) * BLOCK, os.SEEK_END)
        # The last block of the region is never data.
        assert ZERO_PAGE not in [region.read(4096) for _ in range(free * BLOCK // 4096)], 'not full of the pattern'
    as_user(user, os.unlink, instance.path('full'))
    agent = make_agent(user=user)
    for name, size in (('small', 4096), ('odd', BLOCK + 4096), ('large', (free - 3) * BLOCK)):
        path = make(instance, name, size)  # at once: what is dirty must be zeroed for it
        agent('zero-check', mapped(agent, path, 0, size))
    status = instance.wait_status(lambda s: s['scrub']['pending_blocks'] == 0)
    assert status['blocks']['free'] == 0
    with open(instance.region, 'rb') as region:
        region.seek(-(free + 1) * BLOCK, os.SEEK_END)
        assert region.read(free * BLOCK).count(0) == free * BLOCK


def test_free_blocks_are_scrubbed_unasked(instance, make_agent):
    free = fill_pool(instance, make_agent)
    os.unlink(instance.path('full'))
    status = instance.wait_status(lambda s: s['scrub']['pending_blocks'] == 0)
    assert (status['blocks']['free'], status['blocks']['free_dirty']) == (free, 0)
    with open(instance.region, 'rb') as region:
        region.seek(-(free + 1) * BLOCK, os.SEEK_END)
        assert region.read(free * BLOCK).count(0) == free * BLOCK


@pytest.mark.parametrize('cut', [1, 4096, BLOCK - 4096, BLOCK, BLOCK + 1, BLOCK + 8191])
def test_the_tail_reads_zero_after_shrinking_and_growing(instance, make_agent, cut):
    size = 2 * BLOCK
    path = make(instance, 'vm', size)
    agent = make_agent()
    agent('fill', mapped(agent, path, 0, size), 5)
    agent.kill()
    before = dump(instance, path)
    wait_not_held(instance)
    resize(instance, 'vm', cut)
    assert dump(instance, path) == before[:cut]
    wait_not_held(instance)
    resize(instance, 'vm', size)
    assert dump(instance, path) == before[:cut] + bytes(size - cut)


def test_shrinking_and_growing_without_a_grant_between_zeroes_too(instance, make_agent):
    path = make(instance, 'vm', 2 * BLOCK)
    agent = make_agent()
    agent('fill', mapped(agent, path, 0, 2 * BLOCK), 5)
    agent.kill()
    before = dump(instance, path)
    wait_not_held(instance)
    for size in (BLOCK + 9000, BLOCK + 100, BLOCK + 20000, 2 * BLOCK):
        resize(instance, 'vm', size)
    instance.stop()
    instance.restart()  # what is still to be zeroed is remembered
    assert dump(instance, path) == before[:BLOCK + 100] + bytes(BLOCK - 100)


# ---- access modes

def test_read_only_gives_a_read_only_descriptor(make_instance, make_agent, user):
    instance = make_instance(user=user).start()
    path = make(instance, 'vm', BLOCK)
    as_user(user, os.chmod, path, 0o400)
    agent = make_agent(user=user)
    file = opened(agent, path, 'r')
    at = agent('extents', file)[0].split(':')[3]
    assert refused(agent, 'rawmap', file, 0, at, BLOCK, 'rw').errno == errno.EACCES
    assert refused(agent, 'map', file, 0, BLOCK, 'rw').errno == errno.EACCES
    agent('zero-check', agent('rawmap', file, 0, at, BLOCK, 'r')[0])

    def body(socket):
        with wire.Client(socket).greet() as client:
            opcode, _, grant = client.redeem(wire.ticket_for(path, os.O_RDONLY))
            assert opcode == wire.GRANT and grant.access == 1 and len(grant.fds) == 1
            assert fcntl.fcntl(grant.fds[0], fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
            assert errno_of(os.pwrite, grant.fds[0], b'x', int(at)) == errno.EBADF
            os.chmod(path, 0o600)
            opcode, _, grant = client.redeem(wire.ticket_for(path, os.O_RDWR))
            assert opcode == wire.GRANT and grant.access == 3
            assert fcntl.fcntl(grant.fds[0], fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR

    as_user(user, body, socket_of(instance))


def test_only_what_is_open_for_reading_gets_a_ticket(instance, make_agent):
    path = make(instance, 'vm', BLOCK)
    agent = make_agent()
    error = refused(agent, 'ticket', agent('open', path, 'w')[0])
    assert error.errno == errno.EACCES and 'opened for writing only' in error.sentence
    assert errno_of(wire.ticket_for, path, os.O_PATH) == errno.EBADF
    assert errno_of(wire.ticket_for, instance.mount, os.O_RDONLY) == errno.ENOTTY
    assert errno_of(wire.ticket_for, instance.region, os.O_RDWR) == errno.ENOTTY
    fd = os.open(path, os.O_RDWR)
    assert errno_of(fcntl.ioctl, fd, wire.IOC_TICKET + 1, bytearray(16)) == errno.ENOTTY
    assert errno_of(fcntl.ioctl, fd, wire.IOC_TICKET + (16 << 16), bytearray(32)) == errno.ENOTTY
    os.close(fd)
    agent('ticket', agent('open', path, 'rw')[0])


# ---- tickets

def test_tickets_are_good_once_for_a_while_and_here(make_instance, make_agent):
    here, elsewhere = make_instance().start(), make_instance().start()
    path = make(here, 'vm', BLOCK)
    make(elsewhere, 'vm', BLOCK)
    agent = make_agent()
    file = agent('open', path, 'rw')[0]
    old = agent('ticket', file)[0]
    old_until = time.monotonic() + 5.2

    ticket = agent('ticket', file)[0]
    agent('redeem', socket_of(here), ticket)
    foreign = agent('ticket', agent('open', elsewhere.path('vm'), 'rw')[0])[0]
    flipped = agent('ticket', file)[0]
    flipped = flipped[:-1] + ('0' if flipped[-1] != '0' else '1')
    bad = {'used': ticket, 'foreign': foreign, 'all zero': '0' * 32, 'invented': '0123456789abcdef' * 2,
           'one bit off': flipped}
    for what, ticket in bad.items():
        error = refused(agent, 'redeem', socket_of(here), ticket)
        assert error.errno == errno.EKEYREJECTED, what
        assert 'used up, too old or was never given out' in error.sentence
    agent('redeem', socket_of(elsewhere), foreign)  # nobody's guesses have used it up

    time.sleep(max(0, old_until - time.monotonic()))
    assert refused(agent, 'redeem', socket_of(here), old).errno == errno.EKEYREJECTED
    agent('redeem', socket_of(here), agent('ticket', file)[0])


def test_a_ticket_is_redeemed_by_another_process_that_can_not_even_open_the_file(make_instance, make_agent):
    instance = make_instance(options=['--trusted-group', '4711']).start()
    path = make(instance, 'vm', BLOCK)  # 0600 of root
    launcher, sandboxed = make_agent(), make_agent(user=User(PLAIN.uid, 4711))
    assert refused(sandboxed, 'open', path, 'r').errno == errno.EACCES
    mine = mapped(launcher, path, 0, BLOCK)
    launcher('fill', mine, 8)
    ticket = launcher('ticket', launcher('open', path, 'r')[0])[0]
    file, size, _ = sandboxed('redeem', socket_of(instance), ticket)
    assert int(size) == BLOCK
    sandboxed('check', sandboxed('map', file, 0, BLOCK, 'r')[0], 8)
    assert refused(sandboxed, 'map', file, 0, BLOCK, 'rw').errno == errno.EACCES, 'the ticket was for reading'
    assert {(g['pid'], g['access']) for g in instance.status()['grants']} == {
        (launcher.pid, 'rw'), (sandboxed.pid, 'r')}


def test_a_ticket_outlives_its_file_but_not_the_files_memory(instance, make_agent):
    agent = make_agent()
    file = agent('open', make(instance, 'vm', BLOCK), 'rw')[0]
    ticket = agent('ticket', file)[0]
    os.unlink(instance.path('vm'))
    agent('close', file)
    instance.wait_status(lambda s: s['files']['count'] == 1)
    error = refused(agent, 'redeem', socket_of(instance), ticket)
    assert error.errno == errno.ESTALE and 'removed' in error.sentence


# ---- trust

def test_memory_of_a_shared_region_is_for_trusted_users(make_instance, make_agent):
    instance = make_instance(options=['--trusted-group', '4711']).start()
    path = make(instance, 'vm', BLOCK)
    os.chmod(path, 0o666)
    stranger = make_agent(user=OTHER)
    file = stranger('open', path, 'rw')[0]
    for _ in range(3):
        error = refused(stranger, 'attach', file)
        assert error.errno == errno.EACCES
        assert 'root, the mount' in error.sentence and '--trusted-group' in error.sentence
    assert not instance.status()['grants'] and not any(f['held'] for f in files_of(instance))

    for member in (User(OTHER.uid, 4711), Member(OTHER.uid, OTHER.gid, (100, 4711))):
        agent = make_agent(user=member)
        agent('fill', mapped(agent, path, 0, BLOCK), 2)
    assert {g['uid'] for g in instance.status()['grants']} == {OTHER.uid}
    assert refused(stranger, 'attach', file).errno == errno.EACCES


def test_without_a_trusted_group_no_other_user_gets_memory(instance, make_agent):
    path = make(instance, 'vm', BLOCK)
    os.chmod(path, 0o666)
    agent = make_agent(user=User(OTHER.uid, 0))  # root's group is nobody's licence
    assert refused(agent, 'attach', agent('open', path, 'rw')[0]).errno == errno.EACCES


# ---- what clients hold

def test_a_held_file_can_not_shrink_but_all_else(make_instance, make_agent, user):
    instance = make_instance(user=user).start()
    free = instance.status()['blocks']['free']
    path = make(instance, 'vm', 2 * BLOCK)
    agent = make_agent(user=user)
    whole = mapped(agent, path, 0, 2 * BLOCK)
    agent('fill', whole, 4)

    def body(mount):
        for size in (0, 1, BLOCK, 2 * BLOCK - 1):
            assert errno_of(os.truncate, path, size) == errno.EBUSY
            assert os.stat(path).st_size == 2 * BLOCK
        assert errno_of(os.open, path, os.O_RDWR | os.O_TRUNC) == errno.EBUSY
        os.truncate(path, 2 * BLOCK)
        os.truncate(path, 3 * BLOCK)
        os.chmod(path, 0o640)
        os.utime(path, ns=(1, 2))
        os.rename(path, mount + '/renamed')
        os.unlink(mount + '/renamed')
        assert os.listdir(mount) == []

    as_user(user, body, instance.mount)
    status = instance.status()
    assert status['blocks']['used'] == 3 and status['orphans'] == 1
    assert [(g['pid'], g['path'], g['state']) for g in status['grants']] == [(agent.pid, None, 'live')]
    agent('check', whole, 4)
    agent.kill()
    instance.wait_status(lambda s: s['blocks']['free'] == free and s['orphans'] == 0)
    assert instance.status()['files']['count'] == 1


def test_a_mapping_holds_when_descriptors_and_connection_are_gone(instance, make_agent):
    path = make(instance, 'vm', 2 * BLOCK)
    agent = make_agent()
    before = int(agent('fds')[0])
    file = opened(agent, path)
    part = agent('map', file, BLOCK, BLOCK, 'rw')[0]
    agent('detach', file)
    agent('close', file)
    assert int(agent('fds')[0]) == before, 'the library has left descriptors behind'
    agent('fill', part, 6)
    assert errno_of(os.truncate, path, 0) == errno.EBUSY
    agent('check', part, 6)
    child = int(agent('fork-hold', 60)[0])
    agent.kill()
    assert errno_of(os.truncate, path, 0) == errno.EBUSY, 'the child holds the mapping that it inherited'
    os.kill(child, signal.SIGKILL)
    assert wait_until(lambda: errno_of(os.truncate, path, 0) == 0, 20)


def test_status_shows_who_holds_what_and_forgets_the_dead(make_instance, make_agent, user):
    instance = make_instance(user=user).start()
    first, second = make(instance, 'first', BLOCK), make(instance, 'second', BLOCK)
    one, other = make_agent(user=user), make_agent(user=user)
    opened(one, first, 'r')
    opened(other, first, 'rw')
    opened(other, second, 'rw')

    def shown():
        return {(g['path'], g['pid'], g['uid'], g['access'], g['state']) for g in instance.status()['grants']}

    mine = ('/first', one.pid, user.uid, 'r', 'live')
    his = {('/first', other.pid, user.uid, 'rw', 'live'), ('/second', other.pid, user.uid, 'rw', 'live')}
    assert shown() == {mine} | his
    assert {f['path'] for f in files_of(instance) if f['held']} == {'/first', '/second'}
    other.kill()
    assert wait_until(lambda: shown() == {mine}, 20), shown()
    assert wait_until(lambda: {f['path'] for f in files_of(instance) if f['held']} == {'/first'}, 20)
    one.kill()
    wait_not_held(instance)


# ---- clients that die half way

def die_after_attach(socket, ticket):
    """In a child that is gone before it can read the answer."""
    child = os.fork()
    if child == 0:
        try:
            wire.Client(socket).greet().send(wire.attach(ticket))
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status), 'it did not get as far as asking'


def test_a_client_that_dies_before_it_redeems_holds_nothing(instance, make_agent):
    path = make(instance, 'vm', BLOCK)
    agent = make_agent()
    ticket = agent('ticket', agent('open', path, 'rw')[0])[0]
    agent.kill()
    os.truncate(path, 0)
    os.truncate(path, BLOCK)
    heir = make_agent()
    heir('redeem', socket_of(instance), ticket)  # the ticket was the launcher's to give away


def test_clients_that_die_between_attach_and_grant_leave_nothing_behind(instance, make_agent):
    path = make(instance, 'vm', 3 * BLOCK)
    pids, socket = instance.pids(), socket_of(instance)
    steady = make_agent()
    steady('fill', mapped(steady, make(instance, 'steady', BLOCK), 0, BLOCK), 1)
    for _ in range(5):
        ticket = wire.ticket_for(path)
        os.kill(pids['worker'], signal.SIGSTOP)  # so that the grant can not be there before the death
        try:
            die_after_attach(socket, ticket)
        finally:
            os.kill(pids['worker'], signal.SIGCONT)
    for _ in range(20):  # and wherever the death falls
        die_after_attach(socket, wire.ticket_for(path))
    assert wait_until(lambda: errno_of(os.truncate, path, 0) == 0, 20), 'still held by the dead'
    instance.wait_status(lambda s: [g['pid'] for g in s['grants']] == [steady.pid])
    assert instance.pids() == pids
