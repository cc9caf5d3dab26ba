# SPDX-License-Identifier: MIT
"""
kill -9 at named points of the real programs, set by a debugger. After each: what was acknowledged is there, a change in
flight is answered by the next worker, or, where the supervisor died as well, made or not; fsck finds nothing, and another
client's memory is untouched.
"""

import errno
import os
import signal
import threading
import time

import pytest

import wire
from agent import AgentError, AgentGone
from evidence import (BLOCK, as_user, assert_clean, blocks_of, daemons_of, grant, grant_when_ready, held_file,
                      make_region, must, region_bytes, shape, tree)
from harness import StartFailed
from processes import is_gone, wait_until

SEED = 5


class Bystander:
    """A client that has nothing to do with what goes on, and may notice nothing of it."""

    def __init__(self, instance, agent):
        self.instance = instance
        self.agent = agent
        self.mapping = held_file(instance, agent, 'bystander', 2, SEED)
        self.places = blocks_of(instance, 'bystander')

    def check(self):
        self.agent('check', self.mapping, SEED)
        assert blocks_of(self.instance, 'bystander') == self.places
        names = [name for name, what in shape(self.instance).items() if what.startswith('f')]
        owned = [block for name in names for block in blocks_of(self.instance, name)]
        assert len(set(owned)) == len(owned), f'a block has two owners: {sorted(owned)}'


@pytest.fixture
def instance(make_instance):
    return make_region(make_instance()).start()


@pytest.fixture
def bystander(instance, make_agent):
    return Bystander(instance, make_agent())


class InFlight:
    """An operation that does not come back until somebody dies."""

    def __init__(self, operation):
        self.error = None
        self.acknowledged = False
        self._operation = operation
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            self._operation()
            self.acknowledged = True
        except (OSError, AgentError, AgentGone) as e:
            self.error = e

    def join(self):
        self._thread.join(20)
        assert not self._thread.is_alive(), 'the operation hangs'
        return self


def quiet(instance):
    """Nothing is journalled from here on but what we ask for."""
    instance.wait_status(lambda s: s['scrub']['pending_blocks'] == 0)


def settle(instance):
    """The end of each test."""
    if not instance.ended():
        assert instance.stop() == 0
    assert assert_clean(instance)['records'] == 0


# -- the worker, with a change in flight

def create(path):
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640))


def prepare_files(instance):
    """What the operations work on."""
    must(instance, 'mkdir', instance.path('d'))
    must(instance, 'truncate', '-s', 2 * BLOCK, instance.path('d/two'))
    must(instance, 'truncate', '-s', BLOCK, instance.path('one'))


# name: what is done, what the shape of the tree becomes by it, and where its reply is: before a function, or, for mkdir,
# whose replying function is also that of the lookups before it, after one
OPERATIONS = {
    'create': (lambda m: create(f'{m}/new'), {'new': 'f 0'}, ('fuse_reply_create', False)),
    'mkdir': (lambda m: os.mkdir(f'{m}/d/new'), {'d/new': 'd'}, ('ns_mkdir', True)),
    'grow': (lambda m: os.truncate(f'{m}/one', 3 * BLOCK), {'one': f'f {3 * BLOCK}'}, ('fuse_reply_attr', False)),
    'shrink': (lambda m: os.truncate(f'{m}/d/two', BLOCK), {'d/two': f'f {BLOCK}'}, ('fuse_reply_attr', False)),
    'replace': (lambda m: os.rename(f'{m}/one', f'{m}/d/two'), {'one': None, 'd/two': f'f {BLOCK}'}, ('fuse_reply_err', False)),
    'unlink': (lambda m: os.unlink(f'{m}/d/two'), {'d/two': None}, ('fuse_reply_err', False)),
}

# name: function (None: the reply's), and whether it has run
POINTS = {
    'before-store': ('journal_store', False),
    'stored': ('journal_publish', False),
    'published': ('journal_publish', True),
    'before-reply': None,
}


def changed(before, change):
    return {name: what for name, what in (before | change).items() if what is not None}


