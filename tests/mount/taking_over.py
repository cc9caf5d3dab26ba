# SPDX-License-Identifier: MIT
"""A supervisor that dies, the next one that takes over, and a client that must notice nothing of it."""

from evidence import BLOCK, as_user, held_file, must

SEED = 29


def equip(instance, agent):
    mapping = held_file(instance, agent, 'vm0', 2, SEED)
    must(instance, 'truncate', '-s', BLOCK, instance.path('nameless'))
    ident = agent('open', instance.path('nameless'), 'rw')[0]
    must(instance, 'rm', instance.path('nameless'))

    def check():
        agent('check', mapping, SEED)
        done = as_user(instance, 'truncate', '-s', 0, instance.path('vm0'))
        assert done.returncode == 1 and 'Device or resource busy' in done.stderr

    def check_open():
        agent('attach', ident)
        agent('detach', ident)

    agent.check, agent.check_open, agent.close_all = check, check_open, lambda: agent('close', ident)
    return agent


def die(instance):
    """The supervisor alone; the pids of before, of which those of the others are still right."""
    before = instance.status()['pids']
    instance.kill('supervisor')
    status = instance.wait_status(lambda s: s['pids']['supervisor'] == 0)
    assert status['pids'] == {**before, 'supervisor': 0}
    return before


def take_over(instance, before, *others):
    """A start; the processes are those of before, but for the others, which are new."""
    instance.start()
    pids = instance.wait_status(lambda s: not any(s['pids'][name] in (0, before[name]) for name in others))['pids']
    assert pids['supervisor'] == instance.process.pid
    assert {**pids, 'supervisor': 0} == {**before, **{name: pids[name] for name in others}, 'supervisor': 0}
    assert 'taken over from a supervisor that is gone' in instance.log(instance.log_start)
