# SPDX-License-Identifier: MIT
"""
When the memory of a removed file of a soft region is another user's: not while anybody reaches it, in whatever way, and
soon after. The region is so small that the next file needs these very blocks.
"""

import ctypes
import errno
import json
import mmap
import os
import signal
import socket
import stat
import subprocess
import time

from actors import PINNED, Actor, become, pin_of_node, vmm, vmsplice
from case import Case
from dax import BLOCK, DEVICES, DRIVER, GIB, device_names, device_number, is_bound, put, put_device, soft_region
from lab import HANGS, read_text
from product import Attached, Library, Pool

START = 4 * GIB
OWNER, NEXT = 1000, 2000  # the user of the first file, and of the one that wants its memory
EXPORTED = 8  # blocks
# An export waits for every process that is about to open it. Where the machine itself hardly gets to run that can take
# more than the two seconds that it is given, and the next try is 20 seconds later.
EVENTUALLY = HANGS
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
        lab.wait_until(self._serves, HANGS, f'{name} is mounted')
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
        self.process.wait(HANGS)
        self.lab.wait_until(lambda: not self.pool.processes('guestmemfs-helper'), HANGS, 'its helper has ended too')
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

    def next_owner(self, what, soon=SOON):
        """Waits until there is room for the next user's file; then all of it must be zero."""
        begin = time.monotonic()
        self.lab.wait_until(lambda: self.can_make('next', NEXT), HANGS, f'{what}: then the memory is the next one\'s')
        took = time.monotonic() - begin
        self.lab.figure(f'{what}: until it is', round(took, 2), 's')
        self.lab.check(took < soon, f'{what}: and soon', f'{took:.1f} s')
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
        self.lab.wait_until(lambda: self.can_make('probe', NEXT), HANGS, f'{what}: and comes back once more')
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

    def rest(self):
        """Nobody's memory is waited for, and no device made or removed."""
        self.lab.wait_until(lambda: self.quarantined() == 0, HANGS, 'nothing is in quarantine')
        self.pool.settle()

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


def leave_pages_in_a_pipe(host, secret):
    """A removed file whose VM has ended, pages of which are in a pipe still. Returns its end to read from."""
    out, into = os.pipe()
    vm = Actor(vmm(host.library, host.make('vm', OWNER), secret, lambda _, address: vmsplice(into, address, PINNED)), OWNER)
    os.close(into)
    vm.kill()
    host.remove()
    return out


def pages_in_a_pipe(host):
    out = leave_pages_in_a_pipe(host, 'secret in a pipe')
    host.stays('one whose pages are in a pipe')
    kill_helper(host)
    host.stays('so after a new helper: one whose pages are in a pipe')
    bytes_ = os.read(out, 4096)
    host.lab.check(bytes_.startswith(b'secret in a pipe'), 'who has the pipe reads what was put there, no new owner\'s bytes',
                   repr(bytes_[:32]))
    host.stays('one with half of the pipe read')
    os.close(out)
    host.next_owner('one whose pipe is closed')


class Copies:
    """Ways to an exported device that its node's owner has made himself."""

    def __init__(self, lab, node):
        self.name = os.path.basename(node)
        self.number = os.stat(node).st_rdev
        os.chmod(lab.directory, 0o777)
        self.copy = f'{lab.directory}/copy-{self.name}'
        os.mknod(self.copy, 0o600 | stat.S_IFCHR, self.number)
        os.chown(self.copy, OWNER, OWNER)
        self.bound = f'{lab.directory}/bound-{self.name}'
        with open(self.bound, 'xb'):
            pass
        lab.run('mount', '--bind', self.copy, self.bound)
        self.path = os.open(self.copy, os.O_PATH)

    def open_nothing(self, lab, what):
        for path in (self.copy, self.bound, f'/proc/self/fd/{self.path}'):
            for uid in (OWNER, 0):
                found = opens(path, uid)
                lab.check(found in ('ENXIO', 'EPERM', 'ENODEV'), f'{what}: {path} opens nothing for user {uid}', found)
        number = f'{os.major(self.number)}:{os.minor(self.number)}'
        having = [name for name in device_names() if read_text(f'{DEVICES}/{name}/dev').strip() == number]
        lab.check(having == [self.name], f'{what}: no other device has its number', str(having))

    def is_retired(self):
        return not is_bound(self.name) and device_number(self.name, 'size') == 0


def opens(path, uid):
    """'' or the error's name."""
    def act():
        try:
            os.close(os.open(path, os.O_RDWR))
        except OSError as e:
            raise RuntimeError(errno.errorcode[e.errno]) from e
    try:
        Actor(act, uid).end()
    except RuntimeError as e:
        return str(e).rsplit(' ', 1)[-1]
    return ''


def exported(host):
    host.make('vm', OWNER, EXPORTED * BLOCK)
    return Copies(host.lab, host.pool.export('vm'))


