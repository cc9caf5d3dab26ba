# SPDX-License-Identifier: MIT
"""
Processes that have a file's memory, and those to whom they leave some way to it when they die: a mapping, a descriptor,
a descriptor on its way, pages in a pipe. Each is a child of the case with a pipe of orders, and ends with it.
"""

import ctypes
import mmap
import os
import signal
import socket

from dax import BLOCK
from product import Attached

PINNED = 8192  # bytes that a pipe is given of a mapping


class Iovec(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('length', ctypes.c_size_t)]


def vmsplice(pipe, address, length):
    """Gives the pages themselves to the pipe, no copy of them."""
    libc = ctypes.CDLL(None, use_errno=True)
    iov = Iovec(address, length)
    if libc.vmsplice(pipe, ctypes.byref(iov), 1, 0) != length:
        raise OSError(ctypes.get_errno(), 'vmsplice')


def become(uid):
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)


class Actor:
    """A child that does something, says so, and then waits for its end."""

    def __init__(self, act, uid=0):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                ours.close()
                if uid:
                    become(uid)
                kept = act()  # stays referred to as long as the child lives
                theirs.send(b'ready')
                theirs.recv(16)
                del kept
            except BaseException as e:  # pylint: disable=broad-exception-caught # whatever it is, the case must hear of it
                theirs.send(f'{type(e).__name__}: {e}'.encode())
            finally:
                os._exit(0)
        theirs.close()
        answer = ours.recv(4096).decode()
        self._order = ours
        if answer != 'ready':
            self.wait()
            raise RuntimeError(f'an actor: {answer or "died"}')

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def end(self):
        self._order.send(b'end')
        self.wait()

    def wait(self):
        self._order.close()
        os.waitpid(self.pid, 0)


def fill(address, size, text):
    """The text at the start of every page of every block."""
    piece = text.encode().ljust(4096, b'.')
    for at in range(0, size, BLOCK):
        ctypes.memmove(address + at, piece * (BLOCK // 4096), BLOCK)


def vmm(library, path, text, then=None):
    """What a VMM does: attaches, maps, writes everywhere. then(file, address): what else, before it waits for its end."""
    def act():
        file = Attached(library, path)
        address = file.map()
        fill(address, file.size, text)
        return file, address, then and then(file, address)
    return act


def pin_of_node(node, text, pipe):
    """What somebody does who has a device node and knows nothing of guestmemfs; he leaves nothing but pages in a pipe."""
    def act():
        fd = os.open(node, os.O_RDWR)
        memory = mmap.mmap(fd, BLOCK, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        memory[:4096] = text.encode().ljust(4096, b'.')
        view = (ctypes.c_char * BLOCK).from_buffer(memory)
        vmsplice(pipe, ctypes.addressof(view), PINNED)
        del view
        memory.close()
        os.close(fd)
    return act
