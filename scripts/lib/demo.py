# SPDX-License-Identifier: MIT
"""
The demonstration behind scripts/demo --local, which installs and builds first: a guest lives through the death of every
process around it. Each claim is checked; the first that does not hold ends the demo with exit status 1.

    demo.py --prefix PREFIX --initramfs FILE [--accel tcg|kvm]
"""

import argparse
import contextlib
import errno
import glob
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from guest import READY, TICK, Console, Guest, GuestError, boot_argv, qemu_argv
from processes import adopt_orphans, is_gone, kill_at_once, kill_children, mappers_of, wait_until
from qmp import QmpError

MIB = 1 << 20
POOL_MIB = 1024
VM_MIB = 512
PATTERN_MIB = 2 * -(-VM_MIB * 60 // 200)  # 60 % of the guest's RAM, rounded up to 2 MiB
STATE_LIMIT = 4 * MIB
TICKS_BEFORE = 5
TICKS_AFTER = 5
CONTROL_SECONDS = 20
WHOLE_LIMIT = 600  # seconds; the whole takes one minute
RUN = ('guestmemfs', 'run', '--')
DAEMONS = ('supervisor', 'keeper', 'worker', 'helper')


class ClaimFailed(Exception):
    """Something that the demo is there to show is not so."""


class Interrupted(Exception):
    """A signal asked us to end."""


class Story:
    """What the reader sees."""

    def __init__(self):
        self._start = time.monotonic()
        self._step = 0

    def step(self, text):
        self._step += 1
        print(f'\n==> {self._step}. {text}  [{time.monotonic() - self._start:.0f} s]', flush=True)

    def say(self, text):
        print(f'    {text}', flush=True)

    def guest_says(self, line):
        print(f'    guest | {line}', flush=True)

    def claim(self, holds, text):
        print(f'    {"ok" if holds else "FAILED"}: {text}', flush=True)
        if not holds:
            raise ClaimFailed(text)


def die_on_signals():
    def interrupt(number, _frame):
        for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(s, signal.SIG_IGN)  # the clean-up is not to be interrupted
        raise Interrupted(signal.Signals(number).name)

    for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, interrupt)


def newest_debian_kernel():
    """All that the guest needs is built in, so any of Debian's kernels will do."""
    def version(path):
        return [int(part) if part.isdigit() else part for part in re.split(r'(\d+)', path)]

    kernels = sorted(glob.glob('/boot/vmlinuz-*-amd64'), key=version)
    if not kernels:
        raise ClaimFailed('there is no Debian kernel at /boot/vmlinuz-*-amd64 to boot as the guest')
    return kernels[-1]