def export_unseen(host):
    """Opened by a copy of its node, pinned and closed: nothing of that is to be seen anywhere."""
    copies = exported(host)
    out, into = os.pipe()
    Actor(pin_of_node(copies.copy, 'by a copy of the node', into), OWNER).end()
    os.close(into)
    host.remove()
    host.stays('an export of which somebody has a page')
    kill_helper(host)
    host.stays('so after a new helper: an export')
    bytes_ = os.read(out, 4096)
    host.lab.check(bytes_.startswith(b'by a copy of the node') and is_bound(copies.name),
                   'who has the page reads what he has written there, and no new owner\'s bytes', repr(bytes_[:32]))
    os.close(out)
    host.next_owner('an export that nobody has any more', EVENTUALLY)
    host.lab.check(copies.is_retired(), 'its device is retired: there, without driver and memory')
    retired = host.pool.status()['retired_devices']
    host.lab.check(retired > 0, 'status counts it', str(retired))
    copies.open_nothing(host.lab, 'an export that is over')
    many_devices(host, copies)


def many_devices(host, copies):
    """Neither its name nor its number is ever another one's, and no new device is made of it."""
    region = soft_region()
    host.rest()
    foreign = put_device(region)
    number = read_text(f'{DEVICES}/{foreign}/dev')
    seen = set()

    def attach():
        before = set(device_names())
        actor = Actor(lambda: Attached(host.library, host.make('other', 0, BLOCK)))
        seen.update(set(device_names()) - before)
        actor.end()
        os.unlink(host.path('other'))
    for _ in range(12):
        attach()
    host.rest()
    kill_helper(host)
    attach()
    host.rest()
    host.lab.check(seen, 'there are new devices')
    host.lab.check(copies.name not in seen and foreign not in seen, 'no new device has its name', str(seen))
    host.lab.check(copies.is_retired(), 'nor is it used for one, by a new helper neither')
    host.lab.check(foreign in device_names() and read_text(f'{DEVICES}/{foreign}/dev') == number,
                   'an empty device of somebody else\'s is left alone')
    put(f'{region}/delete', foreign)
    copies.open_nothing(host.lab, 'after many new devices')


def export_raced(host):
    """Somebody opens it, pins a page and lets go, again and again: also between a look at the counts and what follows from it."""
    copies = exported(host)
    stop = f'{host.lab.directory}/stop'

    def race():
        times = 0
        while not os.path.exists(stop):
            out, into = os.pipe()
            began = time.monotonic()
            try:
                pin_of_node(copies.copy, 'by a copy of the node', into)()
            except OSError as e:
                if e.errno not in (errno.ENXIO, errno.EPERM, errno.ENODEV):
                    raise
            else:
                times += 1
                if not os.read(out, 4096).startswith(b'by a copy of the node'):
                    raise AssertionError('somebody else has written there')
                # Or it would be in use at every look. When it is refused he tries all the more.
                time.sleep(0.02 + 4 * (time.monotonic() - began))
            os.close(out)
            os.close(into)
        if not times:
            raise AssertionError('it was never open')
    racer = os.fork()
    if racer == 0:
        try:
            become(OWNER)
            race()
            os._exit(0)
        finally:
            os._exit(1)
    host.lab.wait_until(lambda: counted_open(copies) > 0, HANGS, 'somebody has it open')
    host.remove()
    host.next_owner('an export that is opened again and again', EVENTUALLY)
    with open(stop, 'x', encoding='ascii'):
        pass
    ended = os.waitstatus_to_exitcode(os.waitpid(racer, 0)[1])
    host.lab.check(ended == 0 and copies.is_retired(), 'who has a copy of the node has never read another\'s bytes, and opens nothing now',
                   f'exit status {ended}')
    copies.open_nothing(host.lab, 'an export that was raced')


def counted_open(copies):
    """How many processes have it open, as /proc shows."""
    count = 0
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            count += any(os.stat(f'/proc/{pid}/fd/{fd}').st_rdev == copies.number for fd in os.listdir(f'/proc/{pid}/fd'))
        except OSError:
            continue
    return count


def first_bytes(node, text=b''):
    """What is there now; the text is written first."""
    fd = os.open(node, os.O_RDWR)
    with mmap.mmap(fd, BLOCK, mmap.MAP_SHARED) as memory:
        os.close(fd)
        memory[:len(text)] = text
        return memory[:16]


