# SPDX-License-Identifier: MIT
"""
kill -9 at any time of any of the three, under loads and changes of the tree. What was acknowledged is there afterwards,
what was not is there or not, and nothing in between. GM_SEED repeats the sequence of choices, if not the moments.
"""

import collections
import os
import random
import subprocess
import threading
import time

import pytest

from evidence import BLOCK, as_user, assert_clean, held_file, make_region
from harness import DAEMONS

SECONDS = 20           # of killing, or longer until there is enough of everything
SECONDS_MAX = 120
ENOUGH_KILLS, ENOUGH_CHANGES = 10, 100
DEATHS = (3, 10.5)     # of one process: fewer than make the supervisor give up, within its time
LOAD_SIZES = (1, 4096, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 77, 9 * BLOCK)
LOADED_MAX = 6         # files that are kept loaded at a time


class Names:
    """
    The tree as it must be. A change is noted before it is asked for and after it was acknowledged; one that fails
    because somebody died is settled by what is there, which must be one of the two.
    """

    def __init__(self, instance, rng):
        self.instance = instance
        self.rng = rng
        self.model = {}  # name: None for a directory, else the size
        self.acknowledged = 0
        self.in_doubt = 0

    def _change(self):
        """A random one: the function that asks for it, and the model after it."""
        files = [name for name, size in self.model.items() if size is not None]
        directories = [name for name, size in self.model.items() if size is None]
        kind = self.rng.choice((['create', 'mkdir'] if len(self.model) < 40 else []) + ['rmdir'] * bool(directories) +
                               ['size', 'rename', 'unlink', 'replace'] * bool(files))
        name, after = f'n{self.rng.randrange(10**9)}', dict(self.model)
        path = self.instance.path
        if kind == 'create':
            after[name] = 0
            return lambda: os.close(os.open(path('names', name), os.O_CREAT | os.O_EXCL)), after
        if kind == 'mkdir':
            after[name] = None
            return lambda: os.mkdir(path('names', name)), after
        if kind == 'rmdir':
            old = self.rng.choice(directories)
            del after[old]
            return lambda: os.rmdir(path('names', old)), after
        old = self.rng.choice(files)
        if kind == 'size':
            after[old] = self.rng.choice([0, 1, 4095, BLOCK, BLOCK + 1])
            return lambda: os.truncate(path('names', old), after[old]), after
        if kind == 'unlink':
            del after[old]
            return lambda: os.unlink(path('names', old)), after
        target = name if kind == 'rename' else self.rng.choice(files)
        after[target] = after.pop(old)
        return lambda: os.rename(path('names', old), path('names', target)), after

    def look(self):
        found = {}
        with os.scandir(self.instance.path('names')) as entries:
            for e in entries:
                found[e.name] = None if e.is_dir() else e.stat().st_size
        return found

    def run(self, stop, serve):
        while not stop.is_set():
            change, after = self._change()
            try:
                change()
            except OSError as e:
                if isinstance(e, FileExistsError):
                    raise
                self._settle(after, e, serve)
                continue
            self.model = after
            self.acknowledged += 1
        self.check(serve)

    def _settle(self, after, error, serve):
        """ENOSPC and EBUSY are answers: nothing has changed. All else comes of a death."""
        found = serve(self.look)
        if 'No space' in str(error) or 'busy' in str(error):
            assert found == self.model, error
            return
        assert found in (self.model, after), (error, found, self.model, after)
        self.model = found
        self.in_doubt += 1

    def check(self, serve):
        assert serve(self.look) == self.model


class Loads:
    """Files that `guestmemfs load` has said to be loaded, and what must be in them."""

    def __init__(self, instance, rng, name):
        self.instance = instance
        self.rng = rng
        self.name = name
        self.loaded = collections.OrderedDict()
        self.successes = 0

    def run(self, stop, serve):
        for n in range(1 << 30):
            if stop.is_set():
                break
            self._load(f'{self.name}{n}', serve)
            if len(self.loaded) > LOADED_MAX // 2:
                self._remove(next(iter(self.loaded)), serve)
        for name in list(self.loaded):
            self._check(name, serve)

    def _tool(self, *argv, data=None):
        return subprocess.run([self.instance.tools.path('guestmemfs'), *argv], input=data, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60, check=False)

    def _load(self, name, serve):
        data = self.rng.randbytes(self.rng.choice(LOAD_SIZES))
        path = self.instance.path(name)
        if self._tool('load', path, data=data).returncode == 0:
            self.loaded[name] = data
            self.successes += 1
            return
        # What it left, if it could not clean up, goes: when nobody can reach it any more, its memory comes back.
        serve(lambda: os.path.exists(path) and os.unlink(path))

    def _remove(self, name, serve):
        if self.rng.random() < 0.3:
            self._check(name, serve)
        serve(lambda: os.path.exists(self.instance.path(name)) and os.unlink(self.instance.path(name)))
        del self.loaded[name]

    def _check(self, name, serve):
        def dump():
            done = self._tool('dump', self.instance.path(name))
            if done.returncode != 0:
                raise OSError(done.stderr.decode())
            return done.stdout

        assert serve(dump) == self.loaded[name], f'{name} has not the bytes that were loaded'


