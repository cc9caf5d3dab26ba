# SPDX-License-Identifier: MIT
"""
When the memory of a removed file of a soft region is another user's: not while anybody reaches it, in whatever way, and
soon after. The region is so small that the next file needs these very blocks.
"""

import ctypes
import errno
import json
import os
import signal
import socket
import stat
import subprocess
import time

from actors import PINNED, Actor, become, pin_of_node, vmm, vmsplice
from case import Case
from dax import BLOCK, GIB, device_names, is_bound
from lab import HANGS, read_text
from product import Attached, Library, Pool

START = 4 * GIB
OWNER, NEXT = 1000, 2000  # the user of the first file, and of the one that wants its memory
EXPORTED = 8  # blocks
PATIENCE = HANGS
SOON = 20  # what takes the product two seconds at most, on a machine as slow as there may be


class Mounted(Pool):
    """One that is mounted already."""

    def __init__(self, lab, mount):  # pylint: disable=super-init-not-called
        self.lab, self.mount = lab, mount


class Host:
    """The instance, with what it says in a file, and what is tried on it."""

    def __init__(self, lab, name, *options, settles=True):
        self.lab = lab
        self.library = Library(lab.plan['prefix'])
        self.log = f'{lab.directory}/{name}.log'
        self.mount = f'/mnt/{name}'
        os.makedirs(self.mount)
        with open(self.log, 'wb') as log:
            self.process = subprocess.Popen(['guestmemfs-fuse', '-f', '--region', 'soft:auto', *options, self.mount],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        lab.wait_until(self._serves, PATIENCE, f'{name} is mounted')
        self.pool = Mounted(lab, self.mount)
        if settles:
            self.pool.settle()
        os.chmod(self.mount, 0o777)
        self.killed = 0
        self.room = self.pool.status()['blocks']['free'] * BLOCK

    def _serves(self):
        return subprocess.run(['guestmemfs', 'status', self.mount], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              check=False).returncode == 0

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        self.lab.wait_until(lambda: not self.pool.processes('guestmemfs-helper'), PATIENCE, 'its helper has ended too')
        self.lab.say(read_text(self.log))

    def path(self, name):
        return f'{self.mount}/{name}'

    def make(self, name, uid, size=None):
        """A file of everything that there is. OSError ENOSPC as long as somebody else's memory is in the way."""
        path = self.path(name)
        with open(path, 'ab') as f:
            os.chown(path, uid, uid)
            os.truncate(f.fileno(), size or self.room)
        return path

    def can_make(self, name, uid):
        try:
            self.make(name, uid)
            return True
        except OSError as e:
            if e.errno != errno.ENOSPC:
                raise
            os.unlink(self.path(name))
            return False

    def quarantined(self):
        return self.pool.status()['blocks']['quarantined']

    def next_owner(self, what):
        """Waits until there is room for the next user's file; then all of it must be zero."""
        begin = time.monotonic()
        self.lab.wait_until(lambda: self.can_make('next', NEXT), PATIENCE, f'{what}: then the memory is the next one\'s')
        took = time.monotonic() - begin
        self.lab.figure(f'{what}: until it is', round(took, 2), 's')
        self.lab.check(took < SOON, f'{what}: and soon', f'{took:.1f} s')
        zero = bytes(BLOCK)

        def look():
            with Attached(self.library, self.path('next')) as file:
                address = file.map()
                for at in range(0, file.size, BLOCK):
                    if ctypes.string_at(address + at, BLOCK) != zero:
                        raise AssertionError(f'the block at {at} is not zero')
                ctypes.memset(address, 0x4e, file.size)
        found = ''
        try:
            Actor(look, NEXT).end()
        except RuntimeError as e:
            found = str(e)
        self.lab.check(not found, f'{what}: with nothing of its last owner in it', found)
        os.unlink(self.path('next'))
        self.lab.wait_until(lambda: self.can_make('probe', NEXT), PATIENCE, f'{what}: and comes back once more')
        os.unlink(self.path('probe'))

    def stays(self, what):
        """Somebody reaches it: neither a new file nor a look at it changes that."""
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            if self.can_make('early', NEXT):
                self.lab.check(False, f'{what}: the memory is nobody else\'s')
                os.unlink(self.path('early'))
                return
            time.sleep(0.1)
        self.lab.check(self.quarantined() > 0, f'{what}: the memory is nobody else\'s, and status says so')

    def remove(self):
        os.unlink(self.path('vm'))


def simply_ends(host):
    vm = Actor(vmm(host.library, host.make('vm', OWNER), 'secret of one that ends'), OWNER)
    vm.kill()
    host.remove()
    host.next_owner('one that ends')


def removed_while_it_runs(host):
    vm = Actor(vmm(host.library, host.make('vm', OWNER), 'secret of one that runs'), OWNER)
    host.remove()
    host.stays('one that runs')
    vm.kill()
    host.next_owner('one that ran')


def leaves_a_child(host):
    def fork(*_):
        pid = os.fork()
        if pid == 0:
            signal.pause()
        with open(f'{host.lab.directory}/child', 'w', encoding='ascii') as f:
            f.write(str(pid))

    os.chmod(host.lab.directory, 0o777)
    Actor(vmm(host.library, host.make('vm', OWNER), 'secret of one that forks', fork), OWNER).end()
    host.remove()
    host.stays('one that left a child')
    os.kill(int(read_text(f'{host.lab.directory}/child')), signal.SIGKILL)
    host.next_owner('one whose child has ended')


def passes_its_descriptor(host):
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)

    def take():
        _, fds, _, _ = socket.recv_fds(here, 1, 1)
        return fds

    def give(file, _):
        socket.send_fds(there, [b'x'], [file.fd(0)])

    vm = Actor(vmm(host.library, host.make('vm', OWNER), 'secret of one that passes', give), OWNER)
    stranger = Actor(take)
    here.close()
    there.close()
    vm.kill()
    host.remove()
    host.stays('one that passed its descriptor on')
    stranger.end()
    host.next_owner('one whose descriptor is closed')


