# SPDX-License-Identifier: MIT
"""
Memory that somebody may still reach is never given away: not when all our processes are killed, not when its file is
removed and every other block is asked for. And once nobody can reach it, it comes back, zeroed.
"""

import os
import signal

import pytest

from evidence import (BLOCK, Keeper, as_user, assert_clean, blocks_of, fill_to_the_end, grant, grant_when_ready,
                      held_file, make_region, must, region_bytes, tree)
from harness import DAEMONS
from processes import is_gone, wait_until

SEED = 11
BLOCKS = 3     # of the held file
BACK_BY = 20   # seconds until memory that nobody can reach any more must be free


@pytest.fixture
def instance(make_instance, user):
    """Of root and of a plain user, with 64 MiB."""
    return make_region(make_instance(user=user)).start()


def die_and_come_back(instance, which):
    """kill -9 of some or all. What is not started again by itself is started again here."""
    old = instance.pids()
    instance.kill(*which)
    if 'supervisor' in which:
        instance.restart()
    else:
        instance.wait_new(which[-1], old[which[-1]])


def exhaust(instance, agent):
    """Every block that is free goes to a new file, is granted, and reads zero."""
    names = fill_to_the_end(instance)
    for name in names:
        agent('zero-check', grant_when_ready(agent, instance.path(name)))
    assert instance.status()['blocks']['free'] == 0
    return names


def wait_free(instance, blocks):
    instance.wait_status(lambda s: s['blocks']['free'] >= blocks and s['orphans'] == 0, BACK_BY)


def assert_usable(instance, agent, blocks):
    """What has come back can be had by a new file, and nothing of the old content is in it."""
    must(instance, 'truncate', '-s', blocks * BLOCK, instance.path('heir'))
    mapping = grant(agent, instance.path('heir'))
    agent('zero-check', mapping)
    agent('fill', mapping, SEED + 1)
    agent('check', mapping, SEED + 1)


@pytest.mark.parametrize('which', [DAEMONS, ('worker',), ('helper',), ('supervisor',), ('worker', 'helper')],
                         ids='-'.join)
def test_pattern_outlives_removal_and_exhaustion(instance, make_agent, user, which):
    client, others = make_agent(user=user), make_agent(user=user)
    must(instance, 'mkdir', instance.path('d'))
    held = held_file(instance, client, 'd/vm0', BLOCKS, SEED)
    places = blocks_of(instance, 'd/vm0')
    content = region_bytes(instance, places)
    before = tree(instance)

    die_and_come_back(instance, which)
    assert tree(instance) == before
    assert blocks_of(instance, 'd/vm0') == places
    client('check', held, SEED)

    must(instance, 'rm', instance.path('d/vm0'))
    names = exhaust(instance, others)
    taken = [place for name in names for place in blocks_of(instance, name)]
    assert len(set(taken)) == len(taken) and not set(taken) & set(places)
    assert instance.status()['orphans'] == 1
    client('check', held, SEED)

    # In good order, under the client; a witness that has no part in it looks at the region; and up again.
    assert instance.stop() == 0
    report = assert_clean(instance)
    assert report['records'] == 0
    assert region_bytes(instance, places) == content
    instance.start()
    client('check', held, SEED)
    assert as_user(instance, 'truncate', '-s', BLOCK, instance.path('more')).returncode != 0
    must(instance, 'rm', instance.path('more'))
    client('poke', held, 8, 4711)  # still writable, and still only its own
    assert client('peek', held, 8) == [f'{4711:016x}']

    client.kill()
    wait_free(instance, BLOCKS)
    assert_usable(instance, others, BLOCKS)
    assert instance.stop() == 0
    assert_clean(instance)


def test_open_descriptor_holds_what_a_dead_helper_granted(instance, make_agent, user):
    """
    Nobody knows who got what from a helper that has died: a client of another file may have been granted this one too,
    and map it at any moment, as long as it has the region open.
    """
    client, other = make_agent(user=user), make_agent(user=user)
    held = held_file(instance, client, 'vm0', BLOCKS, SEED)
    must(instance, 'truncate', '-s', BLOCK, instance.path('other'))
    ident = other('open', instance.path('other'), 'rw')[0]
    other('attach', ident)
    instance.kill()
    instance.restart()
    must(instance, 'rm', instance.path('vm0'))
    client('check', held, SEED)
    client.kill()
    assert not wait_until(lambda: instance.status()['orphans'] == 0, 2)
    other('detach', ident)
    wait_free(instance, BLOCKS)
    assert_usable(instance, other, BLOCKS)