@pytest.mark.parametrize('point', POINTS)
@pytest.mark.parametrize('operation', OPERATIONS)
def test_worker_killed_in_a_change(instance, bystander, kill_at, operation, point):
    """Nobody notices, but for the time that it takes: the change is made, once, and its caller hears so."""
    do, change, reply = OPERATIONS[operation]
    function, after = POINTS[point] or reply
    prepare_files(instance)
    quiet(instance)
    old_shape = shape(instance)
    old = instance.pids()['worker']

    trap = kill_at(old, function, after=after)
    flight = InFlight(lambda: do(instance.mount))
    trap.wait()
    flight.join()
    instance.wait_new('worker', old)

    assert flight.acknowledged, flight.error
    assert shape(instance) == changed(old_shape, change)
    bystander.check()
    settle(instance)


@pytest.mark.parametrize('point', ['before-store', 'stored', 'published', 'before-grant'])
def test_worker_killed_in_a_first_grant(instance, bystander, make_agent, kill_at, point):
    """Whether it counts as granted or not: nobody has it, so it is soon free to shrink, and can be granted."""
    function, after = POINTS.get(point, ('grants_send_grant', False))
    client = make_agent()
    must(instance, 'truncate', '-s', BLOCK, instance.path('vm0'))
    socket = os.getxattr(instance.mount, 'user.guestmemfs.socket').decode()
    quiet(instance)
    before = tree(instance)
    old = instance.pids()['worker']
    answers = []

    def redeem():  # as gm_attach(), but for its asking again with a new ticket
        with wire.Client(socket, timeout=20).greet() as connection:
            answers.append(connection.redeem(wire.ticket_for(instance.path('vm0'))))

    trap = kill_at(old, function, after=after)
    flight = InFlight(redeem)
    trap.wait()
    flight.join()
    instance.wait_new('worker', old)

    assert [(opcode, answer) for opcode, _, answer in answers] == [(wire.REFUSED, (errno.EAGAIN, wire.REASON_STARTING))]
    assert tree(instance) == before
    assert wait_until(lambda: as_user(instance, 'truncate', '-s', 0, instance.path('vm0')).returncode == 0, 30)
    must(instance, 'truncate', '-s', 2 * BLOCK, instance.path('vm0'))
    mapping = grant_when_ready(client, instance.path('vm0'))
    client('zero-check', mapping)
    client('fill', mapping, SEED + 1)
    bystander.check()
    client('check', mapping, SEED + 1)
    settle(instance)


# -- the worker, in a checkpoint

CHECKPOINT_POINTS = {
    'begun': ('write_checkpoint', 1),
    'image-half-written': ('write_header', 1),
    'image-written': ('store_publish_slot_words', 1),
    'between-the-slot-words': ('memory_publish', 2),
    'before-the-tail': ('memory_publish', 3),
}


@pytest.mark.parametrize('point', CHECKPOINT_POINTS)
def test_worker_killed_in_the_last_checkpoint(instance, bystander, kill_at, point):
    function, count = CHECKPOINT_POINTS[point]
    prepare_files(instance)
    quiet(instance)
    before = tree(instance)
    trap = kill_at(instance.pids()['worker'], function, count=count)
    instance.process.terminate()
    trap.wait()
    assert instance.process.wait(20) == 1
    assert 'the worker was ended by signal 9' in instance.log()
    assert_clean(instance)
    instance.restart()
    assert tree(instance) == before
    bystander.check()
    settle(instance)


@pytest.mark.parametrize('point', ['begun', 'image-half-written', 'image-written'])
def test_worker_killed_in_a_checkpoint_under_changes(instance, bystander, kill_at, point):
    """The journal is half full, so the checkpoint comes with a change. Every acknowledged one is there."""
    prepare_files(instance)
    quiet(instance)
    path = instance.path('one')
    old = instance.pids()['worker']
    generation = instance.status()['generation']
    trap = kill_at(old, CHECKPOINT_POINTS[point][0])
    acknowledged = 0
    while not is_gone(old):
        acknowledged += 1
        os.utime(path, ns=(acknowledged, acknowledged))
    trap.wait()
    instance.wait_new('worker', old)
    assert acknowledged > 500, 'no journal is half full so early'
    assert os.stat(path).st_mtime_ns == acknowledged
    assert instance.status()['generation'] == generation + 1  # the new mount has made up for it
    bystander.check()
    settle(instance)


