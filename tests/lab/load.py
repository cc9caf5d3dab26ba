# SPDX-License-Identifier: MIT
"""Work that a pool has all the time while a case does something to those that serve it."""

import contextlib
import errno
import os
import threading

from dax import BLOCK
from lab import HANGS
from product import Attached


class Load:
    """Files that are made, attached and removed all the time: devices come and go, and blocks are zeroed."""

    def __init__(self, library, pool):
        self.library, self.pool = library, pool
        self.done, self.refused = 0, {}
        self._end = threading.Event()
        os.mkdir(pool.path('load'))  # so that nothing is made where the mount is not
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        n = 0
        while not self._end.is_set():
            n += 1
            path = self.pool.path(f'load/{n}')
            try:
                self.work(path)
                self.done += 1
            except OSError as e:
                name = errno.errorcode.get(e.errno, str(e))
                self.refused[name] = self.refused.get(name, 0) + 1
                with contextlib.suppress(OSError):
                    os.unlink(path)
                self._end.wait(0.05)

    def work(self, path):
        with open(path, 'xb') as f:
            os.truncate(f.fileno(), 2 * BLOCK)
        with Attached(self.library, path):
            pass
        os.unlink(path)

    def end(self):
        self._end.set()
        self._thread.join(HANGS)
        return not self._thread.is_alive()