@pytest.mark.parametrize('restarted', [False, True], ids=['lived-through', 'all-killed'])
def test_passed_descriptor_holds(instance, make_agent, user, restarted):
    """The grantee is dead, and another process has the region open by SCM_RIGHTS and maps nothing."""
    client = make_agent(user=user)
    held_file(instance, client, 'vm0', BLOCKS, SEED)
    places = blocks_of(instance, 'vm0')
    content = region_bytes(instance, places)
    total = instance.status()['blocks']['data']
    client('attach', client('open', instance.path('vm0'), 'rw')[0])
    keeper = Keeper(client.pid, instance.region, user)
    try:
        client.kill()
        if restarted:
            instance.kill()
            instance.restart()
        must(instance, 'rm', instance.path('vm0'))
        # Longer than any interval between two looks at who holds what.
        assert not wait_until(lambda: instance.status()['orphans'] == 0, 2)
        assert instance.status()['blocks']['free'] == total - BLOCKS
        assert region_bytes(instance, places) == content
    finally:
        keeper.end()
    wait_free(instance, total)
    assert_usable(instance, make_agent(user=user), total)


@pytest.mark.parametrize('restarted', [False, True], ids=['lived-through', 'all-killed'])
def test_child_holds_what_it_inherited(instance, make_agent, user, restarted):
    """The grantee is dead; a child that it forked, which never asked for anything, keeps its mapping."""
    client, other = make_agent(user=user), make_agent(user=user)
    held_file(instance, client, 'vm0', BLOCKS, SEED)
    places = blocks_of(instance, 'vm0')
    content = region_bytes(instance, places)
    child = int(client('fork-hold', 600)[0])
    client.kill()
    if restarted:
        instance.kill()
        instance.restart()
    must(instance, 'rm', instance.path('vm0'))
    exhaust(instance, other)
    assert not wait_until(lambda: instance.status()['orphans'] == 0, 2)
    assert region_bytes(instance, places) == content
    os.kill(child, signal.SIGKILL)
    assert wait_until(lambda: is_gone(child), 20)
    wait_free(instance, BLOCKS)
    assert_usable(instance, other, BLOCKS)


@pytest.mark.parametrize('restarted', [False, True], ids=['lived-through', 'all-killed'])
def test_thread_holds_after_its_leader_has_ended(instance, make_agent, user, restarted):
    """/proc shows nothing of such a process but in its threads' directories."""
    client, other = make_agent(user=user), make_agent(user=user)
    held = held_file(instance, client, 'vm0', BLOCKS, SEED)
    client('end-leader')
    assert wait_until(lambda: _state(client.pid) == 'Z', 30), 'the leader did not end'
    if restarted:
        instance.kill()
        instance.restart()
    must(instance, 'rm', instance.path('vm0'))
    exhaust(instance, other)
    assert not wait_until(lambda: instance.status()['orphans'] == 0, 2)
    client('check', held, SEED)
    client.kill()
    wait_free(instance, BLOCKS)
    assert_usable(instance, other, BLOCKS)


def _state(pid):
    with open(f'/proc/{pid}/stat', encoding='ascii') as f:
        return f.read().rsplit(')', 1)[1].split()[0]


@pytest.mark.parametrize('restarted', [False, True], ids=['lived-through', 'all-killed'])
def test_shrinking_waits_for_the_client(instance, make_agent, user, restarted):
    client = make_agent(user=user)
    held = held_file(instance, client, 'vm0', BLOCKS, SEED)
    if restarted:
        instance.kill()
        instance.restart()
    before = tree(instance)
    for size in (2 * BLOCK, BLOCK + 1, 0):
        done = as_user(instance, 'truncate', '-s', size, instance.path('vm0'))
        assert done.returncode == 1 and 'Device or resource busy' in done.stderr
    assert tree(instance) == before
    client('check', held, SEED)
    client.kill()
    assert wait_until(lambda: as_user(instance, 'truncate', '-s', BLOCK, instance.path('vm0')).returncode == 0, BACK_BY)
    # What stays is the client's last word, what went is nobody's.
    heir = make_agent(user=user)
    mapping = grant(heir, instance.path('vm0'))
    heir('check', mapping, SEED)
    wait_free(instance, instance.status()['blocks']['data'] - 1)
