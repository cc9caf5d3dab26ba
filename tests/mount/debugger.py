# SPDX-License-Identifier: MIT
"""
Death at a named point: gdb holds the real process at a function of the real binary, and it is killed there. Nothing in
the product knows about tests.
"""

import os
import re
import signal
import subprocess
import time

SIGNALS = 'SIGTERM SIGHUP SIGINT SIGPIPE SIGUSR1 SIGUSR2 SIGALRM'
HIT = re.compile(r'^(?:Thread .* hit )?Breakpoint 1(?:\.\d+)?, ', re.MULTILINE)


class KillAt:
    """
    kill -9 of process pid when it reaches a function for the count-th time: at its entry, or with after=True when it
    has just returned. `also` are killed in the same moment, before the process can move: its supervisor, for instance,
    so that nothing is started anew. `then`: commands for gdb in place of the killing. Returns when the trap is set;
    wait() until it has snapped.
    """

    def __init__(self, pid, function, count=1, after=False, also=(), then=(), timeout=30):
        self.pid = pid
        self.function = function
        self._log = ''
        commands = [f'handle {SIGNALS} nostop noprint pass',
                    'set breakpoint pending off', f'break {function}', f'ignore 1 {count - 1}',
                    'echo TRAP SET\\n', 'continue',
                    *(['finish'] if after else []),
                    *(then or [*[f'shell kill -9 {other}' for other in also], 'kill']),
                    'echo SNAPPED\\n']
        argv = ['gdb', '-q', '-nx', '-batch', '-iex', 'set debuginfod enabled off', '-iex', 'set confirm off',
                '-p', str(pid)]
        for command in commands:
            argv += ['-ex', command]
        self._gdb = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, cwd='/')
        os.set_blocking(self._gdb.stdout.fileno(), False)
        self._read_until('TRAP SET', timeout)
        if 'Breakpoint 1 at' not in self._log:
            self.clean_up()
            raise AssertionError(f'no breakpoint on {function}:\n{self._log}')

    def _read_until(self, text, timeout):
        deadline = time.monotonic() + timeout
        while not re.search(text, self._log):
            data = self._gdb.stdout.read()
            if data:
                self._log += data.decode('utf-8', 'replace')
            elif data == b'' or time.monotonic() > deadline:  # gdb has ended, or hangs
                self.clean_up()
                raise AssertionError(f'gdb did not get to "{text}" for {self.function}:\n{self._log}')
            else:
                time.sleep(0.02)

    def wait(self, timeout=30):
        """Until the process is dead. AssertionError if it died, or went on, without having come to the point."""
        self._read_until('SNAPPED', timeout)
        self._gdb.wait(timeout)
        assert HIT.search(self._log), f'{self.function} was not reached:\n{self._log}'

    def wait_hit(self, timeout=30):
        """Until the process has come to the point, whatever happens to it then."""
        self._read_until(HIT, timeout)

    def clean_up(self):
        """gdb lets go of the process, which goes on if it was not killed."""
        if self._gdb.poll() is None:
            self._gdb.send_signal(signal.SIGTERM)
            try:
                self._gdb.wait(20)
            except subprocess.TimeoutExpired:
                self._gdb.kill()
                self._gdb.wait(20)
        self._gdb.stdout.close()


SYSTEM_CALLS = {'close': 3, 'mremap': 25}  # of x86-64
ARGUMENTS = 'rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9'
OF_A_CALL = *ARGUMENTS, 'rax', 'rcx', 'r11', 'rip', 'orig_rax'


def system_call_in(pid, name, *arguments, timeout=30):
    """
    Has the process make this system call, as one might that was taken over, and go on; what the kernel has returned.
    Not by calling a function with gdb's `print`: that writes all registers back, which fails where the processor has
    more of them than gdb knows (gdb 13 does not know those of AMX: "Couldn't write extended state status").
    """
    values = {**dict(zip(ARGUMENTS, arguments)), 'rax': SYSTEM_CALLS[name], 'rip': '$instruction', 'orig_rax': -1}
    commands = ['handle all nostop noprint pass', 'set scheduler-locking on',
                'find /b1 (char *)&syscall, +64, 0x0f, 0x05', 'set $instruction = (long)$_',
                *[f'set $was_{register} = ${register}' for register in OF_A_CALL],
                *[f'set ${register} = {value}' for register, value in values.items()],
                'stepi', 'printf "RETURNED %ld\\n", (long)$rax',
                *[f'set ${register} = $was_{register}' for register in OF_A_CALL]]
    done = subprocess.run(['gdb', '-q', '-nx', '-batch', '-iex', 'set debuginfod enabled off', '-p', str(pid),
                           *[word for command in commands for word in ('-ex', command)]], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd='/', timeout=timeout, check=False)
    returned = re.findall(r'^RETURNED (-?\d+)$', done.stdout, re.MULTILINE)
    assert returned, done.stdout
    return int(returned[0])


class HoldAt:
    """
    Process pid stops at the entry of a function until release(). Between the two the test has time for what must be in
    place before the process goes on. Returns when the trap is set; wait() until it has snapped.
    """

    def __init__(self, pid, function, gate, timeout=30):
        """gate: a path that nobody else uses; gdb lets go once it exists."""
        self._gate = gate
        self._trap = KillAt(pid, function, then=[f'shell while [ ! -e {gate} ]; do sleep 0.02; done', 'detach'],
                            timeout=timeout)

    def wait(self, timeout=30):
        self._trap.wait_hit(timeout)

    def release(self):
        with open(self._gate, 'wb'):
            pass
        self._trap.wait()

    def clean_up(self):
        with open(self._gate, 'wb'):
            pass
        self._trap.clean_up()