# -- the start of a mount

BEGIN_POINTS = ['store_begin_mount', 'journal_store', 'journal_publish', 'connection_open', 'connection_resume',
                'grants_send_held']


@pytest.mark.parametrize('function', BEGIN_POINTS)
def test_worker_killed_as_it_begins_a_mount(instance, bystander, hold_at, kill_at, function):
    prepare_files(instance)
    quiet(instance)
    before = tree(instance)
    first = instance.pids()
    supervisor = hold_at(first['supervisor'], 'give_mount')
    os.kill(first['worker'], 9)
    supervisor.wait()
    second = daemons_of(first['supervisor'])['worker']
    trap = kill_at(second, function)
    supervisor.release()
    trap.wait()
    instance.wait_new('worker', second)
    assert tree(instance) == before
    bystander.check()
    settle(instance)


SUPERVISOR_POINTS = {
    'death-noticed': ('supervisor_take_end', False),
    'before-the-worker': ('child_start_worker', False),
    'worker-runs': ('child_start_worker', True),
    'links-made': ('children_connect', True),
    'connection-passed-on': ('give_mount', True),
}


@pytest.mark.parametrize('point', SUPERVISOR_POINTS)
def test_supervisor_killed_as_it_restarts_the_worker(instance, bystander, kill_at, point):
    function, after = SUPERVISOR_POINTS[point]
    prepare_files(instance)
    quiet(instance)
    before = tree(instance)
    pids = instance.pids()
    trap = kill_at(pids['supervisor'], function, after=after)
    os.kill(pids['worker'], 9)
    trap.wait()
    instance.restart()
    assert instance.pids()['helper'] == pids['helper']
    assert tree(instance) == before
    bystander.check()
    settle(instance)


@pytest.mark.parametrize('point', ['before-the-helper', 'helper-runs', 'links-made'])
def test_supervisor_killed_as_it_restarts_the_helper(instance, bystander, kill_at, point):
    function, after = {'before-the-helper': ('child_start_helper', False), 'helper-runs': ('child_start_helper', True),
                       'links-made': ('children_connect', True)}[point]
    prepare_files(instance)
    before = tree(instance)
    pids = instance.pids()
    trap = kill_at(pids['supervisor'], function, after=after)
    os.kill(pids['helper'], 9)
    trap.wait()
    instance.restart()
    instance.wait_new('helper', pids['helper'])
    assert instance.pids()['worker'] == pids['worker']
    assert tree(instance) == before
    bystander.check()
    settle(instance)


# What a format that was cut short leaves behind, as the next start calls it: a file without a size, one without
# superblocks, and one without its last stamp.
CUT_SHORT = ['is an empty file: remove it', 'there is no filesystem on the region', 'the stamp in the last block']


def test_supervisor_killed_during_its_first_start(make_instance):
    """At twelve moments: the next start serves, or says that there is no whole filesystem and makes one if asked to."""
    instance = make_instance()
    for i in range(12):
        instance.launch(size=instance.size)
        time.sleep(0.003 * i)
        instance.process.kill()
        instance.process.wait(20)
        try:
            instance.start()
        except StartFailed as e:
            assert e.status == 1 and any(sentence in e.text for sentence in CUT_SHORT), e
            if CUT_SHORT[0] in e.text:
                os.unlink(instance.region)
            instance.start('--format=force')
        assert shape(instance) == {}
        settle(instance)
        os.unlink(instance.region)


def test_supervisor_killed_during_a_start(instance):
    """At twelve moments, over a dead mount of before."""
    prepare_files(instance)
    before = tree(instance)
    for i in range(12):
        instance.kill()
        instance.launch()
        time.sleep(0.003 * i)
        instance.process.kill()
        instance.process.wait(20)
        instance.restart()
        assert tree(instance) == before
    settle(instance)