class Demo:
    def __init__(self, args, story, directory):
        self.story = story
        self.accel = args.accel
        self.prefix = os.path.realpath(args.prefix)
        self.initramfs = args.initramfs
        self.directory = directory
        self.name = os.path.basename(directory)
        self.pool = f'{directory}/pool'
        self.mount = f'{directory}/mnt'
        self.vm0 = f'{self.mount}/vm0'
        self.state = f'{self.mount}/vm0.state'
        self.kernel = newest_debian_kernel()
        self.seed = secrets.randbits(64)
        self.console = Console(story.guest_says)
        self.guests = []
        self.mounted = False
        os.environ['PATH'] = f'{self.prefix}/bin:{os.environ["PATH"]}'

    # -- commands

    def run(self, *argv, timeout=60, fails=False):
        """Shows a command and what it says. Its output goes through a file: a daemon would keep a pipe open."""
        self.story.say(f'$ {shlex.join(argv)}')
        with tempfile.TemporaryFile('w+', dir=self.directory, errors='replace') as out:
            try:
                done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out,
                                      stderr=subprocess.STDOUT, timeout=timeout, check=False)
            except subprocess.TimeoutExpired as e:
                raise ClaimFailed(f'{argv[0]} did not end within {timeout} s') from e
            out.seek(0)
            text = out.read()
        for line in text.splitlines():
            self.story.say(f'  {line}')
        if (done.returncode != 0) != fails:
            raise ClaimFailed(f'{argv[0]} ended with exit status {done.returncode}')
        return text

    def status(self):
        done = subprocess.run(['guestmemfs', 'status', self.mount, '--json'], timeout=20,
                              check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        return json.loads(done.stdout)

    def show(self):
        self.run('guestmemfs', 'status', self.mount)
        self.run('ls', '-l', self.mount)

    def daemons(self):
        """Their pids; checked, for a signal to a wrong one could hit anybody."""
        pids = {name: self.status()['pids'][name] for name in DAEMONS}
        for name, pid in pids.items():
            exe = os.readlink(f'/proc/{pid}/exe') if pid > 1 else 'nothing'
            self.story.claim(exe.startswith(f'{self.prefix}/'), f'{name} is process {pid}, {exe}')
        return pids

    def start_daemons(self, region):
        self.mounted = True
        self.run('guestmemfs-fuse', '--region', region, '--name', self.name, self.mount)
        self.story.claim(os.path.ismount(self.mount), f'{self.mount} is mounted')

    def start_guest(self, name, memory, *extra, wrapper=(), console=None):
        """The same machine each time, but for where its memory is; after the first, to take a state in."""
        argv = [*wrapper, *qemu_argv(self.accel, memory, VM_MIB),
                *boot_argv(self.kernel, self.initramfs, self.seed, PATTERN_MIB * MIB), *extra]
        self.story.say(f'$ {shlex.join(argv)}')
        guest = Guest(argv, console or self.console, self.directory, name)
        self.guests.append(guest)
        return guest

    # -- the steps

    def check_room(self):
        self.story.step('Is there room for a pool of 1 GiB in /dev/shm?')
        st = os.statvfs(self.directory)
        room = st.f_bavail * st.f_frsize // MIB
        self.story.claim(room >= POOL_MIB + 64, f'{room} MiB are free there')
        with open('/proc/meminfo', encoding='ascii') as f:
            available = int(re.search(r'MemAvailable: *(\d+) kB', f.read())[1]) // 1024
        needed = POOL_MIB + 512  # besides the pool: QEMU itself, and the control's memory as far as it is touched
        self.story.claim(available >= needed, f'{available} MiB of RAM are available, {needed} are needed')
        self.story.claim(self.accel != 'kvm' or os.access('/dev/kvm', os.R_OK | os.W_OK),
                         f'the guest will run under {self.accel}')

    def make_pool(self):
        self.story.step('Mount a pool of 1 GiB, and make a file in it that will be the memory of a VM and one for its device state')
        os.mkdir(self.mount)
        self.start_daemons(f'file:{self.pool},size={POOL_MIB}M')
        self.run('truncate', '-s', f'{VM_MIB}M', self.vm0)
        self.run('touch', self.state)
        self.run('setfattr', '-n', 'user.guestmemfs.io', '-v', '1', self.state)
        self.show()
        self.story.claim(os.stat(self.vm0).st_size == VM_MIB * MIB, f'vm0 has {VM_MIB} MiB')

    def boot(self):
        self.story.step(f"Boot Debian's kernel in an unmodified QEMU whose RAM is vm0 ({self.accel})")
        guest = self.start_guest('first', self.vm0, wrapper=RUN)
        ready, place = guest.wait(READY, 0, timeout=180)
        self.story.claim(int(ready['seed'], 0) == self.seed and int(ready['bytes']) == PATTERN_MIB * MIB,
                         f'{PATTERN_MIB} of its {VM_MIB} MiB are full of a pattern from seed 0x{self.seed:016x}')
        self.wait_ticks(guest, place, TICKS_BEFORE)
        self.claim_pattern(guest)
        mappers = self.qemus_that_map_the_pool()
        self.story.claim(len(mappers) == 1, f'QEMU (process {" ".join(map(str, mappers))}) has the memory of the pool itself mapped')
        self.show()
        return guest

    def qemus_that_map_the_pool(self):
        def is_qemu(pid):
            with contextlib.suppress(OSError):
                return os.path.basename(os.readlink(f'/proc/{pid}/exe')).startswith('qemu-system')
            return False

        return [pid for pid in mappers_of(self.pool) if is_qemu(pid)]

    def wait_ticks(self, guest, place, count):
        for _ in range(count):
            _, place = guest.wait(TICK, place, timeout=30)

    def claim_pattern(self, guest):
        match = guest.check_pattern()
        self.story.claim(int(match['bytes']) == PATTERN_MIB * MIB,
                         f'every word of the {PATTERN_MIB} MiB is right')

    def save(self, guest):
        self.story.step('Save the state of CPUs and devices into the pool, and end QEMU')
        guest.save(self.state)
        guest.quit()
        size = os.stat(self.state).st_size
        self.story.claim(0 < size < STATE_LIMIT,
                         f'the saved state has {size // 1024} KiB: the RAM is not in it')
        self.story.claim(not self.qemus_that_map_the_pool(),
                         'no QEMU has the pool mapped any more')
        self.ticks_saved = [m for m in map(TICK.fullmatch, self.console.lines()) if m]

    def kill_everything(self):
        self.story.step('Kill every process of guestmemfs-fuse with kill -9')
        pids = self.daemons()
        self.story.say(f'$ kill -9 {" ".join(map(str, pids.values()))}')
        kill_at_once(pids.values())
        self.story.claim(wait_until(lambda: all(map(is_gone, pids.values())), 20), 'all are dead')
        self.run('ls', '-l', self.mount, fails=True)
        self.story.claim(self.mount_errno() == errno.ENOTCONN, 'the mount is dead')

    def mount_errno(self):
        try:
            os.listdir(self.mount)  # a stat() could be answered from the kernel's cache
        except OSError as e:
            return e.errno
        return 0

    def start_again(self, uuid, ino):
        self.story.step('Start it again, and look for the file')
        self.start_daemons(f'file:{self.pool}')
        self.show()
        st = os.stat(self.vm0)
        self.story.claim(self.status()['uuid'] == uuid, f'it is the same pool, {uuid}')
        self.story.claim((st.st_ino, st.st_size) == (ino, VM_MIB * MIB),
                         f'vm0 is there: inode {ino}, {VM_MIB} MiB')

    def resume(self):
        self.story.step('Resume the guest in a new QEMU, from its saved state and its memory, both in the pool')
        last = self.ticks_saved[-1]
        guest = self.start_guest('second', self.vm0, '-incoming', 'defer', wrapper=RUN)
        guest.take_in(self.state)
        place = self.console.mark()
        guest.go_on()
        tick, place = guest.wait(TICK, place, timeout=30)
        self.story.claim(int(tick['n']) == int(last['n']) + 1,
                         f'tick {last["n"]} was its last one, tick {tick["n"]} is the next')
        self.story.claim(tick['boot_id'] == last['boot_id'],
                         f'its kernel was not booted anew: boot id {tick["boot_id"]}')
        self.story.claim(0 < float(tick['uptime']) - float(last['uptime']) < 10,
                         f'its uptime goes on: {last["uptime"]} s, {tick["uptime"]} s')
        self.wait_ticks(guest, place, TICKS_AFTER)
        self.claim_pattern(guest)
        ticks = [int(m['n']) for m in map(TICK.fullmatch, self.console.lines()) if m]
        self.story.claim(ticks == list(range(1, len(ticks) + 1)),
                         f'ticks 1 to {ticks[-1]}: none is missing, none came twice')
        guest.quit()

    def control(self):
        self.story.step('The control: the same resume, but the memory is zeros. It must fail')
        zeros = f'{self.directory}/zeros'
        self.run('truncate', '-s', f'{VM_MIB}M', zeros)
        guest = self.start_guest('control', zeros, '-incoming', 'defer',
                                 console=Console(self.story.guest_says))
        guest.take_in(self.state)
        self.story.say(f'QEMU has taken the state in; now it has {CONTROL_SECONDS} s to tick.')
        self.story.claim(not self.lives(guest), 'without its memory the guest does not go on')
        guest.destroy()

    def lives(self, guest):
        try:
            guest.go_on()
            guest.wait(TICK, 0, CONTROL_SECONDS)
            guest.check_pattern()
        except GuestError as e:
            self.story.say(f'No tick with a whole pattern: {e}.')
            return False
        return True

    def end(self):
        self.story.step('Take the file away, unmount, and check the metadata')
        self.run('rm', self.vm0, self.state)
        pids = self.daemons()
        self.run('umount', self.mount)
        self.story.claim(wait_until(lambda: all(map(is_gone, pids.values())), 20), 'all processes have ended')
        self.run('guestmemfs', 'fsck', '--region', f'file:{self.pool}')

    def tell(self):
        self.check_room()
        self.make_pool()
        uuid, ino = self.status()['uuid'], os.stat(self.vm0).st_ino
        self.save(self.boot())
        self.kill_everything()
        self.start_again(uuid, ino)
        self.resume()
        self.control()
        self.end()

    # -- the end

    def clean_up(self):
        """Whatever happened. The daemons are killed before the mount is looked at: a hung one must not hang us."""
        for guest in self.guests:
            guest.destroy()
        kill_children()
        if self.mounted:
            subprocess.run(['umount', '-l', self.mount], stderr=subprocess.DEVNULL, timeout=20, check=False)
        shutil.rmtree(f'/run/guestmemfs/{self.name}', ignore_errors=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--prefix', required=True)
    parser.add_argument('--initramfs', required=True)
    parser.add_argument('--accel', choices=['tcg', 'kvm'], default='tcg')
    args = parser.parse_args()

    story = Story()
    demo = None
    directory = tempfile.mkdtemp(prefix='guestmemfs-demo-', dir='/dev/shm')
    # Against a mount that answers nothing, in which even our own stat() would hang: it ends when the daemons do.
    watchdog = threading.Timer(WHOLE_LIMIT, kill_children)
    watchdog.daemon = True
    try:
        watchdog.start()
        die_on_signals()
        adopt_orphans()
        demo = Demo(args, story, directory)
        demo.tell()
    except Interrupted as e:
        print(f'\nInterrupted by {e}: cleaning up.', flush=True)
        return 1
    except (ClaimFailed, GuestError, QmpError, OSError, subprocess.SubprocessError) as e:
        print(f'\nTHE DEMO FAILED: {e}', flush=True)
        return 1
    finally:
        watchdog.cancel()
        if demo:
            demo.clean_up()
        shutil.rmtree(directory, ignore_errors=True)
    story.step('Done: every claim held. Nothing is left behind')
    return 0


if __name__ == '__main__':
    sys.exit(main())
