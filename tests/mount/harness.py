# SPDX-License-Identifier: MIT
"""
A real guestmemfs-fuse on a region of its own: started, looked at, killed and started again by the tests. The programs
are those of an installed prefix, as users run them.
"""

import contextlib
import dataclasses
import errno
import itertools
import json
import os
import pwd
import re
import shutil
import signal
import socket
import struct
import subprocess
import time

from processes import is_gone, kill_at_once, wait_until

DAEMONS = ('supervisor', 'worker', 'helper')
ALL = (*DAEMONS, 'keeper')
COMPLAINTS = re.compile(r'.*(?:AddressSanitizer|LeakSanitizer|runtime error:|Assertion .* failed).*')
CONTROL_VERSION, STATUS, FILES = 1, 1, 2  # src/proto/control.h
numbers = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class User:
    """Whom a program runs as. root is whoever runs the tests."""
    uid: int
    gid: int

    def argv(self):
        if self.uid == os.getuid():
            return []
        return ['setpriv', f'--reuid={self.uid}', f'--regid={self.gid}', '--clear-groups']

    def environment(self):
        """Ours, but without what would lead another user to our directories."""
        env = {k: v for k, v in os.environ.items() if k not in ('XDG_RUNTIME_DIR', 'JOURNAL_STREAM')}
        return env if self.uid == os.getuid() else env | {'HOME': '/nonexistent'}

    def runtime_directory(self):
        """Of all his instances (src/util/run_directory.h)."""
        if self.uid == 0:
            return '/run/guestmemfs'
        told = self.environment().get('XDG_RUNTIME_DIR')
        return os.path.join(told, 'guestmemfs') if told else f'/tmp/guestmemfs-{self.uid}'


ROOT = User(0, 0)
# Accounts of every Debian that own nothing and run nothing. fusermount3 mounts only for who has one.
ACCOUNTS = ('news', 'uucp', 'irc', 'list', 'games')


def _users():
    """
    nobody, and another one, who needs no account. Where pytest-xdist has several at work each has two of his own, and
    none is nobody, who root's workers become: what the kernel counts for a user, and which of his processes nobody may
    look at, then comes from one's own tests alone.
    """
    worker = os.environ.get('PYTEST_XDIST_WORKER')
    if worker is None:
        return User(65534, 65534), User(65533, 65533)
    number = int(worker.removeprefix('gw'))
    account = pwd.getpwnam(ACCOUNTS[number])
    return User(account.pw_uid, account.pw_gid), User(65520 - 10 * number, 65520 - 10 * number)


PLAIN, OTHER = _users()


class Tools:
    """The installed programs."""

    def __init__(self, prefix):
        self.prefix = prefix

    def path(self, name):
        return os.path.join(self.prefix, 'bin', name)

    def run(self, *argv, user=ROOT, timeout=60, **options):
        """Runs a program to its end; its output as text, through pipes: not for what leaves daemons behind."""
        argv = [self.path(argv[0]) if argv[0].startswith('guestmemfs') else argv[0], *map(str, argv[1:])]
        options.setdefault('stdin', subprocess.DEVNULL)
        return subprocess.run(user.argv() + argv, env=user.environment(), timeout=timeout, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd='/', **options)


class StartFailed(Exception):
    """guestmemfs-fuse ended instead of serving."""

    def __init__(self, status, text):
        super().__init__(f'exit status {status}: {text}')
        self.status = status
        self.text = text


