# SPDX-License-Identifier: MIT
"""Asks a guestmemfs-counts (src/counts/wire.h) for the kernel's reference counts of a device."""

import dataclasses
import os
import socket
import struct
import subprocess

from dax import device_number, ranges_of

DEVICE, RANGES, READY, READING, CLOSE, FAILED, CLOSED = 1, 3, 2, 4, 5, 6, 8
CLOSE_MAX = 16
RANGES_EACH = 256
ANY = 0xffffffff


@dataclasses.dataclass(frozen=True)
class Reading:
    cdev: int
    page_min: int
    page_max: int
    busy_pages: int
    first_busy: int


class Counts:
    """A process of its own, ended by leaving the scope."""

    def __init__(self, prefix):
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(60)
        self.id = 0

        def place():
            os.dup2(theirs.fileno(), 3)

        with theirs:
            self.process = subprocess.Popen([f'{prefix}/libexec/guestmemfs-counts', '--serve'],  # pylint: disable=consider-using-with
                                            stdin=subprocess.DEVNULL, preexec_fn=place, pass_fds=(3,))
        opcode, _, body = self._receive()
        if opcode != READY:
            raise OSError(struct.unpack_from('<I', body)[0], body[8:].split(b'\0')[0].decode())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()
        self.process.wait(timeout=60)

    def _receive(self):
        packet = self.sock.recv(4096)
        size, opcode, _, ident = struct.unpack_from('<IHHQ', packet)
        assert size == len(packet)
        return opcode, ident, packet[16:]

    def _answer(self):
        opcode, ident, body = self._receive()
        assert ident == self.id
        if opcode == FAILED:
            raise OSError(struct.unpack_from('<I', body)[0], body[8:].split(b'\0')[0].decode())
        return body

    def close(self, *devices):
        """Nobody opens these (st_rdev) until the next call."""
        self.id += 1
        numbers = b''.join(struct.pack('<II', os.major(device), os.minor(device)) for device in devices)
        self.sock.send(struct.pack('<IHHQII', 24 + 8 * CLOSE_MAX, CLOSE, 0, self.id, len(devices), 0) + numbers.ljust(8 * CLOSE_MAX, b'\0'))
        assert self._answer() == b''

    def read_ranges(self, fd, ranges, align, idle=ANY):
        """fd is closed before anything is read."""
        self.id += 1
        socket.send_fds(self.sock, [struct.pack('<IHHQQII', 32, DEVICE, 0, self.id, align, len(ranges), idle)], [fd])
        os.close(fd)
        for at in range(0, len(ranges), RANGES_EACH):
            part = ranges[at:at + RANGES_EACH]
            body = b''.join(struct.pack('<QQ', *r) for r in part)
            self.sock.send(struct.pack('<IHHQII', 24 + 16 * RANGES_EACH, RANGES, 0, self.id, len(part), 0) +
                           body.ljust(16 * RANGES_EACH, b'\0'))
        cdev, page_min, page_max, _, busy, first = struct.unpack('<IIIIQQ', self._answer())
        return Reading(cdev, page_min, page_max, busy, first)

    def read(self, name, idle=ANY):
        """Of the device of this name, all of it."""
        return self.read_ranges(os.open(f'/dev/{name}', os.O_RDONLY), ranges_of(name), device_number(name, 'align'), idle)