def descriptor_in_flight(host):
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)

    def give(file, _):
        socket.send_fds(there, [b'x'], [file.fd(0)])

    vm = Actor(vmm(host.library, host.make('vm', OWNER), 'secret of one in flight', give), OWNER)
    there.close()
    vm.kill()
    host.remove()
    host.stays('one whose descriptor nobody has taken')
    here.close()
    host.next_owner('one whose descriptor went with the socket')


def pages_in_a_pipe(host):
    out, into = os.pipe()
    vm = Actor(vmm(host.library, host.make('vm', OWNER), 'secret in a pipe',
                   lambda _, address: vmsplice(into, address, PINNED)), OWNER)
    os.close(into)
    vm.kill()
    host.remove()
    host.stays('one whose pages are in a pipe')
    kill_helper(host)
    host.stays('so after a new helper: one whose pages are in a pipe')
    bytes_ = os.read(out, 4096)
    host.lab.check(bytes_.startswith(b'secret in a pipe'), 'who has the pipe reads what was put there, no new owner\'s bytes',
                   repr(bytes_[:32]))
    host.stays('one with half of the pipe read')
    os.close(out)
    host.next_owner('one whose pipe is closed')


def export_unseen(host):
    """
    What was exported stays its file's until the next boot: whoever has a copy of its node opens and pins as he likes,
    also between a look at the counts and what follows from it.
    """
    host.make('vm', OWNER, EXPORTED * BLOCK)
    node = host.pool.export('vm')
    name, copy = os.path.basename(node), f'{host.lab.directory}/node'
    os.mknod(copy, 0o600 | stat.S_IFCHR, os.stat(node).st_rdev)
    os.chown(copy, OWNER, OWNER)
    os.chmod(host.lab.directory, 0o777)
    stop = f'{host.lab.directory}/stop'

    def race():
        while not os.path.exists(stop):
            out, into = os.pipe()
            pin_of_node(copy, 'by a copy of the node', into)()
            if not os.read(out, 4096).startswith(b'by a copy of the node'):
                raise AssertionError('somebody else has written there')
            os.close(out)
            os.close(into)
    racer = os.fork()
    if racer == 0:
        try:
            become(OWNER)
            race()
            os._exit(0)
        finally:
            os._exit(1)
    host.remove()
    host.stays('an export, while somebody opens it by a copy of its node')
    kill_helper(host)
    host.stays('so after a new helper: an export')
    with open(stop, 'x', encoding='ascii'):
        pass
    ended = os.waitstatus_to_exitcode(os.waitpid(racer, 0)[1])
    host.lab.check(ended == 0 and is_bound(name), 'who has a copy of the node reads what he has written there, and no new owner\'s bytes',
                   f'exit status {ended}')
    host.stays('an export that nobody has any more')
    quarantined = host.quarantined()
    host.lab.check(quarantined == EXPORTED, 'nothing but its blocks is in quarantine', str(quarantined))
    host.room -= EXPORTED * BLOCK
    host.next_owner('all space but that of an export')