# -- the helper

HELPER_GRANT_POINTS = {
    'asked': ('redeem_send', False),
    'ordered': ('grants_take_grant', False),
    'recorded': ('handout_init', False),
    'before-the-reply': ('client_grant', False),
    'unread': ('client_grant', True),
}


def about_to_attach(instance, make_agent):
    client = make_agent()
    must(instance, 'truncate', '-s', BLOCK, instance.path('vm0'))
    ident = client('open', instance.path('vm0'), 'rw')[0]
    quiet(instance)
    return client, ident


def assert_nobody_has(instance, client, name):
    """The next to be granted it finds it empty."""
    assert wait_until(lambda: as_user(instance, 'truncate', '-s', 0, instance.path(name)).returncode == 0, 30)
    must(instance, 'truncate', '-s', BLOCK, instance.path(name))
    client('zero-check', grant_when_ready(client, instance.path(name)))


@pytest.mark.parametrize('point', HELPER_GRANT_POINTS)
def test_helper_killed_between_grant_and_reply(instance, bystander, make_agent, kill_at, workdir, point):
    """A client that reads its grant only when the helper is dead has none: the next helper can't have seen it."""
    function, after = HELPER_GRANT_POINTS[point]
    gate = os.path.join(workdir, 'gate')
    client, ident = about_to_attach(instance, make_agent)
    old = instance.pids()['helper']
    trap = kill_at(old, function, then=[f'shell while [ ! -e {gate} ]; do sleep 0.02; done', *(['finish'] if after else []), 'kill'])
    flight = InFlight(lambda: client('attach', ident))
    trap.wait_hit()
    os.kill(client.pid, signal.SIGSTOP)
    with open(gate, 'wb'):
        pass
    trap.wait()
    os.kill(client.pid, signal.SIGCONT)
    flight.join()
    instance.wait_new('helper', old)

    assert not flight.acknowledged
    assert_nobody_has(instance, client, 'vm0')
    bystander.check()
    settle(instance)


def test_helper_killed_after_a_reply(instance, bystander, make_agent, kill_at, workdir):
    """It got the memory with the helper's last breath, so nobody else may."""
    gate = os.path.join(workdir, 'gate')
    client, ident = about_to_attach(instance, make_agent)
    old = instance.pids()['helper']
    trap = kill_at(old, 'client_grant', after=True, then=[f'shell while [ ! -e {gate} ]; do sleep 0.02; done', 'kill'])
    flight = InFlight(lambda: client('attach', ident)).join()
    with open(gate, 'wb'):
        pass
    trap.wait()
    instance.wait_new('helper', old)

    assert flight.acknowledged, flight.error
    mapping = client('map', ident, 0, BLOCK, 'rw')[0]
    client('fill', mapping, SEED + 1)
    with pytest.raises(OSError, match='busy'):
        os.truncate(instance.path('vm0'), 0)
    client('check', mapping, SEED + 1)
    bystander.check()
    settle(instance)


def used_and_left(instance, make_agent, name, blocks):
    """A file full of a pattern that no process has any more; its blocks."""
    client = make_agent()
    held_file(instance, client, name, blocks, SEED + 2)
    places = blocks_of(instance, name)
    client.kill()
    return places


SCRUB_POINTS = {  # who dies, in which function, at which of its calls, before or after it
    'about-to-order': ('worker', 'alloc_next_dirty', 1, True),
    'taken': ('helper', 'record_begin_order', 1, True),
    'before-zeroing': ('helper', 'scrub_stream', 3, False),
    'zeroed': ('helper', 'scrub_stream', 3, True),
    'not-answered': ('helper', 'orders_take_done', 1, False),
    'not-taken': ('worker', 'scrub_done', 1, False),
    'not-journalled': ('worker', 'journal_done', 1, False),
    'journalled': ('worker', 'journal_done', 1, True),
}