class Instance:
    """
    One instance, known by its mount point; the region file and the mount point lie in a directory of its own. It runs
    with -f, so that its messages come to a log here. clean_up() may be called in any state.
    """

    def __init__(self, tools, directory, user=ROOT, size='64M', options=()):
        self.tools = tools
        self.user = user
        self.options = list(options)
        self.size = size
        self.name = f'test{os.getpid()}-{next(numbers)}'
        self.directory = os.path.join(directory, self.name)
        self.region = os.path.join(self.directory, 'region')
        self.mount = os.path.join(self.directory, 'mnt')
        self.log_path = os.path.join(directory, f'{self.name}.log')
        self.process = None
        for path in (self.directory, self.mount):
            os.mkdir(path, 0o755)
            os.chown(path, user.uid, user.gid)

    # -- start and end

    def launch(self, *options, size=None):
        """Starts it without waiting. size: for the first start, which creates and formats the region."""
        region = f'file:{self.region}' + (f',size={size}' if size else '')
        argv = [*self.user.argv(), self.tools.path('guestmemfs-fuse'), '-f', '--name', self.name,
                '--region', region, *self.options, *options, self.mount]
        self.log_start = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.user.environment(), cwd='/')

    def start(self, *options, timeout=30):
        """Starts it and waits until it serves; creates and formats the region if it is not there. StartFailed."""
        self.launch(*options, size=None if os.path.exists(self.region) else self.size)
        # Users may be served a moment before the supervisor knows that the start is over.
        if not wait_until(lambda: self.ended() or (self.has_announced() and self.is_serving()), timeout):
            raise AssertionError(f'does not serve after {timeout} s; it says:\n{self.log()}')
        if self.ended():
            raise StartFailed(self.process.returncode, self.log(self.log_start))
        return self

    def has_announced(self):
        return f'{self.name} is mounted at ' in self.log(self.log_start)

    def ended(self):
        return self.process is None or self.process.poll() is not None

    def stop(self, timeout=20):
        """SIGTERM to the supervisor, until all its processes are gone; its exit status."""
        pids = self.pids()
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout)
        assert wait_until(lambda: all(map(is_gone, pids.values())), timeout), f'left over: {pids}'
        assert not self.is_mounted(), 'SIGTERM has left the mount behind'
        return status

    def kill(self, *which):
        """
        kill -9 of the named daemons at once; their pids. If none is named, or all three are, the keeper too, so that
        nothing is left of the instance.
        """
        which = ALL if not which or set(which) == set(DAEMONS) else which
        known = self.status()['pids']
        pids = [known[name] for name in which]
        assert 0 not in pids, f'not all of {which} are there: {known}'
        kill_at_once(pids)
        assert wait_until(lambda: all(map(self._is_gone, pids)), 20), f'still there after kill -9: {pids}'
        return pids

    def _is_gone(self, pid):
        # The supervisor is subprocess's child: it must learn the exit status itself.
        return self.process.poll() is not None if pid == self.process.pid else is_gone(pid)

    def restart(self, *options):
        """Starts again what has ended or was killed."""
        assert wait_until(self.ended, 20), 'the supervisor still runs'
        return self.start(*options)

    def clean_up(self):
        if not self.ended():
            with contextlib.suppress(Exception):
                self.kill()
            self.process.kill()
            self.process.wait(20)
        if self.is_mounted():
            subprocess.run(['umount', '-l', self.mount], timeout=20, check=False)
        for directory in (self.runtime_directory, self.directory):
            shutil.rmtree(directory, ignore_errors=True)

    # -- looking at it

    def is_mounted(self):
        """From the kernel's table: a stat of a mount that nobody serves would hang."""
        with open('/proc/self/mountinfo', encoding='utf-8') as table:
            return any(line.split()[4] == self.mount for line in table)

    @property
    def runtime_directory(self):
        return os.path.join(self.user.runtime_directory(), self.name)

    def ask(self, opcode):
        """
        What the worker answers at its control socket, or an OSError: its refusal, or that it is not there. The same
        that a command asks, for what is asked again and again: a command takes longer to start than to ask.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            for limit in socket.SO_SNDTIMEO, socket.SO_RCVTIMEO:
                sock.setsockopt(socket.SOL_SOCKET, limit, struct.pack('@ll', 30, 0))
            sock.connect(os.path.join(self.runtime_directory, 'control.sock'))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # who has hung up may have said why
                sock.send(struct.pack('<IIIIQ', 24, CONTROL_VERSION, opcode, 0, 0))
            answer, fds, _, _ = socket.recv_fds(sock, 1024, 1, socket.MSG_CMSG_CLOEXEC)
        if not answer:
            raise ConnectionResetError(errno.ECONNRESET, 'the worker has ended before it answered')
        error, length = struct.unpack_from('<8xI4xQ', answer)
        if error:
            raise OSError(error, answer[24:].split(b'\0')[0].decode())
        with os.fdopen(fds[0], 'rb') as text:
            return json.loads(os.pread(text.fileno(), length, 0))

    def status_if_there(self):
        with contextlib.suppress(OSError):
            return self.ask(STATUS)
        return None

    def is_serving(self):
        """The command's question goes through the mount and the control socket, so both work when it is answered."""
        return self.is_mounted() and self.status_if_there() and self.tools.run(
            'guestmemfs', 'status', self.mount, '--json', user=self.user, timeout=40).returncode == 0

    def status(self):
        """Who only asks asks the next worker, where one ends over it."""
        for _ in range(3):
            with contextlib.suppress(ConnectionResetError):
                return self.ask(STATUS)
        raise AssertionError(f'three workers in a row have ended over a question; the last says:\n{self.log()}')

    def pids(self):
        pids = self.status()['pids']
        return {name: pids[name] for name in DAEMONS}

    def wait_status(self, condition, timeout=30):
        """The first status for which condition holds."""
        deadline = time.monotonic() + timeout
        while not condition(status := self.status()):
            assert time.monotonic() < deadline, f'still so after {timeout} s: {status}'
            time.sleep(0.05)
        return status

    def wait_new(self, which, old, timeout=30):
        """Until the named daemon has been started anew and the instance serves: its new pid."""
        def is_new():
            status = self.status_if_there()
            return status and status['pids'][which] not in (0, old) and self.is_serving()

        assert wait_until(is_new, timeout), f'no new {which} after {timeout} s; it says:\n{self.log()}'
        return self.status()['pids'][which]

    def path(self, *names):
        return os.path.join(self.mount, *names)

    def log(self, start=0):
        with open(self.log_path, encoding='utf-8', errors='replace') as log:
            log.seek(start)
            return log.read()

    def complaints(self):
        """What sanitizers and failed assertions have said."""
        return COMPLAINTS.findall(self.log()) if os.path.exists(self.log_path) else []

    def fsck(self):
        """Offline: the instance must have ended."""
        return self.tools.run('guestmemfs', 'fsck', '--region', f'file:{self.region}', user=self.user)

    def tree(self):
        """
        A picture of all names and their attributes, to be compared with one of another time. Its user takes it: a plain
        user's mount is closed to all others, root too.
        """
        done = self.tools.run('find', self.mount, '-printf', r'%P\t%y %i %m %n %U %G %s %T@\n', user=self.user)
        assert done.returncode == 0, done.stderr
        return dict(line.split('\t') for line in done.stdout.splitlines())
