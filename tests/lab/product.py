# SPDX-License-Identifier: MIT
"""The product in the lab: a pool, its processes, and a client that is a user of the public library like any other."""

import contextlib
import ctypes
import json
import mmap
import os
import signal
import socket
import struct
import time

from dax import BLOCK, DEVICES, device_names, ranges_of
from lab import HANGS, read_text

GM_HELLO, GM_WELCOME = 1, 2  # guestmemfs/protocol.h

READ, WRITE = mmap.PROT_READ, mmap.PROT_WRITE


class Pool:
    """A mount of regions that exist; made blank ones first."""

    def __init__(self, lab, *regions, mount='/mnt/gm', options=()):
        self.lab = lab
        self.mount = mount
        os.makedirs(mount, exist_ok=True)
        lab.run('guestmemfs-fuse', *(word for region in regions for word in ('--region', region)), *options, mount)

    def path(self, name):
        return f'{self.mount}/{name}'

    def make(self, name, size):
        with open(self.path(name), 'xb') as f:
            os.truncate(f.fileno(), size)
        return self.path(name)

    def status(self):
        return json.loads(self.lab.run('guestmemfs', 'status', '--json', self.mount, told=False))

    def extents(self, name):
        """(file block, block, count) of each, in the file's order."""
        found = json.loads(self.lab.run('guestmemfs', 'extents', '--json', self.path(name)))['extents']
        return [(e['file_offset'] // BLOCK, e['region_offset'] // BLOCK, e['length'] // BLOCK) for e in found]

    @staticmethod
    def processes(name):
        """Of the product's processes, those with this argv[0]."""
        found = []
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open(f'/proc/{pid}/cmdline', 'rb') as f:
                    argv0 = f.read().split(b'\0')[0].decode()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if os.path.basename(argv0) == name:
                found.append(int(pid))
        return found

    def process(self, name):
        [pid] = self.processes(name)
        return pid

    def _is_served(self):
        """By a helper that answers: the socket is there all the time, and a ticket is good for five seconds only."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s, contextlib.suppress(OSError):
            s.settimeout(HANGS)
            s.connect(os.getxattr(self.mount, 'user.guestmemfs.socket').decode())
            s.send(struct.pack('<IHHQIIQ', 32, GM_HELLO, 0, 1, 1, 1, 0))
            return struct.unpack_from('<IH', s.recv(64))[1] == GM_WELCOME
        return False

    def restart_helper(self):
        """Kills it and waits for the next one to serve."""
        old = self.process('guestmemfs-helper')
        os.kill(old, signal.SIGKILL)
        # The next one, not just the old one's socket, which is closed only after its command line has gone.
        self.lab.wait_until(lambda: set(self.processes('guestmemfs-helper')) - {old} and self._is_served(), HANGS, 'a helper that is killed is started anew')

    def control(self, opcode, ino):
        """A request to the worker (src/proto/control.h): its JSON. OSError with its sentence if it is refused."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.connect(os.getxattr(self.mount, 'user.guestmemfs.control').decode())
            s.send(struct.pack('<IIIIQ', 24, 1, opcode, 0, ino))
            answer, fds, _, _ = socket.recv_fds(s, 1024, 1)
        _, _, error, _, length = struct.unpack('<IIIIQ', answer[:24])
        if error:
            raise OSError(error, answer[24:].split(b'\0')[0].decode())
        with open(fds[0], 'rb') as f:
            return json.loads(os.pread(f.fileno(), length, 0))

    def export(self, name):
        """The node's path. A helper that is just being started anew is waited for."""
        deadline = time.monotonic() + HANGS
        while True:
            try:
                return self.control(7, os.stat(self.path(name)).st_ino)['node']
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def unexport(self, name):
        self.control(8, os.stat(self.path(name)).st_ino)

    def settle(self):
        """Waits until all free blocks are scrubbed: devices for that come and go no more."""
        self.lab.wait_until(lambda: self.status()['blocks']['free_dirty'] == 0, HANGS, 'the free blocks are scrubbed')

    def unmount(self):
        unmount(self.lab, self.mount, lambda: os.kill(self.process('guestmemfs-fuse'), signal.SIGTERM))


def unmount(lab, mount, act=None):
    """
    Ends the instance (with umount, if no act is given) and waits until its processes are gone: before that the region
    is locked. Only a helper that live clients have memory from may stay.
    """
    status = json.loads(lab.run('guestmemfs', 'status', '--json', mount, told=False))
    held = any(grant['state'] != 'dead' for grant in status['grants'])
    pids = [pid for name, pid in status['pids'].items() if pid and not (held and name == 'helper')]
    if act:
        act()
    else:
        lab.run('umount', mount)
    lab.wait_until(lambda: not any(os.path.exists(f'/proc/{pid}') for pid in pids), HANGS, 'the instance ends in good order')


class Library:
    """libguestmemfs."""

    def __init__(self, prefix):
        for directory, _, names in os.walk(prefix):
            if 'libguestmemfs.so.0' in names:
                self.calls = ctypes.CDLL(f'{directory}/libguestmemfs.so.0')
        self.calls.gm_last_problem.restype = ctypes.c_char_p
        self.calls.gm_map.restype = ctypes.c_void_p
        self.calls.gm_map.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_size_t, ctypes.c_int,
                                      ctypes.c_int]
        for name in ('gm_align', 'gm_size'):
            getattr(self.calls, name).restype = ctypes.c_uint64
            getattr(self.calls, name).argtypes = [ctypes.c_void_p]
        self.calls.gm_extent_count.restype = ctypes.c_size_t
        self.calls.gm_extent_count.argtypes = [ctypes.c_void_p]
        self.calls.gm_extent.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
        self.calls.gm_device_fd.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
        self.calls.gm_detach.argtypes = [ctypes.c_void_p]


class ExtentInfo(ctypes.Structure):
    _fields_ = [('file_offset', ctypes.c_uint64), ('length', ctypes.c_uint64), ('device_offset', ctypes.c_uint64),
                ('device', ctypes.c_uint32)]


class Attached:
    """A file that this process has attached. OSError with the library's sentence if it can't."""

    def __init__(self, library, path):
        self._calls = library.calls
        self._attachment = ctypes.c_void_p()
        fd = os.open(path, os.O_RDWR)
        try:
            r = self._calls.gm_attach(fd, ctypes.byref(self._attachment))
        finally:
            os.close(fd)
        if r < 0:
            raise OSError(-r, self._calls.gm_last_problem().decode())
        self.size = self._calls.gm_size(self._attachment)
        self.align = self._calls.gm_align(self._attachment)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._calls.gm_detach(self._attachment)

    def extents(self):
        found = []
        for i in range(self._calls.gm_extent_count(self._attachment)):
            info = ExtentInfo()
            assert self._calls.gm_extent(self._attachment, i, ctypes.byref(info)) == 0
            found.append((info.file_offset, info.length, info.device, info.device_offset))
        return found

    def fd(self, device):
        return self._calls.gm_device_fd(self._attachment, device)

    def devices(self):
        """The names of the devices, by the grant's numbers."""
        return [device_of_number(os.fstat(self.fd(i)).st_rdev)
                for i in range(1 + max(device for _, _, device, _ in self.extents()))]

    def map(self, offset=0, length=None, prot=READ | WRITE, flags=0):
        address = self._calls.gm_map(self._attachment, None, offset, length or self.size - offset, prot, flags)
        if address in (None, ctypes.c_void_p(-1).value):
            raise OSError(ctypes.get_errno(), self._calls.gm_last_problem().decode())
        return address


def device_of_number(number):
    for name in device_names():
        with contextlib.suppress(FileNotFoundError):  # a window, taken away meanwhile
            if os.stat(f'/dev/{name}').st_rdev == number:
                return name
    return None


def memory_of(attached, region_start):
    """(file block, block, count) as the devices' own ranges in sysfs say, in the file's order, joined."""
    found = []
    names = attached.devices()
    for file_offset, length, device, device_offset in attached.extents():
        at = 0
        for start, size in ranges_of(names[device]):
            begin, end = max(at, device_offset), min(at + size, device_offset + length)
            if begin < end:
                found.append(((file_offset + begin - device_offset) // BLOCK,
                              (start + begin - at - region_start) // BLOCK, (end - begin) // BLOCK))
            at += size
    return joined(sorted(found))


def joined(extents):
    result = []
    for file_block, block, count in extents:
        if result and sum(result[-1][::2]) == file_block and sum(result[-1][1:]) == block:
            result[-1] = (*result[-1][:2], result[-1][2] + count)
        else:
            result.append((file_block, block, count))
    return result


def blocks_of(names, region_start):
    """All blocks that these devices cover."""
    return [block for name in names for start, length in ranges_of(name)
            for block in range((start - region_start) // BLOCK, (start - region_start + length) // BLOCK)]


def page_size(address):
    """KernelPageSize of the mapping that begins there, bytes."""
    text = read_text('/proc/self/smaps')
    at = text.index(f'{address:08x}-')
    return int(text[text.index('KernelPageSize:', at):].split()[1]) << 10


def device_align(name):
    return int(read_text(f'{DEVICES}/{name}/align'))
