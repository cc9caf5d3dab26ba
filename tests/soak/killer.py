# SPDX-License-Identifier: MIT
"""
Who dies when, and what the clients may know of it: that a mount was taken along, and when somebody serves again. The
moments are counted in operations, and with the victims they follow from the seed.
"""

import collections
import random
import threading
import time

from harness import ALL
from processes import kill_at_once, wait_until

from .callers import HANGS

# Who may die together, and how often: by the names that --kill takes.
VICTIMS = {
    'worker': (('worker',), 4), 'helper': (('helper',), 3), 'both': (('worker', 'helper'), 1),
    'supervisor': (('supervisor',), 3), 'keeper': (('keeper',), 1), 'all': (ALL, 4),
    'hand': (('hand',), 5), 'mapper': (('mapper',), 3),
}
GAP = (10, 300)          # operations of all clients between two kills
GAP_SECONDS = 2.0        # or so long, where most of them wait
DELAY = 0.01             # and seconds, at most, after the last of them
DEATHS = (3, 10.5)       # of one process: fewer than make the supervisor give up, within its time


class Life:
    """What clients and killer share. epoch: how many mounts have died; deaths: how many times somebody has."""

    def __init__(self, instance):
        self.instance = instance
        self.epoch = self.deaths = self.operations = 0
        self.hurry = False           # somebody is about to be killed: let it be in the middle of something
        self.evidence = []
        self.kills = []              # sentences
        self.outages = collections.defaultdict(list)
        self._lock = threading.Condition()
        self._serves = True
        self._waiting = []           # (moment, who): nobody has been served since
        self._granting = []
        self._inodes = {}
        self._begin = time.monotonic()

    def clock(self):
        return time.monotonic() - self._begin

    # -- for the clients

    def count(self):
        with self._lock:
            self.operations += 1
            self._lock.notify_all()

    def wait_serving(self):
        """The epoch of the mount that serves."""
        with self._lock:
            if not self._lock.wait_for(lambda: self._serves, HANGS):
                raise AssertionError(f'nobody serves for {HANGS} seconds')
            return self.epoch

    def excuses(self, epoch):
        """Whether the mount of that epoch has died, or is about to."""
        return self.epoch != epoch or not self._serves

    def is_new_inode(self, ino, owner):
        with self._lock:
            return self._inodes.setdefault(ino, owner) == owner

    def _end_outages(self, waiting, what, begin, end):
        with self._lock:
            for moment, who in [w for w in waiting if w[0] <= begin]:
                waiting.remove((moment, who))
                self.outages[what, who].append(end - moment)

    def was_served(self, begin, end):
        if self._waiting:
            self._end_outages(self._waiting, 'a change', begin, end)

    def was_granted(self, begin, end):
        if self._granting:
            self._end_outages(self._granting, 'a grant', begin, end)

    def add_evidence(self, path):
        tools, mount = self.instance.tools, self.instance.mount
        commands = [('guestmemfs', 'status', mount)] + ([('guestmemfs', 'extents', f'{mount}/{path}')] if path else [])
        for command in commands:
            done = tools.run(*command)
            self.evidence.append(f'$ {" ".join(command)}\n{done.stdout}{done.stderr}')

    # -- for the killer

    def wait_operations(self, count):
        with self._lock:
            return self._lock.wait_for(lambda: self.operations >= count, GAP_SECONDS)

    def mount_dies(self):
        with self._lock:
            self.epoch += 1
            self._serves = False

    def mount_serves(self):
        with self._lock:
            self._serves = True
            self._lock.notify_all()

    def has_died(self, who, moment):
        with self._lock:
            self.deaths += 1
            self.kills.append(f'{moment - self._begin:8.3f} kill -9 {who}, after {self.operations} operations')
            if who.split()[0] not in ('hand', 'mapper'):
                self._waiting.append((moment, who))
                self._granting.append((moment, who))


class Killer:
    """victims: keys of VICTIMS; all of them if there are none."""

    def __init__(self, life, clients, seed, victims=()):
        self.life = life
        self.clients = clients
        self.victims = [who for name in victims or VICTIMS for who in [VICTIMS[name][0]] * VICTIMS[name][1]]
        self.rng = random.Random(f'{seed}/kills')
        self.killed = collections.Counter()
        self.moments = {name: [] for name in ALL}

    def round(self):
        """One death, and the life after it."""
        gap, delay = self.rng.randrange(*GAP), self.rng.random() * DELAY
        which, client = self.rng.choice(self.victims), self.rng.choice(self.clients)
        self.life.wait_operations(self.life.operations + gap)
        self.life.hurry = True
        time.sleep(delay)
        if which[0] in ('hand', 'mapper'):
            victim = client.hand.process if which[0] == 'hand' else client.mapper.agent.process
            victim.kill()
            self._note(f'{which[0]} of {client.name}')
        elif which == ALL:
            self._kill_for_good(which)
        elif 'supervisor' in which:
            self._kill_supervisor(which)
        else:
            self._kill_for_now(which)
        self.life.hurry = False

    def _note(self, who):
        self.killed[who.split()[0] if ' of ' in who else who] += 1
        self.life.has_died(who, time.monotonic())

    def _kill(self, which):
        instance = self.life.instance
        pids = instance.wait_status(lambda status: 0 not in status['pids'].values(), HANGS)['pids']
        kill_at_once([pids[name] for name in which])
        self._note(' '.join(which) if which != ALL else 'all')
        return pids

    def _kill_for_good(self, which):
        self.life.mount_dies()
        self._kill(which)
        self.moments = {name: [] for name in ALL}
        assert wait_until(self.life.instance.ended, HANGS), 'the supervisor still runs'
        self.life.instance.start(timeout=HANGS)
        self.life.mount_serves()

    def _kill_supervisor(self, which):
        """The mount lives: nobody has an excuse. The next one takes over."""
        self._kill(which)
        assert wait_until(self.life.instance.ended, HANGS), 'the supervisor still runs'
        self.life.instance.start(timeout=HANGS)

    def _kill_for_now(self, which):
        """They are started anew, unless that happens too often."""
        for name in which:
            recent = [m for m in self.moments[name] if time.monotonic() - m < DEATHS[1]]
            if len(recent) >= DEATHS[0]:
                time.sleep(max(0, recent[-DEATHS[0]] + DEATHS[1] - time.monotonic()))
        pids = self._kill(which)
        for name in which:
            self.moments[name].append(time.monotonic())
            self.life.instance.wait_new(name, pids[name], HANGS)
