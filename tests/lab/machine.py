# SPDX-License-Identifier: MIT
"""The QEMU that is the lab host. It ends with us, whatever happens: also when we are killed."""

import os
import subprocess
import time

BASE_CMDLINE = 'console=ttyS0 loglevel=5 panic=0 mitigations=off no_timer_check'


def machine_argv(kernel, initramfs, case, share, serial):
    """
    Emulated CPUs (TCG): they have nested paging, so that the lab host has a /dev/kvm, and they work on any machine. A
    reset leads into the next boot with all bytes of RAM in place, as a warm reboot does. Without erms the kernel clears
    and copies pages by words instead of bytes, which is one emulated access each.
    """
    return ['setpriv', '--pdeathsig', 'KILL', 'qemu-system-x86_64', '-no-user-config', '-nodefaults',
            '-display', 'none', '-accel', 'tcg,thread=multi', '-cpu', 'max,-erms', '-smp', f'{case.cpus}', '-m', case.memory,
            *case.machine, *serial, '-kernel', kernel, '-initrd', initramfs, '-append', f'{BASE_CMDLINE} {case.cmdline}'.strip(),
            '-virtfs', 'local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap',
            '-virtfs', f'local,path={share},mount_tag=share,security_model=none']


class Machine:
    def __init__(self, argv, log_path):
        self.log_path = log_path
        with open(log_path, 'wb') as log:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.started = time.monotonic()

    def running(self):
        return self._process.poll() is None

    def destroy(self):
        self._process.kill()
        self._process.wait(120)


def run_shell(argv):
    """In our own terminal; Ctrl-A X ends it."""
    return subprocess.run(argv, check=False).returncode


def serial_to(path):
    return ['-chardev', f'file,id=serial,path={path}', '-serial', 'chardev:serial']


def serial_here():
    return ['-serial', 'mon:stdio']


def tail(path, lines):
    try:
        with open(path, encoding='utf-8', errors='replace') as f:
            return ''.join(f.readlines()[-lines:]).replace('\r', '')
    except FileNotFoundError:
        return f'there is no {os.path.basename(path)}\n'
