# SPDX-License-Identifier: MIT
"""guestmemfs revoke: who holds a file is told, and on request is killed; nobody else is."""

import errno
import json
import os

import pytest

from agent import AgentError
from evidence import BLOCK, as_user, grant, held_file, make_region, must
from harness import OTHER, PLAIN, User
from persona import as_user as in_persona
from processes import is_gone, wait_until

SEED = 5
TRUSTED = 61000


@pytest.fixture
def instance(make_instance, user):
    """Of root and of a plain user, with 64 MiB."""
    return make_region(make_instance(user=user)).start()


def held(instance, name):
    return json.loads(must(instance, 'guestmemfs', 'ls', '--json', instance.path(name)))['files'][0]['held']


def is_dead(pid):
    """It has ended; its parent may not have looked yet."""
    try:
        with open(f'/proc/{pid}/stat', encoding='ascii') as f:
            return f.read().rsplit(')', 1)[1].split()[0] == 'Z'
    except FileNotFoundError:
        return True


def test_tells_who_holds_a_file_and_harms_nobody(instance, make_agent, user):
    client, reader = make_agent(user=user), make_agent(user=user)
    mapping = held_file(instance, client, 'vm0', 2, SEED)
    grant(reader, instance.path('vm0'), mode='r')
    told = must(instance, 'guestmemfs', 'revoke', instance.path('vm0'))
    lines = [line.split() for line in told.splitlines()]
    assert lines[0] == ['PID', 'UID', 'ACCESS', 'STATE', 'COMMAND', 'CGROUP']
    assert {(line[0], line[1], line[2], line[3]) for line in lines[1:]} == {
        (str(client.pid), str(user.uid), 'rw', 'live'), (str(reader.pid), str(user.uid), 'r', 'live')}
    client('check', mapping, SEED)
    grants = instance.status()['grants']
    with open(f'/proc/{client.pid}/comm', encoding='ascii') as f:
        assert {g['command'] for g in grants} == {f.read().strip()}
    must(instance, 'truncate', '-s', BLOCK, instance.path('nobodys'))
    assert 'Nobody reaches' in must(instance, 'guestmemfs', 'revoke', instance.path('nobodys'))


def test_kills_who_holds_it_and_their_children_and_nobody_else(instance, make_agent, user):
    client, other = make_agent(user=user), make_agent(user=user)
    held_file(instance, client, 'vm0', 2, SEED)
    mapping = held_file(instance, other, 'vm1', 2, SEED)
    child = int(client('fork-hold', 600)[0])
    done = as_user(instance, 'guestmemfs', 'revoke', '--kill', instance.path('vm0'))
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(client.pid) in done.stdout and 'killed' in done.stdout and 'any more' in done.stdout
    assert wait_until(lambda: is_dead(client.pid) and is_gone(child), 20)
    assert not held(instance, 'vm0') and held(instance, 'vm1')
    other('check', mapping, SEED)
    heir = make_agent(user=user)
    heir('check', grant(heir, instance.path('vm0')), SEED)
    assert str(heir.pid) in must(instance, 'guestmemfs', 'revoke', instance.path('vm0')), 'and may be attached again'


def test_tickets_of_before_are_void(instance, make_agent, user):
    client = make_agent(user=user)
    must(instance, 'truncate', '-s', BLOCK, instance.path('vm0'))
    socket = in_persona(user, os.getxattr, instance.mount, 'user.guestmemfs.socket').decode()
    ticket = client('ticket', client('open', instance.path('vm0'), 'rw')[0])[0]
    must(instance, 'guestmemfs', 'revoke', '--kill', instance.path('vm0'))
    with pytest.raises(AgentError) as refused:
        client('redeem', socket, ticket)
    assert refused.value.errno == errno.EKEYREJECTED


def test_only_root_and_the_owner_may(make_instance, make_agent):
    instance = make_region(make_instance()).start()
    client = make_agent()
    held_file(instance, client, 'vm0', 1, SEED)
    os.chmod(instance.path('vm0'), 0o666)
    owner, stranger = PLAIN, OTHER
    os.chown(instance.path('vm0'), owner.uid, owner.gid)
    for kill in ((), ('--kill',)):
        done = instance.tools.run('guestmemfs', 'revoke', *kill, instance.path('vm0'), user=stranger)
        assert done.returncode == 1 and "only root and the file's owner" in done.stderr
    assert not is_dead(client.pid)


def test_an_owner_kills_only_his_own_processes_and_root_everybodys(make_instance, make_agent):
    owner, guest = User(61001, TRUSTED), User(61002, TRUSTED)
    instance = make_region(make_instance(options=['--trusted-group', str(TRUSTED)])).start()
    his, anothers = make_agent(user=owner), make_agent(user=guest)
    held_file(instance, make_agent(), 'vm0', 2, SEED)
    os.chmod(instance.path('vm0'), 0o666)
    os.chown(instance.path('vm0'), owner.uid, owner.gid)
    grant(his, instance.path('vm0'))
    mapping = grant(anothers, instance.path('vm0'))
    done = instance.tools.run('guestmemfs', 'revoke', '--kill', instance.path('vm0'), user=owner)
    states = {line.split()[0]: line.split()[3] for line in done.stdout.splitlines()[1:]}
    assert done.returncode == 1, done.stdout + done.stderr
    assert states[str(his.pid)] == 'killed' and states[str(anothers.pid)] == 'live', done.stdout
    assert wait_until(lambda: is_dead(his.pid), 20)
    anothers('check', mapping, SEED)
    assert held(instance, 'vm0')
    done = instance.tools.run('guestmemfs', 'revoke', '--kill', instance.path('vm0'))
    assert done.returncode == 0, done.stdout + done.stderr
    assert wait_until(lambda: is_dead(anothers.pid), 20) and not held(instance, 'vm0')


def test_wrong_use_and_what_is_no_file_of_ours(instance, tools, workdir):
    must(instance, 'truncate', '-s', BLOCK, instance.path('vm0'))
    for words in ((), ('a', 'b'), ('--nonsense', 'a')):
        assert tools.run('guestmemfs', 'revoke', *words).returncode == 2
    with open(f'{workdir}/plain', 'wb'):
        pass
    for path in (f'{workdir}/plain', f'{workdir}/missing', instance.mount):
        done = as_user(instance, 'guestmemfs', 'revoke', path)
        assert done.returncode == 1 and done.stderr.count('\n') == 1, done.stderr
    must(instance, 'guestmemfs', 'freeze', instance.mount)
    done = as_user(instance, 'guestmemfs', 'revoke', '--kill', instance.path('vm0'))
    assert done.returncode == 1 and 'frozen' in done.stderr
    assert f' uid={instance.user.uid} request=revoke ino=' in instance.log()
