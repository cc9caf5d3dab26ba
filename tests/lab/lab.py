# SPDX-License-Identifier: MIT
"""What the steps of a case work with, inside the lab host."""

import contextlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time

from case import TOP

sys.path.insert(0, f'{TOP}/scripts/lib')

# pylint: disable=wrong-import-position
from guest import Console, Guest, boot_argv, qemu_argv

COMPLAINT = re.compile(r'.*(BUG: |WARNING: |Oops|Call Trace|general protection fault).*')


HANGS = 120  # seconds: what takes longer here does not come to its end any more


class ClaimFailed(Exception):
    """A claim does not hold; it is recorded already."""


def read_text(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


class Lab:
    """
    This boot of the lab host. claim() ends the step if it does not hold, check() goes on; either is recorded outside
    at once.
    """

    def __init__(self, share, plan, boot):
        self.share = share
        self.plan = plan
        self.boot = boot
        self.guests = []
        self.start = time.monotonic()
        self.directory = tempfile.mkdtemp(prefix='lab-', dir='/run')
        self._log_seen = 0

    # -- what is told outside

    def check(self, holds, text, details=''):
        self.share.add_line({'kind': 'claim', 'boot': self.boot, 'holds': bool(holds), 'text': text,
                             'details': '' if holds else details})
        return bool(holds)

    def claim(self, holds, text, details=''):
        if not self.check(holds, text, details):
            raise ClaimFailed(text)

    def figure(self, name, value, unit):
        """Something measured."""
        self.share.add_line({'kind': 'figure', 'boot': self.boot, 'name': name, 'value': value, 'unit': unit})

    def step(self, text):
        """What comes next, for whoever watches."""
        self.share.add_line({'kind': 'step', 'boot': self.boot, 'text': text})

    def say(self, text):
        """Something for whoever reads the log of the case."""
        self.share.add_line({'kind': 'note', 'boot': self.boot, 'text': text})

    # -- what later boots know

    def remember(self, **values):
        self.share.write('memory.json', {**self.share.read('memory.json', {}), **values})

    def recall(self, name):
        return self.share.read('memory.json', {})[name]

    # -- commands

    def run(self, *argv, timeout=HANGS, fails=False, stdin=None, told=True):
        """
        Runs a command, shows it and what it says in the log, and returns that. It is a failed claim if it does not
        succeed (or, with fails, if it does). The output goes through a file: a daemon would keep a pipe open. What a
        program reads and nobody else is not told.
        """
        with tempfile.TemporaryFile('w+', dir=self.directory, errors='replace') as out:
            try:
                done = subprocess.run(argv, input=stdin, stdin=None if stdin else subprocess.DEVNULL, text=True,
                                      stdout=out, stderr=subprocess.STDOUT, timeout=timeout, check=False)
            except subprocess.TimeoutExpired:
                done = None
            out.seek(0)
            text = out.read()
        ending = f'exit status {done.returncode}' if done else f'not done after {timeout} s'
        if told:
            self.say(f'$ {shlex.join(argv)}\n{text}' + (f'[{ending}]' if not done or done.returncode else ''))
        if not done or (done.returncode != 0) != fails:
            self.claim(False, f'{shlex.join(argv)} {"fails" if fails else "works"}', f'{ending}\n{text}')
        return text

    def load_modules(self, names):
        self.run('modprobe', '-a', *names)

    def wait_until(self, condition, timeout, text):
        """A claim: that the condition comes true in time."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() >= deadline:
                self.claim(False, text, f'not after {timeout} s')
            time.sleep(0.02)
        self.check(True, text)

    # -- the kernel's log

    def save_kernel_log(self):
        with open(self.share.path(f'dmesg.{self.boot}'), 'w', encoding='utf-8') as f:
            subprocess.run(['dmesg'], stdout=f, check=False)

    def check_kernel_log(self):
        """A check: the kernel has not complained since the last call."""
        lines = subprocess.run(['dmesg'], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
        bad = [line for line in lines[self._log_seen:] if COMPLAINT.fullmatch(line)]
        self._log_seen = len(lines)
        self.check(not bad, f'boot {self.boot}: the kernel has nothing to complain about', '\n'.join(bad))

    def expect_complaint(self):
        """What the kernel has said since the last check has been brought about."""
        self._log_seen = len(subprocess.run(['dmesg'], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines())

    # -- into the next boot

    def next_boot_comes_by(self, way):
        """kexec, firmware or panic. Only after this may the host end: any other end is a failure."""
        state = self.share.state()
        state.next_by = way
        self.share.set_state(state)

    def load_kernel(self, *options, cmdline=None):
        """Loads the lab's kernel, with `kexec -s`: the one call that respects the reservation."""
        self.run('kexec', '-s', *(options or ['-l']), self.plan['kernel'], f'--initrd={self.plan["initramfs"]}',
                 f'--command-line={cmdline or self.cmdline()}')

    def kexec(self, cmdline=None, token=None):
        """Runs the same kernel anew; does not return. token: of `guestmemfs token`, for a pool that is to be found again."""
        cmdline = cmdline or self.cmdline()
        self.load_kernel(cmdline=f'{cmdline} guestmemfs.succession={token}' if token else cmdline)
        self.leave('kexec', 'kexec', '-e')

    def reset(self):
        """Through the firmware, as after a reset button; does not return. QEMU keeps the bytes of RAM."""
        self.leave('firmware', 'busybox', 'reboot', '-f')

    def leave(self, way, *argv):
        self.check_kernel_log()
        self.clean_up()
        self.save_kernel_log()
        self.next_boot_comes_by(way)
        text = self._last_command(argv)
        self.claim(False, f'{shlex.join(argv)} leads into the next boot', text)

    def _last_command(self, argv):
        """Returns if it fails. By a signal it may end: systemd stops whatever runs before it leaves."""
        self.say(f'$ {shlex.join(argv)}')
        deadline = time.monotonic() + HANGS
        with tempfile.TemporaryFile('w+', dir=self.directory, errors='replace') as out:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
            while time.monotonic() < deadline and (child.poll() or 0) <= 0:
                time.sleep(0.1)
            out.seek(0)
            return f'{out.read()}[exit status {child.poll()}]'

    @staticmethod
    def cmdline():
        return read_text('/proc/cmdline').strip()

    # -- guests

    def start_guest(self, memory, megabytes, seed, pattern_bytes, *extra, wrapper=()):
        """The guest of tests/guest under KVM, with its RAM in the file or device at memory."""
        argv = [*wrapper, *qemu_argv('kvm', memory, megabytes),
                *boot_argv(self.plan['guest_kernel'], self.plan['guest'], seed, pattern_bytes), *extra]
        self.say(f'$ {shlex.join(argv)}')
        guest = Guest(argv, Console(self._guest_says), self.directory, f'guest{len(self.guests)}')
        self.guests.append(guest)
        return guest

    def _guest_says(self, line):
        self.say(f'guest | {line}')

    def clean_up(self):
        for guest in self.guests:
            with contextlib.suppress(OSError):
                guest.destroy()
                if guest.log():
                    self.say(f"a guest's QEMU | {guest.log()}")
        os.sync()