def formatted(lab):
    """A new pool over one whose memory somebody still has."""
    out, into = os.pipe()
    before = Host(lab, 'before', '--format=force')
    try:
        names = set(device_names())
        vm = Actor(vmm(before.library, before.make('vm', OWNER, EXPORTED * BLOCK), 'secret of a former pool',
                       lambda _, address: vmsplice(into, address, PINNED)), OWNER)
        [name] = set(device_names()) - names
        os.close(into)
        vm.kill()
    finally:
        before.end()
    over = Host(lab, 'over', '--format=force', settles=False)
    try:
        lab.wait_until(lambda: f'/dev/{name} stays, and its blocks out of use' in read_text(over.log), PATIENCE,
                       'a new pool leaves a device alone of which somebody has a page')
        lab.check(is_bound(name), 'it is bound as before')
        bytes_ = os.read(out, 4096)
        lab.check(bytes_.startswith(b'secret of a former pool'), 'who has the pipe reads what was put there', repr(bytes_[:32]))
        os.close(out)
    finally:
        over.end()
    after = Host(lab, 'after', '--format=force')
    try:
        lab.check(f'/dev/{name} is removed' in read_text(after.log), 'nobody has a page any more: the next one takes it back')
        after.next_owner('a pool over another one')
    finally:
        after.end()


def kill_helper(host):
    """Not so often that the supervisor gives it up: five times in ten seconds."""
    time.sleep(max(0, host.killed + 2.6 - time.monotonic()))
    host.pool.restart_helper()
    host.killed = time.monotonic()


def helper_killed_on_the_way(host):
    """Between any two of its steps: nothing is lost, and nothing is anybody's too early."""
    for milliseconds in (0, 60, 140, 240):
        vm = Actor(vmm(host.library, host.make('vm', OWNER), 'secret of a killed helper'), OWNER)
        time.sleep(max(0, host.killed + 2.6 - time.monotonic()))
        vm.kill()
        host.remove()
        time.sleep(milliseconds / 1000)
        kill_helper(host)
        host.next_owner(f'a helper that is killed after {milliseconds} ms')


def revoked(host):
    path = host.make('vm', OWNER)
    act = vmm(host.library, path, 'what stays')
    first, second = Actor(act, OWNER), Actor(vmm(host.library, path, 'what stays', lambda *_: os.fork() or signal.pause()), OWNER)
    told = host.lab.run('guestmemfs', 'revoke', path)
    host.lab.check(str(first.pid) in told and str(second.pid) in told, 'revoke says who holds it', told)
    other = subprocess.run(['guestmemfs', 'revoke', path], user=NEXT, group=NEXT, extra_groups=[], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, check=False, timeout=PATIENCE)
    host.lab.check(other.returncode == 1, 'not to everybody', other.stdout)
    os.chmod(path, 0o644)
    other = subprocess.run(['guestmemfs', 'revoke', path], user=NEXT, group=NEXT, extra_groups=[], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, check=False, timeout=PATIENCE)
    host.lab.check(other.returncode == 1 and 'owner' in other.stdout, 'nor to who may read it', other.stdout)
    killed = subprocess.run(['guestmemfs', 'revoke', '--kill', path], user=OWNER, group=OWNER, extra_groups=[],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=PATIENCE)
    host.lab.say(killed.stdout)
    host.lab.check(killed.returncode == 0 and killed.stdout.count('killed') == 3, 'its owner takes it from all of them, a child too',
                   killed.stdout)
    for actor in (first, second):
        actor.wait()
    [file] = json.loads(host.lab.run('guestmemfs', 'ls', '--json', path, told=False))['files']
    host.lab.check(not file['held'], 'the file is not held any more', str(file))

    def still_there():
        with Attached(host.library, path) as file:
            if ctypes.string_at(file.map(), 10) != b'what stays':
                raise AssertionError('other contents')
    Actor(still_there, OWNER).end()
    host.lab.check(True, 'and keeps its contents for who attaches it again')
    os.truncate(path, BLOCK)
    host.lab.check(os.stat(path).st_size == BLOCK, 'it shrinks when nobody holds it')
    host.remove()
    host.next_owner('one that was revoked')


