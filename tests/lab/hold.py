# SPDX-License-Identifier: MIT
"""
The ways in which a process reaches the memory of a device, those that no file in /proc shows among them. Each is a
function of the device's node that returns what must be kept; held() has one done by a process of its own.
"""

import array
import contextlib
import ctypes
import fcntl
import mmap
import os
import signal
import socket
import stat
import struct
import tempfile

from dax import BLOCK, device_number

LIBC = ctypes.CDLL(None, use_errno=True)
BOTH = mmap.PROT_READ | mmap.PROT_WRITE


def libc(name, *args):
    result = getattr(LIBC, name)(*args)
    if result < 0:
        raise OSError(ctypes.get_errno(), f'{name}: {os.strerror(ctypes.get_errno())}')
    return result


class Iovec(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('length', ctypes.c_size_t)]


def iovec_of(memory, at, length):
    """The mapping can be closed once nothing refers to this any more; the address stays good until then."""
    window = (ctypes.c_char * 1).from_buffer(memory)
    address = ctypes.addressof(window) + at
    del window
    return Iovec(address, length)


# -- what holds a device by itself

def open_file(node):
    return os.open(node, os.O_RDWR)


def path_file(node):
    return os.open(node, os.O_PATH)


def file_in_flight(node):
    """Sent over a socket from which nobody reads, and closed here."""
    ours, theirs = socket.socketpair()
    fd = os.open(node, os.O_RDWR)
    socket.send_fds(ours, [b'x'], [fd])
    os.close(fd)
    return ours, theirs


def mapped(node):
    """All of it, and its file closed."""
    fd = os.open(node, os.O_RDWR)
    memory = mmap.mmap(fd, device_number(os.path.basename(node), 'size'), mmap.MAP_SHARED, BOTH)
    os.close(fd)
    return memory


def touched(node):
    memory = mapped(node)
    for at in range(0, len(memory), BLOCK):
        memory[at] = 1
    return memory


def mapped_by_child(node):
    """By a child that has outlived its parent: call it in a process that may end."""
    ready, tell = os.pipe()
    memory = touched(node)
    if os.fork():
        os.read(ready, 1)
        os._exit(0)
    os.write(tell, b'x')
    return memory


def node_of_its_own(node):
    """Another node of the same device, opened and removed."""
    path = tempfile.mktemp(dir='/dev/shm')
    os.mknod(path, stat.S_IFCHR | 0o600, os.stat(node).st_rdev)
    fd = os.open(path, os.O_RDWR)
    os.unlink(path)
    return fd


# -- what holds pages, the mapping and every descriptor gone

PINNED = 1  # the block that these pin


def spliced(node):
    """In a pipe: whoever has its other end can read the memory."""
    memory = touched(node)
    ends = os.pipe()
    if libc('vmsplice', ends[1], ctypes.byref(iovec_of(memory, PINNED * BLOCK, 8192)), ctypes.c_size_t(1), 0) != 8192:
        raise OSError('vmsplice took less')
    memory.close()
    return ends


# -- io_uring, by its system calls: nothing is submitted

SETUP, REGISTER = 425, 427
REGISTER_BUFFERS, REGISTER_FILES = 0, 2


def ring():
    parameters = (ctypes.c_char * 120)()
    return libc('syscall', SETUP, 1, parameters)


def fixed_file(node):
    fd = os.open(node, os.O_RDWR)
    uring = ring()
    libc('syscall', REGISTER, uring, REGISTER_FILES, (ctypes.c_int * 1)(fd), 1)
    os.close(fd)
    return uring


def fixed_buffer(node):
    memory = touched(node)
    uring = ring()
    libc('syscall', REGISTER, uring, REGISTER_BUFFERS, ctypes.byref(iovec_of(memory, PINNED * BLOCK, 8192)), 1)
    memory.close()
    return uring


# -- a virtual machine of two instructions

KVM_CREATE_VM, KVM_CREATE_VCPU, KVM_VCPU_MMAP_SIZE, KVM_RUN = 0xAE01, 0xAE41, 0xAE04, 0xAE80
KVM_SET_MEMORY = 0x4020AE46
KVM_SET_REGS, KVM_GET_SREGS, KVM_SET_SREGS = 0x4090AE82, 0x8138AE83, 0x4138AE84
KVM_EXIT_HLT = 5
GUEST_CODE = bytes((0xC6, 0x06, 0x00, 0x20, 0x5A, 0xF4))  # mov byte [0x2000], 0x5a; hlt


def guest(node):
    """It has run, with the device as its memory, and written to it."""
    memory = mapped(node)
    memory[0x1000:0x1000 + len(GUEST_CODE)] = GUEST_CODE
    kvm = os.open('/dev/kvm', os.O_RDWR)
    vm = fcntl.ioctl(kvm, KVM_CREATE_VM, 0)
    fcntl.ioctl(vm, KVM_SET_MEMORY, struct.pack('<IIQQQ', 0, 0, 0, len(memory), iovec_of(memory, 0, 0).base))
    vcpu = fcntl.ioctl(vm, KVM_CREATE_VCPU, 0)
    run = mmap.mmap(vcpu, fcntl.ioctl(kvm, KVM_VCPU_MMAP_SIZE, 0), mmap.MAP_SHARED, BOTH)
    sregs = array.array('B', bytes(0x138))
    fcntl.ioctl(vcpu, KVM_GET_SREGS, sregs)
    struct.pack_into('<QIH', sregs, 0, 0, 0xFFFF, 0)  # cs: base, limit, selector
    fcntl.ioctl(vcpu, KVM_SET_SREGS, sregs)
    fcntl.ioctl(vcpu, KVM_SET_REGS, struct.pack('<18Q', *[0] * 16, 0x1000, 2))
    fcntl.ioctl(vcpu, KVM_RUN, 0)
    if struct.unpack_from('<I', run, 8)[0] != KVM_EXIT_HLT or memory[0x2000] != 0x5A:
        raise OSError(f'the guest has ended otherwise: {bytes(run[:64]).hex()}')
    return memory, kvm, vm, vcpu, run


def guest_without_memory(node):
    """The same when the VMM has unmapped it; the virtual machine is still there."""
    memory, *rest = guest(node)
    memory.close()
    return rest


# -- by a process

class NotHeld(OSError):
    """The kernel does not allow it in this way."""


@contextlib.contextmanager
def held(way, *args):
    """A process of its own (with its children) holds it in this way; it is killed at the end."""
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setpgid(0, 0)
            os.close(ready)
            kept = way(*args)
            os.write(tell, b'.')
            while kept is not None:
                signal.pause()
        except BaseException as e:  # pylint: disable=broad-exception-caught # the parent says it
            os.write(tell, str(e).encode())
        finally:
            os._exit(1)
    os.close(tell)
    try:
        with open(ready, 'rb', buffering=0) as f:
            answer = f.read(4096)
        if answer != b'.':
            raise NotHeld(f'{way.__name__}: {answer.decode()}')
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