def export_anew(host):
    """It has grown since: another device serves it, and what is in it stays."""
    copies = exported(host)
    first_bytes(f'/dev/{copies.name}', b'what I am')
    held = os.open(copies.copy, os.O_RDWR)
    host.pool.unexport('vm')
    os.truncate(host.path('vm'), 2 * EXPORTED * BLOCK)
    try:
        host.pool.export('vm')
        found = 0
    except OSError as e:
        found = e.errno
    host.lab.check(found == errno.EBUSY, 'as long as somebody has the device open, it can\'t be exported anew', str(found))
    os.close(held)
    nodes = []

    def exports():
        try:
            nodes.append(host.pool.export('vm'))
        except OSError as e:
            if e.errno != errno.EBUSY:
                raise
        return nodes
    host.lab.wait_until(exports, HANGS, 'then it can')
    [node] = nodes
    host.lab.check(os.path.basename(node) != copies.name and copies.is_retired(), 'by another device', node)
    copies.open_nothing(host.lab, 'an export that was replaced')
    found = first_bytes(node)
    host.lab.check(found.startswith(b'what I am'), 'with the same contents', repr(found))
    second = Copies(host.lab, node)
    vm = Actor(lambda: os.open(second.copy, os.O_RDWR), OWNER)
    said = []

    def revokes():
        done = subprocess.run(['guestmemfs', 'revoke', '--kill', host.path('vm')], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False, timeout=HANGS)
        host.lab.say(done.stdout)
        said.append(done.stdout)
        return done.returncode == 0
    host.lab.wait_until(revokes, HANGS, 'revoke takes an export away')
    vm.wait()
    host.lab.check('killed' in said[0], 'from whoever has it open', said[0])
    second.open_nothing(host.lab, 'an export that was revoked')
    host.remove()
    host.next_owner('an export that was revoked')


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
        lab.wait_until(lambda: f'/dev/{name} stays, and its blocks out of use' in read_text(over.log), HANGS,
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
                           stderr=subprocess.STDOUT, text=True, check=False, timeout=HANGS)
    host.lab.check(other.returncode == 1, 'not to everybody', other.stdout)
    os.chmod(path, 0o644)
    other = subprocess.run(['guestmemfs', 'revoke', path], user=NEXT, group=NEXT, extra_groups=[], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, check=False, timeout=HANGS)
    host.lab.check(other.returncode == 1 and 'owner' in other.stdout, 'nor to who may read it', other.stdout)
    killed = subprocess.run(['guestmemfs', 'revoke', '--kill', path], user=OWNER, group=OWNER, extra_groups=[],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=HANGS)
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
                 pages_in_a_pipe, revoked, helper_killed_on_the_way, export_unseen, export_raced, export_anew):
        host.lab.step(part.__name__)
        part(host)


def same_owner(host):
    """What somebody may still reach is a file's of the same user, and never another's."""
    out = leave_pages_in_a_pipe(host, 'secret of the first one')
    host.stays('with --reuse=same-owner: one whose pages are in a pipe')
    spare = host.pool.status()['blocks']['spare']
    host.lab.check(spare * BLOCK == host.room, 'status says that somebody may have it', str(spare))
    kill_helper(host)
    host.stays('so after a new helper: one whose pages are in a pipe, by its owner')
    host.lab.wait_until(lambda: host.can_make('heir', OWNER), HANGS, 'the same user\'s next file has it')
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


def rebind(name):
    """As root does it, by daxctl or without."""
    put(f'{DRIVER}/unbind', name)
    put(f'{DRIVER}/bind', name)


def bound_anew(host):
    """
    Root unbinds a device and binds it again while pages of it are in a pipe: the kernel has new counts for it then, and all
    of them say that nobody has it. The pipe stays open as long as this boot lasts: to let go of such a page is a BUG.
    """
    host.rest()
    out, into = os.pipe()
    names = set(device_names())
    vm = Actor(vmm(host.library, host.make('vm', OWNER), 'secret of one bound anew', lambda _, address: vmsplice(into, address, PINNED)),
               OWNER)
    names = set(device_names()) - names
    os.close(into)
    vm.kill()
    host.lab.check(names, 'the file has devices of its own', str(names))
    for name in names:
        rebind(name)
    host.remove()
    host.stays('one whose device was bound anew')
    host.lab.check(all(map(is_bound, names)), 'and its device is left as it is', str(names))
    kill_helper(host)
    host.stays('so after a new helper: one whose device was bound anew')
    host.lab.check(all(map(is_bound, names)), 'which leaves its device as it is, too', str(names))
    bytes_ = os.read(out, 32)  # less than a page, which the pipe would let go of
    host.lab.check(bytes_.startswith(b'secret of one bound anew'), 'who has the pipe reads what was put there, no new owner\'s bytes',
                   repr(bytes_))


def look(lab):
    lab.step('formatted')
    formatted(lab)
    host = Host(lab, 'shown', '--format=force')
    lab.remember(room=host.room)
    try:
        reuse(host)
        lab.step('bound_anew')
        bound_anew(host)
    finally:
        lab.say(read_text(host.log))
    lab.kexec(token=lab.run('guestmemfs', 'token', host.mount).strip())


def again(lab):
    host = Host(lab, 'owner', '--reuse=same-owner')
    try:
        lab.check(host.room == lab.recall('room') and host.quarantined() == 0, 'in the next boot there is all that there was',
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
