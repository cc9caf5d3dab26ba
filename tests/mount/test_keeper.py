# SPDX-License-Identifier: MIT
"""Who is not a supervisor talks to the keeper; and a start meets a keeper that has not what it should have."""

import os
import shutil

import pytest

from evidence import make_region
from harness import OTHER, PLAIN
from keepers import (CONNECTION, END, HELPER, INSTANCE, KEEP, KEPT, LOOK, REFUSED, TAKE, VERSION, WORKER, Asker, Listener, close_all,
                     keeper_socket, message)
from persona import as_user as call_as
from taking_over import die, equip, take_over


@pytest.fixture
def instance(make_instance):
    return make_region(make_instance()).start()


@pytest.fixture
def client(instance, make_agent):
    return equip(instance, make_agent())


# -- strangers

def test_keeper_has_a_supervisor(instance):
    """Who asks is told which, and gets a record of arguments and nothing else."""
    asker = Asker(keeper_socket(instance))
    pid = instance.process.pid
    assert asker.ask(message(LOOK)) == [(KEPT, 0, 1, 1), (END, 0, pid, 0)]
    assert asker.ask(message(TAKE)) == [(REFUSED, 0, pid, 0)]
    assert asker.ask(message(LOOK, value=VERSION + 1)) == [(REFUSED, 0, pid, 0)]
    asker.close()
    assert instance.is_serving()


BAD = [message(KEEP), message(LOOK, size=15), message(LOOK, slot=9), message(77), b'x', message(TAKE) + b'x']


@pytest.mark.parametrize('alone', [False, True], ids=['supervised', 'alone'])
def test_bad_messages_to_the_keeper(instance, client, alone):
    before = die(instance) if alone else instance.status()['pids']
    for data in BAD:
        asker = Asker(keeper_socket(instance))
        assert asker.ask(data) == []
        asker.close()
    silent = [Asker(keeper_socket(instance)) for _ in range(20)]  # more than there is room for
    if alone:
        assert instance.status()['pids'] == {**before, 'supervisor': 0}
    for asker in silent:
        asker.close()
    before = before if alone else die(instance)
    asker = Asker(keeper_socket(instance))
    assert asker.ask(message(LOOK, value=VERSION + 1)) == [(REFUSED, 0, 0, 0)]
    asker.close()
    take_over(instance, before)
    client.check()


def test_of_another_user_the_keeper_takes_nothing(make_instance):
    """Others can't connect; root can, and gets nothing: the keeper is the user's own."""
    instance = make_region(make_instance(user=PLAIN)).start()
    before = die(instance)
    path = keeper_socket(instance)
    with pytest.raises(PermissionError):
        call_as(OTHER, lambda at: Asker(at).close(), path)
    asker = Asker(path)
    assert asker.ask(message(TAKE)) == []
    asker.close()
    take_over(instance, before)
    assert instance.stop() == 0


# -- keepers

SENTENCE = 'asking for what is kept of the instance named {}: Protocol error'
ANSWERS = {
    'nothing-that-it-knows': (b'x', SENTENCE),
    'an-order': (message(LOOK), SENTENCE),
    'another-version': (message(REFUSED, value=0), 'an instance named {} runs without a supervisor, started by another version '
                                                   "that this one can't go on with: end it first (umount "),
}


@pytest.mark.parametrize('what', ANSWERS)
def test_a_keeper_that_it_can_not_go_on_with(make_instance, what):
    """Somebody of the same user listens where the keeper would: the start is refused, and has touched nothing."""
    mounted, (text, sentence) = make_instance(), ANSWERS[what]
    directory = mounted.runtime_directory
    os.makedirs(directory, mode=0o700)
    with Listener(mounted) as listener:
        assert sentence.format(mounted.name) in listener.refused([(text, [])])
    assert not os.path.exists(mounted.region) and not mounted.is_mounted()
    shutil.rmtree(directory)
    mounted.start()
    assert mounted.stop() == 0


def kept(slot, value, fds):
    return message(KEPT, slot, value), fds


NOT_WHOLE = 'what was kept of {} is not whole'.format
NO_CONNECTION = 'what was kept is no connection to the kernel'

# What is said in place of what is kept in a slot, of its value and descriptors; None: of the end of all.
PARTS = {
    'instance without regions': (INSTANCE, lambda value, fds: [kept(INSTANCE, 0, fds[:5])], NOT_WHOLE('the instance')),
    'instance of more regions': (INSTANCE, lambda value, fds: [kept(INSTANCE, value + 1, fds)], NOT_WHOLE('the instance')),
    'no instance': (INSTANCE, lambda value, fds: [], NOT_WHOLE('the instance')),
    'no worker': (WORKER, lambda value, fds: [], NOT_WHOLE('a process')),
    'helper without its program': (HELPER, lambda value, fds: [kept(HELPER, value, fds[:2])], NOT_WHOLE('a process')),
    'connection that is a file': (CONNECTION, lambda value, fds: [kept(CONNECTION, value, [fds[1], fds[1]])], NO_CONNECTION),
    'connection without its table': (CONNECTION, lambda value, fds: [kept(CONNECTION, value, fds[:1])], NO_CONNECTION),
    'worker twice': (WORKER, lambda value, fds: 2 * [kept(WORKER, value, fds)], SENTENCE),
    'slot that there is not': (HELPER, lambda value, fds: [kept(4, value, fds)], SENTENCE),
    'message of another size': (HELPER, lambda value, fds: [(message(KEPT, HELPER, value, size=24), fds)], SENTENCE),
    'question': (HELPER, lambda value, fds: [(message(TAKE), fds)], SENTENCE),
    'end with two descriptors': (None, lambda value, fds: [(message(END, 0, value), 2 * fds)], SENTENCE),
    'another process': (None, lambda value, fds: [(message(END, 0, os.getpid()), fds)], 'is in another pid namespace'),
    'no process': (None, lambda value, fds: [(message(END, 0, value), [])], 'is in another pid namespace'),
    'somebody else': (None, lambda value, fds: [(message(REFUSED, 0, 4711), [])], 'process 4711 has just taken over the instance named {}'),
}


def test_what_was_kept_is_not_whole(instance, client):
    """The start is refused, and what there is goes on: nothing of it is touched before all of it is there and was looked at."""
    before, path = die(instance), keeper_socket(instance)
    asker = Asker(path)   # is the supervisor now
    answers = asker.take(message(TAKE))
    assert [answer[:2] for answer in answers] == [(KEPT, INSTANCE), (KEPT, CONNECTION), (KEPT, WORKER), (KEPT, HELPER), (END, 0)]
    record = next(fds[0] for opcode, slot, _, fds in answers if opcode == KEPT and slot == INSTANCE)
    look = [kept(INSTANCE, 1, [record]), (message(END, 0, 0), [])]
    os.rename(path, f'{path}-real')
    with Listener(instance) as listener:
        for name, (place, change, sentence) in PARTS.items():
            said = []
            for opcode, slot, value, fds in answers:
                is_it = opcode == END if place is None else opcode == KEPT and slot == place
                said += change(value, fds) if is_it else [(message(opcode, slot, value), fds)]
            text = listener.refused(look, said)
            assert sentence.format(instance.name) in text, f'{name}: {text}'
            client.check()
    os.rename(f'{path}-real', path)
    assert instance.status()['pids'] == {**before, 'supervisor': os.getpid()}
    close_all(answers)
    asker.close()
    instance.wait_status(lambda s: s['pids']['supervisor'] == 0)
    take_over(instance, before)
    client.check()
    client.check_open()