def reuse(host):
    for part in (simply_ends, removed_while_it_runs, leaves_a_child, passes_its_descriptor, descriptor_in_flight,
                 pages_in_a_pipe, revoked, helper_killed_on_the_way, export_unseen):
        host.lab.step(part.__name__)
        part(host)


def same_owner(host):
    """What somebody may still reach is a file's of the same user, and never another's."""
    out, into = os.pipe()
    vm = Actor(vmm(host.library, host.make('vm', OWNER), 'secret of the first one',
                   lambda _, address: vmsplice(into, address, PINNED)), OWNER)
    os.close(into)
    vm.kill()
    host.remove()
    host.stays('with --reuse=same-owner: one whose pages are in a pipe')
    spare = host.pool.status()['blocks']['spare']
    host.lab.check(spare * BLOCK == host.room, 'status says that somebody may have it', str(spare))
    kill_helper(host)
    host.stays('so after a new helper: one whose pages are in a pipe, by its owner')
    host.lab.wait_until(lambda: host.can_make('heir', OWNER), PATIENCE, 'the same user\'s next file has it')
    kill_helper(host)

    def take():
        file = Attached(host.library, host.path('heir'))
        address = file.map()
        for at in range(0, file.size, BLOCK):
            if ctypes.string_at(address + at, BLOCK) != bytes(BLOCK):
                raise AssertionError(f'the block at {at} is not zero')
        ctypes.memmove(address, b'of the heir', 11)
        return file, address
    heir = Actor(take, OWNER)
    host.lab.check(True, 'with nothing of the first one in it')
    bytes_ = os.read(out, 4096)
    host.lab.check(bytes_.startswith(b'of the heir'), 'who had the pipe has it still', repr(bytes_[:32]))
    heir.kill()
    os.unlink(host.path('heir'))
    host.stays('with --reuse=same-owner: the next one, when it is removed')
    os.close(out)
    host.next_owner('one whose pipe is closed, by its owner')


def never(host):
    Actor(vmm(host.library, host.make('vm', OWNER), 'secret for this boot'), OWNER).kill()
    host.remove()
    host.stays('with --reuse=never')
    kill_helper(host)
    host.stays('with --reuse=never and a new helper')


def look(lab):
    lab.step('formatted')
    formatted(lab)
    host = Host(lab, 'shown', '--format=force')
    lab.remember(room=host.room)
    try:
        reuse(host)
    finally:
        lab.say(read_text(host.log))
    lab.kexec(token=lab.run('guestmemfs', 'token', host.mount).strip())


def again(lab):
    host = Host(lab, 'owner', '--reuse=same-owner')
    try:
        lab.check(host.room == lab.recall('room') and host.quarantined() == 0, 'in the next boot there is what was exported too',
                  f'{host.room}')
        same_owner(host)
    finally:
        host.end()
    host = Host(lab, 'never', '--reuse=never')
    try:
        never(host)
    finally:
        host.end()
    said = read_text(host.log).count('until the next boot: --reuse=never')
    lab.check(said == 2, 'each helper says once that nothing comes back', f'{said} times')


CASE = Case(about='the memory of a removed file is another user\'s as soon as nobody reaches it, and not before',
            boots=(look, again), cpus=2, cmdline='memmap=96M!4G,96M%4G-12+0xefffffff dax_hmem.region_idle=1',
            needs=('product',))