@pytest.mark.parametrize('point', SCRUB_POINTS)
def test_killed_during_a_scrub(instance, bystander, make_agent, kill_at, point):
    """Half scrubbed is not scrubbed: it is done again, and nobody sees what was there."""
    places = used_and_left(instance, make_agent, 'old', 8)
    pids = instance.pids()
    who, function, count, after = SCRUB_POINTS[point]
    trap = kill_at(pids[who], function, count=count, after=after)
    assert wait_until(lambda: as_user(instance, 'truncate', '-s', 0, instance.path('old')).returncode == 0, 30)
    trap.wait()
    instance.wait_new(who, pids[who])
    instance.wait_status(lambda s: s['scrub']['pending_blocks'] == 0)
    assert region_bytes(instance, places) == bytes(len(places) * BLOCK)
    client = make_agent()
    free = instance.status()['blocks']['free']
    must(instance, 'truncate', '-s', free * BLOCK, instance.path('all'))
    client('zero-check', grant_when_ready(client, instance.path('all')))
    bystander.check()
    settle(instance)


@pytest.mark.parametrize('after', [False, True], ids=['before-zeroing', 'zeroed'])
def test_helper_killed_as_it_zeroes_a_tail(instance, bystander, make_agent, kill_at, after):
    """What lies behind the end of a file that shrank is gone when it grows again, and what lies before it is not."""
    used_and_left(instance, make_agent, 'vm0', 1)
    keep = 8192
    old = instance.pids()['helper']
    trap = kill_at(old, 'scrub_piece', after=after)

    def use():  # the tail is zeroed when the file shrinks, or grows again, or is granted at the latest
        assert wait_until(lambda: as_user(instance, 'truncate', '-s', keep, instance.path('vm0')).returncode == 0, 30)
        os.truncate(instance.path('vm0'), BLOCK)
        grant(make_agent(), instance.path('vm0'))

    flight = InFlight(use)
    trap.wait()
    flight.join()
    instance.wait_new('helper', old)
    assert wait_until(lambda: as_user(instance, 'truncate', '-s', BLOCK, instance.path('vm0')).returncode == 0, 30)
    client = make_agent()
    client('unmap', grant_when_ready(client, instance.path('vm0')))
    ident = client('open', instance.path('vm0'), 'rw')[0]
    client('attach', ident)
    client('check', client('map', ident, 0, keep, 'r')[0], SEED + 2)
    client('zero-check', client('map', ident, keep, BLOCK - keep, 'r')[0])
    bystander.check()
    settle(instance)


@pytest.mark.parametrize('function', ['orders_take_config', 'orders_take_held', 'orders_take_resumed', 'holders_take_scan'])
def test_helper_killed_as_it_rebuilds_its_record(instance, bystander, hold_at, kill_at, function):
    first = instance.pids()
    supervisor = hold_at(first['supervisor'], 'children_connect')
    os.kill(first['helper'], 9)
    supervisor.wait()
    assert wait_until(lambda: 'helper' in daemons_of(first['supervisor']), 20)
    second = daemons_of(first['supervisor'])['helper']
    trap = kill_at(second, function)
    supervisor.release()
    trap.wait()
    instance.wait_new('helper', second)
    with pytest.raises(OSError, match='busy'):
        os.truncate(instance.path('bystander'), 0)
    bystander.check()
    settle(instance)


@pytest.mark.parametrize('function, after', [('record_release', False), ('record_release', True), ('record_drop', False)],
                         ids=['before-it-is-noted', 'noted', 'said'])
def test_helper_killed_as_it_frees(instance, bystander, make_agent, kill_at, function, after):
    """The next one holds no more and no less than the worker: the file can be emptied, and its space be another's."""
    old = instance.pids()['helper']
    client = make_agent()
    held_file(instance, client, 'old', 8, SEED + 3)
    trap = kill_at(old, function, after=after)
    client.kill()
    trap.wait()
    instance.wait_new('helper', old)
    assert wait_until(lambda: as_user(instance, 'truncate', '-s', 0, instance.path('old')).returncode == 0, 30)
    client = make_agent()
    must(instance, 'truncate', '-s', instance.status()['blocks']['free'] * BLOCK, instance.path('all'))
    client('zero-check', grant_when_ready(client, instance.path('all')))
    bystander.check()
    settle(instance)
