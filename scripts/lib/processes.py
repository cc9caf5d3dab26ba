# SPDX-License-Identifier: MIT
"""Processes that outlive the one that started them: finding them, and seeing them end. Every wait has an end."""

import contextlib
import ctypes
import glob
import os
import signal
import time

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """From here on, daemons that we start become our children, so that none can be left over: see kill_children()."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), 'prctl(PR_SET_CHILD_SUBREAPER)')


def wait_until(condition, timeout, interval=0.02):
    """Whether the condition came true before the time was up."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True


def is_gone(pid):
    """Also reaps it, if it is a child of ours."""
    with contextlib.suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return True
    return not os.path.exists(f'/proc/{pid}')


def children():
    pids = []
    for path in glob.glob('/proc/self/task/*/children'):
        with contextlib.suppress(OSError), open(path, encoding='ascii') as f:
            pids += [int(pid) for pid in f.read().split()]
    return pids


def kill_children(timeout=20):
    """Ends all processes that descend from us, also those that become ours only when their parents die."""
    def none_left():
        for pid in children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            is_gone(pid)
        return not children()

    return wait_until(none_left, timeout)


def kill_at_once(pids):
    """
    kill -9 of several, parents first, none of which gets to see another one die: all are stopped before. Children are
    killed first, for when a stopped process group loses its parent, the kernel sends it SIGHUP and SIGCONT.
    """
    pids = list(pids)
    for pid in pids:
        if pid <= 1:
            raise ValueError(f'{pid} is not a process to be killed')
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for pid in reversed(pids):
        os.kill(pid, signal.SIGKILL)


def mappers_of(path):
    """The pids of the processes that have the file mapped."""
    st = os.stat(path)
    wanted = f' {os.major(st.st_dev):02x}:{os.minor(st.st_dev):02x} {st.st_ino} '
    pids = []
    for maps in glob.glob('/proc/[0-9]*/maps'):
        with contextlib.suppress(OSError), open(maps, encoding='utf-8', errors='replace') as f:
            if wanted in f.read():
                pids.append(int(maps.split('/')[2]))
    return pids
