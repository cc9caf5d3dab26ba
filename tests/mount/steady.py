# SPDX-License-Identifier: MIT
"""A client that keeps to the rules, beside those that don't: it must never notice them."""

import contextlib
import errno
import os
import threading
import time

import wire
from evidence import open_files
from persona import as_user, make_file
from processes import wait_until

BLOCK = 2 << 20
LATENCY_MAX = 20.0  # seconds: far past what a slow machine makes of it; a client that waits for another never comes back


class SteadyClient:
    """Attaches one file again and again in a thread, and keeps how long each time took and what went wrong."""

    def __init__(self, path, helper_socket, tries=1):
        self.tries = tries
        self._end = threading.Event()
        self.seconds, self.failures = [], []
        self._thread = threading.Thread(target=self._run, args=(path, helper_socket), daemon=True)
        self._thread.start()

    def _attach(self, path, helper_socket):
        """
        Tried again only where the worker does not come in the two seconds that a helper waits for it; libguestmemfs
        tries three times.
        """
        for _ in range(self.tries):
            refusal = self._refusal(path, helper_socket)
            if refusal != (errno.EAGAIN, wire.REASON_STARTING):
                break
        assert not refusal, f'refused: {refusal}'

    @staticmethod
    def _refusal(path, helper_socket):
        with wire.Client(helper_socket, timeout=30).greet() as client:
            opcode, _, grant = client.redeem(wire.ticket_for(path)) or (None, None, 'it hangs up')
            if opcode != wire.GRANT:
                return grant
            grant.close()
            return None

    def _run(self, path, helper_socket):
        while not self._end.is_set():
            started = time.monotonic()
            try:
                self._attach(path, helper_socket)
            except Exception as e:  # pylint: disable=broad-except
                self.failures.append(repr(e))
            self.seconds.append(time.monotonic() - started)
            self._end.wait(0.02)

    def stop(self):
        self._end.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), 'its last attach has not come back'


@contextlib.contextmanager
def watched(instance):
    """
    The socket of the instance's helper. While the body runs, root's client attaches one file over and over: it is served,
    its slowest attach is printed and bounded, nothing is started anew, and no descriptor is left behind.
    """
    path = instance.path('steady')
    make_file(path, BLOCK)
    helper_socket = os.getxattr(instance.mount, 'user.guestmemfs.socket').decode()
    pids = instance.pids()

    def descriptors():
        return open_files(pids['helper'])

    def settled():  # the helper hears of a connection's end when its turn comes
        count = descriptors()
        time.sleep(0.3)
        return descriptors() == count

    first = SteadyClient(path, helper_socket)
    assert wait_until(lambda: first.seconds, 30)
    first.stop()
    assert wait_until(settled, 20)
    before = descriptors()
    steady = SteadyClient(path, helper_socket)
    yield helper_socket
    count = len(steady.seconds)
    assert wait_until(lambda: len(steady.seconds) > count + 1, 60), 'the steady client is served no more'
    steady.stop()
    print(f'{len(steady.seconds)} times served meanwhile, the slowest took {max(steady.seconds) * 1000:.1f} ms')
    assert not steady.failures
    assert max(steady.seconds) < LATENCY_MAX
    assert instance.pids() == pids, 'something had to be started anew'
    assert wait_until(lambda: descriptors() <= before, 30), f'{descriptors()} descriptors in the helper, not {before}'


def use_content(path, count):
    """What is written is read from the worker, not from the page cache."""
    fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    if os.fstat(fd).st_size == 0:
        os.setxattr(fd, 'user.guestmemfs.io', b'1')
    data = (b'%d ' % count * 9000)[:9000]
    assert os.pwrite(fd, data, 5000) == len(data)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    assert os.pread(fd, len(data), 5000) == data
    os.close(fd)


def use_names(mount, stop):
    """Every call must succeed, and do what it says."""
    count = 0
    while not os.path.exists(stop) or count < 10:
        path = f'{mount}/work{count % 7}'
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        os.ftruncate(fd, BLOCK)
        os.setxattr(fd, 'user.n', b'%d' % count)
        os.rename(path, f'{path}-renamed')
        os.link(f'{path}-renamed', f'{path}-link')
        assert os.fstat(fd).st_nlink == 2 and f'work{count % 7}-link' in os.listdir(mount)
        os.unlink(f'{path}-renamed')
        os.unlink(f'{path}-link')
        assert os.fstat(fd).st_nlink == 0 and os.getxattr(fd, 'user.n') == b'%d' % count
        os.close(fd)
        use_content(f'{mount}/bytes{count % 3}', count)
        count += 1
    for n in range(3):
        os.unlink(f'{mount}/bytes{n}')
    return count


@contextlib.contextmanager
def names_in_use(instance, workdir):
    """use_names() by the instance's user, for as long as the body runs."""
    stop, results = os.path.join(workdir, 'stop'), []

    def run():
        try:
            results.append(as_user(instance.user, use_names, instance.mount, stop, timeout=150))
        except BaseException as e:  # pylint: disable=broad-except
            results.append(repr(e))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        with open(stop, 'w', encoding='ascii'):
            pass
        thread.join(100)
    assert results and isinstance(results[0], int), results
    print(f'{results[0]} rounds of calls meanwhile')
