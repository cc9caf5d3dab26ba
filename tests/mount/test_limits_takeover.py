# SPDX-License-Identifier: MIT
"""
A start that is to take over from a supervisor that has died, or an upgrade, while descriptors, memory or room in the
runtime directory are short: it is made, or refused with a sentence and all is as before; another one makes it.
"""

import itertools
import os

import pytest

from evidence import BLOCK, assert_clean, grant, must
from harness import PLAIN, ROOT, StartFailed
from memory import STEP, Short, Switch
from processes import wait_until
from scarcity import SmallDirectory, limited


class Watched:
    """An instance with a client that has memory of it, and how often its supervisor was replaced."""

    def __init__(self, instance, agent):
        self.instance, self.agent = instance, agent
        must(instance, 'truncate', '-s', BLOCK, instance.path('vm'))
        self.mapping = grant(agent, instance.path('vm'))
        agent('fill', self.mapping, 3)
        self.others = self.find_others()
        self.taken = self.refused = 0

    def find_others(self):
        return {name: pid for name, pid in self.instance.status()['pids'].items() if name != 'supervisor'}

    def die(self):
        self.instance.kill('supervisor')
        assert wait_until(lambda: self.instance.status()['pids']['supervisor'] == 0, 20)

    def take_over(self, words):
        """A start, which is refused in these words and changes nothing, or takes over."""
        try:
            self.instance.start()
            self.taken += 1
        except StartFailed as failed:
            self.refused += 1
            assert failed.status == 1 and words in failed.text, failed.text
        assert self.find_others() == self.others, self.instance.log()
        self.agent('check', self.mapping, 3)
        if not self.instance.ended():
            self.die()

    def end(self):
        self.instance.start()
        assert self.find_others() == self.others
        self.agent('check', self.mapping, 3)
        assert self.instance.stop() == 0
        assert_clean(self.instance)


def test_taking_over_with_few_descriptors(make_instance, make_agent):
    instance = make_instance(user=PLAIN).start()
    watched = Watched(instance, make_agent(user=PLAIN))
    watched.die()
    for limit in (6, 7, 8, 10, 12, 14, 17, 20):
        instance.user = limited(f'--nofile={limit}')
        watched.take_over('open files')
    assert watched.refused, instance.log()
    instance.user = PLAIN
    watched.end()


@pytest.mark.preload
@pytest.mark.limit(900)
def test_taking_over_without_memory(make_instance, make_agent, workdir):
    switch = Switch(os.path.join(workdir, 'switch'), ROOT)
    instance = make_instance(user=Short(0, 0, switch.path)).start()
    watched = Watched(instance, make_agent())
    watched.die()
    for since in (False, True):
        for n in itertools.count(0, int(STEP or 17)):
            with switch.failing(Switch.NEXT_SUPERVISOR, n, since) as failed:
                watched.take_over('Cannot allocate memory')
            if not failed[0]:
                break
    assert watched.refused > 1 and watched.taken > 1, instance.log()
    watched.end()


@pytest.mark.preload
@pytest.mark.limit(180)
def test_a_keeper_without_memory(make_instance, make_agent, workdir):
    """One that is to follow another leaves it to that one; one that is short of memory afterwards keeps what it has."""
    switch = Switch(os.path.join(workdir, 'switch'), ROOT)
    instance = make_instance(user=Short(0, 0, switch.path)).start()
    watched = Watched(instance, make_agent())
    codes = []
    for since in (False, True):
        for n in itertools.count(0, int(STEP or 97)):
            before = instance.status()['pids']['keeper']
            with switch.failing(Switch.NEXT_KEEPER, n, since) as failed:
                done = instance.tools.run('guestmemfs', 'upgrade', instance.mount, timeout=100)
            codes.append(done.returncode)
            after = instance.status()['pids']['keeper']
            if done.returncode:
                assert 'the new keeper did not come to serve' in done.stderr and after == before, done.stderr
            watched.others = watched.find_others()
            if not failed[0]:
                break
    assert 1 in codes and codes[-1] == 0, codes
    with switch.failing(watched.others['keeper'], 0, since=True):
        watched.die()
        watched.take_over('')
    assert watched.taken == 1, instance.log()
    watched.end()


@pytest.mark.parametrize('kind', ['pages', 'inodes'])
def test_taking_over_and_upgrades_need_no_room(make_instance, make_agent, workdir, kind):
    small = SmallDirectory(os.path.join(workdir, 'run'), PLAIN)
    try:
        instance = make_instance(user=limited(runtime=small.path)).start()
        watched = Watched(instance, make_agent(user=PLAIN))
        getattr(small, f'fill_{kind}')()
        watched.die()
        watched.take_over('')
        assert watched.taken == 1
        instance.start()
        must(instance, 'guestmemfs', 'upgrade', instance.mount)
        watched.others = watched.find_others()
        watched.die()
        watched.end()
    finally:
        instance.clean_up()
        small.clean_up()
