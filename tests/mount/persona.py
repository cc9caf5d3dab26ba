# SPDX-License-Identifier: MIT
"""A part of a test that runs as another user, in a child process: for what the kernel is to permit or to refuse."""

import contextlib
import ctypes
import os
import pickle
import signal
import traceback

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
FALLOC_FL_KEEP_SIZE = 1
FALLOC_FL_PUNCH_HOLE = 2
PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
AT_FDCWD = -100
_libc = ctypes.CDLL(None, use_errno=True)


class InPersona(AssertionError):
    """What the child has raised, with its traceback."""


def _become(user):
    os.setgroups(getattr(user, 'groups', []))
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)


def _close_pipes(kept):
    """
    Of all threads, that is. One that starts a program waits for the end of a pipe, and would wait for the end of the
    child if that has the pipe as well. A look at the open file itself could wait for a mount.
    """
    for fd in map(int, os.listdir('/proc/self/fd')):
        with contextlib.suppress(OSError):  # the one of the list is gone
            if fd > 2 and fd not in kept and os.readlink(f'/proc/self/fd/{fd}').startswith('pipe:'):
                os.close(fd)


def _child(pipe, user, function, arguments, timeout):
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # pytest's is for the parent
    signal.alarm(timeout)
    try:
        if (user.uid, user.gid) != (os.getuid(), os.getgid()):
            _become(user)
        answer = (True, function(*arguments))
    except BaseException as e:  # pylint: disable=broad-except
        e = e if isinstance(e, OSError) else InPersona(f'as uid {user.uid}:\n{traceback.format_exc()}')
        answer = (False, e)
    with os.fdopen(pipe, 'wb') as out:
        pickle.dump(answer, out)


def as_user(user, function, *arguments, timeout=30, pipes=()):
    """
    pipes: the descriptors of those that function uses; all others are closed.
    What function(*arguments) returns when that user calls it. An OSError comes through as it is, everything else that
    was raised as an AssertionError with the traceback.
    """
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        try:
            os.umask(0o022)
            _close_pipes({write_end, *pipes})
            _child(write_end, user, function, arguments, timeout)
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, 'rb') as answer:
        data = answer.read()
    status = os.waitpid(pid, 0)[1]
    if not data:
        raise AssertionError(f'not done after {timeout} s: {function.__name__} as uid {user.uid}; status {status:#x}')
    done, value = pickle.loads(data)
    if not done:
        raise value
    return value


def errno_of(function, *arguments, **keywords):
    """The errno that a call fails with; 0 if it does not."""
    try:
        function(*arguments, **keywords)
    except OSError as e:
        return e.errno
    return 0


def make_file(path, size=0, mode=0o600):
    """A new one, with memory for that size; its path."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
    try:
        os.ftruncate(fd, size)
    finally:
        os.close(fd)
    return path


def fallocate(fd, mode, offset, length):
    if _libc.fallocate64(fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length)) != 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))


def renameat2(old, new, flags):
    if _libc.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags) != 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e), old, None, new)

