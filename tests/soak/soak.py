# SPDX-License-Identifier: MIT
"""The soak as a whole: clients, killer, the end of it, and the report."""

import collections
import os
import shutil
import statistics
import threading
import time

from evidence import assert_clean
from processes import wait_until

from .callers import HANGS
from .client import Client
from .killer import Killer, Life
from .plan import SAID_MAX, planned

CLIENTS = 4
KILLS_MIN, OPERATIONS_MIN = 10, 300   # or it goes on,
SECONDS_MAX = 600                     # for so long at most, on machines that have much else to do


class Worker(threading.Thread):
    """One whose failure is the soak's."""

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


class Soak:
    def __init__(self, instance, agent_program, seed, victims=()):
        self.instance = instance
        self.seed = seed
        self.life = Life(instance)
        os.mkdir(instance.path('shared'))
        self.free = self.free_bytes()
        self.seconds = 0
        self.repeated = 0            # steps that were those that the seed says
        self.clients = [Client(f'c{i}', seed, self.life, agent_program) for i in range(CLIENTS)]
        self.killer = Killer(self.life, self.clients, seed, victims)

    def free_bytes(self):
        status = os.statvfs(self.instance.mount)
        return status.f_bfree * status.f_frsize

    def run(self, seconds):
        try:
            self._run(seconds)
            self._finish()
        except BaseException as e:
            raise AssertionError(self._failure(e)) from e
        finally:
            self.end()

    def end(self):
        for client in self.clients:
            client.end()

    def _run(self, seconds):
        for client in self.clients:
            client.prepare()
        stop, begin = threading.Event(), time.monotonic()
        threads = [Worker(client.run, stop) for client in self.clients]

        def is_over():
            lasted = time.monotonic() - begin
            return any(t.failure for t in threads) or lasted > max(seconds, SECONDS_MAX) or (
                lasted > seconds and len(self.life.kills) >= KILLS_MIN and self.life.operations >= OPERATIONS_MIN)

        try:
            while not is_over():
                self.killer.round()
        finally:
            stop.set()
            for thread in threads:
                thread.join(200)
        for thread in threads:
            if thread.failure:
                raise thread.failure
            assert not thread.is_alive(), 'a client hangs'
        self.seconds = time.monotonic() - begin
        assert len(self.life.kills) >= KILLS_MIN and self.life.operations >= OPERATIONS_MIN, 'too little has happened'

    def _finish(self):
        """All is there, also after an end in good order; and when all is removed nothing is left in use."""
        for client in self.clients:
            client.keep_up()
            client.check()
        assert self.instance.stop(HANGS) == 0, self.instance.log()
        assert_clean(self.instance)
        self.life.mount_dies()
        self.instance.start(timeout=HANGS)
        self.life.mount_serves()
        for client in self.clients:
            client.keep_up()
            client.check()
            client.end()
            shutil.rmtree(self.instance.path(client.name))
        for name in os.listdir(self.instance.path('shared')):
            path = self.instance.path('shared', name)
            if os.path.isdir(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        self._compare_plans()
        assert wait_until(lambda: self.free_bytes() == self.free, 60), \
            f'{self.free_bytes()} bytes are free when all is removed, {self.free} were: {self.instance.status()}'
        assert self.instance.stop(HANGS) == 0, self.instance.log()
        assert_clean(self.instance)

    def _compare_plans(self):
        """What each client did is what the seed alone says, as if nobody had died."""
        for client in self.clients:
            plan = planned(client.name, self.seed, min(client.n, SAID_MAX))
            differs = next((pair for pair in zip(client.said, plan) if pair[0] != pair[1]), None)
            assert not differs and len(client.said) == len(plan), f'{client.name} did not do what the seed says: {differs}'
            self.repeated += len(plan)

    # -- the report

    def report(self):
        counts, doubts = collections.Counter(), collections.Counter()
        for client in self.clients:
            counts.update(client.counts)
            doubts.update(client.doubts)
        slowest = max(client.slowest for client in self.clients)
        lines = [
            f'seed {self.seed}, {self.seconds:.0f} s: {self.life.operations} operations, {sum(doubts.values())} of them '
            f'without an answer ({dict(doubts)}), {sum(self.killer.killed.values())} kills, 0 mismatches',
            'killed: ' + ', '.join(f'{who} {count}' for who, count in self.killer.killed.most_common()),
            'operations: ' + ', '.join(f'{name} {count}' for name, count in counts.most_common()),
            f'{self.repeated} of the operations and comparisons were made out from the seed once more: the same',
            f'the slowest took {slowest[0]:.2f} s: {slowest[1]}',
        ]
        for (what, who), seconds in sorted(self.life.outages.items()):
            lines.append(f'from kill -9 {who} to {what}: median {statistics.median(seconds) * 1000:.0f} ms, '
                         f'longest {max(seconds) * 1000:.0f} ms, of {len(seconds)}')
        return '\n'.join(lines)

    def _failure(self, error):
        """All that is known. The processes are killed, so that fsck can look."""
        parts = [f'{type(error).__name__}: {error}', f'seed {self.seed}', '-- last kills', *self.life.kills[-20:],
                 *self.life.evidence]
        try:
            if not self.instance.ended():
                self.instance.process.kill()
                self.instance.process.wait(20)
                wait_until(lambda: self.instance.fsck().returncode == 0, 20)
            done = self.instance.fsck()
            parts.append(f'-- fsck\n{done.stdout}{done.stderr}')
        except Exception as e:  # pylint: disable=broad-exception-caught
            parts.append(f'-- no fsck: {e}')
        return '\n'.join([*parts, '-- end of the log', self.instance.log()[-6000:]])
