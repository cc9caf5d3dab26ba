# SPDX-License-Identifier: MIT
"""The demo guest (tests/guest/init.c) in a QEMU: starting it, reading its console, saving and resuming it."""

import os
import re
import shlex
import signal
import subprocess
import threading
import time

from qmp import Qmp, QmpError

TICK = re.compile(r'TICK (?P<n>\d+) uptime=(?P<uptime>[\d.]+) boot_id=(?P<boot_id>[0-9a-f-]{36}) '
                  r'checked=(?P<from>\d+)\.\.(?P<to>\d+)')
READY = re.compile(r'READY bytes=(?P<bytes>\d+) seed=(?P<seed>0x[0-9a-f]+) boot_id=(?P<boot_id>\S+)')
PATTERN_OK = re.compile(r'PATTERN OK bytes=(?P<bytes>\d+) tick=(?P<n>\d+)')
TROUBLE = re.compile(r'PATTERN BAD .*|INIT FAILED .*|.*Kernel panic.*')


class GuestError(Exception):
    """The guest did not say what was waited for."""


class Console:
    """
    What the guest's serial line has said so far, through all QEMUs that it ran in: a line that was cut in two by a
    save is whole again after the resume. A place in it is a number of complete lines.
    """

    def __init__(self, echo=None):
        self._lines = []
        self._partial = ''
        self._changed = threading.Condition()
        self._echo = echo

    def feed(self, text):
        with self._changed:
            *lines, self._partial = (self._partial + text.replace('\r', '')).split('\n')
            if self._echo:
                for line in lines:
                    self._echo(line)
            self._lines += lines
            self._changed.notify_all()

    def mark(self):
        with self._changed:
            return len(self._lines)

    def lines(self, start=0):
        with self._changed:
            return self._lines[start:]

    def partial(self):
        """The beginning of a line whose end has not come yet; fed to another Console, that one goes on with it."""
        with self._changed:
            return self._partial

    def wait(self, pattern, start, timeout, alive):
        """
        The first match of pattern in the lines from start on, and the place after it. GuestError at the first sign
        of trouble, when the guest is gone, and when the time is up.
        """
        deadline = time.monotonic() + timeout
        while True:
            running = alive()  # before the lines are read: what it said last still counts
            with self._changed:
                for n in range(start, len(self._lines)):
                    if match := pattern.fullmatch(self._lines[n]):
                        return match, n + 1
                    if TROUBLE.fullmatch(self._lines[n]):
                        raise GuestError(f'the guest says "{self._lines[n]}"')
                start = len(self._lines)
                if not running:
                    raise GuestError('the guest is gone')
                if time.monotonic() > deadline:
                    raise GuestError(f'the guest has said nothing like that for {timeout} s')
                self._changed.wait(0.2)


class Guest:
    """One QEMU process. Always end it with quit() or destroy()."""

    def __init__(self, argv, console, directory, name):
        self.console = console
        self.qmp = None
        self._destroyed = False
        self._log_path = os.path.join(directory, f'{name}.log')
        self._qmp_path = os.path.join(directory, f'{name}.qmp')
        argv = argv + ['-chardev', 'stdio,id=serial,signal=off', '-serial', 'chardev:serial',
                       '-qmp', f'unix:{self._qmp_path},server=on,wait=off']
        with open(self._log_path, 'wb') as log:
            self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                             stderr=log, start_new_session=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.qmp = Qmp(self._qmp_path, self.running)
        except QmpError as e:
            self.destroy()
            raise GuestError(f'{e}\n{self.log()}') from e

    def _read(self):
        while data := os.read(self._process.stdout.fileno(), 65536):
            self.console.feed(data.decode('ascii', 'replace'))

    def running(self):
        return self._process.poll() is None

    def log(self):
        """What QEMU itself had to say."""
        with open(self._log_path, encoding='utf-8', errors='replace') as log:
            return log.read()

    def wait(self, pattern, start, timeout):
        return self.console.wait(pattern, start, timeout, self.running)

    def check_pattern(self, timeout=60):
        """Has the guest check every word of its pattern; the match of its PATTERN OK."""
        start = self.console.mark()
        try:
            self._process.stdin.write(b'c')
            self._process.stdin.flush()
        except OSError as e:
            raise GuestError('the guest is gone') from e
        return self.wait(PATTERN_OK, start, timeout)[0]

    def save(self, path):
        """Stops the guest and writes the state of CPUs and devices to path. Memory that is shared stays where it is."""
        # Just after a tick the next line is a second away: none is cut in two, half of it on a console that is gone.
        self.wait(TICK, self.console.mark(), 30)
        self.qmp.command('stop')
        self._ignore_shared()
        self.qmp.command('migrate', uri=f'exec:cat > {shlex.quote(path)}')
        self.qmp.wait_migration(60)

    def take_in(self, path):
        """For a QEMU that was started with -incoming defer: takes the state in; go_on() is next."""
        self._ignore_shared()
        self.qmp.command('migrate-incoming', uri=f'exec:cat {shlex.quote(path)}')
        self.qmp.wait_migration(60)

    def go_on(self):
        try:
            self.qmp.command('cont')
        except QmpError as e:
            raise GuestError(str(e)) from e

    def _ignore_shared(self):
        self.qmp.command('migrate-set-capabilities',
                         capabilities=[{'capability': 'x-ignore-shared', 'state': True}])

    def quit(self):
        """Ends QEMU, which knows nothing of the guest's memory afterwards."""
        try:
            self.qmp.command('quit')
        except QmpError:
            pass  # it may hang up before the answer is out
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired as e:
            raise GuestError('QEMU does not end') from e
        finally:
            self.destroy()

    def destroy(self):
        """Whatever state it is in; more than once does no harm."""
        if self._destroyed:
            return
        self._destroyed = True
        if self.qmp:
            self.qmp.close()
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait(20)
        self._reader.join(5)
        self._process.stdin.close()
        if not self._reader.is_alive():
            self._process.stdout.close()


def qemu_argv(accel, memory, megabytes):
    """
    The machine; the guest's memory is the file at the path `memory`. Without vapic=off QEMU itself would look into
    that memory when it takes a state in, and refuse zeros before the guest gets to run.
    """
    return ['qemu-system-x86_64', '-no-user-config', '-nodefaults', '-display', 'none', '-no-reboot',
            *(['-accel', 'kvm', '-cpu', 'host'] if accel == 'kvm' else
              ['-accel', 'tcg,thread=multi', '-cpu', 'max']),
            '-object', f'memory-backend-file,id=mem,mem-path={memory},size={megabytes}M,align=2M,share=on',
            '-global', 'apic-common.vapic=off', '-machine', 'q35,memory-backend=mem', '-m', f'{megabytes}M']


def boot_argv(kernel, initramfs, seed, pattern_bytes):
    """Boots the guest; panic=-1 and QEMU's -no-reboot end QEMU when the guest's kernel gives up."""
    return ['-kernel', kernel, '-initrd', initramfs, '-append',
            'console=ttyS0 loglevel=3 panic=-1 mitigations=off '
            f'pattern.seed=0x{seed:016x} pattern.bytes={pattern_bytes}']
