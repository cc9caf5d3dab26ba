# SPDX-License-Identifier: MIT
"""The client protocol by hand, as docs/protocol.md has it: for what libguestmemfs would never send."""

import array
import fcntl
import os
import socket
import struct

HELLO, WELCOME, ATTACH, GRANT, REFUSED = 1, 2, 3, 4, 6
HEADER = struct.Struct('<IHHQ')  # size, opcode, reserved, serial
IOC_TICKET = (2 << 30) | (16 << 16) | (ord('G') << 8) | 1  # _IOR('G', 1, struct gm_ticket)
REASON_NONE, REASON_VERSION, REASON_TICKET, REASON_TRUST, REASON_LIMIT = range(5)
REASON_STARTING, REASON_RATE = 8, 14


def message(opcode, body=b'', serial=7, size=None, reserved=0):
    size = HEADER.size + len(body) if size is None else size
    return HEADER.pack(size, opcode, reserved, serial) + body


def hello(lowest=1, highest=1, flags=0, **header):
    return message(HELLO, struct.pack('<IIQ', lowest, highest, flags), **header)


def attach(ticket, flags=0, **header):
    return message(ATTACH, ticket + struct.pack('<Q', flags), **header)


def get_ticket(fd):
    ticket = bytearray(16)
    fcntl.ioctl(fd, IOC_TICKET, ticket)
    return bytes(ticket)


def ticket_for(path, flags=os.O_RDWR):
    fd = os.open(path, flags)
    try:
        return get_ticket(fd)
    finally:
        os.close(fd)


class Grant:
    """What GRANT says; close() gives the descriptors back."""

    def __init__(self, data, fds):
        assert len(data) == 1584
        self.ino, self.size, self.extent_count, self.access, self.device_count = struct.unpack_from('<QQQII', data, 16)
        self.devices = list(struct.iter_unpack('<QQ', data[48:560]))
        self.extents = list(struct.iter_unpack('<QQQII', data[560:1584]))
        self.fds = fds

    def close(self):
        while self.fds:
            os.close(self.fds.pop())


class Client:
    """A connection to a helper."""

    def __init__(self, path, timeout=10):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(timeout)
        self.socket.connect(path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data, fds=()):
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
        self.socket.sendmsg([data], ancillary)

    def receive(self):
        """One packet with its descriptors; b'' when the helper has ended the connection."""
        fds = array.array('i')
        try:
            data, ancillary, flags, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(40 * fds.itemsize))
        except ConnectionResetError:
            return b'', []
        assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
        for level, kind, value in ancillary:
            assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
            fds.frombytes(value)
        return data, list(fds)

    def answer(self):
        """(opcode, serial, the rest): of REFUSED, the rest is (errno, reason); of GRANT, a Grant. None at the end."""
        data, fds = self.receive()
        if not data:
            return None
        size, opcode, reserved, serial = HEADER.unpack_from(data)
        assert size == len(data) and reserved == 0
        if opcode == GRANT:
            return opcode, serial, Grant(data, fds)
        assert not fds
        return opcode, serial, struct.unpack('<II', data[16:]) if opcode == REFUSED else data[16:]

    def greet(self):
        self.send(hello(serial=1))
        assert self.answer() == (WELCOME, 1, struct.pack('<IIQ', 1, 0, 0))
        return self

    def redeem(self, ticket, serial=2):
        self.send(attach(ticket, serial=serial))
        return self.answer()