class Killer:
    """One round: somebody dies; the supervisor is started again here, the others start again by themselves."""

    def __init__(self, instance, rng):
        self.instance = instance
        self.rng = rng
        self.deaths = {name: [] for name in DAEMONS}
        self.killed = collections.Counter()

    def _choose(self):
        now = time.monotonic()
        tired = {name for name, times in self.deaths.items() if sum(now - t < DEATHS[1] for t in times) >= DEATHS[0]}
        which = self.rng.choice([('worker',), ('helper',), ('worker', 'helper'), ('supervisor',), DAEMONS])
        return which if not tired & set(which) else ('supervisor',)

    def round(self):
        which = self._choose()
        pids = self.instance.pids()
        time.sleep(self.rng.random() * 0.3)
        self.instance.kill(*which)
        self.killed.update(which)
        if 'supervisor' in which:
            self.deaths = {name: [] for name in DAEMONS}
            self.instance.restart()
            return
        for name in which:
            self.deaths[name].append(time.monotonic())
            self.instance.wait_new(name, pids[name])


class Thread(threading.Thread):
    """One whose failure is the test's."""

    def __init__(self, function, *arguments):
        super().__init__(daemon=True)
        self.failure = None
        self._function, self._arguments = function, arguments
        self.start()

    def run(self):
        try:
            self._function(*self._arguments)
        except BaseException as e:  # pylint: disable=broad-exception-caught
            self.failure = e


@pytest.mark.limit(300)
def test_random_kills_lose_nothing_acknowledged(make_instance, make_agent, seed):
    instance = make_region(make_instance(), size='256M').start()
    os.mkdir(instance.path('names'))
    agent = make_agent()
    held = held_file(instance, agent, 'bystander', 4, seed)
    stop = threading.Event()

    def serve(function):
        """What must come to an answer, though somebody dies now and then: a mount that is not there is no answer."""
        deadline = time.monotonic() + 40
        while True:
            try:
                if instance.is_mounted():
                    device = os.stat(instance.mount).st_dev
                    result = function()
                    if os.stat(instance.mount).st_dev == device and instance.is_mounted():
                        return result
            except OSError as e:
                assert time.monotonic() < deadline, e
            time.sleep(0.02)

    names = Names(instance, random.Random(seed))
    loads = [Loads(instance, random.Random(seed + i), f'load{i}-') for i in (1, 2)]
    killer = Killer(instance, random.Random(seed + 3))
    threads = [Thread(user.run, stop, serve) for user in (names, *loads)]
    begin = time.monotonic()

    def enough():
        return (sum(killer.killed.values()) > ENOUGH_KILLS and names.acknowledged > ENOUGH_CHANGES and
                all(l.successes for l in loads))

    try:
        while not any(t.failure for t in threads):
            lasted = time.monotonic() - begin
            if lasted > SECONDS_MAX or (lasted > SECONDS and enough()):
                break
            killer.round()
            agent('check', held, seed)
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    for thread in threads:
        assert not thread.is_alive(), 'a user of the mount hangs'
        if thread.failure:
            raise thread.failure

    print(f'killed {dict(killer.killed)}; {names.acknowledged} changes acknowledged, {names.in_doubt} in doubt; '
          f'{[l.successes for l in loads]} loads')
    assert enough()
    agent('check', held, seed)
    assert as_user(instance, 'truncate', '-s', 0, instance.path('bystander')).returncode == 1
    assert instance.stop() == 0
    assert_clean(instance)
    instance.start()
    names.check(serve)
    agent('check', held, seed)
