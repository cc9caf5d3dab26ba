# SPDX-License-Identifier: MIT
"""Files with content on a soft region: what is written into them is in devices of the worker's own, and outlives it."""

import contextlib
import errno
import hashlib
import mmap
import os
import signal
import stat
import threading

from actors import Actor, vmm
from case import Case
from dax import GIB, MIB, device_names, device_number, put
from lab import HANGS
from product import Attached, Library, Pool, blocks_of, device_of_number

START = 4 * GIB
MARK = 'user.guestmemfs.io'
MADV_HWPOISON = 100
EMEDIUMTYPE = 124  # Python does not know it by name
RECORD = 20_000  # not a multiple of a unit or a block
LARGE = 40  # MiB, and a little more
ROUNDS = 2  # of killing, worker and helper each


def record(n):
    return hashlib.sha256(b'%d' % n).digest() * (RECORD // 32)


class Writer:
    """Writes one record after the other, again where it failed, and knows which ones were acknowledged."""

    def __init__(self, path):
        self.written = 0
        self.refused = set()  # by which errors
        self._path = path
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._end.is_set():
            try:
                with open(self._path, 'r+b', buffering=0) as f:
                    while not self._end.is_set():
                        if os.pwrite(f.fileno(), record(self.written), self.written * RECORD) == RECORD:
                            self.written += 1
                        self._end.wait(0.005)  # it is read back twice
            except OSError as e:  # the mount is being made anew, or the helper is
                self.refused.add(errno.errorcode[e.errno])
                self._end.wait(0.05)

    def stop(self):
        self._end.set()
        self._thread.join()


def wrong_records(path, count):
    with open(path, 'rb') as f:
        return [n for n in range(count) if f.read(RECORD) != record(n)]


def devices_reached_by(pid, kind):
    """Those that a process has mapped (map_files) or open (fd)."""
    found = set()
    for name in os.listdir(f'/proc/{pid}/{kind}'):
        with contextlib.suppress(OSError):  # gone meanwhile, or no file
            st = os.stat(f'/proc/{pid}/{kind}/{name}')
            if stat.S_ISCHR(st.st_mode) and (device := device_of_number(st.st_rdev)):
                found.add(device)
    return found


def content_devices(pool, before):
    """Those that have come since."""
    pool.settle()
    return sorted(set(device_names()) - set(before))


def write_and_read(lab, pool):
    lab.step('Files in a marked directory are written, read, appended to and cut like any others')
    os.mkdir(pool.path('d'))
    os.setxattr(pool.path('d'), MARK, b'1')
    path = pool.path('d/small')
    with open(path, 'xb') as f:
        f.write(b'one')
    with open(path, 'ab') as f:
        f.write(b' and two')
        os.fsync(f.fileno())
    with open(path, 'rb') as f:
        lab.check(f.read() == b'one and two', 'what was written and appended is read back')
    lab.check(os.getxattr(path, MARK) == b'1', 'they have the mark of their directory')
    lab.check(os.stat(path).st_blocks == 8, 'a small one takes 4 KiB')
    os.truncate(path, 3)
    with open(path, 'r+b') as f:
        f.seek(5000)
        f.write(b'!')
    with open(path, 'rb') as f:
        lab.check(f.read() == b'one' + bytes(4997) + b'!', 'and is zero where nothing was written')


def grow(lab, pool, before):
    lab.step('What they take grows past one device')
    first = content_devices(pool, before)
    lab.check(len(first) == 1, 'small files share one device', f'{first}')
    with open(pool.path('d/large'), 'xb') as f:
        for n in range(LARGE):
            f.write(record(n) * 53)  # a little over 1 MiB
    names = content_devices(pool, before)
    lab.check(set(first) < set(names), 'a large one has brought further ones, and the first is still there', f'{names}')
    with open(pool.path('d/large'), 'rb') as f:
        right = all(f.read(RECORD * 53) == record(n) * 53 for n in range(LARGE))
    lab.check(right, 'all of it is read back')
    return names


def check_reach(lab, pool, names, memory):
    """Who has what: by their devices, nodes, descriptors and mappings."""
    worker = pool.status()['pids']['worker']
    mapped, opened = devices_reached_by(worker, 'map_files'), devices_reached_by(worker, 'fd')
    content = set(blocks_of(names, START))
    lab.check(set(names) <= mapped, 'the worker has them mapped', f'{names}, of {mapped}')
    lab.check(not memory & set(blocks_of(mapped | opened, START)), 'and no block of a guest', f'{mapped}, {opened}')
    lab.check(not content & set(blocks_of(opened, START)), 'of what it has open none is over them: it keeps no descriptor',
              f'{opened}')
    lab.check(not memory & content, 'they have no block of a guest')
    helper = pool.process('guestmemfs-helper')
    lab.check(not content & set(blocks_of(devices_reached_by(helper, 'fd'), START)), 'nor does the helper keep one')
    modes = {name: oct(stat.S_IMODE(os.stat(f'/dev/{name}').st_mode)) for name in names}
    lab.check(all(os.stat(f'/dev/{name}').st_uid == 0 and not int(mode, 8) & 0o077 for name, mode in modes.items()),
              "their nodes are root's alone", f'{modes}')
    status = pool.status()
    lab.check(not [g for g in status['grants'] if g['pid'] == worker], 'the worker is nobody who holds guest memory',
              f'{status["grants"]}')


def refused_as_memory(lab, library, pool):
    lab.step('Nobody gets their memory')
    try:
        Attached(library, pool.path('d/large'))
        error = OSError(0, 'no error')
    except OSError as e:
        error = e
    lab.check(error.errno == EMEDIUMTYPE, 'a client that asks for a ticket is refused', str(error))
    for command in (('export',), ('revoke', '--kill')):
        text = lab.run('guestmemfs', *command, pool.path('d/large'), fails=True, told=False)
        lab.check('is a file with content' in text, f'and so is guestmemfs {command[0]}', text)


def restart_worker(lab, pool):
    old = pool.status()['pids']['worker']
    os.kill(old, signal.SIGKILL)

    def is_there():
        with contextlib.suppress(OSError, ValueError):
            return set(pool.processes('guestmemfs-worker')) - {old} and os.path.exists(pool.path('d/log'))
        return False

    lab.wait_until(is_there, HANGS, 'a worker that is killed is started anew, and serves')


def more_than(writer, count):
    return lambda: writer.written > count


def killed_while_written(lab, pool):
    lab.step('Worker and helper are killed while a file is written')
    with open(pool.path('d/log'), 'xb'):
        pass
    writer = Writer(pool.path('d/log'))
    for _ in range(ROUNDS):
        for kill in (lambda: restart_worker(lab, pool), pool.restart_helper):
            lab.wait_until(more_than(writer, writer.written + 3), HANGS, 'it is written')
            kill()
    lab.wait_until(more_than(writer, writer.written + 3), HANGS, 'it is written still')
    writer.stop()
    lab.say(f'{writer.written} records of {RECORD} bytes; refused meanwhile by {sorted(writer.refused)}')
    wrong = wrong_records(pool.path('d/log'), writer.written)
    lab.check(not wrong, 'whatever was acknowledged is there', f'records {wrong[:10]}')
    return writer.written


def killed_all(lab, pool):
    lab.step('Everything is killed at once and started again in the same boot')
    pids = [pid for pid in pool.status()['pids'].values() if pid]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    lab.wait_until(lambda: not any(os.path.exists(f'/proc/{pid}') for pid in pids), HANGS, 'all are dead')
    lab.run('guestmemfs-fuse', '--region', 'soft:auto', pool.mount)


def break_memory(names, mark):
    """A memory error, as root may make one, in the page with these bytes. Whoever makes it is hit by it: in a process of its own."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(OSError):
            for name in names:
                with open(f'/dev/{name}', 'r+b', buffering=0) as f:
                    memory = mmap.mmap(f.fileno(), device_number(name, 'size'))
                if (at := memory.find(mark)) >= 0:
                    memory.madvise(MADV_HWPOISON, at - at % mmap.PAGESIZE, mmap.PAGESIZE)
        os._exit(0)
    os.waitpid(pid, 0)


def memory_error(lab, pool):
    lab.step('A memory error is the end of what it hit, and of nothing else')
    worker = pool.status()['pids']['worker']
    mark = hashlib.sha512(b'here').digest()
    with open(pool.path('d/hit'), 'xb') as f:
        f.write(bytes(5 * MIB // 2) + mark + bytes(5 * MIB // 2))
    break_memory(sorted(devices_reached_by(worker, 'map_files')), mark)
    lab.wait_until(lambda: pool.status()['blocks']['poisoned'] == 1, HANGS, 'the worker has heard of it before it touches it')
    put('/proc/sys/vm/drop_caches', '1')  # the kernel has its own copy of what was written
    with open(pool.path('d/hit'), 'r+b', buffering=0) as f:
        for call, argument in (os.pread, len(mark)), (os.pwrite, b'x'):
            lab.check(error_of(call, f.fileno(), argument, 5 * MIB // 2) == errno.EIO, f'{call.__name__} there is EIO')
        lab.check(os.pread(f.fileno(), 10, 0) == bytes(10), 'what lies in other blocks is read')
    with open(pool.path('d/new'), 'xb') as f:
        f.write(record(7) * 100)
    with open(pool.path('d/new'), 'rb') as f:
        lab.check(f.read() == record(7) * 100, 'what is written now is put elsewhere')
    os.unlink(pool.path('d/hit'))
    lab.check(pool.status()['pids']['worker'] == worker, 'it was one worker all the time')


def error_of(call, *arguments):
    try:
        call(*arguments)
    except OSError as e:
        return e.errno
    return 0


def sums(pool):
    found = {}
    for name in sorted(os.listdir(pool.path('d'))):
        with open(pool.path(f'd/{name}'), 'rb') as f:
            found[name] = hashlib.file_digest(f, 'sha256').hexdigest()
    return found


def before(lab):
    library = Library(lab.plan['prefix'])
    pool = Pool(lab, 'soft:auto', options=('--format=blank',))
    vm = Actor(vmm(library, pool.make('vm', 32 * MIB), 'a guest'))
    pool.settle()
    there = device_names()
    memory = {block for _, at, count in pool.extents('vm') for block in range(at, at + count)}
    write_and_read(lab, pool)
    names = grow(lab, pool, there)
    check_reach(lab, pool, names, memory)
    refused_as_memory(lab, library, pool)
    written = killed_while_written(lab, pool)
    killed_all(lab, pool)
    lab.step('After all that they have what they need, and no more')
    lab.check(set(names) <= set(device_names()), 'the same devices are there')
    wrong = wrong_records(pool.path('d/log'), written)
    lab.check(not wrong, 'and what was acknowledged', f'records {wrong[:10]}')
    check_reach(lab, pool, content_devices(pool, there), memory)
    vm.end()
    lab.step('The worker, which has them mapped, is not in the way of a kexec')
    lab.remember(sums=sums(pool), written=written)
    lab.leave('kexec', 'guestmemfs', 'kexec', lab.plan['kernel'], '--initrd', lab.plan['initramfs'])


def after(lab):
    pool = Pool(lab, 'soft:auto')
    lab.step('In the next kernel')
    found = sums(pool)
    lab.check(found == lab.recall('sums'), 'all that was written is there, byte for byte', f'{found}')
    wrong = wrong_records(pool.path('d/log'), lab.recall('written'))
    lab.check(not wrong, 'and so is whatever was acknowledged', f'records {wrong[:10]}')
    with open(pool.path('d/small'), 'wb') as f:
        f.write(b'again')
    with open(pool.path('d/small'), 'rb') as f:
        lab.check(f.read() == b'again', 'and they are written again')
    memory_error(lab, pool)
    pool.unmount()
    lab.run('guestmemfs', 'fsck')


CASE = Case(about='files with content on a soft region: in devices of the worker alone, through kills and a kexec',
            boots=(before, after), cmdline='memmap=1G!4G,1G%4G-12+0xefffffff dax_hmem.region_idle=1', needs=('product',))
