# SPDX-License-Identifier: MIT
"""
What a client of a soft region gets is its own file and nothing else, and what the helper leaves and finds.
"""

import contextlib
import ctypes
import errno
import os
import signal
import stat
import subprocess

from actors import Actor
from binds import BindWatch
from case import Case
from dax import (BLOCK, DEVICES, DRIVER, GIB, MIB, Mapped, device_names, is_bound, make_device, pattern_block, put,
                 ranges_of, remove_device, soft_region)
from lab import HANGS, read_text
from product import Attached, Library, Pool, blocks_of, device_of_number, joined, memory_of
from softrecord import identity_of, instance_of, note_ours

START = 4 * GIB


def in_child(act):
    """What becomes of a process that does this: its exit status, or minus the signal that it died of."""
    pid = os.fork()
    if pid == 0:
        try:
            act()
            os._exit(0)
        except OSError as e:
            os._exit(e.errno)
        finally:
            os._exit(255)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def fill(address, size, seed):
    for at in range(0, size, BLOCK):
        ctypes.memmove(address + at, pattern_block(seed, at // BLOCK), BLOCK)


def read(address, size):
    return ctypes.string_at(address, size)


def own_file_alone(lab, pool, library):
    """A file between the pieces of another one that is full of a pattern."""
    for size in range(8 * MIB, 40 * MIB + 1, 8 * MIB):
        for name in ('mine', 'other'):
            with open(pool.path(name), 'ab') as f:
                os.truncate(f.fileno(), size)
    with Attached(library, pool.path('other')) as other:
        fill(other.map(), other.size, 'other')
    with Attached(library, pool.path('mine')) as mine:
        told = joined(pool.extents('mine'))
        lab.check(len(told) > 1, 'the file lies in several pieces', f'{told}')
        lab.check(memory_of(mine, START) == told, "the device's ranges are the file's extents, no block more",
                  f'sysfs: {memory_of(mine, START)}, the filesystem: {told}')
        covered = sorted(blocks_of(mine.devices(), START))
        lab.check(covered == sorted(b for _, block, count in told for b in range(block, block + count)),
                  'and the devices have no range beside them')
        address = mine.map()
        lab.check(read(address, mine.size) == bytes(mine.size), 'a new file is zero where others have their pattern')
        fd, size = mine.fd(0), sum(length for _, length in ranges_of(mine.devices()[0]))
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
        inside, beyond = (libc.mmap(None, BLOCK, 3, 1, fd, at) for at in (size - BLOCK, size))
        lab.check(in_child(lambda: read(inside, 1)) == 0, "the device's last page is there")
        lab.check(in_child(lambda: read(beyond, 1)) == -signal.SIGBUS, 'one page past its end is SIGBUS')


def nobody_has_more_than_it_needs(lab, pool):
    """docs/security.md has the list; the bits are those of linux/capability.h."""
    kept = {'guestmemfs-worker': 0, 'guestmemfs-keeper': 0, 'guestmemfs-helper': sum(1 << n for n in (0, 1, 2, 3, 5, 19, 40))}
    for name, wanted in kept.items():
        status = dict(line.split(':\t', 1) for line in read_text(f'/proc/{pool.process(name)}/status').splitlines())
        has = {key: int(status[key], 16) for key in ('CapPrm', 'CapEff', 'CapBnd')}
        lab.check(set(has.values()) == {wanted}, f'the {name} has the capabilities that it needs and no other', f'{has}')
        lab.check((status['Seccomp'], status['NoNewPrivs']) == ('2', '1'), 'and its system calls are filtered')


def worker_maps_metadata_alone(lab, pool):
    worker = pool.status()['pids']['worker']  # the process that unmounts has its name, too
    mapped = set()
    for name in os.listdir(f'/proc/{worker}/map_files'):
        with contextlib.suppress(FileNotFoundError):  # unmapped meanwhile
            device = device_of_number(os.stat(f'/proc/{worker}/map_files/{name}').st_rdev)
            if device:
                mapped.add(device)
    files = {block for name in ('mine', 'other') for _, at, count in pool.extents(name) for block in range(at, at + count)}
    lab.check(mapped and not files & set(blocks_of(mapped, START)), "the worker's maps hold metadata and no guest block",
              f'devices {mapped}')
    helper = pool.process('guestmemfs-helper')
    # One descriptor carries the lock that keeps the next instance waiting; it is of the metadata.
    opened = set()
    for fd in os.listdir(f'/proc/{helper}/fd'):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            opened.add(os.path.basename(os.readlink(f'/proc/{helper}/fd/{fd}')))
    devices = {name for name in opened if name.startswith('dax')}
    lab.check(not files & set(blocks_of(devices, START)), 'the helper keeps no device of a guest open', f'devices {devices}')


def the_same_devices_again(lab, pool, library):
    with Attached(library, pool.path('mine')) as first:
        names, address = first.devices(), first.map()
        ctypes.memset(address, 0x5a, first.size)
        before = device_names()
        with Attached(library, pool.path('mine')) as second:
            lab.check(second.devices() == names, 'who attaches again gets the same device')
        pool.restart_helper()
        with Attached(library, pool.path('mine')) as third:
            lab.check(third.devices() == names and device_names() == before,
                      'so does who attaches at a helper that was started anew, and none was made or removed',
                      f'{names} {third.devices()}; {before} {device_names()}')
            lab.check(read(third.map(), 16) == b'\x5a' * 16, 'with the bytes that are in it')
        os.truncate(pool.path('mine'), 40 * MIB + 24 * MIB)
        with Attached(library, pool.path('mine')) as grown:
            lab.check(len(grown.devices()) == 2 and grown.devices()[0] == names[0], 'a file that grew has one device more',
                      f'{grown.devices()}')
            lab.check(memory_of(grown, START) == joined(pool.extents('mine')), "together they are the file's extents")
            lab.check(read(grown.map(), 16) == b'\x5a' * 16, 'and the bytes of before stand where they stood')


def what_is_found(lab, pool, library):
    region = soft_region()
    pool.settle()
    used = sorted(blocks_of(device_names(), START))
    free = [start for start in range(max(used) // 2, max(used), 16) if not set(range(start, start + 16)) & set(used)][:4]
    [window, opened, foreign, large] = [make_device(region, [(START + at * BLOCK, 16 * BLOCK)]) for at in free]
    for name in (window, opened):
        note_ours(START, name)
    holder = os.open(f'/dev/{opened}', os.O_RDWR)
    pool.restart_helper()
    lab.wait_until(lambda: window not in device_names(), HANGS, 'a window that a dead helper left is removed')
    lab.check({opened, foreign, large} <= set(device_names()), 'one that somebody has open is not, nor is a foreign device')
    os.close(holder)
    for name in (foreign, large):
        remove_device(region, name)


def foreign_blocks(lab, pool, library):
    """A device of somebody else's over blocks that a file has."""
    pool.make('unlucky', 8 * MIB)
    _, block, count = joined(pool.extents('unlucky'))[0]
    region = soft_region()
    foreign = make_device(region, [(START + block * BLOCK, count * BLOCK)])
    before = device_names()
    try:
        Attached(library, pool.path('unlucky'))
        error = OSError(0, 'no error')
    except OSError as e:
        error = e
    lab.check(error.errno in (errno.EBUSY, errno.EIO), 'a file under a foreign device is not granted', str(error))
    lab.say(str(error))
    lab.check(device_names() == before, 'and neither device nor window is left by the attempt')
    remove_device(region, foreign)
    with Attached(library, pool.path('unlucky')) as file:
        lab.check(read(file.map(), 4096) == bytes(4096), 'the foreign device gone, it is')


def make_by_name(region, name, start, length):
    """A device of that name, which is free. The kernel gives the first free one, so that those before it are made too."""
    spare = []
    while True:
        put(f'{region}/create', '1')
        made = read_text(f'{region}/create').strip()
        if made == name:
            break
        spare.append(made)
    put(f'{DEVICES}/{name}/mapping', f'{start:x}-{start + length - 1:x}')
    put(f'{DRIVER}/bind', name)
    for other in spare:
        put(f'{region}/delete', other)


def device_over(blocks):
    [name] = [name for name in device_names() if set(blocks_of([name], START)) & blocks]
    return name


def another_by_its_name(lab, pool, library):
    """Root removes the device of a file, and makes one of his own, which has its name then."""
    path = pool.make('moved', 8 * MIB)
    blocks = {block for _, at, count in pool.extents('moved') for block in range(at, at + count)}

    def attach():
        file = Attached(library, path)
        return file, file.map()

    def is_granted():
        return in_child(attach) == 0

    holder = Actor(attach)
    pool.settle()
    name = device_over(blocks)
    before = instance_of(name)
    lab.run('daxctl', 'disable-device', name)
    lab.run('daxctl', 'destroy-device', name)
    used = set(blocks_of(device_names(), START)) | blocks
    free = next(at for at in range(16, GIB // BLOCK - 16) if not used & {at, at + 1})
    make_by_name(soft_region(), name, START + free * BLOCK, 2 * BLOCK)
    lab.check(instance_of(name) != before, f'{name} is a device of root now, and known for another one')
    with Mapped(name) as memory:
        memory.fill('root')

    def state():
        st = os.stat(f'/dev/{name}')
        return instance_of(name), identity_of(name), ranges_of(name), is_bound(name), st.st_uid, st.st_gid, st.st_mode

    made = state()

    def left_alone(after):
        with Mapped(name) as memory:
            lab.check(state() == made and not memory.wrong_blocks('root'), f'{after} leaves it alone, every byte of it',
                      f'{made}, now {state()}')

    lab.check(in_child(attach) == errno.EIO, 'the file is not granted while a process lives that had what was there')
    left_alone('the refusal')
    holder.end()
    lab.wait_until(is_granted, HANGS, 'it is, by a device of its own, when that one has ended')
    lab.check(device_over(blocks) != name, 'which has another name')
    left_alone('the grant')
    node = pool.export('moved')
    os.chown(path, 65534, 65534)
    lab.wait_until(lambda: os.stat(node).st_uid == 65534, HANGS, 'an exported node follows its file')
    left_alone('an export, and what it follows')
    pool.unexport('moved')
    pool.restart_helper()
    lab.wait_until(is_granted, HANGS, 'the next helper finds the devices of before')
    lab.check(f'/dev/{device_over(blocks)}' == node, 'the file has the same one')
    left_alone('that')
    os.unlink(path)
    pool.status()
    lab.check(device_over(blocks) == os.path.basename(node), "the file removed, its blocks stay out of others' use")
    left_alone('the removal')
    remove_device(soft_region(), name)


def users(lab, pool, library):
    """Nobody needs to be trusted here."""
    path = pool.make('nobodys', 4 * MIB)
    os.chown(path, 65534, 65534)

    def attach():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        with Attached(library, path) as file:
            ctypes.memset(file.map(), 1, file.size)

    lab.check(in_child(attach) == 0, "a user without any privilege gets his own file's memory")
    lab.check(in_child(lambda: (os.setgid(65534), os.setuid(65534), Attached(library, pool.path('mine')))) == errno.EACCES,
              "and nobody else's")


def holders(lab, pool, library):
    """Whoever maps it is told of, granted or not, and by whatever name of the device."""
    with Attached(library, pool.path('mine')) as file:
        file.map()
        child = os.fork()
        if child == 0:
            signal.pause()
        number = os.fstat(file.fd(0)).st_rdev
    node = f'{lab.directory}/another-node'
    os.mknod(node, 0o600 | stat.S_IFCHR, number)
    with open(node, 'rb', buffering=0):
        pids = {grant['pid'] for grant in pool.status()['grants'] if grant['ino'] == os.stat(pool.path('mine')).st_ino}
        lab.check({os.getpid(), child} <= pids, 'status tells of who was granted the file and of the child that maps it',
                  f'{pids}')
    stranger = subprocess.Popen(['sleep', '600'], stdin=os.open(node, os.O_RDONLY))
    pids = {grant['pid'] for grant in pool.status()['grants']}
    lab.check(stranger.pid in pids, 'and of who has opened the device by another node of it', f'{pids}')
    for pid in (child, stranger.pid):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(child, 0)
    stranger.wait()
    pids = {grant['pid'] for grant in pool.status()['grants'] if grant['state'] != 'dead'}
    lab.check(not {child, stranger.pid} & pids, 'they are gone when they have ended', f'{pids}')


def quarantine(lab, pool, library):
    with Attached(library, pool.path('nobodys')):
        before = set(blocks_of(device_names(), START))
        os.unlink(pool.path('nobodys'))
        pool.make('next', 4 * MIB)
        with Attached(library, pool.path('next')) as file:
            lab.check(not before & set(blocks_of(file.devices(), START)), 'what somebody has is nobody else\'s, removed or not')


def after_all_have_died(lab, pool, library):
    """All of them at once; the next instance finds what they have left."""
    with Attached(library, pool.path('mine')) as file:
        names = file.devices()
    names_of_all = ('guestmemfs-fuse', 'guestmemfs-keeper', 'guestmemfs-worker', 'guestmemfs-helper')
    pids = [pid for name in names_of_all for pid in pool.processes(name)]
    for sent in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # the supervisor's death is the others', too
                os.kill(pid, sent)
    lab.wait_until(lambda: not any(map(pool.processes, names_of_all)), HANGS, 'all of them are killed')
    pool = Pool(lab, 'soft:auto')
    with Attached(library, pool.path('mine')) as file:
        lab.check(file.devices() == names, 'the next instance gives out the same devices', f'{names} {file.devices()}')


def bound_once(lab, pool, watch):
    """A device that is bound anew brings stale descriptors back to life. Over all that has happened here."""
    binds = watch.binds()
    twice = [f'{name} ({life})' for (name, life), count in binds.items() if count > 1]
    lab.check(len(binds) > 4 and not twice, f'{len(binds)} devices were bound, and none of them twice', f'{twice} {binds}')
    pool.settle()
    region = soft_region()
    used = set(blocks_of(device_names(), START))
    free = next(at for at in range(16, GIB // BLOCK - 16) if not used & set(range(at, at + 2)))
    name = make_device(region, [(START + free * BLOCK, 2 * BLOCK)])
    put(f'{DRIVER}/unbind', name)
    put(f'{DRIVER}/bind', name)
    lab.check(2 in watch.binds().values(), 'one that is bound twice by hand is seen', f'{watch.binds()}')
    remove_device(region, name)


def look(lab):
    watch = BindWatch()
    library = Library(lab.plan['prefix'])
    pool = Pool(lab, 'soft:auto', options=('--format=blank',))
    pool.settle()
    for part in (own_file_alone, the_same_devices_again, foreign_blocks, another_by_its_name, users, holders, quarantine, what_is_found):
        part(lab, pool, library)
    nobody_has_more_than_it_needs(lab, pool)
    worker_maps_metadata_alone(lab, pool)
    after_all_have_died(lab, pool, library)
    bound_once(lab, pool, watch)
    lab.say(read_text('/proc/iomem'))
    lab.run('daxctl', 'list', '-R', '-D', '-M')


CASE = Case(about="a client reaches its own file's blocks and no other; devices are found again, foreign ones left alone",
            boots=(look,), cmdline='memmap=1G!4G,1G%4G-12+0xefffffff dax_hmem.region_idle=1', needs=('product',))
